//! Shows a single value of a call.

use portero::json;
use portero::json::pretty::decode_embedded;
use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};

/// The longest text that is shown within a line.
const MAX_INLINE_CHARS: usize = 300;
/// The most texts that share a line.
const MAX_INLINE_TEXTS: usize = 8;

/// Any value: a string as text or as the JSON that it holds, a few short strings in one line, anything else as
/// JSON.
#[must_use]
pub fn as_text(value: &RawValue) -> StyledText {
    if let Some(words) = json::as_text(value) {
        return match decode_embedded(&words) {
            // "Show as JSON" shows the string itself.
            Some(json) => StyledText::new().literal(" JSON in a text").pre(&EscapedText::decoded_json(&json)),
            None => show_text(&words),
        };
    }
    match short_texts(value) {
        Some(texts) if texts.iter().all(|text| decode_embedded(text).is_none()) => join_texts(&texts),
        Some(_) | None => as_json(value),
    }
}

/// A text within a line, or as a block if it is long or has several lines.
#[must_use]
pub(super) fn show_text(words: &str) -> StyledText {
    if words.is_empty() {
        StyledText::new().literal("(an empty text)")
    } else if words.contains('\n') || exceeds_line(words) {
        StyledText::new().pre(&EscapedText::block(words))
    } else if reads_as_json(words) {
        // The string "5" must not look like the number 5.
        StyledText::new().code(&EscapedText::json(&json::serialize_raw(words)))
    } else if words.split_whitespace().any(mixes_alphabets) {
        StyledText::new().code(&EscapedText::line(words)).literal(" (mixes alphabets that look alike)")
    } else {
        StyledText::new().code(&EscapedText::line(words))
    }
}

/// A few short texts in one line.
#[must_use]
pub(super) fn join_texts(texts: &[String]) -> StyledText {
    let mut shown = StyledText::new();
    for (index, one) in texts.iter().enumerate() {
        shown = if index == 0 { shown } else { shown.literal(", ") };
        shown = shown.append(show_text(one));
    }
    shown
}

/// JSON with readable layout, also within a string.
#[must_use]
pub fn as_json(value: &RawValue) -> StyledText {
    let shown = EscapedText::decoded_json(value);
    if shown.as_str().contains('\n') || exceeds_line(shown.as_str()) {
        StyledText::new().pre(&shown)
    } else {
        StyledText::new().code(&shown)
    }
}

/// JSON as it came if that fits in a line, else with readable layout.
#[must_use]
pub fn as_line_of_json(value: &RawValue) -> StyledText {
    if exceeds_line(value.get()) {
        return as_json(value);
    }
    StyledText::new().code(&EscapedText::line(value.get()))
}

/// The strings of an array with a few short strings.
#[must_use]
pub(super) fn short_texts(value: &RawValue) -> Option<Vec<String>> {
    let texts: Vec<String> = serde_json::from_str(value.get()).ok()?;
    fit_in_line(&texts).then_some(texts)
}

/// Whether texts fit into one line.
#[must_use]
pub(super) fn fit_in_line(texts: &[String]) -> bool {
    let short = |text: &String| !exceeds_line(text) && !text.contains('\n');
    !texts.is_empty() && texts.len() <= MAX_INLINE_TEXTS && texts.iter().all(short)
}

fn exceeds_line(text: &str) -> bool {
    // Stops at the limit, so a huge text is not counted to its end.
    text.chars().nth(MAX_INLINE_CHARS).is_some()
}

/// The members of an object, if its keys are among these, each at most once and with a string. Otherwise
/// none.
#[must_use]
pub(super) fn text_members(value: &RawValue, keys: &[&str]) -> Option<Vec<(String, String)>> {
    let object = json::RawObject::read(value).ok()?;
    let mut found: Vec<(String, String)> = Vec::new();
    for (key, value) in object.iter() {
        // With an unknown or doubled key the caller shows the object as JSON, so that nothing is hidden.
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

/// Whether a word mixes Latin letters with similar-looking ones of other alphabets, as a spoofed address does
/// (Unicode Technical Standard 39, section 5.1: mixed-script confusables).
fn mixes_alphabets(word: &str) -> bool {
    let alike = |letter: char| {
        matches!(letter,
            // Greek, Cyrillic, Armenian; Cherokee; Lisu; mathematical letters; full-width Latin.
            '\u{370}'..='\u{58f}' | '\u{1f00}'..='\u{1fff}' | '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}'
            | '\u{a4d0}'..='\u{a4ff}' | '\u{1d400}'..='\u{1d7ff}' | '\u{ff21}'..='\u{ff5a}')
    };
    word.contains(alike) && word.contains(|letter: char| letter.is_ascii_alphabetic())
}

/// Whether a text without quotes would look like another JSON value.
fn reads_as_json(words: &str) -> bool {
    words.starts_with(['"', '{', '[']) || serde_json::from_str::<&RawValue>(words).is_ok()
}
