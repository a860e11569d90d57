//! The acts of a person, as they are confirmed, recorded, and kept with a button.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Risk;
use crate::access::{AccessScope, TokenName};
use crate::approval_scope::ScopeChange;
use crate::config::duration::format_duration;
use crate::names::{SecretName, ServerName, TaskId};
use crate::pattern::Pattern;
use crate::policy::definition_pins::{DefinitionItem, WaitingDigest};
use crate::policy::{Action, GrantLimits};

/// One act of a person. Buttons on Telegram are stored with it, so its serialized form must not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Let a call run.
    Approve(TaskId),
    /// A call runs, in another process than the one that its session uses.
    ApproveFresh(TaskId),
    /// Let a call run, perhaps in another process than the one that its session uses, and make this grant or rule.
    ApproveWith(TaskId, bool, Box<ScopeChange>),
    /// Reject a call.
    Reject(TaskId),
    /// Ask again for an ended task's call.
    Repeat(TaskId),
    /// Show a task's real values at the terminal.
    Reveal(TaskId),
    /// Make a grant of this many milliseconds, with these limits.
    Grant(Pattern, u64, GrantLimits),
    /// End these grants, or all of them if no ids are given.
    Revoke(Option<Vec<u64>>),
    /// Make a rule that allows.
    Allow(Pattern),
    /// Make a rule that asks.
    Ask(Pattern),
    /// Make a rule that denies.
    Deny(Pattern),
    /// Remove the rule with this id, pattern and action.
    #[serde(rename = "unrule")]
    RemoveRule(u64, Pattern, Action),
    /// Pause: no call runs until the pause ends.
    Pause,
    /// End the pause.
    Resume,
    /// Confirm the files, by the digest of what the person was shown.
    ConfirmConfig(String),
    /// Accept the definitions of this server that wait, by the digest of what the person was shown.
    AcceptDefinitions(ServerName, String),
    /// Accept the definitions of this one item of a server, by the digest of what the person was shown.
    AcceptDefinition(ServerName, DefinitionItem, WaitingDigest),
    /// Set the passphrase.
    SetPassphrase,
    /// Enrol an authenticator.
    EnrollTotp,
    /// Remove the authenticator.
    RemoveTotp,
    /// Let a person decide on Telegram.
    Pair,
    /// End that.
    Unpair,
    /// Sign in at a server.
    Login(ServerName),
    /// Sign out of a server.
    Logout(ServerName),
    /// Set a secret, with which servers then act.
    SetSecret(SecretName),
    /// Clear a secret, or all of them.
    ClearSecrets(Option<SecretName>),
    /// Make an access token with this scope, valid for this many milliseconds or until it is revoked.
    CreateToken(TokenName, AccessScope, Option<u64>),
    /// End an access token.
    RevokeToken(TokenName),
    /// Stop the daemon.
    StopDaemon,
}

impl Act {
    /// The word of the removal of a rule, where only the rule's id is known.
    pub const REMOVE_RULE_WORD: &str = "unrule";

    /// The word of a confirmed configuration, where the files that it names aren't at hand.
    pub const CONFIRM_CONFIG_WORD: &str = "config confirm";

    /// The act that makes a rule with this action.
    #[must_use]
    pub const fn make_rule(pattern: Pattern, action: Action) -> Self {
        match action {
            Action::Allow => Self::Allow(pattern),
            Action::RequireApproval => Self::Ask(pattern),
            Action::Deny => Self::Deny(pattern),
        }
    }

    /// The act that makes a grant. The duration is rounded down to milliseconds, like the grant's own.
    #[must_use]
    pub fn grant(pattern: &Pattern, lasts: Duration, limits: &GrantLimits) -> Self {
        let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        Self::Grant(pattern.clone(), millis, limits.clone())
    }

