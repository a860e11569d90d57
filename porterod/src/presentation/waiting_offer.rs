//! The calls that wait although policy allows them by now: shown whole, with one button that runs exactly those.

use portero::ipc::InspectedTask;
use portero::names::TaskId;

use super::ViewContext;
use super::burst::ShownCall;
use super::buttons::{Button, ButtonRows};
use super::card::{Card, short_id};
use super::text::{EscapedText, StyledText};
use crate::auth::buttons::{ButtonAction, ListDecision};

/// Waiting calls that a person may run together.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingOffer {
    /// The calls, each as its server gets it.
    pub text: StyledText,
    /// The one button. It covers the calls of the text and no others.
    pub buttons: ButtonRows,
}

impl WaitingOffer {
    /// An offer of as many of the calls as make a text that `fits` into a message; none if not even one does. A call that
    /// is too long is left to its own card.
    #[must_use]
    pub fn new(
        calls: &[InspectedTask],
        view: &ViewContext<'_>,
        fits: impl Fn(&StyledText) -> bool,
    ) -> Option<Self> {
        let (mut text, mut shown) = (StyledText::new(), Vec::new());
        for look in calls {
            let Some(call) = call_text(look, view) else { continue };
            let longer = text.clone().append(call);
            // With the longest heading, so that the whole fits too.
            if fits(&heading(calls.len(), calls.len()).append(longer.clone())) {
                text = longer;
                shown.push(ShownCall::of(look));
            }
        }
        let (count, more) = (shown.len(), calls.len() - shown.len());
        let label = match (count, more) {
            (0, _) => return None,
            (1, 0) => "▶️ Run the other one".to_owned(),
            (_, 0) => format!("▶️ Run the other {count}"),
            (1, _) => "▶️ Run this one".to_owned(),
            (_, _) => format!("▶️ Run these {count}"),
        };
        let named = shown.into_iter().map(|call| (call.task, call.digest)).collect();
        let button = Button::new(label, ButtonAction::DecideList(ListDecision::Approve(named)));
        Some(Self { text: heading(count, more).append(text), buttons: vec![vec![button]] })
    }
}

fn heading(count: usize, more: usize) -> StyledText {
    let text = StyledText::new()
        .bold("Allowed by now, and still waiting")
        .literal(": ")
        .number(to_u64(count))
        .literal(". One tap runs exactly what you see here.");
    match more {
        0 => text,
        1 => text.literal(" One more does not fit here, and has its own message."),
        more => text
            .literal(" ")
            .number(to_u64(more))
            .literal(" more do not fit here, and have their own messages."),
    }
}

/// A call with its task, its project and everything that its server gets; none if it is too long for any message.
fn call_text(look: &InspectedTask, view: &ViewContext<'_>) -> Option<StyledText> {
    let card = Card::new(look, view);
    card.call.as_ref()?;
    let text = StyledText::new()
        .literal("\n\n• ")
        .code(&short_id(look.task.id))
        .literal(" ")
        .code(&card.tool)
        .literal(" in ")
        .code(&EscapedText::line(look.task.origin.principal.as_str()))
        .literal("\n");
    Some(text.append(card.call_text()))
}

/// What came of each call of an offer whose button was pressed: why it does not run, or none where it does.
#[must_use]
pub fn offer_outcome_text(outcomes: &[(TaskId, Option<String>)]) -> StyledText {
    outcomes.iter().fold(StyledText::new().bold("Run with the others"), |text, (task, problem)| {
        let text = text.literal("\n• ").code(&short_id(*task));
        match problem {
            None => text.literal(" runs"),
            Some(why) => text.literal(" does not run: ").code(&EscapedText::line(why)),
        }
    })
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
