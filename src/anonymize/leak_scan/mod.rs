//! The leak scan (guarantee N5): a second search for values in an outgoing message.
//!
//! It shares no search, no decoder and no JSON reader with the first pass, so one fault can't blind both. First it skips
//! through the raw bytes. Where an encoding could hide a value, it reads the strings as a reader would who undoes one
//! encoding after another, in several orders ([`decoders`], [`packed`]), and searches the [`skeleton`] of each reading.
//!
//! A value that arises where two replacements meet is plain text here, and is found like any other. So is one that goes
//! over the border of two text blocks.

mod bytes;
mod decoders;
mod json_strings;
mod packed;
mod skeleton;
mod skip_search;
mod suspicion;
mod word_edges;

use std::ops::Range;

use aho_corasick::AhoCorasick;

use self::decoders::{Kinds, decode_layer};
use self::json_strings::{decode_string, read_scalars, scalar_around, text_blocks};
use self::packed::{Unpacked, is_in_packed_data, may_hold_run, unpack};
use self::skeleton::skeleton;
use self::skip_search::SkipSearch;
use self::suspicion::Suspicion;
use self::word_edges::{CUT, is_word};
use super::protocol_words::{KEYS, VALUES};
use super::term::{Term, WordEdges};

/// Searches for values that must not leave.
#[derive(Default)]
pub(super) struct LeakScan {
    /// The values as they are.
    plain: ValueSearch,
    /// Their skeletons, searched in skeletons.
    skeletons: ValueSearch,
    /// The values whose skeleton says too little, as they are.
    verbatim: ValueSearch,
    suspicion: Suspicion,
    /// The bytes of the longest value.
    longest: usize,
}

/// A text with more layers of one kind of escapes than this counts as a leak: honest texts have a handful.
const MAX_ESCAPE_LAYERS: usize = 24;
/// How often base64 or hex is undone, one in the other.
const MAX_UNPACKED: usize = 2;
/// The bytes that are read for each byte of a message, and for any message. A message that needs more counts as a leak:
/// the layers of honest texts are few.
const MAX_READ_PER_BYTE: usize = 48;
const MIN_READ_LIMIT: usize = 1 << 20;
/// A skeleton of fewer bytes would be found everywhere.
const MIN_SKELETON_BYTES: usize = 3;
/// The fewest bytes of a value that binary data doesn't hold by chance, where case counts and where it doesn't.
const MIN_BYTES_IN_BINARY: usize = 6;
const MIN_FOLDED_BYTES_IN_BINARY: usize = 8;

