//! Proposes fakes: natural, of the shape of the real value, rare, and of a kind that nobody owns.
//!
//! A fake that models write by themselves, such as `John Doe`, would be revealed in texts that were never about the person.
//! So names come from lists of uncommon ones ([`names`]), addresses from the domains of RFC 2606, and telephone numbers
//! from ranges that regulators keep for fiction. The same seed proposes the same.

mod alias;
mod choice;
mod email;
mod names;
mod path;
mod phone;

use std::fmt;
use std::str::FromStr;

pub(super) use self::alias::make_alias;
use self::choice::Choice;
use super::{Direction, ReplacementRule, rule_proof};
use crate::secret::Secret;

/// The kind of value that a fake stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeKind {
    /// A person's name.
    Name,
    /// An address of electronic mail.
    Email,
    /// A telephone number.
    Phone,
    /// A path of a file or a directory.
    Path,
}

impl FakeKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Name, Self::Email, Self::Phone, Self::Path];

    /// Its word, which is also the label of such a replacement.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Path => "path",
        }
    }

    /// What a proposal is shaped like where no value is given.
    const fn example(self) -> &'static str {
        match self {
            Self::Name => "Firstname Lastname",
            Self::Email => "firstname.lastname@host.test",
            Self::Phone => "+1 212 867 5309",
            Self::Path => "/home/username",
        }
    }
}

impl fmt::Display for FakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FakeKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or("the kinds are name, email, phone and path")
    }
}

/// Why nothing can be proposed. Holds no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuggestError {
    /// The value has not the shape of its kind.
    #[error("the value has not the shape of a {0}")]
    OtherShape(FakeKind),
    /// There is no list of names in the value's script.
    #[error("there are no names in the script of the value")]
    UnknownScript,
    /// Each candidate is refused beside the other replacements.
    #[error("no candidate goes together with the other replacements")]
    NoneFits,
}

/// How many candidates are tried for each proposal.
const MAX_CANDIDATES: u64 = 64;

/// Proposes `count` different fakes of the shape of `real`, or of a usual shape. Each goes together with `rules`, whose rule
/// for the same real value doesn't count.
///
/// # Errors
/// [`SuggestError`].
pub fn suggest_fakes(
    kind: FakeKind,
    real: Option<&Secret>,
    rules: &[ReplacementRule],
    seed: u64,
    count: usize,
) -> Result<Vec<String>, SuggestError> {
    let shape = real.map_or(kind.example(), Secret::expose);
    let others: Vec<ReplacementRule> =
        rules.iter().filter(|rule| Some(&rule.real) != real).cloned().collect();
    let mut found: Vec<String> = Vec::new();
    for number in 0..MAX_CANDIDATES * count as u64 {
        let candidate = make_fake(kind, shape, &mut Choice::new(kind.as_str(), seed, number))?;
        if found.len() < count && !found.contains(&candidate) && fits(&candidate, real, &others) {
            found.push(candidate);
        }
        if found.len() == count {
            break;
        }
    }
    if found.is_empty() { Err(SuggestError::NoneFits) } else { Ok(found) }
}

fn make_fake(kind: FakeKind, shape: &str, choice: &mut Choice) -> Result<String, SuggestError> {
    match kind {
        FakeKind::Name => names::make_name(shape, choice),
        FakeKind::Email => email::make_address(shape, choice).ok_or(SuggestError::OtherShape(kind)),
        FakeKind::Phone => phone::make_number(shape, choice).ok_or(SuggestError::OtherShape(kind)),
        FakeKind::Path => path::make_path(shape, choice).ok_or(SuggestError::OtherShape(kind)),
    }
}

/// Whether the proof accepts a fake beside other rules.
fn fits(fake: &str, real: Option<&Secret>, others: &[ReplacementRule]) -> bool {
    // A real value that isn't known stands in no fake.
    let unknown = || Secret::new("\u{E000}\u{E001}\u{E002}\u{E003}");
    let candidate = ReplacementRule {
        fake: fake.to_owned(),
        real: real.cloned().unwrap_or_else(unknown),
        direction: Direction::Both,
        case_sensitive: false,
        matching: None,
        label: None,
        servers: None,
    };
    let rules: Vec<ReplacementRule> = others.iter().cloned().chain([candidate]).collect();
    rule_proof::find_conflicts(&rules).is_empty()
}

#[cfg(test)]
mod tests;
