//! Why a session has no connection to the daemon, and what the person is to do about it: which of the two programs
//! to start, to restart or to upgrade.

use portero::ipc::ConnectError;
use portero::pipeline::Refusal;

/// Why there is no connection, for the agent.
#[derive(Debug, Clone)]
pub(super) struct ConnectionProblem {
    pub(super) why: String,
    /// What the person is to do.
    advice: String,
}

impl From<&str> for ConnectionProblem {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), advice: "run `portero daemon start`".to_owned() }
    }
}

impl From<ConnectError> for ConnectionProblem {
    fn from(error: ConnectError) -> Self {
        let unreached = Self::from(format!("Portero's daemon cannot be reached: {error}").as_str());
        match error {
            // Which of the two programs is to be restarted, or for which configuration it runs.
            ConnectError::Refused { failure, peer: _ } => {
                let advice = failure.hint.map(|hint| format!("do this: {hint}"));
                Self { advice: advice.unwrap_or(unreached.advice), why: unreached.why }
            }
            ConnectError::Absent(_)
            | ConnectError::Impostor
            | ConnectError::OtherStore(_)
            | ConnectError::Foreign(_)
            | ConnectError::Broken(_) => unreached,
        }
    }
}

impl From<ConnectionProblem> for Refusal {
    fn from(ConnectionProblem { why, advice }: ConnectionProblem) -> Self {
        Self::DaemonUnavailable(format!(
            "{why}. This needs the daemon, which alone asks a person for approval and keeps what they decide; \
             tell the person to {advice}. Do not look for another way to do it."
        ))
    }
}