impl LeakScan {
    /// Takes the values, and what replaces them.
    pub(super) fn new<'a>(terms: &[Term], replacements: impl Iterator<Item = &'a str>) -> Self {
        let values: Vec<Value> =
            terms.iter().map(|term| (term.text().to_owned(), term.is_folded(), term.edges())).collect();
        let skeletons: Vec<Value> =
            values.iter().map(|(text, folded, edges)| (skeleton(text, *folded), *folded, *edges)).collect();
        // A replacement whose skeleton holds a value's would be taken for that value in every message.
        let shown: Vec<[String; 2]> =
            replacements.map(|text| [false, true].map(|folded| skeleton(text, folded))).collect();
        let held = held_texts(&skeletons, &shown);
        let is_usable = |number: usize| skeletons[number].0.len() >= MIN_SKELETON_BYTES && !held[number];
        let (usable, unusable): (Vec<usize>, Vec<usize>) =
            (0..values.len()).partition(|number| is_usable(*number));
        // A message may also hold the skeleton itself, without any sign that it was another spelling.
        let spelled = usable.iter().filter(|number| skeletons[**number].0 != values[**number].0);
        let spelled = spelled.map(|number| skeletons[*number].clone());
        Self {
            plain: ValueSearch::new(values.iter().cloned().chain(spelled)),
            skeletons: ValueSearch::new(usable.iter().map(|number| skeletons[*number].clone())),
            verbatim: ValueSearch::new(unusable.iter().map(|number| values[*number].clone())),
            suspicion: Suspicion::new(
                values.iter().chain(&skeletons).map(|(text, folded, _)| (text.as_str(), *folded)),
            ),
            longest: values.iter().map(|(text, ..)| text.len()).max().unwrap_or(0),
        }
    }

    /// Whether raw JSON holds a value, plainly or in an encoding.
    pub(super) fn contains_value(&self, json: &str) -> bool {
        self.scan(json, &mut ReadingLimit::new(json.len()))
    }

    fn scan(&self, json: &str, limit: &mut ReadingLimit) -> bool {
        if self.plain.is_empty() {
            return false;
        }
        let raw = json.as_bytes();
        let mut doubt = false;
        let mut scalars = None;
        let mut counts = |hit: Range<usize>, edges: WordEdges| {
            // The letters of an escape may look like a value's: `\nick` does not hold `nick`. Five bytes back
            // from its last digit is the backslash of the longest escape, `\u` and four digits. Such a hit is
            // left to the search in decoded text.
            if raw[hit.start.saturating_sub(5)..hit.end].contains(&b'\\') {
                doubt = true;
                return false;
            }
            // So is a word beside an escape: whether a letter goes on there is told by what the escape stands for.
            if edges.right && raw.get(hit.end) == Some(&b'\\') {
                doubt = true;
                return false;
            }
            if !is_word(raw, &hit, edges) {
                doubt |= is_behind_escape(raw, hit.start);
                return false;
            }
            scalar_around(scalars.get_or_insert_with(|| read_scalars(raw)), &hit)
                .is_some_and(|scalar| !is_protocol_word(&raw[scalar]))
                && !is_in_packed_data(raw, &hit)
        };
        if self.plain.any_match(raw, &mut counts) {
            return true;
        }
        // Reading the strings costs most, so it comes last and only where an encoding could matter.
        ((doubt || self.suspicion.is_raised_by(raw)) && self.any_string_holds_value(raw, doubt, limit))
            || (may_hold_run(raw) && self.any_packed_text_holds_value(json, limit))
            || self.blocks_hold_value(raw, limit)
    }

    fn any_string_holds_value(&self, raw: &[u8], doubt: bool, limit: &mut ReadingLimit) -> bool {
        read_scalars(raw).into_iter().any(|inside| {
            let inside = &raw[inside];
            let is_escaped = memchr::memchr3(b'\\', b'%', b'=', inside).is_some();
            ((doubt && is_escaped) || self.suspicion.is_raised_by(inside))
                && !is_protocol_word(inside)
                && self.text_holds_value(&decode_string(inside), MAX_UNPACKED, limit)
        })
    }

    /// Reads the base64 and hex of a message. Where it is wrapped into lines, the strings must be read first.
    fn any_packed_text_holds_value(&self, json: &str, limit: &mut ReadingLimit) -> bool {
        if self.unpacked_text_holds_value(json, MAX_UNPACKED, limit) {
            return true;
        }
        packed::may_be_wrapped(json.as_bytes())
            && read_scalars(json.as_bytes()).into_iter().map(|inside| &json.as_bytes()[inside]).any(
                |inside| {
                    packed::may_be_wrapped(inside)
                        && self.unpacked_text_holds_value(&decode_string(inside), MAX_UNPACKED, limit)
                },
            )
    }

    /// Searches the places where one text block ends and the next one begins.
    fn blocks_hold_value(&self, raw: &[u8], limit: &mut ReadingLimit) -> bool {
        let blocks = text_blocks(raw);
        if blocks.len() < 2 {
            return false;
        }
        // No value reaches further, even if each of its characters is escaped.
        let reach = self.longest * 6 + 16;
        ["", " "].iter().any(|between| {
            let mut joined = String::new();
            for block in &blocks {
                let inside = &raw[block.clone()];
                if inside.len() <= 2 * reach {
                    joined.push_str(&decode_string(inside));
                } else {
                    joined.push_str(&decode_string(&inside[..reach]));
                    joined.push(CUT);
                    joined.push_str(&decode_string(&inside[inside.len() - reach..]));
                }
                joined.push_str(between);
            }
            self.search(&joined, limit)
        })
    }

    /// Whether a text holds a value, read in every order of decoding.
    fn text_holds_value(&self, text: &str, unpack: usize, limit: &mut ReadingLimit) -> bool {
        self.search(text, limit)
            || self.unpacked_text_holds_value(text, unpack, limit)
            || self.decoded_text_holds_value(text, unpack, limit)
    }

    /// Undoes each kind of escapes alone and before each other kind, and then all kinds together.
    fn decoded_text_holds_value(&self, text: &str, unpack: usize, limit: &mut ReadingLimit) -> bool {
        let kinds = Kinds::present_in(text);
        let mut mixed = !kinds.is_empty() && !kinds.is_single();
        for kind in Kinds::EACH.into_iter().filter(|kind| kinds.contains(*kind)) {
            let Some(first) = decode_layer(text, kind) else { continue };
            if self.search(&first, limit) || self.unpacked_text_holds_value(&first, unpack, limit) {
                return true;
            }
            let others = Kinds::present_in(&first);
            for other in Kinds::EACH.into_iter().filter(|other| *other != kind && others.contains(*other)) {
                mixed = true;
                if decode_layer(&first, other).is_some_and(|second| self.search(&second, limit)) {
                    return true;
                }
            }
            let first_length = first.len();
            let Some(last) = self.any_layer_holds_value(first, kind, limit) else { return true };
            // Each layer is shorter than the one above it, so an equal length means that there was none.
            if last.len() != first_length && self.unpacked_text_holds_value(&last, unpack, limit) {
                return true;
            }
            // What a deeper layer brings out may be of another kind.
            mixed |= Kinds::EACH
                .into_iter()
                .any(|other| other != kind && Kinds::present_in(&last).contains(other));
        }
        mixed
            && self
                .any_layer_holds_value(text.to_owned(), Kinds::ALL, limit)
                .is_none_or(|last| last != text && self.unpacked_text_holds_value(&last, unpack, limit))
    }

    /// Searches each layer below the first, and returns the last one. `None` if there is a value, or no end.
    fn any_layer_holds_value(&self, first: String, kinds: Kinds, limit: &mut ReadingLimit) -> Option<String> {
        let mut layer = first;
        for _ in 0..MAX_ESCAPE_LAYERS {
            match decode_layer(&layer, kinds) {
                Some(next) if self.search(&next, limit) => return None,
                Some(next) => layer = next,
                None => return Some(layer),
            }
        }
        None
    }

    fn unpacked_text_holds_value(&self, text: &str, depth: usize, limit: &mut ReadingLimit) -> bool {
        depth > 0
            && unpack(text, |unpacked| match unpacked {
                Unpacked::Text(text) => self.text_holds_value(text, depth - 1, limit),
                Unpacked::Binary(bytes) => limit.is_reached(bytes.len()) || self.binary_holds_value(bytes),
            })
    }

    /// Only long values count: binary data holds every short one by chance.
    fn binary_holds_value(&self, bytes: &[u8]) -> bool {
        let counts = |least: usize| {
            move |hit: Range<usize>, edges: WordEdges| hit.len() >= least && is_word(bytes, &hit, edges)
        };
        self.plain.exact.any_match(bytes, &mut counts(MIN_BYTES_IN_BINARY))
            || self.plain.folded.any_match(bytes, &mut counts(MIN_FOLDED_BYTES_IN_BINARY))
    }

    /// Searches one reading of a text. Also true once the limit is reached.
    fn search(&self, text: &str, limit: &mut ReadingLimit) -> bool {
        if limit.is_reached(text.len()) {
            return true;
        }
        let bytes = text.as_bytes();
        if !self.verbatim.is_empty()
            && self.verbatim.any_match(bytes, &mut |hit, edges| {
                is_word(bytes, &hit, edges) && !is_in_packed_data(bytes, &hit)
            })
        {
            return true;
        }
        if self.skeleton_holds_value(text, &mut |text, hit| !is_in_packed_data(text, hit)) {
            return true;
        }
        // In a query string a plus is a space. Base64 has it too, so its surroundings are judged with the plus.
        memchr::memchr(b'+', bytes).is_some()
            && self.skeleton_holds_value(&text.replace('+', " "), &mut |text, hit| {
                let with_plus: Vec<u8> =
                    text.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect();
                text[hit.clone()].contains(&b' ') && !is_in_packed_data(&with_plus, hit)
            })
    }

    fn skeleton_holds_value(&self, text: &str, counts: &mut dyn FnMut(&[u8], &Range<usize>) -> bool) -> bool {
        let exact = skeleton(text, false);
        let mut is_leak = |text: &[u8], hit: Range<usize>, edges: WordEdges| {
            is_word(text, &hit, edges) && counts(text, &hit)
        };
        let bytes = exact.as_bytes();
        if self.skeletons.exact.any_match(bytes, &mut |hit, edges| is_leak(bytes, hit, edges)) {
            return true;
        }
        if self.skeletons.folded.is_empty() {
            return false;
        }
        // Folding changes letters beyond ASCII only.
        let folded = if exact.is_ascii() { exact } else { skeleton(text, true) };
        let bytes = folded.as_bytes();
        self.skeletons.folded.any_match(bytes, &mut |hit, edges| is_leak(bytes, hit, edges))
    }
}

