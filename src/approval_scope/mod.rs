//! What a person can permit with the approval of a waiting call: this call alone, or more calls like it.
//!
//! A scope is turned into one change of rules and grants ([`ScopeTerms::resolve`]). What is shown, confirmed and done
//! is that change, so a person never confirms another one.

mod fields;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::fields::{ChoosableField, FieldKind, choosable_fields, suggested_pointers};
use crate::call::Call;
use crate::config::duration::format_duration;
use crate::names::{AgentSessionId, Principal, ServerName, SessionId, ToolId};
use crate::pattern::Pattern;
use crate::policy::{
    ArgumentLimit, ArgumentLimitError, ArgumentPointer, FixedArgument, FixedArguments, GrantLimits, Policy,
};

/// The times that are offered for a tool.
const OFFERED_TIMES: [Duration; 2] = [Duration::from_secs(600), Duration::from_secs(3600)];

/// What a person permits with the approval of a call. Buttons are stored with it, so its serialized form must not
/// change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalScope {
    /// This call alone.
    #[default]
    Once,
    /// Exactly this call, in the session that asked.
    ExactCall,
    /// Calls of this tool in which these arguments are as in this call.
    FixedArguments {
        /// The arguments.
        pointers: Vec<ArgumentPointer>,
        /// For how long.
        lasts: ScopeDuration,
    },
    /// Every call of this tool.
    Tool {
        /// For how long.
        lasts: ScopeDuration,
    },
    /// Every call of this server's tools that policy lists as reading.
    ServerReads {
        /// For how long.
        lasts: ScopeDuration,
    },
    /// Every call of this tool, until the rule is removed.
    Always,
}

/// How long a scope lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeDuration {
    /// In the session that asked, and at most as long as the longest grant.
    Session,
    /// In every session, for this many milliseconds.
    Millis(u64),
}

/// The change of rules and grants that a scope means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeChange {
    /// A grant.
    Grant {
        /// The tools.
        pattern: Pattern,
        /// How long it lasts.
        duration: Duration,
        /// Its limits.
        limits: GrantLimits,
    },
    /// A rule that allows.
    Allow(Pattern),
}

/// A connected session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskingSession {
    /// Its id with Portero.
    pub session: SessionId,
    /// The id of its agent's own program, if it names one.
    pub agent_session: Option<AgentSessionId>,
}

/// A waiting call with all that decides what can be permitted with it.
#[derive(Debug, Clone, Copy)]
pub struct ScopeTerms<'a> {
    /// The call.
    pub call: &'a Call,
    /// The project that asked.
    pub principal: &'a Principal,
    /// The session that asked; none if it isn't connected any more.
    pub session: Option<&'a AskingSession>,
    /// The present policy.
    pub policy: &'a Policy,
    /// The longest grant that the configuration permits.
    pub max_grant: Duration,
}

/// Why a scope doesn't fit a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The tool is locked, or several people approve it.
    #[error("each call of `{0}` is approved by itself: it is locked, or takes several people")]
    Locked(ToolId),
    /// It would last for the session, which isn't there.
    #[error("the session that asked has ended")]
    SessionEnded,
    /// It lasts too long, or no time at all.
    #[error("a grant lasts at most {}", format_duration(*.0))]
    Duration(Duration),
    /// The call has no such argument, or one that can't be fixed.
    #[error("`{0}` can't be fixed: the call has no text, number, true, false or null there")]
    Field(ArgumentPointer),
    /// The arguments can't be fixed together.
    #[error(transparent)]
    Arguments(#[from] ArgumentLimitError),
    /// The call can't be compared with others.
    #[error("the call's arguments can't be compared: an object has a key twice, or they nest too deeply")]
    Incomparable,
    /// Policy's list of reading tools doesn't have the tool.
    #[error("`reads` in policies.json doesn't list `{0}`")]
    NotListed(ToolId),
}

