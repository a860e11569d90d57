//! Widening acts: a person sees the effect and confirms it, all on the terminal device. The confirmation is
//! the passphrase, with a code for a wide act, or a tap on Telegram on the number that only the terminal
//! shows (guarantees A3, A7).

mod remembered;

use std::fmt;
use std::time::Duration;

use portero::access::TokenName;
use portero::approval_scope::ScopeChange;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::PreviewChange;
use portero::ipc::{
    self, Act, Challenge, DaemonStatus, DisclosedSecret, FailureKind, Request, Risk, TelegramConfirmation,
};
use portero::names::{SecretName, ServerName, ToolId};
use portero::pattern::Pattern;
use portero::policy::Action;

use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, format_duration, pluralize};
use crate::terminal::{TerminalDevice, TerminalLines};
pub(crate) use remembered::{RememberedPassphrase, find_shared_terminal};

/// What an approval with `--fresh` lacks.
const IN_ANOTHER_PROCESS: &str = "in another process than its session's: without that one's directory, variables and \
                                  what is open there";

/// An act that a person confirms at the terminal, with its wording and its risk.
pub(crate) enum ConfirmedAct<'a> {
    /// This tool's call, of which this many lines were shown.
    Approve(&'a ToolId, usize),
    /// The same, in another process than the one that its session uses.
    ApproveFresh(&'a ToolId, usize),
    /// Several calls, each by an act of its own, of which this many lines were shown.
    ApproveSeveral {
        tools: &'a [ToolId],
        lines: usize,
        fresh: bool,
    },
    /// This tool's call with a grant or rule besides, of which this many lines were shown.
    ApproveWith {
        tool: &'a ToolId,
        lines: usize,
        permit: &'a ScopeChange,
        fresh: bool,
    },
    /// The values of a task of this server.
    ShowRealValues(&'a ServerName),
    /// A call that this person rejected a moment ago.
    AskAgain,
    Grant(&'a Pattern, Duration),
    Allow,
    RemoveRule(u64, &'a Pattern),
    Resume,
    ConfirmConfig,
    AcceptDefinitions(&'a ServerName),
    EnrollTotp,
    RemoveTotp {
        /// A secret that can't be decrypted can't check a code, so the passphrase alone removes it.
        is_outdated: bool,
    },
    Pair,
    Unpair,
    SetSecret(&'a SecretName),
    Login(&'a ServerName),
    /// The token of another machine, whose reach was shown.
    CreateToken(&'a TokenName),
}

impl ConfirmedAct<'_> {
    /// The purpose for which a terminal is needed; a failure without one begins with it.
    const fn purpose(&self) -> &'static str {
        match self {
            Self::Approve(..)
            | Self::ApproveFresh(..)
            | Self::ApproveSeveral { .. }
            | Self::ApproveWith { .. } => "to approve",
            Self::ShowRealValues(_) => "to show real values",
            Self::AskAgain => "to ask again what you said no to",
            Self::Grant(..) => "to grant",
            Self::Allow => "to allow",
            Self::RemoveRule(..) => "to remove a rule that restricts",
            Self::Resume => "to resume",
            Self::ConfirmConfig => "to confirm the configuration",
            Self::AcceptDefinitions(_) => "to accept what a server defines",
            Self::EnrollTotp => "to enrol an authenticator",
            Self::RemoveTotp { .. } => "to remove the authenticator",
            Self::Pair => "to pair",
            Self::Unpair => "to unpair",
            Self::SetSecret(_) => "to set a secret",
            Self::Login(_) => "to sign in",
            Self::CreateToken(_) => "to make an access token",
        }
    }

    /// How much it widens.
    pub(crate) fn risk(&self) -> Risk {
        match self {
            Self::Approve(..)
            | Self::ApproveFresh(..)
            | Self::ApproveSeveral { .. }
            | Self::ShowRealValues(_)
            | Self::AskAgain
            | Self::EnrollTotp
            | Self::SetSecret(_) => Risk::Low,
            Self::ApproveWith { permit, .. } => Act::from(*permit).risk(),
            Self::Grant(pattern, duration) => Risk::of_grant(pattern, *duration),
            Self::Allow => Risk::ALLOW,
            Self::RemoveRule(_, pattern) => Risk::of_pattern(pattern),
            Self::Resume => Risk::RESUME,
            Self::ConfirmConfig => Risk::CONFIG,
            Self::AcceptDefinitions(_) => Risk::DEFINITIONS,
            Self::RemoveTotp { is_outdated: true } => Risk::Low,
            Self::RemoveTotp { is_outdated: false } => Risk::High,
            Self::Pair | Self::Unpair => Risk::PAIR,
            Self::Login(_) => Risk::LOGIN,
            Self::CreateToken(_) => Risk::TOKEN,
        }
    }
}

/// The act in a prompt, after "Passphrase, to".
impl fmt::Display for ConfirmedAct<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A long call scrolls out of sight, so the prompt itself repeats the tool and the number of
            // lines.
            Self::Approve(tool, lines) => {
                write!(f, "run {tool}, exactly this call ({lines} lines, above), once")
            }
            Self::ApproveFresh(tool, lines) => {
                write!(f, "run {tool}, exactly this call ({lines} lines, above), once, {IN_ANOTHER_PROCESS}")
            }
            Self::ApproveSeveral { tools, lines, fresh } => {
                let tools: Vec<String> = tools.iter().map(ToString::to_string).collect();
                let (count, tools) = (tools.len(), tools.join(", "));
                write!(f, "run exactly these {count} calls ({tools}; {lines} lines, above), each once")?;
                if *fresh { write!(f, ", {IN_ANOTHER_PROCESS}") } else { Ok(()) }
            }
            Self::ApproveWith { tool, lines, permit, fresh } => {
                write!(f, "run {tool}, exactly this call, and {}", describe_permit(permit))?;
                write!(f, " ({lines} lines, above)")?;
                if *fresh { write!(f, ", {IN_ANOTHER_PROCESS}") } else { Ok(()) }
            }
            Self::ShowRealValues(server) => write!(f, "show here what {server} really gets and answers"),
            Self::AskAgain => f.write_str("be asked again now"),
            Self::Grant(_, duration) => write!(f, "grant this for {}", format_duration(*duration)),
            Self::Allow => f.write_str("allow this for good"),
            Self::RemoveRule(id, _) => write!(f, "remove rule {id}"),
            Self::Resume => f.write_str("resume everything"),
            Self::ConfirmConfig => f.write_str("put all of this in force"),
            Self::AcceptDefinitions(server) => write!(f, "accept what {server} defines now"),
            Self::EnrollTotp => f.write_str("enrol an authenticator"),
            Self::RemoveTotp { .. } => {
                f.write_str("remove the authenticator, so that the passphrase alone confirms what is wide")
            }
            Self::Pair => f.write_str("let someone decide on Telegram"),
            Self::Unpair => f.write_str("end the pairing"),
            Self::SetSecret(name) => write!(f, "set the secret {name}"),
            Self::Login(server) => write!(f, "sign in at {server}"),
            Self::CreateToken(name) => write!(f, "make the access token {name}"),
        }
    }
}

/// What a permit of an approval does, in a few words; the whole of it was shown.
fn describe_permit(permit: &ScopeChange) -> String {
    match permit {
        ScopeChange::Grant { duration, .. } => format!("grant more for {}", format_duration(*duration)),
        ScopeChange::Allow(_) => "allow more for good".to_owned(),
    }
}

/// The terminal with the person, for showing an act's effect and asking for its confirmation.
pub(crate) struct ConfirmationPrompt {
    terminal: TerminalDevice,
    has_passphrase: bool,
    totp_enrolled: bool,
    /// Whether an earlier version encrypted it.
    outdated: bool,
    telegram: TelegramConfirmation,
    /// Whether the person chose Telegram.
    prefers_telegram: bool,
    /// How long the passphrase may be remembered.
    remember_limit: Duration,
}

impl ConfirmationPrompt {
    /// Prints a line; text from outside must already be escaped.
    pub(crate) fn print_line(&mut self, text: impl fmt::Display) -> CommandResult {
        self.terminal.print_line(text)
    }

    /// Asks a question; anything but a yes is a no.
    pub(crate) async fn ask_yes_or_no(&mut self, question: &str) -> CommandResult<bool> {
        let mut lines = TerminalLines::open()?;
        lines.drop_typed_ahead();
        self.terminal.print_question(question)?;
        let answer = lines.next_line().await?.unwrap_or_default();
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a code of the authenticator.
    pub(crate) fn read_code(&mut self, prompt: &str) -> CommandResult<String> {
        self.terminal.read_code(prompt)
    }

    /// How long this process may remember the passphrase; zero: not at all.
    pub(crate) const fn remember_limit(&self) -> Duration {
        self.remember_limit
    }

    /// Whether an authenticator is enrolled.
    pub(crate) const fn has_authenticator(&self) -> bool {
        self.totp_enrolled
    }

    /// Whether the enrolled authenticator can't be decrypted, so it can only be removed.
    pub(crate) const fn has_outdated_authenticator(&self) -> bool {
        self.outdated
    }

    /// Whether the act needs a code. A code also needs the passphrase, with which its secret is encrypted.
    fn needs_code(&self, act: &ConfirmedAct<'_>) -> bool {
        match act.risk() {
            Risk::Low => false,
            Risk::High => self.totp_enrolled,
        }
    }
}

/// The way in which an act is confirmed.
pub(crate) enum ConfirmationMethod {
    Typed(Challenge),
    OnTelegram,
}

/// Asks for the confirmation of `act`, after its effect was shown.
pub(crate) fn prompt_challenge(
    person: &mut ConfirmationPrompt,
    act: &ConfirmedAct<'_>,
) -> CommandResult<Challenge> {
    suggest_authenticator(person, act)?;
    let passphrase = person.terminal.read_passphrase(&format!("Passphrase, to {act}"))?;
    build_challenge(person, passphrase, act)
}

/// Opens the terminal for `act`, which changes a factor and therefore needs the passphrase. Fails early if
/// none is set.
pub(crate) async fn open_with_passphrase(
    daemon: &DaemonClient,
    act: &ConfirmedAct<'_>,
) -> CommandResult<ConfirmationPrompt> {
    let person = open_terminal_and_status(daemon, act, false).await?.0;
    if person.has_passphrase { Ok(person) } else { Err(missing_passphrase()) }
}

/// Opens the terminal for `act`, which is confirmed by passphrase or on Telegram; `there` chooses Telegram at
/// once. Fails early if neither is possible.
pub(crate) async fn open_prompt(
    daemon: &DaemonClient,
    act: &ConfirmedAct<'_>,
    there: bool,
) -> CommandResult<ConfirmationPrompt> {
    let (mut person, status) = open_terminal_and_status(daemon, act, there).await?;
    if status.standing.paused.is_some() && !matches!(act, ConfirmedAct::Resume) {
        let why = "everything is paused, so a terminal can ask there to resume and for nothing else";
        person.telegram = TelegramConfirmation::NotNow(why.to_owned());
    }
    require_confirmable(person)
}

/// Sends the request that `make` builds, once a person has confirmed `act`.
pub(crate) async fn send_confirmed<R: Request>(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    act: &ConfirmedAct<'_>,
    make: impl Fn(Challenge) -> R,
) -> CommandResult<R::Response> {
    let mut method = choose_method(person, act)?;
    Ok(send_by_method(daemon, person, act, &mut method, make).await??)
}

/// Asks once how the requests of [`send_by_method`] are confirmed. A typed passphrase is replaced by its keys, which
/// prove each request by itself and are wiped when the method is dropped.
pub(crate) async fn choose_method_for_several(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    act: &ConfirmedAct<'_>,
) -> CommandResult<ConfirmationMethod> {
    match choose_method(person, act)? {
        ConfirmationMethod::Typed(typed) => {
            Ok(ConfirmationMethod::Typed(daemon.derive_challenge(typed).await?))
        }
        ConfirmationMethod::OnTelegram => Ok(ConfirmationMethod::OnTelegram),
    }
}

/// Sends the request that `make` builds, confirmed by `method`. On Telegram each request is a question of its own.
pub(crate) async fn send_by_method<R: Request>(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    act: &ConfirmedAct<'_>,
    method: &mut ConfirmationMethod,
    make: impl Fn(Challenge) -> R,
) -> CommandResult<Result<R::Response, ipc::DaemonFailure>> {
    let challenge = match method {
        ConfirmationMethod::Typed(challenge) => challenge.clone(),
        ConfirmationMethod::OnTelegram => {
            match send_via_telegram(daemon, person, make(Challenge::on_telegram())).await? {
                // The question didn't reach Telegram, so the passphrase can still confirm the act.
                Err(failure) if failure.kind == FailureKind::Challenge && person.has_passphrase => {
                    person
                        .print_line(format_args!("Not on Telegram: {}.", escape_hidden(&failure.message)))?;
                    let derived = daemon.derive_challenge(prompt_challenge(person, act)?).await?;
                    *method = ConfirmationMethod::Typed(derived.clone());
                    derived
                }
                answered => return Ok(answered),
            }
        }
    };
    daemon.request_or_refusal(make(challenge)).await
}

async fn open_terminal_and_status(
    daemon: &DaemonClient,
    act: &ConfirmedAct<'_>,
    there: bool,
) -> CommandResult<(ConfirmationPrompt, Box<DaemonStatus>)> {
    let terminal = TerminalDevice::open(act.purpose())?;
    let status = daemon.request(GetStatus).await?;
    let person = ConfirmationPrompt {
        terminal,
        has_passphrase: status.passphrase.is_some(),
        totp_enrolled: status.totp.is_some(),
        outdated: status.totp.as_ref().is_some_and(|totp| totp.is_outdated),
        telegram: status.telegram.confirms.clone(),
        prefers_telegram: there,
        remember_limit: Duration::from_millis(status.remember),
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

/// Lets the person choose the method, if there is a choice.
fn choose_method(
    person: &mut ConfirmationPrompt,
    act: &ConfirmedAct<'_>,
) -> CommandResult<ConfirmationMethod> {
    let typed =
        |person: &mut ConfirmationPrompt| prompt_challenge(person, act).map(ConfirmationMethod::Typed);
    // A wide act with an authenticator is never confirmed on Telegram: a code is the stronger factor and must
    // not be avoidable.
    if person.needs_code(act) {
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
            suggest_authenticator(person, act)?;
            let prompt = format!("Passphrase, or Enter to confirm on Telegram, to {act}");
            match person.terminal.read_optional_passphrase(&prompt)? {
                Some(passphrase) => build_challenge(person, passphrase, act).map(ConfirmationMethod::Typed),
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
                person.print_line("Not on Telegram: not paired yet.")?;
            }
            typed(person)
        }
    }
}

/// Asks on Telegram. The number is shown on the terminal device and nowhere else.
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

fn suggest_authenticator(person: &mut ConfirmationPrompt, act: &ConfirmedAct<'_>) -> CommandResult {
    let is_wide = act.risk() == Risk::High;
    if is_wide && person.outdated {
        let what = "this is wide, and an earlier version of Portero enrolled the authenticator, which this one cannot open";
        return Err(CommandFailure::refused(what).with_hint(
            "`portero totp remove` removes it with the passphrase alone; then enrol a new one with `portero totp enroll`",
        ));
    }
    if is_wide && !person.totp_enrolled {
        person
            .print_line("This is wide. After `portero totp enroll`, it also needs a code from your phone.")?;
    }
    Ok(())
}

fn build_challenge(
    person: &mut ConfirmationPrompt,
    passphrase: String,
    act: &ConfirmedAct<'_>,
) -> CommandResult<Challenge> {
    let mut challenge = Challenge::new(passphrase);
    if person.needs_code(act) {
        challenge.code = Some(person.read_code("Code of your authenticator, or a recovery code")?);
    }
    Ok(challenge)
}

/// Shows the tools whose decisions change, denied ones first.
pub(crate) async fn show_reach(
    daemon: &DaemonClient,
    person: &mut ConfirmationPrompt,
    pattern: &Pattern,
    act: &Act,
) -> CommandResult {
    let reach = daemon.request(PreviewChange { act: act.clone() }).await?;
    for line in describe_reach(&reach, pattern, act) {
        person.print_line(line)?;
    }
    Ok(())
}

/// The tools whose decisions an act changes, denied ones first, in lines for a person.
pub(crate) fn describe_reach(reach: &[(ToolId, Action)], pattern: &Pattern, act: &Act) -> Vec<String> {
    // A grant never lifts a deny.
    let lifts_deny = !matches!(act, Act::Grant(..));
    let changes = |action: Action| match action {
        Action::Allow => false,
        Action::RequireApproval => true,
        Action::Deny => lifts_deny,
    };
    let fate = |action: Action| match (act, action) {
        (Act::RemoveRule(_, _, Action::Deny), _) => "DENIED now → would no longer be denied by this rule",
        (Act::RemoveRule(..), _) => "asks now   → would no longer be asked for by this rule",
        (_, Action::RequireApproval) => "asks now   → would run unasked",
        (_, Action::Deny) if lifts_deny => "DENIED now → would run unasked",
        (_, Action::Deny) => "denied, and stays denied",
        (_, Action::Allow) => "runs already",
    };
    let covered = escape_hidden(&pattern.to_string()).into_owned();
    let mut lines = vec![match reach.iter().filter(|(_, action)| changes(*action)).count() {
        0 => format!("`{covered}` changes nothing for the tools that are known now."),
        count => format!("`{covered}` changes {}:", pluralize(count, "tool", "tools")),
    }];
    let width = reach.iter().map(|(tool, _)| tool.to_string().len()).max().unwrap_or(0);
    for (tool, action) in reach {
        lines.push(format!("  {:width$}  {}", tool.to_string(), fate(*action)));
    }
    lines.push("Matching tools that servers add later are covered too.".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use portero::policy::GrantLimits;

    use super::*;

    #[test]
    fn a_person_sees_what_an_allow_changes() {
        let reach = [
            ("office/delete_mail".parse().unwrap(), Action::Deny),
            ("office/send_mail".parse().unwrap(), Action::RequireApproval),
            ("office/read_mail".parse().unwrap(), Action::Allow),
        ];
        let pattern: Pattern = "office/*".parse().unwrap();
        let lines = describe_reach(&reach, &pattern, &Act::Allow(pattern.clone()));
        assert_eq!(lines[0], "`office/*` changes 2 tools:");
        assert_eq!(lines[1], "  office/delete_mail  DENIED now → would run unasked");
        assert!(
            describe_reach(&reach, &pattern, &Act::Grant(pattern.clone(), 60_000, GrantLimits::default()))[1]
                .ends_with("stays denied")
        );
        let asks = Act::RemoveRule(3, pattern.clone(), Action::RequireApproval);
        assert!(
            describe_reach(&reach[1..2], &pattern, &asks)[1].ends_with("no longer be asked for by this rule")
        );
    }
}
