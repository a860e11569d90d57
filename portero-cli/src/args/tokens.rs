//! Arguments of the commands for access tokens.

use std::time::Duration;

use clap::{Args, Subcommand};
use portero::access::TokenName;
use portero::config::duration;
use portero::pattern::Pattern;

use super::auth::ConfirmationArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and show it once; asks for the passphrase, or a tap on Telegram
    #[command(
        after_help = "Examples:\n  portero token create laptop\n  portero token create ci --tools 'github/list_*' --expires 30d\n\nWithout --servers and --tools the token reaches every server. With both it reaches those servers whole, and those tools besides. Policy decides about its calls as about any other. The terminal itself shows the token; Portero keeps only a hash of it."
    )]
    Create(CreateTokenArgs),
    /// List the tokens: what each reaches, and when it was made, ends, and was last used
    List,
    /// End a token and its open sessions at once
    #[command(after_help = "Example:\n  portero token revoke laptop")]
    Revoke {
        /// The token's name
        #[arg(value_name = "NAME")]
        name: TokenName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateTokenArgs {
    /// The token's name, by which you and the audit know its holder
    #[arg(value_name = "NAME")]
    pub(crate) name: TokenName,
    /// Only these servers, or patterns over servers such as `note*`
    #[arg(long, value_name = "SERVERS", value_delimiter = ',')]
    pub(crate) servers: Vec<String>,
    /// Only these tools, or patterns over tools such as `github/list_*`
    #[arg(long, value_name = "TOOLS", value_delimiter = ',')]
    pub(crate) tools: Vec<Pattern>,
    /// How long it is valid, such as 12h or 30d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_duration)]
    pub(crate) expires: Option<Duration>,
    #[command(flatten)]
    pub(crate) confirming: ConfirmationArgs,
}