impl ScopeTerms<'_> {
    /// The scopes to offer for this call, the narrowest first. A person may choose other arguments and times.
    #[must_use]
    pub fn fitting_scopes(&self) -> Vec<ApprovalScope> {
        let times =
            || OFFERED_TIMES.into_iter().map(ScopeDuration::from_duration).chain([ScopeDuration::Session]);
        let fields = self.choosable_fields();
        let pointers = suggested_pointers(&fields);
        let fixed = times().map(|lasts| ApprovalScope::FixedArguments { pointers: pointers.clone(), lasts });
        let reads = times().map(|lasts| ApprovalScope::ServerReads { lasts });
        let narrow = [ApprovalScope::Once, ApprovalScope::ExactCall].into_iter().chain(fixed);
        let wide =
            times().map(|lasts| ApprovalScope::Tool { lasts }).chain(reads).chain([ApprovalScope::Always]);
        narrow.chain(wide).filter(|scope| self.resolve(scope).is_ok()).collect()
    }

    /// The arguments of this call that a person can fix, the useful ones first.
    #[must_use]
    pub fn choosable_fields(&self) -> Vec<ChoosableField> {
        self.call.arguments().map(choosable_fields).unwrap_or_default()
    }

    /// The change that a scope means for this call; none for this call alone.
    ///
    /// # Errors
    /// Why the scope doesn't fit.
    pub fn resolve(&self, scope: &ApprovalScope) -> Result<Option<ScopeChange>, ScopeError> {
        let tool = &self.call.tool;
        let is_more = *scope != ApprovalScope::Once;
        if is_more && self.policy.is_locked(tool) {
            return Err(ScopeError::Locked(tool.clone()));
        }
        let (pattern, lasts, limits) = match scope {
            ApprovalScope::Once => return Ok(None),
            ApprovalScope::Always => return Ok(Some(ScopeChange::Allow(Pattern::from(tool)))),
            ApprovalScope::ExactCall => {
                let key = &self.policy.overrides().denials.key;
                let call = self.call.identity().fingerprint(key).map_err(|_| ScopeError::Incomparable)?;
                let arguments = Some(ArgumentLimit::ExactCall(call));
                (
                    Pattern::from(tool),
                    ScopeDuration::Session,
                    GrantLimits { arguments, ..GrantLimits::default() },
                )
            }
            ApprovalScope::FixedArguments { pointers, lasts } => {
                (Pattern::from(tool), *lasts, self.fix_arguments(pointers)?)
            }
            ApprovalScope::Tool { lasts } => (Pattern::from(tool), *lasts, GrantLimits::default()),
            ApprovalScope::ServerReads { lasts } => {
                if !self.policy.lists_as_reading(tool) {
                    return Err(ScopeError::NotListed(tool.clone()));
                }
                let limits = GrantLimits { reads_only: true, ..GrantLimits::default() };
                (Pattern::every_tool_of(&tool.server), *lasts, limits)
            }
        };
        let (duration, limits) = self.limit_time(lasts, limits)?;
        Ok(Some(ScopeChange::Grant { pattern, duration, limits }))
    }

    /// The limit to calls in which these arguments are as in this call.
    fn fix_arguments(&self, pointers: &[ArgumentPointer]) -> Result<GrantLimits, ScopeError> {
        let fields = self.choosable_fields();
        let mut is_relative = false;
        let fix = |pointer: &ArgumentPointer| {
            let field = fields.iter().find(|field| field.pointer == *pointer);
            let field = field.ok_or_else(|| ScopeError::Field(pointer.clone()))?;
            is_relative |= field.is_relative_path();
            Ok(FixedArgument { pointer: pointer.clone(), value: field.value.clone() })
        };
        let fixed = pointers.iter().map(fix).collect::<Result<Vec<_>, ScopeError>>()?;
        let arguments = Some(ArgumentLimit::Fixed(FixedArguments::new(fixed)?));
        // A relative path is another file in another project.
        let project = is_relative.then(|| self.principal.clone());
        Ok(GrantLimits { arguments, project, ..GrantLimits::default() })
    }

    fn limit_time(
        &self,
        lasts: ScopeDuration,
        limits: GrantLimits,
    ) -> Result<(Duration, GrantLimits), ScopeError> {
        match lasts {
            ScopeDuration::Millis(millis) => {
                let duration = Duration::from_millis(millis);
                if duration.is_zero() || duration > self.max_grant {
                    return Err(ScopeError::Duration(self.max_grant));
                }
                Ok((duration, limits))
            }
            ScopeDuration::Session => {
                let asking = self.session.ok_or(ScopeError::SessionEnded)?;
                // The agent's own id lasts when its program starts `portero mcp` again.
                let session = asking.agent_session.is_none().then_some(asking.session);
                let agent_session = asking.agent_session.clone();
                Ok((self.max_grant, GrantLimits { session, agent_session, ..limits }))
            }
        }
    }
}

impl ScopeDuration {
    /// The time, rounded down to milliseconds.
    #[must_use]
    pub fn from_duration(duration: Duration) -> Self {
        Self::Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

impl ScopeChange {
    /// The tools.
    #[must_use]
    pub const fn pattern(&self) -> &Pattern {
        match self {
            Self::Grant { pattern, .. } | Self::Allow(pattern) => pattern,
        }
    }

    /// One sentence that says what runs unasked and for how long. It holds concealed values, which the caller escapes
    /// for its screen.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Allow(pattern) => {
                format!("Every call of {pattern}, from now on, until you remove the rule")
            }
            Self::Grant { pattern, duration, limits } => {
                let GrantLimits { session, agent_session, project, uses, arguments, reads_only } = limits;
                let calls = match (arguments, pattern.server().filter(|_| *reads_only)) {
                    (Some(ArgumentLimit::ExactCall(_)), _) => format!("This exact call of {pattern}"),
                    (Some(ArgumentLimit::Fixed(fixed)), _) => format!("Every call of {pattern} with {fixed}"),
                    (None, Some(server)) => describe_reads(&server),
                    (None, None) => format!("Every call of {pattern}"),
                };
                let in_session = session.is_some() || agent_session.is_some();
                let time = format_duration(*duration);
                let words = [
                    uses.map(|uses| format!("at most {uses} times")),
                    project.as_ref().map(|project| format!("in {}", project.as_str())),
                    in_session.then(|| format!("in this session, for at most {time}")),
                    (!in_session).then(|| format!("for {time}")),
                ];
                std::iter::once(calls).chain(words.into_iter().flatten()).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

fn describe_reads(server: &ServerName) -> String {
    format!("Every call of the tools of {server} that policies.json lists as reading")
}

#[cfg(test)]
mod tests;
