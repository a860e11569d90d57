//! Parses typed commands with their arguments. All functions are pure.
//!
//! An invalid command is answered with the problem and an example; nothing is guessed and then executed.

use std::num::NonZeroU32;
use std::time::Duration;

use portero::audit::DecisionKind;
use portero::config::{duration, nearest_word};
use portero::names::{ServerName, ToolId};
use portero::pattern::Pattern;
use portero::task::TaskState;

use super::access;
use super::text::{EscapedText, StyledText};

/// The configuration's word for `ask`, which is accepted too.
const ASK_ALIAS: &str = "require_approval";
/// How many characters of the input a reply repeats.
const MAX_ECHO_CHARS: usize = 100;

/// A parsed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatCommand {
    /// It shows something.
    View(ViewCommand),
    /// It restricts something, at once.
    Restrict(RestrictingCommand),
    /// It permits something, after a confirmation.
    Elevate(ElevatingCommand),
    /// It removes a rule. Whether that widens depends on the rule.
    Unrule(u64),
}

/// A command that shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewCommand {
    /// The commands.
    Help,
    /// The daemon's status.
    Status,
    /// Rules and grants.
    Rules,
    /// Tasks, optionally in one state only.
    Tasks(Option<TaskState>),
    /// Waiting tasks.
    Pending,
    /// The latest records.
    Logs(LogQuery),
    /// The decision about a tool with its reason.
    Why(ToolId),
    /// The pinned definitions of all servers.
    Pins,
    /// The user's own number.
    Whoami,
}

/// A filter for records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only records within this time.
    pub within: Option<Duration>,
    /// Only records about this server's tools.
    pub server: Option<ServerName>,
    /// Only records about matching tools.
    pub tool: Option<Pattern>,
    /// Only records about calls with this decision.
    pub decided: Option<DecisionKind>,
}

/// A command that restricts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestrictingCommand {
    /// Ends one grant, or all.
    Revoke(Option<u64>),
    /// Makes a rule that asks.
    Ask(Pattern),
    /// Makes a rule that denies.
    Deny(Pattern),
    /// Pauses all calls.
    Pause,
}

/// A command that widens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElevatingCommand {
    /// Makes a grant with limits.
    Grant(Pattern, Duration, TypedLimits),
    /// Makes a rule that allows.
    Allow(Pattern),
    /// Resumes calls.
    Resume,
    /// Accepts what waits of a server's definitions.
    AcceptDefinitions(ServerName),
}

/// The limits of a grant besides its time, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypedLimits {
    /// The number of calls.
    pub uses: Option<NonZeroU32>,
    /// The beginning or end of a session's id.
    pub session: Option<String>,
    /// The directory of a project.
    pub project: Option<String>,
}

