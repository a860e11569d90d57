//! JSON Pointers (RFC 6901) into a call's arguments. A whole segment `*` means every element of a list, or
//! every value of an object.
//!
//! A test behind a `*` holds only if it holds for every element, and fails only if it fails for every one.
//! Otherwise the result is unsure.

use std::fmt;

use serde_json::value::RawValue;

use super::Truth;
use crate::json::RawObject;

/// A checked pointer to a member, never to the arguments as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonPointer {
    text: String,
    tokens: Vec<PointerToken>,
}

#[derive(Clone, PartialEq, Eq)]
enum PointerToken {
    /// The member of this name, or the element of this index.
    Name(String),
    /// Every element, or every value.
    Wildcard,
}

/// Why a text is no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It doesn't begin with `/`.
    #[error("a JSON Pointer begins with a `/`, as `/path` does")]
    Start,
    /// A `~` that isn't part of `~0` or `~1`.
    #[error("in a JSON Pointer `~` is written `~0`, and a `/` in a name `~1`")]
    Escape,
}

/// The result of one segment.
#[derive(Debug, Clone, Copy)]
enum PointerTarget<'a> {
    Value(&'a RawValue),
    /// There is no such member.
    Missing,
    /// A server may find another value than Portero, or find one where Portero finds none.
    Ambiguous,
}

impl JsonPointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// If it is no pointer, or points to the arguments as a whole.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let inner = text.strip_prefix('/').ok_or(PointerError::Start)?;
        let token = |text| match text {
            "*" => Some(PointerToken::Wildcard),
            name => unescape(name).map(PointerToken::Name),
        };
        let tokens = inner.split('/').map(token).collect::<Option<_>>().ok_or(PointerError::Escape)?;
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// Follows the pointer and applies the test to the value there. A test on a missing value is false. Keys
    /// that differ only in case are unsure, because some servers accept either.
    pub(super) fn evaluate(&self, arguments: &RawValue, test: &dyn Fn(&RawValue) -> Truth) -> Truth {
        evaluate_tokens(&self.tokens, arguments, test)
    }
}

fn evaluate_tokens(tokens: &[PointerToken], value: &RawValue, test: &dyn Fn(&RawValue) -> Truth) -> Truth {
    let Some((token, rest)) = tokens.split_first() else { return test(value) };
    match token {
        PointerToken::Name(name) => match resolve_token(value, name) {
            PointerTarget::Value(next) => evaluate_tokens(rest, next, test),
            PointerTarget::Missing => Truth::No,
            PointerTarget::Ambiguous => Truth::Unsure,
        },
        PointerToken::Wildcard => all_children(value).map_or(Truth::Unsure, |all| {
            combine_truths(all.into_iter().map(|one| evaluate_tokens(rest, one, test)))
        }),
    }
}

/// The common result. If the results differ, or there are none, it is unsure: some servers take an empty list
/// for everything.
fn combine_truths(truths: impl Iterator<Item = Truth>) -> Truth {
    truths.reduce(|one, other| if one == other { one } else { Truth::Unsure }).unwrap_or(Truth::Unsure)
}

fn resolve_token<'a>(value: &'a RawValue, token: &str) -> PointerTarget<'a> {
    match value.get().trim_start().as_bytes().first() {
        Some(b'{') => object_member(value, token),
        Some(b'[') => array_element(value, token),
        _ => PointerTarget::Ambiguous,
    }
}

/// All elements or values. `None` if the value is neither a list nor an object.
fn all_children(value: &RawValue) -> Option<Vec<&RawValue>> {
    match value.get().trim_start().as_bytes().first() {
        Some(b'{') => Some(RawObject::read(value).ok()?.iter().map(|(_, value)| value).collect()),
        Some(b'[') => serde_json::from_str(value.get()).ok(),
        _ => None,
    }
}

fn object_member<'a>(object: &'a RawValue, token: &str) -> PointerTarget<'a> {
    let Ok(object) = RawObject::read(object) else { return PointerTarget::Ambiguous };
    let mut found = PointerTarget::Missing;
    for (key, value) in object.iter() {
        match (key == token, found) {
            // A second key of the same name: parsers disagree on which of the two counts.
            (true, PointerTarget::Missing) => found = PointerTarget::Value(value),
            (true, _) => return PointerTarget::Ambiguous,
            (false, _) if equals_ignoring_case(key, token) => return PointerTarget::Ambiguous,
            (false, _) => {}
        }
    }
    found
}

fn array_element<'a>(array: &'a RawValue, token: &str) -> PointerTarget<'a> {
    let is_index =
        token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    let (true, Ok(index)) = (is_index, token.parse::<usize>()) else { return PointerTarget::Ambiguous };
    match serde_json::from_str::<Vec<&RawValue>>(array.get()) {
        Ok(elements) => {
            elements.get(index).map_or(PointerTarget::Missing, |value| PointerTarget::Value(value))
        }
        Err(_) => PointerTarget::Ambiguous,
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        plain.push(match part.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        });
        plain.push_str(&part[1..]);
    }
    Some(plain)
}

/// Whether two texts are equal without regard to case, in all scripts.
pub(super) fn equals_ignoring_case(one: &str, other: &str) -> bool {
    one == other || fold_case(one).eq(fold_case(other))
}

fn fold_case(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| !is_ignorable(*c)).flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Characters that some file systems and parsers skip.
const fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
