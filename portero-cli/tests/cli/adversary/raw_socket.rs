//! The daemon's socket, spoken to byte by byte as anybody who read the documentation could.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::test_support::{TEST_TIMEOUT, TestHome};

/// A request in the words of the socket.
pub(super) fn request(method: &str, params: Value) -> Value {
    json!({"method": method, "params": params})
}

/// Methods that an adversary makes up; every other that it names is one of the daemon's.
const MADE_UP: [&str; 7] = ["execute", "settle", "run", "standing", "number", "answer", "tap"];

/// The daemon looked at what was requested: it was not refused for its name alone.
pub(super) fn assert_known(request: &Value, reply: &Value) {
    let made_up = MADE_UP.contains(&request["method"].as_str().unwrap());
    let message = reply["Err"]["message"].as_str().unwrap_or_default();
    let unknown = message.contains("does not know that request");
    assert_eq!(unknown, made_up, "{request} was answered with {reply}");
}

/// One connection.
pub(super) struct RawSocket {
    stream: UnixStream,
    next_number: u64,
    /// Everything that the daemon ever said on it.
    pub(super) received_text: Vec<u8>,
}

impl RawSocket {
    /// Says hello as a person's terminal.
    pub(super) fn as_terminal(world: &TestHome) -> Self {
        Self::connect(world, &json!("terminal"))
    }

    /// Says hello as a session of this principal.
    pub(super) fn as_session(world: &TestHome, principal: &Value) -> Self {
        let session = json!({
            "id": "0198c0de-0000-7000-8000-000000000001",
            "principal": principal,
            "directory": world.path("project").canonicalize().unwrap(),
        });
        Self::connect(world, &json!({ "session": session }))
    }

    fn connect(world: &TestHome, peer: &Value) -> Self {
        let stream = UnixStream::connect(world.path("run/portero.sock")).unwrap();
        rustix::net::sockopt::set_socket_passcred(&stream, true).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let mut socket = Self { stream, next_number: 0, received_text: Vec::new() };
        let hello = json!({
            "protocol": portero::ipc::PROTOCOL_VERSION, "build": "adversary", "config": world.path("config"),
            "peer": peer,
        });
        socket.send_frame(&hello.to_string());
        let welcome = socket.receive_frame().expect("a welcome");
        assert!(welcome["Ok"].get("pid").is_some(), "{welcome}");
        socket
    }

    /// Asks and gives the answer; none where the daemon closed the connection instead.
    pub(super) fn request(&mut self, request: &Value) -> Option<Value> {
        self.next_number += 1;
        let number = self.next_number;
        self.send_frame(&json!({"request": {"number": number, "request": request}}).to_string());
        loop {
            let message = self.receive_frame()?;
            if message["response"]["number"] == number {
                return Some(message["response"]["result"].clone());
            }
            if message.get("closing").is_some() {
                return None;
            }
        }
    }

    /// Asks and gives the first thing that the daemon says.
    pub(super) fn request_and_hear(&mut self, request: &Value) -> Value {
        self.next_number += 1;
        self.send_frame(&json!({"request": {"number": self.next_number, "request": request}}).to_string());
        self.receive_frame().expect("an answer")
    }

    /// One frame: a length of four bytes, big-endian, then JSON.
    fn send_frame(&mut self, text: &str) {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        // The daemon may have closed it; the next read tells.
        let _ = self.stream.write_all(&length).and_then(|()| self.stream.write_all(text.as_bytes()));
    }

    fn receive_frame(&mut self) -> Option<Value> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut text).ok()?;
        self.received_text.extend_from_slice(&text);
        Some(serde_json::from_slice(&text).unwrap())
    }
}
