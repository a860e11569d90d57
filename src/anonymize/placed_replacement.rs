//! Where a replacement is in a message.

use std::ops::Range;

/// A replacement in a concealed message.
#[derive(Debug)]
pub(super) struct PlacedReplacement {
    pub(super) at: Range<usize>,
    /// The number of the term that was found there.
    pub(super) term: usize,
    /// The position of its rule in the rule set.
    pub(super) rule: usize,
}