/// A value with whether its case doesn't count, and where it must end a word.
type Value = (String, bool, WordEdges);

/// Whether a whole string is a word of the protocol, which no replacement touches. It gives nothing away: every message has
/// such words.
fn is_protocol_word(inside: &[u8]) -> bool {
    let values = VALUES.iter().flat_map(|(_, values)| values.iter());
    KEYS.iter().chain(values).any(|word| word.as_bytes() == inside)
}

/// Whether an escape may end at a place. The longest has ten characters.
fn is_behind_escape(raw: &[u8], at: usize) -> bool {
    memchr::memchr3(b'\\', b'%', b'=', &raw[at.saturating_sub(10)..at]).is_some()
}

/// Which of the skeletons stand in one of the texts, given with and without its case.
fn held_texts(skeletons: &[Value], texts: &[[String; 2]]) -> Vec<bool> {
    let mut held = vec![false; skeletons.len()];
    for folded in [false, true] {
        let numbers: Vec<usize> = (0..skeletons.len())
            .filter(|number| skeletons[*number].1 == folded && !skeletons[*number].0.is_empty())
            .collect();
        let patterns = numbers.iter().map(|number| skeletons[*number].0.as_str());
        let search = AhoCorasick::builder().ascii_case_insensitive(folded).build(patterns);
        let search = search.expect("rules make a small automaton");
        for text in texts {
            let text = text[usize::from(folded)].as_bytes();
            for hit in search.find_overlapping_iter(text) {
                let number = numbers[hit.pattern()];
                held[number] |= is_word(text, &hit.range(), skeletons[number].2);
            }
        }
    }
    held
}

