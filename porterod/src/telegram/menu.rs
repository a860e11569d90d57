//! Keeps the menu of commands in the authorized chat, and in no other.
//!
//! A chat is stored before its menu is set, and removed after its menu is cleared. So no menu stays behind
//! for good, even after a crash or while Telegram is down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::{Bot, BotError, ChatId, MenuCommand};
use super::command_parser;
use super::sender::TelegramSender;
use crate::daemon::Daemon;
use crate::store::{Durability, StoreError, telegram as kept};

/// The first and the longest pause between attempts.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A bot and its authorized chat, if any.
type ServedChat = Option<(TelegramSender, Option<ChatId>)>;

/// Why the menu isn't right yet.
enum MenuError {
    /// Retry after this time at the earliest.
    RetryAfter(Duration),
    /// The bot no longer exists.
    BotGone,
}

/// Synchronizes the menu. Clones share their state.
#[derive(Clone)]
pub struct MenuSync {
    daemon: Arc<Daemon>,
    served: watch::Sender<ServedChat>,
}

impl std::fmt::Debug for MenuSync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MenuSync").finish_non_exhaustive()
    }
}

impl MenuSync {
    /// No chat is served yet.
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon, served: watch::Sender::new(None) }
    }

    /// Sets the chat that this bot serves from now on.
    pub(super) fn serve(&self, sender: &TelegramSender, chat: Option<ChatId>) {
        self.served.send_replace(Some((sender.clone(), chat)));
    }

    /// Updates the menu whenever the served chat changes, until the daemon ends. The composition root spawns
    /// it.
    pub async fn run(self) {
        let keeping = async {
            let mut served = self.served.subscribe();
            loop {
                let now = served.borrow_and_update().clone();
                let follow = async {
                    if let Some((sender, chat)) = now {
                        self.place_menu_with_retries(sender.client(), chat).await;
                    }
                    std::future::pending::<()>().await;
                };
                // A change cancels the work for the former chat.
                tokio::select! {
                    changed = served.changed() => if changed.is_err() { return },
                    () = follow => {}
                }
            }
        };
        self.daemon.lifecycle.stop_signal().run_until_cancelled(keeping).await;
    }

    async fn place_menu_with_retries(&self, bot: &Bot, chat: Option<ChatId>) {
        let (mut pause, most) = RETRY_BACKOFF;
        loop {
            let least = match self.place_menu(bot, chat).await {
                Ok(Ok(()) | Err(MenuError::BotGone)) => return,
                Ok(Err(MenuError::RetryAfter(least))) => least,
                Err(error) => {
                    tracing::error!(%error, "the menu on Telegram waits");
                    Duration::ZERO
                }
            };
            tokio::time::sleep(pause.max(least)).await;
            pause = (2 * pause).min(most);
        }
    }

    async fn place_menu(
        &self,
        bot: &Bot,
        served: Option<ChatId>,
    ) -> Result<Result<(), MenuError>, StoreError> {
        let (id, store) = (bot.id().0, self.daemon.journal.store());
        if let Some(ChatId(chat)) = served {
            store.write(Durability::StoreSynced, move |store| kept::add_menu(store, id, chat)).await?;
            let entry =
                |known: &command_parser::CommandSpec| MenuCommand::new(known.name, known.summary).ok();
            let menu: Vec<_> = command_parser::COMMANDS.iter().filter_map(entry).collect();
            if let Err(trouble) = menu_result(bot.set_commands(ChatId(chat), &menu).await) {
                return Ok(Err(trouble));
            }
        }
        for chat in store.read(move |store| kept::menu_chats(store, id))? {
            if Some(ChatId(chat)) == served {
                continue;
            }
            if let Err(trouble) = menu_result(bot.clear_commands(ChatId(chat)).await) {
                return Ok(Err(trouble));
            }
            store.write(Durability::StoreSynced, move |store| kept::remove_menu(store, id, chat)).await?;
        }
        Ok(Ok(()))
    }
}

/// A refusal counts as success: in a chat where the bot may not write, no menu is visible either.
fn menu_result(done: Result<(), BotError>) -> Result<(), MenuError> {
    match done {
        Ok(()) | Err(BotError::Blocked | BotError::Migrated(_)) => Ok(()),
        Err(BotError::Refused(refusal)) => {
            tracing::warn!(%refusal, "Telegram refused the menu");
            Ok(())
        }
        Err(BotError::Unauthorized) => Err(MenuError::BotGone),
        Err(BotError::RetryAfter(least)) => Err(MenuError::RetryAfter(least.wait())),
        Err(
            BotError::ServerError(_) | BotError::Conflict | BotError::Network(_) | BotError::InvalidResponse,
        ) => Err(MenuError::RetryAfter(Duration::ZERO)),
    }
}
