//! What widens: a person is shown what changes and confirms it, all on the terminal itself: with the passphrase, and
//! a code where it is wide; or with a tap on Telegram, on the number that only the terminal shows (guarantees A3, A7).

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::PreviewChange;
use portero::ipc::{
    self, Challenge, Disclosed, FailureKind, Reaching, Request, Status, TelegramConfirms, Width,
};
use portero::names::ToolId;
use portero::pattern::Pattern;
use portero::policy::Action;

use crate::daemon::Daemon;
use crate::failure::{Failure, Outcome};
use crate::output::visible;
use crate::terminal::Terminal;

/// The person at the terminal, who is shown what an act does and asked to confirm it.
pub(crate) struct Person {
    terminal: Terminal,
    passphrase: bool,
    authenticator: bool,
    /// An earlier build sealed it.
    outdated: bool,
    telegram: TelegramConfirms,
    /// Whether they said that it is to be confirmed there.
    there: bool,
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

    /// Whether the one that is enrolled cannot be opened, and only be removed.
    pub(crate) const fn has_outdated_authenticator(&self) -> bool {
        self.outdated
    }

    /// What is so wide that it takes a code takes the passphrase too, with which the code's secret is sealed.
    const fn takes_code(&self, width: Width) -> bool {
        match width {
            Width::One => false,
            Width::Wide => self.authenticator,
        }
    }
}

/// With what an act is confirmed.
enum Way {
    Typed(Challenge),
    OnTelegram,
}

/// Asks for what confirms `act`, which is so wide, after what it does was shown.
pub(crate) fn confirm(person: &mut Person, act: &str, width: Width) -> Outcome<Challenge> {
    note_width(person, width)?;
    let passphrase = person.terminal.passphrase(&format!("Passphrase, to {act}"))?;
    with_code(person, passphrase, width)
}

/// Opens the terminal for `act`, which changes a second factor itself and takes the passphrase; fails early where
/// none is set.
pub(crate) async fn begin(daemon: &Daemon, act: &str) -> Outcome<Person> {
    let person = open(daemon, act, false).await?.0;
    if person.passphrase { Ok(person) } else { Err(no_passphrase()) }
}

/// Opens the terminal for `act`, which takes the passphrase or a tap on Telegram: there at once where `there` says
/// so. Fails early where neither can confirm it.
pub(crate) async fn begin_either(daemon: &Daemon, act: &str, there: bool) -> Outcome<Person> {
    let (mut person, status) = open(daemon, act, there).await?;
    if status.standing.paused.is_some() {
        let why = "everything is paused, so a terminal can ask there to resume and for nothing else";
        person.telegram = TelegramConfirms::NotNow(why.to_owned());
    }
    possible(person)
}

/// As [`begin_either`], to end a pause.
pub(crate) async fn begin_resuming(daemon: &Daemon, act: &str, there: bool) -> Outcome<Person> {
    possible(open(daemon, act, there).await?.0)
}

