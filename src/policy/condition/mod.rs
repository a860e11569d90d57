//! Conditions on a call's arguments. A case is an action with conditions, each a test on the value that a JSON
//! Pointer finds.
//!
//! A test is true, false or unsure ([`Truth`]). It is unsure if the value has another type than the test, if a
//! server may read it differently than Portero, or if the elements of a list differ. An unsure test never
//! loosens a call and may tighten it: of all cases that could hold, the strictest does
//! (`PolicyEntry::decide`). Like all of policy, tests see the concealed arguments.
//!
//! Rules see what a server may see. So a list in the place of one value is tested element by element, and a text that
//! holds JSON also by the texts in it ([`ArgumentReading`]). All of it takes time in proportion to the arguments.

mod command;
mod display;
mod embedded;
mod number;
mod path;
mod pointer;
mod reading;
mod shell;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use command::{CommandMatcher, CommandPatternError};
pub use number::Decimal;
pub use path::{Folder, FolderError};
pub use pointer::{JsonPointer, PointerError};
pub use reading::{ArgumentReading, ConditionReadings};
pub use text::TextMatcher;

use embedded::EmbeddedTexts;
pub(super) use pointer::equals_ignoring_case;
use pointer::{ValuePlace, ValueShape, list_elements};
use reading::ReadingLog;

use super::{Action, DecisionSource};
use crate::json;

/// An action for calls whose arguments meet every condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCase {
    /// All of them must hold; never empty.
    pub when: Vec<ArgumentCondition>,
    /// The action in that case.
    pub action: Action,
    /// Its one-based number in its entry, to name it by.
    pub number: u32,
    /// Where it is written.
    pub source: DecisionSource,
}

/// One test on one place in the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentCondition {
    /// The place.
    pub pointer: JsonPointer,
    /// The test on the value there.
    pub test: ValueTest,
}

/// A test on a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTest {
    /// This text.
    Text(String),
    /// This number, however it is spelled.
    Number(Decimal),
    /// `true` or `false`.
    Flag(bool),
    /// `null`.
    Null,
    /// A text that a glob or a regular expression matches as a whole.
    Matches(TextMatcher),
    /// A number on this side of a bound.
    Bound(Comparison, Decimal),
    /// An absolute path of this folder or of something in it.
    Under(Folder),
    /// A shell's line whose commands are matched.
    Command(CommandMatcher),
}

/// The side of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Greater than the bound.
    Above,
    /// Less than it.
    Below,
    /// Not less than it.
    AtLeast,
    /// Not greater than it.
    AtMost,
}

/// Whether a condition holds. `Ord` puts the least first, so several hold together as far as the minimum does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// It doesn't hold.
    No,
    /// It can't be read, and nothing suggests that it holds. A deny becomes a question then.
    Unreadable,
    /// It can't be known.
    Unsure,
    /// It holds.
    Yes,
}

impl PolicyCase {
    /// Whether all conditions hold on these arguments. Without arguments the result is unsure.
    #[must_use]
    pub fn evaluate(&self, arguments: Option<&RawValue>) -> Truth {
        let Some(arguments) = arguments else { return Truth::Unsure };
        let log = ReadingLog::off();
        self.when.iter().map(|condition| condition.evaluate(arguments, &log)).min().unwrap_or(Truth::Unsure)
    }

    /// What each condition says of these arguments, and by which readings.
    #[must_use]
    pub fn explain(&self, arguments: &RawValue) -> Vec<ConditionReadings> {
        self.when.iter().map(|condition| condition.explain(arguments)).collect()
    }
}

impl ArgumentCondition {
    fn evaluate(&self, arguments: &RawValue, log: &ReadingLog) -> Truth {
        self.pointer.evaluate(arguments, log, &|value, place| self.test.evaluate_at(value, place, log))
    }

    fn explain(&self, arguments: &RawValue) -> ConditionReadings {
        let log = ReadingLog::on();
        let truth = self.evaluate(arguments, &log);
        ConditionReadings { condition: self.name(), truth, readings: log.into_readings() }
    }
}

impl ValueTest {
    /// Whether the test holds on this value. A server may convert a value of another type, so that is unsure. A
    /// list is tested element by element.
    #[must_use]
    pub fn evaluate(&self, value: &RawValue) -> Truth {
        self.evaluate_at(value, ValuePlace::default(), &ReadingLog::off())
    }

    fn evaluate_at(&self, value: &RawValue, place: ValuePlace, log: &ReadingLog) -> Truth {
        if ValueShape::of(value) != ValueShape::List {
            return self.evaluate_one(value, log);
        }
        match list_elements(value) {
            Some(elements) if !place.is_element => {
                let each = elements.iter().map(|element| match ValueShape::of(element) {
                    ValueShape::List => Truth::Unsure,
                    _ => self.evaluate_one(element, log),
                });
                let each = log.note(ArgumentReading::EachElement, Truth::of_all(each));
                match self {
                    Self::Command(matcher) => Truth::of_all([each, test_arguments(matcher, &elements, log)]),
                    _ => each,
                }
            }
            _ => Truth::Unsure,
        }
    }

