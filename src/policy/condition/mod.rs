//! Conditions on a call's arguments. A case is an action with conditions, each a test on the value that a JSON
//! Pointer finds.
//!
//! A test is true, false or unsure ([`Truth`]). It is unsure if the value has another type than the test, if a
//! server may read it differently than Portero, or if the elements of a list differ. An unsure test never
//! loosens a call and may tighten it: of all cases that could hold, the strictest does
//! (`PolicyEntry::decide`). Like all of policy, tests see the concealed arguments.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It doesn't hold.
    No,
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
        self.when.iter().map(|condition| condition.evaluate(arguments)).min().unwrap_or(Truth::Unsure)
    }
}

impl ArgumentCondition {
    fn evaluate(&self, arguments: &RawValue) -> Truth {
        self.pointer.evaluate(arguments, &|value| self.test.evaluate(value))
    }
}

impl ValueTest {
    /// Whether the test holds on this value. A server may convert a value of another type, so that is unsure.
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

/// Tests the text as it is, and as the path that it may be. If the results differ, a server may see what the
/// test didn't, so the result is unsure.
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
