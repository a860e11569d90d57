//! Moves notices from the outbox to the cards: a waiting task gets a card, and a changed task changes its
//! card.
//!
//! The change is stored before its notice is acknowledged, so the outbox never waits for Telegram.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use portero::names::TaskId;
use portero::notice::{Notice, NoticeEntry};
use portero::task::TaskState;
use rusqlite::Connection;

use super::card_sync::CardSync;
use super::chat_link::ChatLink;
use crate::daemon::Daemon;
use crate::presentation::burst::{ListState, RecentMessage, joins};
use crate::store::StoreError;
use crate::store::card_lists::{self, LatestMessage};
use crate::store::cards::{self as kept, BotChat};

/// The channel's name in the outbox.
const OUTBOX_CHANNEL: &str = "telegram";
/// How long the pages of a list can be turned after it began, once its calls have ended.
const LIST_RETENTION: SignedDuration = SignedDuration::from_hours(24 * 7);
/// How long to wait before retrying after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Follows the outbox and the connection until the daemon ends. The composition root spawns it.
pub(super) async fn run_consumer(cards: Arc<CardSync>) {
    let telling = async {
        let (mut changes, mut links) = (cards.daemon.outbox.subscribe(), cards.link.subscribe());
        let mut met = LastLink::default();
        loop {
            let link = links.borrow_and_update().clone();
            if let Err(error) = consume_notices(&cards, link.as_ref(), &mut met).await {
                tracing::error!(%error, "what a person is to be told on Telegram waits");
                tokio::time::sleep(RETRY_INTERVAL).await;
                continue;
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = links.changed() => {}
            }
        }
    };
    cards.daemon.lifecycle.stop_signal().run_until_cancelled(telling).await;
}

/// The connection that was last begun. Connections are compared because outbox and connection may change at
/// once, and then either may be the wake-up.
#[derive(Default)]
enum LastLink {
    #[default]
    Unset,
    /// There is none, and the channel is unregistered.
    Absent,
    Present(ChatLink),
}

async fn consume_notices(
    cards: &Arc<CardSync>,
    link: Option<&ChatLink>,
    met: &mut LastLink,
) -> Result<(), StoreError> {
    let Some(link) = link else {
        // No chat is authorized, so nothing is kept for one. The next authorized chat begins with the open
        // tasks.
        if !matches!(met, LastLink::Absent) && has_no_recipient(&cards.daemon) {
            cards.daemon.outbox.unregister_channel(OUTBOX_CHANNEL).await?;
            *met = LastLink::Absent;
        }
        return Ok(());
    };
    if !matches!(met, LastLink::Present(known) if known.is_same(link)) {
        begin_link(cards, link).await?;
        *met = LastLink::Present(link.clone());
    }
    while take_next_batch(cards, link).await? {}
    Ok(())
}

/// Whether the configuration names no bot, or its bot has no authorized chat.
pub(super) fn has_no_recipient(daemon: &Daemon) -> bool {
    let seen = daemon.bot_health.state();
    match seen.bot {
        None => daemon.config.current().settings.telegram.is_none(),
        Some(place) => matches!(daemon.pairing.authorized_chat(&place), Ok(None)),
    }
}

/// Begins a connection: every waiting task gets its card, and undrawn messages are drawn.
async fn begin_link(cards: &Arc<CardSync>, link: &ChatLink) -> Result<(), StoreError> {
    cards.daemon.outbox.register_channel(OUTBOX_CHANNEL).await?;
    let (at, now) = (link.bot_chat, cards.daemon.clock.now().wall);
    let change = move |store: &Connection| {
        card_lists::prune_lists(store, now - LIST_RETENTION)?;
        kept::mark_ended_undrawn(store, at)?;
        kept::waiting_tasks(store)?.into_iter().try_for_each(|task| add_card(store, at, task, now))
    };
    cards.write_store(change).await?;
    cards.buttons.prune_buttons().await?;
    cards.redraw_stale()
}

/// Adds a card for a waiting task, unless it has one. A call that arrives soon after another one of its
/// session joins the other's message, which becomes a list.
fn add_card(store: &Connection, at: BotChat, task: TaskId, arrived: Timestamp) -> Result<(), StoreError> {
    if kept::find_card(store, at, task)?.is_some() {
        return Ok(());
    }
    let latest = card_lists::latest_message(store, at, task)?;
    let joined = latest.as_ref().filter(|message| joins(&recent_message(message), arrived));
    let list = match joined {
        None => None,
        Some(LatestMessage { list: Some(list), .. }) => Some(list.clone()),
        Some(first) => Some(card_lists::begin_list(store, at, first.task)?),
    };
    kept::insert_card(store, at, (task, arrived), list.as_deref())?;
    // A list that it didn't join says that one came since.
    match list.or_else(|| latest.and_then(|message| message.list)) {
        Some(changed) => kept::mark_list_changed(store, at, &changed),
        None => Ok(()),
    }
}

fn recent_message(message: &LatestMessage) -> RecentMessage {
    let LatestMessage { first, last, count, is_untouched, view, .. } = message;
    let is_untouched = *is_untouched && ListState::parse(view).is_untouched();
    RecentMessage { first: *first, last: *last, count: *count, is_untouched }
}

/// Takes the next batch of notices, and returns whether there was one.
async fn take_next_batch(cards: &Arc<CardSync>, link: &ChatLink) -> Result<bool, StoreError> {
    let outbox = &cards.daemon.outbox;
    let entries = outbox.next_entries(OUTBOX_CHANNEL)?;
    let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(false) };
    let at = link.bot_chat;
    cards
        .write_store(move |store| {
            for NoticeEntry { at: when, notice, .. } in &entries {
                match notice {
                    Notice::Task { task, state: TaskState::PendingApproval, .. } => {
                        add_card(store, at, *task, *when)?;
                    }
                    Notice::Task { task, state, by, .. } => {
                        kept::record_state_change(store, at, *task, (*state, by, *when))?;
                    }
                    Notice::Vote { task, .. } => {
                        // Earlier notices about this task may have been removed, so the card may be missing.
                        add_card(store, at, *task, *when)?;
                        kept::mark_changed(store, at, *task)?;
                    }
                    // `notices::news` reports these as a channel of its own.
                    Notice::Grant { .. }
                    | Notice::Rule { .. }
                    | Notice::Token { .. }
                    | Notice::Paused
                    | Notice::Resumed
                    | Notice::Config { .. }
                    | Notice::Definitions { .. }
                    | Notice::Login { .. }
                    | Notice::Alarm { .. } => {}
                }
            }
            Ok(())
        })
        .await?;
    #[cfg(test)]
    crate::crash::crash_at("card kept");
    outbox.acknowledge(OUTBOX_CHANNEL, last).await?;
    cards.redraw_stale()?;
    Ok(true)
}
