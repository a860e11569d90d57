//! Logins at servers over HTTP (`portero login`, `portero logout`).
//!
//! The daemon asks the server and keeps its tokens; nothing here sees one. This command opens the browser, or shows
//! the address and takes the answer that the person pastes.

mod browser;

use std::time::Duration;

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::login::{
    AwaitLogin, BeginLogin, BegunLogin, GiveLoginAnswer, ListLogins, LoginWay, Logout, LogoutOutcome,
    ServerLogin,
};
use portero::ipc::{Challenge, DisclosedSecret};
use portero::names::ServerName;
use portero::secret::Secret;
use serde_json::json;

use super::CommandContext;
use crate::args::LoginArgs;
use crate::daemon::DaemonClient;
use crate::elevate::{self, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, format_duration};
use crate::signals::wait_for_termination;
use crate::terminal::{TerminalDevice, TerminalLines};

pub(super) async fn login(context: &CommandContext, args: LoginArgs) -> CommandResult {
    let LoginArgs { server, no_browser, device, scopes, confirming } = args;
    let Some(server) = server else { return list_servers(context).await };
    let daemon = context.connect_daemon().await?;
    let begin = |challenge: Option<Challenge>| BeginLogin {
        server: server.clone(),
        scopes: scopes.clone(),
        device,
        challenge,
    };
    let status = daemon.request(GetStatus).await?;
    let begun = if status.passphrase.is_some() {
        let act = ConfirmedAct::Login(&server);
        let mut person = elevate::open_prompt(&daemon, &act, confirming.telegram).await?;
        person.print_line("The calls of your agents use the account that signs in, from then on.")?;
        elevate::send_confirmed(&daemon, &mut person, &act, |challenge| begin(Some(challenge))).await?
    } else {
        daemon.request(begin(None)).await?
    };
    let BegunLogin { login, way, seconds } = begun;
    let limit = format_duration(Duration::from_secs(seconds));
    match way {
        LoginWay::Browser { start, page, origin } => {
            let variable = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let obstacle = if no_browser { None } else { browser::missing_browser(&variable) };
            if let Some(obstacle) = obstacle {
                context.output.print_note(format_args!("No browser is opened here: {obstacle}."));
            }
            let is_opened = !no_browser && obstacle.is_none() && browser::open_browser(&start);
            if is_opened {
                let origin = escape_hidden(&origin);
                context.output.print_note(format_args!(
                    "Your browser opens {origin}. Sign in there, within {limit}. Ctrl-C ends the login."
                ));
                wait(&daemon, login).await?;
            } else {
                if !no_browser && obstacle.is_none() {
                    context.output.print_note("No browser could be started.");
                }
                wait_for_pasted(&daemon, &login, &page, &limit).await?;
            }
        }
        LoginWay::Device { page, code } => {
            let mut terminal = TerminalDevice::open("to sign in")?;
            terminal.print_line(format_args!("Open on any device:  {}", escape_hidden(&page)))?;
            terminal.print_line(format_args!("and type this code:  {}", escape_hidden(code.expose())))?;
            terminal.print_line(format_args!("within {limit}. Ctrl-C ends the login."))?;
            wait(&daemon, login).await?;
        }
    }
    context.output.print_value_or_text(&json!({"server": server, "signedIn": true}), |out| {
        out.print_line(format_args!("signed in at `{server}`; running sessions get its tools by themselves"))
    })?;
    Ok(())
}

/// Waits for the end of a login. A signal withdraws the request, which ends the login.
async fn wait(daemon: &DaemonClient, login: DisclosedSecret) -> CommandResult {
    tokio::select! {
        ended = daemon.request(AwaitLogin { login }) => ended,
        () = wait_for_termination() => Err(CommandFailure::refused("the login was ended; nothing changed")),
    }
}

/// Shows the address, and waits for the end of the login while it takes what the person pastes.
async fn wait_for_pasted(
    daemon: &DaemonClient,
    login: &DisclosedSecret,
    page: &DisclosedSecret,
    limit: &str,
) -> CommandResult {
    // The terminal device, not stdout: the address holds the login's state, which is nobody else's.
    let mut terminal = TerminalDevice::open("to sign in")?;
    let mut lines = TerminalLines::open()?;
    // Before the question is shown: whatever comes after it is an answer, however fast.
    lines.drop_typed_ahead();
    terminal.print_line("Open this address in a browser, and sign in:\n")?;
    terminal.print_line(format_args!("{}\n", escape_hidden(page.expose())))?;
    terminal.print_line(
        "At the end the browser goes to an address of this machine. If it shows an error there, copy that whole",
    )?;
    terminal
        .print_question(format_args!("address (within {limit}; Ctrl-C ends the login) and paste it here:"))?;
    let ended = wait(daemon, login.clone());
    tokio::pin!(ended);
    loop {
        let pasted = tokio::select! {
            ended = &mut ended => return ended,
            pasted = lines.next_line() => pasted?,
        };
        let Some(pasted) = pasted else { return ended.await };
        if pasted.is_empty() {
            continue;
        }
        let answer = GiveLoginAnswer { login: login.clone(), answer: Secret::new(pasted).into() };
        if let Err(refused) = daemon.request_or_refusal(answer).await? {
            terminal.print_line(escape_hidden(&refused.message))?;
            terminal.print_question("Paste the address:")?;
        }
    }
}

async fn list_servers(context: &CommandContext) -> CommandResult {
    let servers = context.connect_daemon().await?.request(ListLogins).await?;
    context.output.print_value_or_text(&servers, |out| {
        if servers.is_empty() {
            return out.print_line("no server in force can be signed in to");
        }
        servers.iter().try_for_each(|login| {
            out.print_line(describe_login(login))?;
            match &login.trouble {
                Some(trouble) => out.print_line(format_args!("  {}", escape_hidden(trouble))),
                None => Ok(()),
            }
        })
    })?;
    Ok(())
}

/// What a server wants, and where its login is kept.
fn describe_login(login: &ServerLogin) -> String {
    let ServerLogin { server, is_needed, is_left_over, place, .. } = login;
    let kept = place.map(|place| format!(" (kept, {})", place.describe())).unwrap_or_default();
    match (is_left_over, is_needed) {
        (true, _) => {
            format!(
                "{server}: a login is kept, but no entry takes it any more; run `portero logout {server}`{kept}"
            )
        }
        (false, true) => format!("{server}: wants a login; run `portero login {server}`{kept}"),
        (false, false) => format!("{server}: wants no login now{kept}"),
    }
}

pub(super) async fn logout(context: &CommandContext, server: ServerName) -> CommandResult {
    let outcome = context.connect_daemon().await?.request(Logout { server: server.clone() }).await?;
    let value = json!({"server": server, "outcome": outcome});
    context.output.print_value_or_text(&value, |out| match &outcome {
        LogoutOutcome::Revoked => {
            out.print_line(format_args!("signed out of `{server}`: its tokens are revoked and forgotten"))
        }
        LogoutOutcome::NotRevoked(why) => {
            out.print_note(format_args!(
                "Its tokens were not revoked ({}), so they may stay valid there until they expire.",
                escape_hidden(why)
            ));
            out.print_line(format_args!("signed out of `{server}`: its tokens are forgotten"))
        }
        LogoutOutcome::NotSignedIn => out.print_line(format_args!("no login of `{server}` was kept")),
    })?;
    Ok(())
}
