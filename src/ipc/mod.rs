//! The messages between the programs, over the local socket or named pipe.
//!
//! Frames are JSON with a four-byte big-endian length before them, at most [`FRAME_MOST`] long. The first
//! message of a connection is a [`Hello`]; the daemon answers with a [`Welcome`] or a [`Failure`]. Then both
//! sides send [`ToDaemon`] and [`FromDaemon`]. Each request is a type of [`requests`], and its response the type that
//! it names. A request of an unknown method gets a [`Failure`], unknown fields are
//! ignored, another protocol version is refused with advice, and what is no message ends the connection
//! with a reason.
//!
//! Messages hold raw JSON, which serde can't read through its buffered paths: every enum here is externally
//! tagged, and nothing is flattened.

mod address;
mod challenge;
mod client;
mod failure;
mod frame;
mod listener;
mod lock;
mod messages;
mod outbox;
mod process;
mod request;
pub mod requests;
mod status;
mod stream;
mod telegram;
mod width;

pub use challenge::{Challenge, Disclosed, Given, NewPassphrase};
pub use client::{AskError, Client, ConnectError, NotificationSink, Probe, Progress, probe};
pub use failure::{Failure, FailureKind};
pub use frame::FRAME_MOST;
pub use listener::{Accepted, Greeted, Inbox, Listener};
pub use lock::{BindError, Lock};
pub use messages::{FromDaemon, Hello, MAX_OPEN_REQUESTS, PROTOCOL, Peer, Push, ToDaemon, Welcome};
pub use outbox::{Closing, Outbox, SendError};
pub use process::Process;
pub use request::{RawRequest, Request, Response, WipedJson};
pub use requests::approvals::{Look, RealTask, Watched};
pub use requests::config::Waiting;
pub use requests::overrides::{Acting, Reaching};
pub use requests::sessions::ForwardedCall;
pub use status::{AuditState, Authenticator, Counts, Status, Unsaved};
pub use telegram::{
    PairingCode, TelegramConfirms, TelegramGroup, TelegramPerson, TelegramRefused, TelegramState,
    TelegramStatus, TelegramTrouble,
};
pub use width::{NARROW_GRANT_MOST, Width};

#[cfg(all(test, unix))]
mod tests;
