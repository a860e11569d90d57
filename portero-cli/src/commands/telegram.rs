//! `portero telegram pair` and `unpair`: who decides on Telegram.

use portero::ipc::requests::auth::{PairTelegram, UnpairTelegram};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{
    DaemonStatus, PairingCode, Risk, TelegramGroup, TelegramPerson, TelegramRefused, TelegramState,
    TelegramStatus,
};
use portero::secret::Secret;
use serde_json::json;

use super::CommandContext;
use crate::args::TelegramCommand;
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, escape_hidden, format_age};
use crate::{elevate, qr};

pub(super) async fn run(context: &CommandContext, command: TelegramCommand) -> CommandResult {
    match command {
        TelegramCommand::Pair => pair(context).await,
        TelegramCommand::Unpair => unpair(context).await,
    }
}

/// Shows a code. It is data, for whoever asked for it: a passphrase stands before it, where one is set.
async fn pair(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    refuse_second_pairing(&status)?;
    let challenge = match &status.passphrase {
        None => None,
        Some(_) => {
            let mut person = elevate::open_with_passphrase(&daemon, "to pair").await?;
            person.print_line("Whoever says the code to the bot decides on Telegram from then on.")?;
            Some(elevate::prompt_challenge(&mut person, "let someone decide on Telegram", Risk::PAIR)?)
        }
    };
    let shown = daemon.request(PairTelegram { challenge }).await?;
    if context.output.wants_json() {
        context.output.print_json_line(&shown)?;
    } else {
        print_pairing_code(&context.output, &shown)?;
    }
    if status.passphrase.is_none() {
        context.output.print_note(
            "No passphrase is set, so anyone at this terminal could do this: `portero passphrase set`",
        );
    }
    Ok(())
}

fn print_pairing_code(
    out: &Output,
    PairingCode { code, link, expires }: &PairingCode,
) -> std::io::Result<()> {
    out.print_line("Scan this with your phone and press Start:\n")?;
    for line in qr::render_lines(&Secret::new(link.as_str())).unwrap_or_default() {
        out.print_line(line)?;
    }
    out.print_line(format_args!("\nor open  {}", escape_hidden(link)))?;
    out.print_line(format_args!("or say   /pair {}", escape_hidden(code)))?;
    out.print_line(format_args!(
        "to the bot, in a private chat, until {expires}. `portero status` tells who is paired."
    ))
}

/// Says early what the daemon would refuse after the passphrase.
fn refuse_second_pairing(status: &DaemonStatus) -> CommandResult {
    if let Some(group) = &status.telegram.group {
        let words = format!("the configuration names the group {}; nobody is paired then", group.chat);
        return Err(CommandFailure::refused(words)
            .with_hint("who decides there stands in `telegram.deciders` of portero.json"));
    }
    match &status.telegram.person {
        None => Ok(()),
        Some(person) if person.configured => Err(CommandFailure::refused(format!(
            "the configuration names user {} as the one who decides; nobody else can be paired",
            person.user
        ))
        .with_hint("see `telegram.admin` in portero.json and TELEGRAM_ADMIN_CHAT_ID in .env")),
        Some(person) => Err(CommandFailure::refused(format!("the bot is paired with user {}", person.user))
            .with_hint("end that first with `portero telegram unpair`")),
    }
}

