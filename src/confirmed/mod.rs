//! What a person confirmed of the configuration, and what is in force while the files say something else
//! (guarantee A7).
//!
//! The files belong to the same user as the agent. From when the approval passphrase is set, what they say is
//! compared with what a person confirmed: where it narrows it is in force at once, where it widens it waits.
//! [`in_force`] is the one place that decides this, for the daemon and for sessions.

mod copy;
mod replacements;
pub mod seal;
mod servers;
mod settings;
mod telegram;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::anonymize::Anonymizer;
use crate::config::{self, Config, Files, Problem, Problems, Severity};
use crate::policy::{ConfigPolicy, compare};

pub use copy::{expected_store, read, read_copy, write, writer};

/// What a person confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmed {
    /// Nobody can confirm yet, since no approval passphrase is set: the files count as they stand.
    Open,
    /// These files.
    Sealed(Files),
    /// It cannot be told, and why: nothing counts as confirmed.
    Unknown(String),
}

/// What waits for a person, and what is in force although the files as confirmed say something else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// What waits.
    pub widens: Vec<Change>,
    /// What is in force at once.
    pub narrows: Vec<Change>,
}

/// One thing that the files say otherwise than was confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The file.
    pub file: String,
    /// What changed, without a real value.
    pub words: String,
}

/// A configuration that can be put in force.
#[derive(Debug)]
pub struct InForce {
    /// What holds.
    pub config: Config,
    /// Its replacements, proven.
    pub anonymizer: Anonymizer,
    /// How the files differ from what was confirmed; [`Changes::widens`] is not in `config`.
    pub changes: Changes,
    /// What is worth knowing of the files as they are now.
    pub problems: Problems,
}

impl Changes {
    /// Whether something waits for a person.
    #[must_use]
    pub const fn waits(&self) -> bool {
        !self.widens.is_empty()
    }

    fn add(&mut self, widens: bool, file: &str, words: String) {
        let list = if widens { &mut self.widens } else { &mut self.narrows };
        list.push(Change { file: file.to_owned(), words });
    }
}

impl Confirmed {
    /// Tells one from another: two programs that go by the same digest go by the same configuration.
    #[must_use]
    pub fn digest(&self) -> String {
        match self {
            Self::Open => "open".to_owned(),
            Self::Sealed(files) => digest(files),
            Self::Unknown(_) => "unknown".to_owned(),
        }
    }
}

/// A digest of files and of the directory that relative paths in them begin at.
#[must_use]
pub fn digest(files: &Files) -> String {
    let directory = files.directory.as_os_str().as_encoded_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(directory.len() as u64).to_le_bytes());
    hasher.update(directory).update(files.digest().as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// What holds where `confirmed` is what a person confirmed and `present` is what the files say now. `env` looks
/// up an environment variable.
///
/// # Errors
/// Every problem, when the present files are not valid.
pub fn in_force(
    confirmed: &Confirmed,
    present: &Files,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<InForce, Problems> {
    let (config, mut problems) = config::read(present, env);
    let Some(changed) = config else { return Err(problems) };
    let (config, changes) = match confirmed {
        Confirmed::Open => (changed, Changes::default()),
        Confirmed::Sealed(files) if files == present => (changed, Changes::default()),
        Confirmed::Sealed(files) => match config::read(files, env).0 {
            Some(confirmed) => settle(&confirmed, changed),
            None => {
                problems.0.push(nothing_confirmed("the configuration as confirmed is not valid any more"));
                settle(&nothing(), changed)
            }
        },
        Confirmed::Unknown(reason) => {
            problems.0.push(nothing_confirmed(reason));
            settle(&nothing(), changed)
        }
    };
    match Anonymizer::new(&config.replacements) {
        Ok(anonymizer) => Ok(InForce { config, anonymizer, changes, problems }),
        Err(conflicts) => {
            let problem =
                |message: String| Problem { severity: Severity::Error, ..nothing_confirmed(&message) };
            Err(Problems(conflicts.iter().map(|conflict| problem(conflict.to_string())).collect()))
        }
    }
}

/// Everything that `changed` says otherwise than `confirmed`.
#[must_use]
pub fn compare(confirmed: &Config, changed: &Config) -> Changes {
    let mut changes = Changes::default();
    servers::compare(confirmed, changed, &mut changes);
    replacements::compare(confirmed, changed, &mut changes);
    for edit in compare::edits(&confirmed.policy, &changed.policy) {
        changes.add(edit.widens, "policies.json", edit.words);
    }
    settings::compare(&confirmed.settings, &changed.settings, &mut changes);
    telegram::compare_quorums(&confirmed.policy.quorums, &changed.policy.quorums, &mut changes);
    let hidden: Vec<_> =
        [changed, confirmed].map(|config| Anonymizer::new(&config.replacements)).into_iter().collect();
    for change in changes.widens.iter_mut().chain(&mut changes.narrows) {
        for anonymizer in &hidden {
            change.words = match anonymizer {
                Ok(anonymizer) => anonymizer.conceal_text(&change.words).into_inner(),
                Err(_) => "something that cannot be shown, since replacements conflict".to_owned(),
            };
        }
    }
    changes
}

/// What holds, and what waits. Where nothing widens, what changed holds.
#[must_use]
pub fn settle(confirmed: &Config, changed: Config) -> (Config, Changes) {
    let changes = compare(confirmed, &changed);
    if !changes.waits() {
        return (changed, changes);
    }
    let (servers, skipped) = servers::in_force(confirmed, &changed);
    let replacements = replacements::in_force(confirmed, &changed);
    let settings = settings::in_force(&confirmed.settings, &changed.settings);
    let mut policy = ConfigPolicy { confirmed: Some(Box::new(confirmed.policy.clone())), ..changed.policy };
    telegram::only_deciders(&mut policy, settings.telegram.as_ref());
    let config = Config {
        servers,
        skipped,
        replacements,
        policy,
        settings,
        digest: blake3::hash(format!("{} {}", confirmed.digest, changed.digest).as_bytes())
            .to_hex()
            .to_string(),
        directory: changed.directory,
    };
    (config, changes)
}

/// The configuration that permits nothing: what is confirmed where that cannot be told.
fn nothing() -> Config {
    config::read(&Files::default(), &|_| None).0.expect("no files at all are valid")
}

fn nothing_confirmed(reason: &str) -> Problem {
    Problem {
        severity: Severity::Warning,
        file: "portero.json",
        line: 0,
        column: 0,
        message: format!("{reason}: nothing counts as confirmed"),
        snippet: None,
        hint: Some("look at it with `portero config diff`, then run `portero config confirm`".to_owned()),
    }
}
