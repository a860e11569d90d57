//! What is answered on the socket.

use serde::{Deserialize, Serialize};

use super::challenge::Disclosed;
use super::status::{Status, Unsaved};
use super::telegram::PairingCode;
use crate::anonymize::Fake;
use crate::audit::Head;
use crate::catalog::Hints;
use crate::confirmed::Changes;
use crate::json::RawJson;
use crate::names::{TaskId, ToolId};
use crate::notice::Entry;
use crate::passphrase::Salted;
use crate::policy::{Action, Explanation, Grant, Rule, Standing};
use crate::task::{News, Task};

/// The answer to a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Rules and grants.
    Standing(Standing),
    /// What is in force and not saved yet; none where all of it is.
    Unsaved(Option<Unsaved>),
    /// A task.
    Task(Box<Task>),
    /// Tasks, the newest first.
    Tasks(Vec<Task>),
    /// Finished tasks.
    News(News),
    /// How the passphrase is derived; none where none is set.
    Salted(Option<Salted>),
    /// The tasks that were looked for.
    Found(Vec<TaskId>),
    /// What came of a forwarded call.
    Called(Called),
    /// What a shared server offers, as its cache file holds it.
    Listing(RawJson),
    /// How things stand.
    Status(Box<Status>),
    /// A new grant, or one of which a use was consumed.
    Grant(Grant),
    /// A new rule.
    Rule(Rule),
    /// So many things changed.
    Changed(u64),
    /// A decision and why.
    Why(Box<Explanation>),
    /// Tools and what is decided for each at present.
    Reach(Vec<(ToolId, Action)>),
    /// A secret for an authenticator app, in base 32.
    TotpSecret(Disclosed),
    /// The recovery codes, told this once.
    RecoveryCodes(Vec<Disclosed>),
    /// A code with which a person is paired on Telegram.
    PairingCode(PairingCode),
    /// How far every segment of the audit is known to have come.
    Heads(Vec<Head>),
    /// The real values of a task.
    RealTask(Box<RealTask>),
    /// A task, to decide on.
    Look(Box<Look>),
    /// What changed, or what waits.
    Watched(Watched),
    /// How the configuration differs from what a person confirmed.
    Config(Box<Waiting>),
}

/// How the configuration differs from what a person confirmed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// What stands in the way of knowing what was confirmed: no passphrase is set, or the copy is lost.
    pub note: Option<String>,
    /// What waits, and what is in force at once.
    pub changes: Changes,
    /// Known tools that would become looser, denied ones first: as they are decided now, and as they would be.
    pub tools: Vec<(ToolId, Action, Action)>,
    /// Tells this difference from any other.
    pub shown: String,
}

/// What a task's server gets and what it answered, as JSON texts with the values that this server may see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RealTask {
    /// The call's `params`.
    pub params: Disclosed,
    /// Its `_meta`, where it has one.
    pub meta: Option<Disclosed>,
    /// The result, where there is one.
    pub result: Option<Disclosed>,
    /// The error, where there is one.
    pub error: Option<Disclosed>,
}

/// A task as a person decides on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Look {
    /// The task, whole.
    pub task: Task,
    /// The server's word on its tool; none where the daemon has not seen the tool.
    pub hints: Option<Hints>,
}

/// What changed, or what waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watched {
    /// Where to ask on from.
    pub place: u64,
    /// Where this is a beginning, or changes in between are gone: the tasks that wait now, and no others.
    pub anew: Option<Vec<TaskId>>,
    /// What changed, in order.
    pub entries: Vec<Entry>,
}

/// What came of a forwarded call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Called {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object.
    Error(Fake<RawJson>),
    /// A person must be asked first: the task on disk.
    Waiting(Box<Task>),
}
