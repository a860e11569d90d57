//! Whether two patterns may cover the same tool.

use super::Pattern;

/// One token of a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GlobToken {
    /// This character.
    Letter(char),
    /// Any one character.
    AnyOne,
    /// Any run of characters.
    AnyRun,
}

impl Pattern {
    /// Whether some tool may be covered by both patterns. If that is hard to tell, the answer is yes: groups
    /// count as `*`, and a pattern without `/` covers everything.
    #[must_use]
    pub fn may_overlap(&self, other: &Self) -> bool {
        match (self.exact_tool(), other.exact_tool()) {
            (Some(tool), _) => other.matches(tool),
            (None, Some(tool)) => self.matches(tool),
            (None, None) => match (self.as_str().split_once('/'), other.as_str().split_once('/')) {
                (Some(one), Some(two)) => segments_overlap(one.0, two.0) && segments_overlap(one.1, two.1),
                _ => true,
            },
        }
    }
}

fn segments_overlap(one: &str, two: &str) -> bool {
    let (one, two) = (tokenize(one), tokenize(two));
    // `reached[at]`: some text matches both the tokens of `one` so far and the first `at` tokens of `two`.
    let mut reached = vec![false; two.len() + 1];
    reached[0] = true;
    // Before any token of `one`, only runs of `two` can match, because they match nothing too.
    for at in 0..two.len() {
        reached[at + 1] = reached[at] && two[at] == GlobToken::AnyRun;
    }
    for token in one {
        let before = reached.clone();
        reached[0] = before[0] && token == GlobToken::AnyRun;
        for at in 0..two.len() {
            reached[at + 1] = match (token, two[at]) {
                // A run matches nothing (keep `at`), or one more token of the other side.
                (GlobToken::AnyRun, _) | (_, GlobToken::AnyRun) => before[at + 1] || reached[at],
                (GlobToken::Letter(one), GlobToken::Letter(two)) => before[at] && one == two,
                (GlobToken::AnyOne, _) | (_, GlobToken::AnyOne) => before[at],
            };
        }
    }
    reached[two.len()]
}

/// The tokens of a part. From its first group on, the rest counts as a run.
fn tokenize(part: &str) -> Vec<GlobToken> {
    let mut tokens = Vec::with_capacity(part.len());
    for letter in part.chars() {
        tokens.push(match letter {
            '[' | '{' => {
                tokens.push(GlobToken::AnyRun);
                return tokens;
            }
            '*' => GlobToken::AnyRun,
            '?' => GlobToken::AnyOne,
            letter => GlobToken::Letter(letter),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ToolId;
    use proptest::prelude::*;

    fn patterns_overlap(one: &str, two: &str) -> bool {
        let (one, two): (Pattern, Pattern) = (one.parse().expect(one), two.parse().expect(two));
        assert_eq!(one.may_overlap(&two), two.may_overlap(&one), "{one} and {two}");
        one.may_overlap(&two)
    }

    #[test]
    fn patterns_that_share_no_name_do_not_meet() {
        for (one, two) in [
            ("github/*", "gitlab/*"),
            ("*/read_*", "*/write_*"),
            ("github/delete_repo", "github/read_*"),
            ("a/x?", "a/xyz*"),
            ("a/b", "a/c"),
            ("*/*_a", "*/*_b"),
            ("db[0-9]/get", "eb*/get"),
        ] {
            assert!(!patterns_overlap(one, two), "{one} and {two}");
        }
    }

    #[test]
    fn patterns_that_share_a_name_meet() {
        for (one, two) in [
            ("github/*", "*/delete_*"),
            ("*", "github/x"),
            ("git**issue", "github/*"),
            ("{a,b}/x", "b/x"),
            ("a/*b*", "a/c*d"),
            ("a/x?z", "a/*yz"),
            ("a/x[]y]z", "a/xyz"),
        ] {
            assert!(patterns_overlap(one, two), "{one} and {two}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// Two patterns that cover one name are never said to share none.
        #[test]
        fn what_both_cover_is_never_overlooked(
            one in "[ab*?]{1,3}/[ab*?]{1,5}", two in "[ab*?]{1,3}/[ab*?]{1,5}", name in "[ab]{1,3}/[ab]{1,5}"
        ) {
            let (one, two): (Pattern, Pattern) = (one.parse().expect("a pattern"), two.parse().expect("a pattern"));
            let name: ToolId = name.parse().expect("a name");
            prop_assert!(!(one.matches(&name) && two.matches(&name)) || one.may_overlap(&two));
        }
    }

    /// Over short names, what is said is exact as long as there are no groups.
    #[test]
    fn it_is_exact_where_there_are_no_groups() {
        let names: Vec<ToolId> = (1..=4_u32)
            .flat_map(|length| (0..2_u32.pow(length)).map(move |bits| (length, bits)))
            .map(|(length, bits)| {
                let tool: String =
                    (0..length).map(|at| if bits >> at & 1 == 1 { 'a' } else { 'b' }).collect();
                format!("s/{tool}").parse().expect("a name")
            })
            .collect();
        let parts = ["a*", "*a", "a?", "?b", "*ab*", "a*b", "??", "b*a*", "*", "ab", "???b"];
        for one in parts {
            for two in parts {
                let pair = [one, two].map(|part| format!("s/{part}").parse::<Pattern>().expect("a pattern"));
                let shared = names.iter().any(|name| pair.iter().all(|pattern| pattern.matches(name)));
                assert_eq!(pair[0].may_overlap(&pair[1]), shared, "{one} and {two}");
            }
        }
    }
}
