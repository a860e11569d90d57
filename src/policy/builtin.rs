//! Decisions about Portero's own tools. A default or a broad pattern is meant for servers, and without these tools the
//! agent couldn't even ask. So only an entry that names them counts, and only a deny stops them.

use super::{Action, Decision, DecisionSource, Explanation};
use crate::names::BUILTIN_SERVER;

/// Reads the explanation of one of Portero's own tools by the rule above: the first decision that names the tool wins,
/// and one that asks doesn't stop it.
pub(super) fn explain_builtin(explanation: Explanation) -> Explanation {
    // The winner first, then the losers, most specific first.
    let Explanation { decision, losing, .. } = explanation;
    let mut named = std::iter::once(decision).chain(losing).filter(names_builtin).peekable();
    let decides = named.next_if(|first| first.action != Action::RequireApproval);
    let decision = decides.unwrap_or(Decision {
        action: Action::Allow,
        pattern: None,
        source: DecisionSource::Builtin,
        locked: false,
        case: None,
    });
    Explanation {
        decision,
        losing: named.collect(),
        elsewhere: Vec::new(),
        quorums: Vec::new(),
        readings: Vec::new(),
    }
}

fn names_builtin(decision: &Decision) -> bool {
    decision.pattern.as_ref().is_some_and(|pattern| {
        pattern.to_string().split_once('/').is_some_and(|(server, _)| server == BUILTIN_SERVER)
    })
}
