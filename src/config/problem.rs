//! Problems of a configuration with their places, for people and without values.

use std::borrow::Cow;
use std::fmt;

/// The severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A notable condition, such as a skipped server or an empty directory.
    Warning,
    /// The configuration isn't valid.
    Error,
}

/// One problem, without values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Its severity.
    pub severity: Severity,
    /// The file, relative to the directory.
    pub file: Cow<'static, str>,
    /// One-based line; 0 if it concerns the whole file.
    pub line: u32,
    /// One-based column in characters.
    pub column: u32,
    /// The problem.
    pub message: String,
    /// The line with blanked values, if there is one.
    pub snippet: Option<String>,
    /// The next step, such as the nearest valid word.
    pub hint: Option<String>,
}

/// All problems, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl ConfigProblems {
    /// Whether the configuration is invalid.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there is no problem.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in order.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigProblem> {
        self.0.iter()
    }

    pub(super) fn sort_by_place(&mut self) {
        let order = |file: &str| {
            super::CONFIG_FILES.iter().position(|known| *known == file).unwrap_or(super::CONFIG_FILES.len())
        };
        self.0.sort_by_key(|problem| (order(&problem.file), problem.line, problem.column));
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(snippet) = &self.snippet {
            write!(f, "\n  | {snippet}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
