//! Turns the configuration directory into one valid [`Config`], or into all of its problems at once.
//!
//! Only [`ConfigFiles::load`] touches the disk. [`read_config()`] is a pure function of the files' text and
//! the environment. No problem, snippet or hint ever holds a value; keys, patterns and names may show.

mod auth;
mod client_certificates;
mod directory;
mod document;
mod dotenv;
pub mod duration;
mod fields;
mod https;
mod mcps;
mod oidc;
mod placeholder_fakes;
mod policies;
mod problem;
mod references;
mod replacements;
mod secret_names;
mod secret_shapes;
mod secrets;
mod settings;
mod snippet;
mod telegram;
#[cfg(test)]
mod tests;
mod types;
pub mod url;
mod variables;

use std::path::Path;

pub use auth::{
    ClientCertificate, ClientPrivateKey, CredentialFormat, CredentialLocation, OAuthGrant, OAuthSettings,
    ServerAuth, SigningAlgorithm, StaticAuth, TokenEndpointAuthMethod,
};
pub use client_certificates::{CertificateGrant, CertificateMatch, ClientCertificates};
pub use document::nearest_word;
pub use https::{ClosedHttps, HttpsEncryption, HttpsLimits, HttpsSettings};
pub use mcps::is_transport_header;
pub use oidc::{ClaimGrant, JwtAlgorithm, OidcSettings};
pub use problem::{ConfigProblem, ConfigProblems, Severity};
pub use secrets::MIN_SECRET_LENGTH;
pub use types::{
    ApprovalSettings, AuditSettings, Config, ConfigFiles, CredentialSettings, DeciderGroup, HttpServer,
    KeyringUse, NoticeLevel, NoticeSettings, QuietHours, ServerConfig, ServerInstance, ServerLimits,
    ServerTransport, Settings, SkippedServer, StdioServer, TelegramSettings,
};

use crate::anonymize::{Anonymizer, ReplacementRule, RuleConflict};
use crate::files::{self, FileError, MAX_CONFIG_FILE_BYTES, PipeMode, SymlinkMode};
use crate::secret::Secret;
use document::ConfigDocument;
use mcps::ParsedServers;
use replacements::ParsedReplacements;
use variables::Variables;

/// The file names, in the order of their problems.
pub const CONFIG_FILES: [&str; 5] = [DOTENV, MCPS, REPLACEMENTS, POLICIES, PORTERO];

const DOTENV: &str = ".env";
const MCPS: &str = "mcps.json";
const REPLACEMENTS: &str = "replacements.json";
const POLICIES: &str = "policies.json";
const PORTERO: &str = "portero.json";

impl ConfigFiles {
    /// Reads the existing files. A missing file, or a missing directory, reads as none. Returns within a few
    /// seconds even if a drive hangs.
    ///
    /// # Errors
    /// A problem for each file that can't be read, isn't UTF-8, or is no regular file.
    pub fn load(directory: &Path) -> Result<Self, ConfigProblems> {
        let there = directory.to_path_buf();
        let read = files::read_with_timeout(directory, files::READ_TIMEOUT, move || Self::read_all(&there));
        read.unwrap_or_else(|error| Err(unreadable_directory(&error)))
    }

    /// Like [`ConfigFiles::load`], without blocking the runtime.
    ///
    /// # Errors
    /// As [`ConfigFiles::load`].
    pub async fn load_off_thread(directory: &Path) -> Result<Self, ConfigProblems> {
        let there = directory.to_path_buf();
        let read =
            files::read_off_thread(directory, files::READ_TIMEOUT, move || Self::read_all(&there)).await;
        read.unwrap_or_else(|error| Err(unreadable_directory(&error)))
    }

