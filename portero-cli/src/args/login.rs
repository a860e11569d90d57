//! Arguments of the logins at servers.

use clap::Args;
use portero::names::ServerName;

use super::auth::ConfirmationArgs;

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The server; without it, the servers that can be signed in to are listed
    #[arg(value_name = "SERVER")]
    pub(crate) server: Option<ServerName>,
    /// Print the address instead of opening a browser, and take the answer that you paste
    #[arg(long, requires = "server", conflicts_with = "device")]
    pub(crate) no_browser: bool,
    /// Sign in on another device, with a code; not every server offers it
    #[arg(long, requires = "server")]
    pub(crate) device: bool,
    /// Ask for these scopes in place of the usual ones; repeat it for several
    #[arg(long = "scope", value_name = "SCOPE", requires = "server")]
    pub(crate) scopes: Vec<String>,
    #[command(flatten)]
    pub(crate) confirming: ConfirmationArgs,
}
