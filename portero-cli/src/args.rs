//! What can be typed. Nothing here acts: this one definition gives the parser, the help, the man pages and
//! the completions.

mod admin;
mod audit;
mod auth;
mod overrides;
mod policy;
mod tasks;
mod value_parsers;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use admin::{ConfigCommand, DaemonCommand, DoctorArgs, GenerateArgs, SampleServerArgs, TryArgs};
pub(crate) use audit::{LogsArgs, LogsCommand};
pub(crate) use auth::{ConfirmationArgs, PassphraseCommand, TelegramCommand, TotpCommand};
pub(crate) use overrides::{AllowArgs, GrantArgs, PatternArgs, RevokeArgs, UnruleArgs};
pub(crate) use policy::{PolicyCommand, WhyArgs};
pub(crate) use tasks::{ApproveArgs, PendingArgs, RejectArgs, TaskArgs, TaskIdArgs, TasksArgs};

/// The gateway between an AI agent and everything it may touch.
///
/// Portero stands between an AI agent and its MCP servers: it asks you before what your policy does not
/// allow, keeps your private values from the agent, and writes everything down.
#[derive(Debug, Parser)]
#[command(
    name = "portero",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 the daemon \
                  cannot be reached.\n\nExamples:\n  \
                  portero try                            see it at work, with nothing set up\n  \
                  claude mcp add portero -- portero mcp  put it between Claude Code and your servers\n  \
                  portero pending                        what waits for you\n  \
                  portero approve 7c1d                   say yes to one call"
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
    /// Never start the daemon; fail when it is needed and does not run
    #[arg(long, global = true)]
    pub(crate) no_start: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Show how things stand: daemon, servers, sessions, rules, what waits
    #[command(after_help = "Example:\n  portero status --json | jq .pending")]
    Status,
    /// List tasks: calls that waited or wait for a person
    #[command(after_help = "Examples:\n  portero tasks\n  portero tasks --state failed --limit 5")]
    Tasks(TasksArgs),
    /// Show one task whole: the call, its arguments, its result
    #[command(after_help = "Example:\n  portero task 7c1d\n\nAn id may be shortened to any beginning or \
                            end that only one task has.")]
    Task(TaskArgs),
    /// List the calls that wait for you
    #[command(after_help = "Examples:\n  portero pending\n  portero pending --watch\n  portero pending \
                            --watch --json | jq --unbuffered .event\n\nApproving in the view takes the \
                            passphrase; reading does not.")]
    Pending(PendingArgs),
    /// Say yes to a call that waits; takes the passphrase, or a tap on Telegram
    #[command(after_help = "Example:\n  portero approve 7c1d\n\nThe call is shown whole before the \
                            passphrase is asked for on the terminal.")]
    Approve(ApproveArgs),
    /// Say no to a call that waits
    #[command(after_help = "Example:\n  portero reject 7c1d --reason 'ask me on Monday'")]
    Reject(RejectArgs),
    /// Ask again for a call that has ended; it waits for you as any other
    #[command(
        after_help = "Example:\n  portero again 7c1d\n\nA new task with the same call, decided by what is \
                            in force now. It does not run before you approve it."
    )]
    Again(TaskIdArgs),
    /// Permit for a while what would otherwise ask; takes the passphrase, or a tap on Telegram
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
    /// Make a persistent rule that allows; takes the passphrase, or a tap on Telegram
    #[command(after_help = "Example:\n  portero allow github/list_issues")]
    Allow(AllowArgs),
    /// Make a persistent rule that asks for approval, at once and everywhere
    #[command(
        visible_alias = "require-approval",
        after_help = "Example:\n  portero ask 'github/*'\n\nWhat ran unasked asks from now on, also where a \
                            grant was made before; a grant made later counts. What is denied stays denied."
    )]
    Ask(PatternArgs),
    /// Make a persistent rule that denies, at once and everywhere
    #[command(after_help = "Example:\n  portero deny '*/delete_*'")]
    Deny(PatternArgs),
    /// Stop everything at once, in every session, until `portero resume`
    #[command(
        after_help = "Example:\n  portero pause\n\nEvery call is refused, also while no daemon runs and \
                            after a restart. What waits goes on waiting; what is approved does not start. A call \
                            that is with a server already goes on."
    )]
    Pause,
    /// End a pause; takes the passphrase, or a tap on Telegram
    #[command(after_help = "Example:\n  portero resume")]
    Resume(ConfirmationArgs),
    /// List the rules and grants in force
    #[command(after_help = "Example:\n  portero rules")]
    Rules,
    /// Remove a persistent rule; takes the passphrase, or a tap on Telegram, where that widens
    #[command(after_help = "Example:\n  portero unrule 4")]
    Unrule(UnruleArgs),
    /// Read the audit
    #[command(after_help = "Examples:\n  portero logs --since 1h\n  portero logs --since 2026-11-20T10:00 \
                            --decision refused\n  portero logs --follow --tool 'github/*' --json\n  \
                            portero logs verify")]
    Logs(LogsArgs),
    /// Tell how a tool is decided and why
    #[command(
        after_help = "Examples:\n  portero why github/create_issue\n  echo '{\"path\": \"/etc/passwd\"}' | \
                            portero why files/write_file --args -\n\nThe arguments are looked at as an agent \
                            writes them: real values in them are replaced by fake ones first."
    )]
    Why(WhyArgs),
    /// Try the configured policy, before an agent does
    #[command(
        after_help = "Examples:\n  portero policy test cases.json\n  portero policy replay --since 7d \
                            --config ./changed"
    )]
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Read the configuration and print everything that is wrong with it
    #[command(after_help = "Examples:\n  portero check\n  portero check --config ./portero")]
    Check,
    /// What of the configuration waits for you, since it widens
    #[command(after_help = "Examples:\n  portero config diff\n  portero config confirm\n\nFrom when the \
                            passphrase is set, an edit that narrows is in force at once, and one that widens \
                            when you confirmed it.")]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Start each server, look at what it offers, and say what is wrong
    #[command(after_help = "Examples:\n  portero doctor\n  portero doctor github")]
    Doctor(DoctorArgs),
    /// Start, stop or look at the daemon
    #[command(after_help = "Example:\n  portero daemon status")]
    Daemon {
        #[command(subcommand)]
        command: DaemonCommand,
    },
    /// The approval passphrase
    #[command(after_help = "Example:\n  portero passphrase set")]
    Passphrase {
        #[command(subcommand)]
        command: PassphraseCommand,
    },
    /// An authenticator app whose codes are needed, beside the passphrase, for what is wide
    #[command(after_help = "Example:\n  portero totp enroll")]
    Totp {
        #[command(subcommand)]
        command: TotpCommand,
    },
    /// The bot on Telegram: who decides there
    #[command(after_help = "Example:\n  portero telegram pair")]
    Telegram {
        #[command(subcommand)]
        command: TelegramCommand,
    },
    /// Serve an agent on standard input and output; this is what Claude Code launches
    #[command(after_help = "Example:\n  claude mcp add portero -- portero mcp")]
    Mcp,
    /// See Portero at work in a throw-away directory, with nothing set up
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
