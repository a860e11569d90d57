//! What can be typed. Nothing here acts: this one definition gives the parser, the help, the man pages and
//! the completions.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use portero::audit::{Decided, IdPart};
use portero::config::duration;
use portero::names::{NameError, ServerName, ToolId};
use portero::pattern::Pattern;
use portero::task::State;

use crate::when::When;

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
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
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
pub(crate) enum Command {
    /// Show how things stand: daemon, servers, sessions, rules, what waits
    #[command(after_help = "Example:\n  portero status --json | jq .pending")]
    Status,
    /// List tasks: calls that waited or wait for a person
    #[command(after_help = "Examples:\n  portero tasks\n  portero tasks --state failed --limit 5")]
    Tasks(Tasks),
    /// Show one task whole: the call, its arguments, its result
    #[command(after_help = "Example:\n  portero task 7c1d\n\nAn id may be shortened to any beginning or \
                            end that only one task has.")]
    Task(Task),
    /// List the calls that wait for you
    #[command(after_help = "Examples:\n  portero pending\n  portero pending --watch\n  portero pending \
                            --watch --json | jq --unbuffered .event\n\nApproving in the view takes the \
                            passphrase; reading does not.")]
    Pending(Pending),
    /// Say yes to a call that waits; asks for the passphrase
    #[command(after_help = "Example:\n  portero approve 7c1d\n\nThe call is shown whole before the \
                            passphrase is asked for on the terminal.")]
    Approve(OneTask),
    /// Say no to a call that waits
    #[command(after_help = "Example:\n  portero reject 7c1d --reason 'ask me on Monday'")]
    Reject(Reject),
    /// Ask again for a call that has ended; it waits for you as any other
    #[command(
        after_help = "Example:\n  portero again 7c1d\n\nA new task with the same call, decided by what is \
                            in force now. It does not run before you approve it."
    )]
    Again(OneTask),
    /// Permit for a while what would otherwise ask; asks for the passphrase
    #[command(
        after_help = "Examples:\n  portero grant github/create_issue 30m\n  portero grant 'notes/*' 2h30m \
                            --project .\n  portero grant mail/send 1h --uses 3 --session 7c1d\n\nA grant \
                            never lifts a deny."
    )]
    Grant(Grant),
    /// End grants at once
    #[command(
        override_usage = "portero revoke <ID>...\n       portero revoke --all",
        after_help = "Examples:\n  portero revoke 3\n  portero revoke --all"
    )]
    Revoke(Revoke),
    /// Make a persistent rule that allows; asks for the passphrase
    #[command(after_help = "Example:\n  portero allow github/list_issues")]
    Allow(OnePattern),
    /// Make a persistent rule that denies, at once and everywhere
    #[command(after_help = "Example:\n  portero deny '*/delete_*'")]
    Deny(OnePattern),
    /// Stop everything at once, in every session, until `portero resume`
    #[command(
        after_help = "Example:\n  portero pause\n\nEvery call is refused, also while no daemon runs and \
                            after a restart. What waits goes on waiting; what is approved does not start. A call \
                            that is with a server already goes on."
    )]
    Pause,
    /// End a pause; asks for the passphrase
    #[command(after_help = "Example:\n  portero resume")]
    Resume,
    /// List the rules and grants in force
    #[command(after_help = "Example:\n  portero rules")]
    Rules,
    /// Remove a persistent rule; asks for the passphrase where that widens
    #[command(after_help = "Example:\n  portero unrule 4")]
    Unrule(Unrule),
    /// Read the audit
    #[command(after_help = "Examples:\n  portero logs --since 1h\n  portero logs --since 2026-11-20T10:00 \
                            --decision refused\n  portero logs --follow --tool 'github/*' --json\n  \
                            portero logs verify")]
    Logs(Logs),
    /// Tell how a tool is decided and why
    #[command(
        after_help = "Examples:\n  portero why github/create_issue\n  echo '{\"path\": \"/etc/passwd\"}' | \
                            portero why files/write_file --args -\n\nThe arguments are looked at as an agent \
                            writes them: real values in them are replaced by fake ones first."
    )]
    Why(Why),
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
    Doctor(Doctor),
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
    Try(Try),
    /// A small mail and notes server, for `portero try` and the tests
    #[command(name = "sample-server", hide = true)]
    SampleServer(SampleServer),
    /// Write completions and man pages
    #[command(hide = true)]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// Only tasks in this state
    #[arg(long, alias = "status", value_name = "STATE", value_parser = states())]
    pub(crate) state: Option<State>,
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Pending {
    /// Stay, in a full-screen view to read, approve and reject; with --json, stream one JSON object a line
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OneTask {
    /// The task's id, or a beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Task {
    /// The task's id, or a beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Show the real values too, on the terminal itself; asks for the passphrase
    #[arg(long)]
    pub(crate) real: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// The task's id, or a beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// What the agent is told
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Let the same call ask again at once; else it is refused for a while (`coolDown` in portero.json)
    #[arg(long)]
    pub(crate) no_cool_down: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Grant {
    /// A tool, or a pattern over tools such as `github/*`
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Pattern,
    /// How long, such as 30m, 1h or 2h30m
    #[arg(value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) duration: Duration,
    /// Only so many calls
    #[arg(long, value_name = "N")]
    pub(crate) uses: Option<NonZeroU32>,
    /// Only this connected session: its id or its agent's, or a beginning or end of either
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only sessions in this project directory, such as `.`
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The grants' ids
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all", value_parser = number)]
    pub(crate) ids: Vec<u64>,
    /// Every grant
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OnePattern {
    /// A tool, or a pattern over tools such as `github/*`
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Pattern,
}

#[derive(Debug, Args)]
pub(crate) struct Unrule {
    /// The rule's id
    #[arg(value_name = "ID", value_parser = number)]
    pub(crate) id: u64,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Logs {
    #[command(subcommand)]
    pub(crate) command: Option<LogsCommand>,
    /// Go on printing what is added
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only what is about tools that match this pattern
    #[arg(long, value_name = "PATTERN")]
    pub(crate) tool: Option<Pattern>,
    /// Only what is about this server's tools
    #[arg(long, value_name = "SERVER")]
    pub(crate) server: Option<ServerName>,
    /// Only calls that were decided like this
    #[arg(long, value_name = "DECISION", value_parser = decisions())]
    pub(crate) decision: Option<Decided>,
    /// Only this session: its id, or a beginning or end of it
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<IdPart>,
    /// Only this task: its id, or a beginning or end of it
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<IdPart>,
    /// Only since then: so long ago such as 2h, or a time such as 2026-11-20T10:00
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Only until then, in the same forms
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<When>,
    /// At most so many, the newest of them
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Check the hash chain: nothing removed, changed, reordered or cut off
    Verify,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The tool, as `server/tool`
    #[arg(value_name = "TOOL", value_parser = tool)]
    pub(crate) tool: ToolId,
    /// A file with a call's arguments as JSON, for rules that look at them; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) args: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Decide the cases of a file, and end with 1 where one is not as expected
    #[command(after_help = "Example:\n  echo '[{\"tool\": \"files/write_file\", \"arguments\": {\"path\": \
                            \"/etc/passwd\"}, \"expect\": \"deny\"}]' > cases.json\n  portero policy test \
                            cases.json\n\nOnly the files count: no rule and no grant. A case without \
                            arguments gets the strictest that could hold.")]
    Test(PolicyTest),
    /// Tell which of the audit's calls the present files would decide otherwise
    #[command(
        after_help = "Example:\n  portero policy replay --since 7d --config ./changed\n\nThe audit holds \
                            no arguments: where a rule looks at them, the replay says what could come out."
    )]
    Replay(PolicyReplay),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show how the files differ from what you confirmed
    Diff,
    /// Put the files in force as they stand; asks for the passphrase
    #[command(
        after_help = "Everything that changed is shown on the terminal before the passphrase is asked \
                            for. Files that change after that are not confirmed."
    )]
    Confirm,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyTest {
    /// A list of cases, each with `tool`, `arguments` and `expect`
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyReplay {
    /// How far back
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    pub(crate) since: When,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Only this server
    #[arg(value_name = "SERVER")]
    pub(crate) server: Option<ServerName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Start it, and return once it listens
    Start,
    /// Stop it, and return once it is gone
    Stop,
    /// Tell whether it runs
    Status,
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
                            `resume`, `unrule` of a deny on more than one tool, and `totp remove`. The secret and the recovery codes \
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

#[derive(Debug, Args)]
pub(crate) struct Try {
    /// Answer every question with yes, for unattended runs
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SampleServer {
    /// Append each call that arrives to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The directory that gets `completions/` and `man/`
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

fn decisions() -> impl clap::builder::TypedValueParser<Value = Decided> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(Decided::ALL.map(Decided::as_str)).map(|text| {
        let same = |decided: &Decided| decided.as_str() == text;
        Decided::ALL.into_iter().find(same).expect("only the decisions' own names are possible")
    })
}

fn states() -> impl clap::builder::TypedValueParser<Value = State> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(State::ALL.map(State::as_str))
        .map(|text| text.parse().expect("only the states' own names are possible"))
}

/// The id of a rule or a grant.
fn number(typed: &str) -> Result<u64, &'static str> {
    typed.parse().map_err(|_| "rules and grants have numbers as ids; `portero rules` lists them")
}

/// One tool by its canonical name; the name that the agent sees is told what it should have been.
fn tool(typed: &str) -> Result<ToolId, String> {
    let wrong =
        |error: NameError| match typed.strip_prefix("mcp__portero__").unwrap_or(typed).split_once("__") {
            Some((server, name)) if !typed.contains('/') => {
                format!("{error}; did you mean `{server}/{name}`?")
            }
            _ if typed.contains(['*', '?', '{', '[']) => {
                format!("{error}. This command tells about one tool, such as `github/create_issue`")
            }
            _ => format!("{error}, such as `github/create_issue`"),
        };
    typed.parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Line::command().debug_assert();
    }
}
