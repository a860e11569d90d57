//! How one value of a call is shown.

use portero::json;
use serde_json::value::RawValue;

use super::super::text::{Shown, Text, units};

/// The most UTF-16 code units of a text that stands within a line.
const LINE_MOST: usize = 300;
/// The most texts that stand side by side.
const LIST_MOST: usize = 8;

/// Any value: a text as it reads, a few short texts side by side, anything else as JSON.
#[must_use]
pub fn as_text(value: &RawValue) -> Text {
    if let Some(words) = json::text(value) {
        return text(&words);
    }
    match list(value) {
        Some(texts) => side_by_side(&texts),
        None => as_json(value),
    }
}

/// A text as it reads: within a line, or as a block when it is long or has lines.
#[must_use]
pub(super) fn text(words: &str) -> Text {
    if words.is_empty() {
        Text::new().words("(an empty text)")
    } else if words.contains('\n') || units(words) > LINE_MOST {
        Text::new().pre(&Shown::block(words))
    } else if reads_as_json(words) {
        // The text "5" is not the number 5.
        Text::new().code(&Shown::json(&json::raw(words)))
    } else if words.split_whitespace().any(mixes_alphabets) {
        Text::new().code(&Shown::line(words)).words(" (mixes alphabets that look alike)")
    } else {
        Text::new().code(&Shown::line(words))
    }
}

/// A few short texts side by side.
#[must_use]
pub(super) fn side_by_side(texts: &[String]) -> Text {
    let mut shown = Text::new();
    for (index, one) in texts.iter().enumerate() {
        shown = if index == 0 { shown } else { shown.words(", ") };
        shown = shown.then(text(one));
    }
    shown
}

/// JSON as people read it.
#[must_use]
pub fn as_json(value: &RawValue) -> Text {
    let shown = Shown::json(value);
    if shown.as_str().contains('\n') || units(shown.as_str()) > LINE_MOST {
        Text::new().pre(&shown)
    } else {
        Text::new().code(&shown)
    }
}

/// An array of a few short texts.
#[must_use]
pub(super) fn list(value: &RawValue) -> Option<Vec<String>> {
    let texts: Vec<String> = serde_json::from_str(value.get()).ok()?;
    is_short(&texts).then_some(texts)
}

/// Whether texts can stand side by side.
#[must_use]
pub(super) fn is_short(texts: &[String]) -> bool {
    let short = |text: &String| units(text) <= LINE_MOST && !text.contains('\n');
    !texts.is_empty() && texts.len() <= LIST_MOST && texts.iter().all(short)
}

/// The members of an object that has these keys, each at most once and each a text, and no others.
#[must_use]
pub(super) fn texts_only(value: &RawValue, keys: &[&str]) -> Option<Vec<(String, String)>> {
    let object = json::Object::read(value).ok()?;
    let mut found: Vec<(String, String)> = Vec::new();
    for (key, value) in object.iter() {
        if !keys.contains(&key) || found.iter().any(|(name, _)| name == key) {
            return None;
        }
        found.push((key.to_owned(), json::text(value)?.into_owned()));
    }
    Some(found)
}

/// The elements of an array.
#[must_use]
pub(super) fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
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
