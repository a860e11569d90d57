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

use super::{Action, CallerIdentity, Decision, DecisionSource, Grant, Overrides, PolicyRule};
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
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl CallDenial {
    /// Whether its cool-down still runs. It ends by whichever clock comes first. After a reboot only the wall
    /// clock counts, because the boot clock started again.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        let length = Duration::from_millis(self.millis);
        let passed = Duration::try_from(now.wall.duration_since(self.made.wall));
        let by_boot = now.boot.checked_sub(self.made.boot);
        // A wall clock before the denial was set back; the cool-down is over then.
        passed.is_ok_and(|passed| passed < length) && by_boot.is_none_or(|passed| passed < length)
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

impl Overrides {
    /// The denial of exactly this call that holds now; none if a person allowed the call later. With
    /// `approved_at`, the person approved this very call then, so only a later denial counts.
    pub(super) fn denial_in_force(
        &self,
        call: CallIdentity<'_>,
        asker: CallerIdentity<'_>,
        now: Moment,
        approved_at: Option<Timestamp>,
    ) -> Option<&CallDenial> {
        let live = |denial: &&CallDenial| {
            denial.principal == *asker.principal
                && denial.is_live(now)
                && approved_at.is_none_or(|approved| denial.made.wall > approved)
                && !self.allows_since(denial.made.wall, call.tool, asker, now)
        };
        let mut live = self.denials.list.iter().filter(live).peekable();
        // The digest is computed only where a denial could be of this call: no other call pays for it.
        live.peek()?;
        // A call without a digest can't be one that was denied, because each of those had one.
        let fingerprint = call.fingerprint(&self.denials.key).ok()?;
        live.find(|denial| denial.call == fingerprint)
    }

    /// Whether a person made a grant or an allowing rule for this tool and caller after `since`, so that an
    /// earlier denial no longer counts. A time in the future comes from a clock that was set back. Its order is
    /// unknown, so it counts as earlier.
    #[must_use]
    pub fn allows_since(
        &self,
        since: Timestamp,
        tool: &ToolId,
        asker: CallerIdentity<'_>,
        now: Moment,
    ) -> bool {
        let is_later = |made: Timestamp| since < made && made <= now.wall;
        let by_rule = |rule: &PolicyRule| {
            rule.action == Action::Allow && is_later(rule.made) && rule.pattern.matches(tool)
        };
        let by_grant = |grant: &Grant| {
            is_later(grant.made.wall)
                && grant.pattern.matches(tool)
                && grant.limits.admits(Some(asker))
                && grant.is_live(&self.boot_id, now)
        };
        self.rules.iter().any(by_rule) || self.grants.iter().any(by_grant)
    }
}
