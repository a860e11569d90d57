//! The messages between the programs, over the local socket or named pipe.
//!
//! Frames are JSON with a four-byte big-endian length before them (`ipc::frame`). The first message of a
//! connection is a [`Hello`]; the daemon answers with a [`Welcome`] or a [`Failure`]. Then both sides send
//! [`ToDaemon`] and [`FromDaemon`]. An unknown request gets a [`Failure`], unknown fields are ignored, and
//! another protocol version is refused with advice.

mod client;
mod messages;

pub use client::{AskError, Client, ConnectError, Probe, Progress, probe};
pub use messages::{
    Acting, Ask, Called, Challenge, Counts, Failure, FailureKind, FromDaemon, Hello, PROTOCOL, Peer, Push,
    Reply, Status, ToDaemon, Welcome,
};
