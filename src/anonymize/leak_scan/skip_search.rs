//! A search for several texts that skips ahead: Horspool's method, by blocks of three bytes.

use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::super::term::WordEdges;

/// A search for several texts that skips ahead.
#[derive(Default)]
pub(super) struct SkipSearch {
    /// Texts too short for skipping.
    short: Option<AhoCorasick>,
    short_edges: Vec<WordEdges>,
    long: Vec<(Vec<u8>, WordEdges)>,
    any_case: bool,
    shortest: usize,
    /// For each block's slot, how far the search may skip.
    shifts: Vec<u8>,
    /// The slot at which a text must be compared, with the text's number, sorted.
    ends: Vec<(usize, usize)>,
}

const MIN_SKIP_LENGTH: usize = 6;
const BLOCK_BYTES: usize = 3;
const SHIFT_TABLE_SIZE: usize = 1 << 14;

/// Whether an occurrence of a text with these edges counts.
type Counts<'a> = dyn FnMut(Range<usize>, WordEdges) -> bool + 'a;

impl SkipSearch {
    pub(super) fn new(texts: Vec<(String, WordEdges)>, any_case: bool) -> Self {
        let (long, short): (Vec<_>, Vec<_>) =
            texts.into_iter().partition(|(text, _)| text.len() >= MIN_SKIP_LENGTH);
        let (short, short_edges): (Vec<_>, Vec<_>) = short.into_iter().unzip();
        let short = (!short.is_empty())
            .then(|| AhoCorasick::builder().ascii_case_insensitive(any_case).build(&short))
            .transpose()
            .expect("a few short texts make a small automaton");
        let long: Vec<_> = long.into_iter().map(|(text, edges)| (text.into_bytes(), edges)).collect();
        // At most 200, so that every shift fits into a byte.
        let shortest = long.iter().map(|(text, _)| text.len()).min().unwrap_or(0).min(200);
        let (shifts, ends) = (Vec::new(), Vec::new());
        let mut search = Self { short, short_edges, long, any_case, shortest, shifts, ends };
        if shortest > 0 {
            search.shifts =
                vec![u8::try_from(shortest - BLOCK_BYTES + 1).unwrap_or(u8::MAX); SHIFT_TABLE_SIZE];
            for (number, (text, _)) in search.long.iter().enumerate() {
                // As in Horspool's search, all texts count by their first `shortest` bytes. The block at the
                // end of the window tells how far the window can move before that block could be part of a
                // text. 0 means compare.
                for (start, block) in text[..shortest].windows(BLOCK_BYTES).enumerate() {
                    let slot = block_slot(block);
                    let shift = u8::try_from(shortest - BLOCK_BYTES - start).unwrap_or(u8::MAX);
                    search.shifts[slot] = search.shifts[slot].min(shift);
                    if shift == 0 {
                        search.ends.push((slot, number));
                    }
                }
            }
            search.ends.sort_unstable();
        }
        search
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.short.is_none() && self.long.is_empty()
    }

    // Short texts have an automaton of their own: one of them would shrink every skip of the long ones.
    pub(super) fn any_match(&self, text: &[u8], counts: &mut Counts<'_>) -> bool {
        if let Some(short) = &self.short
            && short
                .find_overlapping_iter(text)
                .any(|hit| counts(hit.range(), self.short_edges[hit.pattern().as_usize()]))
        {
            return true;
        }
        self.shortest > 0 && self.any_long_match(text, counts)
    }

    fn any_long_match(&self, text: &[u8], counts: &mut Counts<'_>) -> bool {
        let shifts: &[u8; SHIFT_TABLE_SIZE] =
            self.shifts.as_slice().try_into().expect("the table has its size");
        let mut at = 0;
        if text.len() > 4096 {
            // Four places at once: each step waits for the one before it, but not for the other places'. The loop ends
            // with the first lane that is done; the others go on alone below, the last of them to the end of the text.
            let part = (text.len() - self.shortest) / 4;
            let mut ends = [0, 1, 2, 3].map(|lane| lane * part + self.shortest);
            let limits = ends.map(|end| end + part);
            while ends[0] < limits[0] && ends[1] < limits[1] && ends[2] < limits[2] && ends[3] < limits[3] {
                for end in &mut ends {
                    match shifts[block_slot(&text[*end - BLOCK_BYTES..*end])] {
                        0 => {
                            if self.matches_at_end(text, *end, counts) {
                                return true;
                            }
                            *end += 1;
                        }
                        shift => *end += usize::from(shift),
                    }
                }
            }
            // Not the last one: its rest and the bytes that four equal parts leave over are one stretch.
            for lane in 0..3 {
                if self.search_range(shifts, text, ends[lane]..limits[lane], counts) {
                    return true;
                }
            }
            at = ends[3] - self.shortest;
        }
        self.search_range(shifts, text, at + self.shortest..text.len() + 1, counts)
    }

    /// Looks for texts whose first `shortest` bytes end within a range.
    fn search_range(
        &self,
        shifts: &[u8; SHIFT_TABLE_SIZE],
        text: &[u8],
        mut ends: Range<usize>,
        counts: &mut Counts<'_>,
    ) -> bool {
        while ends.start < ends.end {
            match shifts[block_slot(&text[ends.start - BLOCK_BYTES..ends.start])] {
                0 => {
                    if self.matches_at_end(text, ends.start, counts) {
                        return true;
                    }
                    ends.start += 1;
                }
                shift => ends.start += usize::from(shift),
            }
        }
        false
    }

    // Out of line, so that the loops that call it stay small enough for the registers.
    #[cold]
    #[inline(never)]
    fn matches_at_end(&self, text: &[u8], end: usize, counts: &mut Counts<'_>) -> bool {
        let start = end - self.shortest;
        let slot = block_slot(&text[end - BLOCK_BYTES..end]);
        let first = self.ends.partition_point(|(other, _)| *other < slot);
        self.ends[first..].iter().take_while(|(other, _)| *other == slot).any(|(_, number)| {
            let (wanted, edges) = &self.long[*number];
            text.get(start..start + wanted.len()).is_some_and(|found| {
                (found == wanted.as_slice() || (self.any_case && found.eq_ignore_ascii_case(wanted)))
                    && counts(start..start + wanted.len(), *edges)
            })
        })
    }
}

/// Five bits of a letter leave its case out, so blocks that differ only in case share a slot. Other blocks may
/// share one too, because a slot only says where to compare.
fn block_slot(block: &[u8]) -> usize {
    let low = |at: usize| usize::from(block[at] & 0x1F);
    ((low(0) << 9) ^ (low(1) << 5) ^ low(2)) & (SHIFT_TABLE_SIZE - 1)
}
