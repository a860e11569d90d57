//! Tells the board what the outbox holds: every task that waits gets a card, and every change of a task changes
//! what is shown of it.
//!
//! What a notice changes is stored before the notice is acknowledged; so the outbox never waits for Telegram.

use std::sync::Arc;
use std::time::Duration;

use portero::notice::{Entry, Notice};
use portero::task::State;

use super::board::{Board, Link};
use crate::daemon::Daemon;
use crate::store::{StoreError, cards as kept};

/// The channel's name in the outbox.
const CHANNEL: &str = "telegram";
/// How long to wait before trying again what failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows outbox and link until the daemon is to end. The composition root spawns it.
pub(super) async fn run(board: Arc<Board>) {
    let telling = async {
        let (mut changes, mut links) = (board.daemon.outbox.changes(), board.link.subscribe());
        let mut met = Met::default();
        loop {
            let link = links.borrow_and_update().clone();
            if let Err(error) = follow(&board, link.as_ref(), &mut met).await {
                tracing::error!(%error, "what a person is to be told on Telegram waits");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = links.changed() => {}
            }
        }
    };
    board.daemon.stop.run_until_cancelled(telling).await;
}

/// Which link was begun with. Links are compared: when the outbox and the link change at once, either may be what
/// wakes, and the link's change is seen by then.
#[derive(Default)]
enum Met {
    #[default]
    Nothing,
    /// There is none, and the channel is unregistered.
    NoLink,
    Link(Link),
}

async fn follow(board: &Arc<Board>, link: Option<&Link>, met: &mut Met) -> Result<(), StoreError> {
    let Some(link) = link else {
        // Nobody is to be told anything here; who comes next begins with what is open.
        if !matches!(met, Met::NoLink) && no_bot(&board.daemon) {
            board.daemon.outbox.unregister(CHANNEL).await?;
            *met = Met::NoLink;
        }
        return Ok(());
    };
    if !matches!(met, Met::Link(known) if known.is(link)) {
        begin(board, link).await?;
        *met = Met::Link(link.clone());
    }
    while take(board, link).await? {}
    Ok(())
}

/// Whether the configuration names no bot, or its bot listens to nobody.
pub(super) fn no_bot(daemon: &Daemon) -> bool {
    let seen = daemon.weather.seen();
    match seen.place {
        None => daemon.config.load().settings.telegram.is_none(),
        Some(place) => matches!(daemon.pairing.circle(&place), Ok(None)),
    }
}

/// Everything that waits has its card, and what a former link did not bring is brought.
async fn begin(board: &Arc<Board>, link: &Link) -> Result<(), StoreError> {
    board.daemon.outbox.register(CHANNEL).await?;
    let (at, now) = (link.at, board.daemon.clock.now().wall);
    let change = move |store: &rusqlite::Connection| {
        kept::catch_up(store, at)?;
        kept::ask_all(store, at, now)
    };
    board.write(change).await?;
    board.taps.forget().await?;
    board.refresh_all()
}

/// Takes in what comes next, and tells whether there was anything.
async fn take(board: &Arc<Board>, link: &Link) -> Result<bool, StoreError> {
    let outbox = &board.daemon.outbox;
    let entries = outbox.next(CHANNEL)?;
    let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok(false) };
    let (at, now) = (link.at, board.daemon.clock.now().wall);
    board
        .write(move |store| {
            for Entry { at: when, notice, .. } in &entries {
                match notice {
                    Notice::Task { task, state: State::PendingApproval, .. } => {
                        kept::ask(store, at, *task, now)?;
                    }
                    Notice::Task { task, state, by, .. } => {
                        kept::came(store, at, *task, (*state, by, *when))?;
                    }
                    Notice::Vote { task, .. } => {
                        // Of several notices about it this may be the first that is left.
                        kept::ask(store, at, *task, now)?;
                        kept::changes(store, at, *task)?;
                    }
                    // `talk` tells them, as a channel of its own.
                    Notice::Grant { .. }
                    | Notice::Rule { .. }
                    | Notice::Paused
                    | Notice::Resumed
                    | Notice::Config { .. }
                    | Notice::Alarm { .. } => {}
                }
            }
            Ok(())
        })
        .await?;
    #[cfg(test)]
    crate::crash::reached("card kept");
    outbox.acknowledge(CHANNEL, last).await?;
    board.refresh_all()?;
    Ok(true)
}
