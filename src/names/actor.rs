//! The actor of an event, as the audit and the store keep it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Principal, SessionId};

/// The actor. It is stored as its text, and parsed from that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Actor {
    /// A person at a terminal.
    Terminal {
        /// The requesting process, as the system names it.
        process: String,
        /// The Telegram user who confirmed it, if any.
        confirmed_by: Option<i64>,
    },
    /// A user on Telegram.
    TelegramUser(i64),
    /// Several Telegram users, each with an approval.
    TelegramUsers(Vec<u64>),
    /// An agent's session that requested something reserved for people.
    Session {
        /// The session.
        session: SessionId,
        /// The project.
        principal: Principal,
    },
    /// The agent that a task belongs to.
    Agent,
    /// The daemon itself.
    Daemon,
    /// The expiry of a time limit.
    Expiry,
    /// Telegram's own report about a chat, from no user.
    Telegram,
}

const TELEGRAM_USER: &str = "telegram user ";
const CONFIRMED_BY: &str = ", confirmed by telegram user ";

impl Actor {
    /// A person's terminal.
    #[must_use]
    pub fn terminal(process: impl fmt::Display) -> Self {
        Self::Terminal { process: process.to_string(), confirmed_by: None }
    }

    /// The same terminal, confirmed by a user on Telegram.
    #[must_use]
    pub fn confirmed_by(&self, user: i64) -> Self {
        Self::Terminal { process: self.to_string(), confirmed_by: Some(user) }
    }

    /// The users whose approvals decided a task.
    #[must_use]
    pub fn from_voters(voters: Vec<u64>) -> Self {
        match voters[..] {
            // One voter reads like a single user, so that a quorum of one and a plain approval are recorded
            // alike.
            [user] => i64::try_from(user).map_or(Self::TelegramUsers(voters), Self::TelegramUser),
            _ => Self::TelegramUsers(voters),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "agent" => return Some(Self::Agent),
            "daemon" => return Some(Self::Daemon),
            "expiry" => return Some(Self::Expiry),
            "telegram" => return Some(Self::Telegram),
            _ => {}
        }
        if let Some(users) = text.strip_prefix(TELEGRAM_USER) {
            let several =
                || users.split(", ").map(str::parse).collect::<Result<_, _>>().map(Self::TelegramUsers);
            return users.parse().map(Self::TelegramUser).or_else(|_| several()).ok();
        }
        if let Some((session, principal)) =
            text.strip_prefix("session ").and_then(|rest| rest.split_once(" in "))
        {
            let principal = Principal::from_project(principal.as_ref());
            return session.parse().ok().map(|session| Self::Session { session, principal });
        }
        // From the right: a process's name may contain anything, even these words.
        let (process, user) = text.rsplit_once(CONFIRMED_BY)?;
        Some(Self::Terminal { process: process.to_owned(), confirmed_by: Some(user.parse().ok()?) })
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal { process, confirmed_by: None } => f.write_str(process),
            Self::Terminal { process, confirmed_by: Some(user) } => {
                write!(f, "{process}{CONFIRMED_BY}{user}")
            }
            Self::TelegramUser(user) => write!(f, "{TELEGRAM_USER}{user}"),
            Self::TelegramUsers(users) => {
                let users: Vec<String> = users.iter().map(ToString::to_string).collect();
                write!(f, "{TELEGRAM_USER}{}", users.join(", "))
            }
            Self::Session { session, principal } => write!(f, "session {session} in {}", principal.as_str()),
            Self::Agent => f.write_str("agent"),
            Self::Daemon => f.write_str("daemon"),
            Self::Expiry => f.write_str("expiry"),
            Self::Telegram => f.write_str("telegram"),
        }
    }
}

/// Parses the stored text. Any other text is the name of a process at a terminal.
impl From<&str> for Actor {
    fn from(text: &str) -> Self {
        // A number can have more than one spelling. The actor must print exactly the text that was read.
        Self::parse(text).filter(|actor| actor.to_string() == text).unwrap_or_else(|| Self::terminal(text))
    }
}

impl From<String> for Actor {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back_as_who_it_was() {
        let session = Actor::Session {
            session: SessionId::fresh(),
            principal: Principal::from_project("/home/jane/in the house".as_ref()),
        };
        let terminal = Actor::terminal("portero (pid 4711; started by zsh < tmux)");
        for (actor, text) in [
            (Actor::Agent, "agent"),
            (Actor::Daemon, "daemon"),
            (Actor::Expiry, "expiry"),
            (Actor::Telegram, "telegram"),
            (Actor::TelegramUser(4711), "telegram user 4711"),
            (Actor::from_voters(vec![11]), "telegram user 11"),
            (Actor::from_voters(vec![11, 22]), "telegram user 11, 22"),
            (
                terminal.confirmed_by(7),
                "portero (pid 4711; started by zsh < tmux), confirmed by telegram user 7",
            ),
            (terminal, "portero (pid 4711; started by zsh < tmux)"),
            (Actor::terminal("unknown process"), "unknown process"),
            (session.clone(), &session.to_string()),
        ] {
            assert_eq!(actor.to_string(), text);
            assert_eq!(Actor::from(text), actor, "{text}");
        }
    }

    #[test]
    fn text_of_no_known_form_is_kept_as_it_is() {
        for text in [
            "",
            "telegram user",
            "telegram user x",
            "telegram user +5",
            "telegram user 1,2",
            "session 5 in x",
        ] {
            assert_eq!(Actor::from(text), Actor::terminal(text));
        }
    }
}
