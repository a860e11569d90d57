//! The command line. Parser, help, man pages and completions come from this one definition; nothing here
//! acts.

mod admin;
mod approvals;
mod audit;
mod auth;
mod login;
mod overrides;
mod pins;
mod policy;
mod replacements;
mod secrets;
mod time_arg;
mod tokens;
mod value_parsers;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use portero::names::ServerName;
use portero::pattern::Pattern;

pub(crate) use admin::{
    ConfigCommand, ConnectArgs, DaemonCommand, GenerateArgs, HttpsCommand, SampleServerArgs, TryArgs,
};
pub(crate) use approvals::{ApproveArgs, PendingArgs, RejectArgs, TaskArgs, TasksArgs};
pub(crate) use audit::{LogsArgs, LogsCommand};
pub(crate) use auth::{ConfirmationArgs, PassphraseCommand, TelegramCommand, TotpCommand};
pub(crate) use login::LoginArgs;
pub(crate) use overrides::{GrantArgs, RevokeArgs, UnruleArgs};
pub(crate) use pins::{PinsArgs, PinsCommand};
pub(crate) use policy::{PolicyCommand, WhyArgs};
pub(crate) use replacements::{AnonymizeArgs, ReplacementsArgs, ReplacementsCommand, SuggestArgs};
pub(crate) use secrets::{ClearSecretsArgs, SecretCommand, SetSecretArgs};
pub(crate) use time_arg::TimeArg;
pub(crate) use tokens::{CreateTokenArgs, TokenCommand};

