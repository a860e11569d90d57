//! Keeps the configured bot connected: polls, sends, and reconnects when the configuration changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::config::{NoticeSettings, TelegramSettings};
use portero::ipc::{TelegramState, TelegramTrouble};
use portero::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::aside::Aside;
use super::client::{Bot, BotAccount, BotAddress, BotError, ChatId, Refusal};
use super::sender::{SendTiming, TelegramSender, backoff_delay};
use super::updates::{PollTiming, UpdateHandler, UpdateListener};
use crate::auth::pairing::{ConfiguredBot, DecidingGroup};
use crate::bot_health::SendingState;
use crate::daemon::Daemon;

/// The timing of everything on Telegram; a test passes its own.
#[derive(Debug, Clone)]
pub struct TelegramTiming {
    /// The timing of sending.
    pub sending: SendTiming,
    /// The timing of polling.
    pub polling: PollTiming,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// The person's time zone.
    pub zone: TimeZone,
    /// How often it is checked whether the audit's head is due.
    pub audit_head_interval: Duration,
    /// How long news is gathered after a message.
    pub news_window: Duration,
}

impl Default for TelegramTiming {
    fn default() -> Self {
        Self {
            sending: SendTiming::default(),
            polling: PollTiming::default(),
            request_timeout: BotAddress::DEFAULT_REQUEST_TIMEOUT,
            zone: TimeZone::system(),
            audit_head_interval: Duration::from_secs(60),
            news_window: Duration::from_secs(10),
        }
    }
}

/// The settings of a connection; a change of them makes a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DesiredConnection {
    telegram: TelegramSettings,
    proxy: Option<Secret>,
    /// How often a pairing was ended. A change reconnects, so that nothing is sent to a former chat.
    unpair_count: u64,
}

/// How long to wait before storing a group's move again.
const STORE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a connection ended.
enum DisconnectReason {
    /// It was asked to stop.
    Stopped,
    /// Telegram doesn't know the bot; the field says whether it did before.
    BotUnknown { was_known: bool },
    /// The chat has a new number.
    ChatMigrated,
}

/// Serves the configured bot, whichever it is, until the daemon ends.
pub async fn serve(daemon: Arc<Daemon>, flow: Arc<dyn UpdateHandler>, tuning: TelegramTiming) {
    let mut former = None;
    let (mut configs, mut unpaired) = (daemon.config.subscribe(), daemon.pairing.subscribe_unpaired());
    while !daemon.lifecycle.stop_signal().is_cancelled() {
        let wanted = desired_connection(&daemon);
        let stop = daemon.lifecycle.stop_signal().child_token();
        let other_is_wanted = async {
            // The senders live as long as the daemon. After the end of a pairing the connection is replaced, so that
            // nothing that waits goes to a person who is not paired any more.
            while desired_connection(&daemon) == wanted {
                tokio::select! {
                    _ = configs.changed() => {}
                    _ = unpaired.changed() => {}
                }
            }
            stop.cancel();
        };
        let link = serve_bot((&daemon, &flow, &tuning), wanted.as_ref(), &mut former, &stop);
        tokio::pin!(link);
        tokio::select! {
            () = other_is_wanted => link.await,
            () = &mut link => {}
        }
    }
}

fn desired_connection(daemon: &Daemon) -> Option<DesiredConnection> {
    let telegram = daemon.config.current().settings.telegram.clone()?;
    // Notices are read when they are sent, so a change of their settings needs no new connection.
    let telegram = TelegramSettings { notices: NoticeSettings::default(), ..telegram };
    let proxy = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find_map(|name| daemon.config.variable(name).filter(|value| !value.is_empty()))
        .map(Secret::new);
    Some(DesiredConnection { telegram, proxy, unpair_count: daemon.pairing.unpair_count() })
}

