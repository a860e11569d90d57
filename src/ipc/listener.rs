//! The daemon's end: one listener for a user, and the greeting of whoever connects.
//!
//! The socket is never taken from a process that lives: a [`Lock`] says who may bind, and it is held as long as
//! the listener. Nothing is removed but a socket: one that nobody answers on, and at the end one's own.

use std::io;
use std::path::Path;
use std::time::Duration;

use interprocess::local_socket::ConnectOptions;
use interprocess::local_socket::tokio::Listener as Socket;
use interprocess::local_socket::traits::tokio::Listener as _;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use super::address::SocketFile;
use super::failure::{Failure, FailureKind};
use super::frame::{FRAME_MOST, FrameError, Frames, GREETING_MOST, encode};
use super::lock::{BindError, Lock};
use super::messages::{FromDaemon, Hello, PROTOCOL, ToDaemon, Welcome};
use super::outbox::{Closing, Outbox};
use super::{Process, address, stream};
use crate::identity::Transcript;

/// How long a peer has to say who it is.
const GREETING: Duration = Duration::from_secs(5);

/// Listens on the socket for as long as it lives.
#[derive(Debug)]
pub struct Listener {
    // Dropped in this order: the file goes while the lock is held and its socket still lives, so that it is
    // never another's.
    file: SocketFile,
    socket: Socket,
    lock: Lock,
}

impl Listener {
    /// Binds. A socket that nobody answers on is removed first; anything else in its place stays.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(path: &Path, lock: Lock) -> Result<Self, BindError> {
        let system = |what: String| move |error| BindError::System(what, error);
        if let Some(directory) = path.parent() {
            address::check_directory(directory)
                .map_err(system(format!("trust the directory of the socket {}", path.display())))?;
        }
        let listen = || format!("listen on {}", path.display());
        let socket = match address::bind(path) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // What is no socket, or leads to one, refuses a connection just as a dead socket does.
                if !address::is_socket(path).map_err(system(listen()))? {
                    return Err(BindError::Occupied(path.to_owned()));
                }
                if is_answered(path).await {
                    return Err(BindError::Running);
                }
                address::remove(path).map_err(system(format!("remove the old {}", path.display())))?;
                address::bind(path).map_err(system(listen()))?
            }
            Err(error) => return Err(BindError::System(listen(), error)),
        };
        Ok(Self { file: SocketFile::new(path), socket, lock })
    }

    /// Listens no more, but keeps others from listening until the lock is dropped.
    #[must_use]
    pub fn retire(self) -> Lock {
        let Self { file, socket, lock } = self;
        drop(file);
        drop(socket);
        lock
    }

    /// The next process of this user that connects. Those of others are turned away.
    ///
    /// # Errors
    /// When the system can't accept, as when too many files are open; a later try may succeed.
    pub async fn accept(&self) -> io::Result<Accepted> {
        loop {
            let stream = self.socket.accept().await?;
            match stream::own_peer(&stream) {
                Ok(Some(peer)) => {
                    let Ok((read, write)) = stream::split(stream, peer) else { continue };
                    return Ok(Accepted { read, write, process: Process::of(peer.pid) });
                }
                Ok(None) => tracing::warn!("turned away a process of another user"),
                Err(_) => {}
            }
        }
    }
}

/// Whether somebody listens there. Unsure means yes: a socket is removed only when it is surely dead.
async fn is_answered(path: &Path) -> bool {
    let Ok(name) = address::name(path) else { return true };
    match tokio::time::timeout(GREETING, ConnectOptions::new().name(name).connect_tokio()).await {
        Ok(Err(error)) => error.kind() != io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => true,
    }
}

/// A process that connected and has said nothing yet.
#[derive(Debug)]
pub struct Accepted {
    read: stream::Reader,
    write: stream::Writer,
    process: Process,
}

