//! The first search: all occurrences of many values, at several gigabytes a second.
//!
//! Every occurrence of a value with at least *m* bytes covers a whole block of *b* bytes that begins at a
//! multiple of *m − b + 1*. So only those blocks are looked at: each is folded, hashed and asked for in a
//! small bit set, and what is in it is compared for real. No step waits for the one before it.

use super::needle::Needle;

/// An occurrence of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The number of the needle.
    pub(super) needle: usize,
}

/// Finds values.
#[derive(Default)]
pub(super) struct Finder {
    needles: Vec<Needle>,
    samplers: Vec<Sampler>,
}

impl Finder {
    pub(super) fn new(needles: Vec<Needle>) -> Self {
        let mut samplers = Vec::new();
        let (long, short): (Vec<_>, Vec<_>) =
            needles.iter().enumerate().partition(|(_, needle)| needle.shortest() >= LONG);
        for (group, block) in [(long, 4), (short, 3)] {
            if !group.is_empty() {
                samplers.push(Sampler::new(&group, block));
            }
        }
        Self { needles, samplers }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    pub(super) fn needle(&self, number: usize) -> &Needle {
        &self.needles[number]
    }

    pub(super) fn needles(&self) -> &[Needle] {
        &self.needles
    }

    /// All occurrences, also those that overlap, in no order.
    pub(super) fn all(&self, hay: &[u8], found: &mut Vec<Found>) {
        for sampler in &self.samplers {
            sampler.all(&self.needles, hay, found);
        }
    }
}

/// Values with fewer bytes are sampled in smaller blocks, apart from the longer ones, which they would slow.
const LONG: usize = 7;
/// A wider stride would cost more in hits of the bit set than it spares.
const WIDEST: usize = 12;

struct Sampler {
    stride: usize,
    block: usize,
    mask: u32,
    bits: Box<[u64]>,
    shift: u32,
    /// Where the entries of each bucket begin.
    firsts: Vec<u32>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    bucket: u32,
    block: u32,
    needle: u32,
    /// The character of the needle at which the sampled window begins, and the bytes from there to the block.
    index: u32,
    offset: u32,
}

/// The letters' case, and more: it only has to lose what case loses.
const COARSE: u32 = 0x2020_2020;
const BUCKETS: u32 = 12;

impl Sampler {
    fn new(needles: &[(usize, &Needle)], block: usize) -> Self {
        let shortest = needles.iter().map(|(_, needle)| needle.shortest()).min().unwrap_or(block);
        let stride = (shortest.max(block) - block + 1).min(WIDEST);
        let mask = if block == 4 { u32::MAX } else { 0x00FF_FFFF };
        let mut entries: Vec<Entry> = Vec::new();
        for (number, needle) in needles {
            let index = rarest_window(needle, stride + block - 1);
            for path in paths(needle, index, stride + block - 1) {
                for offset in 0..stride {
                    let block = load(&path, offset) & mask | COARSE & mask;
                    let bucket = hash(block) >> (32 - BUCKETS);
                    entries.push(Entry {
                        bucket,
                        block,
                        needle: u32::try_from(*number).unwrap_or(u32::MAX),
                        index: u32::try_from(index).unwrap_or(u32::MAX),
                        offset: u32::try_from(offset).unwrap_or(u32::MAX),
                    });
                }
            }
        }
        entries.sort_unstable();
        entries.dedup();
        let width = (entries.len() * 48).next_power_of_two().trailing_zeros().clamp(12, 18);
        let mut bits = vec![0_u64; 1 << (width - 6)].into_boxed_slice();
        let mut firsts = vec![0_u32; (1 << BUCKETS) + 1];
        for entry in &entries {
            let bit = (hash(entry.block) >> (32 - width)) as usize;
            bits[bit / 64] |= 1 << (bit % 64);
            firsts[entry.bucket as usize + 1] += 1;
        }
        for bucket in 0..1 << BUCKETS {
            firsts[bucket + 1] += firsts[bucket];
        }
        Self { stride, block, mask, bits, shift: 32 - width, firsts, entries }
    }

    fn all(&self, needles: &[Needle], hay: &[u8], found: &mut Vec<Found>) {
        let coarse = COARSE & self.mask;
        let bits = &*self.bits;
        let mut next = 0;
        for block in hay.windows(4).step_by(self.stride) {
            let block = u32::from_le_bytes([block[0], block[1], block[2], block[3]]) & self.mask | coarse;
            let bit = (hash(block) >> self.shift) as usize;
            if bits.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0) {
                self.compare(needles, hay, next, block, found);
            }
            next += self.stride;
        }
        while next + self.block <= hay.len() {
            self.compare(needles, hay, next, load(hay, next) & self.mask | coarse, found);
            next += self.stride;
        }
    }

