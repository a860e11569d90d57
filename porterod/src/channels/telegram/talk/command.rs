//! What a person types: a command with its arguments, checked. Pure.
//!
//! Whatever is not understood is told with what is wrong and an example; nothing is guessed and then done.

use std::num::NonZeroU32;
use std::time::Duration;

use portero::audit::Decided;
use portero::config::{duration, nearest};
use portero::names::{ServerName, ToolId};
use portero::pattern::Pattern;
use portero::task::State;

use super::super::door;

/// The configuration's word for `ask`, as a command may be spelled.
const ASK_TOO: &str = "require_approval";
/// How much of what was typed is told back, in characters.
const TOLD_MOST: usize = 100;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// It shows something.
    Look(Look),
    /// It takes something away, at once.
    Narrow(Narrow),
    /// It permits something, once that is confirmed.
    Widen(Widen),
    /// It ends a rule: whether that narrows depends on the rule.
    Unrule(u64),
}

/// What can be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The commands.
    Help,
    /// How things stand.
    Status,
    /// Rules and grants.
    Rules,
    /// Tasks, perhaps in one state only.
    Tasks(Option<State>),
    /// The tasks that wait.
    Pending,
    /// The latest records.
    Logs(Wanted),
    /// Why a tool is decided as it is.
    Why(ToolId),
    /// The person's own number.
    Whoami,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Not older than this.
    pub within: Option<Duration>,
    /// Only those about a server's tools.
    pub server: Option<ServerName>,
    /// Only those about tools that match.
    pub tool: Option<Pattern>,
    /// Only those about calls that were decided so.
    pub decided: Option<Decided>,
}

/// What narrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Narrow {
    /// A grant ends, or all.
    Revoke(Option<u64>),
    /// A rule that asks.
    Ask(Pattern),
    /// A rule that denies.
    Deny(Pattern),
    /// Nothing runs any more.
    Pause,
}

/// What widens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Widen {
    /// A grant for a while, and what it is limited to.
    Grant(Pattern, Duration, Bounds),
    /// A rule that allows.
    Allow(Pattern),
    /// Calls run again.
    Resume,
}

/// What a grant is limited to beside its time, as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// So many calls.
    pub uses: Option<NonZeroU32>,
    /// The session whose id begins or ends so.
    pub session: Option<String>,
    /// The project in this directory.
    pub project: Option<String>,
}

