//! The messages on the socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::challenge::DisclosedSecret;
use super::failure::DaemonFailure;
use super::request::{RawRequest, WipedJson};
use crate::anonymize::Fake;
use crate::json::RawJson;
use crate::names::{AgentSessionId, Principal, ServerName, SessionId, TaskId};
use crate::policy::Overrides;
use crate::store_identity::{Handshake, Nonce, StoreId, StoreKey, Transcript};
use crate::task::TaskState;

/// The version of this protocol. It grows when an old peer would misunderstand a new one; a release that
/// changes nothing here keeps it.
pub const PROTOCOL_VERSION: u32 = 5;

/// How many requests one connection may have open: as many as a session takes requests of its client.
pub const MAX_OPEN_REQUESTS: usize = 4096;

/// The first message of a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the one that connects.
    pub protocol: u32,
    /// Its version, for people.
    pub build: String,
    /// The configuration directory that it reads; the daemon serves one.
    pub config: PathBuf,
    /// Who connects.
    pub peer: PeerRole,
    /// What the daemon signs to show which store it keeps. [`IpcClient::connect`](super::IpcClient::connect) makes a new
    /// one.
    #[serde(default)]
    pub nonce: Nonce,
}

/// Who connects.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerRole {
    /// One agent's session.
    Session {
        /// Its id.
        id: SessionId,
        /// The session of the agent's own program, where it says one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_session: Option<AgentSessionId>,
        /// On whose behalf it acts.
        principal: Principal,
        /// The directory that servers are started in.
        directory: PathBuf,
    },
    /// A person's terminal.
    Terminal,
}

/// The daemon's answer to a [`Hello`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL_VERSION`] of the daemon.
    pub protocol: u32,
    /// Its version.
    pub build: String,
    /// Its process id.
    pub pid: u32,
    /// [`ApprovedConfig::digest`](crate::approved_config::ApprovedConfig::digest) of what a person confirmed of the
    /// configuration.
    pub confirmed: String,
    /// The store that it keeps.
    pub store: StoreId,
    /// The daemon's part in what is signed.
    pub nonce: Nonce,
    /// The store's signature over the [`Transcript`].
    pub signature: String,
}

impl Welcome {
    /// The answer to `hello` of this process, which keeps the store with this key.
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
        welcome.signature = store.sign(&welcome.transcript(hello));
        welcome
    }

    /// What both ends said when the connection began.
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

/// From a session or terminal to the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToDaemon {
    /// A request; it gets one [`FromDaemon::Response`] with the same number.
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
    /// The session follows this epoch of rules and grants from now on.
    Follows {
        /// The epoch.
        epoch: u64,
    },
}

/// From the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromDaemon {
    /// The response to a request.
    Response {
        /// The request's number.
        number: u64,
        /// What came of it.
        result: Result<WipedJson, DaemonFailure>,
    },
    /// Something that was not asked for.
    Push(PushMessage),
    /// The daemon ends this connection, and why.
    Closing(DaemonFailure),
}

/// A message of the daemon to a session that answers no request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PushMessage {
    /// Rules or grants changed. The session answers [`ToDaemon::Follows`] once it decides by them; the
    /// command that made the change returns only then.
    Standing(Overrides),
    /// The configuration changed and is valid, or a person confirmed it: read it again.
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
    /// Progress of a call that the daemon makes for this session: the notification's `params`.
    Progress {
        /// The number of the [`ForwardCall`](super::requests::sessions::ForwardCall).
        number: u64,
        /// `params` of `notifications/progress`.
        params: Fake<RawJson>,
    },
    /// To a terminal whose request waits for a tap on Telegram
    /// ([`Challenge::telegram`](super::Challenge::telegram)): the number that the person is to tap there. It is for
    /// the terminal device and nothing else.
    Number {
        /// The number of the request on its connection.
        number: u64,
        /// What the person is to tap.
        tap: DisclosedSecret,
        /// For how long it is waited for, in seconds.
        seconds: u64,
    },
    /// A shared server said that one of its lists changed, or logged something: a whole JSON-RPC
    /// notification.
    Notification {
        /// The server.
        server: ServerName,
        /// The method.
        method: String,
        /// Its `params`.
        params: Option<Fake<RawJson>>,
    },
}
