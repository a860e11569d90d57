//! What is typed about the second factors.

use clap::{Args, Subcommand};

/// How what widens is confirmed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ConfirmationArgs {
    /// Confirm on Telegram, by a tap on the number that the terminal shows, without typing the passphrase
    #[arg(long)]
    pub(crate) telegram: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PassphraseCommand {
    /// Set the passphrase, or change it with the old one
    #[command(after_help = "It is asked for on the terminal itself, never taken from a flag, a variable, a \
                            file or standard input. Portero keeps a hash of it only.")]
    Set,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TotpCommand {
    /// Show a new secret for an authenticator app, and make its codes necessary
    #[command(after_help = "Wide are: a grant on more than one tool or for more than an hour, `allow`, \
                            `resume`, `unrule` of a rule that denies or asks on more than one tool, and `totp remove`. The secret and the recovery codes \
                            are shown on the terminal itself, this once.")]
    Enroll,
    /// Remove the authenticator; asks for the passphrase and a code, or a recovery code
    Remove,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TelegramCommand {
    /// Show a code with which you let the bot know who you are; it holds for five minutes and five tries
    #[command(after_help = "Say it to the bot in a private chat: `/pair CODE`, or follow the link. Where a \
                            passphrase is set, it is asked for.")]
    Pair,
    /// Let the bot listen to nobody any more, so that someone can be paired anew; asks for the passphrase
    Unpair,
}
