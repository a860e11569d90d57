//! What a session says of the processes that it has, and of the approved calls that it was handed.

use std::sync::Arc;

use portero::anonymize::{Anonymizer, Fake};
use portero::ipc::requests::handover::{HoldChildren, ReportCheck, ReportOutcome};
use portero::ipc::{DaemonFailure, FailureKind, PermitOutcome};
use portero::json::RawJson;
use portero::permit::PermitProblem;
use portero::secret::Secret;
use portero::session_key::SessionKey;

use super::{SessionCaller, SessionRequest, failure};
use crate::daemon::Daemon;

/// How many characters of a session's own words are kept. A genuine session says a sentence; a note is stored and shown.
const MAX_REPORTED_CHARS: usize = 1000;

impl SessionRequest for HoldChildren {
    async fn handle(self, daemon: &Arc<Daemon>, caller: &SessionCaller<'_>) -> Result<(), DaemonFailure> {
        let seat = &caller.session.seat;
        let holder = SessionKey::from_shown(Secret::new(self.key.expose())).holder();
        let is_first = seat.holder().is_none();
        seat.hold_children(holder.clone(), self.children).map_err(|error| refused(&error))?;
        if is_first {
            // A person may have asked again for one of its calls while it was away.
            let waiting = daemon.approval_queue.waiting_of_holder(&holder);
            let waiting = waiting.map_err(|error| failure::of_store(&error))?;
            waiting.iter().for_each(|task| daemon.sessions.tell_holder(task));
        }
        // What was approved while this session was not connected waits for it.
        daemon.approval_queue.wake_executor();
        Ok(())
    }
}

impl SessionRequest for ReportCheck {
    async fn handle(self, daemon: &Arc<Daemon>, caller: &SessionCaller<'_>) -> Result<(), DaemonFailure> {
        let anonymizer = daemon.anonymizer.load();
        let problem = self.problem.map(|problem| bound_problem(problem, &anonymizer));
        caller.session.seat.report_check(self.number, problem).map_err(|error| refused(&error))
    }
}

impl SessionRequest for ReportOutcome {
    /// Conceals by the daemon's own rules: a report over the socket is not trusted.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &SessionCaller<'_>) -> Result<(), DaemonFailure> {
        let Self { task, nonce, outcome } = self;
        let outcome = bound_outcome(outcome, &daemon.anonymizer.load());
        #[cfg(test)]
        crate::crash::crash_at("outcome reported");
        caller.session.seat.report_outcome(task, nonce, outcome).map_err(|error| refused(&error))
    }
}

/// The outcome with everything in it concealed, and its words cut.
fn bound_outcome(outcome: PermitOutcome, anonymizer: &Anonymizer) -> PermitOutcome {
    let conceal = |json: Fake<RawJson>| anonymizer.conceal_local(json.into_inner());
    match outcome {
        PermitOutcome::Result(result) => {
            conceal(result).map_or(PermitOutcome::Withheld, PermitOutcome::Result)
        }
        PermitOutcome::Error(error) => conceal(error).map_or(PermitOutcome::Withheld, PermitOutcome::Error),
        PermitOutcome::NotRun(problem) => PermitOutcome::NotRun(bound_problem(problem, anonymizer)),
        PermitOutcome::Failed(words) => PermitOutcome::Failed(bound_words(&words, anonymizer)),
        PermitOutcome::Unknown(words) => PermitOutcome::Unknown(bound_words(&words, anonymizer)),
        other @ (PermitOutcome::TooLong(_) | PermitOutcome::Withheld) => other,
    }
}

fn bound_problem(problem: PermitProblem, anonymizer: &Anonymizer) -> PermitProblem {
    match problem {
        PermitProblem::Restarted => PermitProblem::Restarted,
        PermitProblem::Changed(words) => PermitProblem::Changed(bound_words(&words, anonymizer)),
        PermitProblem::Denied(words) => PermitProblem::Denied(bound_words(&words, anonymizer)),
        PermitProblem::Unavailable(words) => PermitProblem::Unavailable(bound_words(&words, anonymizer)),
    }
}

/// Conceals before it cuts, since half of a private value would not be found any more.
fn bound_words(words: &str, anonymizer: &Anonymizer) -> String {
    let concealed = anonymizer.conceal_text(words).into_inner();
    match concealed.char_indices().nth(MAX_REPORTED_CHARS) {
        Some((end, _)) => format!("{}… (shortened)", &concealed[..end]),
        None => concealed,
    }
}

fn refused(error: &dyn std::error::Error) -> DaemonFailure {
    DaemonFailure::new(FailureKind::Refused, error.to_string())
}

#[cfg(test)]
mod tests {
    use portero::anonymize::{Direction, ReplacementRule};

    use super::*;

    #[test]
    fn a_sessions_words_are_concealed_and_then_cut() {
        let rule = ReplacementRule {
            fake: "Jane Roe".to_owned(),
            real: Secret::new("Ada Lovelace".to_owned()),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: None,
        };
        let anonymizer = Anonymizer::new(&[rule]).unwrap();
        // The private value stands across the bound.
        let words = format!("{}Ada Lovelace", "é".repeat(MAX_REPORTED_CHARS - 3));
        let cut = format!("{}Jan… (shortened)", "é".repeat(MAX_REPORTED_CHARS - 3));
        let problems = [
            PermitProblem::Changed(words.clone()),
            PermitProblem::Denied(words.clone()),
            PermitProblem::Unavailable(words.clone()),
        ];
        let outcomes = problems.into_iter().map(PermitOutcome::NotRun);
        for outcome in outcomes.chain([PermitOutcome::Failed(words.clone()), PermitOutcome::Unknown(words)]) {
            let kept = match bound_outcome(outcome, &anonymizer) {
                PermitOutcome::NotRun(
                    PermitProblem::Changed(kept)
                    | PermitProblem::Denied(kept)
                    | PermitProblem::Unavailable(kept),
                )
                | PermitOutcome::Failed(kept)
                | PermitOutcome::Unknown(kept) => kept,
                other => panic!("{other:?}"),
            };
            assert_eq!(kept, cut);
        }
        let short = bound_words("Ada Lovelace is not connected", &anonymizer);
        assert_eq!(short, "Jane Roe is not connected");
    }
}
