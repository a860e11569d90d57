//! Arguments of the commands for replacements.

use clap::{Args, Subcommand};
use portero::names::ServerName;

#[derive(Debug, Args)]
pub(crate) struct AnonymizeArgs {
    /// Replace fakes by real values, as toward a server; without `--server`, only those that every server may see
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Tell on standard error what was replaced where
    #[arg(long)]
    pub(crate) explain: bool,
    /// The server that says the text, or gets it
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<ServerName>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplacementsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ReplacementsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReplacementsCommand {
    /// List the replacements in force, by their fakes
    #[command(after_help = "Example:\n  portero replacements list")]
    List,
}
