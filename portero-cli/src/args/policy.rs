//! What is typed about decisions.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portero::names::ToolId;

use super::value_parsers::parse_tool_id;
use crate::time_arg::TimeArg;

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
    /// Decide the cases of a file, and end with 1 where one is not as expected
    #[command(after_help = "Example:\n  echo '[{\"tool\": \"files/write_file\", \"arguments\": {\"path\": \
                            \"/etc/passwd\"}, \"expect\": \"deny\"}]' > cases.json\n  portero policy test \
                            cases.json\n\nOnly the files count: no rule and no grant. A case without \
                            arguments gets the strictest that could hold.")]
    Test(PolicyTestArgs),
    /// Tell which of the audit's calls the present files would decide otherwise
    #[command(
        after_help = "Example:\n  portero policy replay --since 7d --config ./changed\n\nThe audit holds \
                            no arguments: where a rule looks at them, the replay says what could come out."
    )]
    Replay(PolicyReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyTestArgs {
    /// A list of cases, each with `tool`, `arguments` and `expect`
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyReplayArgs {
    /// How far back
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    pub(crate) since: TimeArg,
}
