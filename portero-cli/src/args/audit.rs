//! What is typed about the audit.

use clap::{Args, Subcommand};
use portero::audit::{DecisionKind, IdPart};
use portero::names::ServerName;
use portero::pattern::Pattern;

use super::value_parsers::decision_parser;
use crate::time_arg::TimeArg;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LogsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LogsCommand>,
    /// Go on printing what is added
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only what is about tools that match this pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) tool: Option<Pattern>,
    /// Only what is about this server's tools
    #[arg(long, value_name = "SERVER")]
    pub(crate) server: Option<ServerName>,
    /// Only calls that were decided like this
    #[arg(long, value_name = "DECISION", value_parser = decision_parser())]
    pub(crate) decision: Option<DecisionKind>,
    /// Only this session: its id, or a beginning or end of it
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<IdPart>,
    /// Only this task: its id, or a beginning or end of it
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<IdPart>,
    /// Only since then: so long ago such as 2h, or a time such as 2026-11-20T10:00
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<TimeArg>,
    /// Only until then, in the same forms
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<TimeArg>,
    /// At most so many, the newest of them
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Check the hash chain: nothing removed, changed, reordered or cut off
    Verify,
}
