//! Files within a message: base64 is decoded, judged, and rewritten only where it holds text (guarantee N8).
//!
//! Base64 of an image holds every short value somewhere by chance, and an image in which it was replaced is broken. So
//! binary data keeps its bytes. Text is rewritten like any other and encoded again as it was. What no reader would take
//! for base64 is left to the search in plain text.

mod base64;
mod find;
mod judge;

use std::borrow::Cow;
use std::ops::Range;

use self::base64::Base64Style;
use self::find::{BlobPlace, find_blobs};
use self::judge::{BlobContent, judge};
use super::encodings::rewrite_encoded;
use super::placed_replacement::{FoundAs, PlacedReplacement, ReplacedValue, source_of};
use super::rewrite::{RewriteOutcome, Rewriter};
use crate::json;

/// How deep files within files are opened.
const MAX_DEPTH: usize = 3;

/// Rewrites JSON, and the text of the files in it.
pub(super) struct BlobRewriter<'a> {
    /// The search and the replacements.
    pub(super) rewriter: &'a Rewriter,
    /// Which rules are searched for, by their position, and which of these are replaced.
    pub(super) sought: &'a dyn Fn(usize) -> bool,
    pub(super) permitted: &'a dyn Fn(usize) -> bool,
    /// Whether a rewritten text may stay, with what was replaced in it.
    pub(super) accept: &'a dyn Fn(&str, &[PlacedReplacement]) -> bool,
    /// Told of each value that was replaced.
    pub(super) note: &'a dyn Fn(ReplacedValue),
}

/// A text as rewritten; none if there is nothing to replace.
type Rewritten = Option<String>;

/// A message that can't be rewritten: it has too many layers of escapes, or what was written isn't accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotRewritten;

impl BlobRewriter<'_> {
    /// Replaces the values in a message and in the text of its files.
    pub(super) fn rewrite(&self, json: &str) -> Result<Rewritten, NotRewritten> {
        if self.rewriter.is_empty() { Ok(None) } else { self.rewrite_to_depth(json, MAX_DEPTH, None) }
    }

    /// `file` is the place of the file in the message that this JSON is the text of.
    fn rewrite_to_depth(
        &self,
        json: &str,
        depth: usize,
        file: Option<&Range<usize>>,
    ) -> Result<Rewritten, NotRewritten> {
        let blobs = if depth == 0 { Vec::new() } else { find_blobs(json) };
        let mut joined = JoinedParts::default();
        for BlobPlace { at, declared } in blobs {
            let raw = &json[at.clone()];
            let Some((style, bytes)) = Base64Style::decode(raw) else { continue };
            let written = match judge(&bytes, raw, declared) {
                BlobContent::Unknown => continue,
                BlobContent::Binary => Cow::Borrowed(raw),
                BlobContent::Text(text, encoding) => {
                    let file = file.unwrap_or(&at);
                    let rewritten =
                        self.rewrite_to_depth(json::serialize_raw(&text).get(), depth - 1, Some(file))?;
                    let text = rewritten.map(json::raw_unchecked);
                    match text.as_ref().map(|text| json::as_text(text).ok_or(NotRewritten)).transpose()? {
                        Some(text) => Cow::Owned(style.encode(&encoding.encode(&text))),
                        None => Cow::Borrowed(raw),
                    }
                }
            };
            self.add_text(json, at.start, file, &mut joined)?;
            joined.changed |= matches!(written, Cow::Owned(_));
            joined.text.push_str(&written);
            joined.end = at.end;
        }
        if joined.end == 0 {
            return self.rewrite_text(json, &PartOrigin { start: 0, opened: 0, file });
        }
        self.add_text(json, json.len(), file, &mut joined)?;
        Ok(joined.changed.then_some(joined.text))
    }

    /// Rewrites what is between two files.
    fn add_text(
        &self,
        json: &str,
        end: usize,
        file: Option<&Range<usize>>,
        joined: &mut JoinedParts,
    ) -> Result<(), NotRewritten> {
        let start = joined.end;
        // A file is within a string. So the part before it is cut in a string, and the part behind it begins in one. A
        // quote at each cut closes and opens that string, for the rewriter to see whole strings.
        let opened = usize::from(start > 0);
        let closed = usize::from(end < json.len());
        let part = [&"\""[..opened], &json[start..end], &"\""[..closed]].concat();
        match self.rewrite_text(&part, &PartOrigin { start, opened, file })? {
            None => joined.text.push_str(&json[start..end]),
            Some(changed) => {
                joined.text.push_str(&changed[opened..changed.len() - closed]);
                joined.changed = true;
            }
        }
        Ok(())
    }

    fn rewrite_text(&self, json: &str, origin: &PartOrigin<'_>) -> Result<Rewritten, NotRewritten> {
        let (changed, placed) = match self.rewriter.rewrite(json, self.sought, self.permitted) {
            RewriteOutcome::Unchanged => (None, Vec::new()),
            RewriteOutcome::Changed(changed, placed) if (self.accept)(&changed, &placed) => {
                (Some(changed), placed)
            }
            RewriteOutcome::Changed(..) | RewriteOutcome::TooDeep => return Err(NotRewritten),
        };
        for placed in &placed {
            (self.note)(origin.replaced(&placed.source, placed.rule, FoundAs::Term(placed.term)));
        }
        let text = changed.as_deref().unwrap_or(json);
        let places: Vec<_> = placed.iter().map(|placed| placed.at.clone()).collect();
        let note_encoded = |at: &Range<usize>, rule: usize, encoding: &'static str| {
            let source = source_of(at, &placed);
            (self.note)(origin.replaced(&source, rule, FoundAs::Encoded(encoding)));
        };
        let rules = (self.sought, self.permitted);
        let encoded = rewrite_encoded(self.rewriter, text, &places, rules, &note_encoded);
        Ok(encoded.or(changed))
    }
}

/// Where a part of a message comes from.
struct PartOrigin<'a> {
    /// Where it begins.
    start: usize,
    /// How many bytes were put before it.
    opened: usize,
    /// The file whose text it belongs to.
    file: Option<&'a Range<usize>>,
}

impl PartOrigin<'_> {
    fn replaced(&self, at: &Range<usize>, rule: usize, found: FoundAs) -> ReplacedValue {
        // A value is within a string, so it is behind the quote that was put before the part.
        let place = |at: usize| self.start + at - self.opened;
        let source = self.file.cloned().unwrap_or_else(|| place(at.start)..place(at.end));
        ReplacedValue { source, rule, found, is_in_file: self.file.is_some() }
    }
}

/// The parts of a message that are rewritten already.
#[derive(Default)]
struct JoinedParts {
    text: String,
    /// How much of the message they are.
    end: usize,
    changed: bool,
}

#[cfg(test)]
mod tests;