/// The gateway between an AI agent and everything it may touch.
///
/// Portero sits between an AI agent and its MCP servers. It asks you before it makes a call that your policy doesn't
/// allow, hides your private values from the agent, and records every call.
#[derive(Debug, Parser)]
#[command(
    name = "portero",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 daemon unreachable.\n\nExamples:\n  \
                  portero try                                    see it at work, without any setup\n  \
                  claude mcp add -s user portero -- portero mcp  put it between Claude Code and your servers\n  \
                  portero pending                                list the calls that wait for you\n  \
                  portero approve 7c1d                           approve one call"
)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) common: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform's]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Never start the daemon; fail if it is needed and not running
    #[arg(long, global = true)]
    pub(crate) no_start: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Show the daemon, its servers, sessions and rules, and how many calls wait for you
    #[command(after_help = "Example:\n  portero status --json | jq .pending")]
    Status,
    /// List tasks: the calls that wait for you, or did
    #[command(after_help = "Examples:\n  portero tasks\n  portero tasks --state failed --limit 5")]
    Tasks(TasksArgs),
    /// Show one task in full: the call, its arguments, its result
    #[command(
        after_help = "Example:\n  portero task 7c1d\n\nYou can shorten an id to any beginning or end that only one task has."
    )]
    Task(TaskArgs),
    /// List the calls that wait for you
    #[command(after_help = "Examples:\n  portero pending\n  portero pending --watch\n  portero pending \
                            --watch --json | jq --unbuffered .event\n\nApproving in the view asks for the passphrase; reading doesn't.")]
    Pending(PendingArgs),
    /// Approve waiting calls and show how they end; asks for the passphrase, or a tap on Telegram
    #[command(
        after_help = "Examples:\n  portero approve             ask about each call that waits\n  portero approve 7c1d        one call\n  portero approve 7c1d 0a9e   several, with one passphrase\n  portero approve 7c1d --grant 10m --with repo\n                              one call, and others with the same repo for ten minutes\n\nThe terminal shows each whole call before it asks for the passphrase. Then the command waits for the outcome: it ends with 0 if every call completed. Ctrl-C leaves them running."
    )]
    Approve(ApproveArgs),
    /// Reject waiting calls
    #[command(
        after_help = "Examples:\n  portero reject              ask about each call that waits\n  portero reject 7c1d --reason 'ask me on Monday'"
    )]
    Reject(RejectArgs),
    /// Submit an ended call again; it waits for your approval like any other
    #[command(
        after_help = "Example:\n  portero again 7c1d\n\nThis makes a new task with the same call, decided by the present rules. It doesn't run before you approve it."
    )]
    Again {
        /// The task's id, or a beginning or end of it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Let tools run unasked for a while; asks for the passphrase, or a tap on Telegram
    #[command(
        after_help = "Examples:\n  portero grant github/create_issue 30m\n  portero grant 'notes/*' 2h30m \
                            --project .\n  portero grant mail/send 1h --uses 3 --session 7c1d\n\nA grant \
                            never lifts a deny."
    )]
    Grant(GrantArgs),
    /// End grants at once
    #[command(
        override_usage = "portero revoke <ID>...\n       portero revoke --all",
        after_help = "Examples:\n  portero revoke 3\n  portero revoke --all"
    )]
    Revoke(RevokeArgs),
    /// Add a rule that allows tools; asks for the passphrase, or a tap on Telegram
    #[command(after_help = "Example:\n  portero allow github/list_issues")]
    Allow {
        /// A tool, or a pattern over tools such as `github/*`
        #[arg(value_name = "PATTERN")]
        pattern: Pattern,
        /// Run the waiting calls that this allows too, without asking
        #[arg(long)]
        run_waiting: bool,
        #[command(flatten)]
        confirming: ConfirmationArgs,
    },
    /// Add a rule that requires approval, in every session at once
    #[command(
        visible_alias = "require-approval",
        after_help = "Example:\n  portero ask 'github/*'\n\nCalls that ran unasked need your approval from now on, also where an earlier grant covers them. A later grant counts. Denied tools stay denied."
    )]
    Ask {
        /// A tool, or a pattern over tools such as `github/*`
        #[arg(value_name = "PATTERN")]
        pattern: Pattern,
    },
    /// Add a rule that denies tools, in every session at once
    #[command(after_help = "Example:\n  portero deny '*/delete_*'")]
    Deny {
        /// A tool, or a pattern over tools such as `github/*`
        #[arg(value_name = "PATTERN")]
        pattern: Pattern,
    },
    /// Stop all calls in every session at once, until `portero resume`
    #[command(
        after_help = "Example:\n  portero pause\n\nEvery call is refused, also without a daemon and after a restart. Waiting calls keep waiting, and approved calls don't start. A call that has reached its server goes on."
    )]
    Pause,
    /// End a pause; asks for the passphrase, or a tap on Telegram
    #[command(after_help = "Example:\n  portero resume")]
    Resume(ConfirmationArgs),
    /// List the rules and grants in force
    #[command(after_help = "Example:\n  portero rules")]
    Rules,
    /// Remove a rule; asks for the passphrase, or a tap on Telegram, if that permits more
    #[command(after_help = "Example:\n  portero unrule 4")]
    Unrule(UnruleArgs),
    /// Show which definitions of servers are accepted, and accept changed ones
    #[command(
        after_help = "Examples:\n  portero pins\n  portero pins diff github\n  portero pins accept github\n\nWhat a server lists first is accepted. An allowed tool whose definition changed, or that is new, asks you until you accept it."
    )]
    Pins(PinsArgs),
    /// Sign in at a server over HTTP that takes OAuth; asks for the passphrase, or a tap on Telegram
    #[command(
        after_help = "Examples:\n  portero login\n  portero login linear\n  portero login linear --no-browser\n\nThe daemon keeps the tokens. Running sessions get the server's tools by themselves."
    )]
    Login(LoginArgs),
    /// Sign out of a server: its tokens are revoked and forgotten
    #[command(after_help = "Example:\n  portero logout linear")]
    Logout {
        /// The server
        #[arg(value_name = "SERVER")]
        server: ServerName,
    },
    /// Read the audit log
    #[command(after_help = "Examples:\n  portero logs --since 1h\n  portero logs --since 2026-11-20T10:00 \
                            --decision refused\n  portero logs --follow --tool 'github/*' --json\n  \
                            portero logs verify")]
    Logs(LogsArgs),
    /// Explain what policy decides for a tool, and why
    #[command(
        after_help = "Examples:\n  portero why github/create_issue\n  echo '{\"path\": \"/etc/passwd\"}' | \
                            portero why files/write_file --args -\n\nRules see the arguments as an agent writes them: real values are replaced by fake ones first."
    )]
    Why(WhyArgs),
    /// Test the configured policy before an agent meets it
    #[command(
        after_help = "Examples:\n  portero policy test cases.json\n  portero policy replay --since 7d \
                            --config ./changed"
    )]
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Replace the values in a text by the configured rules, and show what an agent would see
    #[command(
        after_help = "Examples:\n  portero anonymize --explain < mail.txt\n  git log -5 | portero anonymize\n  portero anonymize --reveal --server files < draft.txt\n\nThe text is read from standard input, in UTF-8. What a second look finds in it is withheld, with exit code 1, as in a server's answer. The explanation holds nothing real."
    )]
    Anonymize(AnonymizeArgs),
    /// List the replacements in force, or propose fakes for new ones
    #[command(
        after_help = "Examples:\n  portero replacements\n  portero replacements suggest name --for REAL_NAME"
    )]
    Replacements(ReplacementsArgs),
    /// Check the configuration, and print every problem in it
    #[command(after_help = "Examples:\n  portero check\n  portero check --config ./portero")]
    Check,
    /// Show or confirm the configuration changes that wait for you
    #[command(
        after_help = "Examples:\n  portero config diff\n  portero config confirm\n\nOnce a passphrase is set, an edit that restricts takes effect at once. One that permits more takes effect when you confirm it."
    )]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Start each server, list what it offers, and report problems
    #[command(after_help = "Examples:\n  portero doctor\n  portero doctor github")]
    Doctor {
        /// Only this server
        #[arg(value_name = "SERVER")]
        server: Option<ServerName>,
    },
    /// Start, stop or check the daemon
    #[command(after_help = "Example:\n  portero daemon status")]
    Daemon {
        #[command(subcommand)]
        command: DaemonCommand,
    },
    /// Manage the approval passphrase
    #[command(after_help = "Example:\n  portero passphrase set")]
    Passphrase {
        #[command(subcommand)]
        command: PassphraseCommand,
    },
    /// Manage an authenticator app; wide acts need its code beside the passphrase
    #[command(after_help = "Example:\n  portero totp enroll")]
    Totp {
        #[command(subcommand)]
        command: TotpCommand,
    },
    /// Manage who decides on Telegram
    #[command(after_help = "Example:\n  portero telegram pair")]
    Telegram {
        #[command(subcommand)]
        command: TelegramCommand,
    },
    /// Show the certificate that agents on other machines are to trust
    #[command(after_help = "Example:\n  portero https cert")]
    Https {
        #[command(subcommand)]
        command: HttpsCommand,
    },
    /// Set the secrets that servers get by name; no command shows one
    #[command(after_help = "Examples:\n  portero secret set github --keep\n  portero secret list")]
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Manage the access tokens, with which agents on other machines ask over HTTPS
    #[command(
        after_help = "Examples:\n  portero token create laptop --servers 'github,note*' --expires 30d\n  portero token list\n  portero token revoke laptop"
    )]
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Serve an agent on standard input and output; this is what Claude Code launches
    #[command(after_help = "Example:\n  claude mcp add -s user portero -- portero mcp")]
    Mcp,
    /// Serve an agent on standard input and output by a Portero elsewhere, or by any MCP server over HTTP
    #[command(
        after_help = "Examples:\n  portero connect https://home.example:8443/mcp --token-file ~/.portero-token\n  claude mcp add home -- portero connect https://home.example:8443/mcp --token-file ~/.portero-token\n\nFor clients that speak only stdio. The token comes from the file or the variable PORTERO_TOKEN, because other users can read a command line."
    )]
    Connect(ConnectArgs),
    /// See Portero at work in a temporary directory, without any setup
    #[command(after_help = "Examples:\n  portero try\n  portero try --yes")]
    Try(TryArgs),
    /// A small mail and notes server, for `portero try` and the tests
    #[command(name = "sample-server", hide = true)]
    SampleServer(SampleServerArgs),
    /// Write completions and man pages
    #[command(hide = true)]
    Generate(GenerateArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
