//! Reads the files beside the confirmed ones, and finds the part that applies.

use std::ffi::OsString;
use std::sync::Arc;

use portero::anonymize::Anonymizer;
use portero::approved_config::{self, ApprovedConfig, ConfigChanges, EffectiveConfig};
use portero::config::{Config, ConfigFiles, ConfigProblem, ConfigProblems};

/// Looks up a variable of the environment that the daemon was given.
pub type EnvironmentLookup = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// A configuration that can be applied.
pub struct ValidConfig {
    /// The configuration that applies.
    pub config: Config,
    /// The anonymizer of its replacements, which are checked.
    pub anonymizer: Anonymizer,
    /// The difference of the files from the confirmed ones.
    pub changes: ConfigChanges,
    /// Problems that don't keep it from applying.
    pub warnings: Vec<String>,
}

/// Checks the files, and returns the part of them that applies beside the confirmed ones.
///
/// # Errors
/// Every problem, one line each.
pub fn check_files(
    confirmed: &ApprovedConfig,
    files: &ConfigFiles,
    environment: &EnvironmentLookup,
) -> Result<ValidConfig, Vec<String>> {
    let lookup = |name: &str| variable(environment, name);
    match approved_config::effective_config(confirmed, files, &lookup) {
        Ok(EffectiveConfig { config, anonymizer, changes, problems }) => {
            Ok(ValidConfig { config, anonymizer, changes, warnings: describe_problems(&problems) })
        }
        Err(problems) => Err(describe_problems(&problems)),
    }
}

/// A variable of the environment; `None` if it is unset or not UTF-8.
pub(super) fn variable(environment: &EnvironmentLookup, name: &str) -> Option<String> {
    environment(name).and_then(|value| value.into_string().ok())
}

/// Describes every problem in one line, with its place and its remedy.
#[must_use]
pub fn describe_problems(problems: &ConfigProblems) -> Vec<String> {
    problems.0.iter().map(describe_problem).collect()
}

fn describe_problem(problem: &ConfigProblem) -> String {
    let ConfigProblem { file, line, column, message, hint, .. } = problem;
    let place = if *line == 0 { file.to_string() } else { format!("{file}:{line}:{column}") };
    match hint {
        Some(hint) => format!("{place}: {message} ({hint})"),
        None => format!("{place}: {message}"),
    }
}
