//! Arguments of the commands for the second factors.

use clap::{Args, Subcommand};

/// How what widens is confirmed.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct ConfirmationArgs {
    /// Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows
    #[arg(long)]
    pub(crate) telegram: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PassphraseCommand {
    /// Set the passphrase, or change it with the old one
    #[command(
        after_help = "The terminal itself asks for it; no flag, variable, file or standard input can supply it. Portero stores only a hash of it."
    )]
    Set,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TotpCommand {
    /// Show a new secret for an authenticator app, and require its codes from then on
    #[command(
        after_help = "These acts are wide: a grant on more than one tool or for more than an hour, `allow`, \
                            `resume`, `unrule` of a rule that denies or asks on more than one tool, and `totp remove`. The secret and the recovery codes are shown only once, on the terminal itself."
    )]
    Enroll,
    /// Remove the authenticator; asks for the passphrase and a code, or a recovery code
    Remove,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TelegramCommand {
    /// Show a code that pairs the bot with you; it is valid for five minutes and five tries
    #[command(
        after_help = "Send it to the bot in a private chat: `/pair CODE`, or follow the link. If a passphrase is set, the command asks for it."
    )]
    Pair,
    /// End the pairing, so that another person can be paired; asks for the passphrase
    Unpair,
}
