//! Answers with pages. Each turn builds the page again from the typed command; for a list it begins at the
//! former page's end.

use serde::{Deserialize, Serialize};

use super::super::client::{ChatId, Destination, InlineKeyboard, MessageId};
use super::super::command_parser::ChatCommand;
use super::super::inline_buttons;
use super::super::notices::send_undeliverable_note;
use super::super::sender::{
    DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendHandle, SendPriority,
};
use super::super::text::{FormattedText, StyledText, ToMessages as _};
use super::pagination::{PageEnd, PageTrail};
use super::view_commands::ViewPage;
use super::{CommandHandler, ReplyContext, named_actor};
use crate::auth::buttons::{ButtonAction, ButtonRedraw, MessageRef, ShownWidening};
use crate::presentation::buttons::{Button, ButtonRows, page_turns};
use crate::presentation::views;
use crate::store::StoreError;

/// The prefix of this module's buttons.
const PAGE_BUTTON_PREFIX: &str = "talk ";
/// The rest of a button that cancels.
const DISMISS_BUTTON: &str = "no";
/// The prefix of the buttons that turn the pages of a terminal's question.
pub(super) const PROMPT_BUTTON_PREFIX: &str = "asked ";

/// An answer with its pages, one of which is open.
pub(super) struct PagedReply<'a> {
    pages: Vec<FormattedText>,
    open_page: usize,
    /// The command that builds it.
    command: &'a str,
    /// The act that its button confirms.
    confirmation: Option<ShownWidening>,
    /// The position in a list, and the end of this part.
    trail: PageTrail,
    next_end: Option<PageEnd>,
    /// Buttons that open another command's answer.
    links: Vec<(String, String)>,
}

/// The target of a page button.
pub(super) enum PageButton {
    /// A page of a command's answer.
    Command(PageRequest),
    /// A page of a terminal's question.
    RemotePrompt(usize, i64),
    /// A cancelled confirmation.
    Dismiss,
}

/// A page of an answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageRequest {
    /// The command.
    words: String,
    /// The part of the list.
    #[serde(default)]
    trail: PageTrail,
    /// The page of that part.
    #[serde(default)]
    page: usize,
}

/// Parses a button's target; none if it is another module's button.
pub(super) fn parse_page_button(what: &str) -> Option<PageButton> {
    if let Some(asked) = what.strip_prefix(PROMPT_BUTTON_PREFIX) {
        let (page, question) = asked.split_once(' ')?;
        return Some(PageButton::RemotePrompt(page.parse().ok()?, question.parse().ok()?));
    }
    match what.strip_prefix(PAGE_BUTTON_PREFIX)? {
        DISMISS_BUTTON => Some(PageButton::Dismiss),
        turn => serde_json::from_str(turn).ok().map(PageButton::Command),
    }
}

impl<'a> PagedReply<'a> {
    pub(super) fn new(text: &StyledText, words: &'a str) -> Self {
        Self {
            pages: text.to_pages(),
            open_page: 0,
            command: words,
            confirmation: None,
            trail: PageTrail::default(),
            next_end: None,
            links: Vec::new(),
        }
    }

    /// A part of the answer to a viewing command.
    pub(super) fn from_view(answer: ViewPage, words: &'a str, trail: PageTrail) -> Self {
        Self { trail, next_end: answer.next, links: answer.links, ..Self::new(&answer.text, words) }
    }

    pub(super) fn with_confirmation(self, widening: ShownWidening) -> Self {
        Self { confirmation: Some(widening), ..self }
    }

    /// Opens this page, or the last one if there are fewer.
    pub(super) fn at_page(self, page: usize) -> Self {
        Self { open_page: page.min(self.pages.len().saturating_sub(1)), ..self }
    }

    /// The button rows. The confirmation is below the last page only, so a person has seen all pages before
    /// pressing it.
    fn button_rows(&self) -> ButtonRows {
        let open = |words: &str, trail: PageTrail, page: usize| {
            let turn = PageRequest { words: words.to_owned(), trail, page };
            ButtonAction::Show(format!("{PAGE_BUTTON_PREFIX}{}", portero::json::serialize_raw(&turn).get()))
        };
        let show = |page: usize, trail: PageTrail| open(self.command, trail, page);
        let turning = page_turns(self.open_page, self.pages.len()).into_iter();
        let turning =
            turning.map(|(label, page)| Button::new(label, show(page, self.trail.clone()))).collect();
        let ways = self.trail.page_links(self.next_end.as_ref()).into_iter();
        let ways = ways.map(|(label, trail)| Button::new(label.to_owned(), show(0, trail))).collect();
        let mut rows: ButtonRows = vec![turning, ways];
        rows.extend(
            self.links
                .iter()
                .map(|(label, words)| vec![Button::new(label.clone(), open(words, PageTrail::default(), 0))]),
        );
        if let Some(widening) = &self.confirmation {
            let last = self.open_page + 1 == self.pages.len();
            let yes =
                last.then(|| Button::new("✅ Confirm".to_owned(), ButtonAction::Widen(widening.clone())));
            let no = Button::new(
                "❌ Not now".to_owned(),
                ButtonAction::Show(format!("{PAGE_BUTTON_PREFIX}{DISMISS_BUTTON}")),
            );
            rows.push(yes.into_iter().chain([no]).collect());
        }
        rows.retain(|row| !row.is_empty());
        rows
    }
}

