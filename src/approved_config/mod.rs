//! Which configuration applies while the files differ from what a person confirmed (guarantee A7).
//!
//! The files belong to the same user as the agent. Once the approval passphrase is set, the files are compared
//! with the confirmed ones. Narrowing edits apply at once, widening ones wait. [`effective_config`] alone
//! decides this, for the daemon and for sessions.

mod copy;
mod https;
mod https_access;
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

/// The confirmed configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovedConfig {
    /// No approval passphrase is set, so confirming isn't possible yet. The files apply as they are.
    Open,
    /// These files are confirmed.
    Sealed(ConfigFiles),
    /// It is unknown, for this reason. Nothing counts as confirmed.
    Unknown(String),
}

/// The differences between the files and the confirmed ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanges {
    /// Edits that wait for confirmation.
    pub widens: Vec<ConfigChange>,
    /// Edits that apply at once.
    pub narrows: Vec<ConfigChange>,
}

/// One difference between the files and the confirmed ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The file.
    pub file: String,
    /// The difference in words, without a real value.
    pub words: String,
}

/// A configuration that can be applied.
#[derive(Debug)]
pub struct EffectiveConfig {
    /// The effective configuration.
    pub config: Config,
    /// Its replacements, proven.
    pub anonymizer: Anonymizer,
    /// The differences from the confirmed files. [`ConfigChanges::widens`] isn't part of `config`.
    pub changes: ConfigChanges,
    /// Problems of the present files.
    pub problems: ConfigProblems,
}

impl ConfigChanges {
    /// Whether an edit waits for confirmation.
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
    /// A digest of the confirmed configuration. Two programs with the same digest use the same configuration.
    #[must_use]
    pub fn digest(&self) -> String {
        match self {
            Self::Open => "open".to_owned(),
            Self::Sealed(files) => digest_files(files),
            Self::Unknown(_) => "unknown".to_owned(),
        }
    }
}

/// A digest of the files and of the directory that their relative paths start from.
#[must_use]
pub fn digest_files(files: &ConfigFiles) -> String {
    let directory = files.directory.as_os_str().as_encoded_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(directory.len() as u64).to_le_bytes());
    hasher.update(directory).update(files.digest().as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// The effective configuration of the `confirmed` files and the `present` ones. `env` looks up an environment
/// variable.
///
/// # Errors
/// All problems, if the present files aren't valid.
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
            // The confirmed files may become invalid by themselves, as when a variable is gone. Then nothing
            // counts as confirmed, which is the strict reading.
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

/// All differences of `changed` from `confirmed`.
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
    // Concealed by the rules of both: an edit that removes a replacement must not show its value in its own
    // description.
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

/// The effective configuration, and the differences. If nothing widens, `changed` applies as it is.
#[must_use]
pub fn merge_narrowing(confirmed: &Config, changed: Config) -> (Config, ConfigChanges) {
    let changes = compare_configs(confirmed, &changed);
    if !changes.has_pending() {
        return (changed, changes);
    }
    let (servers, skipped) = servers::effective_servers(confirmed, &changed);
    let replacements = replacements::effective_replacements(confirmed, &changed);
    let settings = settings::effective_settings(&confirmed.settings, &changed.settings);
    // Both policies stay. The stricter decision is taken for each call, because no merged list of entries
    // could say that.
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

/// A configuration that permits nothing, for when the confirmed one is unknown.
fn empty_config() -> Config {
    config::read_config(&ConfigFiles::default(), &|_| None).0.expect("no files at all are valid")
}

fn nothing_approved(reason: &str) -> ConfigProblem {
    ConfigProblem {
        severity: Severity::Warning,
        file: "portero.json".into(),
        line: 0,
        column: 0,
        message: format!("{reason}: nothing counts as confirmed"),
        snippet: None,
        hint: Some("look at it with `portero config diff`, then run `portero config confirm`".to_owned()),
    }
}
