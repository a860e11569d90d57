//! The messages on the socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::challenge::DisclosedSecret;
use super::failure::DaemonFailure;
use super::request::{RawRequest, WipedJson};
use crate::anonymize::Fake;
use crate::call::Call;
use crate::json::RawJson;
use crate::names::{AgentSessionId, Principal, ServerName, SessionId, TaskId};
use crate::permit::CallPermit;
use crate::policy::Overrides;
use crate::store_identity::{Handshake, Nonce, StoreId, StoreKey, Transcript};
use crate::task::{ChildGround, Task, TaskState};

/// The version of this protocol. It is raised if an older peer would misunderstand a newer one. A release
/// without such a change keeps it.
pub const PROTOCOL_VERSION: u32 = 7;

/// How many requests a connection may have open: as many as a session accepts from its client.
pub const MAX_OPEN_REQUESTS: usize = 4096;

/// The first message of a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The [`PROTOCOL_VERSION`] of the connecting program.
    pub protocol: u32,
    /// Its version, for people.
    pub build: String,
    /// The configuration directory that it reads. A daemon serves one.
    pub config: PathBuf,
    /// The role of the connecting program.
    pub peer: PeerRole,
    /// The value that the daemon signs to prove its store. [`IpcClient::connect`](super::IpcClient::connect)
    /// makes a new one.
    #[serde(default)]
    pub nonce: Nonce,
}

/// The role of a connecting program.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerRole {
    /// One agent's session.
    Session {
        /// Its id.
        id: SessionId,
        /// The session id of the agent's own program, if it names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_session: Option<AgentSessionId>,
        /// The project.
        principal: Principal,
        /// The directory for starting servers.
        directory: PathBuf,
    },
    /// A person's terminal.
    Terminal,
}

/// The daemon's answer to a [`Hello`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// The [`PROTOCOL_VERSION`] of the daemon.
    pub protocol: u32,
    /// Its version.
    pub build: String,
    /// Its process id.
    pub pid: u32,
    /// The [`ApprovedConfig::digest`](crate::approved_config::ApprovedConfig::digest) of the confirmed
    /// configuration.
    pub confirmed: String,
    /// The store that it keeps.
    pub store: StoreId,
    /// The daemon's nonce.
    pub nonce: Nonce,
    /// The store's signature over the [`Transcript`].
    pub signature: String,
}

impl Welcome {
    /// Signs the answer to `hello` for this process, which keeps the store with this key.
    #[must_use]
    pub fn sign(hello: &Hello, store: &StoreKey, build: String, confirmed: String) -> Self {
        let (pid, store_id, nonce) = (std::process::id(), store.id().clone(), Nonce::fresh());
        let mut welcome = Self {
            protocol: PROTOCOL_VERSION,
            build,
            pid,
            confirmed,
            store: store_id,
            nonce,
            signature: String::new(),
        };
        // Signed last, over all other fields. The transcript leaves the signature itself out.
        welcome.signature = store.sign(&welcome.transcript(hello));
        welcome
    }

    /// What both ends said at the beginning of the connection.
    #[must_use]
    pub fn transcript(&self, hello: &Hello) -> Transcript {
        Transcript::from_handshake(&Handshake {
            protocol: self.protocol,
            client: &hello.nonce,
            daemon: &self.nonce,
            pid: self.pid,
            config: &hello.config,
            store: &self.store,
            confirmed: &self.confirmed,
        })
    }
}

/// A message to the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToDaemon {
    /// A request. It gets one [`FromDaemon::Response`] with the same number.
    Request {
        /// Chosen by the client, unique on its connection.
        number: u64,
        /// The request.
        request: RawRequest,
    },
    /// The client no longer wants the response.
    Withdraw {
        /// The request's number.
        number: u64,
    },
    /// The session now decides by this epoch of rules and grants.
    Follows {
        /// The epoch.
        epoch: u64,
    },
}

/// A message from the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromDaemon {
    /// The response to a request.
    Response {
        /// The request's number.
        number: u64,
        /// The outcome.
        result: Result<WipedJson, DaemonFailure>,
    },
    /// A message that wasn't requested.
    Push(PushMessage),
    /// The daemon ends this connection, for this reason.
    Closing(DaemonFailure),
}

/// A question to a session about a call that a person is asked about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallCheck {
    /// Its number, which the answer names.
    pub number: u64,
    /// The call.
    pub call: Call,
    /// On what it stood when a person was asked.
    pub ground: ChildGround,
}

/// A message of the daemon that answers no request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PushMessage {
    /// Rules or grants changed. The session answers with [`ToDaemon::Follows`] once it decides by them. The
    /// command that made the change returns only then.
    Standing(Overrides),
    /// The configuration changed and is valid, or a person confirmed it. It must be read again.
    Config {
        /// As in [`Welcome::confirmed`].
        confirmed: String,
    },
    /// A task of this session's principal reached a final state.
    Settled {
        /// The task.
        task: TaskId,
        /// Its state.
        state: TaskState,
    },
    /// Whether this approved call would run in the session's process. The session answers with
    /// [`ReportCheck`](super::requests::handover::ReportCheck).
    CheckCall(Box<CallCheck>),
    /// The one-time permit for a call that a person approved. The session makes it in the process that it was asked
    /// for, and answers with [`ReportOutcome`](super::requests::handover::ReportOutcome).
    RunCall(Box<CallPermit>),
    /// A call that is to run in this session's process waits as this task, also if a person asked for it again.
    Waits(Box<Task>),
    /// Progress of a call that the daemon makes for this session: the notification's `params`.
    Progress {
        /// The number of the [`ForwardCall`](super::requests::sessions::ForwardCall).
        number: u64,
        /// `params` of `notifications/progress`.
        params: Fake<RawJson>,
    },
    /// For a terminal whose request waits for a tap on Telegram
    /// ([`Challenge::telegram`](super::Challenge::telegram)): the number that the person must tap. It is meant
    /// only for the terminal device.
    Number {
        /// The number of the request on its connection.
        number: u64,
        /// The number to tap.
        tap: DisclosedSecret,
        /// How long the daemon waits for the tap, in seconds.
        seconds: u64,
    },
    /// A shared server's notification, such as a changed list or a log message.
    Notification {
        /// The server.
        server: ServerName,
        /// The method.
        method: String,
        /// Its `params`.
        params: Option<Fake<RawJson>>,
    },
}
