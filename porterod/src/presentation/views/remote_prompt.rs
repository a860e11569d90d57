//! The question of a terminal that a person confirms, and its result.

use portero::anonymize::Anonymizer;
use portero::approval_scope::ScopeChange;
use portero::approved_config::ConfigChange;
use portero::ipc::{Act, InspectedTask, UnconfirmedConfig};
use portero::names::{Actor, ToolId};
use portero::policy::Action;

use super::super::definitions::acceptance_question;
use super::super::text::{EscapedText, StyledText};
use super::super::{ViewContext, card, time_format};
use super::elevation::{elevation_text, grant_text, limits_text, rule_text};
use super::failure_text;
use crate::auth::remote_confirmation::{
    ActOutcome, ActPreview, AnswerOutcome, ConfirmationEnd, ConfirmationQuestion,
};

/// How many characters of the request an ended question repeats.
const MAX_ABOUT_CHARS: usize = 300;

/// The question. Words that come from the terminal are concealed.
#[must_use]
pub fn remote_prompt_text(
    question: &ConfirmationQuestion,
    anonymizer: &Anonymizer,
    view: &ViewContext<'_>,
) -> StyledText {
    // The terminal may be the agent's, so its words are treated like any text from outside.
    let line = |text: &str| EscapedText::line(anonymizer.conceal_text(text).get());
    let head = StyledText::new()
        .bold("A terminal of yours asks:")
        .literal(" ")
        .code(&line(&format!("portero {}", question.act)))
        .literal("\nby ")
        .code(&line(&question.by.to_string()))
        .literal("\n\n");
    let body = match (&question.act, &question.preview) {
        (act @ Act::Grant(_, _, limits), ActPreview::Tools(tools)) => {
            elevation_text(act, tools, limits_text(limits, &line), view)
        }
        (Act::Approve(_) | Act::ApproveFresh(_), ActPreview::Task(look)) => run_text(look, view),
        (Act::ApproveWith(_, _, permit), ActPreview::TaskAndTools(look, tools)) => {
            run_with_text(look, permit, tools, &line, view)
        }
        (Act::Reveal(_), ActPreview::Task(look)) => reveal_text(look),
        (_, ActPreview::Definitions(waiting)) => acceptance_question(waiting),
        (_, ActPreview::Configuration(waiting)) => config_change_text(waiting, &line),
        (act, ActPreview::Tools(tools)) => elevation_text(act, tools, StyledText::new(), view),
        (_, ActPreview::Task(look) | ActPreview::TaskAndTools(look, _)) => run_text(look, view),
    };
    let foot = StyledText::new()
        .literal("\n\n")
        .bold("Tap the number that your terminal shows now.")
        .literal("\nAn agent with a shell of yours could ask this too. If that was not you just now, or if no terminal in \
                front of you shows a number: Refuse.\nUntil ")
        .append(time_format::format_deadline(question.until, view.now, view.zone));
    head.append(body).append(foot)
}

/// The result of a question; `by` is the user who answered, where several could have.
#[must_use]
pub fn ended_prompt_text(
    about: &str,
    (end, by): (ConfirmationEnd, Option<i64>),
    outcome: Option<&ActOutcome>,
) -> StyledText {
    let text = StyledText::new().bold(prompt_end_text(end)).literal("\nA terminal asked: ");
    let text = text.code(&EscapedText::line(&format!("portero {about}")).truncated(MAX_ABOUT_CHARS).0);
    let text = match by {
        Some(user) => text.literal("\nBy ").code(&EscapedText::line(&Actor::TelegramUser(user).to_string())),
        None => text,
    };
    match outcome {
        Some(ActOutcome::Granted(grant)) => text.on_new_line().append(grant_text(grant)),
        Some(ActOutcome::RuleMade(rule)) => text.on_new_line().append(rule_text(rule)),
        Some(ActOutcome::Failed(why)) => text.on_new_line().append(failure_text(why)),
        Some(ActOutcome::Done | ActOutcome::Changed) | None => text,
    }
}

