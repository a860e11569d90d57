//! Buttons as they are sent: a fresh token for each, which stands for one act on one task. Those that a message shows
//! count until it is known to show others.

use portero::names::TaskId;

use super::card::short_id;
use super::client::{InlineButton, InlineKeyboard, MessageId};
use super::keyboard::{self, CallbackData, CardAction, CardState};
use super::sender::DeliveryError;
use crate::auth::buttons::{ButtonAction, ButtonRedraw, Buttons, MessageRef, TaskDecision};
use crate::store::StoreError;

/// The buttons of a card.
pub(super) async fn make_card_keyboard(
    taps: &Buttons,
    spot: MessageRef,
    task: TaskId,
    standing: &CardState,
) -> Result<(Option<InlineKeyboard>, ButtonRedraw), StoreError> {
    let mut acts = Vec::new();
    let rows = keyboard::card_buttons(standing, |choice| {
        acts.push((Some(task), button_action(choice)));
        placeholder_token(acts.len())
    });
    let (tokens, redrawing) = taps.make_buttons(spot, acts).await?;
    Ok((attach_tokens(rows, &tokens)?, redrawing))
}

/// The buttons of a list of these tasks.
pub(super) async fn make_list_keyboard(
    taps: &Buttons,
    spot: MessageRef,
    tasks: &[TaskId],
) -> Result<(Option<InlineKeyboard>, ButtonRedraw), StoreError> {
    let mut acts = Vec::new();
    let ids: Vec<_> = tasks.iter().map(|task| short_id(*task)).collect();
    let rows = keyboard::list_buttons(&ids, |choice, at| {
        acts.push((at.map(|at| tasks[at]), button_action(choice)));
        placeholder_token(acts.len())
    });
    let (tokens, redrawing) = taps.make_buttons(spot, acts).await?;
    Ok((attach_tokens(rows, &tokens)?, redrawing))
}

/// Lets those buttons count that the chat shows, as far as that is known.
pub(super) async fn settle_redraw(
    taps: &Buttons,
    redrawing: ButtonRedraw,
    sent: &Result<MessageId, DeliveryError>,
) -> Result<(), StoreError> {
    match sent {
        Ok(_) => taps.confirm_redraw(redrawing).await,
        Err(DeliveryError::Refused(_) | DeliveryError::Unreachable) => taps.cancel_redraw(redrawing).await,
        // It may have arrived all the same: both count until the next drawing.
        Err(DeliveryError::Dropped | DeliveryError::Closed) => Ok(()),
    }
}

/// What a button does.
fn button_action(choice: CardAction) -> ButtonAction {
    match choice {
        CardAction::Approve => ButtonAction::Decide(TaskDecision::Approve),
        CardAction::ApproveFor(minutes) => ButtonAction::Decide(TaskDecision::ApproveFor(minutes)),
        CardAction::AllowForGood => ButtonAction::Decide(TaskDecision::Allow),
        CardAction::Deny => ButtonAction::Decide(TaskDecision::Deny),
        CardAction::AlwaysDeny => ButtonAction::Decide(TaskDecision::Forbid),
        CardAction::Read
        | CardAction::More
        | CardAction::Less
        | CardAction::AlwaysAllow
        | CardAction::DenyWithReason
        | CardAction::AsJson
        | CardAction::AsCard
        | CardAction::Page(_)
        | CardAction::Single
        | CardAction::DenyAll => ButtonAction::Show(portero::json::serialize_raw(&choice).get().to_owned()),
    }
}

/// What a button shows, as it was kept.
pub(super) fn parse_choice(kept: &str) -> Option<CardAction> {
    serde_json::from_str(kept).ok()
}

/// Stands for the token of this number until there is one.
fn placeholder_token(number: usize) -> CallbackData {
    CallbackData::try_from(number.to_string()).unwrap_or_else(|_| unreachable!("a number is short"))
}

fn attach_tokens(
    rows: keyboard::KeyboardRows,
    tokens: &[String],
) -> Result<Option<InlineKeyboard>, StoreError> {
    let mut tokens = tokens.iter();
    let mut made = Vec::new();
    for row in rows {
        let buttons = row.into_iter().zip(tokens.by_ref());
        let row = buttons.map(|(key, token)| InlineButton::new(key.label, token.clone()));
        made.push(row.collect::<Result<Vec<_>, _>>().map_err(malformed_buttons)?);
    }
    if made.is_empty() { Ok(None) } else { InlineKeyboard::new(made).map(Some).map_err(malformed_buttons) }
}

fn malformed_buttons(error: super::client::PayloadError) -> StoreError {
    StoreError::Failed(format!("buttons could not be made: {error}"))
}