    fn read_all(directory: &Path) -> Result<Self, ConfigProblems> {
        let mut problems = ConfigProblems::default();
        let mut text = |name: &'static str| {
            // Password managers serve `.env` through a named pipe.
            let pipes = if name == DOTENV { PipeMode::Read } else { PipeMode::Refuse };
            match files::read_text(&directory.join(name), MAX_CONFIG_FILE_BYTES, SymlinkMode::Follow, pipes) {
                Ok(text) => Some(text),
                Err(error) if error.is_missing() => None,
                Err(error) => {
                    problems.0.push(unreadable_file(name, &error));
                    None
                }
            }
        };
        let mut files = Self {
            directory: directory.to_path_buf(),
            dotenv: text(DOTENV),
            mcps: text(MCPS),
            replacements: text(REPLACEMENTS),
            policies: text(POLICIES),
            portero: text(PORTERO),
            directory_problems: Vec::new(),
        };
        files.directory_problems = directory::inspect_directory(&files);
        if problems.0.is_empty() { Ok(files) } else { Err(problems) }
    }

    /// The names of the files that differ in `other`.
    #[must_use]
    pub fn changed_files(&self, other: &Self) -> Vec<&'static str> {
        CONFIG_FILES.into_iter().filter(|file| self.text(file) != other.text(file)).collect()
    }

    /// The text of the file with this name, if it is there.
    #[must_use]
    pub fn text(&self, file: &str) -> Option<&str> {
        match file {
            DOTENV => self.dotenv.as_deref(),
            MCPS => self.mcps.as_deref(),
            REPLACEMENTS => self.replacements.as_deref(),
            POLICIES => self.policies.as_deref(),
            PORTERO => self.portero.as_deref(),
            _ => None,
        }
    }

    /// A digest of the files, which tells whether two programs read the same.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // The order of the files is part of the digest. A missing file is a length that no text has, so it
        // differs from an empty one.
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

    fn is_empty(&self) -> bool {
        [&self.mcps, &self.replacements, &self.policies, &self.portero, &self.dotenv]
            .iter()
            .all(|text| text.is_none())
    }
}

/// The directory as a whole can't be read.
fn unreadable_directory(error: &FileError) -> ConfigProblems {
    ConfigProblems(vec![unreadable_file(PORTERO, error)])
}

fn unreadable_file(file: &'static str, error: &FileError) -> ConfigProblem {
    ConfigProblem {
        severity: Severity::Error,
        file: file.into(),
        line: 0,
        column: 0,
        message: error.to_string(),
        snippet: None,
        hint: Some(error.hint().to_owned()),
    }
}

