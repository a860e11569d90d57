//! What widens: a person is shown what changes and confirms it, all on the terminal itself: with the passphrase, and
//! a code where it is wide; or with a tap on Telegram, on the number that only the terminal shows (guarantees A3, A7).

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::PreviewChange;
use portero::ipc::{
    self, Challenge, DaemonStatus, DisclosedSecret, FailureKind, Reaching, Request, Risk,
    TelegramConfirmation,
};
use portero::names::ToolId;
use portero::pattern::Pattern;
use portero::policy::Action;

use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::escape_hidden;
use crate::terminal::TerminalDevice;

/// The person at the terminal, who is shown what an act does and asked to confirm it.
pub(crate) struct ConfirmationPrompt {
    terminal: TerminalDevice,
    has_passphrase: bool,
    totp_enrolled: bool,
    /// An earlier build sealed it.
    outdated: bool,
    telegram: TelegramConfirmation,
    /// Whether they said that it is to be confirmed there.
    prefers_telegram: bool,
}

impl ConfirmationPrompt {
    /// Shows a line; what comes from outside must already be visible.
    pub(crate) fn print_line(&mut self, text: impl std::fmt::Display) -> CommandResult {
        self.terminal.print_line(text)
    }

    /// Asks for a code of the authenticator.
    pub(crate) fn read_code(&mut self, prompt: &str) -> CommandResult<String> {
        self.terminal.read_code(prompt)
    }

    /// Whether an authenticator is enrolled.
    pub(crate) const fn has_authenticator(&self) -> bool {
        self.totp_enrolled
    }

    /// Whether the one that is enrolled cannot be opened, and only be removed.
    pub(crate) const fn has_outdated_authenticator(&self) -> bool {
        self.outdated
    }

    /// What is so wide that it takes a code takes the passphrase too, with which the code's secret is sealed.
    const fn needs_code(&self, width: Risk) -> bool {
        match width {
            Risk::Low => false,
            Risk::High => self.totp_enrolled,
        }
    }
}

/// With what an act is confirmed.
enum ConfirmationMethod {
    Typed(Challenge),
    OnTelegram,
}

/// Asks for what confirms `act`, which is so wide, after what it does was shown.
pub(crate) fn prompt_challenge(
    person: &mut ConfirmationPrompt,
    act: &str,
    width: Risk,
) -> CommandResult<Challenge> {
    suggest_authenticator(person, width)?;
    let passphrase = person.terminal.read_passphrase(&format!("Passphrase, to {act}"))?;
    build_challenge(person, passphrase, width)
}

/// Opens the terminal for `act`, which changes a second factor itself and takes the passphrase; fails early where
/// none is set.
pub(crate) async fn open_with_passphrase(
    daemon: &DaemonClient,
    act: &str,
) -> CommandResult<ConfirmationPrompt> {
    let person = open_terminal_and_status(daemon, act, false).await?.0;
    if person.has_passphrase { Ok(person) } else { Err(missing_passphrase()) }
}

/// Opens the terminal for `act`, which takes the passphrase or a tap on Telegram: there at once where `there` says
/// so. Fails early where neither can confirm it.
pub(crate) async fn open_prompt(
    daemon: &DaemonClient,
    act: &str,
    there: bool,
) -> CommandResult<ConfirmationPrompt> {
    let (mut person, status) = open_terminal_and_status(daemon, act, there).await?;
    if status.standing.paused.is_some() {
        let why = "everything is paused, so a terminal can ask there to resume and for nothing else";
        person.telegram = TelegramConfirmation::NotNow(why.to_owned());
    }
    require_confirmable(person)
}

/// As [`open_prompt`], to end a pause.
pub(crate) async fn open_prompt_to_resume(
    daemon: &DaemonClient,
    act: &str,
    there: bool,
) -> CommandResult<ConfirmationPrompt> {
    require_confirmable(open_terminal_and_status(daemon, act, there).await?.0)
}

