//! What widens: a person is shown what changes and confirms it with the passphrase, and a code where it is
//! wide, all on the terminal itself (guarantees A3, A7).

use portero::ipc::{Ask, Challenge, Reaching, Reply, Width};
use portero::names::ToolId;
use portero::pattern::Pattern;
use portero::policy::Action;

use crate::daemon::{Daemon, unexpected};
use crate::failure::{Failure, Outcome};
use crate::output::visible;
use crate::terminal::Terminal;

/// The person at the terminal, who is shown what an act does and asked to confirm it.
pub(crate) struct Person {
    terminal: Terminal,
    authenticator: bool,
}

impl Person {
    /// Shows a line; what comes from outside must already be visible.
    pub(crate) fn say(&mut self, text: impl std::fmt::Display) -> Outcome {
        self.terminal.say(text)
    }

    /// Asks for a code of the authenticator.
    pub(crate) fn code(&mut self, prompt: &str) -> Outcome<String> {
        self.terminal.code(prompt)
    }

    /// Whether an authenticator is enrolled.
    pub(crate) const fn has_authenticator(&self) -> bool {
        self.authenticator
    }
}

/// Asks for what confirms `act`, which is so wide, after what it does was shown.
pub(crate) fn confirm(person: &mut Person, act: &str, width: Width) -> Outcome<Challenge> {
    if width == Width::Wide && !person.authenticator {
        person.say("This is wide. `portero totp enroll` would make it need a code of your phone too.")?;
    }
    let mut challenge = Challenge::new(person.terminal.passphrase(&format!("Passphrase, to {act}"))?);
    if width == Width::Wide && person.authenticator {
        challenge.code = Some(person.code("Code of your authenticator, or a recovery code")?);
    }
    Ok(challenge)
}

/// Opens the terminal for `act`, and fails early where nothing can be widened.
pub(crate) async fn begin(daemon: &Daemon, act: &str) -> Outcome<Person> {
    let terminal = Terminal::open(act)?;
    let Reply::Status(status) = daemon.ask(Ask::Status).await? else { return Err(unexpected()) };
    if status.passphrase.is_none() {
        return Err(Failure::refused("no approval passphrase is set, so nothing can be permitted")
            .hint("run `portero passphrase set`"));
    }
    Ok(Person { terminal, authenticator: status.totp.is_some() })
}

/// What becomes of the tools that a pattern covers.
pub(crate) enum Change {
    /// A rule lets them run.
    Allow,
    /// A grant lets them run unasked for a while; what is denied stays denied.
    Grant,
    /// This rule, which says this and is no allow, goes.
    Unrule(u64, Action),
}

impl Change {
    const fn reaching(&self) -> Reaching {
        match self {
            Self::Allow => Reaching::Allow,
            Self::Grant => Reaching::Grant,
            Self::Unrule(id, _) => Reaching::Unrule(*id),
        }
    }
}

/// Shows which tools' decisions change, denied ones first.
pub(crate) async fn show_reach(
    daemon: &Daemon,
    person: &mut Person,
    pattern: &Pattern,
    change: &Change,
) -> Outcome {
    let ask = Ask::Reach { pattern: pattern.clone(), by: change.reaching() };
    let Reply::Reach(reach) = daemon.ask(ask).await? else { return Err(unexpected()) };
    for line in describe(&reach, pattern, change) {
        person.say(line)?;
    }
    Ok(())
}

fn describe(reach: &[(ToolId, Action)], pattern: &Pattern, change: &Change) -> Vec<String> {
    let changes = |action: Action| match change {
        Change::Allow | Change::Unrule(..) => action != Action::Allow,
        Change::Grant => action == Action::RequireApproval,
    };
    let fate = |action: Action| match (change, action) {
        (Change::Allow | Change::Grant, Action::RequireApproval) => "asks now   → would run unasked",
        (Change::Allow, Action::Deny) => "DENIED now → would run unasked",
        (Change::Unrule(_, Action::Deny), _) => "DENIED now → would no longer be denied by this rule",
        (Change::Unrule(_, Action::RequireApproval | Action::Allow), _) => {
            "asks now   → would no longer be asked for by this rule"
        }
        (Change::Grant, Action::Deny) => "denied, and stays denied",
        (Change::Allow | Change::Grant, Action::Allow) => "runs already",
    };
    let covered = visible(&pattern.to_string()).into_owned();
    let mut lines = vec![match reach.iter().filter(|(_, action)| changes(*action)).count() {
        0 => format!("`{covered}` changes nothing for the tools that are known now."),
        1 => format!("`{covered}` changes 1 tool:"),
        count => format!("`{covered}` changes {count} tools:"),
    }];
    let width = reach.iter().map(|(tool, _)| tool.to_string().len()).max().unwrap_or(0);
    for (tool, action) in reach {
        lines.push(format!("  {:width$}  {}", tool.to_string(), fate(*action)));
    }
    lines.push("Tools that servers add later and that match are covered too.".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_what_an_allow_changes() {
        let reach = [
            ("office/delete_mail".parse().unwrap(), Action::Deny),
            ("office/send_mail".parse().unwrap(), Action::RequireApproval),
            ("office/read_mail".parse().unwrap(), Action::Allow),
        ];
        let pattern: Pattern = "office/*".parse().unwrap();
        let lines = describe(&reach, &pattern, &Change::Allow);
        assert_eq!(lines[0], "`office/*` changes 2 tools:");
        assert_eq!(lines[1], "  office/delete_mail  DENIED now → would run unasked");
        assert!(describe(&reach, &pattern, &Change::Grant)[1].ends_with("stays denied"));
        let asks = Change::Unrule(3, Action::RequireApproval);
        assert!(describe(&reach[1..2], &pattern, &asks)[1].ends_with("no longer be asked for by this rule"));
    }
}
