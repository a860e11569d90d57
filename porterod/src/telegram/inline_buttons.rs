//! Inline keyboards: each button gets a fresh token for one act. The buttons of a message count until it is
//! known to show others.

use super::client::{InlineButton, InlineKeyboard, MessageId, PayloadError};
use super::sender::DeliveryError;
use crate::auth::buttons::{ButtonAction, ButtonRedraw, Buttons, MessageRef};
use crate::presentation::buttons::ButtonRows;
use crate::store::StoreError;

/// The keyboard of a message that is redrawn, and the redraw that later replaces its former buttons.
pub(super) async fn make_keyboard(
    buttons: &Buttons,
    message: MessageRef,
    rows: ButtonRows,
) -> Result<(Option<InlineKeyboard>, ButtonRedraw), StoreError> {
    let (tokens, redraw) = buttons.make_buttons(message, button_acts(&rows)).await?;
    Ok((attach_tokens(rows, tokens)?, redraw))
}

/// The keyboard of a message whose former buttons stay valid.
pub(super) async fn add_keyboard(
    buttons: &Buttons,
    message: MessageRef,
    rows: ButtonRows,
) -> Result<Option<InlineKeyboard>, StoreError> {
    let tokens = buttons.add_buttons(message, button_acts(&rows)).await?;
    attach_tokens(rows, tokens)
}

/// Validates the buttons that the chat shows, as far as that is known.
pub(super) async fn settle_redraw(
    buttons: &Buttons,
    redraw: ButtonRedraw,
    sent: &Result<MessageId, DeliveryError>,
) -> Result<(), StoreError> {
    match sent {
        Ok(_) => buttons.confirm_redraw(redraw).await,
        Err(DeliveryError::Refused(_) | DeliveryError::Unreachable) => buttons.cancel_redraw(redraw).await,
        // The message may have arrived all the same, so both sets count until the next redraw.
        Err(DeliveryError::Dropped | DeliveryError::Closed) => Ok(()),
    }
}

fn button_acts(rows: &ButtonRows) -> Vec<(Option<portero::names::TaskId>, ButtonAction)> {
    rows.iter().flatten().map(|button| (button.task, button.action.clone())).collect()
}

fn attach_tokens(rows: ButtonRows, tokens: Vec<String>) -> Result<Option<InlineKeyboard>, StoreError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut tokens = tokens.into_iter();
    let mut made = Vec::with_capacity(rows.len());
    for row in rows {
        let row = row.into_iter().zip(tokens.by_ref());
        let row = row.map(|(button, token)| InlineButton::new(button.label, token));
        made.push(row.collect::<Result<Vec<_>, _>>().map_err(malformed_buttons)?);
    }
    InlineKeyboard::new(made).map(Some).map_err(malformed_buttons)
}

fn malformed_buttons(error: PayloadError) -> StoreError {
    StoreError::Failed(format!("buttons could not be made: {error}"))
}
