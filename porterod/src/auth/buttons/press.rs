//! A press of a button: its source, its meaning, and the acts that it authorizes.

use portero::clock::Moment;
use portero::ipc::Act;
use portero::names::{Actor, TaskId};

use super::action::{
    ButtonAction, CardDecision, ConfirmationAnswer, ListAction, ListDecision, Restriction, ShownWidening,
};
use crate::auth::authorization::{Authorization, Factor};
use crate::store::buttons::{ButtonRow, ButtonTicket, MessageRef};

/// A press as it came from Telegram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressSource {
    /// The bot's number.
    pub bot: i64,
    /// The chat's number.
    pub chat: i64,
    /// The number of the user who pressed.
    pub user: i64,
    /// The message with the button, or the message that is answered.
    pub message: i64,
    /// The press, by its update's number.
    pub update: i64,
}

/// What a press means once its button was found.
#[derive(Debug)]
pub enum PressMeaning {
    /// The press decides about a task.
    Decide(ButtonPress<CardDecision>),
    /// The press confirms a widening change.
    Widen(ButtonPress<ShownWidening>),
    /// The press restricts one tool.
    Restrict(ButtonPress<Restriction>),
    /// The press answers the question of a terminal. It confirms nothing by itself, because only the open question
    /// knows the right number.
    Answer(ButtonPress<ConfirmationAnswer>),
    /// The press decides about several tasks.
    DecideList(ButtonPress<ListDecision>),
    /// The press shows another view.
    Show(ButtonPress<ListAction>),
    /// The same press came again, perhaps because part of it is not done yet.
    Repeated(ButtonAction, Option<ButtonPress<CardDecision>>),
    /// The same press came again, and it made a rule before.
    RestrictRepeated(ButtonPress<Restriction>),
    /// Another press used this button up.
    Used,
    /// The button's message is on its way: Telegram has not confirmed it yet.
    MessageUnconfirmed,
    /// No such button exists here.
    Unknown,
}

/// Proof that a person pressed a button that was made for them, in its own message. `A` is the button's action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonPress<A> {
    ticket: ButtonTicket,
    user: i64,
    message_ref: MessageRef,
    action: A,
}

impl<A> ButtonPress<A> {
    fn with_action<B>(self, action: B) -> ButtonPress<B> {
        let Self { ticket, user, message_ref, action: _ } = self;
        ButtonPress { ticket, user, message_ref, action }
    }

    /// The action of the button.
    #[must_use]
    pub const fn action(&self) -> &A {
        &self.action
    }

    /// The message with the button.
    #[must_use]
    pub const fn message_ref(&self) -> &MessageRef {
        &self.message_ref
    }

    /// The user's number of the person who pressed.
    #[must_use]
    pub const fn user(&self) -> i64 {
        self.user
    }

    /// The person who pressed, as the audit names them.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }

    pub(crate) const fn ticket(&self) -> &ButtonTicket {
        &self.ticket
    }

    #[cfg(test)]
    pub(crate) fn for_test(action: A) -> Self {
        let message_ref = MessageRef { bot: 1, chat: 1, user: Some(1), cause: String::new() };
        Self { ticket: ButtonTicket::test(), user: 4711, message_ref, action }
    }
}

impl ButtonPress<CardDecision> {
    /// Authorizes the act about the call. It is the button's first step, so the second counts only after it.
    #[must_use]
    pub fn authorize_call(&self) -> Authorization {
        let (act, _) = self.action.acts();
        Authorization::new(act, self.by(), vec![Factor::Button(self.ticket.step(1))])
    }

    /// Authorizes the act about the tool from then on, the button's second step; none if it decides about the call
    /// alone.
    #[must_use]
    pub fn authorize_follow_up(&self) -> Option<Authorization> {
        let (_, follow_up) = self.action.acts();
        follow_up.map(|act| Authorization::new(act, self.by(), vec![Factor::Button(self.ticket.step(2))]))
    }
}

