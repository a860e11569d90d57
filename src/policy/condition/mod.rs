//! Rules that look at a call's arguments: a case is an action with conditions, each a test on what a JSON
//! Pointer finds.
//!
//! A test says yes, no, or that it cannot tell ([`Truth`]): the value is of another type than the test is for, a
//! server may read it in another way than Portero does, or the elements of a list differ. What cannot be told never
//! helps a call and may always hold it up: of all that could hold, the strictest does (`PolicyEntry::decide`). Tests see the
//! concealed arguments, as all of policy does.

mod display;
mod number;
mod path;
mod pointer;
mod text;

use serde_json::value::RawValue;

pub use number::Decimal;
pub use path::{Folder, FolderError};
pub use pointer::{JsonPointer, PointerError};
pub use text::TextMatcher;

use super::{Action, DecisionSource};
use crate::json;

/// An action for calls whose arguments meet every condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCase {
    /// All of them must hold; never empty.
    pub when: Vec<ArgumentCondition>,
    /// The action then.
    pub action: Action,
    /// Its one-based number in its entry, to name it by.
    pub number: u32,
    /// Where it was written.
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

/// Whether something holds. `Ord`: all of several hold as far as the least of them does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not.
    No,
    /// It cannot be told.
    Unsure,
    /// It does.
    Yes,
}

impl PolicyCase {
    /// Whether all conditions hold on these arguments; without arguments to look at nothing can be told.
    #[must_use]
    pub fn evaluate(&self, arguments: Option<&RawValue>) -> Truth {
        let Some(arguments) = arguments else { return Truth::Unsure };
        self.when.iter().map(|condition| condition.evaluate(arguments)).min().unwrap_or(Truth::Unsure)
    }
}

impl ArgumentCondition {
    fn evaluate(&self, arguments: &RawValue) -> Truth {
        self.pointer.evaluate(arguments, &|value| self.test.evaluate(value))
    }
}

impl ValueTest {
    /// Whether the value is so. A value of another type than the test is for may be turned into one by its
    /// server, so nothing can be told.
    #[must_use]
    pub fn evaluate(&self, value: &RawValue) -> Truth {
        match self {
            Self::Text(expected) => test_text(value, |text| Truth::from(text == expected)),
            Self::Matches(matcher) => test_text(value, |text| Truth::from(matcher.matches(text))),
            Self::Under(folder) => {
                json::as_text(value).map_or(Truth::Unsure, |text| folder.contains_path(&text))
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

/// A test on a text holds for the text as it is and for the path that it may be: where the two differ, a
/// server may see what the test did not.
fn test_text(value: &RawValue, test: impl Fn(&str) -> Truth) -> Truth {
    let Some(text) = json::as_text(value) else { return Truth::Unsure };
    let plain = test(&text);
    match path::normalize_path(&text) {
        Some(tidied) if test(&tidied) != plain => Truth::Unsure,
        _ => plain,
    }
}

fn test_number(value: &RawValue, test: impl Fn(&Decimal) -> bool) -> Truth {
    Decimal::parse(value.get()).map_or(Truth::Unsure, |found| Truth::from(test(&found)))
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests;
