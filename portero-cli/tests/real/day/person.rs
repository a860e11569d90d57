//! The day's person: reads each question on Telegram and taps as the script says.

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::ScriptedCall;
use crate::fake_telegram::{FakeTelegram, ShownMessage};

/// The Telegram user who decides.
pub(super) const JANE: i64 = 501;

/// How often the person looks whether something happened that Telegram doesn't know of.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What the person does with one question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The tool that the question names.
    asked: String,
    /// What the question shows of the call.
    shows: String,
    /// What the question says of the tool.
    #[serde(default)]
    says: String,
    /// The buttons, one after another.
    taps: Vec<String>,
    /// The person is away until the agent has made this file of the project.
    #[serde(default)]
    away_until: Option<PathBuf>,
}

impl Answer {
    /// Whether this call is the one that the person is asked about.
    pub(super) fn is_about(&self, call: &ScriptedCall) -> bool {
        call.tool == self.asked && call.input.to_string().contains(&self.shows)
    }
}

/// A person with a phone.
pub(super) struct Person<'a> {
    telegram: &'a FakeTelegram,
    project: &'a Path,
    answers: Vec<Answer>,
    answered: HashSet<i64>,
    taps: usize,
}

impl<'a> Person<'a> {
    pub(super) fn new(telegram: &'a FakeTelegram, project: &'a Path, answers: Vec<Answer>) -> Self {
        Self { telegram, project, answers, answered: HashSet::new(), taps: 0 }
    }

    /// How many buttons were tapped.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// The questions of the script that never came.
    pub(super) fn unasked(&self) -> &[Answer] {
        &self.answers
    }

    /// Answers one question after another, for ever.
    ///
    /// # Panics
    /// When a question comes that the script has no answer for.
    pub(super) async fn answer_questions(&mut self) -> Infallible {
        loop {
            let answered = &self.answered;
            let question = self
                .telegram
                .until(|it| {
                    it.bot_messages(JANE).into_iter().find(|it| is_open(it) && !answered.contains(&it.id))
                })
                .await;
            self.answer_question(&question).await;
        }
    }

    async fn answer_question(&mut self, question: &ShownMessage) {
        let shown = |it: &FakeTelegram| it.bot_messages(JANE).into_iter().find(|it| it.id == question.id);
        let answers = &self.answers;
        let fitting = |it: &FakeTelegram| {
            let text = shown(it)?.text;
            let fits = |answer: &Answer| {
                [&answer.asked, &answer.shows, &answer.says].into_iter().all(|words| text.contains(words))
            };
            answers.iter().position(fits)
        };
        // Calls that arrive together become one list after the first was shown.
        let place = self.telegram.wait_until(&format!("an answer to {}", question.text), fitting).await;
        let answer = self.answers.remove(place);
        self.answered.insert(question.id);
        if let Some(file) = &answer.away_until {
            while !self.project.join(file).exists() {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
        let mut buttons = None;
        for button in &answer.taps {
            let redrawn = |it: &FakeTelegram| shown(it).filter(|shown| shown.keyboard != buttons);
            let before = self.telegram.wait_until("the message is drawn again", redrawn).await;
            self.tap(question.id, button).await;
            buttons = before.keyboard;
        }
    }

    /// Taps a button once it is there, and waits until the bot has taken the press.
    async fn tap(&mut self, message: i64, button: &str) {
        let offers = |it: &FakeTelegram| {
            let shown = it.bot_messages(JANE).into_iter().find(|it| it.id == message)?;
            shown.keyboard?.to_string().contains(&format!("\"{button}\"")).then_some(())
        };
        self.telegram.wait_until(&format!("the button {button}"), offers).await;
        let press = self.telegram.press(JANE, message, button);
        self.telegram.wait_until("the press is taken", |it| it.press_answer(&press)).await;
        self.taps += 1;
    }
}

fn is_open(message: &ShownMessage) -> bool {
    message.keyboard.as_ref().is_some_and(serde_json::Value::is_array)
}