impl CommandHandler {
    /// Sends an answer.
    pub(super) async fn send_paged(
        &self,
        here: &ReplyContext,
        sheet: &PagedReply<'_>,
    ) -> Result<(), StoreError> {
        let Some(message) = sheet.pages.get(sheet.open_page) else { return Ok(()) };
        // The key is the update's, so a repeated update sends no second answer.
        let cause = here.receipt.message_key();
        let spot = MessageRef {
            bot: here.sender.bot_id().0,
            chat: here.person.chat,
            user: here.person.owner(),
            cause: cause.as_str().to_owned(),
        };
        let (keyboard, redrawing) = self.make_keyboard(spot, sheet.button_rows()).await?;
        let outgoing = OutgoingMessage::Text(message.clone(), keyboard);
        let answer = here.sender.send(here.destination(), outgoing, SendPriority::Required, cause.clone());
        self.track_delivery(here, cause, answer, redrawing);
        Ok(())
    }

    /// Replaces a message's content with an answer.
    pub(super) async fn edit_paged(
        &self,
        here: &ReplyContext,
        (spot, message): (MessageRef, MessageId),
        sheet: &PagedReply<'_>,
    ) -> Result<(), StoreError> {
        let Some(text) = sheet.pages.get(sheet.open_page) else { return Ok(()) };
        let (keyboard, redrawing) = self.make_keyboard(spot, sheet.button_rows()).await?;
        let page =
            here.sender.edit_message(ChatId(here.person.chat), message, MessageEdit(text.clone(), keyboard));
        self.track_delivery(here, here.receipt.message_key(), page, redrawing);
        Ok(())
    }

    /// Opens a button's target.
    pub(super) async fn turn_page(
        &self,
        page: PageButton,
        spot: MessageRef,
        message: MessageId,
        here: &ReplyContext,
    ) -> Result<(), StoreError> {
        let at = (spot, message);
        let PageRequest { words, trail, page } = match page {
            PageButton::Command(turn) => turn,
            PageButton::RemotePrompt(page, question) => {
                return self.turn_prompt_page(question, page, at, here).await;
            }
            PageButton::Dismiss => {
                return self
                    .edit_paged(
                        here,
                        at,
                        &PagedReply::new(&views::nothing_done_text(named_actor(here.person)), ""),
                    )
                    .await;
            }
        };
        // The command is parsed again, because a button carries only its text.
        match self.parse_command(&words) {
            Ok(ChatCommand::View(look)) => {
                let (talk, here) = (self.clone(), here.clone());
                self.daemon.lifecycle.spawn(async move {
                    let answer = talk.answer_view(&look, here.person, &trail).await;
                    let sheet = PagedReply::from_view(answer, &words, trail).at_page(page);
                    if let Err(error) = talk.edit_paged(&here, at, &sheet).await {
                        tracing::error!(%error, "a page on Telegram could not be turned");
                    }
                });
                Ok(())
            }
            Ok(ChatCommand::Elevate(widen)) => match self.resolve_elevation(widen) {
                Ok(wider) => self.reask_confirmation(&wider, page, at, here).await,
                Err(failure) => {
                    self.edit_paged(here, at, &PagedReply::new(&views::failure_text(&failure), "")).await
                }
            },
            Ok(ChatCommand::Unrule(id)) => match self.unrule_elevation(id) {
                Some(wider) => self.reask_confirmation(&wider, page, at, here).await,
                None => {
                    self.edit_paged(
                        here,
                        at,
                        &PagedReply::new(&views::nothing_done_text(named_actor(here.person)), ""),
                    )
                    .await
                }
            },
            // Commands that restrict have no pages.
            Ok(ChatCommand::Restrict(_)) | Err(_) => Ok(()),
        }
    }

    /// Stores these buttons. Without buttons the message is finished, so its former ones become void at once.
    /// Otherwise they count until the message shows the new ones.
    pub(super) async fn make_keyboard(
        &self,
        spot: MessageRef,
        rows: ButtonRows,
    ) -> Result<(Option<InlineKeyboard>, ButtonRedraw), StoreError> {
        if rows.is_empty() {
            self.buttons.clear_buttons(spot.clone()).await?;
        }
        inline_buttons::make_keyboard(&self.buttons, spot, rows).await
    }

    /// Follows a delivery in the background. The new buttons count once it succeeded, and the person
    /// learns of a refusal.
    pub(super) fn track_delivery(
        &self,
        here: &ReplyContext,
        cause: MessageKey,
        answer: SendHandle,
        redrawing: ButtonRedraw,
    ) {
        let (buttons, sender, room) = (self.buttons.clone(), here.sender.clone(), here.destination());
        self.daemon.lifecycle.spawn(async move {
            let sent = answer.outcome().await;
            if let Err(error) = inline_buttons::settle_redraw(&buttons, redrawing, &sent).await {
                tracing::warn!(%error, "former buttons of a message on Telegram go on counting");
            }
            let Err(DeliveryError::Refused(refusal)) = sent else { return };
            if refusal.concerns_message() {
                send_undeliverable_note(&sender, room, &cause);
            } else if refusal.concerns_topic() {
                // The topic is gone, so the note goes to the group itself.
                send_undeliverable_note(&sender, Destination { topic: None, ..room }, &cause);
            }
        });
    }
}
