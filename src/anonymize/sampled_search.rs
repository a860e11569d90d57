//! The first search: all occurrences of many values, at several gigabytes a second.
//!
//! Each occurrence of a value with at least *m* bytes covers a whole block of *b* bytes that begins at a
//! multiple of *m − b + 1*. So only those blocks are read. Each is folded, hashed and looked up in a small bit
//! set, and the hits are compared in full. No step depends on the one before it, so the processor can overlap
//! them.

use super::term::Term;

/// An occurrence of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TermMatch {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The value's number.
    pub(super) term: usize,
}

/// Finds all occurrences of its terms.
#[derive(Default)]
pub(super) struct TermFinder {
    terms: Vec<Term>,
    samplers: Vec<BlockSampler>,
}

impl TermFinder {
    pub(super) fn new(terms: Vec<Term>) -> Self {
        let mut samplers = Vec::new();
        let (long, short): (Vec<_>, Vec<_>) =
            terms.iter().enumerate().partition(|(_, term)| term.min_length() >= MIN_LONG_TERM_BYTES);
        let (short, shortest): (Vec<_>, Vec<_>) =
            short.into_iter().partition(|(_, term)| term.min_length() >= 3);
        for (group, block) in [(long, 4), (short, 3), (shortest, 2)] {
            if !group.is_empty() {
                samplers.push(BlockSampler::new(&group, block));
            }
        }
        Self { terms, samplers }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(super) fn term(&self, number: usize) -> &Term {
        &self.terms[number]
    }

    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Appends all occurrences to `found`, overlapping ones too, in no particular order.
    pub(super) fn find_all(&self, hay: &[u8], found: &mut Vec<TermMatch>) {
        for sampler in &self.samplers {
            sampler.find_all(&self.terms, hay, found);
        }
    }
}

/// Shorter values get a sampler of their own with smaller blocks, because they would slow the longer ones
/// down.
const MIN_LONG_TERM_BYTES: usize = 7;
/// A wider stride would cost more false hits of the bit set than it saves.
const MAX_STRIDE: usize = 12;

struct BlockSampler {
    stride: usize,
    block: usize,
    mask: u32,
    bits: Box<[u64]>,
    shift: u32,
    /// Where the entries of each bucket begin.
    firsts: Vec<u32>,
    entries: Vec<SampleEntry>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SampleEntry {
    bucket: u32,
    block: u32,
    term: u32,
    /// The character of the term at which the sampled window begins, and the bytes from there to the block.
    index: u32,
    offset: u32,
}

/// The bit that is the case of ASCII letters, in each byte of a block. Setting it also merges other bytes,
/// which the full comparison tells apart.
const CASE_BITS: u32 = 0x2020_2020;
const BUCKET_BITS: u32 = 12;

impl BlockSampler {
    fn new(terms: &[(usize, &Term)], block: usize) -> Self {
        let shortest = terms.iter().map(|(_, term)| term.min_length()).min().unwrap_or(block);
        // A value of `shortest` bytes holds `stride` blocks at consecutive offsets, so one of them begins at a
        // multiple of `stride`.
        let stride = (shortest.max(block) - block + 1).min(MAX_STRIDE);
        // Four little-endian bytes are read at once, and the mask drops those behind the block.
        let mask = u32::MAX >> (32 - 8 * block);
        let mut entries: Vec<SampleEntry> = Vec::new();
        for (number, term) in terms {
            // A window of this length has a block at each of the `stride` offsets, and any window of the term
            // will do. The one whose blocks are rarest in text causes the fewest comparisons.
            let index = rarest_window(term, stride + block - 1);
            for path in byte_paths(term, index, stride + block - 1) {
                for offset in 0..stride {
                    let block = load_block(&path, offset) & mask | CASE_BITS & mask;
                    let bucket = hash_block(block) >> (32 - BUCKET_BITS);
                    entries.push(SampleEntry {
                        bucket,
                        block,
                        term: u32::try_from(*number).unwrap_or(u32::MAX),
                        index: u32::try_from(index).unwrap_or(u32::MAX),
                        offset: u32::try_from(offset).unwrap_or(u32::MAX),
                    });
                }
            }
        }
        entries.sort_unstable();
        entries.dedup();
        // About one bit in 48 is set. The set has at most 2^18 bits, so it fits into the processor's first
        // cache.
        let width = (entries.len() * 48).next_power_of_two().trailing_zeros().clamp(12, 18);
        let mut bits = vec![0_u64; 1 << (width - 6)].into_boxed_slice();
        let mut firsts = vec![0_u32; (1 << BUCKET_BITS) + 1];
        for entry in &entries {
            let bit = (hash_block(entry.block) >> (32 - width)) as usize;
            bits[bit / 64] |= 1 << (bit % 64);
            firsts[entry.bucket as usize + 1] += 1;
        }
        // From counts to beginnings: the entries are sorted by bucket, and `firsts[b]..firsts[b + 1]` are
        // those of `b`.
        for bucket in 0..1 << BUCKET_BITS {
            firsts[bucket + 1] += firsts[bucket];
        }
        Self { stride, block, mask, bits, shift: 32 - width, firsts, entries }
    }

