//! How an approved call reaches the server's process of the session that asked, and how its outcome comes back.
//!
//! The daemon pushes [`PushMessage::CheckCall`](crate::ipc::PushMessage::CheckCall) and
//! [`PushMessage::RunCall`](crate::ipc::PushMessage::RunCall); the session answers with the requests here.

use serde::{Deserialize, Serialize};

use crate::anonymize::Fake;
use crate::ipc::{DisclosedSecret, Request};
use crate::json::RawJson;
use crate::names::{ChildGeneration, PermitNonce, ServerName, TaskId};
use crate::permit::PermitProblem;

/// Which processes of servers this session has, said again whenever one starts or ends. The key shows that this
/// connection is of the same process as an earlier one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldChildren {
    /// The session's [`SessionKey`](crate::session_key::SessionKey).
    pub key: DisclosedSecret,
    /// The process of each server that can be called.
    pub children: Vec<(ServerName, ChildGeneration)>,
}

impl Request for HoldChildren {
    const METHOD: &'static str = "children/hold";
    type Response = ();
}

/// Whether an approved call would run in this session's process: the answer to
/// [`PushMessage::CheckCall`](crate::ipc::PushMessage::CheckCall).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportCheck {
    /// The number of the check.
    pub number: u64,
    /// What hinders it.
    pub problem: Option<PermitProblem>,
}

impl Request for ReportCheck {
    const METHOD: &'static str = "calls/report-check";
    type Response = ();
}

/// What came of the call of a permit. It counts once, and only from the connection that got the permit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportOutcome {
    /// The task.
    pub task: TaskId,
    /// The permit.
    pub nonce: PermitNonce,
    /// The outcome, concealed.
    pub outcome: PermitOutcome,
}

impl Request for ReportOutcome {
    const METHOD: &'static str = "calls/report-outcome";
    type Response = ();
}

/// What came of the call of a permit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermitOutcome {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object.
    Error(Fake<RawJson>),
    /// The server answered with so many bytes, more than are kept.
    TooLong(usize),
    /// It did not run, since this hindered it.
    NotRun(PermitProblem),
    /// It did not reach the server, or its answer is not given, in words.
    Failed(String),
    /// Whether it took effect is unknown, in words.
    Unknown(String),
    /// The answer held a private value and is withheld.
    Withheld,
}
