//! Definition pins: what servers list, what differs from the accepted definitions, and its acceptance.

use serde::{Deserialize, Serialize};

use crate::ipc::{Challenge, Request, Response};
use crate::json::RawJson;
use crate::names::ServerName;
use crate::policy::definition_pins::{DefinitionItem, WaitingDigest};

/// Report what a server lists in this session. The daemon conceals the definitions again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportDefinitions {
    /// The server.
    pub server: ServerName,
    /// Everything that it defines.
    pub definitions: Vec<ReportedDefinition>,
}

/// One definition of a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportedDefinition {
    /// The item.
    pub item: DefinitionItem,
    /// The definition; none if the session knows that it is accepted or waits already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<RawJson>,
}

impl Request for ReportDefinitions {
    const METHOD: &'static str = "definitions/report";
    type Response = ();
}

/// Get the pins of all servers, or of one with the differences that wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetDefinitions {
    /// Only this server, with its differences.
    pub server: Option<ServerName>,
}

impl Request for GetDefinitions {
    const METHOD: &'static str = "definitions/get";
    type Response = Vec<ServerDefinitions>;
}

/// The pins of one server, as people see them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerDefinitions {
    /// The server.
    pub server: ServerName,
    /// How many items have an accepted definition.
    pub accepted: u64,
    /// The items whose definition changed and waits.
    pub changed: Vec<DefinitionItem>,
    /// The items that are new and wait.
    pub added: Vec<DefinitionItem>,
    /// The items that its last listings lacked.
    pub gone: Vec<DefinitionItem>,
    /// The differences of what waits; empty where they weren't asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<DefinitionDifference>,
    /// Identifies what waits.
    pub shown: String,
}

impl Response for ServerDefinitions {}

/// The difference of one definition from the accepted one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DefinitionDifference {
    /// The item.
    pub item: DefinitionItem,
    /// Whether no definition of it is accepted.
    pub is_new: bool,
    /// The lines, in the order of the new definition. A line is never broken.
    pub lines: Vec<DifferenceLine>,
}

/// The definitions because of which a task asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// The tool or prompt.
    pub item: DefinitionItem,
    /// How each of its definitions that wait differs from the accepted one; seldom more than one.
    pub differences: Vec<DefinitionDifference>,
    /// Identifies them.
    pub shown: WaitingDigest,
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceLine {
    /// What became of it.
    pub change: LineChange,
    /// Its text, which comes from the server.
    pub text: String,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineChange {
    /// It is in both definitions.
    Same,
    /// Only the accepted definition has it.
    Removed,
    /// Only the new definition has it.
    Added,
}

impl LineChange {
    /// The mark before the line.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Same => "  ",
            Self::Removed => "- ",
            Self::Added => "+ ",
        }
    }
}

/// Accept everything of a server that waits. Widens. The response is how many definitions were accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AcceptDefinitions {
    /// The server.
    pub server: ServerName,
    /// The [`ServerDefinitions::shown`] that the person saw. Anything else is refused.
    pub shown: String,
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for AcceptDefinitions {
    const METHOD: &'static str = "definitions/accept";
    type Response = u64;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}
