//! A card and its outcome on Telegram's pages.

use portero::task::Task;

use super::client::DocumentUpload;
use super::text::{
    FormattedText, MAX_CAPTION_UNITS, MAX_ENTITIES, MAX_MESSAGE_UNITS, StyledText, ToMessages as _,
};
use crate::presentation::ViewContext;
use crate::presentation::card::{Card, RecordedDecision, call_document, json_text, outcome_text};

/// The most pages of a card; the rest is in its document only.
pub(super) const MAX_CARD_PAGES: usize = 20;

/// A card's pages, at least one, and whether the first shows the whole call. If it doesn't, the card has a
/// document, and an approval needs a second press.
pub(super) fn card_pages(card: &Card) -> (Vec<FormattedText>, bool) {
    // A card without its call would fit too, but it does not show the whole call.
    if let Some(message) = card.text().fit_message(MAX_MESSAGE_UNITS).filter(|_| card.call.is_some()) {
        return (vec![message], true);
    }
    let note = StyledText::new()
        .literal("\n\n")
        .bold("This is more than fits into one message.")
        .literal(" All of it is in the document. Read it before you approve.\n\n");
    let text = card.head_text().append(note).append(card.call_text());
    (text.to_first_pages(MAX_CARD_PAGES), false)
}

/// The whole call as pages of JSON; the last page says if the document has more.
pub(super) fn json_pages(task: &Task) -> Vec<FormattedText> {
    json_text(task).to_first_pages(MAX_CARD_PAGES)
}

/// The whole call as a file; none if it exceeds Telegram's limit.
pub(super) fn document_upload(task: &Task) -> Option<DocumentUpload> {
    let document = call_document(task);
    let caption = document.caption.fit_message(MAX_CAPTION_UNITS).unwrap_or_default();
    DocumentUpload::new(document.name, document.bytes, Some(caption)).ok()
}

/// The outcome of a task in one message.
pub(super) fn outcome_message(
    task: &Task,
    decided: RecordedDecision,
    view: &ViewContext<'_>,
) -> FormattedText {
    let text = outcome_text(task, decided, view);
    text.fit_message(MAX_MESSAGE_UNITS).unwrap_or_else(|| {
        // The parts of an outcome are limited in characters, and each may take two units.
        let (text, _) = text.truncated(MAX_MESSAGE_UNITS / 2, MAX_ENTITIES - 1);
        text.on_new_line().literal("Shortened.").fit_message(MAX_MESSAGE_UNITS).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests;
