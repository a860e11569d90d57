//! A card and its outcome on Telegram's pages.

use portero::ipc::InspectedTask;
use portero::task::Task;

use super::client::DocumentUpload;
use super::text::{
    FormattedText, MAX_CAPTION_UNITS, MAX_ENTITIES, MAX_MESSAGE_UNITS, StyledText, ToMessages as _,
};
use crate::presentation::ViewContext;
use crate::presentation::buttons::{FieldChoice, ScopeOffers};
use crate::presentation::card::{
    Card, FollowUp, RecordedDecision, ScopeEffect, call_document, choose_fields_text, confirm_text,
    json_text, outcome_text,
};

/// The most pages of a card; the rest is in its document only.
pub(super) const MAX_CARD_PAGES: usize = 20;
/// The most UTF-16 code units of a heading above a card, and its most entities.
pub(super) const MAX_HEADING_UNITS: usize = 1_100;
pub(super) const MAX_HEADING_ENTITIES: usize = 14;

/// A card's pages, at least one, and whether the first shows the whole call. If it doesn't, the card has a
/// document, and an approval needs a second press.
pub(super) fn card_pages(card: &Card) -> (Vec<FormattedText>, bool) {
    // A card without its call would fit too, but it does not show the whole call.
    if let Some(message) = card.text().fit_message(MAX_MESSAGE_UNITS).filter(|_| card.call.is_some()) {
        return (vec![message], true);
    }
    (long_card_text(card).to_first_pages(MAX_CARD_PAGES), false)
}

/// As [`card_pages`], below a heading of at most [`MAX_HEADING_UNITS`], which may say whether the card shows
/// the whole call.
pub(super) fn headed_card_pages(
    card: &Card,
    heading: impl FnOnce(bool) -> StyledText,
) -> (Vec<FormattedText>, bool) {
    let text = card.text();
    let is_whole = card.call.is_some()
        && text.fit_message(MAX_MESSAGE_UNITS - MAX_HEADING_UNITS).is_some()
        && text.styled_count() <= MAX_ENTITIES - MAX_HEADING_ENTITIES;
    let text = if is_whole { text } else { long_card_text(card) };
    (heading(is_whole).append(text).to_first_pages(MAX_CARD_PAGES), is_whole)
}

/// A card whose call is in a document, with its beginning.
fn long_card_text(card: &Card) -> StyledText {
    let note = StyledText::new()
        .literal("\n\n")
        .bold("This is more than fits into one message.")
        .literal(" All of it is in the document. Read it before you approve.\n\n");
    card.head_text().append(note).append(card.body_text())
}

/// The whole call as pages of JSON; the last page says if the document has more.
pub(super) fn json_pages(look: &InspectedTask) -> Vec<FormattedText> {
    json_text(look).to_first_pages(MAX_CARD_PAGES)
}

/// The fields of a call, with the person's choice.
pub(super) fn choose_fields_pages(
    task: &Task,
    offers: &ScopeOffers,
    choice: &FieldChoice,
) -> Vec<FormattedText> {
    let fields: Vec<_> = offers.fields.iter().map(|field| (field, choice.has(field))).collect();
    choose_fields_text(task, &fields, choice.lasts).to_pages()
}

/// What a change would permit beside the call, and the call itself if its card shows all of it.
pub(super) fn confirm_pages(
    card: &Card,
    task: &Task,
    effect: ScopeEffect<'_>,
    is_whole: bool,
) -> Vec<FormattedText> {
    confirm_text(card, task, effect, is_whole).to_pages()
}

/// The whole call as a file; none if it exceeds Telegram's limit.
pub(super) fn document_upload(look: &InspectedTask) -> Option<DocumentUpload> {
    let document = call_document(look);
    let caption = document.caption.fit_message(MAX_CAPTION_UNITS).unwrap_or_default();
    DocumentUpload::new(document.name, document.bytes, Some(caption)).ok()
}

/// The outcome of a task in one message.
pub(super) fn outcome_message(
    task: &Task,
    decided: RecordedDecision,
    follow_up: Option<&FollowUp>,
    view: &ViewContext<'_>,
) -> FormattedText {
    let text = outcome_text(task, decided, follow_up, view);
    text.fit_message(MAX_MESSAGE_UNITS).unwrap_or_else(|| {
        // The parts of an outcome are limited in characters, and each may take two units.
        let (text, _) = text.truncated(MAX_MESSAGE_UNITS / 2, MAX_ENTITIES - 1);
        text.on_new_line().literal("Shortened.").fit_message(MAX_MESSAGE_UNITS).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests;
