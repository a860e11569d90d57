//! Arguments of `portero secret`.

use std::time::Duration;

use clap::{Args, Subcommand};
use portero::config::duration;
use portero::names::SecretName;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Set a secret, or replace it; asks for its value without showing it, and for the passphrase
    #[command(
        after_help = "Examples:\n  portero secret set github\n  portero secret set github --ttl 15m\n  op read op://Personal/github/token | portero secret set github --keep\n\nWhere standard input is no terminal, the value is read from there. No argument can supply it. A server gets it where its entry in mcps.json says ${secret:NAME}."
    )]
    Set(SetSecretArgs),
    /// List the secrets that are set, never their values
    List,
    /// Forget secrets at once, and end the servers that use them
    #[command(
        override_usage = "portero secret clear <NAME>\n       portero secret clear --all",
        after_help = "Examples:\n  portero secret clear github\n  portero secret clear --all"
    )]
    Clear(ClearSecretsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetSecretArgs {
    /// Its name: letters, digits, `_`, `-` and `.`
    #[arg(value_name = "NAME")]
    pub(crate) name: SecretName,
    /// Forget it after this time, such as 15m or 8h [default: when the daemon ends]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_duration, conflicts_with = "keep")]
    pub(crate) ttl: Option<Duration>,
    /// Keep it, encrypted in Portero's store, until it is cleared
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClearSecretsArgs {
    /// The secret to forget
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<SecretName>,
    /// Forget every secret
    #[arg(long)]
    pub(crate) all: bool,
}