    fn find_all(&self, terms: &[Term], hay: &[u8], found: &mut Vec<TermMatch>) {
        let coarse = CASE_BITS & self.mask;
        let bits = &*self.bits;
        let mut next = 0;
        // Reads whole words while four bytes are left. The loop below loads the few blocks at the end
        // bytewise.
        for block in hay.windows(4).step_by(self.stride) {
            let block = u32::from_le_bytes([block[0], block[1], block[2], block[3]]) & self.mask | coarse;
            let bit = (hash_block(block) >> self.shift) as usize;
            if bits.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0) {
                self.compare_block(terms, hay, next, block, found);
            }
            next += self.stride;
        }
        while next + self.block <= hay.len() {
            self.compare_block(terms, hay, next, load_block(hay, next) & self.mask | coarse, found);
            next += self.stride;
        }
    }

    // Out of line and cold, so that the scanning loop stays tight.
    #[cold]
    #[inline(never)]
    fn compare_block(&self, terms: &[Term], hay: &[u8], at: usize, block: u32, found: &mut Vec<TermMatch>) {
        let bucket = (hash_block(block) >> (32 - BUCKET_BITS)) as usize;
        let entries = &self.entries[self.firsts[bucket] as usize..self.firsts[bucket + 1] as usize];
        for entry in entries.iter().filter(|entry| entry.block == block) {
            let term = entry.term as usize;
            if let Some(window) = at.checked_sub(entry.offset as usize)
                && let Some((start, end)) = terms[term].match_around(hay, window, entry.index as usize)
            {
                let hit = TermMatch { start, end, term };
                // Two spellings that fold to the same block would report the same occurrence twice.
                if found.last() != Some(&hit) {
                    found.push(hit);
                }
            }
        }
    }
}

const fn hash_block(block: u32) -> u32 {
    block.wrapping_mul(0x9E37_79B1)
}

fn load_block(bytes: &[u8], at: usize) -> u32 {
    let mut block = [0_u8; 4];
    for (to, from) in block.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    u32::from_le_bytes(block)
}

/// The character at which to sample: the window of `length` bytes from there has the rarest bytes.
fn rarest_window(term: &Term, length: usize) -> usize {
    let shortest: Vec<usize> = (0..term.chars().len())
        .map(|index| term.spellings_at(index).iter().map(|c| c.len_utf8()).min().unwrap_or(1))
        .collect();
    let mut left: usize = shortest.iter().sum();
    (0..term.chars().len())
        .take_while(|&index| {
            let fits = left >= length;
            left -= shortest[index];
            fits
        })
        .min_by_key(|&index| {
            let window = byte_paths(term, index, length);
            let common: u32 = window[0].iter().take(length).map(|byte| byte_frequency(*byte)).sum();
            // Rarity first, then the number of spellings, since each spelling adds entries.
            common * 64 + u32::try_from(window.len()).unwrap_or(u32::MAX / 2).min(63)
        })
        .unwrap_or(0)
}

// A rough rank of letters in English text and JSON. It steers speed only, never what is found.
fn byte_frequency(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 8,
        b'l' | b'd' | b'c' | b'u' | b'm' | b'h' | b'p' | b'"' | b'/' | b'.' => 6,
        b'f' | b'g' | b'y' | b'b' | b'w' | b'v' | b'k' | b'0' | b'1' | b'-' | b':' | b',' => 4,
        b'2'..=b'9' | b'_' => 3,
        0x80.. => 1,
        _ => 2,
    }
}

/// All byte sequences of at least `length` bytes, coarsely folded, that can follow from one of the term's
/// characters.
fn byte_paths(term: &Term, index: usize, length: usize) -> Vec<Vec<u8>> {
    let mut done = Vec::new();
    let mut open = vec![(index, Vec::new())];
    while let Some((index, bytes)) = open.pop() {
        if bytes.len() >= length || index >= term.chars().len() {
            done.push(bytes);
            continue;
        }
        let mut nexts: Vec<Vec<u8>> = Vec::new();
        for spelling in term.spellings_at(index) {
            let mut next = bytes.clone();
            next.extend(spelling.encode_utf8(&mut [0; 4]).bytes().map(|byte| byte | 0x20));
            if !nexts.contains(&next) {
                nexts.push(next);
            }
        }
        open.extend(nexts.into_iter().map(|next| (index + 1, next)));
    }
    done
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find_sorted(finder: &TermFinder, hay: &str) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        finder.find_all(hay.as_bytes(), &mut found);
        let mut found: Vec<_> = found.iter().map(|hit| (hit.start, hit.end, hit.term)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn find_naively(finder: &TermFinder, hay: &str) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        for (start, _) in hay.char_indices() {
            for (number, term) in finder.terms().iter().enumerate() {
                all.extend(term.match_end(hay.as_bytes(), start).map(|end| (start, end, number)));
            }
        }
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn it_finds_what_a_naive_search_finds(
            values in prop::collection::vec(("[abkKſé\u{212A}ß. ]{2,14}", any::<bool>()), 1..6),
            pieces in prop::collection::vec(("[abkKſÉ\u{212A}ẞ. ]{0,9}", any::<prop::sample::Index>(), any::<bool>()), 0..8),
        ) {
            let mut hay = String::new();
            for (noise, index, upper) in pieces {
                hay.push_str(&noise);
                let value = &values[index.index(values.len())].0;
                hay.push_str(&if upper { value.to_uppercase() } else { value.clone() });
            }
            let terms = values.iter().map(|(text, exact)| Term::new(0, text, *exact)).collect();
            let finder = TermFinder::new(terms);
            prop_assert_eq!(find_sorted(&finder, &hay), find_naively(&finder, &hay));
        }
    }
}
