//! Clients over HTTP: sessions at `/mcp`, each with a connection of its own and an open stream beside it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the endpoint is, and the token for it.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

/// One session (2025-11-25, "Streamable HTTP").
pub(super) struct HttpSession {
    endpoint: Endpoint,
    connection: BufReader<TcpStream>,
    id: Option<String>,
    body: Vec<u8>,
    /// What belongs to no request would come here.
    _stream: Option<TcpStream>,
}

impl HttpSession {
    /// Shakes hands, and opens the stream that real clients keep open.
    pub(super) fn open(endpoint: &Endpoint) -> Self {
        let connection = BufReader::with_capacity(1 << 14, connect(endpoint.address));
        let mut session =
            Self { endpoint: endpoint.clone(), connection, id: None, body: Vec::new(), _stream: None };
        session.post(concat!(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
            r#""capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#
        ));
        assert!(session.id.is_some(), "a session begins");
        session.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let mut stream = connect(endpoint.address);
        let head = session.head("GET", "text/event-stream");
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("the endpoint reads");
        let mut reader = BufReader::with_capacity(1 << 10, &stream);
        let (status, _) = read_head(&mut reader);
        assert_eq!(status, 200, "the stream opens");
        session._stream = Some(stream);
        session
    }

    /// Sends a message; returns the body of the answer.
    pub(super) fn post(&mut self, message: &str) -> &[u8] {
        let mut request = self.head("POST", "application/json, text/event-stream");
        request.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            message.len()
        ));
        request.push_str(message);
        self.connection.get_mut().write_all(request.as_bytes()).expect("the endpoint reads");
        let (status, headers) = read_head(&mut self.connection);
        assert!(matches!(status, 200 | 202), "{status}: {message}");
        self.body.clear();
        let of =
            |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        if self.id.is_none() {
            self.id = of("mcp-session-id").map(str::to_owned);
        }
        match of("content-length") {
            Some(length) => {
                self.body.resize(length.parse().expect("a length"), 0);
                self.connection.read_exact(&mut self.body).expect("the whole body");
            }
            None if of("transfer-encoding") == Some("chunked") => {
                read_chunks(&mut self.connection, &mut self.body)
            }
            None => {}
        }
        &self.body
    }

    /// Asks for the list until the tool is in it.
    pub(super) fn wait_until_listed(&mut self, tool: &str) {
        let name = format!("\"{tool}\"");
        let list = r#"{"jsonrpc":"2.0","id":0,"method":"tools/list"}"#;
        while !super::client::contains_bytes(self.post(list), &name) {}
    }

    /// The head of a request, without its last line break.
    fn head(&self, method: &str, accepts: &str) -> String {
        let Endpoint { address, token } = &self.endpoint;
        let mut head = format!(
            "{method} /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: {accepts}\r\n\
             MCP-Protocol-Version: 2025-11-25\r\n"
        );
        if let Some(id) = &self.id {
            head.push_str(&format!("Mcp-Session-Id: {id}\r\n"));
        }
        head
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the endpoint listens");
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// The status and the headers by their lower-case names.
fn read_head<R: std::io::Read>(reader: &mut BufReader<R>) -> (u16, Vec<(String, String)>) {
    let (mut status, mut headers) = (0, Vec::new());
    loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).expect("an answer in time"), 0, "the connection ended");
        let line = line.trim_end();
        if line.is_empty() {
            return (status, headers);
        }
        match line.split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"),
        }
    }
}

fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a chunk in time");
        let length = usize::from_str_radix(line.trim(), 16).expect("a length");
        let begin = body.len();
        // The line break behind the chunk is read, and cut off.
        body.resize(begin + length + 2, 0);
        reader.read_exact(&mut body[begin..]).expect("the whole chunk");
        body.truncate(begin + length);
        if length == 0 {
            return;
        }
    }
}
