//! Denials of exactly one call. Each holds for its cool-down, unless a person allowed the call later.
//!
//! A denial is known by a keyed digest of its concealed call. The sessions have the key, so they can test
//! guesses of what an agent asked for, but never of a real value.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Action, Decision, DecisionSource};
use crate::anonymize::Fake;
use crate::clock::Moment;
use crate::digest::FieldDigest;
use crate::json::canonicalize;
use crate::names::{Principal, TaskId, ToolId};

/// The parts of a call that policy looks at. All of them are concealed.
#[derive(Debug, Clone, Copy)]
pub struct CallIdentity<'a> {
    /// The tool or operation.
    pub tool: &'a ToolId,
    /// The MCP method.
    pub method: &'a str,
    /// The `params`, without `_meta`.
    pub params: &'a RawValue,
    /// The part of `params` that rules look at.
    pub arguments: Option<&'a RawValue>,
}

impl CallIdentity<'_> {
    /// A keyed digest of tool, method and arguments. It doesn't depend on the spelling of the JSON, nor on the
    /// directory.
    ///
    /// # Errors
    /// If the JSON nests too deeply or holds a key twice.
    pub fn fingerprint(&self, key: &[u8; 32]) -> Result<String, Cow<'static, str>> {
        // Canonical, so that key order and white space don't make two calls of one.
        let params = canonicalize(self.params)?;
        Ok(FieldDigest::keyed(key, "portero call v1")
            .bytes("tool", self.tool.to_string())
            .bytes("method", self.method)
            .bytes("params", params)
            .to_hex())
    }
}

/// The denials of single calls, with the key of their digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDenials {
    /// The key of [`CallIdentity::fingerprint`]. The key of the approvals' bindings can't be computed from it.
    pub key: [u8; 32],
    /// The denials; some may be over. At most one for each call of a project.
    pub list: Vec<CallDenial>,
}

/// A person's denial of exactly one call of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDenial {
    /// The project.
    pub principal: Principal,
    /// [`CallIdentity::fingerprint`] of the call.
    pub call: String,
    /// The task that was denied.
    pub task: TaskId,
    /// The time of the denial.
    pub made: Moment,
    /// How long it holds from `made`, in milliseconds.
    pub millis: u64,
    /// The person's reason, if they gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Fake<String>>,
}

impl CallDenials {
    /// Whether there are none, and no key either. A grant for exactly one call needs the key without any denial.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.has_key()
    }

    /// Whether the key is known.
    pub(super) fn has_key(&self) -> bool {
        self.key != [0; 32]
    }
}

impl CallDenial {
    /// Whether its cool-down still runs. It ends by whichever clock comes first. After a reboot only the wall
    /// clock counts, because the boot clock started again. A wall clock that was set back since says nothing, so then
    /// only the boot clock counts.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        let length = Duration::from_millis(self.millis);
        let by_boot = now.boot.checked_sub(self.made.boot);
        match Duration::try_from(now.wall.duration_since(self.made.wall)) {
            Ok(by_wall) => by_wall < length && by_boot.is_none_or(|passed| passed < length),
            Err(_) => by_boot.is_some_and(|passed| passed < length),
        }
    }

    /// The end of the cool-down.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.made.wall.checked_add(Duration::from_millis(self.millis)).unwrap_or(Timestamp::MAX)
    }

    /// The decision on the denied call.
    #[must_use]
    pub fn to_decision(&self) -> Decision {
        let source = DecisionSource::Denial(Box::new(DeniedCall {
            task: self.task,
            at: self.made.wall,
            until: self.until(),
            reason: self.reason.clone(),
        }));
        Decision { action: Action::Deny, pattern: None, source, locked: false, case: None }
    }
}

/// A person's earlier denial as the reason of a decision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeniedCall {
    /// The denied task.
    pub task: TaskId,
    /// The time of the denial.
    pub at: Timestamp,
    /// The end of the cool-down.
    pub until: Timestamp,
    /// The person's reason, if they gave one.
    pub reason: Option<Fake<String>>,
}

/// The words for the agent.
impl fmt::Display for DeniedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        write!(f, "a person said no to exactly this call at {}, task {}", second(self.at), self.task)?;
        if let Some(reason) = &self.reason {
            write!(f, ", and said: {}", reason.get())?;
        }
        write!(
            f,
            ". Until {} it is refused without asking them again. Do not try to reach the same effect another way; \
             tell the user that it was refused",
            second(self.until)
        )
    }
}
