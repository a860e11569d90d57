//! `portero telegram pair` and `unpair`: who decides on Telegram.

use portero::ipc::requests::auth::{PairTelegram, UnpairTelegram};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{
    PairingCode, Status, TelegramGroup, TelegramPerson, TelegramRefused, TelegramState, TelegramStatus, Width,
};
use portero::secret::Secret;
use serde_json::json;

use super::Context;
use crate::args::TelegramCommand;
use crate::daemon::Daemon;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, ago, visible};
use crate::{qr, widen};

pub(super) async fn run(context: &Context, command: TelegramCommand) -> Outcome {
    match command {
        TelegramCommand::Pair => pair(context).await,
        TelegramCommand::Unpair => unpair(context).await,
    }
}

/// Shows a code. It is data, for whoever asked for it: a passphrase stands before it, where one is set.
async fn pair(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let status = daemon.request(GetStatus).await?;
    refuse_second(&status)?;
    let challenge = match &status.passphrase {
        None => None,
        Some(_) => {
            let mut person = widen::begin(&daemon, "to pair").await?;
            person.say("Whoever says the code to the bot decides on Telegram from then on.")?;
            Some(widen::confirm(&mut person, "let someone decide on Telegram", Width::PAIR)?)
        }
    };
    let shown = daemon.request(PairTelegram { challenge }).await?;
    if context.output.json() {
        context.output.value_line(&shown)?;
    } else {
        show(&context.output, &shown)?;
    }
    if status.passphrase.is_none() {
        context
            .output
            .talk("No passphrase is set, so anyone at this terminal could do this: `portero passphrase set`");
    }
    Ok(())
}

fn show(out: &Output, PairingCode { code, link, expires }: &PairingCode) -> std::io::Result<()> {
    out.line("Scan this with your phone and press Start:\n")?;
    for line in qr::lines(&Secret::new(link.as_str())).unwrap_or_default() {
        out.line(line)?;
    }
    out.line(format_args!("\nor open  {}", visible(link)))?;
    out.line(format_args!("or say   /pair {}", visible(code)))?;
    out.line(format_args!(
        "to the bot, in a private chat, until {expires}. `portero status` tells who is paired."
    ))
}

/// Says early what the daemon would refuse after the passphrase.
fn refuse_second(status: &Status) -> Outcome {
    if let Some(group) = &status.telegram.group {
        let words = format!("the configuration names the group {}; nobody is paired then", group.chat);
        return Err(
            Failure::refused(words).hint("who decides there stands in `telegram.deciders` of portero.json")
        );
    }
    match &status.telegram.person {
        None => Ok(()),
        Some(person) if person.configured => Err(Failure::refused(format!(
            "the configuration names user {} as the one who decides; nobody else can be paired",
            person.user
        ))
        .hint("see `telegram.admin` in portero.json and TELEGRAM_ADMIN_CHAT_ID in .env")),
        Some(person) => Err(Failure::refused(format!("the bot is paired with user {}", person.user))
            .hint("end that first with `portero telegram unpair`")),
    }
}

/// How the bot fares, as `portero status` tells it.
pub(super) fn print_status(out: &Output, telegram: &TelegramStatus) -> std::io::Result<()> {
    let bot = telegram.bot.as_deref().map_or_else(|| "the bot".to_owned(), |name| format!("@{name}"));
    let bot = visible(&bot);
    let polled = match telegram.last_poll {
        Some(at) => format!("last heard of {}", ago(at)),
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
    out.line(format_args!("telegram    {state}"))?;
    if telegram.state == TelegramState::Off {
        return Ok(());
    }
    out.line(match (&telegram.person, &telegram.group) {
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
        out.line(format_args!("            in the group: {}", visible(trouble)))?;
    }
    if let Some(trouble) = &telegram.last_trouble {
        out.line(format_args!("            last trouble {}: {}", ago(trouble.at), visible(&trouble.what)))?;
    }
    print_sending(out, telegram)
}

/// What goes wrong with what is sent, and with what was written or tapped.
fn print_sending(out: &Output, telegram: &TelegramStatus) -> std::io::Result<()> {
    if let Some(trouble) = &telegram.sending_trouble {
        out.line(format_args!("            {} wait to be sent: {}", telegram.waiting, visible(trouble)))?;
    }
    if let Some(TelegramRefused { count, last }) = &telegram.refused {
        let messages = if *count == 1 { "message" } else { "messages" };
        out.line(format_args!(
            "            {count} {messages} refused and not shown, the last {}: {}",
            ago(last.at),
            visible(&last.what)
        ))?;
    }
    if telegram.given_up > 0 {
        out.line(format_args!(
            "            {} of what was written or tapped FAILED and was given up; see the daemon's log",
            telegram.given_up
        ))?;
    }
    Ok(())
}

/// What keeps the bot of a running daemon from working; none where all is well, or no daemon runs.
pub(super) async fn trouble(context: &Context) -> Option<String> {
    let daemon = Daemon::connect(&context.paths).await.ok()?;
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

async fn unpair(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let mut person = widen::begin(&daemon, "to unpair").await?;
    person.say("The bot listens to nobody then, and someone else can be paired.")?;
    let challenge = widen::confirm(&mut person, "end the pairing", Width::PAIR)?;
    let was_paired = daemon.request(UnpairTelegram { challenge }).await?;
    context.output.show(&json!({"unpaired": was_paired}), |out| match was_paired {
        false => out.line("nobody was paired"),
        true => out.line("the bot listens to nobody now"),
    })?;
    Ok(())
}