    /// The act that lets a call run; `fresh` says that it may run in another process than its session's.
    #[must_use]
    pub const fn approve(task: TaskId, fresh: bool) -> Self {
        if fresh { Self::ApproveFresh(task) } else { Self::Approve(task) }
    }

    /// How much it widens, which decides what confirms it. An act that only narrows needs no confirmation.
    #[must_use]
    pub fn risk(&self) -> Risk {
        match self {
            Self::Grant(pattern, millis, _) => Risk::of_grant(pattern, Duration::from_millis(*millis)),
            Self::ApproveWith(_, _, permit) => Self::from(&**permit).risk(),
            Self::Allow(_) => Risk::ALLOW,
            Self::RemoveRule(_, pattern, _) => Risk::of_pattern(pattern),
            Self::Resume => Risk::RESUME,
            Self::ConfirmConfig(_) => Risk::CONFIG,
            Self::AcceptDefinitions(..) | Self::AcceptDefinition(..) => Risk::DEFINITIONS,
            Self::Pair | Self::Unpair => Risk::PAIR,
            Self::Login(_) => Risk::LOGIN,
            Self::CreateToken(..) => Risk::TOKEN,
            Self::SetPassphrase | Self::EnrollTotp | Self::RemoveTotp => Risk::High,
            Self::Approve(_)
            | Self::ApproveFresh(_)
            | Self::Reject(_)
            | Self::Repeat(_)
            | Self::Reveal(_)
            | Self::Revoke(_)
            | Self::Ask(_)
            | Self::Deny(_)
            | Self::Pause
            | Self::Logout(_)
            | Self::SetSecret(_)
            | Self::ClearSecrets(_)
            | Self::RevokeToken(_)
            | Self::StopDaemon => Risk::Low,
        }
    }

    /// Whether it releases something that is held back now: a call, future calls, or a private value. A
    /// terminal may ask on Telegram for such acts only. Changing a factor needs the passphrase.
    #[must_use]
    pub const fn is_widening(&self) -> bool {
        match self {
            Self::Approve(_)
            | Self::ApproveFresh(_)
            | Self::ApproveWith(..)
            | Self::Reveal(_)
            | Self::Grant(..)
            | Self::Allow(_)
            | Self::RemoveRule(..)
            | Self::Resume
            | Self::ConfirmConfig(_)
            | Self::AcceptDefinitions(..)
            | Self::AcceptDefinition(..)
            | Self::Login(_)
            | Self::CreateToken(..) => true,
            Self::Reject(_)
            | Self::Repeat(_)
            | Self::Revoke(_)
            | Self::Ask(_)
            | Self::Deny(_)
            | Self::Pause
            | Self::SetPassphrase
            | Self::EnrollTotp
            | Self::RemoveTotp
            | Self::Pair
            | Self::Unpair
            | Self::Logout(_)
            | Self::SetSecret(_)
            | Self::ClearSecrets(_)
            | Self::RevokeToken(_)
            | Self::StopDaemon => false,
        }
    }

    /// Whether a confirmation of this act also confirms `done`: the same act, or a shorter grant. Each part of an act
    /// with two parts is confirmed.
    #[must_use]
    pub fn covers(&self, done: &Self) -> bool {
        match (self, done) {
            (Self::Grant(pattern, longest, limits), Self::Grant(granted, millis, within)) => {
                // Equal limits, not narrower ones: whether one limit is within another isn't always plain.
                pattern == granted && millis <= longest && limits == within
            }
            (Self::ApproveWith(task, fresh, permit), _) => {
                self == done || *done == Self::approve(*task, *fresh) || Self::from(&**permit).covers(done)
            }
            _ => self == done,
        }
    }

