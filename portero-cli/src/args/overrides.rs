//! Arguments of the commands for rules and grants.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use portero::config::duration;
use portero::pattern::Pattern;
use portero::policy::FixedArgument;

use super::auth::ConfirmationArgs;
use super::value_parsers::{parse_fixed_argument, parse_override_id};

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// A tool, or a pattern over tools such as `github/*`
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Pattern,
    /// How long, such as 30m, 1h or 2h30m
    #[arg(value_name = "DURATION", value_parser = duration::parse_duration)]
    pub(crate) duration: Duration,
    /// Only this many calls
    #[arg(long, value_name = "N")]
    pub(crate) uses: Option<NonZeroU32>,
    /// Only this connected session: its id or its agent's, or a beginning or end of either
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only sessions in this project directory, such as `.`
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    /// Only calls with this argument: its name or JSON Pointer, and its value; may be repeated
    #[arg(long = "with", value_name = "FIELD=VALUE", value_parser = parse_fixed_argument)]
    pub(crate) fixed: Vec<FixedArgument>,
    /// Only tools that `reads` in policies.json lists
    #[arg(long)]
    pub(crate) reads: bool,
    /// Run the waiting calls that this allows too, without asking
    #[arg(long)]
    pub(crate) run_waiting: bool,
    #[command(flatten)]
    pub(crate) confirming: ConfirmationArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The grants' ids
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all", value_parser = parse_override_id)]
    pub(crate) ids: Vec<u64>,
    /// Every grant
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnruleArgs {
    /// The rule's id
    #[arg(value_name = "ID", value_parser = parse_override_id)]
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) confirming: ConfirmationArgs,
}