/// Why a text is not a valid command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// It doesn't begin with a slash.
    NotACommand,
    /// It is for another bot.
    ForOtherBot,
    /// The command is unknown; the second field is the nearest one, if any is similar.
    UnknownCommand(String, Option<&'static CommandSpec>),
    /// An argument is missing; the text says which.
    MissingArgument(&'static CommandSpec, &'static str),
    /// There are more arguments than the command takes.
    ExtraArgument(&'static CommandSpec, String),
    /// An argument is invalid: the input and the problem.
    InvalidArgument(&'static CommandSpec, String, String),
}

/// A supported command.
#[derive(Debug)]
pub struct CommandSpec {
    /// Its name, without the slash.
    pub name: &'static str,
    /// Its summary for the menu.
    pub summary: &'static str,
    /// A complete example.
    pub example: &'static str,
    parse: fn(&'static Self, &[&str]) -> Result<ChatCommand, CommandError>,
}

impl PartialEq for CommandSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CommandSpec {}

/// The commands, the most used ones first.
pub static COMMANDS: [CommandSpec; 18] = [
    command_spec("status", "how things stand", "/status", |it, words| {
        expect_no_arguments(it, words, ChatCommand::View(ViewCommand::Status))
    }),
    command_spec("pending", "what waits for you", "/pending", |it, words| {
        expect_no_arguments(it, words, ChatCommand::View(ViewCommand::Pending))
    }),
    command_spec("tasks", "calls that asked, by their state", "/tasks completed", parse_tasks),
    command_spec("logs", "the latest records, filtered by words", "/logs 1h github/*", parse_logs),
    command_spec("grant", "permit for a while", "/grant github/* 30m", parse_grant),
    command_spec("revoke", "end one grant, or all", "/revoke 7", |it, words| {
        let id = words.first().map(|_| parse_id(it, words)).transpose()?;
        Ok(ChatCommand::Restrict(RestrictingCommand::Revoke(id)))
    }),
    command_spec("allow", "permit from now on", "/allow github/list_issues", |it, words| {
        parse_pattern(it, words).map(|pattern| ChatCommand::Elevate(ElevatingCommand::Allow(pattern)))
    }),
    command_spec("ask", "ask you from now on", "/ask github/*", |it, words| {
        parse_pattern(it, words).map(|pattern| ChatCommand::Restrict(RestrictingCommand::Ask(pattern)))
    }),
    command_spec("deny", "refuse from now on", "/deny shell/*", |it, words| {
        parse_pattern(it, words).map(|pattern| ChatCommand::Restrict(RestrictingCommand::Deny(pattern)))
    }),
    command_spec("rules", "rules and grants in force", "/rules", |it, words| {
        expect_no_arguments(it, words, ChatCommand::View(ViewCommand::Rules))
    }),
    command_spec("unrule", "end a rule", "/unrule 3", |it, words| {
        parse_id(it, words).map(ChatCommand::Unrule)
    }),
    command_spec("pins", "what servers define otherwise", "/pins github", parse_pins),
    command_spec("why", "why a tool is decided as it is", "/why github/create_issue", parse_why),
    command_spec("pause", "stop every call", "/pause", |it, words| {
        expect_no_arguments(it, words, ChatCommand::Restrict(RestrictingCommand::Pause))
    }),
    command_spec("resume", "end a pause", "/resume", |it, words| {
        expect_no_arguments(it, words, ChatCommand::Elevate(ElevatingCommand::Resume))
    }),
    command_spec("whoami", "your own number", "/whoami", |it, words| {
        expect_no_arguments(it, words, ChatCommand::View(ViewCommand::Whoami))
    }),
    command_spec("help", "the commands", "/help", |it, words| {
        expect_no_arguments(it, words, ChatCommand::View(ViewCommand::Help))
    }),
    // A pairing link sends this command with a code, also when it is tapped a second time.
    command_spec("start", "the commands", "/start", |_, _| Ok(ChatCommand::View(ViewCommand::Help))),
];

/// Parses a text that a person typed to the bot of this name.
///
/// # Errors
/// The reason that it isn't a valid command.
pub fn parse_command(text: &str, bot: &str) -> Result<ChatCommand, CommandError> {
    if !text.trim_start().starts_with('/') {
        return Err(CommandError::NotACommand);
    }
    // A text for another bot gets no reply, because that bot gives one.
    let (name, rest) = access::split_command(text, bot).ok_or(CommandError::ForOtherBot)?;
    let lower = name.to_ascii_lowercase();
    let lower = if lower == ASK_ALIAS { "ask" } else { &lower };
    let Some(known) = COMMANDS.iter().find(|known| known.name == lower) else {
        let near = nearest_word(lower, COMMANDS.iter().map(|known| known.name));
        let near = COMMANDS.iter().find(|known| Some(known.name) == near);
        return Err(CommandError::UnknownCommand(shorten_echo(name), near));
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    (known.parse)(known, &words)
}

const fn command_spec(
    name: &'static str,
    what: &'static str,
    example: &'static str,
    read: fn(&'static CommandSpec, &[&str]) -> Result<ChatCommand, CommandError>,
) -> CommandSpec {
    CommandSpec { name, summary: what, example, parse: read }
}

fn expect_no_arguments(
    it: &'static CommandSpec,
    words: &[&str],
    command: ChatCommand,
) -> Result<ChatCommand, CommandError> {
    expect_at_most(it, words, 0).map(|()| command)
}

fn expect_at_most(it: &'static CommandSpec, words: &[&str], most: usize) -> Result<(), CommandError> {
    match words.get(most..) {
        None | Some([]) => Ok(()),
        Some(more) => Err(CommandError::ExtraArgument(it, shorten_echo(&more.join(" ")))),
    }
}

fn parse_tasks(it: &'static CommandSpec, words: &[&str]) -> Result<ChatCommand, CommandError> {
    expect_at_most(it, words, 1)?;
    let state = |word: &&str| {
        let found = TaskState::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(word));
        found.ok_or_else(|| {
            let states = TaskState::ALL.map(TaskState::as_str).join(", ");
            CommandError::InvalidArgument(it, shorten_echo(word), format!("the states are {states}"))
        })
    };
    Ok(ChatCommand::View(ViewCommand::Tasks(words.first().map(state).transpose()?)))
}

/// The form of each word shows which filter it is, so their order doesn't matter.
fn parse_logs(it: &'static CommandSpec, words: &[&str]) -> Result<ChatCommand, CommandError> {
    let mut wanted = LogQuery::default();
    for word in words {
        let lower = word.to_ascii_lowercase();
        // Decisions come first, because `allow` is also a valid server name; a duration begins with a digit,
        // a server has no `/`.
        let twice = if let Some(decided) = DecisionKind::ALL.into_iter().find(|it| it.as_str() == lower) {
            wanted.decided.replace(decided).is_some()
        } else if word.starts_with(|first: char| first.is_ascii_digit()) {
            let within =
                duration::parse_duration(&lower).map_err(|error| invalid_argument(it, word, &error))?;
            wanted.within.replace(within).is_some()
        } else if let (false, Ok(server)) = (word.contains('/'), word.parse()) {
            wanted.server.replace(server).is_some()
        } else {
            let pattern = word.parse().map_err(|error| invalid_argument(it, word, &error))?;
            wanted.tool.replace(pattern).is_some()
        };
        if twice {
            return Err(CommandError::ExtraArgument(it, shorten_echo(word)));
        }
    }
    Ok(ChatCommand::View(ViewCommand::Logs(wanted)))
}

fn parse_grant(it: &'static CommandSpec, words: &[&str]) -> Result<ChatCommand, CommandError> {
    let what = words.first().ok_or(CommandError::MissingArgument(it, "what to permit"))?;
    let what = what.parse().map_err(|error| invalid_argument(it, what, &error))?;
    let long = words.get(1).ok_or(CommandError::MissingArgument(it, "for how long"))?;
    let long = duration::parse_duration(&long.to_ascii_lowercase())
        .map_err(|error| invalid_argument(it, long, &error))?;
    Ok(ChatCommand::Elevate(ElevatingCommand::Grant(
        what,
        long,
        parse_limits(it, words.get(2..).unwrap_or_default())?,
    )))
}

/// Parses pairs of a limit's name and its value. A project's path comes last, because it may contain blanks.
fn parse_limits(it: &'static CommandSpec, mut words: &[&str]) -> Result<TypedLimits, CommandError> {
    let mut bounds = TypedLimits::default();
    while let [what, rest @ ..] = words {
        let missing = |of: &'static str| rest.first().copied().ok_or(CommandError::MissingArgument(it, of));
        let twice = match what.to_ascii_lowercase().as_str() {
            "uses" => {
                let word = missing("how many uses")?;
                // `parse` alone would accept a sign.
                let plain = word.bytes().all(|byte| byte.is_ascii_digit());
                let uses = word.parse().ok().filter(|_| plain);
                let why = || {
                    CommandError::InvalidArgument(
                        it,
                        shorten_echo(word),
                        "uses are counted from 1".to_owned(),
                    )
                };
                words = rest.get(1..).unwrap_or_default();
                bounds.uses.replace(uses.ok_or_else(why)?).is_some()
            }
            "session" => {
                let word = missing("which session")?;
                words = rest.get(1..).unwrap_or_default();
                bounds.session.replace(word.to_owned()).is_some()
            }
            "project" => {
                missing("the project's directory")?;
                // The rest of the line is the path, which may have blanks.
                words = &[];
                bounds.project.replace(rest.join(" ")).is_some()
            }
            _ => return Err(CommandError::ExtraArgument(it, shorten_echo(&words.join(" ")))),
        };
        if twice {
            return Err(CommandError::ExtraArgument(it, shorten_echo(what)));
        }
    }
    Ok(bounds)
}

fn parse_pattern(it: &'static CommandSpec, words: &[&str]) -> Result<Pattern, CommandError> {
    let word = words.first().ok_or(CommandError::MissingArgument(it, "the tool or pattern"))?;
    let pattern = word.parse().map_err(|error| invalid_argument(it, word, &error))?;
    expect_at_most(it, words, 1)?;
    Ok(pattern)
}

fn parse_id(it: &'static CommandSpec, words: &[&str]) -> Result<u64, CommandError> {
    let word = words.first().ok_or(CommandError::MissingArgument(it, "the number"))?;
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let id = word.parse().ok().filter(|_| plain);
    let id = id.ok_or_else(|| {
        CommandError::InvalidArgument(
            it,
            shorten_echo(word),
            "it is a number, and `/rules` shows them".to_owned(),
        )
    })?;
    expect_at_most(it, words, 1)?;
    Ok(id)
}

/// Without a server it lists all; with one it shows and accepts what waits there.
fn parse_pins(it: &'static CommandSpec, words: &[&str]) -> Result<ChatCommand, CommandError> {
    let Some(word) = words.first() else { return Ok(ChatCommand::View(ViewCommand::Pins)) };
    let server = word.parse().map_err(|error| invalid_argument(it, word, &error))?;
    expect_at_most(it, words, 1)?;
    Ok(ChatCommand::Elevate(ElevatingCommand::AcceptDefinitions(server)))
}

fn parse_why(it: &'static CommandSpec, words: &[&str]) -> Result<ChatCommand, CommandError> {
    let word = words.first().ok_or(CommandError::MissingArgument(it, "the tool"))?;
    let tool = word.parse::<ToolId>().map_err(|error| invalid_argument(it, word, &error))?;
    expect_at_most(it, words, 1)?;
    Ok(ChatCommand::View(ViewCommand::Why(tool)))
}

fn invalid_argument(it: &'static CommandSpec, word: &str, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::InvalidArgument(it, shorten_echo(word), error.to_string())
}

fn shorten_echo(word: &str) -> String {
    word.chars().take(MAX_ECHO_CHARS).collect()
}

/// The reply to an invalid command: the problem and a correct example.
pub(super) fn error_text(mistake: &CommandError) -> StyledText {
    let text = StyledText::new();
    let code = |text: StyledText, outside: &str| text.code(&EscapedText::line(outside));
    match mistake {
        CommandError::NotACommand => text.literal("I understand commands only: ").command("help"),
        CommandError::ForOtherBot => text.literal("That is meant for another bot: ").command("help"),
        CommandError::UnknownCommand(word, near) => {
            let text = code(text.literal("There is no command "), &format!("/{word}"));
            match near {
                Some(near) => text.literal(". Did you mean ").command(near.name).literal("?"),
                None => text.literal(". All of them: ").command("help"),
            }
        }
        CommandError::MissingArgument(known, what) => {
            append_example(text.literal("Something is missing: ").literal(what).literal("."), known)
        }
        CommandError::ExtraArgument(known, more) => {
            let text = text.literal("This is more than ").command(known.name).literal(" takes: ");
            append_example(code(text, more), known)
        }
        CommandError::InvalidArgument(known, word, why) => {
            let text = code(text, word).literal(" is not valid: ");
            append_example(code(text, why), known)
        }
    }
}

fn append_example(text: StyledText, known: &CommandSpec) -> StyledText {
    text.literal("\nFor example: ").code(&EscapedText::line(known.example))
}

#[cfg(test)]
mod tests;
