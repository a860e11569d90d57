//! Real values stay with the servers; the agent's side sees fakes.
//!
//! *Conceal* is real→fake toward the agent, *reveal* is fake→real toward one server: one pass,
//! leftmost-longest, no rescan (guarantees N1 to N7). [`Fake`] and [`Real`] keep the two sides apart in the
//! types.

mod sides;

pub use sides::{Fake, Real};

use crate::json::RawJson;
use crate::names::ServerName;
use crate::secret::Secret;

/// One rule of `replacements.json`, with its values read.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What the agent's side sees.
    pub fake: String,
    /// What servers see.
    pub real: Secret,
    /// How it maps.
    pub direction: Direction,
    /// Whether case matters when looking for `real` and `fake`.
    pub case_sensitive: bool,
    /// What kind of value it is, such as `name` or `email`; the agent is told the fake under it.
    pub label: Option<String>,
    /// The servers it is revealed to; none means all.
    pub servers: Option<Vec<ServerName>>,
}

/// How a rule maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    Both,
    /// Fake→real toward servers; toward the agent the real value becomes these words
    /// (`***REDACTED***` by default).
    OneWay {
        /// What the agent's side sees in place of the real value.
        redaction: String,
    },
    /// A secret that Portero gave to a child: redacted toward the agent, never revealed (guarantee N7).
    Injected,
}

/// Two rules (by their positions) that cannot hold together, or one that cannot hold at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Conflict {
    /// The rule's position.
    pub rule: usize,
    /// The other one's.
    pub other: Option<usize>,
    /// What is wrong, in words that hold no real value.
    pub problem: String,
}

/// A message that still held a real value after it was concealed (guarantee N5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was withheld: a second look found a private value in it")]
pub struct Leak;

/// A proven rule set.
#[derive(Debug)]
pub struct Anonymizer {}

impl Anonymizer {
    /// Proves that the rules keep N1 and N2 together, and builds the searchers.
    ///
    /// # Errors
    /// Every conflict there is.
    pub fn new(rules: &[Rule]) -> Result<Self, Vec<Conflict>> {
        todo!()
    }

    /// Without a rule.
    #[must_use]
    pub fn none() -> Self {
        todo!()
    }

    /// Conceals every string, object key and number of raw JSON, then looks again in another way.
    ///
    /// # Errors
    /// [`Leak`], and the message must be withheld.
    pub fn conceal(&self, json: Real<RawJson>) -> Result<Fake<RawJson>, Leak> {
        todo!()
    }

    /// Conceals JSON that the agent's side sent or that Portero made: it may hold a real value too, and must
    /// not be stored or sent on with it.
    ///
    /// # Errors
    /// [`Leak`], and the message must be withheld.
    pub fn conceal_own(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.conceal(Real::from_server(json))
    }

    /// Conceals plain text: a line of a child's stderr, an error, a name. What the second look would
    /// withhold becomes a fixed notice.
    #[must_use]
    pub fn conceal_text(&self, text: &str) -> Fake<String> {
        todo!()
    }

    /// Reveals what `server` may see.
    #[must_use]
    pub fn reveal(&self, server: &ServerName, json: &Fake<RawJson>) -> Real<RawJson> {
        todo!()
    }

    /// The fakes that have a label: whom the agent acts for.
    pub fn identity(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::empty()
    }
}
