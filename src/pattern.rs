//! The one glob matcher, over canonical names `server/tool`.
//!
//! `*` matches any run of characters except `/`, unless the whole pattern is `*`. `**` matches any run with
//! `/`, `?` one character except `/`, and `{a,b}` and `[a-z]` work as in globset. A pattern from an approval
//! is literal: it is made from a [`ToolId`], never parsed from text.

mod overlap;
mod segment;

use std::cmp::Reverse;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::{ServerName, ToolId};
use segment::PatternSegment;

/// The most characters of a pattern.
pub const MAX_PATTERN_LENGTH: usize = 512;

/// A checked pattern over canonical names, with its matcher. Cheap to clone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Arc<CompiledPattern>);

struct CompiledPattern {
    text: String,
    specificity: Specificity,
    exact: Option<ToolId>,
    /// The pairs of server and tool that it covers.
    alternatives: Vec<(PatternSegment, PatternSegment)>,
}

/// How specific a pattern is. The greater wins.
///
/// Patterns are compared by these points, in this order, until one differs:
/// 1. an exact name is more specific than any pattern with a wildcard;
/// 2. a literal tool is more than one with a wildcard, then more literal characters in the tool;
/// 3. a literal server is more than one with a wildcard, then more literal characters in the server;
/// 4. fewer wildcards.
///
/// The tool comes first because the danger lies there: `*/delete_*` outweighs `github/*`, however long a
/// server's name is. Characters inside `[…]` and `{…}` aren't literal, and each such group counts as one
/// wildcard, like `*`, `**` and `?`. In a pattern without `/`, every literal character counts for the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Specificity {
    exact: bool,
    literal_tool: bool,
    tool: usize,
    literal_server: bool,
    server: usize,
    wildcards: Reverse<usize>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty.
    #[error("a pattern must not be empty")]
    Empty,
    /// It is too long.
    #[error("a pattern has at most {MAX_PATTERN_LENGTH} characters")]
    TooLong,
    /// It lacks the server or the tool, so it would never match.
    #[error("a pattern needs a `/` between server and tool; did you mean {hint}?")]
    NoSlash {
        /// The likely meanings, each in backquotes.
        hint: String,
    },
    /// It holds more than one `/`, so it would never match.
    #[error(
        "names are `server/tool` with one `/`, so a pattern with {0} of them never matches; one in a tool's own name is written `%2F`"
    )]
    TooManySlashes(usize),
    /// The part before or after the `/` is empty.
    #[error("the {0} is missing; `*` stands for any {0}")]
    MissingPart(&'static str),
    /// It holds a character that no name holds.
    #[error("no name holds {0:?}, so this pattern never matches")]
    Character(char),
    /// A group isn't closed, or holds a `/`.
    #[error("{0}")]
    Group(&'static str),
    /// It isn't a valid glob.
    #[error("not a glob: {0}")]
    Glob(String),
}

impl Pattern {
    /// Whether it covers this tool.
    #[must_use]
    pub fn matches(&self, tool: &ToolId) -> bool {
        self.0
            .alternatives
            .iter()
            .any(|(server, name)| server.matches(tool.server.as_str()) && name.matches(tool.tool.as_str()))
    }

    /// Whether it names exactly one tool.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.0.exact.is_some()
    }

    /// The one tool that it names, if it does.
    #[must_use]
    pub fn exact_tool(&self) -> Option<&ToolId> {
        self.0.exact.as_ref()
    }

    /// The one server that it names, if it does.
    #[must_use]
    pub fn server(&self) -> Option<ServerName> {
        let (server, _) = self.0.text.split_once('/')?;
        server.parse().ok()
    }

    /// How specific it is.
    #[must_use]
    pub fn specificity(&self) -> Specificity {
        self.0.specificity
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl Pattern {
    /// Every tool and operation of a server.
    ///
    /// # Panics
    /// Never: a server's name has no character that a pattern reads as something else.
    #[must_use]
    pub fn every_tool_of(server: &ServerName) -> Self {
        format!("{server}/*").parse().expect("a server's name is literal in a pattern")
    }
}

impl From<&ToolId> for Pattern {
    fn from(tool: &ToolId) -> Self {
        let (server, name) = (tool.server.as_str(), tool.tool.as_str());
        Self(Arc::new(CompiledPattern {
            text: tool.to_string(),
            specificity: Specificity {
                exact: true,
                literal_tool: true,
                tool: name.len(),
                literal_server: true,
                server: server.len(),
                wildcards: Reverse(0),
            },
            exact: Some(tool.clone()),
            alternatives: vec![(PatternSegment::literal(server), PatternSegment::literal(name))],
        }))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        // A plain name is tried first, so that it becomes an exact pattern and not a glob without wildcards.
        check_characters(text)?;
        if let Ok(tool) = text.parse::<ToolId>() {
            return Ok(Self::from(&tool));
        }
        let parts = split_at_slashes(text)?;
        let any_of = match parts[..] {
            [whole] => compile_without_slash(whole)?,
            [server, tool] => {
                if server.is_empty() {
                    return Err(PatternError::MissingPart("server"));
                }
                if tool.is_empty() {
                    return Err(PatternError::MissingPart("tool"));
                }
                vec![(PatternSegment::compile(server)?, PatternSegment::compile(tool)?)]
            }
            _ => return Err(PatternError::TooManySlashes(parts.len() - 1)),
        };
        let specificity = Specificity::from_parts(&parts);
        Ok(Self(Arc::new(CompiledPattern {
            text: text.to_owned(),
            specificity,
            exact: None,
            alternatives: any_of,
        })))
    }
}

fn check_characters(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > MAX_PATTERN_LENGTH {
        return Err(PatternError::TooLong);
    }
    // The characters of names, plus those of globs. Any other would make a pattern that silently never
    // matches.
    let known = |c: char| c.is_ascii_alphanumeric() || "_-.:%~/*?[]{},!^".contains(c);
    match text.chars().find(|c| !known(*c)) {
        Some(bad) => Err(PatternError::Character(bad)),
        None => Ok(()),
    }
}

/// Splits at each `/`. Refuses one inside a group, where the split would cut the group in two.
fn split_at_slashes(text: &str) -> Result<Vec<&str>, PatternError> {
    let mut parts = Vec::with_capacity(2);
    let (mut start, mut braces, mut in_class) = (0, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '[' if !in_class => in_class = true,
            ']' => in_class = false,
            '{' if !in_class => braces += 1,
            '}' if !in_class => {
                braces = braces.checked_sub(1).ok_or(PatternError::Group("`}` without its `{`"))?;
            }
            '/' if in_class || braces > 0 => {
                return Err(PatternError::Group("a `/` may not be inside `[…]` or `{…}`"));
            }
            '/' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if in_class || braces > 0 {
        return Err(PatternError::Group("a `[` or `{` is not closed"));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

/// Compiles a pattern without `/`. Every name holds exactly one `/`, so one of the `**` must match it; each is
/// tried.
fn compile_without_slash(text: &str) -> Result<Vec<(PatternSegment, PatternSegment)>, PatternError> {
    if text == "*" {
        return Ok(vec![(PatternSegment::Any, PatternSegment::Any)]);
    }
    // Both halves keep a `*` of the `**`, because it may match more than the `/`.
    let splits = text.match_indices("**").map(|(at, _)| (&text[..at + 1], &text[at + 1..]));
    let any_of = splits
        .map(|(server, tool)| Ok((PatternSegment::compile(server)?, PatternSegment::compile(tool)?)))
        .collect::<Result<Vec<_>, PatternError>>()?;
    if any_of.is_empty() {
        let hint = match text.contains('*') {
            true => format!("`*/{text}`"),
            false => format!("`{text}/*` or `*/{text}`"),
        };
        return Err(PatternError::NoSlash { hint });
    }
    Ok(any_of)
}

impl Specificity {
    fn from_parts(parts: &[&str]) -> Self {
        let count = |text: &str| {
            let (mut literal, mut wildcards, mut group, mut star) = (0, 0, 0_usize, false);
            for c in text.chars() {
                match c {
                    '[' | '{' => {
                        wildcards += usize::from(group == 0);
                        group += 1;
                    }
                    ']' | '}' => group = group.saturating_sub(1),
                    // `**` counts as one wildcard, so a run of stars is counted at its first.
                    '*' if group == 0 => wildcards += usize::from(!star),
                    '?' if group == 0 => wildcards += 1,
                    _ if group == 0 => literal += 1,
                    _ => {}
                }
                star = c == '*';
            }
            (literal, wildcards)
        };
        let (server, tool) = match parts {
            // Without `/` the server is one wildcard without literal characters.
            [server, tool] => (count(server), count(tool)),
            _ => ((0, 1), count(parts.first().copied().unwrap_or_default())),
        };
        Self {
            exact: false,
            literal_tool: tool.1 == 0,
            tool: tool.0,
            literal_server: server.1 == 0,
            server: server.0,
            wildcards: Reverse(server.1 + tool.1),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.text.clone()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn tool(text: &str) -> ToolId {
        text.parse().expect("a canonical name")
    }

    #[test]
    fn a_star_does_not_cross_the_slash_except_alone() {
        assert!(pattern("*").matches(&tool("github/create_issue")));
        assert!(pattern("github/*").matches(&tool("github/create_issue")));
        assert!(pattern("*/delete_*").matches(&tool("github/delete_repo")));
        assert!(!pattern("git*/issue").matches(&tool("github/create_issue")));
        assert!(!pattern("github/*").matches(&tool("gitlab/create_issue")));
        assert!(pattern("*/resources:*").matches(&tool("github/resources:read")));
    }

    #[test]
    fn two_stars_cross_it() {
        assert!(pattern("**").matches(&tool("github/create_issue")));
        assert!(pattern("git**issue").matches(&tool("github/create_issue")));
        assert!(pattern("**delete**").matches(&tool("github/delete_repo")));
        assert!(pattern("**delete**").matches(&tool("deleter/run")));
        assert!(!pattern("**delete**").matches(&tool("github/create")));
        assert!(pattern("github/**").matches(&tool("github/create_issue")));
    }

    #[test]
    fn groups_work_within_a_part() {
        assert!(pattern("{github,gitlab}/read_*").matches(&tool("gitlab/read_file")));
        assert!(!pattern("{github,gitlab}/read_*").matches(&tool("bitbucket/read_file")));
        assert!(pattern("db[0-9]/get?").matches(&tool("db7/gets")));
        assert!(!pattern("db[!0-9]/get?").matches(&tool("db7/gets")));
    }

    #[test]
    fn a_pattern_that_never_matches_is_an_error_that_says_why() {
        let why = |text: &str| text.parse::<Pattern>().expect_err(text).to_string();
        insta::assert_snapshot!(
            ["", "github", "delete_*", "a/b/c", "/x", "x/", "github/create issue", "a/{b", "a/b}", "{a/b}", "a/[z-a]", "Ａ/b"]
                .map(|text| format!("{text:20} {}", why(text)))
                .join("\n"),
            @r"
                             a pattern must not be empty
        github               a pattern needs a `/` between server and tool; did you mean `github/*` or `*/github`?
        delete_*             a pattern needs a `/` between server and tool; did you mean `*/delete_*`?
        a/b/c                names are `server/tool` with one `/`, so a pattern with 2 of them never matches; one in a tool's own name is written `%2F`
        /x                   the server is missing; `*` stands for any server
        x/                   the tool is missing; `*` stands for any tool
        github/create issue  no name holds ' ', so this pattern never matches
        a/{b                 a `[` or `{` is not closed
        a/b}                 `}` without its `{`
        {a/b}                a `/` may not be inside `[…]` or `{…}`
        a/[z-a]              not a glob: invalid range; 'z' > 'a'
        Ａ/b                  no name holds 'Ａ', so this pattern never matches
        "
        );
    }

    #[test]
    fn the_tool_weighs_more_than_the_server() {
        let ordered = [
            "github/delete_repo",
            "*/delete_repo",
            "github/delete_*",
            "*/delete_*",
            "**delete**",
            "a-server-with-a-long-name/*",
            "github/*",
            "git*/*",
            "*",
        ];
        for pair in ordered.windows(2) {
            assert!(
                pattern(pair[0]).specificity() > pattern(pair[1]).specificity(),
                "{} outweighs {}",
                pair[0],
                pair[1]
            );
        }
    }

    #[test]
    fn it_goes_through_serde_as_text_and_is_checked_again() {
        let json = serde_json::to_string(&pattern("github/*")).expect("text");
        assert_eq!(json, r#""github/*""#);
        assert_eq!(serde_json::from_str::<Pattern>(&json).expect("a pattern"), pattern("github/*"));
        assert!(serde_json::from_str::<Pattern>(r#""github""#).is_err());
    }

    #[test]
    fn a_pattern_from_a_tool_is_that_tool_and_no_other() {
        let one = Pattern::from(&tool("github/create_issue"));
        assert!(one.is_exact() && one.matches(&tool("github/create_issue")));
        assert!(!one.matches(&tool("github/create_issue2")));
        assert_eq!(one, pattern("github/create_issue"));
        assert!(pattern("github/create_issue").is_exact());
    }

    proptest! {
        /// The short cuts for simple shapes say what globset says.
        #[test]
        fn short_cuts_agree_with_globset(
            server in "[ab*]{1,4}", name in "[ab*]{1,5}", on in "[ab]{1,4}", called in "[ab]{1,5}"
        ) {
            let text = format!("{server}/{name}");
            let glob = globset::GlobBuilder::new(&text).literal_separator(true).build().expect("a glob");
            let id = tool(&format!("{on}/{called}"));
            // globset takes a lone `**` part for any number of directories, which names do not have.
            prop_assume!(!text.contains("**"));
            prop_assert_eq!(pattern(&text).matches(&id), glob.compile_matcher().is_match(id.to_string()));
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(text in "\\PC{0,30}") {
            let _ = text.parse::<Pattern>();
        }
    }
}
