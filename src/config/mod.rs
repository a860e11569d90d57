//! The configuration directory becomes one valid [`Config`], or every problem in it at once.
//!
//! [`Files::load`] is the only place that touches the disk; [`read()`] is a pure function of the files' text
//! and the environment. No problem, snippet or hint ever holds a value: keys, patterns and names may show.

mod cases;
mod document;
mod dotenv;
pub mod duration;
mod fields;
mod mcps;
mod policies;
mod problem;
mod replacements;
mod secrets;
mod settings;
mod snippet;
mod telegram;
#[cfg(test)]
mod tests;
mod types;
mod variables;

use std::path::Path;

pub use document::nearest;
pub use problem::{Problem, Problems, Severity};
pub use types::{
    Approvals, Audit, Config, Files, Group, Https, Limits, NoticeLevel, Notices, Quiet, Server, Settings,
    Skipped, Telegram,
};

use crate::anonymize::{Anonymizer, Conflict, Rule};
use crate::files::{self, FileError, Links, MAX_CONFIG_BYTES, Pipes};
use document::Document;
use mcps::Servers;
use replacements::Replacements;
use variables::Variables;

/// The files' names, in the order in which their problems are told.
pub const FILES: [&str; 5] = [DOTENV, MCPS, REPLACEMENTS, POLICIES, PORTERO];

const DOTENV: &str = ".env";
const MCPS: &str = "mcps.json";
const REPLACEMENTS: &str = "replacements.json";
const POLICIES: &str = "policies.json";
const PORTERO: &str = "portero.json";

impl Files {
    /// Reads the files that are there; a missing one, or a missing directory, is none. It returns within a few
    /// seconds, also where a drive hangs.
    ///
    /// # Errors
    /// A problem for each file that is there and cannot be read, is not UTF-8, or is no file.
    pub fn load(directory: &Path) -> Result<Self, Problems> {
        let there = directory.to_path_buf();
        let read = files::within(directory, files::READ_TIMEOUT, move || Self::read_all(&there));
        read.unwrap_or_else(|error| Err(unread(&error)))
    }

    /// As [`Files::load`], while the runtime goes on.
    ///
    /// # Errors
    /// As [`Files::load`].
    pub async fn load_off_thread(directory: &Path) -> Result<Self, Problems> {
        let there = directory.to_path_buf();
        let read = files::off_thread(directory, files::READ_TIMEOUT, move || Self::read_all(&there)).await;
        read.unwrap_or_else(|error| Err(unread(&error)))
    }

