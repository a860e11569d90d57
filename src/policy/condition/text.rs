//! Globs and regular expressions over texts in arguments. Both must match the whole text.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// A compiled glob or regular expression. Matching takes time in proportion to the text.
#[derive(Clone)]
pub struct TextMatcher {
    kind: &'static str,
    text: String,
    regex: Regex,
}

impl TextMatcher {
    /// A glob: `*` is any run of characters except `/`, `**` any run, `?` one character except `/`. All other
    /// characters mean themselves.
    ///
    /// # Errors
    /// If it is too long to compile.
    pub fn glob(text: &str) -> Result<Self, regex::Error> {
        let mut regex = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (piece, length) = match c {
                '*' if rest.starts_with("**") => (".*".to_owned(), 2),
                '*' => ("[^/]*".to_owned(), 1),
                '?' => ("[^/]".to_owned(), 1),
                c => (regex::escape(c.encode_utf8(&mut [0; 4])), c.len_utf8()),
            };
            regex.push_str(&piece);
            rest = &rest[length..];
        }
        Self::compile("glob", text, &regex)
    }

    /// A regular expression in the syntax of the `regex` crate. `.` matches line ends too.
    ///
    /// # Errors
    /// If it isn't a valid expression.
    pub fn regex(text: &str) -> Result<Self, regex::Error> {
        // Compiled alone first: a text such as `a)|(b` would close our own group and be valid only inside it.
        Regex::new(text)?;
        Self::compile("regex", text, text)
    }

    fn compile(kind: &'static str, text: &str, regex: &str) -> Result<Self, regex::Error> {
        let whole = format!(r"\A(?:{regex})\z");
        let regex = RegexBuilder::new(&whole).dot_matches_new_line(true).build()?;
        Ok(Self { kind, text: text.to_owned(), regex })
    }

    /// The field by which it was written.
    pub(super) const fn field_name(&self) -> &'static str {
        self.kind
    }

    /// Whether it matches the whole text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for TextMatcher {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.text) == (other.kind, &other.text)
    }
}

impl Eq for TextMatcher {}

/// As it is written: the field's name and the text.
impl fmt::Display for TextMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.text)
    }
}

impl fmt::Debug for TextMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.kind).field(&self.text).finish()
    }
}