    fn evaluate_one(&self, value: &RawValue, log: &ReadingLog) -> Truth {
        match self {
            // The very text that the rule names is known to its author, whatever a server makes of it.
            Self::Text(expected) if json::as_text(value).as_deref() == Some(expected) => {
                test_as_path(expected, log, &|text| text == expected)
            }
            Self::Text(expected) => test_text(value, log, &|text| text == expected),
            Self::Matches(matcher) => test_text(value, log, &|text| matcher.matches(text)),
            Self::Under(folder) => {
                json::as_text(value).map_or(Truth::Unsure, |text| folder.contains_path(&text))
            }
            Self::Command(matcher) => {
                let line = json::as_text(value).map_or(Truth::Unsure, |line| matcher.evaluate_line(&line));
                let line = log.note(ArgumentReading::ShellCommands, line);
                match embedded::decode_container(value)
                    .filter(|json| ValueShape::of(json) == ValueShape::List)
                {
                    None => line,
                    Some(list) => {
                        let list = self.evaluate_at(&list, ValuePlace::default(), &ReadingLog::off());
                        Truth::of_all([line, log.note(ArgumentReading::EmbeddedJson, list)])
                    }
                }
            }
            Self::Number(expected) => test_number(value, |found| found == expected),
            Self::Bound(side, bound) => test_number(value, |found| match side {
                Comparison::Above => found > bound,
                Comparison::Below => found < bound,
                Comparison::AtLeast => found >= bound,
                Comparison::AtMost => found <= bound,
            }),
            Self::Flag(expected) => match value.get() {
                "true" => Truth::from(*expected),
                "false" => Truth::from(!expected),
                _ => Truth::Unsure,
            },
            Self::Null => Truth::from(value.get() == "null"),
        }
    }
}

/// A list may also be a program and its arguments, which no shell reads.
fn test_arguments(matcher: &CommandMatcher, elements: &[&RawValue], log: &ReadingLog) -> Truth {
    let words: Option<Vec<_>> = elements.iter().map(|word| json::as_text(word).map(Into::into)).collect();
    let truth = words.map_or(Truth::Unsure, |words| matcher.evaluate_arguments(words));
    log.note(ArgumentReading::ProgramArguments, truth)
}

/// Tests the text as it is, and every text in the JSON that it may hold. If the results differ, a server may see
/// the one or the other, so the result is unsure.
fn test_text(value: &RawValue, log: &ReadingLog, test: &dyn Fn(&str) -> bool) -> Truth {
    let Some(text) = json::as_text(value) else { return Truth::Unsure };
    let whole = test_as_path(&text, log, test);
    match embedded::texts_within(&text) {
        EmbeddedTexts::None => whole,
        EmbeddedTexts::Some(texts) => {
            let quiet = ReadingLog::off();
            let inside = Truth::of_all(texts.iter().map(|text| test_as_path(text, &quiet, test)));
            Truth::of_all([
                log.note(ArgumentReading::Text, whole),
                log.note(ArgumentReading::EmbeddedJson, inside),
            ])
        }
        EmbeddedTexts::Unclear => log.note(ArgumentReading::EmbeddedJson, Truth::Unsure),
    }
}

/// Tests the text as it is, and as the path that it may be.
fn test_as_path(text: &str, log: &ReadingLog, test: &dyn Fn(&str) -> bool) -> Truth {
    let plain = Truth::from(test(text));
    match path::normalize_path(text).map(|tidied| Truth::from(test(&tidied))) {
        Some(tidied) if tidied != plain => Truth::of_all([
            log.note(ArgumentReading::Text, plain),
            log.note(ArgumentReading::NormalizedPath, tidied),
        ]),
        _ => plain,
    }
}

fn test_number(value: &RawValue, test: impl Fn(&Decimal) -> bool) -> Truth {
    Decimal::parse(value.get()).map_or(Truth::Unsure, |found| Truth::from(test(&found)))
}

impl Truth {
    /// What all of them say. Where they differ nothing can be told; neither where there are none, since some servers
    /// take an empty list for everything.
    fn of_all(truths: impl IntoIterator<Item = Self>) -> Self {
        // One that does not hold and one that cannot be read: still nothing says that it holds.
        let agree = |one: Self, other: Self| match one.max(other) {
            _ if one == other => one,
            Self::No | Self::Unreadable => Self::Unreadable,
            Self::Unsure | Self::Yes => Self::Unsure,
        };
        truths.into_iter().reduce(agree).unwrap_or(Self::Unsure)
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests;
