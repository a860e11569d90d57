//! The message of what ran without asking, with its buttons: sent, pressed, and drawn anew.
//!
//! What it shows follows from what it tells and from the rules in force. That it is to be drawn is stored before
//! it is, so a crash in between is made good when the chat is linked again.

use portero::pipeline::BoxFuture;

use super::super::bot::{Button, ChatId, Keyboard, MessageId, Refusal, Room, TopicId};
use super::super::courier::{Cause, Courier, Edit, Letter, Rank, Undelivered};
use super::super::screens::activity::{Does, Stands, Told, rows, stands};
use super::super::text::MESSAGE_MOST;
use super::{Here, Talk};
use crate::api;
use crate::pairing::Circle;
use crate::rules::{Restricted, RulesError};
use crate::store::{Records, StoreError, notices as kept};
use crate::taps::{Act, Restricting, Restriction, Spot, Stricter};

/// What the buttons that turn its pages begin with.
const OURS: &str = "notice";

/// Which page of a notice's tools a button opens, of none the notice itself; none where it is no such button.
pub(super) fn opened(what: &str) -> Option<Option<usize>> {
    match what.strip_prefix(OURS)? {
        "" => Some(None),
        page => page.strip_prefix(' ')?.parse().ok().map(Some),
    }
}

impl Talk {
    /// Sends it, and gives what to wait for until it is there. Where its buttons cannot be kept it goes without,
    /// and where its topic takes nothing it goes to General.
    pub(super) async fn send_notice(
        &self,
        told: &Told,
        (courier, circle): (&Courier, &Circle),
        topic: Option<TopicId>,
    ) -> Option<BoxFuture<'static, Result<MessageId, Undelivered>>> {
        let cause = Cause::new("ran", rand::random::<u64>());
        let spot = Spot {
            bot: courier.bot().0,
            chat: circle.chat(),
            user: circle.owner(),
            cause: cause.as_str().to_owned(),
        };
        let stands = self.stands(told);
        let keyboard = match self.keep_notice(spot, told, &stands).await {
            Ok(keyboard) => keyboard,
            Err(error) => {
                tracing::warn!(%error, "what ran is told without buttons");
                None
            }
        };
        let message = told.text(&stands).message(MESSAGE_MOST)?;
        let (chat, letter, courier) =
            (ChatId(circle.chat()), Letter::Text(message, keyboard), courier.clone());
        let sent = courier.send(Room { chat, topic }, letter.clone(), Rank::Notice, cause.clone());
        Some(Box::pin(async move {
            match sent.outcome().await {
                Err(Undelivered::Refused(Refusal::TopicGone | Refusal::TopicClosed)) => {
                    courier.send(chat, letter, Rank::Notice, cause).outcome().await
                }
                told => told,
            }
        }))
    }

    async fn keep_notice(
        &self,
        spot: Spot,
        told: &Told,
        stands: &Stands,
    ) -> Result<Option<Keyboard>, StoreError> {
        let now = self.daemon.clock.now().wall;
        let (kept_for, told) = (spot.clone(), portero::json::raw(told).get().to_owned());
        self.write(move |store| kept::keep(store, &kept_for, &told, now)).await?;
        self.notice_keyboard(spot, rows(stands, None)).await
    }

    /// Makes the rule of a button, and what to answer.
    pub(super) async fn restrict(
        &self,
        restricting: &Restricting,
        message: MessageId,
        here: &Here,
    ) -> (String, bool) {
        let done = api::restricted(&self.daemon, restricting).await;
        #[cfg(test)]
        crate::crash::reached("tool restricted");
        // What narrows is in force, whether the disk takes what is to be drawn or not.
        if let Err(error) = self.redraw(restricting.spot(), message, &here.courier).await {
            tracing::warn!(%error, "a notice on Telegram stands as it was before");
        }
        #[cfg(test)]
        crate::crash::reached("notice drawn");
        match done {
            Ok(Restricted::Made(rule)) => (made(restricting.restriction(), rule.id), false),
            Ok(Restricted::Was(rule)) => {
                (format!("Rule {} says so already. Nothing was changed.", rule.id), false)
            }
            Err(RulesError::NotKept(_)) => {
                let words = "It is in force, but could not be stored, and is lost if the daemon ends now. Look at \
                             the disk.";
                (words.to_owned(), true)
            }
            Err(error) => {
                tracing::info!(%error, "a button below a notice changed nothing");
                ("This could not be done. Nothing was changed: look at `portero status`.".to_owned(), true)
            }
        }
    }

    /// The same press came before: its rule is made.
    pub(super) async fn restricted_before(
        &self,
        restricting: &Restricting,
        message: MessageId,
        here: &Here,
    ) -> Result<String, StoreError> {
        self.redraw(restricting.spot(), message, &here.courier).await?;
        let restriction = restricting.restriction();
        let now = self.daemon.clock.now();
        let standing = self.daemon.rules.standing();
        Ok(match standing.restricts(&restriction.tool, restriction.to.action(), now) {
            Some(rule) => made(restriction, rule.id),
            None => "This was done, and ended since.".to_owned(),
        })
    }

    /// Opens a page of its tools, or the message itself again.
    pub(super) async fn open_notice(
        &self,
        page: Option<usize>,
        spot: Spot,
        message: MessageId,
        here: &Here,
    ) -> Result<(), StoreError> {
        let turned = spot.clone();
        self.write(move |store| kept::turn(store, &turned, page)).await?;
        self.draw_notice(spot, message, &here.courier).await
    }

    /// Draws what the chat does not show as it is to be. What cannot be drawn now is drawn with the next link.
    pub(super) async fn redraw_notices(&self, courier: &Courier, circle: &Circle) {
        let (bot, now) = (courier.bot().0, self.daemon.clock.now().wall);
        let chat = circle.chat();
        let undrawn = self.daemon.journal.store().read(move |store| kept::undrawn(store, bot, chat));
        let drawn = async {
            self.write(move |store| kept::forget(store, now)).await?;
            for (cause, message) in undrawn? {
                let spot = Spot { bot, chat: circle.chat(), user: circle.owner(), cause };
                self.draw_notice(spot, MessageId(message), courier).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = drawn.await {
            tracing::warn!(%error, "what ran stands on Telegram as it was before");
        }
    }

    async fn redraw(&self, spot: &Spot, message: MessageId, courier: &Courier) -> Result<(), StoreError> {
        let stale = spot.clone();
        self.write(move |store| kept::again(store, &stale)).await?;
        self.draw_notice(spot.clone(), message, courier).await
    }

    async fn draw_notice(&self, spot: Spot, message: MessageId, courier: &Courier) -> Result<(), StoreError> {
        let wanted = spot.clone();
        let Some(notice) = self.daemon.journal.store().read(move |store| kept::find(store, &wanted))? else {
            return Ok(());
        };
        let Ok(told) = serde_json::from_str::<Told>(&notice.told) else {
            // It stays as it is: what it told can no more be told again.
            return Ok(());
        };
        let stands = self.stands(&told);
        let text = match notice.page {
            None => told.text(&stands),
            Some(page) => told.list(page, &stands),
        };
        let keyboard = self.notice_keyboard(spot.clone(), rows(&stands, notice.page)).await?;
        let Some(text) = text.message(MESSAGE_MOST) else { return Ok(()) };
        let edited = courier.edit(ChatId(spot.chat), message, Edit::Text(text, keyboard));
        let talk = self.clone();
        self.daemon.work.spawn(async move {
            match edited.outcome().await {
                // What Telegram refuses once, such as a message that the person removed, it refuses always.
                Ok(_) | Err(Undelivered::Refused(_)) => {
                    if let Err(error) =
                        talk.write(move |store| kept::drawn(store, &spot, notice.version)).await
                    {
                        tracing::warn!(%error, "a notice on Telegram will be drawn once more");
                    }
                }
                Err(Undelivered::Unreachable | Undelivered::Dropped | Undelivered::Closed) => {}
            }
        });
        Ok(())
    }

    fn stands(&self, told: &Told) -> Stands {
        stands(told, &self.daemon.policy.load(), self.daemon.clock.now())
    }

    /// Its buttons, known from now on. Those that it had go on counting: they narrow, or turn a page.
    async fn notice_keyboard(
        &self,
        spot: Spot,
        rows: Vec<Vec<(String, Does)>>,
    ) -> Result<Option<Keyboard>, StoreError> {
        let acts = rows.iter().flatten().map(|(_, does)| (None, act(does))).collect();
        let mut tokens = self.taps.add(spot, acts).await?.into_iter();
        let mut button = |label: String| Button::new(label, tokens.next()?).ok();
        let row = |row: Vec<(String, Does)>| row.into_iter().filter_map(|(label, _)| button(label)).collect();
        Ok(Keyboard::new(rows.into_iter().map(row).collect()).ok())
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.daemon.journal.store().write(Records::Unsynced, change).await
    }
}

fn act(does: &Does) -> Act {
    match does {
        Does::Restrict(restriction) => Act::Restrict(restriction.clone()),
        Does::Open(None) => Act::Show(OURS.to_owned()),
        Does::Open(Some(page)) => Act::Show(format!("{OURS} {page}")),
    }
}

fn made(restriction: &Restriction, id: u64) -> String {
    let fate = match restriction.to {
        Stricter::Ask => "asks",
        Stricter::Deny => "is denied",
    };
    format!("This tool {fate} from now on: rule {id}. Undo it with /unrule {id}")
}
