//! What the paired person asks for on their phone: the same requests as the terminal's.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::{Ask, Failure, Reaching, Reply};
use portero::names::ToolId;
use portero::policy::Action;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Attempt};
use super::challenge::Confirming;
use super::{Hand, answer_person, grant, reach, resume, rule, unrule};
use crate::daemon::Daemon;
use crate::pairing::Person;
use crate::rules::Wanted;
use crate::taps::{Affirmed, Wider};

/// Answers what the person asked in words, as a terminal would be answered; nothing widens by it.
///
/// # Errors
/// Why not.
pub async fn said(daemon: &Arc<Daemon>, person: Person, ask: Ask) -> Result<Reply, Failure> {
    let by = format!("telegram user {}", person.user);
    let attempt = attempt::of(&ask);
    let hand = Hand { by: &by, withdrawn: CancellationToken::new(), beside: None };
    let answered = answer_person(daemon, &hand, ask).await;
    attempt::written_down(daemon, attempt, &by, answered).await
}

/// What is to be shown before this is confirmed: the tools that it covers and whose decision changes, with what is
/// decided for each now, denied ones first.
///
/// # Errors
/// Why it would not be done at all; it is written down then.
pub async fn reach(
    daemon: &Arc<Daemon>,
    person: Person,
    what: &Wider,
) -> Result<Vec<(ToolId, Action)>, Failure> {
    let looked = match what {
        Wider::Grant(_, millis, _) => grant::fits(daemon, Duration::from_millis(*millis)).map(drop),
        Wider::Allow(_) | Wider::Unrule(..) | Wider::Resume => Ok(()),
    };
    let by = format!("telegram user {}", person.user);
    attempt::written_down(daemon, Some(attempt(what)), &by, looked).await?;
    let (pattern, by) = match what {
        Wider::Grant(pattern, ..) => (pattern, Reaching::Grant),
        Wider::Allow(pattern) => (pattern, Reaching::Allow),
        Wider::Unrule(id, pattern, _) => (pattern, Reaching::Unrule(*id)),
        Wider::Resume => return Ok(Vec::new()),
    };
    reach::tools(daemon, pattern, by).await
}

/// Does what the person confirmed with a button.
///
/// # Errors
/// Why not; it is written down then.
pub async fn affirmed(daemon: &Arc<Daemon>, affirmed: Affirmed) -> Result<Reply, Failure> {
    let (by, what) = (affirmed.by(), affirmed.widening().what.clone());
    let attempt = attempt(&what);
    let confirming = Confirming::Affirmed(affirmed);
    let done = match what {
        Wider::Grant(pattern, millis, limits) => {
            let lasts = Duration::from_millis(millis);
            let wanted = Wanted { pattern, lasts, limits };
            grant::answer(daemon, &by, wanted, confirming).await
        }
        Wider::Allow(pattern) => rule::answer(daemon, &by, pattern, Action::Allow, Some(confirming)).await,
        Wider::Unrule(id, ..) => unrule::answer(daemon, &by, id, Some(confirming)).await,
        Wider::Resume => resume::answer(daemon, &by, confirming).await,
    };
    attempt::written_down(daemon, Some(attempt), &by, done).await
}

fn attempt(what: &Wider) -> Attempt {
    match what {
        Wider::Grant(pattern, ..) => Attempt::new("grant", pattern.to_string()),
        Wider::Allow(pattern) => Attempt::new("allow", pattern.to_string()),
        Wider::Unrule(id, ..) => Attempt::new("unrule", format!("rule {id}")),
        Wider::Resume => Attempt::new("resume", "everything".to_owned()),
    }
}
