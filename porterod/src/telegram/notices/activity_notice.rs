//! The message about calls that ran without a question: sending it, its buttons, and redrawing it.
//!
//! Its content follows from its stored summary and the current rules. The redraw is stored before it is made,
//! so after a crash the next connection makes it.

use portero::pipeline::BoxFuture;

use super::super::chat_link::ChatLink;
use super::super::client::{ChatId, Destination, InlineKeyboard, MessageId, Refusal, TopicId};
use super::super::inline_buttons;
use super::super::sender::{
    DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendPriority, TelegramSender,
};
use super::super::text::{MAX_MESSAGE_UNITS, ToMessages as _};
use super::NoticeSender;
use crate::api;
use crate::auth::buttons::{ButtonPress, MessageRef, Restriction};
use crate::presentation::notices::activity::{
    ActivitySummary, RulesByTool, button_rows, restriction_reply, rule_made_reply, rules_by_tool,
};
use crate::presentation::press::PressReply;
use crate::store::cards::BotChat;
use crate::store::{Durability, StoreError, telegram_notices as kept};

impl NoticeSender {
    /// Sends the message, and returns a future of its delivery. If its buttons can't be stored it has none,
    /// and if its topic refuses it, it goes to General.
    pub(super) async fn send_notice(
        &self,
        told: &ActivitySummary,
        link: &ChatLink,
        topic: Option<TopicId>,
    ) -> Option<BoxFuture<'static, Result<MessageId, DeliveryError>>> {
        let cause = MessageKey::new("ran", rand::random::<u64>());
        let spot = link.message_ref(&cause);
        let stands = self.tool_rules(told);
        let keyboard = match self.store_notice(spot, told, &stands).await {
            Ok(keyboard) => keyboard,
            Err(error) => {
                tracing::warn!(%error, "the notice of a call that ran has no buttons");
                None
            }
        };
        let message = told.message_text(&stands).fit_message(MAX_MESSAGE_UNITS)?;
        let (chat, outgoing, sender) =
            (link.chat(), OutgoingMessage::Text(message, keyboard), link.sender.clone());
        let sent =
            sender.send(Destination { chat, topic }, outgoing.clone(), SendPriority::Notice, cause.clone());
        Some(Box::pin(async move {
            match sent.outcome().await {
                Err(DeliveryError::Refused(Refusal::TopicGone | Refusal::TopicClosed)) => {
                    sender.send(chat, outgoing, SendPriority::Notice, cause).outcome().await
                }
                told => told,
            }
        }))
    }

    async fn store_notice(
        &self,
        spot: MessageRef,
        told: &ActivitySummary,
        stands: &RulesByTool,
    ) -> Result<Option<InlineKeyboard>, StoreError> {
        let now = self.daemon.clock.now().wall;
        let (kept_for, told) = (spot.clone(), portero::json::serialize_raw(told).get().to_owned());
        self.write_store(move |store| kept::insert_notice(store, &kept_for, &told, now)).await?;
        inline_buttons::add_keyboard(&self.buttons, spot, button_rows(stands, None)).await
    }

    /// Makes the rule of a button, and returns the reply.
    pub(in crate::telegram) async fn apply_restriction(
        &self,
        restricting: &ButtonPress<Restriction>,
        message: MessageId,
        sender: &TelegramSender,
    ) -> PressReply {
        let done = api::restricted(&self.daemon, restricting).await;
        #[cfg(test)]
        crate::crash::crash_at("tool restricted");
        // The restriction applies even if the redraw can't be stored.
        if let Err(error) = self.redraw_notice(restricting.message_ref(), message, sender).await {
            tracing::warn!(%error, "a notice on Telegram could not be updated");
        }
        #[cfg(test)]
        crate::crash::crash_at("notice drawn");
        restriction_reply(restricting.action(), &done)
    }

    /// The reply to the same press when it is delivered again; its rule already exists.
    pub(in crate::telegram) async fn repeat_restriction(
        &self,
        restricting: &ButtonPress<Restriction>,
        message: MessageId,
        sender: &TelegramSender,
    ) -> Result<String, StoreError> {
        self.redraw_notice(restricting.message_ref(), message, sender).await?;
        let restriction = restricting.action();
        let now = self.daemon.clock.now();
        let standing = self.daemon.overrides.overrides();
        Ok(match standing.restricting_rule(&restriction.tool, restriction.to.action(), now) {
            Some(rule) => rule_made_reply(restriction, rule.id),
            None => "This was done, and ended since.".to_owned(),
        })
    }

    /// Opens a page of its tools, or the message itself.
    pub(in crate::telegram) async fn open_notice_page(
        &self,
        page: Option<usize>,
        spot: MessageRef,
        message: MessageId,
        sender: &TelegramSender,
    ) -> Result<(), StoreError> {
        let turned = spot.clone();
        self.write_store(move |store| kept::set_page(store, &turned, page)).await?;
        self.draw_notice(spot, message, sender).await
    }

    /// Redraws outdated messages. Failed ones are redrawn on the next connection.
    pub(in crate::telegram) async fn redraw_notices(&self, link: &ChatLink) {
        let (BotChat { bot, chat }, now) = (link.bot_chat, self.daemon.clock.now().wall);
        let undrawn = self.daemon.journal.store().read(move |store| kept::undrawn_notices(store, bot, chat));
        let drawn = async {
            self.write_store(move |store| kept::prune_notices(store, now)).await?;
            for (cause, message) in undrawn? {
                let spot = link.message_ref(&MessageKey::from_stored(&cause));
                self.draw_notice(spot, MessageId(message), &link.sender).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = drawn.await {
            tracing::warn!(%error, "the notice of a call that ran could not be updated on Telegram");
        }
    }

    async fn redraw_notice(
        &self,
        spot: &MessageRef,
        message: MessageId,
        sender: &TelegramSender,
    ) -> Result<(), StoreError> {
        let stale = spot.clone();
        self.write_store(move |store| kept::mark_undrawn(store, &stale)).await?;
        self.draw_notice(spot.clone(), message, sender).await
    }

    async fn draw_notice(
        &self,
        spot: MessageRef,
        message: MessageId,
        sender: &TelegramSender,
    ) -> Result<(), StoreError> {
        let wanted = spot.clone();
        let Some(notice) =
            self.daemon.journal.store().read(move |store| kept::find_notice(store, &wanted))?
        else {
            return Ok(());
        };
        let Ok(told) = serde_json::from_str::<ActivitySummary>(&notice.content) else {
            // The message stays as it is, because its summary is unreadable.
            return Ok(());
        };
        let stands = self.tool_rules(&told);
        let text = match notice.page {
            None => told.message_text(&stands),
            Some(page) => told.tool_list_text(page, &stands),
        };
        let rows = button_rows(&stands, notice.page);
        let keyboard = inline_buttons::add_keyboard(&self.buttons, spot.clone(), rows).await?;
        let Some(text) = text.fit_message(MAX_MESSAGE_UNITS) else { return Ok(()) };
        let edited = sender.edit_message(ChatId(spot.chat), message, MessageEdit(text, keyboard));
        let talk = self.clone();
        self.daemon.lifecycle.spawn(async move {
            // A permanent refusal, as for a message that the person removed, also counts as drawn.
            if edited.outcome().await.is_err_and(|error| error.is_transient()) {
                return;
            }
            let drawn = talk.write_store(move |store| kept::mark_drawn(store, &spot, notice.version));
            if let Err(error) = drawn.await {
                tracing::warn!(%error, "a notice on Telegram will be drawn once more");
            }
        });
        Ok(())
    }

    fn tool_rules(&self, told: &ActivitySummary) -> RulesByTool {
        rules_by_tool(told, &self.daemon.policy.load(), self.daemon.clock.now())
    }

    async fn write_store<T: Send + 'static>(
        &self,
        change: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.daemon.journal.store().write(Durability::Unsynced, change).await
    }
}
