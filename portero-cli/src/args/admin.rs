//! Arguments of the commands for the configuration, the daemon and the program itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::auth::ConfirmationArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show how the files differ from what you confirmed
    Diff,
    /// Confirm the files as they are now; asks for the passphrase, or a tap on Telegram
    #[command(
        after_help = "The terminal shows every change before it asks for the passphrase. Files that change after that are not confirmed."
    )]
    Confirm(ConfirmationArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum HttpsCommand {
    /// Show the certificate's file, its SHA-256 fingerprint and when it expires
    Cert,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Start it, and return once it listens
    Start,
    /// Stop it, and return once it has ended
    Stop,
    /// Tell whether it runs
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The server's MCP endpoint, as in https://home.example:8443/mcp
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// A file with the token, which no other user can read [default: the variable PORTERO_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A file with further headers, `Name: value` on each line, which no other user can read
    #[arg(long, value_name = "FILE")]
    pub(crate) header_file: Option<PathBuf>,
    /// A file with further certificate authorities in PEM, such as a self-signed certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TryArgs {
    /// Answer every question with yes, for unattended runs
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SampleServerArgs {
    /// Append each call that arrives to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The directory that gets `completions/` and `man/`
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}