impl ButtonPress<ListDecision> {
    /// Authorizes the approval of each of these tasks that the button names. All of them use the button once,
    /// in one change.
    #[must_use]
    pub fn authorize_calls(&self, tasks: &[TaskId]) -> Vec<Authorization> {
        let ListDecision::Approve(named) = &self.action else { return Vec::new() };
        let covered = tasks.iter().filter(|task| named.iter().any(|(id, _)| id == *task));
        let factor = || vec![Factor::Button(self.ticket.step(1))];
        covered.map(|task| Authorization::new(Act::Approve(*task), self.by(), factor())).collect()
    }
}

impl ButtonPress<ShownWidening> {
    /// Authorizes the change that was shown above the button.
    #[must_use]
    pub fn authorize(&self) -> Authorization {
        let act = self.action.what.clone();
        Authorization::new(act, self.by(), vec![Factor::Button(self.ticket.step(1))])
    }
}

/// A press counts only in its button's own message, and only from the person it was made for.
pub(super) fn judge_press(button: ButtonRow, press: PressSource, now: Moment) -> PressMeaning {
    let ButtonRow { key, message_ref, message, task, tool, pressed_by, pressed_at, .. } = button;
    let is_for = message_ref.user.is_none_or(|user| user == press.user);
    if (message_ref.bot, message_ref.chat) != (press.bot, press.chat) || !is_for {
        return PressMeaning::Unknown;
    }
    match message {
        None => return PressMeaning::MessageUnconfirmed,
        Some(message) if message != press.message => return PressMeaning::Unknown,
        Some(_) => {}
    }
    let Ok(action) = serde_json::from_str::<ButtonAction>(&button.act) else { return PressMeaning::Unknown };
    let is_again = pressed_by == Some(press.update);
    // Telegram delivers an update again after a crash. It keeps the time of its first delivery, so a grant
    // doesn't last longer.
    let at = pressed_at.filter(|_| is_again).unwrap_or(now);
    let ticket = ButtonTicket { key, update: press.update, at };
    let pressed = ButtonPress { ticket, user: press.user, message_ref, action: () };
    let on_card = |decision| Some(CardDecision { decision, task: task?, tool: tool? });
    match (pressed_by, action) {
        (Some(_), _) if !is_again => PressMeaning::Used,
        (Some(_), ButtonAction::Decide(decision)) => {
            // The first step approved the call; the second may still be missing, and is caught up with.
            let rest = on_card(decision.clone()).filter(|_| button.steps_done == 1);
            PressMeaning::Repeated(ButtonAction::Decide(decision), rest.map(|card| pressed.with_action(card)))
        }
        (Some(_), ButtonAction::Restrict(restriction)) => {
            PressMeaning::RestrictRepeated(pressed.with_action(restriction))
        }
        (
            Some(_),
            action @ (ButtonAction::DecideList(_)
            | ButtonAction::Show(_)
            | ButtonAction::Widen(_)
            | ButtonAction::Answer(_)),
        ) => PressMeaning::Repeated(action, None),
        (None, ButtonAction::Decide(decision)) => on_card(decision)
            .map_or(PressMeaning::Unknown, |card| PressMeaning::Decide(pressed.with_action(card))),
        (None, ButtonAction::Widen(widening)) => PressMeaning::Widen(pressed.with_action(widening)),
        (None, ButtonAction::Restrict(restriction)) => {
            PressMeaning::Restrict(pressed.with_action(restriction))
        }
        (None, ButtonAction::Answer(answer)) => PressMeaning::Answer(pressed.with_action(answer)),
        (None, ButtonAction::DecideList(decision)) => PressMeaning::DecideList(pressed.with_action(decision)),
        (None, ButtonAction::Show(what)) => {
            PressMeaning::Show(pressed.with_action(ListAction { task, what }))
        }
    }
}
