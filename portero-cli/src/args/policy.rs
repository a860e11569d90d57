//! Arguments of the commands for decisions.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portero::names::ToolId;

use super::time_arg::TimeArg;
use super::value_parsers::parse_tool_id;

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The tool, as `server/tool`
    #[arg(value_name = "TOOL", value_parser = parse_tool_id)]
    pub(crate) tool: ToolId,
    /// A file with a call's arguments as JSON, for rules that look at them; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) args: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Decide each case of a file, and exit with 1 if a decision is not the expected one
    #[command(after_help = "Example:\n  echo '[{\"tool\": \"files/write_file\", \"arguments\": {\"path\": \
                            \"/etc/passwd\"}, \"expect\": \"deny\"}]' > cases.json\n  portero policy test \
                            cases.json\n\nOnly the configuration files count, no rules and no grants. A case without arguments gets the strictest possible decision.")]
    Test {
        /// A list of cases, each with `tool`, `arguments` and `expect`
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show which calls in the audit the present files would decide differently
    #[command(
        after_help = "Example:\n  portero policy replay --since 7d --config ./changed\n\nThe audit holds no arguments. Where a rule needs them, the replay shows the possible decisions."
    )]
    Replay {
        /// How far back
        #[arg(long, value_name = "WHEN", default_value = "7d")]
        since: TimeArg,
    },
}
