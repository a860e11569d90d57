//! The ways in which a server may read a value, and what a test says of each, for the people who ask why.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Truth;

/// One way to read a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgumentReading {
    /// A text as it is.
    Text,
    /// A text as a path, without its `.`, `..` and doubled separators.
    NormalizedPath,
    /// A text as the JSON that it holds.
    EmbeddedJson,
    /// A value as the only element of a list.
    OnlyElement,
    /// A list, element by element.
    EachElement,
    /// A text as the commands that a shell runs.
    ShellCommands,
    /// A list as a program and its arguments.
    ProgramArguments,
}

/// What a condition says of a call's arguments, and what it says by each reading that there is beside the plain one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionReadings {
    /// The condition's place and test, without the value that it compares with.
    pub condition: String,
    /// Whether it holds.
    pub truth: Truth,
    /// The readings and whether it holds by them; none where the value is read in one way only.
    pub readings: Vec<(ArgumentReading, Truth)>,
}

/// Notes readings while a condition is followed. A decision needs none of them.
pub(super) struct ReadingLog(Option<RefCell<BTreeMap<ArgumentReading, Truth>>>);

impl ReadingLog {
    pub(super) const fn off() -> Self {
        Self(None)
    }

    pub(super) fn on() -> Self {
        Self(Some(RefCell::default()))
    }

    /// Notes what a test says by a reading, and returns it.
    pub(super) fn note(&self, reading: ArgumentReading, truth: Truth) -> Truth {
        if let Some(notes) = &self.0 {
            let mut notes = notes.borrow_mut();
            let before = notes.get(&reading).copied();
            notes.insert(reading, Truth::of_all(before.into_iter().chain([truth])));
        }
        truth
    }

    pub(super) fn into_readings(self) -> Vec<(ArgumentReading, Truth)> {
        self.0.map(|notes| notes.into_inner().into_iter().collect()).unwrap_or_default()
    }
}

/// As in "holds for the JSON in its text".
impl fmt::Display for ArgumentReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Text => "the text as it is",
            Self::NormalizedPath => "the path without its detours",
            Self::EmbeddedJson => "the JSON in its text",
            Self::OnlyElement => "the value as the only element of a list",
            Self::EachElement => "the list, element by element",
            Self::ShellCommands => "the commands that a shell runs",
            Self::ProgramArguments => "the list as a program and its arguments",
        })
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::No => "does not hold",
            Self::Unreadable => "cannot be read",
            Self::Unsure => "cannot be told",
            Self::Yes => "holds",
        })
    }
}

impl fmt::Display for ConditionReadings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.condition, self.truth)?;
        for (position, (reading, truth)) in self.readings.iter().enumerate() {
            let before = if position == 0 { ": it" } else { ", it" };
            write!(f, "{before} {truth} for {reading}")?;
        }
        Ok(())
    }
}
