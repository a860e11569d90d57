//! The messages between the programs, over the local socket or named pipe.
//!
//! Frames are JSON after a four-byte big-endian length, at most [`MAX_FRAME_BYTES`] long. The first message of
//! a connection is a [`Hello`], and the daemon answers with a [`Welcome`] or a [`DaemonFailure`]. Then both
//! sides send [`ToDaemon`] and [`FromDaemon`]. Each request is a type of [`requests`] that names the type of
//! its response.
//!
//! A request of an unknown method gets a [`DaemonFailure`], and unknown fields are ignored. Another protocol
//! version is refused with advice, and bytes that are no message end the connection with a reason.
//!
//! Messages hold raw JSON, which serde can't read through its buffered paths. So every enum here is externally
//! tagged, and nothing is flattened.

mod act;
#[cfg_attr(unix, path = "address/unix.rs")]
#[cfg_attr(windows, path = "address/windows.rs")]
mod address;
mod challenge;
mod client;
mod credentials;
mod failure;
mod frame;
mod listener;
mod lock;
mod message_sender;
mod messages;
mod process;
mod request;
pub mod requests;
mod risk;
mod status;
mod stream;
mod telegram;

pub use act::{Act, describe_grant_ids, describe_rule_id};
pub use challenge::{Challenge, DisclosedSecret, GivenProof, NewPassphrase};
pub use client::{
    ConnectError, ForwardProgressSink, IpcClient, NotificationSink, ProbeResult, RequestError, probe_daemon,
};
pub use credentials::{CredentialPlace, CredentialsStatus, UnreadableCredential};
pub use failure::{DaemonFailure, FailureKind};
pub use frame::MAX_FRAME_BYTES;
pub use frame::SendError;
pub use listener::{AcceptedPeer, DaemonListener, GreetedPeer, MessageReceiver};
pub use lock::{BindError, DaemonLock};
pub use message_sender::{ConnectionEnd, MessageSender};
pub use messages::{
    CallCheck, FromDaemon, Hello, MAX_OPEN_REQUESTS, PROTOCOL_VERSION, PeerRole, PushMessage, ToDaemon,
    Welcome,
};
pub use process::PeerProcess;
pub use request::{RawRequest, Request, Response, WipedJson};
pub use requests::approvals::{InspectedTask, RealTask, TaskChanges};
pub use requests::config::UnconfirmedConfig;
pub use requests::handover::PermitOutcome;
pub use requests::overrides::GrantSelection;
pub use requests::sessions::ForwardedCall;
pub use requests::tokens::CreatedToken;
pub use risk::{MAX_NARROW_GRANT, Risk};
pub use status::{
    AuditStatus, CallCounts, DaemonStatus, EnrolledAuthenticator, HttpsCertificate, HttpsClient, HttpsStatus,
    UnsavedChanges,
};
pub use telegram::{
    PairingCode, TelegramConfirmation, TelegramGroup, TelegramPerson, TelegramRefused, TelegramState,
    TelegramStatus, TelegramTrouble,
};

#[cfg(all(test, unix))]
mod tests;