/// The result of a question in a few words.
#[must_use]
pub const fn prompt_end_text(end: ConfirmationEnd) -> &'static str {
    match end {
        ConfirmationEnd::Done => "Confirmed and done.",
        ConfirmationEnd::Failed => "Confirmed, but it could not be done.",
        ConfirmationEnd::Changed => {
            "Something changed since this was shown, so nothing was done. Ask again at the terminal."
        }
        ConfirmationEnd::Refused => "Refused. Nothing changed, and for 10 min no terminal can ask here.",
        ConfirmationEnd::Wrong => {
            "That was not the number. Nothing changed, and for 10 min no terminal can ask here."
        }
        ConfirmationEnd::Expired => "No answer came in time. Nothing changed.",
        ConfirmationEnd::Gone => "The terminal has gone. Nothing changed.",
        ConfirmationEnd::Restarted => "Portero was restarted before this was answered. Nothing changed.",
        ConfirmationEnd::Unsent => "This could not be delivered in time. Nothing changed.",
    }
}

/// The reply to a tap.
#[must_use]
pub const fn tap_reply(heard: AnswerOutcome) -> &'static str {
    match heard {
        AnswerOutcome::Matched | AnswerOutcome::UnderWay => "Confirmed.",
        AnswerOutcome::EndedQuestion(end) | AnswerOutcome::AlreadyEnded(Some(end)) => prompt_end_text(end),
        AnswerOutcome::AlreadyEnded(None) => "This question is over. Nothing changed.",
    }
}

/// The whole call, as its card shows it.
fn run_text(look: &InspectedTask, view: &ViewContext<'_>) -> StyledText {
    card::Card::new(look, view).text()
}

/// The whole call, and the effect of the grant or rule that is made with its approval.
fn run_with_text(
    look: &InspectedTask,
    permit: &ScopeChange,
    tools: &[(ToolId, Action)],
    line: &impl Fn(&str) -> EscapedText,
    view: &ViewContext<'_>,
) -> StyledText {
    let limits = match permit {
        ScopeChange::Grant { limits, .. } => limits_text(limits, line),
        ScopeChange::Allow(_) => StyledText::new(),
    };
    let permit = Act::from(permit);
    run_text(look, view).literal("\n\n").append(elevation_text(&permit, tools, limits, view))
}

fn reveal_text(look: &InspectedTask) -> StyledText {
    let task = &look.task;
    StyledText::new()
        .bold("Show real values?")
        .literal("\nThe terminal would show what the server of this call really gets and what it answered, with every \
                value that is kept from the agent.\n")
        .code(&EscapedText::line(&task.call.tool.to_string()))
        .literal(", task ")
        .code(&card::short_id(task.id))
}

/// All changes of the configuration that would take effect.
fn config_change_text(waiting: &UnconfirmedConfig, line: &impl Fn(&str) -> EscapedText) -> StyledText {
    let UnconfirmedConfig { note, changes, tools, shown: _ } = waiting;
    let text = StyledText::new().bold("Put the changed configuration in force?");
    let text = match note {
        Some(note) => text.literal("\nNote: ").code(&line(note)),
        None => text,
    };
    let section = |text: StyledText, title: &'static str, changes: &[ConfigChange]| {
        if changes.is_empty() {
            return text;
        }
        let mut rows = EscapedText::default();
        for ConfigChange { file, words } in changes {
            rows.push_line("", line(&format!("{file}: {words}")).as_str());
        }
        text.on_new_line().literal(title).pre(&rows)
    };
    let text = section(text, "Waits for you, because it permits more:", &changes.widens);
    let text = section(text, "In force already, because it restricts or changes nothing:", &changes.narrows);
    if tools.is_empty() {
        return text;
    }
    let mut rows = EscapedText::default();
    for (tool, is, would_be) in tools {
        rows.push_line("", &format!("{tool}  {} → {}", current_action(*is), new_action(*would_be)));
    }
    text.on_new_line().literal("Known tools that would become looser:").pre(&rows)
}

/// The word for the present decision; a deny is in capitals.
const fn current_action(action: Action) -> &'static str {
    match action {
        Action::Deny => "DENIED now",
        Action::RequireApproval => "asks now",
        Action::Allow => "runs already",
    }
}

const fn new_action(action: Action) -> &'static str {
    match action {
        Action::Deny => "denied",
        Action::RequireApproval => "would ask",
        Action::Allow => "would run unasked",
    }
}