    fn read_all(directory: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut text = |name: &'static str| {
            // Password managers serve `.env` through a named pipe.
            let pipes = if name == DOTENV { Pipes::Read } else { Pipes::Refuse };
            match files::read_text(&directory.join(name), MAX_CONFIG_BYTES, Links::Follow, pipes) {
                Ok(text) => Some(text),
                Err(error) if error.is_missing() => None,
                Err(error) => {
                    problems.0.push(unread_file(name, &error));
                    None
                }
            }
        };
        let files = Self {
            directory: directory.to_path_buf(),
            dotenv: text(DOTENV),
            mcps: text(MCPS),
            replacements: text(REPLACEMENTS),
            policies: text(POLICIES),
            portero: text(PORTERO),
        };
        if problems.0.is_empty() { Ok(files) } else { Err(problems) }
    }

    /// The names of those that say something else in `other`.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let texts = |files: &Self| {
            let Self { directory: _, mcps, replacements, policies, portero, dotenv } = files.clone();
            [dotenv, mcps, replacements, policies, portero]
        };
        let pairs = FILES.into_iter().zip(texts(self).into_iter().zip(texts(other)));
        pairs.filter(|(_, (one, other))| one != other).map(|(file, _)| file).collect()
    }

    /// A digest of what the files say, to tell whether two programs read the same.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for text in [&self.dotenv, &self.mcps, &self.replacements, &self.policies, &self.portero] {
            match text {
                Some(text) => {
                    hasher.update(&(text.len() as u64).to_le_bytes());
                    hasher.update(text.as_bytes());
                }
                None => {
                    hasher.update(&u64::MAX.to_le_bytes());
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    fn are_none(&self) -> bool {
        [&self.mcps, &self.replacements, &self.policies, &self.portero, &self.dotenv]
            .iter()
            .all(|text| text.is_none())
    }
}

/// The directory as a whole cannot be read.
fn unread(error: &FileError) -> Problems {
    Problems(vec![unread_file(PORTERO, error)])
}

fn unread_file(file: &'static str, error: &FileError) -> Problem {
    Problem {
        severity: Severity::Error,
        file,
        line: 0,
        column: 0,
        message: error.to_string(),
        snippet: None,
        hint: Some(error.hint().to_owned()),
    }
}

/// Checks what the files say. `env` looks up an environment variable; it wins over `.env`.
///
/// The configuration is there if and only if no problem is an [`Severity::Error`].
pub fn read(files: &Files, env: &dyn Fn(&str) -> Option<String>) -> (Option<Config>, Problems) {
    let mut problems = Problems::default();
    if files.are_none() {
        problems.0.push(Problem {
            severity: Severity::Warning,
            file: MCPS,
            line: 0,
            column: 0,
            message: format!(
                "there is no configuration in `{}`: no server is known, and everything needs approval",
                files.directory.display()
            ),
            snippet: None,
            hint: Some("write mcps.json there; Claude Code's `mcpServers` object is understood".into()),
        });
    }
    let (dotenv, told) = dotenv::read(files.dotenv.as_deref());
    problems.0.extend(told);
    let variables = Variables { env, dotenv, environment_counts: true };

    let (mut mcps, root) = Document::open(MCPS, files.mcps.as_deref());
    let Servers { mut servers, skipped, known, injected } =
        mcps::read(&mut mcps, root.as_ref(), &variables, &files.directory);
    let (mut replacing, root) = Document::open(REPLACEMENTS, files.replacements.as_deref());
    let Replacements { mut rules, places } =
        replacements::read(&mut replacing, root.as_ref(), &variables, known.as_deref());
    let (mut policies, root) = Document::open(POLICIES, files.policies.as_deref());
    let mut policy = policies::read(&mut policies, root.as_ref(), &variables, known.as_deref(), &rules);
    let (mut portero, root) = Document::open(PORTERO, files.portero.as_deref());
    let settings =
        settings::read(&mut portero, root.as_ref(), &variables, known.as_deref(), &mut policy.quorums);

    let injected: Vec<_> =
        injected.into_iter().filter(|(rule, _)| rules.iter().all(|known| known.real != rule.real)).collect();
    rules.extend(injected.iter().map(|(rule, _)| rule.clone()));
    tell_conflicts(&rules, &mut replacing, &places, &mut mcps, &injected);

    for document in [mcps, replacing, policies, portero] {
        problems.0.extend(document.into_problems());
    }
    problems.sort();
    servers.shrink_to_fit();
    let config = Config {
        directory: files.directory.clone(),
        servers,
        skipped,
        replacements: rules,
        policy,
        settings,
        digest: files.digest(),
    };
    ((!problems.has_errors()).then_some(config), problems)
}

/// Tells which rules cannot hold together, each where it stands. The last rules are those of the servers'
/// secrets.
fn tell_conflicts(
    rules: &[Rule],
    replacing: &mut Document<'_>,
    places: &[usize],
    mcps: &mut Document<'_>,
    injected: &[(Rule, usize)],
) {
    for Conflict { rule, other, problem } in Anonymizer::new(rules).err().unwrap_or_default() {
        let secret = |rule: usize| rule.checked_sub(places.len()).and_then(|at| injected.get(at));
        let place = |rule: usize| match (places.get(rule), secret(rule)) {
            (Some(at), _) => (REPLACEMENTS, replacing.place(*at)),
            (None, Some((_, at))) => (MCPS, mcps.place(*at)),
            (None, None) => (REPLACEMENTS, (1, 1)),
        };
        let hint = other.filter(|other| *other != rule).map(|other| {
            let (file, (line, column)) = place(other);
            format!("the other one is at {file}:{line}:{column}")
        });
        match (places.get(rule), secret(rule)) {
            (None, Some((_, at))) => mcps.error(*at, problem, hint),
            (at, _) => replacing.error(at.copied().unwrap_or(0), problem, hint),
        }
    }
}
