//! The menu of commands stands in the chat that the bot serves, and in no other.
//!
//! A chat is noted before the menu goes there, and forgotten after it is gone from there: wherever the daemon is
//! killed, and however long Telegram is down, none stays behind for good.

use std::time::Duration;

use super::super::bot::{Bot, BotError, ChatId, Command};
use super::super::courier::Courier;
use super::{Talk, command};
use crate::store::{Records, StoreError, telegram as kept};

/// The pauses between tries: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A bot, and the chat that it serves, if any.
pub(super) type Served = Option<(Courier, Option<ChatId>)>;

/// Why the menu does not stand as it is to stand.
enum Trouble {
    /// It helps to try again, after this time at the least.
    Later(Duration),
    /// The bot is no more.
    Gone,
}

impl Talk {
    /// Lets the menu follow the chat that is served, until the daemon is to end. The composition root spawns it.
    pub async fn keep_menu(self) {
        let keeping = async {
            let mut served = self.served.subscribe();
            loop {
                let now = served.borrow_and_update().clone();
                let follow = async {
                    if let Some((courier, chat)) = now {
                        self.follow_menu(courier.client(), chat).await;
                    }
                    std::future::pending::<()>().await;
                };
                // What is under way for a former chat is given up.
                tokio::select! {
                    changed = served.changed() => if changed.is_err() { return },
                    () = follow => {}
                }
            }
        };
        self.daemon.stop.run_until_cancelled(keeping).await;
    }

    async fn follow_menu(&self, bot: &Bot, chat: Option<ChatId>) {
        let (mut pause, most) = PAUSES;
        loop {
            let least = match self.place_menu(bot, chat).await {
                Ok(Ok(()) | Err(Trouble::Gone)) => return,
                Ok(Err(Trouble::Later(least))) => least,
                Err(error) => {
                    tracing::error!(%error, "the menu on Telegram waits");
                    Duration::ZERO
                }
            };
            tokio::time::sleep(pause.max(least)).await;
            pause = (2 * pause).min(most);
        }
    }

    async fn place_menu(&self, bot: &Bot, served: Option<ChatId>) -> Result<Result<(), Trouble>, StoreError> {
        let (id, store) = (bot.id().0, self.daemon.journal.store());
        if let Some(ChatId(chat)) = served {
            store.write(Records::None, move |store| kept::menu_goes(store, id, chat)).await?;
            let entry = |known: &command::Known| Command::new(known.name, known.what).ok();
            let menu: Vec<_> = command::COMMANDS.iter().filter_map(entry).collect();
            if let Err(trouble) = settled(bot.set_commands(ChatId(chat), &menu).await) {
                return Ok(Err(trouble));
            }
        }
        for chat in store.read(move |store| kept::menus(store, id))? {
            if Some(ChatId(chat)) == served {
                continue;
            }
            if let Err(trouble) = settled(bot.clear_commands(ChatId(chat)).await) {
                return Ok(Err(trouble));
            }
            store.write(Records::None, move |store| kept::menu_gone(store, id, chat)).await?;
        }
        Ok(Ok(()))
    }
}

/// Where the bot may not write, or knows no such chat, nobody sees a menu either.
fn settled(done: Result<(), BotError>) -> Result<(), Trouble> {
    match done {
        Ok(()) | Err(BotError::Blocked | BotError::Moved(_)) => Ok(()),
        Err(BotError::Refused(refusal)) => {
            tracing::warn!(%refusal, "Telegram refused the menu");
            Ok(())
        }
        Err(BotError::Unauthorized) => Err(Trouble::Gone),
        Err(BotError::RetryAfter(least)) => Err(Trouble::Later(least.wait())),
        Err(BotError::Server(_) | BotError::Conflict | BotError::Network(_) | BotError::Nonsense) => {
            Err(Trouble::Later(Duration::ZERO))
        }
    }
}
