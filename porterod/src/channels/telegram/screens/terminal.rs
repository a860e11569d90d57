//! What a terminal asks a person to confirm, and what came of it.

use portero::anonymize::Anonymizer;
use portero::confirmed::Change;
use portero::ipc::{Look, Waiting};
use portero::policy::Action;

use super::super::text::{ENTITIES_MOST, MESSAGE_MOST, Message, Shown, Text};
use super::super::{card, moments};
use super::change::{changing, granted, limited, ruled};
use super::{View, failed};
use crate::consent::{End, Heard, Outcome, Question, Sight, Wish};
use crate::taps::Wider;

/// How many characters of what was asked an ended question repeats.
const ABOUT_MOST: usize = 300;

/// The question. What is in it of the terminal's own words is concealed.
#[must_use]
pub fn asked(question: &Question, anonymizer: &Anonymizer, view: &View<'_>) -> Vec<Message> {
    let line = |text: &str| Shown::line(anonymizer.conceal_text(text).get());
    let head = Text::new()
        .bold("A terminal of yours asks:")
        .words(" ")
        .code(&line(&format!("portero {}", question.wish)))
        .words("\nby ")
        .code(&line(&question.by))
        .words("\n\n");
    let body = match (&question.wish, &question.sight) {
        (Wish::Grant(pattern, millis, limits), Sight::Tools(tools)) => {
            let wider = Wider::Grant(pattern.clone(), *millis, limits.clone());
            changing(&wider, tools, limited(limits, &line), view)
        }
        (Wish::Run(_), Sight::Task(look)) => run(look, view),
        (Wish::Reveal(_), Sight::Task(look)) => reveal(look),
        (_, Sight::Configuration(waiting)) => configuration(waiting, &line),
        (wish, Sight::Tools(tools)) => match wish.wider() {
            Some(wider) => changing(&wider, tools, Text::new(), view),
            None => Text::new(),
        },
        (_, Sight::Task(look)) => run(look, view),
    };
    let foot = Text::new()
        .words("\n\n")
        .bold("Tap the number that your terminal shows now.")
        .words("\nAn agent with a shell of yours could ask this too. If that was not you just now, or if no terminal in \
                front of you shows a number: Refuse.\nUntil ")
        .then(moments::until(question.until, view.now, view.zone));
    head.then(body).then(foot).pages()
}

/// What became of a question about this, on its message; `by` is the user who answered, where several could have.
#[must_use]
pub fn ended(about: &str, (end, by): (End, Option<i64>), outcome: Option<&Outcome>) -> Message {
    let text = Text::new().bold(over(end)).words("\nA terminal asked: ");
    let text = text.code(&Shown::line(&format!("portero {about}")).beginning(ABOUT_MOST).0);
    let text = match by {
        Some(user) => text.words("\nBy ").code(&Shown::line(&format!("telegram user {user}"))),
        None => text,
    };
    let text = match outcome {
        Some(Outcome::Granted(grant)) => text.line().then(granted(grant)),
        Some(Outcome::Ruled(rule)) => text.line().then(ruled(rule)),
        Some(Outcome::Failed(why)) => text.line().then(failed(why)),
        Some(Outcome::Done | Outcome::Changed) | None => text,
    };
    let (text, _) = text.beginning(MESSAGE_MOST / 2, ENTITIES_MOST);
    text.message(MESSAGE_MOST).unwrap_or(Message { text: over(end).to_owned(), entities: Vec::new() })
}

/// How a question ended, in a few words.
#[must_use]
pub const fn over(end: End) -> &'static str {
    match end {
        End::Done => "Confirmed and done.",
        End::Failed => "Confirmed, but it could not be done.",
        End::Changed => {
            "Something changed since this was shown, so nothing was done. Ask again at the terminal."
        }
        End::Refused => "Refused. Nothing changed, and for 10 min no terminal can ask here.",
        End::Wrong => "That was not the number. Nothing changed, and for 10 min no terminal can ask here.",
        End::Expired => "Nobody answered in time. Nothing changed.",
        End::Gone => "The terminal has gone. Nothing changed.",
        End::Restarted => "Portero was restarted before this was answered. Nothing changed.",
        End::Unsent => "This could not be delivered in time. Nothing changed.",
    }
}

/// What is said to a tap.
#[must_use]
pub const fn answered(heard: Heard) -> &'static str {
    match heard {
        Heard::Consented | Heard::UnderWay => "Confirmed.",
        Heard::Ended(end) | Heard::Over(Some(end)) => over(end),
        Heard::Over(None) => "This question is over. Nothing changed.",
    }
}

/// A call, whole, as its card shows it.
fn run(look: &Look, view: &View<'_>) -> Text {
    card::in_full(&look.task, &card::View { hints: look.hints, now: view.now, zone: view.zone })
}

fn reveal(look: &Look) -> Text {
    let task = &look.task;
    Text::new()
        .bold("Show real values?")
        .words("\nThe terminal would show what the server of this call really gets and what it answered, with every \
                value that is kept from the agent.\n")
        .code(&Shown::line(&task.call.tool.to_string()))
        .words(", task ")
        .code(&card::short(task.id))
}

/// All that would be put in force.
fn configuration(waiting: &Waiting, line: &impl Fn(&str) -> Shown) -> Text {
    let Waiting { note, changes, tools, shown: _ } = waiting;
    let text = Text::new().bold("Put the changed configuration in force?");
    let text = match note {
        Some(note) => text.words("\nNote: ").code(&line(note)),
        None => text,
    };
    let section = |text: Text, title: &'static str, changes: &[Change]| {
        if changes.is_empty() {
            return text;
        }
        let mut rows = Shown::default();
        for Change { file, words } in changes {
            rows.row("", line(&format!("{file}: {words}")).as_str());
        }
        text.line().words(title).pre(&rows)
    };
    let text = section(text, "Waits for you, since it widens:", &changes.widens);
    let text = section(text, "In force already, since it narrows or changes nothing:", &changes.narrows);
    if tools.is_empty() {
        return text;
    }
    let mut rows = Shown::default();
    for (tool, is, would_be) in tools {
        rows.row("", &format!("{tool}  {} → {}", now(*is), would(*would_be)));
    }
    text.line().words("Known tools that would become looser:").pre(&rows)
}

/// A deny stands out.
const fn now(action: Action) -> &'static str {
    match action {
        Action::Deny => "DENIED now",
        Action::RequireApproval => "asks now",
        Action::Allow => "runs already",
    }
}

const fn would(action: Action) -> &'static str {
    match action {
        Action::Deny => "denied",
        Action::RequireApproval => "would ask",
        Action::Allow => "would run unasked",
    }
}
