//! Access tokens: who may ask over HTTPS.
//!
//! A token is shown on the terminal device only, never on stdout.

use portero::access::{AccessScope, AccessToken};
use portero::ipc::requests::tokens::{CreateToken, ListTokens, RevokeToken};

use super::CommandContext;
use crate::args::{CreateTokenArgs, TokenCommand};
use crate::elevate::{self, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{format_age, format_duration};

pub(super) async fn run(context: &CommandContext, command: TokenCommand) -> CommandResult {
    match command {
        TokenCommand::Create(args) => create(context, args).await,
        TokenCommand::List => list(context).await,
        TokenCommand::Revoke { name } => {
            let daemon = context.connect_daemon().await?;
            let token = daemon.request(RevokeToken { name }).await?;
            context.output.print_value_or_text(&token, |out| {
                out.print_line(format_args!("token {}: revoked; its sessions end", token.name))
            })?;
            Ok(())
        }
    }
}

async fn create(context: &CommandContext, args: CreateTokenArgs) -> CommandResult {
    let CreateTokenArgs { name, servers, tools, expires, confirming } = args;
    let scope = AccessScope::of_servers_and_tools(&servers, tools)
        .map_err(|error| CommandFailure::usage(error.to_string()))?;
    let millis = expires
        .map(|lasts| u64::try_from(lasts.as_millis()))
        .transpose()
        .map_err(|_| CommandFailure::usage("that is too long a time"))?;
    let daemon = context.connect_daemon().await?;
    if daemon.request(ListTokens).await?.iter().any(|token| token.name == name) {
        return Err(CommandFailure::refused(format!("there is a token `{name}` already"))
            .with_hint(format!("take another name, or end that one with `portero token revoke {name}`")));
    }
    let act = ConfirmedAct::CreateToken(&name);
    let mut person = elevate::open_prompt(&daemon, &act, confirming.telegram).await?;
    let validity = expires
        .map_or_else(|| "until you revoke it".to_owned(), |lasts| format!("for {}", format_duration(lasts)));
    let reach = describe_reach(&scope);
    person
        .print_line(format_args!("Who has the token {name} may ask over HTTPS {validity}, for {reach}."))?;
    let make = |challenge| CreateToken { name: name.clone(), scope: scope.clone(), millis, challenge };
    let created = elevate::send_confirmed(&daemon, &mut person, &act, make).await?;
    person.print_line("\nThe token, shown only this once:\n")?;
    person.print_line(format_args!("    {}\n", created.secret.expose()))?;
    context.output.print_value_or_text(&created.token, |out| {
        out.print_line(format_args!("token {name}: made; `portero token revoke {name}` ends it"))
    })?;
    Ok(())
}

async fn list(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let tokens = daemon.request(ListTokens).await?;
    context.output.print_value_or_text(&tokens, |out| {
        if tokens.is_empty() {
            return out.print_line("no tokens; `portero token create NAME` makes one");
        }
        out.print_table(
            ["NAME", "MADE", "EXPIRES", "LAST USED", "REACHES"],
            tokens.iter().map(describe).collect(),
        )
    })?;
    Ok(())
}

fn describe(token: &AccessToken) -> [String; 5] {
    let now = jiff::Timestamp::now();
    let expires = match token.expires {
        None => "never".to_owned(),
        Some(expires) if expires <= now => "expired".to_owned(),
        Some(expires) => format!("in {}", format_duration(now.duration_until(expires).unsigned_abs())),
    };
    let last_used = token.last_used.map_or_else(|| "never".to_owned(), format_age);
    [token.name.to_string(), format_age(token.made), expires, last_used, describe_reach(&token.scope)]
}

fn describe_reach(scope: &AccessScope) -> String {
    if scope.is_everything() { "every server".to_owned() } else { scope.to_string() }
}