/// Serves one bot until `stop`. An invalid configuration waits for the next one.
///
/// `former` is the last sender, whose usage the next one takes over.
async fn serve_bot(
    (daemon, flow, tuning): (&Arc<Daemon>, &Arc<dyn UpdateHandler>, &TelegramTiming),
    wanted: Option<&DesiredConnection>,
    former: &mut Option<TelegramSender>,
    stop: &CancellationToken,
) {
    let health = &daemon.bot_health;
    let Some(DesiredConnection { telegram, proxy, .. }) = wanted else {
        health.reset(TelegramState::Off, None);
        return stop.cancelled().await;
    };
    let address = BotAddress {
        token: telegram.token.clone(),
        api_url: telegram.api_url.clone(),
        proxy: proxy.clone(),
        request_timeout: tuning.request_timeout,
    };
    let bot = match Bot::new(&address) {
        Ok(bot) => bot,
        Err(error) => {
            health.reset(TelegramState::Invalid, None);
            note_trouble(daemon, TelegramState::Invalid, "invalid", error.to_string());
            return stop.cancelled().await;
        }
    };
    let place = bot_endpoint(&bot, telegram);
    health.reset(TelegramState::Connecting, Some(place.clone()));
    let mut tries = 0;
    loop {
        let ended = match stop.run_until_cancelled(fetch_account(daemon, &bot, tuning)).await {
            None => return,
            Some(None) => DisconnectReason::BotUnknown { was_known: false },
            Some(Some(me)) => {
                let (listener, sender) = connect_bot(daemon, flow, tuning, (&bot, me, &place));
                if let Some(former) = former.replace(sender.clone()) {
                    sender.inherit_usage(&former);
                }
                run_connection(daemon, &listener, &sender, stop).await
            }
        };
        match ended {
            DisconnectReason::Stopped => return,
            DisconnectReason::ChatMigrated => continue,
            DisconnectReason::BotUnknown { was_known: true } => tries = 0,
            DisconnectReason::BotUnknown { was_known: false } => {}
        }
        let error = BotError::Unauthorized;
        note_trouble(daemon, TelegramState::Unauthorized, error.kind(), error.to_string());
        // A revoked token never works again, but Telegram reports the same during outages, so the bot is
        // tried again.
        let PollTiming {
            initial_unknown_bot_backoff: first_unknown_pause,
            max_unknown_bot_backoff: unknown_pause,
            ..
        } = tuning.polling;
        let pause = backoff_delay(first_unknown_pause, unknown_pause, tries, rand::random());
        tries = tries.saturating_add(1);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// The listener and the sender for a bot that answered with its name.
fn connect_bot(
    daemon: &Arc<Daemon>,
    flow: &Arc<dyn UpdateHandler>,
    tuning: &TelegramTiming,
    (bot, me, place): (&Bot, BotAccount, &ConfiguredBot),
) -> (UpdateListener, TelegramSender) {
    let sender = TelegramSender::new(
        bot.clone(),
        Arc::clone(&daemon.journal),
        Arc::clone(&daemon.anonymizer),
        tuning.sending.clone(),
    );
    let waiting = sender.clone();
    let in_group = place.group.is_some();
    let sending = move || SendingState {
        waiting: waiting.pending_count(),
        trouble: waiting.current_error().map(|error| describe_send_error(&error, in_group)),
        refused: waiting.refusals(),
    };
    daemon.bot_health.set_connected(me.username.clone(), Arc::new(sending));
    let listener = UpdateListener {
        bot: bot.clone(),
        username: me.username,
        endpoint: place.clone(),
        journal: Arc::clone(&daemon.journal),
        pairing: Arc::clone(&daemon.pairing),
        bot_health: Arc::clone(&daemon.bot_health),
        sender: sender.clone(),
        handler: Arc::clone(flow),
        timing: tuning.polling.clone(),
        aside: Aside::new(daemon.paths.updates(bot.id().0)),
        last_whoami: Mutex::default(),
        has_polled: AtomicBool::new(false),
    };
    (listener, sender)
}

fn bot_endpoint(bot: &Bot, telegram: &TelegramSettings) -> ConfiguredBot {
    let group = telegram.group.as_ref().map(|group| DecidingGroup {
        chat: group.chat,
        // Telegram's user numbers fit, so a number that doesn't can't be a user's.
        deciders: group.deciders.iter().filter_map(|user| i64::try_from(*user).ok()).collect(),
    });
    ConfiguredBot { bot: bot.id().0, api_url: telegram.api_url.clone(), admin: telegram.admin, group }
}

/// Sends and polls until `stop`, until Telegram no longer knows the bot, or until the chat has a new number.
/// A waiting poll is cancelled.
async fn run_connection(
    daemon: &Daemon,
    listener: &UpdateListener,
    sender: &TelegramSender,
    stop: &CancellationToken,
) -> DisconnectReason {
    match listener.pairing.authorized_chat(&listener.endpoint) {
        Ok(authorized_chat) => listener.handler.chat_connected(sender, authorized_chat),
        Err(error) => tracing::error!(%error, "it cannot be told who is paired"),
    }
    let ending = stop.child_token();
    let sending = sender.run(ending.clone());
    tokio::pin!(sending);
    let listening = async {
        tokio::select! {
            () = stop.cancelled() => DisconnectReason::Stopped,
            () = listener.poll_updates() => DisconnectReason::BotUnknown { was_known: true },
            () = wait_for_migration(daemon, listener, sender) => DisconnectReason::ChatMigrated,
        }
    };
    let ended = tokio::select! {
        _ = &mut sending => None,
        ended = listening => Some(ended),
    };
    match ended {
        Some(ended @ (DisconnectReason::Stopped | DisconnectReason::ChatMigrated)) => {
            // Deliveries in progress may still arrive.
            ending.cancel();
            sending.await;
            ended
        }
        None if stop.is_cancelled() => DisconnectReason::Stopped,
        None | Some(DisconnectReason::BotUnknown { .. }) => {
            DisconnectReason::BotUnknown { was_known: listener.has_polled.load(Ordering::Relaxed) }
        }
    }
}

/// Returns once the authorized group became a supergroup and that is stored.
async fn wait_for_migration(daemon: &Daemon, listener: &UpdateListener, sender: &TelegramSender) {
    let mut moves = sender.watch_migrations();
    loop {
        let known = *moves.borrow_and_update();
        if let Some((ChatId(from), ChatId(to))) = known {
            match listener.pairing.note_group_moved(&listener.endpoint, from, to).await {
                Ok(true) => {
                    tracing::warn!("Telegram: the group {from} is a supergroup now, and is followed to {to}");
                    return;
                }
                // It is another chat.
                Ok(false) => {}
                Err(error) => {
                    note_trouble(daemon, TelegramState::Troubled, "store", error.to_string());
                    tokio::time::sleep(STORE_RETRY_INTERVAL).await;
                    continue;
                }
            }
        }
        // The sender lives as long as the connection.
        let _ = moves.changed().await;
    }
}

/// Asks for the bot's own data until it answers. None if Telegram doesn't know the bot.
async fn fetch_account(daemon: &Daemon, bot: &Bot, tuning: &TelegramTiming) -> Option<BotAccount> {
    let PollTiming { initial_backoff: first_pause, max_backoff: longest_pause, .. } = tuning.polling;
    let mut failures = 0;
    loop {
        match bot.get_me().await {
            Ok(me) => return Some(me),
            Err(BotError::Unauthorized) => return None,
            Err(error) => {
                note_trouble(daemon, TelegramState::Troubled, error.kind(), error.to_string());
                let pause = backoff_delay(first_pause, longest_pause, failures, rand::random());
                let asked = match error {
                    BotError::RetryAfter(after) => after.wait(),
                    BotError::ServerError(_)
                    | BotError::Conflict
                    | BotError::Unauthorized
                    | BotError::Blocked
                    | BotError::Migrated(_)
                    | BotError::Refused(_)
                    | BotError::Network(_)
                    | BotError::InvalidResponse => Duration::ZERO,
                };
                tokio::time::sleep(pause.max(asked)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

/// The problem with sending, and the next step.
fn describe_send_error(error: &BotError, in_group: bool) -> String {
    match (error, in_group) {
        (BotError::Blocked | BotError::Refused(Refusal::ChatUnknown | Refusal::WriteForbidden), true) => {
            format!(
                "{error}: the bot is not in the group, or may not write there; add it, or let it send messages. What \
             waits is sent by itself then"
            )
        }
        (BotError::Blocked | BotError::Refused(Refusal::ChatUnknown | Refusal::WriteForbidden), false) => {
            format!(
                "{error}: write /start to the bot, and do not block it. What waits is sent by itself then"
            )
        }
        (error, _) => error.to_string(),
    }
}

fn note_trouble(daemon: &Daemon, state: TelegramState, kind: &str, what: String) {
    let at = daemon.clock.now().wall;
    daemon.bot_health.note_trouble(state, TelegramTrouble { at, kind: kind.to_owned(), what });
}