    /// Its word in the audit.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Approve(_) => "approve",
            Self::ApproveFresh(_) => "approve in another process",
            Self::ApproveWith(..) => "approve and permit",
            Self::Reject(_) => "reject",
            Self::Repeat(_) => "again",
            Self::Reveal(_) => "task real",
            Self::Grant(..) => "grant",
            Self::Revoke(_) => "revoke",
            Self::Allow(_) => "allow",
            Self::Ask(_) => "ask",
            Self::Deny(_) => "deny",
            Self::RemoveRule(..) => Self::REMOVE_RULE_WORD,
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::ConfirmConfig(_) => Self::CONFIRM_CONFIG_WORD,
            Self::AcceptDefinitions(..) | Self::AcceptDefinition(..) => "pins accept",
            Self::SetPassphrase => "passphrase set",
            Self::EnrollTotp => "totp enroll",
            Self::RemoveTotp => "totp remove",
            Self::Pair => "telegram pair",
            Self::Unpair => "telegram unpair",
            Self::Login(_) => "login",
            Self::Logout(_) => "logout",
            Self::SetSecret(_) => "secret set",
            Self::ClearSecrets(_) => "secret clear",
            Self::CreateToken(..) => "token create",
            Self::RevokeToken(_) => "token revoke",
            Self::StopDaemon => "daemon stop",
        }
    }

    /// Its subject, in the words of the audit.
    #[must_use]
    pub fn about(&self) -> String {
        match self {
            Self::Approve(task)
            | Self::ApproveFresh(task)
            | Self::Reject(task)
            | Self::Repeat(task)
            | Self::Reveal(task) => format!("task {task}"),
            Self::ApproveWith(task, fresh, permit) => {
                let place = if *fresh { ", in another process" } else { "" };
                let permit = Self::from(&**permit);
                format!("task {task}{place}; {} {}", permit.word(), permit.about())
            }
            Self::Grant(pattern, millis, limits) => {
                format!("{pattern} for {} {limits}", format_duration(Duration::from_millis(*millis)))
            }
            Self::Revoke(None) => "every grant".to_owned(),
            Self::Revoke(Some(ids)) => describe_grant_ids(ids),
            Self::Allow(pattern) | Self::Ask(pattern) | Self::Deny(pattern) => pattern.to_string(),
            Self::RemoveRule(id, ..) => describe_rule_id(*id),
            Self::Pause | Self::Resume => "everything".to_owned(),
            Self::ConfirmConfig(_) => "the changed configuration".to_owned(),
            Self::AcceptDefinitions(server, _) => format!("the definitions of {server}"),
            Self::AcceptDefinition(server, item, _) => format!("the definition of {server}: {item}"),
            Self::SetPassphrase => "the approval passphrase".to_owned(),
            Self::EnrollTotp | Self::RemoveTotp => "the authenticator".to_owned(),
            Self::Pair | Self::Unpair => "the bot".to_owned(),
            Self::Login(server) | Self::Logout(server) => server.to_string(),
            Self::SetSecret(name) | Self::ClearSecrets(Some(name)) => format!("the secret {name}"),
            Self::ClearSecrets(None) => "every secret".to_owned(),
            Self::CreateToken(name, scope, millis) => {
                format!("token {name} for {scope}, {}", describe_validity(*millis))
            }
            Self::RevokeToken(name) => format!("token {name}"),
            Self::StopDaemon => "the daemon".to_owned(),
        }
    }
}

impl From<&ScopeChange> for Act {
    fn from(change: &ScopeChange) -> Self {
        match change {
            ScopeChange::Grant { pattern, duration, limits } => Self::grant(pattern, *duration, limits),
            ScopeChange::Allow(pattern) => Self::Allow(pattern.clone()),
        }
    }
}

/// The rule in the words of the audit.
#[must_use]
pub fn describe_rule_id(id: u64) -> String {
    format!("rule {id}")
}

/// How long a token is valid, in words.
fn describe_validity(millis: Option<u64>) -> String {
    millis.map_or_else(
        || "until it is revoked".to_owned(),
        |millis| format!("valid for {}", format_duration(Duration::from_millis(millis))),
    )
}