impl Accepted {
    /// The process.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Hears who it is and welcomes it as `welcome` says, or tells it why not. A peer of another protocol version
    /// than this program, which is of `build`, is sent away with advice.
    ///
    /// # Errors
    /// Why there is no connection, for the log.
    pub async fn greet(
        self,
        build: &str,
        welcome: impl FnOnce(&Hello) -> Result<Welcome, Failure>,
    ) -> Result<Greeted, Failure> {
        let Self { read, mut write, .. } = self;
        let mut frames = Frames::new(read, GREETING_MOST);
        let greeting = async {
            let heard = hear(&mut frames, build).await;
            let heard = heard.and_then(|hello| welcome(&hello).map(|welcome| (hello, welcome)));
            let answer = heard.as_ref().map(|(_, welcome)| welcome);
            let told = match encode(&answer) {
                Ok(frame) => write.write_all(&frame).await,
                Err(_) => Ok(()),
            };
            // Why it was refused counts more than that it does not hear of it.
            heard.and_then(|heard| told.map(|()| heard).map_err(|error| gone(&error)))
        };
        let (hello, welcome) = tokio::time::timeout(GREETING, greeting).await.unwrap_or_else(|_| {
            Err(Failure::new(FailureKind::Invalid, "it did not say who it is in time"))
        })?;
        frames.allow(FRAME_MOST);
        let closing = Closing::default();
        let outbox = Outbox::start(write, closing.clone());
        let transcript = welcome.transcript(&hello);
        Ok(Greeted { hello, transcript, inbox: Inbox { frames, outbox: outbox.clone(), closing }, outbox })
    }

    /// Sends it away at once.
    pub async fn refuse(self, failure: Failure) {
        let Self { read: _read, mut write, .. } = self;
        if let Ok(frame) = encode(&Err::<Welcome, _>(failure)) {
            let _ = tokio::time::timeout(GREETING, write.write_all(&frame)).await;
        }
    }
}

/// A connection whose greeting is over.
#[derive(Debug)]
pub struct Greeted {
    /// Who is there.
    pub hello: Hello,
    /// What both ends said until now.
    pub transcript: Transcript,
    /// What it says from now on.
    pub inbox: Inbox,
    /// What it is told.
    pub outbox: Outbox,
}

async fn hear(frames: &mut Frames<stream::Reader>, build: &str) -> Result<Hello, Failure> {
    let frame = frames.next().await.map_err(|error| malformed(&error))?.ok_or_else(|| gone(&"no hello"))?;
    // Another version may say hello in other words: its number is read alone first.
    #[derive(Deserialize)]
    struct Version {
        protocol: u32,
    }
    let Version { protocol } = serde_json::from_slice(frame.as_ref()).map_err(|error| malformed(&error))?;
    if protocol != PROTOCOL {
        let message =
            format!("the daemon {build} speaks protocol {PROTOCOL}, and this program speaks {protocol}",);
        let hint = if protocol > PROTOCOL {
            "restart the daemon: portero daemon stop, then run this again"
        } else {
            "upgrade this program: the daemon is newer; a session takes the new one when it is restarted"
        };
        return Err(Failure::new(FailureKind::Version, message).with_hint(hint));
    }
    serde_json::from_slice(frame.as_ref()).map_err(|error| malformed(&error))
}

fn malformed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Invalid, format!("that is no message: {error}"))
}

fn gone(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Invalid, format!("the connection ended: {error}"))
}

/// What a peer says.
#[derive(Debug)]
pub struct Inbox {
    frames: Frames<stream::Reader>,
    outbox: Outbox,
    closing: Closing,
}

impl Inbox {
    /// The next thing that the peer says; none once the connection ended, for which the outbox's
    /// [`Closing`] holds the reason. A peer that speaks nonsense is told so and left. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<ToDaemon> {
        let read = tokio::select! {
            read = self.frames.next() => read,
            _ = self.closing.closed() => return None,
        };
        let ended = match read {
            Ok(Some(frame)) => match serde_json::from_slice(frame.as_ref()) {
                Ok(message) => return Some(message),
                Err(error) => malformed(&error),
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
                Failure::new(FailureKind::Invalid, error.to_string())
            }
            Err(error @ (FrameError::TooLong(_) | FrameError::TooSlow)) => malformed(&error),
        };
        let _ = self.outbox.push(&FromDaemon::Closing(ended.clone()));
        self.closing.close(ended.message);
        None
    }
}
