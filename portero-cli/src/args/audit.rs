//! Arguments of the commands for the audit.

use clap::{Args, Subcommand};
use portero::audit::{DecisionKind, IdPart};
use portero::names::ServerName;
use portero::pattern::Pattern;

use super::time_arg::TimeArg;
use super::value_parsers::decision_parser;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LogsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LogsCommand>,
    /// Keep printing new records
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only records about tools that match this pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) tool: Option<Pattern>,
    /// Only records about this server's tools
    #[arg(long, value_name = "SERVER")]
    pub(crate) server: Option<ServerName>,
    /// Only calls with this decision
    #[arg(long, value_name = "DECISION", value_parser = decision_parser())]
    pub(crate) decision: Option<DecisionKind>,
    /// Only this session: its id, or a beginning or end of it
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<IdPart>,
    /// Only this task: its id, or a beginning or end of it
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<IdPart>,
    /// Only records since this time: an age such as 2h, or a time such as 2026-11-20T10:00
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<TimeArg>,
    /// Only records until this time, in the same forms
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<TimeArg>,
    /// Print at most this many, the newest of them
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Check the hash chain for removed, changed, reordered or cut-off records
    Verify,
}
