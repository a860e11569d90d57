//! Arguments of the commands for waiting calls.

use clap::Args;
use portero::task::TaskState;

use super::auth::ConfirmationArgs;
use super::value_parsers::state_parser;

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

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The task's id, or a beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Run it in another process than the one that its session uses, where that one is gone
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) confirming: ConfirmationArgs,
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

#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    /// The task's id, or a beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The reason that the agent is told
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Let the same call ask again at once; otherwise it is refused for a while (`coolDown` in portero.json)
    #[arg(long)]
    pub(crate) no_cool_down: bool,
}