/// How the bot fares, as `portero status` tells it.
pub(super) fn print_telegram_status(out: &Output, telegram: &TelegramStatus) -> std::io::Result<()> {
    let bot = telegram.bot.as_deref().map_or_else(|| "the bot".to_owned(), |name| format!("@{name}"));
    let bot = escape_hidden(&bot);
    let polled = match telegram.last_poll {
        Some(at) => format!("last heard of {}", format_age(at)),
        None => "not heard of yet".to_owned(),
    };
    let state = match telegram.state {
        TelegramState::Off => "off: no token is configured".to_owned(),
        TelegramState::Invalid => "NOT SERVED: the configuration names no bot".to_owned(),
        TelegramState::Connecting => format!("connecting to {bot}"),
        TelegramState::Serving => format!("{bot}, {polled}"),
        TelegramState::Troubled => format!("{bot} CANNOT BE REACHED, {polled}; tried again"),
        TelegramState::Conflict => {
            format!("{bot}: ANOTHER PROGRAM takes its messages, {polled}; end that one, or make another bot")
        }
        TelegramState::Unauthorized => {
            "NOT SERVED: Telegram knows no bot with this token; tried again, ever more rarely. If that stays, \
             configure a new one"
                .to_owned()
        }
    };
    out.print_line(format_args!("telegram    {state}"))?;
    if telegram.state == TelegramState::Off {
        return Ok(());
    }
    out.print_line(match (&telegram.person, &telegram.group) {
        (_, Some(TelegramGroup { chat, deciders, .. })) => {
            let users = if let [_] = deciders[..] { "user" } else { "users" };
            format!("            listens to {} {users} in the group {chat}", deciders.len())
        }
        (Some(TelegramPerson { user, configured: false }), None) => {
            format!("            paired with user {user}")
        }
        (Some(TelegramPerson { user, configured: true }), None) => {
            format!("            listens to user {user}, whom the configuration names")
        }
        (None, None) => "            listens to nobody; run `portero telegram pair`".to_owned(),
    })?;
    if let Some(trouble) = telegram.group.as_ref().and_then(|group| group.trouble.as_deref()) {
        out.print_line(format_args!("            in the group: {}", escape_hidden(trouble)))?;
    }
    if let Some(trouble) = &telegram.last_trouble {
        out.print_line(format_args!(
            "            last trouble {}: {}",
            format_age(trouble.at),
            escape_hidden(&trouble.what)
        ))?;
    }
    print_sending_problems(out, telegram)
}

/// What goes wrong with what is sent, and with what was written or tapped.
fn print_sending_problems(out: &Output, telegram: &TelegramStatus) -> std::io::Result<()> {
    if let Some(trouble) = &telegram.sending_trouble {
        out.print_line(format_args!(
            "            {} wait to be sent: {}",
            telegram.waiting,
            escape_hidden(trouble)
        ))?;
    }
    if let Some(TelegramRefused { count, last }) = &telegram.refused {
        let messages = if *count == 1 { "message" } else { "messages" };
        out.print_line(format_args!(
            "            {count} {messages} refused and not shown, the last {}: {}",
            format_age(last.at),
            escape_hidden(&last.what)
        ))?;
    }
    if telegram.given_up > 0 {
        out.print_line(format_args!(
            "            {} of what was written or tapped FAILED and was given up; see the daemon's log",
            telegram.given_up
        ))?;
    }
    Ok(())
}

/// What keeps the bot of a running daemon from working; none where all is well, or no daemon runs.
pub(super) async fn find_bot_problem(context: &CommandContext) -> Option<String> {
    let daemon = DaemonClient::connect(&context.paths).await.ok()?;
    let Ok(status) = daemon.request(GetStatus).await else { return None };
    let telegram = status.telegram;
    match telegram.state {
        TelegramState::Off | TelegramState::Connecting => None,
        TelegramState::Serving => {
            let of_group = telegram.group.and_then(|group| group.trouble);
            telegram.sending_trouble.or(of_group)
        }
        TelegramState::Invalid
        | TelegramState::Troubled
        | TelegramState::Conflict
        | TelegramState::Unauthorized => {
            Some(telegram.last_trouble.map_or_else(|| telegram.state.to_string(), |trouble| trouble.what))
        }
    }
}

async fn unpair(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let mut person = elevate::open_with_passphrase(&daemon, "to unpair").await?;
    person.print_line("The bot listens to nobody then, and someone else can be paired.")?;
    let challenge = elevate::prompt_challenge(&mut person, "end the pairing", Risk::PAIR)?;
    let was_paired = daemon.request(UnpairTelegram { challenge }).await?;
    context.output.print_value_or_text(&json!({"unpaired": was_paired}), |out| match was_paired {
        false => out.print_line("nobody was paired"),
        true => out.print_line("the bot listens to nobody now"),
    })?;
    Ok(())
}
