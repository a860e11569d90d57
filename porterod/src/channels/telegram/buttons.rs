//! Buttons as they are sent: a fresh token for each, which stands for one act on one task. Those that a message shows
//! count until it is known to show others.

use portero::names::TaskId;

use super::bot::{Button, Keyboard, MessageId};
use super::card::short;
use super::courier::Undelivered;
use super::keyboard::{self, Choice, Standing, Token};
use crate::store::StoreError;
use crate::taps::{Act, Deed, Redrawing, Spot, Taps};

/// The buttons of a card.
pub(super) async fn of_card(
    taps: &Taps,
    spot: Spot,
    task: TaskId,
    standing: &Standing,
) -> Result<(Option<Keyboard>, Redrawing), StoreError> {
    let mut acts = Vec::new();
    let rows = keyboard::of_card(standing, |choice| {
        acts.push((Some(task), act(choice)));
        place(acts.len())
    });
    let (tokens, redrawing) = taps.make(spot, acts).await?;
    Ok((with_tokens(rows, &tokens)?, redrawing))
}

/// The buttons of a list of these tasks.
pub(super) async fn of_list(
    taps: &Taps,
    spot: Spot,
    tasks: &[TaskId],
) -> Result<(Option<Keyboard>, Redrawing), StoreError> {
    let mut acts = Vec::new();
    let ids: Vec<_> = tasks.iter().map(|task| short(*task)).collect();
    let rows = keyboard::of_list(&ids, |choice, at| {
        acts.push((at.map(|at| tasks[at]), act(choice)));
        place(acts.len())
    });
    let (tokens, redrawing) = taps.make(spot, acts).await?;
    Ok((with_tokens(rows, &tokens)?, redrawing))
}

/// Lets those buttons count that the chat shows, as far as that is known.
pub(super) async fn settle(
    taps: &Taps,
    redrawing: Redrawing,
    sent: &Result<MessageId, Undelivered>,
) -> Result<(), StoreError> {
    match sent {
        Ok(_) => taps.shown(redrawing).await,
        Err(Undelivered::Refused(_) | Undelivered::Unreachable) => taps.not_shown(redrawing).await,
        // It may have arrived all the same: both count until the next drawing.
        Err(Undelivered::Dropped | Undelivered::Closed) => Ok(()),
    }
}

/// What a button does.
fn act(choice: Choice) -> Act {
    match choice {
        Choice::Approve => Act::Decide(Deed::Approve),
        Choice::ApproveFor(minutes) => Act::Decide(Deed::ApproveFor(minutes)),
        Choice::AllowForGood => Act::Decide(Deed::Allow),
        Choice::Deny => Act::Decide(Deed::Deny),
        Choice::AlwaysDeny => Act::Decide(Deed::Forbid),
        Choice::Read
        | Choice::More
        | Choice::Less
        | Choice::AlwaysAllow
        | Choice::DenyWithReason
        | Choice::AsJson
        | Choice::AsCard
        | Choice::Page(_)
        | Choice::Single
        | Choice::DenyAll => Act::Show(portero::json::raw(&choice).get().to_owned()),
    }
}

/// What a button shows, as it was kept.
pub(super) fn choice(kept: &str) -> Option<Choice> {
    serde_json::from_str(kept).ok()
}

/// Stands for the token of this number until there is one.
fn place(number: usize) -> Token {
    Token::try_from(number.to_string()).unwrap_or_else(|_| unreachable!("a number is short"))
}

fn with_tokens(rows: keyboard::Keyboard, tokens: &[String]) -> Result<Option<Keyboard>, StoreError> {
    let mut tokens = tokens.iter();
    let mut made = Vec::new();
    for row in rows {
        let buttons = row.into_iter().zip(tokens.by_ref());
        let row = buttons.map(|(key, token)| Button::new(key.label, token.clone()));
        made.push(row.collect::<Result<Vec<_>, _>>().map_err(malformed)?);
    }
    if made.is_empty() { Ok(None) } else { Keyboard::new(made).map(Some).map_err(malformed) }
}

fn malformed(error: super::bot::Malformed) -> StoreError {
    StoreError::Failed(format!("buttons could not be made: {error}"))
}
