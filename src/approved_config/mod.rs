//! What a person confirmed of the configuration, and what is in force while the files say something else
//! (guarantee A7).
//!
//! The files belong to the same user as the agent. From when the approval passphrase is set, what they say is
//! compared with what a person confirmed: where it narrows it is in force at once, where it widens it waits.
//! [`effective_config`] is the one place that decides this, for the daemon and for sessions.

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
use crate::config::{self, Config, ConfigFiles, ConfigProblem, ConfigProblems, Severity};
use crate::policy::{ConfigPolicy, compare};

pub use copy::{copy_writer, expected_store, read_approved, read_copy, write_copy};

const SETTINGS_FILE: &str = "portero.json";

/// What a person confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovedConfig {
    /// Nobody can confirm yet, since no approval passphrase is set: the files count as they stand.
    Open,
    /// These files.
    Sealed(ConfigFiles),
    /// It cannot be told, and why: nothing counts as confirmed.
    Unknown(String),
}

/// What waits for a person, and what is in force although the files as confirmed say something else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanges {
    /// What waits.
    pub widens: Vec<ConfigChange>,
    /// What is in force at once.
    pub narrows: Vec<ConfigChange>,
}

/// One thing that the files say otherwise than was confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The file.
    pub file: String,
    /// What changed, without a real value.
    pub words: String,
}

/// A configuration that can be put in force.
#[derive(Debug)]
pub struct EffectiveConfig {
    /// What holds.
    pub config: Config,
    /// Its replacements, proven.
    pub anonymizer: Anonymizer,
    /// How the files differ from what was confirmed; [`ConfigChanges::widens`] is not in `config`.
    pub changes: ConfigChanges,
    /// What is worth knowing of the files as they are now.
    pub problems: ConfigProblems,
}

impl ConfigChanges {
    /// Whether something waits for a person.
    #[must_use]
    pub const fn has_pending(&self) -> bool {
        !self.widens.is_empty()
    }

    fn push_change(&mut self, widens: bool, file: &str, words: String) {
        let list = if widens { &mut self.widens } else { &mut self.narrows };
        list.push(ConfigChange { file: file.to_owned(), words });
    }
}

impl ApprovedConfig {
    /// Tells one from another: two programs that go by the same digest go by the same configuration.
    #[must_use]
    pub fn digest(&self) -> String {
        match self {
            Self::Open => "open".to_owned(),
            Self::Sealed(files) => digest_files(files),
            Self::Unknown(_) => "unknown".to_owned(),
        }
    }
}

/// A digest of files and of the directory that relative paths in them begin at.
#[must_use]
pub fn digest_files(files: &ConfigFiles) -> String {
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
pub fn effective_config(
    confirmed: &ApprovedConfig,
    present: &ConfigFiles,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<EffectiveConfig, ConfigProblems> {
    let (config, mut problems) = config::read_config(present, env);
    let Some(changed) = config else { return Err(problems) };
    let (config, changes) = match confirmed {
        ApprovedConfig::Open => (changed, ConfigChanges::default()),
        ApprovedConfig::Sealed(files) if files == present => (changed, ConfigChanges::default()),
        ApprovedConfig::Sealed(files) => match config::read_config(files, env).0 {
            Some(confirmed) => merge_narrowing(&confirmed, changed),
            None => {
                problems.0.push(nothing_approved("the configuration as confirmed is not valid any more"));
                merge_narrowing(&empty_config(), changed)
            }
        },
        ApprovedConfig::Unknown(reason) => {
            problems.0.push(nothing_approved(reason));
            merge_narrowing(&empty_config(), changed)
        }
    };
    match Anonymizer::new(&config.replacements) {
        Ok(anonymizer) => Ok(EffectiveConfig { config, anonymizer, changes, problems }),
        Err(conflicts) => {
            let problem =
                |message: String| ConfigProblem { severity: Severity::Error, ..nothing_approved(&message) };
            Err(ConfigProblems(conflicts.iter().map(|conflict| problem(conflict.to_string())).collect()))
        }
    }
}

/// Everything that `changed` says otherwise than `confirmed`.
#[must_use]
pub fn compare_configs(confirmed: &Config, changed: &Config) -> ConfigChanges {
    let mut changes = ConfigChanges::default();
    servers::compare_servers(confirmed, changed, &mut changes);
    replacements::compare_replacements(confirmed, changed, &mut changes);
    for edit in compare::compare_policies(&confirmed.policy, &changed.policy) {
        changes.push_change(edit.widens, "policies.json", edit.description);
    }
    settings::compare_settings(&confirmed.settings, &changed.settings, &mut changes);
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
pub fn merge_narrowing(confirmed: &Config, changed: Config) -> (Config, ConfigChanges) {
    let changes = compare_configs(confirmed, &changed);
    if !changes.has_pending() {
        return (changed, changes);
    }
    let (servers, skipped) = servers::effective_servers(confirmed, &changed);
    let replacements = replacements::effective_replacements(confirmed, &changed);
    let settings = settings::effective_settings(&confirmed.settings, &changed.settings);
    let mut policy = ConfigPolicy { approved: Some(Box::new(confirmed.policy.clone())), ..changed.policy };
    telegram::retain_deciders(&mut policy, settings.telegram.as_ref());
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
fn empty_config() -> Config {
    config::read_config(&ConfigFiles::default(), &|_| None).0.expect("no files at all are valid")
}

fn nothing_approved(reason: &str) -> ConfigProblem {
    ConfigProblem {
        severity: Severity::Warning,
        file: "portero.json",
        line: 0,
        column: 0,
        message: format!("{reason}: nothing counts as confirmed"),
        snippet: None,
        hint: Some("look at it with `portero config diff`, then run `portero config confirm`".to_owned()),
    }
}
