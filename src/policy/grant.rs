//! Grants: a person's permission for a while, with its limits (one session, one project, some arguments, a number of
//! uses).
//!
//! A limit only takes away. A grant counts for a call only if all of its limits admit the caller and the call.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, ArgumentLimit, Decision, DecisionSource};
use crate::clock::Moment;
use crate::names::{AgentSessionId, Principal, SessionId};
use crate::pattern::Pattern;

/// A person's permission, for a while, for calls that would otherwise ask. It never lifts a deny.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id, for `revoke`.
    pub id: u64,
    /// The tools that it covers.
    pub pattern: Pattern,
    /// When it was made.
    pub made: Moment,
    /// The machine's boot in which it was made. The grant is void after the next one.
    pub boot_id: String,
    /// How long it lasts from `made`, in milliseconds, on both clocks.
    pub millis: u64,
    /// Who may use it, for which calls, and how often.
    #[serde(default, skip_serializing_if = "GrantLimits::is_none")]
    pub limits: GrantLimits,
    /// How many uses are consumed, never more than it has. It stays 0 if uses aren't counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub used: u32,
}

/// The limits of a grant. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLimits {
    /// Only this session with Portero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Only this session of the agent's own program, however often that connects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<AgentSessionId>,
    /// Only sessions in this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Principal>,
    /// Only this many calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<NonZeroU32>,
    /// Only calls with certain arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<ArgumentLimit>,
    /// Only tools that policy's own list says only read ([`ConfigPolicy::reads`](super::ConfigPolicy::reads)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_only: bool,
}

/// The caller, as far as grants look at it.
#[derive(Debug, Clone, Copy)]
pub struct CallerIdentity<'a> {
    /// The project.
    pub principal: &'a Principal,
    /// The session with Portero.
    pub session: SessionId,
    /// The session of the agent's own program, if it names one.
    pub agent_session: Option<&'a AgentSessionId>,
}

impl Grant {
    /// Whether it can let a call run now: it is [within its time](Self::is_within_time) and has uses left.
    #[must_use]
    pub fn is_live(&self, boot_id: &str, now: Moment) -> bool {
        self.uses_left() != Some(0) && self.is_within_time(boot_id, now)
    }

    /// Whether its time still runs. Boot, wall clock and boot clock must all agree (guarantee D5), so setting
    /// a clock back ends the grant too.
    #[must_use]
    pub fn is_within_time(&self, boot_id: &str, now: Moment) -> bool {
        let length = self.duration();
        let within_boot = now.boot.checked_sub(self.made.boot).is_some_and(|passed| passed < length);
        let within_wall =
            Duration::try_from(now.wall.duration_since(self.made.wall)).is_ok_and(|passed| passed < length);
        // An unknown boot is an empty id. It must not match another unknown one.
        !self.boot_id.is_empty() && self.boot_id == boot_id && within_boot && within_wall
    }

    /// Its whole duration.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// The uses left; none if they aren't counted.
    #[must_use]
    pub fn uses_left(&self) -> Option<u32> {
        self.limits.uses.map(|uses| uses.get().saturating_sub(self.used))
    }

    /// The decision about a call that it covers.
    pub(super) fn to_decision(&self) -> Decision {
        Decision {
            action: Action::Allow,
            pattern: Some(self.pattern.clone()),
            source: DecisionSource::Grant(self.id),
            locked: false,
            case: None,
        }
    }
}

/// Why a typed text doesn't name one session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionMatchError {
    /// No session has such an id.
    #[error("no connected session has an id that begins or ends with `{0}`")]
    None(String),
    /// Several sessions have.
    #[error("the ids of {1} connected sessions begin or end with `{0}`; type more of it")]
    Several(String, usize),
}

impl GrantLimits {
    /// The limit for the connected session whose id, its own or its agent's, begins or ends with `typed`. The
    /// agent's own id is preferred, because it lasts when its program starts `portero mcp` again.
    ///
    /// # Errors
    /// If no session or several match.
    pub fn for_session(
        sessions: &[(SessionId, Principal)],
        agents: &[(SessionId, AgentSessionId)],
        typed: &str,
    ) -> Result<Self, SessionMatchError> {
        let typed = typed.to_ascii_lowercase();
        let fits = |id: &str| {
            let id = id.to_ascii_lowercase();
            !typed.is_empty() && (id.starts_with(&typed) || id.ends_with(&typed))
        };
        let mut found: Vec<Self> = Vec::new();
        for (id, _) in sessions {
            let agent = agents.iter().find(|(of, _)| of == id).map(|(_, agent)| agent.clone());
            // Several connections of one agent give equal limits, and count as one match.
            if fits(&id.to_string()) || agent.as_ref().is_some_and(|agent| fits(agent.as_str())) {
                let session = agent.is_none().then_some(*id);
                let limits = Self { session, agent_session: agent, ..Self::default() };
                if !found.contains(&limits) {
                    found.push(limits);
                }
            }
        }
        match <[Self; 1]>::try_from(found) {
            Ok([limits]) => Ok(limits),
            Err(none) if none.is_empty() => Err(SessionMatchError::None(typed)),
            Err(several) => Err(SessionMatchError::Several(typed, several.len())),
        }
    }

    /// Who may use it and for which calls, in words: `only in session 7c1d…, only in project /home/me/site`. Empty
    /// for every call of everyone.
    #[must_use]
    pub fn describe_scope(&self) -> String {
        let Self { session, agent_session, project, uses: _, arguments, reads_only } = self;
        let words = [
            arguments.as_ref().map(ToString::to_string),
            reads_only.then(|| "only tools that policy lists as reading".to_owned()),
            session.map(|id| format!("only in session {id}")),
            agent_session.as_ref().map(|id| format!("only in session {id}")),
            project.as_ref().map(|project| format!("only in project {}", project.as_str())),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Whether only the time is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a grant with these limits is for this caller, whatever the call. Without a caller, only a grant for
    /// everyone is.
    #[must_use]
    pub fn admits(&self, asker: Option<CallerIdentity<'_>>) -> bool {
        let Self { session, agent_session, project, uses: _, arguments: _, reads_only: _ } = self;
        match asker {
            None => session.is_none() && agent_session.is_none() && project.is_none(),
            Some(asker) => {
                session.is_none_or(|only| only == asker.session)
                    && agent_session.as_ref().is_none_or(|only| Some(only) == asker.agent_session)
                    && project.as_ref().is_none_or(|only| only == asker.principal)
            }
        }
    }
}

/// [`GrantLimits::describe_scope`] and the uses, such as `10 uses`; empty without limits.
impl fmt::Display for GrantLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uses = self.uses.map(|uses| format!("{uses} use{}", if uses.get() == 1 { "" } else { "s" }));
        let words = [Some(self.describe_scope()).filter(|whom| !whom.is_empty()), uses];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