/// Why something is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// It begins with no stroke.
    NoCommand,
    /// It is meant for another bot.
    Elsewhere,
    /// There is no such command; the nearest, where one is near.
    Unknown(String, Option<&'static Known>),
    /// Something is missing: what.
    Missing(&'static Known, &'static str),
    /// Something is more than the command takes.
    TooMuch(&'static Known, String),
    /// Something is not what it should be: what was typed, and what is wrong with it.
    Wrong(&'static Known, String, String),
}

/// A command that there is.
#[derive(Debug)]
pub struct Known {
    /// Its name, without the stroke.
    pub name: &'static str,
    /// What it does, for the menu.
    pub what: &'static str,
    /// How it is typed, whole.
    pub example: &'static str,
    read: fn(&'static Self, &[&str]) -> Result<Command, Mistake>,
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Known {}

/// The commands, those that are used most first.
pub static COMMANDS: [Known; 17] = [
    known("status", "how things stand", "/status", |it, words| none(it, words, Command::Look(Look::Status))),
    known("pending", "what waits for you", "/pending", |it, words| {
        none(it, words, Command::Look(Look::Pending))
    }),
    known("tasks", "calls that asked, by their state", "/tasks completed", tasks),
    known("logs", "the latest records, filtered by words", "/logs 1h github/*", logs),
    known("grant", "permit for a while", "/grant github/* 30m", grant),
    known("revoke", "end one grant, or all", "/revoke 7", |it, words| {
        let id = words.first().map(|_| number(it, words)).transpose()?;
        Ok(Command::Narrow(Narrow::Revoke(id)))
    }),
    known("allow", "permit from now on", "/allow github/list_issues", |it, words| {
        pattern(it, words).map(|pattern| Command::Widen(Widen::Allow(pattern)))
    }),
    known("ask", "ask you from now on", "/ask github/*", |it, words| {
        pattern(it, words).map(|pattern| Command::Narrow(Narrow::Ask(pattern)))
    }),
    known("deny", "refuse from now on", "/deny shell/*", |it, words| {
        pattern(it, words).map(|pattern| Command::Narrow(Narrow::Deny(pattern)))
    }),
    known("rules", "rules and grants in force", "/rules", |it, words| {
        none(it, words, Command::Look(Look::Rules))
    }),
    known("unrule", "end a rule", "/unrule 3", |it, words| number(it, words).map(Command::Unrule)),
    known("why", "why a tool is decided as it is", "/why github/create_issue", why),
    known("pause", "stop every call", "/pause", |it, words| none(it, words, Command::Narrow(Narrow::Pause))),
    known("resume", "end a pause", "/resume", |it, words| none(it, words, Command::Widen(Widen::Resume))),
    known("whoami", "your own number", "/whoami", |it, words| none(it, words, Command::Look(Look::Whoami))),
    known("help", "the commands", "/help", |it, words| none(it, words, Command::Look(Look::Help))),
    // A link that pairs comes as this command with a code behind it, also when it is tapped a second time.
    known("start", "the commands", "/start", |_, _| Ok(Command::Look(Look::Help))),
];

/// Reads what a person typed to the bot of this name.
///
/// # Errors
/// Why it is no command.
pub fn read(text: &str, bot: &str) -> Result<Command, Mistake> {
    if !text.trim_start().starts_with('/') {
        return Err(Mistake::NoCommand);
    }
    let (name, rest) = door::command(text, bot).ok_or(Mistake::Elsewhere)?;
    let lower = name.to_ascii_lowercase();
    let lower = if lower == ASK_TOO { "ask" } else { &lower };
    let Some(known) = COMMANDS.iter().find(|known| known.name == lower) else {
        let near = nearest(lower, COMMANDS.iter().map(|known| known.name));
        let near = COMMANDS.iter().find(|known| Some(known.name) == near);
        return Err(Mistake::Unknown(told(name), near));
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    (known.read)(known, &words)
}

const fn known(
    name: &'static str,
    what: &'static str,
    example: &'static str,
    read: fn(&'static Known, &[&str]) -> Result<Command, Mistake>,
) -> Known {
    Known { name, what, example, read }
}

fn none(it: &'static Known, words: &[&str], command: Command) -> Result<Command, Mistake> {
    enough(it, words, 0).map(|()| command)
}

fn enough(it: &'static Known, words: &[&str], most: usize) -> Result<(), Mistake> {
    match words.get(most..) {
        None | Some([]) => Ok(()),
        Some(more) => Err(Mistake::TooMuch(it, told(&more.join(" ")))),
    }
}

fn tasks(it: &'static Known, words: &[&str]) -> Result<Command, Mistake> {
    enough(it, words, 1)?;
    let state = |word: &&str| {
        let found = State::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(word));
        found.ok_or_else(|| {
            let states = State::ALL.map(State::as_str).join(", ");
            Mistake::Wrong(it, told(word), format!("the states are {states}"))
        })
    };
    Ok(Command::Look(Look::Tasks(words.first().map(state).transpose()?)))
}

/// Each word says by itself what it filters by.
fn logs(it: &'static Known, words: &[&str]) -> Result<Command, Mistake> {
    let mut wanted = Wanted::default();
    for word in words {
        let lower = word.to_ascii_lowercase();
        let twice = if let Some(decided) = Decided::ALL.into_iter().find(|it| it.as_str() == lower) {
            wanted.decided.replace(decided).is_some()
        } else if word.starts_with(|first: char| first.is_ascii_digit()) {
            let within = duration::parse(&lower).map_err(|error| wrong(it, word, &error))?;
            wanted.within.replace(within).is_some()
        } else if let (false, Ok(server)) = (word.contains('/'), word.parse()) {
            wanted.server.replace(server).is_some()
        } else {
            let pattern = word.parse().map_err(|error| wrong(it, word, &error))?;
            wanted.tool.replace(pattern).is_some()
        };
        if twice {
            return Err(Mistake::TooMuch(it, told(word)));
        }
    }
    Ok(Command::Look(Look::Logs(wanted)))
}

fn grant(it: &'static Known, words: &[&str]) -> Result<Command, Mistake> {
    let what = words.first().ok_or(Mistake::Missing(it, "what to permit"))?;
    let what = what.parse().map_err(|error| wrong(it, what, &error))?;
    let long = words.get(1).ok_or(Mistake::Missing(it, "for how long"))?;
    let long = duration::parse(&long.to_ascii_lowercase()).map_err(|error| wrong(it, long, &error))?;
    Ok(Command::Widen(Widen::Grant(what, long, bounds(it, words.get(2..).unwrap_or_default())?)))
}

/// Pairs of a word that says what is limited and of the limit; a project's path comes last and may have blanks.
fn bounds(it: &'static Known, mut words: &[&str]) -> Result<Bounds, Mistake> {
    let mut bounds = Bounds::default();
    while let [what, rest @ ..] = words {
        let missing = |of: &'static str| rest.first().copied().ok_or(Mistake::Missing(it, of));
        let twice = match what.to_ascii_lowercase().as_str() {
            "uses" => {
                let word = missing("how many uses")?;
                let plain = word.bytes().all(|byte| byte.is_ascii_digit());
                let uses = word.parse().ok().filter(|_| plain);
                let why = || Mistake::Wrong(it, told(word), "uses are counted from 1".to_owned());
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
                words = &[];
                bounds.project.replace(rest.join(" ")).is_some()
            }
            _ => return Err(Mistake::TooMuch(it, told(&words.join(" ")))),
        };
        if twice {
            return Err(Mistake::TooMuch(it, told(what)));
        }
    }
    Ok(bounds)
}

fn pattern(it: &'static Known, words: &[&str]) -> Result<Pattern, Mistake> {
    let word = words.first().ok_or(Mistake::Missing(it, "the tool or pattern"))?;
    let pattern = word.parse().map_err(|error| wrong(it, word, &error))?;
    enough(it, words, 1)?;
    Ok(pattern)
}

fn number(it: &'static Known, words: &[&str]) -> Result<u64, Mistake> {
    let word = words.first().ok_or(Mistake::Missing(it, "the number"))?;
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let id = word.parse().ok().filter(|_| plain);
    let id = id.ok_or_else(|| {
        Mistake::Wrong(it, told(word), "it is a number, and `/rules` shows them".to_owned())
    })?;
    enough(it, words, 1)?;
    Ok(id)
}

fn why(it: &'static Known, words: &[&str]) -> Result<Command, Mistake> {
    let word = words.first().ok_or(Mistake::Missing(it, "the tool"))?;
    let tool = word.parse::<ToolId>().map_err(|error| wrong(it, word, &error))?;
    enough(it, words, 1)?;
    Ok(Command::Look(Look::Why(tool)))
}

fn wrong(it: &'static Known, word: &str, error: &dyn std::fmt::Display) -> Mistake {
    Mistake::Wrong(it, told(word), error.to_string())
}

fn told(word: &str) -> String {
    word.chars().take(TOLD_MOST).collect()
}

#[cfg(test)]
mod tests;
