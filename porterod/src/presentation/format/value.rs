//! How one value of a call is shown.

use portero::json;
use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};

/// The most characters of a text that stands within a line.
const MAX_INLINE_CHARS: usize = 300;
/// The most texts that stand side by side.
const MAX_INLINE_TEXTS: usize = 8;

/// Any value: a text as it reads, a few short texts side by side, anything else as JSON.
#[must_use]
pub fn as_text(value: &RawValue) -> StyledText {
    if let Some(words) = json::as_text(value) {
        return show_text(&words);
    }
    match short_texts(value) {
        Some(texts) => join_texts(&texts),
        None => as_json(value),
    }
}

/// A text as it reads: within a line, or as a block when it is long or has lines.
#[must_use]
pub(super) fn show_text(words: &str) -> StyledText {
    if words.is_empty() {
        StyledText::new().literal("(an empty text)")
    } else if words.contains('\n') || exceeds_line(words) {
        StyledText::new().pre(&EscapedText::block(words))
    } else if reads_as_json(words) {
        // The text "5" is not the number 5.
        StyledText::new().code(&EscapedText::json(&json::serialize_raw(words)))
    } else if words.split_whitespace().any(mixes_alphabets) {
        StyledText::new().code(&EscapedText::line(words)).literal(" (mixes alphabets that look alike)")
    } else {
        StyledText::new().code(&EscapedText::line(words))
    }
}

/// A few short texts side by side.
#[must_use]
pub(super) fn join_texts(texts: &[String]) -> StyledText {
    let mut shown = StyledText::new();
    for (index, one) in texts.iter().enumerate() {
        shown = if index == 0 { shown } else { shown.literal(", ") };
        shown = shown.append(show_text(one));
    }
    shown
}

/// JSON as people read it.
#[must_use]
pub fn as_json(value: &RawValue) -> StyledText {
    let shown = EscapedText::json(value);
    if shown.as_str().contains('\n') || exceeds_line(shown.as_str()) {
        StyledText::new().pre(&shown)
    } else {
        StyledText::new().code(&shown)
    }
}

/// An array of a few short texts.
#[must_use]
pub(super) fn short_texts(value: &RawValue) -> Option<Vec<String>> {
    let texts: Vec<String> = serde_json::from_str(value.get()).ok()?;
    fit_in_line(&texts).then_some(texts)
}

/// Whether texts can stand side by side.
#[must_use]
pub(super) fn fit_in_line(texts: &[String]) -> bool {
    let short = |text: &String| !exceeds_line(text) && !text.contains('\n');
    !texts.is_empty() && texts.len() <= MAX_INLINE_TEXTS && texts.iter().all(short)
}

fn exceeds_line(text: &str) -> bool {
    text.chars().nth(MAX_INLINE_CHARS).is_some()
}

/// The members of an object that has these keys, each at most once and each a text, and no others.
#[must_use]
pub(super) fn text_members(value: &RawValue, keys: &[&str]) -> Option<Vec<(String, String)>> {
    let object = json::RawObject::read(value).ok()?;
    let mut found: Vec<(String, String)> = Vec::new();
    for (key, value) in object.iter() {
        if !keys.contains(&key) || found.iter().any(|(name, _)| name == key) {
            return None;
        }
        found.push((key.to_owned(), json::as_text(value)?.into_owned()));
    }
    Some(found)
}

/// The elements of an array.
#[must_use]
pub(super) fn array_elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// Whether a word has Latin letters and others that are drawn alike, as an address may that is not the one it
/// seems to be (Unicode Technical Standard 39, section 5.1: mixed-script confusables).
fn mixes_alphabets(word: &str) -> bool {
    let alike = |letter: char| {
        matches!(letter,
            // Greek, Cyrillic, Armenian; Cherokee; Lisu; the letters for formulas; full-width Latin.
            '\u{370}'..='\u{58f}' | '\u{1f00}'..='\u{1fff}' | '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}'
            | '\u{a4d0}'..='\u{a4ff}' | '\u{1d400}'..='\u{1d7ff}' | '\u{ff21}'..='\u{ff5a}')
    };
    word.contains(alike) && word.contains(|letter: char| letter.is_ascii_alphabetic())
}

/// Whether a text without quotes would be taken for another JSON value.
fn reads_as_json(words: &str) -> bool {
    words.starts_with(['"', '{', '[']) || serde_json::from_str::<&RawValue>(words).is_ok()
}