/// The grants in the words of the audit.
#[must_use]
pub fn describe_grant_ids(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("grants {}", ids.join(", "))
}

/// The act as it is typed at the terminal. An act that is never asked on Telegram shows its word only.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approve(task) | Self::Reject(task) | Self::Repeat(task) => {
                write!(f, "{} {task}", self.word())
            }
            Self::ApproveFresh(task) => write!(f, "approve {task} --fresh"),
            Self::ApproveWith(task, fresh, permit) => {
                write!(f, "{}; {}", Self::approve(*task, *fresh), Self::from(&**permit))
            }
            Self::Reveal(task) => write!(f, "task {task} --real"),
            Self::Grant(pattern, millis, limits) => {
                write!(f, "grant {pattern} {}", format_duration(Duration::from_millis(*millis)))?;
                if limits.is_none() { Ok(()) } else { write!(f, ", {limits}") }
            }
            Self::Allow(pattern) | Self::Ask(pattern) | Self::Deny(pattern) => {
                write!(f, "{} {pattern}", self.word())
            }
            Self::RemoveRule(id, pattern, _) => write!(f, "{} {id}, {pattern}", self.word()),
            Self::AcceptDefinitions(server, _) | Self::Login(server) | Self::Logout(server) => {
                write!(f, "{} {server}", self.word())
            }
            Self::CreateToken(name, scope, millis) => {
                write!(f, "{} {name} for {scope}, {}", self.word(), describe_validity(*millis))
            }
            Self::AcceptDefinition(server, item, _) => write!(f, "{} {server}, {item}", self.word()),
            _ => f.write_str(self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_of_an_earlier_build_still_reads_as_its_act() {
        let pattern = || "mail/*".parse::<Pattern>().expect("a pattern");
        for (stored, act) in [
            (r#"{"grant":["mail/*",600000,{}]}"#, Act::Grant(pattern(), 600_000, GrantLimits::default())),
            (r#"{"allow":"mail/*"}"#, Act::Allow(pattern())),
            (r#"{"unrule":[3,"mail/*","deny"]}"#, Act::RemoveRule(3, pattern(), Action::Deny)),
            (r#""resume""#, Act::Resume),
        ] {
            assert_eq!(serde_json::from_str::<Act>(stored).expect(stored), act);
            assert_eq!(serde_json::to_string(&act).expect("JSON"), stored);
        }
    }

    #[test]
    fn a_confirmed_act_covers_itself_and_a_shorter_grant() {
        let pattern: Pattern = "mail/*".parse().expect("a pattern");
        let grant = |millis| Act::Grant(pattern.clone(), millis, GrantLimits::default());
        assert!(grant(10).covers(&grant(10)) && grant(10).covers(&grant(9)));
        assert!(!grant(10).covers(&grant(11)) && !grant(10).covers(&Act::Allow(pattern.clone())));
        assert!(Act::Resume.covers(&Act::Resume) && !Act::Resume.covers(&Act::Pause));
        let (task, other) = (TaskId::fresh(), TaskId::fresh());
        for fresh in [false, true] {
            let permit = |millis| {
                let (duration, limits) = (Duration::from_millis(millis), GrantLimits::default());
                Box::new(ScopeChange::Grant { pattern: pattern.clone(), duration, limits })
            };
            let both = Act::ApproveWith(task, fresh, permit(10));
            for part in [Act::approve(task, fresh), grant(10), grant(9), both.clone()] {
                assert!(both.covers(&part), "{part}");
            }
            for more in [
                Act::approve(task, !fresh),
                Act::approve(other, fresh),
                grant(11),
                Act::Allow(pattern.clone()),
                Act::ApproveWith(task, fresh, permit(11)),
            ] {
                assert!(!both.covers(&more), "{more}");
            }
            assert!(!grant(10).covers(&both) && both.is_widening());
            assert_eq!(both.risk(), Risk::High, "as the grant alone: it covers several tools");
        }
    }
}