    #[cold]
    #[inline(never)]
    fn compare(&self, needles: &[Needle], hay: &[u8], at: usize, block: u32, found: &mut Vec<Found>) {
        let bucket = (hash(block) >> (32 - BUCKETS)) as usize;
        let entries = &self.entries[self.firsts[bucket] as usize..self.firsts[bucket + 1] as usize];
        for entry in entries.iter().filter(|entry| entry.block == block) {
            let needle = entry.needle as usize;
            if let Some(window) = at.checked_sub(entry.offset as usize)
                && let Some((start, end)) = needles[needle].around(hay, window, entry.index as usize)
            {
                let hit = Found { start, end, needle };
                // Two spellings that differ only in bits that are folded away give the same occurrence.
                if found.last() != Some(&hit) {
                    found.push(hit);
                }
            }
        }
    }
}

const fn hash(block: u32) -> u32 {
    block.wrapping_mul(0x9E37_79B1)
}

fn load(bytes: &[u8], at: usize) -> u32 {
    let mut block = [0_u8; 4];
    for (to, from) in block.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    u32::from_le_bytes(block)
}

/// The character at which the window of `length` bytes begins whose blocks are the least common in text.
fn rarest_window(needle: &Needle, length: usize) -> usize {
    let shortest: Vec<usize> = (0..needle.chars().len())
        .map(|index| needle.spellings(index).iter().map(|c| c.len_utf8()).min().unwrap_or(1))
        .collect();
    (0..needle.chars().len())
        .filter(|&index| shortest[index..].iter().sum::<usize>() >= length)
        .min_by_key(|&index| {
            let window = paths(needle, index, length);
            let common: u32 = window[0].iter().take(length).map(|byte| commonness(*byte)).sum();
            common * 64 + u32::try_from(window.len()).unwrap_or(u32::MAX / 2).min(63)
        })
        .unwrap_or(0)
}

fn commonness(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 8,
        b'l' | b'd' | b'c' | b'u' | b'm' | b'h' | b'p' | b'"' | b'/' | b'.' => 6,
        b'f' | b'g' | b'y' | b'b' | b'w' | b'v' | b'k' | b'0' | b'1' | b'-' | b':' | b',' => 4,
        b'2'..=b'9' | b'_' => 3,
        0x80.. => 1,
        _ => 2,
    }
}

/// Every sequence of at least `length` bytes in which the needle can go on from one of its characters,
/// folded coarsely.
fn paths(needle: &Needle, index: usize, length: usize) -> Vec<Vec<u8>> {
    let mut done = Vec::new();
    let mut open = vec![(index, Vec::new())];
    while let Some((index, bytes)) = open.pop() {
        if bytes.len() >= length || index >= needle.chars().len() {
            done.push(bytes);
            continue;
        }
        let mut nexts: Vec<Vec<u8>> = Vec::new();
        for spelling in needle.spellings(index) {
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

    fn found(finder: &Finder, hay: &str) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        finder.all(hay.as_bytes(), &mut found);
        let mut found: Vec<_> = found.iter().map(|hit| (hit.start, hit.end, hit.needle)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn naive(finder: &Finder, hay: &str) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        for (start, _) in hay.char_indices() {
            for (number, needle) in finder.needles().iter().enumerate() {
                all.extend(needle.ends(hay.as_bytes(), start).map(|end| (start, end, number)));
            }
        }
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn it_finds_what_a_naive_search_finds(
            values in prop::collection::vec(("[abkKſé\u{212A}ß. ]{3,14}", any::<bool>()), 1..6),
            pieces in prop::collection::vec(("[abkKſÉ\u{212A}ẞ. ]{0,9}", any::<prop::sample::Index>(), any::<bool>()), 0..8),
        ) {
            let mut hay = String::new();
            for (noise, index, upper) in pieces {
                hay.push_str(&noise);
                let value = &values[index.index(values.len())].0;
                hay.push_str(&if upper { value.to_uppercase() } else { value.clone() });
            }
            let needles = values.iter().map(|(text, exact)| Needle::new(0, text, *exact)).collect();
            let finder = Finder::new(needles);
            prop_assert_eq!(found(&finder, &hay), naive(&finder, &hay));
        }
    }
}