/// Values to search for, with and without their case.
#[derive(Default)]
struct ValueSearch {
    exact: SkipSearch,
    folded: SkipSearch,
}

impl ValueSearch {
    fn new(values: impl Iterator<Item = Value>) -> Self {
        let (folded, exact): (Vec<_>, Vec<_>) = values.partition(|(_, folded, _)| *folded);
        let texts = |values: Vec<Value>| values.into_iter().map(|(text, _, edges)| (text, edges)).collect();
        Self { exact: SkipSearch::new(texts(exact), false), folded: SkipSearch::new(texts(folded), true) }
    }

    const fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.folded.is_empty()
    }

    fn any_match(&self, text: &[u8], counts: &mut dyn FnMut(Range<usize>, WordEdges) -> bool) -> bool {
        self.exact.any_match(text, counts) || self.folded.any_match(text, counts)
    }
}

/// How much of a message was read.
struct ReadingLimit {
    read: usize,
    most: usize,
}

impl ReadingLimit {
    const fn new(message: usize) -> Self {
        Self { read: 0, most: message.saturating_mul(MAX_READ_PER_BYTE).saturating_add(MIN_READ_LIMIT) }
    }

    /// Counts the bytes of one reading.
    const fn is_reached(&mut self, bytes: usize) -> bool {
        self.read = self.read.saturating_add(bytes);
        self.read > self.most
    }
}

#[cfg(test)]
mod tests;