/// Checks the files. `env` looks up an environment variable; it wins over `.env`.
///
/// The configuration is returned if and only if no problem is a [`Severity::Error`].
pub fn read_config(
    files: &ConfigFiles,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Config>, ConfigProblems) {
    let mut problems = ConfigProblems::default();
    if files.is_empty() {
        problems.0.push(ConfigProblem {
            severity: Severity::Warning,
            file: MCPS.into(),
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
    problems.0.extend(files.directory_problems.iter().cloned());
    let (dotenv, told) = dotenv::read_dotenv(files.dotenv.as_deref());
    problems.0.extend(told);
    let variables = Variables { env, dotenv, environment_counts: true };

    let (mut mcps, root) = ConfigDocument::open(MCPS, files.mcps.as_deref());
    let ParsedServers { mut servers, skipped, known, injected } =
        mcps::read_servers(&mut mcps, root.as_ref(), &variables, &files.directory);
    let (mut replacing, root) = ConfigDocument::open(REPLACEMENTS, files.replacements.as_deref());
    let ParsedReplacements { mut rules, positions: places } =
        replacements::read_replacements(&mut replacing, root.as_ref(), &variables, known.as_deref());
    let (mut policies, root) = ConfigDocument::open(POLICIES, files.policies.as_deref());
    let mut policy =
        policies::read_policies(&mut policies, root.as_ref(), &variables, known.as_deref(), &rules);
    let (mut portero, root) = ConfigDocument::open(PORTERO, files.portero.as_deref());
    let settings = settings::read_settings(
        &mut portero,
        root.as_ref(),
        (&variables, &files.directory),
        known.as_deref(),
        &mut policy.quorums,
    );

    // A secret that is also a rule's real value follows the rule, so it needs none of its own.
    let injected: Vec<_> =
        injected.into_iter().filter(|(rule, _)| rules.iter().all(|known| known.real != rule.real)).collect();
    rules.extend(injected.iter().map(|(rule, _)| rule.clone()));
    report_conflicts(&rules, &mut replacing, &places, &mut mcps, &injected);

    for document in [mcps, replacing, policies, portero] {
        problems.0.extend(document.into_problems());
    }
    problems.sort_by_place();
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

/// The fake of each replacement in the files with its line and column, as far as they can be read. `env` looks up an
/// environment variable.
#[must_use]
pub fn locate_replacements(
    files: &ConfigFiles,
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<(String, u32, u32)> {
    let (dotenv, _) = dotenv::read_dotenv(files.dotenv.as_deref());
    let variables = Variables { env, dotenv, environment_counts: true };
    let (mut document, root) = ConfigDocument::open(REPLACEMENTS, files.replacements.as_deref());
    let ParsedReplacements { rules, positions } =
        replacements::read_replacements(&mut document, root.as_ref(), &variables, None);
    let located = rules.into_iter().zip(positions).map(|(rule, at)| {
        let (line, column) = document.line_and_column(at);
        (rule.fake, line, column)
    });
    located.collect()
}

/// A warning for each fake in the files that language models write by themselves. `env` looks up an environment variable.
#[must_use]
pub fn find_placeholder_fakes(
    files: &ConfigFiles,
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<ConfigProblem> {
    let located = locate_replacements(files, env);
    let placeholders = located.into_iter().filter(|(fake, ..)| placeholder_fakes::is_placeholder(fake));
    let warnings = placeholders.map(|(fake, line, column)| ConfigProblem {
        severity: Severity::Warning,
        file: REPLACEMENTS.into(),
        line,
        column,
        message: format!(
            "models write the fake {fake:?} by themselves, so the real value is put where nobody meant it"
        ),
        snippet: None,
        hint: Some("take an uncommon one; `portero replacements suggest` proposes some".to_owned()),
    });
    warnings.collect()
}

/// The value of a variable of the files, if it is set and not empty. `env` looks up an environment variable; it wins
/// over `.env`.
#[must_use]
pub fn read_variable(
    files: &ConfigFiles,
    env: &dyn Fn(&str) -> Option<String>,
    name: &str,
) -> Option<Secret> {
    let (dotenv, _) = dotenv::read_dotenv(files.dotenv.as_deref());
    Variables { env, dotenv, environment_counts: true }.non_empty(name)
}

/// Reports which rules conflict, each at its position. The last rules are those of the servers' secrets.
fn report_conflicts(
    rules: &[ReplacementRule],
    replacing: &mut ConfigDocument<'_>,
    places: &[usize],
    mcps: &mut ConfigDocument<'_>,
    injected: &[(ReplacementRule, usize)],
) {
    for RuleConflict { rule, other, problem, proposal } in Anonymizer::new(rules).err().unwrap_or_default() {
        let secret = |rule: usize| rule.checked_sub(places.len()).and_then(|at| injected.get(at));
        let place = |rule: usize| match (places.get(rule), secret(rule)) {
            (Some(at), _) => (REPLACEMENTS, replacing.line_and_column(*at)),
            (None, Some((_, at))) => (MCPS, mcps.line_and_column(*at)),
            (None, None) => (REPLACEMENTS, (1, 1)),
        };
        let hint = other.filter(|other| *other != rule).map(|other| {
            let (file, (line, column)) = place(other);
            format!("the other one is at {file}:{line}:{column}; {proposal}")
        });
        let hint = Some(hint.unwrap_or_else(|| proposal.to_owned()));
        match (places.get(rule), secret(rule)) {
            (None, Some((_, at))) => mcps.add_error(*at, problem, hint),
            (at, _) => replacing.add_error(at.copied().unwrap_or(0), problem, hint),
        }
    }
}
