//! Arguments of the commands for the pinned definitions.

use clap::{Args, Subcommand};
use portero::names::ServerName;

use super::auth::ConfirmationArgs;

#[derive(Debug, Args)]
pub(crate) struct PinsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PinsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PinsCommand {
    /// Show how a server's definitions differ from the accepted ones
    Diff {
        /// The server
        #[arg(value_name = "SERVER")]
        server: ServerName,
    },
    /// Accept what a server defines now; asks for the passphrase, or a tap on Telegram
    #[command(
        after_help = "The terminal shows every difference before it asks for the passphrase. What the server changes after that is not accepted."
    )]
    Accept {
        /// The server
        #[arg(value_name = "SERVER")]
        server: ServerName,
        #[command(flatten)]
        confirming: ConfirmationArgs,
    },
}
