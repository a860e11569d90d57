//! The daemon's end: one listener for each user, and the greeting of each peer.
//!
//! The socket is never taken from a living process: a [`DaemonLock`] says who may bind, and is held as long as
//! the listener. Only sockets are removed: one without a listener, and at the end the daemon's own.

use std::io;
use std::path::Path;

use interprocess::local_socket::ConnectOptions;
use interprocess::local_socket::tokio::Listener as Socket;
use interprocess::local_socket::traits::tokio::Listener as _;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use super::address::SocketFile;
use super::failure::{DaemonFailure, FailureKind};
use super::frame::{
    FrameError, FrameReader, GREETING_TIMEOUT, MAX_FRAME_BYTES, MAX_GREETING_BYTES, encode_frame,
};
use super::lock::{BindError, DaemonLock};
use super::message_sender::{ConnectionEnd, MessageSender};
use super::messages::{FromDaemon, Hello, PROTOCOL_VERSION, ToDaemon, Welcome};
use super::{PeerProcess, address, stream};
use crate::store_identity::Transcript;

/// The listening socket.
#[derive(Debug)]
pub struct DaemonListener {
    // Drop order: the file goes while the lock is held and the socket still exists, so it can't be another
    // daemon's file.
    file: SocketFile,
    socket: Socket,
    lock: DaemonLock,
}

impl DaemonListener {
    /// Binds. A socket without a listener is removed first. Anything else at its path stays.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(path: &Path, lock: DaemonLock) -> Result<Self, BindError> {
        let system = |what: String| move |error| BindError::System(what, error);
        if let Some(directory) = path.parent() {
            address::check_directory(directory)
                .map_err(system(format!("trust the directory of the socket {}", path.display())))?;
        }
        let listen = || format!("listen on {}", path.display());
        let socket = match address::bind_socket(path) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // A thing that is no socket, or a link to one, refuses connections like a dead socket does.
                if !address::is_socket(path).map_err(system(listen()))? {
                    return Err(BindError::Occupied(path.to_owned()));
                }
                // The lock says that no daemon of this directory lives, but another program may listen here.
                if is_socket_alive(path).await {
                    return Err(BindError::Running);
                }
                address::remove_socket(path).map_err(system(format!("remove the old {}", path.display())))?;
                address::bind_socket(path).map_err(system(listen()))?
            }
            Err(error) => return Err(BindError::System(listen(), error)),
        };
        Ok(Self { file: SocketFile::new(path), socket, lock })
    }

    /// Stops listening, but keeps others from listening until the lock is dropped.
    #[must_use]
    pub fn stop_listening(self) -> DaemonLock {
        let Self { file, socket, lock } = self;
        // A tuple drops its fields in order: the file goes while the socket still exists.
        drop((file, socket));
        lock
    }

    /// Accepts the next process of this user. Those of other users are turned away.
    ///
    /// # Errors
    /// If the system can't accept, as with too many open files. A later try may succeed.
    pub async fn accept(&self) -> io::Result<AcceptedPeer> {
        loop {
            let stream = self.socket.accept().await?;
            match stream::same_user_peer(&stream) {
                Ok(Some(peer)) => {
                    let Ok((read, write)) = stream::split_stream(stream, peer) else { continue };
                    return Ok(AcceptedPeer { read, write, process: PeerProcess::from_pid(peer.pid) });
                }
                Ok(None) => tracing::warn!("turned away a process of another user"),
                Err(_) => {}
            }
        }
    }
}

/// Whether a process listens there. Doubt means yes, because only a certainly dead socket may be removed.
async fn is_socket_alive(path: &Path) -> bool {
    let Ok(name) = address::socket_name(path) else { return true };
    match tokio::time::timeout(GREETING_TIMEOUT, ConnectOptions::new().name(name).connect_tokio()).await {
        Ok(Err(error)) => error.kind() != io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => true,
    }
}

/// A connected process before its greeting.
#[derive(Debug)]
pub struct AcceptedPeer {
    read: stream::PeerReader,
    write: stream::PeerWriter,
    process: PeerProcess,
}

impl AcceptedPeer {
    /// The process.
    #[must_use]
    pub const fn process(&self) -> &PeerProcess {
        &self.process
    }

