//! Where a replacement is in a message, and where its value was.

use std::ops::Range;

/// A replacement in a concealed message.
#[derive(Debug)]
pub(super) struct PlacedReplacement {
    pub(super) at: Range<usize>,
    /// Where the value was in the text that was rewritten.
    pub(super) source: Range<usize>,
    /// The number of the term that was found there.
    pub(super) term: usize,
    /// The position of its rule in the rule set.
    pub(super) rule: usize,
}

/// A value that was replaced, as the whole message had it.
#[derive(Debug)]
pub(super) struct ReplacedValue {
    /// Where it was in the message; in a file, where that file is.
    pub(super) source: Range<usize>,
    /// The position of its rule in the rule set.
    pub(super) rule: usize,
    pub(super) found: FoundAs,
    /// Whether it was in the text of a file in base64.
    pub(super) is_in_file: bool,
}

/// How a value was found.
#[derive(Debug, Clone, Copy)]
pub(super) enum FoundAs {
    /// In plain text or escaped as JSON, by the number of its term.
    Term(usize),
    /// In an encoding of everyday tools, by its name.
    Encoded(&'static str),
}

/// The place in a source of a place in what was made of it by these replacements, which are in order. No replacement may
/// overlap the place.
pub(super) fn source_of(at: &Range<usize>, placed: &[PlacedReplacement]) -> Range<usize> {
    let before = placed.partition_point(|placed| placed.at.end <= at.start);
    let shift = |place: usize| match before.checked_sub(1).map(|last| &placed[last]) {
        Some(last) => place - last.at.end + last.source.end,
        None => place,
    };
    shift(at.start)..shift(at.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_behind_replacements_of_other_lengths() {
        let placed = [(2..4, 2..8), (10..20, 14..15)].map(|(at, source)| PlacedReplacement {
            at,
            source,
            term: 0,
            rule: 0,
        });
        assert_eq!(source_of(&(0..2), &placed), 0..2);
        assert_eq!(source_of(&(4..6), &placed), 8..10);
        assert_eq!(source_of(&(21..22), &placed), 16..17);
    }
}
