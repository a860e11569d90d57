//! One part of a pattern: what stands before the `/`, or after it.

use globset::{GlobBuilder, GlobMatcher};

use super::PatternError;

/// A matcher for one part. The usual shapes take a comparison instead of a regular expression.
pub(super) enum Segment {
    Any,
    Literal(Box<str>),
    Starts(Box<str>),
    Ends(Box<str>),
    Holds(Box<str>),
    Glob(Box<GlobMatcher>),
}

impl Segment {
    pub(super) fn literal(text: &str) -> Self {
        Self::Literal(text.into())
    }

    /// Within a part `**` means what `*` means.
    pub(super) fn compile(text: &str) -> Result<Self, PatternError> {
        if text.contains(['?', '[', '{', ',']) {
            return glob(text);
        }
        let inner = text.trim_matches('*');
        Ok(match (text.starts_with('*'), text.ends_with('*')) {
            _ if inner.contains('*') => glob(text)?,
            _ if inner.is_empty() => Self::Any,
            (false, false) => Self::Literal(inner.into()),
            (false, true) => Self::Starts(inner.into()),
            (true, false) => Self::Ends(inner.into()),
            (true, true) => Self::Holds(inner.into()),
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *text,
            Self::Starts(start) => text.starts_with(&**start),
            Self::Ends(end) => text.ends_with(&**end),
            Self::Holds(part) => text.contains(&**part),
            Self::Glob(glob) => glob.is_match(text),
        }
    }
}

fn glob(text: &str) -> Result<Segment, PatternError> {
    // globset gives a `**` that stands alone between slashes a meaning of its own.
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
    Ok(Segment::Glob(Box::new(glob.compile_matcher())))
}
