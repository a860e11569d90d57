//! One part of a pattern, before or after the `/`.

use globset::{GlobBuilder, GlobMatcher};

use super::PatternError;

/// A matcher for one part. The usual shapes use a comparison instead of a regular expression.
pub(super) enum PatternSegment {
    Any,
    Literal(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Glob(Box<GlobMatcher>),
}

impl PatternSegment {
    pub(super) fn literal(text: &str) -> Self {
        Self::Literal(text.into())
    }

    /// Compiles a part, in which `**` means the same as `*`.
    pub(super) fn compile(text: &str) -> Result<Self, PatternError> {
        if text.contains(['?', '[', '{', ',']) {
            return compile_glob(text);
        }
        let inner = text.trim_matches('*');
        Ok(match (text.starts_with('*'), text.ends_with('*')) {
            _ if inner.contains('*') => compile_glob(text)?,
            _ if inner.is_empty() => Self::Any,
            (false, false) => Self::Literal(inner.into()),
            (false, true) => Self::Prefix(inner.into()),
            (true, false) => Self::Suffix(inner.into()),
            (true, true) => Self::Contains(inner.into()),
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *text,
            Self::Prefix(start) => text.starts_with(&**start),
            Self::Suffix(end) => text.ends_with(&**end),
            Self::Contains(part) => text.contains(&**part),
            Self::Glob(glob) => glob.is_match(text),
        }
    }
}

fn compile_glob(text: &str) -> Result<PatternSegment, PatternError> {
    // globset gives a `**` between slashes a meaning of its own.
    let mut single = text.to_owned();
    while single.contains("**") {
        single = single.replace("**", "*");
    }
    let glob = GlobBuilder::new(&single)
        .literal_separator(true)
        .backslash_escape(false)
        .empty_alternates(true)
        .build()
        .map_err(|error| PatternError::Glob(error.kind().to_string()))?;
    Ok(PatternSegment::Glob(Box::new(glob.compile_matcher())))
}
