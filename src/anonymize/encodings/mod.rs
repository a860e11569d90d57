//! The encodings of everyday tools: git's octal quoting and the `\x` of programming languages, HTML's character
//! references, `%u00e9`, mail's quoted-printable, and quotes that are typographic or doubled.
//!
//! The first pass reads JSON's escapes and percent-encoding. This one reads the strings once more, each of these
//! encodings by itself, and replaces the values that have an escape of it inside. A replacement is written in the same
//! encoding. If it has nothing to escape, its first letter is escaped all the same (`&#74;ane`), so that revealing finds
//! the encoding again.

mod escaped;
mod escapes;
mod html;

use std::cmp::Reverse;
use std::ops::Range;

use self::escapes::Encoding;
use super::escape::{DecodedText, EscapeStyle};
use super::rewrite::Rewriter;

/// Replaces the values of rules that are `sought` and `permitted` where they stand in one of the encodings. `None` if there
/// are none. The places that were replaced before are left alone. `note` is told the place of each value that is replaced, its rule
/// and the encoding.
pub(super) fn rewrite_encoded(
    rewriter: &Rewriter,
    json: &str,
    replaced: &[Range<usize>],
    (sought, permitted): (&dyn Fn(usize) -> bool, &dyn Fn(usize) -> bool),
    note: &dyn Fn(&Range<usize>, usize, &'static str),
) -> Option<String> {
    let raw = json.as_bytes();
    if Encoding::occurring_in(raw).is_empty() {
        return None;
    }
    let mut splices: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for inside in strings(raw) {
        let encodings = Encoding::occurring_in(&raw[inside.clone()]);
        if encodings.is_empty() {
            continue;
        }
        let string = DecodedText::from_json_string(&raw[inside.clone()]);
        let mut found: Vec<EncodedMatch> = encodings
            .into_iter()
            .flat_map(|encoding| find_in(rewriter, &string.bytes, encoding, sought))
            .collect();
        found.sort_unstable_by_key(|found| (found.at.start, Reverse(found.at.end)));
        let mut last = 0;
        for EncodedMatch { at, encoding, rule, text } in found {
            let (start, end) = string.source_span(at.start, at.end);
            let place = inside.start + start..inside.start + end;
            if at.start < last || overlaps_any(replaced, &place) {
                continue;
            }
            last = at.end;
            if permitted(rule) {
                note(&place, rule, encoding.name());
                let written = encoding.write(&text, &string.bytes[at]);
                let style = EscapeStyle::from_json_string(&raw[place.clone()]);
                splices.push((place, style.write_escaped(&written, false)));
            }
        }
    }
    (!splices.is_empty()).then(|| splice(json, &splices))
}

/// A value within a string, as the string has it.
struct EncodedMatch {
    at: Range<usize>,
    encoding: Encoding,
    rule: usize,
    /// What replaces it.
    text: String,
}

fn find_in(
    rewriter: &Rewriter,
    text: &[u8],
    encoding: Encoding,
    sought: &dyn Fn(usize) -> bool,
) -> Vec<EncodedMatch> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut sources = Vec::with_capacity(text.len() + 1);
    let mut at = 0;
    while at < text.len() {
        let length = match encoding.read(&text[at..]) {
            Some((read, length)) => {
                bytes.extend_from_slice(read.as_bytes());
                length
            }
            None => {
                bytes.push(text[at]);
                1
            }
        };
        sources.resize(bytes.len(), at);
        at += length;
    }
    if bytes.len() == text.len() {
        return Vec::new();
    }
    sources.push(text.len());
    let matches = rewriter.find_values(&bytes, sought);
    let with_source = matches.into_iter().map(|(found, rule, replacement)| {
        // An escape that stands for no character at the end, such as a soft line break, isn't part of the value.
        let end = found.end.checked_sub(1).map_or(0, |last| end_of_source(&sources, text, last, encoding));
        (sources[found.start]..end, found, rule, replacement)
    });
    // Every escape is longer than what it stands for, so an equal length means that there is none in the value.
    with_source
        .filter(|(source, found, ..)| source.len() > found.len() && encoding.wrote(&text[source.clone()]))
        .map(|(at, _, rule, text)| EncodedMatch { at, encoding, rule, text: text.to_owned() })
        .collect()
}

/// Where the source of a decoded byte ends.
fn end_of_source(sources: &[usize], text: &[u8], byte: usize, encoding: Encoding) -> usize {
    let start = sources[byte];
    start + encoding.read(&text[start..]).map_or(1, |(_, length)| length)
}

fn overlaps_any(places: &[Range<usize>], place: &Range<usize>) -> bool {
    // The places are in order, so the first that ends behind the start is the only one to look at.
    let next = places.partition_point(|other| other.end <= place.start);
    places.get(next).is_some_and(|other| other.start < place.end)
}

/// The insides of all strings and keys.
fn strings(raw: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'"', b'\\', raw.get(at..).unwrap_or_default()) {
        at += next;
        if raw[at] == b'\\' {
            at += 2;
            continue;
        }
        match start.take() {
            Some(start) => found.push(start..at),
            None => start = Some(at + 1),
        }
        at += 1;
    }
    found
}

fn splice(json: &str, splices: &[(Range<usize>, Vec<u8>)]) -> String {
    let mut out = String::with_capacity(json.len() + 64);
    let mut at = 0;
    for (place, written) in splices {
        out.push_str(&json[at..place.start]);
        out.push_str(&String::from_utf8_lossy(written));
        at = place.end;
    }
    out.push_str(&json[at..]);
    out
}

#[cfg(test)]
mod tests;