/// Does what `make` asks for, once it is confirmed. `act` says it to the person; it is so wide.
pub(crate) async fn send_confirmed<R: Request>(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    (act, width): (&str, Risk),
    make: impl Fn(Challenge) -> R,
) -> CommandResult<R::Response> {
    let challenge = match choose_method(person, act, width)? {
        ConfirmationMethod::Typed(challenge) => challenge,
        ConfirmationMethod::OnTelegram => {
            match send_via_telegram(daemon, person, make(Challenge::on_telegram())).await? {
                Ok(reply) => return Ok(reply),
                // Nobody was asked there.
                Err(failure) if failure.kind == FailureKind::Challenge && person.has_passphrase => {
                    person
                        .print_line(format_args!("Not on Telegram: {}.", escape_hidden(&failure.message)))?;
                    prompt_challenge(person, act, width)?
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    };
    daemon.request(make(challenge)).await
}

async fn open_terminal_and_status(
    daemon: &DaemonClient,
    act: &str,
    there: bool,
) -> CommandResult<(ConfirmationPrompt, Box<DaemonStatus>)> {
    let terminal = TerminalDevice::open(act)?;
    let status = daemon.request(GetStatus).await?;
    let person = ConfirmationPrompt {
        terminal,
        has_passphrase: status.passphrase.is_some(),
        totp_enrolled: status.totp.is_some(),
        outdated: status.totp.as_ref().is_some_and(|totp| totp.is_outdated),
        telegram: status.telegram.confirms.clone(),
        prefers_telegram: there,
    };
    Ok((person, status))
}

fn require_confirmable(person: ConfirmationPrompt) -> CommandResult<ConfirmationPrompt> {
    match &person.telegram {
        TelegramConfirmation::Now => Ok(person),
        TelegramConfirmation::Never | TelegramConfirmation::NotNow(_) if person.has_passphrase => Ok(person),
        TelegramConfirmation::Never => Err(missing_passphrase()),
        TelegramConfirmation::NotNow(why) => Err(CommandFailure::refused(format!(
            "this cannot be confirmed on Telegram: {}",
            escape_hidden(why)
        ))
        .with_hint("or set an approval passphrase with `portero passphrase set`")),
    }
}

fn missing_passphrase() -> CommandFailure {
    CommandFailure::refused("no approval passphrase is set, so nothing can be permitted")
        .with_hint("run `portero passphrase set`")
}

/// Lets the person choose, where there is a choice.
fn choose_method(
    person: &mut ConfirmationPrompt,
    act: &str,
    width: Risk,
) -> CommandResult<ConfirmationMethod> {
    let typed =
        |person: &mut ConfirmationPrompt| prompt_challenge(person, act, width).map(ConfirmationMethod::Typed);
    if person.needs_code(width) {
        if person.prefers_telegram {
            person.print_line(
                "This is wide and an authenticator is enrolled, so it takes the passphrase and a code.",
            )?;
        }
        return typed(person);
    }
    match person.telegram.clone() {
        TelegramConfirmation::Now if person.prefers_telegram => Ok(ConfirmationMethod::OnTelegram),
        TelegramConfirmation::Now if person.has_passphrase => {
            suggest_authenticator(person, width)?;
            let prompt = format!("Passphrase, or Enter to confirm on Telegram, to {act}");
            match person.terminal.read_optional_passphrase(&prompt)? {
                Some(passphrase) => build_challenge(person, passphrase, width).map(ConfirmationMethod::Typed),
                None => Ok(ConfirmationMethod::OnTelegram),
            }
        }
        TelegramConfirmation::Now => {
            person.print_line("No approval passphrase is set, so this is confirmed on Telegram.")?;
            Ok(ConfirmationMethod::OnTelegram)
        }
        TelegramConfirmation::NotNow(why) => {
            if person.prefers_telegram {
                person.print_line(format_args!("Not on Telegram: {}.", escape_hidden(&why)))?;
            }
            typed(person)
        }
        TelegramConfirmation::Never => {
            if person.prefers_telegram {
                person.print_line("Not on Telegram: nobody is paired there.")?;
            }
            typed(person)
        }
    }
}

/// Asks on Telegram, and shows the number on the terminal device and nowhere else.
async fn send_via_telegram<R: Request>(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    request: R,
) -> CommandResult<Result<R::Response, ipc::DaemonFailure>> {
    let terminal = &mut person.terminal;
    let show = |tap: &DisclosedSecret, seconds: u64| {
        terminal.print_line(format_args!(
            "Tap {} on Telegram, within {seconds} s. Ctrl-C takes it back.",
            tap.expose()
        ))
    };
    daemon.request_and_show(request, show).await
}

fn suggest_authenticator(person: &mut ConfirmationPrompt, width: Risk) -> CommandResult {
    if width == Risk::High && person.outdated {
        let what = "this is wide, and an earlier version of Portero enrolled the authenticator, which this one cannot open";
        return Err(CommandFailure::refused(what).with_hint(
            "`portero totp remove` removes it with the passphrase alone; then enrol it anew with `portero totp enroll`",
        ));
    }
    if width == Risk::High && !person.totp_enrolled {
        person
            .print_line("This is wide. `portero totp enroll` would make it need a code of your phone too.")?;
    }
    Ok(())
}

fn build_challenge(
    person: &mut ConfirmationPrompt,
    passphrase: String,
    width: Risk,
) -> CommandResult<Challenge> {
    let mut challenge = Challenge::new(passphrase);
    if person.needs_code(width) {
        challenge.code = Some(person.read_code("Code of your authenticator, or a recovery code")?);
    }
    Ok(challenge)
}

/// What becomes of the tools that a pattern covers.
pub(crate) enum PatternAct {
    /// A rule lets them run.
    Allow,
    /// A grant lets them run unasked for a while; what is denied stays denied.
    Grant,
    /// This rule, which says this and is no allow, goes.
    Unrule(u64, Action),
}

impl PatternAct {
    const fn to_reach_query(&self) -> Reaching {
        match self {
            Self::Allow => Reaching::Allow,
            Self::Grant => Reaching::Grant,
            Self::Unrule(id, _) => Reaching::Unrule(*id),
        }
    }
}

/// Shows which tools' decisions change, denied ones first.
pub(crate) async fn show_reach(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    pattern: &Pattern,
    change: &PatternAct,
) -> CommandResult {
    let ask = PreviewChange { pattern: pattern.clone(), by: change.to_reach_query() };
    let reach = daemon.request(ask).await?;
    for line in describe_reach(&reach, pattern, change) {
        person.print_line(line)?;
    }
    Ok(())
}

fn describe_reach(reach: &[(ToolId, Action)], pattern: &Pattern, change: &PatternAct) -> Vec<String> {
    let changes = |action: Action| match change {
        PatternAct::Allow | PatternAct::Unrule(..) => action != Action::Allow,
        PatternAct::Grant => action == Action::RequireApproval,
    };
    let fate = |action: Action| match (change, action) {
        (PatternAct::Allow | PatternAct::Grant, Action::RequireApproval) => "asks now   → would run unasked",
        (PatternAct::Allow, Action::Deny) => "DENIED now → would run unasked",
        (PatternAct::Unrule(_, Action::Deny), _) => "DENIED now → would no longer be denied by this rule",
        (PatternAct::Unrule(_, Action::RequireApproval | Action::Allow), _) => {
            "asks now   → would no longer be asked for by this rule"
        }
        (PatternAct::Grant, Action::Deny) => "denied, and stays denied",
        (PatternAct::Allow | PatternAct::Grant, Action::Allow) => "runs already",
    };
    let covered = escape_hidden(&pattern.to_string()).into_owned();
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
        let lines = describe_reach(&reach, &pattern, &PatternAct::Allow);
        assert_eq!(lines[0], "`office/*` changes 2 tools:");
        assert_eq!(lines[1], "  office/delete_mail  DENIED now → would run unasked");
        assert!(describe_reach(&reach, &pattern, &PatternAct::Grant)[1].ends_with("stays denied"));
        let asks = PatternAct::Unrule(3, Action::RequireApproval);
        assert!(
            describe_reach(&reach[1..2], &pattern, &asks)[1].ends_with("no longer be asked for by this rule")
        );
    }
}
