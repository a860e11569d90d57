//! What is wrong with a configuration, and where: for people, without values.

use std::fmt;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing: a skipped server, an empty directory.
    Warning,
    /// The configuration is not valid.
    Error,
}

/// One problem, without values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// How bad.
    pub severity: Severity,
    /// The file, relative to the directory.
    pub file: &'static str,
    /// One-based line; 0 when it is about the whole file.
    pub line: u32,
    /// One-based column in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line with its values blanked, when there is one.
    pub snippet: Option<String>,
    /// What to do next, such as the nearest valid word.
    pub hint: Option<String>,
}

/// Every problem, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl ConfigProblems {
    /// Whether the configuration is not valid.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in their order.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigProblem> {
        self.0.iter()
    }

    pub(super) fn sort_by_place(&mut self) {
        let order = |file: &str| {
            super::CONFIG_FILES.iter().position(|known| *known == file).unwrap_or(super::CONFIG_FILES.len())
        };
        self.0.sort_by_key(|problem| (order(problem.file), problem.line, problem.column));
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
