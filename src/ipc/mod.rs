//! The messages between the programs, over the local socket or named pipe.
//!
//! Frames are JSON with a four-byte big-endian length before them, at most [`FRAME_MOST`] long. The first
//! message of a connection is a [`Hello`]; the daemon answers with a [`Welcome`] or a [`Failure`]. Then both
//! sides send [`ToDaemon`] and [`FromDaemon`]. An unknown question gets a [`Failure`], unknown fields are
//! ignored, another protocol version is refused with advice, and what is no message ends the connection
//! with a reason.
//!
//! Messages hold raw JSON, which serde can't read through its buffered paths: every enum here is externally
//! tagged, and nothing is flattened.

mod address;
mod challenge;
mod client;
mod frame;
mod listener;
mod lock;
mod messages;
mod outbox;
mod process;
mod telegram;
mod width;

pub use challenge::{Challenge, Disclosed};
pub use client::{AskError, Client, ConnectError, Probe, Progress, probe};
pub use frame::FRAME_MOST;
pub use listener::{Accepted, Inbox, Incoming, Listener};
pub use lock::{BindError, Lock};
pub use messages::{
    Acting, Ask, AuditState, Authenticator, Called, Counts, Failure, FailureKind, FromDaemon, Hello, Look,
    PROTOCOL, Peer, Push, RealTask, Reply, Status, ToDaemon, Waiting, Watched, Welcome,
};
pub use outbox::{Closing, Outbox, SendError};
pub use process::Process;
pub use telegram::{PairingCode, TelegramPerson, TelegramState, TelegramStatus, TelegramTrouble};
pub use width::{NARROW_GRANT_MOST, Width};

#[cfg(all(test, unix))]
mod tests;