/// Does what `make` asks for, once it is confirmed. `act` says it to the person; it is so wide.
pub(crate) async fn ask<R: Request>(
    daemon: &Daemon,
    person: &mut Person,
    (act, width): (&str, Width),
    make: impl Fn(Challenge) -> R,
) -> Outcome<R::Response> {
    let challenge = match way(person, act, width)? {
        Way::Typed(challenge) => challenge,
        Way::OnTelegram => {
            match on_telegram(daemon, person, make(Challenge::on_telegram())).await? {
                Ok(reply) => return Ok(reply),
                // Nobody was asked there.
                Err(failure) if failure.kind == FailureKind::Challenge && person.passphrase => {
                    person.say(format_args!("Not on Telegram: {}.", visible(&failure.message)))?;
                    confirm(person, act, width)?
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    };
    daemon.request(make(challenge)).await
}

async fn open(daemon: &Daemon, act: &str, there: bool) -> Outcome<(Person, Box<Status>)> {
    let terminal = Terminal::open(act)?;
    let status = daemon.request(GetStatus).await?;
    let person = Person {
        terminal,
        passphrase: status.passphrase.is_some(),
        authenticator: status.totp.is_some(),
        outdated: status.totp.as_ref().is_some_and(|totp| totp.is_outdated),
        telegram: status.telegram.confirms.clone(),
        there,
    };
    Ok((person, status))
}

fn possible(person: Person) -> Outcome<Person> {
    match &person.telegram {
        TelegramConfirms::Now => Ok(person),
        TelegramConfirms::Never | TelegramConfirms::NotNow(_) if person.passphrase => Ok(person),
        TelegramConfirms::Never => Err(no_passphrase()),
        TelegramConfirms::NotNow(why) => {
            Err(Failure::refused(format!("this cannot be confirmed on Telegram: {}", visible(why)))
                .hint("or set an approval passphrase with `portero passphrase set`"))
        }
    }
}

fn no_passphrase() -> Failure {
    Failure::refused("no approval passphrase is set, so nothing can be permitted")
        .hint("run `portero passphrase set`")
}

/// Lets the person choose, where there is a choice.
fn way(person: &mut Person, act: &str, width: Width) -> Outcome<Way> {
    let typed = |person: &mut Person| confirm(person, act, width).map(Way::Typed);
    if person.takes_code(width) {
        if person.there {
            person.say(
                "This is wide and an authenticator is enrolled, so it takes the passphrase and a code.",
            )?;
        }
        return typed(person);
    }
    match person.telegram.clone() {
        TelegramConfirms::Now if person.there => Ok(Way::OnTelegram),
        TelegramConfirms::Now if person.passphrase => {
            note_width(person, width)?;
            let prompt = format!("Passphrase, or Enter to confirm on Telegram, to {act}");
            match person.terminal.passphrase_or_enter(&prompt)? {
                Some(passphrase) => with_code(person, passphrase, width).map(Way::Typed),
                None => Ok(Way::OnTelegram),
            }
        }
        TelegramConfirms::Now => {
            person.say("No approval passphrase is set, so this is confirmed on Telegram.")?;
            Ok(Way::OnTelegram)
        }
        TelegramConfirms::NotNow(why) => {
            if person.there {
                person.say(format_args!("Not on Telegram: {}.", visible(&why)))?;
            }
            typed(person)
        }
        TelegramConfirms::Never => {
            if person.there {
                person.say("Not on Telegram: nobody is paired there.")?;
            }
            typed(person)
        }
    }
}

/// Asks on Telegram, and shows the number on the terminal device and nowhere else.
async fn on_telegram<R: Request>(
    daemon: &Daemon,
    person: &mut Person,
    request: R,
) -> Outcome<Result<R::Response, ipc::Failure>> {
    let terminal = &mut person.terminal;
    let show = |tap: &Disclosed, seconds: u64| {
        terminal
            .say(format_args!("Tap {} on Telegram, within {seconds} s. Ctrl-C takes it back.", tap.expose()))
    };
    daemon.request_and_show(request, show).await
}

fn note_width(person: &mut Person, width: Width) -> Outcome {
    if width == Width::Wide && person.outdated {
        let what = "this is wide, and an earlier version of Portero enrolled the authenticator, which this one cannot open";
        return Err(Failure::refused(what).hint(
            "`portero totp remove` removes it with the passphrase alone; then enrol it anew with `portero totp enroll`",
        ));
    }
    if width == Width::Wide && !person.authenticator {
        person.say("This is wide. `portero totp enroll` would make it need a code of your phone too.")?;
    }
    Ok(())
}

fn with_code(person: &mut Person, passphrase: String, width: Width) -> Outcome<Challenge> {
    let mut challenge = Challenge::new(passphrase);
    if person.takes_code(width) {
        challenge.code = Some(person.code("Code of your authenticator, or a recovery code")?);
    }
    Ok(challenge)
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
    let ask = PreviewChange { pattern: pattern.clone(), by: change.reaching() };
    let reach = daemon.request(ask).await?;
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