    /// Reads the peer's hello and answers with `welcome`, or with the reason for a refusal. A peer of another
    /// protocol version gets advice. `build` is this program's version.
    ///
    /// # Errors
    /// Why there is no connection, for the log.
    pub async fn greet_peer(
        self,
        build: &str,
        welcome: impl FnOnce(&Hello) -> Result<Welcome, DaemonFailure>,
    ) -> Result<GreetedPeer, DaemonFailure> {
        let Self { read, mut write, .. } = self;
        let mut frames = FrameReader::new(read, MAX_GREETING_BYTES);
        let greeting = async {
            let heard = read_hello(&mut frames, build).await;
            let heard = heard.and_then(|hello| welcome(&hello).map(|welcome| (hello, welcome)));
            let answer = heard.as_ref().map(|(_, welcome)| welcome);
            let told = match encode_frame(&answer) {
                Ok(frame) => write.write_all(&frame).await,
                Err(_) => Ok(()),
            };
            // The refusal tells more than a failure to send it.
            heard.and_then(|heard| told.map(|()| heard).map_err(|error| connection_failure(&error)))
        };
        let (hello, welcome) =
            tokio::time::timeout(GREETING_TIMEOUT, greeting).await.unwrap_or_else(|_| {
                Err(DaemonFailure::new(FailureKind::Invalid, "it did not say who it is in time"))
            })?;
        frames.set_max_length(MAX_FRAME_BYTES);
        let closing = ConnectionEnd::default();
        let outbox = MessageSender::start(write, closing.clone());
        let transcript = welcome.transcript(&hello);
        Ok(GreetedPeer {
            hello,
            transcript,
            receiver: MessageReceiver { frames, outbox: outbox.clone(), closing },
            sender: outbox,
        })
    }

    /// Refuses the peer at once.
    pub async fn refuse_peer(self, failure: DaemonFailure) {
        let Self { read: _read, mut write, .. } = self;
        if let Ok(frame) = encode_frame(&Err::<Welcome, _>(failure)) {
            let _ = tokio::time::timeout(GREETING_TIMEOUT, write.write_all(&frame)).await;
        }
    }
}

/// A connection after its greeting.
#[derive(Debug)]
pub struct GreetedPeer {
    /// The peer's introduction.
    pub hello: Hello,
    /// What both ends said so far.
    pub transcript: Transcript,
    /// Its messages from now on.
    pub receiver: MessageReceiver,
    /// Sends messages to it.
    pub sender: MessageSender,
}

async fn read_hello(
    frames: &mut FrameReader<stream::PeerReader>,
    build: &str,
) -> Result<Hello, DaemonFailure> {
    let frame = frames
        .next_frame()
        .await
        .map_err(|error| malformed_failure(&error))?
        .ok_or_else(|| connection_failure(&"no hello"))?;
    // Another version may have another form of hello, so its version number is read alone first.
    #[derive(Deserialize)]
    struct HelloVersion {
        protocol: u32,
    }
    let HelloVersion { protocol } =
        serde_json::from_slice(frame.as_ref()).map_err(|error| malformed_failure(&error))?;
    if protocol != PROTOCOL_VERSION {
        let message = format!(
            "the daemon {build} speaks protocol {PROTOCOL_VERSION}, and this program speaks {protocol}",
        );
        let hint = if protocol > PROTOCOL_VERSION {
            "restart the daemon: portero daemon stop, then run this again"
        } else {
            "upgrade this program: the daemon is newer; a session takes the new one when it is restarted"
        };
        return Err(DaemonFailure::new(FailureKind::Version, message).with_hint(hint));
    }
    serde_json::from_slice(frame.as_ref()).map_err(|error| malformed_failure(&error))
}

fn malformed_failure(error: &dyn std::fmt::Display) -> DaemonFailure {
    DaemonFailure::new(FailureKind::Invalid, format!("that is no message: {error}"))
}

fn connection_failure(error: &dyn std::fmt::Display) -> DaemonFailure {
    DaemonFailure::new(FailureKind::Invalid, format!("the connection ended: {error}"))
}

/// Receives a peer's messages.
#[derive(Debug)]
pub struct MessageReceiver {
    frames: FrameReader<stream::PeerReader>,
    outbox: MessageSender,
    closing: ConnectionEnd,
}

impl MessageReceiver {
    /// The peer's next message; `None` once the connection ended, with the reason in the outbox's
    /// [`ConnectionEnd`]. A peer that sends nonsense gets a reason and is dropped. Dropping the future loses
    /// nothing.
    pub async fn next_message(&mut self) -> Option<ToDaemon> {
        let read = tokio::select! {
            read = self.frames.next_frame() => read,
            _ = self.closing.wait_until_closed() => return None,
        };
        let ended = match read {
            Ok(Some(frame)) => match serde_json::from_slice(frame.as_ref()) {
                Ok(message) => return Some(message),
                Err(error) => malformed_failure(&error),
            },
            Ok(None) => {
                self.closing.close("the other side hung up");
                return None;
            }
            Err(FrameError::Io(error)) => {
                self.closing.close(format!("the connection broke: {error}"));
                return None;
            }
            Err(error @ FrameError::Foreign(_)) => {
                tracing::warn!(%error, "a connection ended");
                DaemonFailure::new(FailureKind::Invalid, error.to_string())
            }
            Err(error @ (FrameError::TooLong(_) | FrameError::TooSlow)) => malformed_failure(&error),
        };
        let _ = self.outbox.try_send(&FromDaemon::Closing(ended.clone()));
        self.closing.close(ended.message);
        None
    }
}
