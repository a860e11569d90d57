//! Arguments of the commands for waiting calls.

use std::time::Duration;

use clap::Args;
use portero::approval_scope::{ApprovalScope, ScopeDuration};
use portero::config::duration;
use portero::policy::ArgumentPointer;
use portero::task::TaskState;

use super::auth::ConfirmationArgs;
use super::value_parsers::{parse_pointer, state_parser};

#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    /// Only tasks in this state
    #[arg(long, alias = "status", value_name = "STATE", value_parser = state_parser())]
    pub(crate) state: Option<TaskState>,
    /// At most this many, the newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct PendingArgs {
    /// Keep watching, in a full-screen view to read, approve and reject; with --json, stream one JSON object a line
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ApproveArgs {
    /// The tasks' ids, or a beginning or end of each; without one, each waiting call is shown and asked about
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Run it in another process than the one that its session uses, where that one is gone
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Return at once, without waiting for the outcome
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) confirming: ConfirmationArgs,
}

/// What is permitted beside one call.
#[derive(Debug, Default, Args)]
pub(crate) struct ScopeArgs {
    /// Let further calls of this tool run unasked for so long, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_duration, conflicts_with_all = ["session", "exact", "always"])]
    pub(crate) grant: Option<Duration>,
    /// Let further calls of this tool run unasked in the session that asked
    #[arg(long, conflicts_with_all = ["exact", "always"])]
    pub(crate) session: bool,
    /// With --grant or --session: only calls in which this argument is the same as in this one; may be repeated
    #[arg(long = "with", value_name = "FIELD", value_parser = parse_pointer, conflicts_with_all = ["exact", "always", "reads"])]
    pub(crate) fixed: Vec<ArgumentPointer>,
    /// With --grant or --session: every tool of this server that `reads` in policies.json lists
    #[arg(long, conflicts_with_all = ["exact", "always"])]
    pub(crate) reads: bool,
    /// Let exactly this call run unasked in the session that asked
    #[arg(long, conflicts_with = "always")]
    pub(crate) exact: bool,
    /// Let further calls of this tool run unasked until you remove the rule
    #[arg(long)]
    pub(crate) always: bool,
}

impl ScopeArgs {
    /// The scope that these arguments mean; none for the call alone.
    ///
    /// # Errors
    /// If a time is missing.
    pub(crate) fn to_scope(&self) -> Result<Option<ApprovalScope>, String> {
        let Self { grant, session, fixed, reads, exact, always } = self;
        let lasts = match (grant, session) {
            (Some(duration), _) => Some(ScopeDuration::from_duration(*duration)),
            (None, true) => Some(ScopeDuration::Session),
            (None, false) => None,
        };
        Ok(match (lasts, exact, always) {
            (_, true, _) => Some(ApprovalScope::ExactCall),
            (_, _, true) => Some(ApprovalScope::Always),
            (None, _, _) if fixed.is_empty() && !reads => None,
            (None, _, _) => {
                return Err("`--with` and `--reads` need `--grant DURATION` or `--session`".to_owned());
            }
            (Some(lasts), _, _) if *reads => Some(ApprovalScope::ServerReads { lasts }),
            (Some(lasts), _, _) if fixed.is_empty() => Some(ApprovalScope::Tool { lasts }),
            (Some(lasts), _, _) => Some(ApprovalScope::FixedArguments { pointers: fixed.clone(), lasts }),
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// The task's id, or a beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Show the real values too, on the terminal itself; asks for the passphrase, or a tap on Telegram
    #[arg(long)]
    pub(crate) real: bool,
    /// Confirm on Telegram: tap the number that the terminal shows
    #[arg(long, requires = "real")]
    pub(crate) telegram: bool,
}

#[derive(Debug, Default, Args)]
pub(crate) struct RejectArgs {
    /// The tasks' ids, or a beginning or end of each; without one, each waiting call is shown and asked about
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// The reason that the agent is told
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Let the same call ask again at once; otherwise it is refused for a while (`coolDown` in portero.json)
    #[arg(long)]
    pub(crate) no_cool_down: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_means_one_scope_or_lacks_a_time() {
        let pointer = || ArgumentPointer::parse_typed("repo").unwrap();
        let ten = ScopeDuration::Millis(600_000);
        let grant = Some(Duration::from_secs(600));
        let none = ScopeArgs::default;
        for (args, scope) in [
            (none(), Ok(None)),
            (ScopeArgs { grant, ..none() }, Ok(Some(ApprovalScope::Tool { lasts: ten }))),
            (
                ScopeArgs { session: true, ..none() },
                Ok(Some(ApprovalScope::Tool { lasts: ScopeDuration::Session })),
            ),
            (
                ScopeArgs { grant, fixed: vec![pointer()], ..none() },
                Ok(Some(ApprovalScope::FixedArguments { pointers: vec![pointer()], lasts: ten })),
            ),
            (ScopeArgs { grant, reads: true, ..none() }, Ok(Some(ApprovalScope::ServerReads { lasts: ten }))),
            (ScopeArgs { exact: true, ..none() }, Ok(Some(ApprovalScope::ExactCall))),
            (ScopeArgs { always: true, ..none() }, Ok(Some(ApprovalScope::Always))),
            (ScopeArgs { fixed: vec![pointer()], ..none() }, Err(())),
            (ScopeArgs { reads: true, ..none() }, Err(())),
        ] {
            assert_eq!(args.to_scope().map_err(|_| ()), scope, "{args:?}");
        }
    }
}
