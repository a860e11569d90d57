//! JSON Pointers (RFC 6901) into a call's arguments, read in every way in which a server may read them.
//!
//! Three segments are Portero's own: `*` is every element of a list or every value of an object, `{a,b}` is the one
//! thing that has either name, and `(json)` is the JSON within a text.
//!
//! A tool's schema often allows several shapes of one thing (`oneOf`): a value or a list of such, an object or its JSON
//! as a text. The shape of the arguments decides which of them is there, never the schema, since that is the server's
//! word. Where the arguments can be read in two ways, both are followed, and a test holds for sure only where it holds
//! in each of them.

use std::fmt;

use serde_json::value::RawValue;

use super::Truth;
use super::embedded;
use super::reading::{ArgumentReading, ReadingLog};
use crate::json::{MAX_EMBEDDED_DEPTH, RawObject};

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
    /// The member that has any of these names.
    OneOf(Vec<String>),
    /// Every element, or every value.
    Wildcard,
    /// The JSON within the text.
    Json,
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
    /// One of several names is empty.
    #[error("a name in `{{…}}` must not be empty")]
    EmptyName,
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

/// How a value was reached.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ValuePlace {
    /// Whether it is an element: a list in a list is not taken apart unless a pointer says so.
    pub(super) is_element: bool,
    /// How many texts are around it.
    depth: usize,
}

impl ValuePlace {
    const fn element(self) -> Self {
        Self { is_element: true, ..self }
    }

    const fn member(self) -> Self {
        Self { is_element: false, ..self }
    }

    const fn in_text(self) -> Self {
        Self { is_element: false, depth: self.depth + 1 }
    }
}

impl JsonPointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// If it is no pointer, or points to the arguments as a whole.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let inner = text.strip_prefix('/').ok_or(PointerError::Start)?;
        let tokens = inner.split('/').map(PointerToken::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// Follows the pointer and applies the test to the value there. A test on a missing value is false. Keys
    /// that differ only in case are unsure, because some servers accept either.
    pub(super) fn evaluate(
        &self,
        arguments: &RawValue,
        log: &ReadingLog,
        test: &dyn Fn(&RawValue, ValuePlace) -> Truth,
    ) -> Truth {
        PointerWalk { test, log }.follow(&self.tokens, arguments, ValuePlace::default())
    }
}

impl PointerToken {
    fn parse(text: &str) -> Result<Self, PointerError> {
        let names = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        Ok(match (text, names.filter(|names| names.contains(','))) {
            ("*", _) => Self::Wildcard,
            ("(json)", _) => Self::Json,
            (_, Some(names)) => {
                let names: Vec<_> =
                    names.split(',').map(unescape).collect::<Option<_>>().ok_or(PointerError::Escape)?;
                if names.iter().any(String::is_empty) {
                    return Err(PointerError::EmptyName);
                }
                Self::OneOf(names)
            }
            (name, None) => Self::Name(unescape(name).ok_or(PointerError::Escape)?),
        })
    }

    fn index(&self) -> Option<usize> {
        let Self::Name(name) = self else { return None };
        let is_index =
            name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_index { name.parse().ok() } else { None }
    }

    /// Whether it finds the only element of a list of one.
    fn finds_only_element(&self) -> bool {
        matches!(self, Self::Wildcard) || self.index() == Some(0)
    }

    /// The names of a member that it looks for.
    fn names(&self) -> &[String] {
        match self {
            Self::Name(name) => std::slice::from_ref(name),
            Self::OneOf(names) => names,
            Self::Wildcard | Self::Json => &[],
        }
    }
}

/// What a value is, by its first character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueShape {
    Object,
    List,
    Text,
    /// `null` says of itself that there is nothing.
    Null,
    Scalar,
}

impl ValueShape {
    pub(super) fn of(value: &RawValue) -> Self {
        match value.get().trim_start().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::List,
            Some(b'"') => Self::Text,
            Some(b'n') => Self::Null,
            _ => Self::Scalar,
        }
    }
}

/// The elements of a list; none where that is no list.
pub(super) fn list_elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// A pointer on its way through the arguments.
struct PointerWalk<'a> {
    test: &'a dyn Fn(&RawValue, ValuePlace) -> Truth,
    log: &'a ReadingLog,
}

impl PointerWalk<'_> {
    fn follow(&self, tokens: &[PointerToken], value: &RawValue, place: ValuePlace) -> Truth {
        let Some((token, rest)) = tokens.split_first() else { return (self.test)(value, place) };
        match ValueShape::of(value) {
            // A client may send the JSON itself where a text with it was meant.
            ValueShape::Object | ValueShape::List if *token == PointerToken::Json => {
                self.follow(rest, value, place)
            }
            ValueShape::Object => self.follow_in_object(token, rest, value, place),
            ValueShape::List => self.follow_in_list(tokens, value, place),
            ValueShape::Text => self.follow_in_text(tokens, value, place),
            ValueShape::Scalar if token.finds_only_element() && rest.is_empty() => {
                self.test_only_element(value, place)
            }
            ValueShape::Scalar | ValueShape::Null => Truth::Unsure,
        }
    }

    /// One value in the place of a list.
    fn test_only_element(&self, value: &RawValue, place: ValuePlace) -> Truth {
        self.log.note(ArgumentReading::OnlyElement, (self.test)(value, place.element()))
    }

    fn follow_in_object(
        &self,
        token: &PointerToken,
        rest: &[PointerToken],
        value: &RawValue,
        place: ValuePlace,
    ) -> Truth {
        let Ok(object) = RawObject::read(value) else { return Truth::Unsure };
        if *token == PointerToken::Wildcard {
            return self.follow_each_member(rest, value, &object, place);
        }
        let mut found = Vec::new();
        for name in token.names() {
            match object_member(&object, name) {
                PointerTarget::Value(next) => found.push(self.follow(rest, next, place.member())),
                PointerTarget::Missing => {}
                PointerTarget::Ambiguous => return Truth::Unsure,
            }
        }
        match found.is_empty() {
            // An object in the place of a list of such.
            true if token.index() == Some(0) && !rest.is_empty() => {
                self.log.note(ArgumentReading::OnlyElement, self.follow(rest, value, place.element()))
            }
            true => Truth::No,
            false => Truth::of_all(found),
        }
    }

    /// Every value of an object, and the object in the place of a list of such.
    fn follow_each_member(
        &self,
        rest: &[PointerToken],
        value: &RawValue,
        object: &RawObject<'_>,
        place: ValuePlace,
    ) -> Truth {
        let names = rest.first().map(PointerToken::names).unwrap_or_default();
        let is_element =
            names.iter().any(|name| !matches!(object_member(object, name), PointerTarget::Missing));
        if !is_element {
            return Truth::of_all(object.iter().map(|(_, value)| self.follow(rest, value, place.member())));
        }
        // It has what is looked for in an element, so it is one. Its values are elements too only where something can
        // be found in them.
        let own = self.log.note(ArgumentReading::OnlyElement, self.follow(rest, value, place.element()));
        let may_hold = |value: &RawValue| match ValueShape::of(value) {
            ValueShape::Object | ValueShape::List => true,
            ValueShape::Text => embedded::decode_container(value).is_some(),
            ValueShape::Null | ValueShape::Scalar => false,
        };
        let members = object.iter().filter(|(_, value)| may_hold(value));
        let members = members.map(|(_, value)| self.follow(rest, value, place.member()));
        Truth::of_all(std::iter::once(own).chain(members))
    }

    fn follow_in_list(&self, tokens: &[PointerToken], value: &RawValue, place: ValuePlace) -> Truth {
        let Some((token, rest)) = tokens.split_first() else { return Truth::Unsure };
        let Some(elements) = list_elements(value) else { return Truth::Unsure };
        if let Some(index) = token.index() {
            return elements
                .get(index)
                .map_or(Truth::No, |element| self.follow(rest, element, place.element()));
        }
        match token {
            PointerToken::Wildcard => {
                Truth::of_all(elements.into_iter().map(|element| self.follow(rest, element, place.element())))
            }
            // A list of things in the place of one of them.
            PointerToken::Name(_) | PointerToken::OneOf(_) | PointerToken::Json if !place.is_element => {
                let each = elements.into_iter().map(|element| self.follow(tokens, element, place.element()));
                self.log.note(ArgumentReading::EachElement, Truth::of_all(each))
            }
            PointerToken::Name(_) | PointerToken::OneOf(_) | PointerToken::Json => Truth::Unsure,
        }
    }

    /// A text has no members, so where a name is looked for, what counts is the JSON in it. In the place of a list it
    /// may be the only element as well.
    fn follow_in_text(&self, tokens: &[PointerToken], value: &RawValue, place: ValuePlace) -> Truth {
        let Some((token, rest)) = tokens.split_first() else { return Truth::Unsure };
        let within_limit = place.depth < MAX_EMBEDDED_DEPTH;
        if *token == PointerToken::Json {
            let decoded = if within_limit { embedded::decode_any(value) } else { None };
            return decoded.map_or(Truth::Unsure, |json| self.follow(rest, &json, place.in_text()));
        }
        let decoded = if within_limit { embedded::decode_container(value) } else { None };
        let inside = decoded.map(|json| {
            self.log.note(ArgumentReading::EmbeddedJson, self.follow(tokens, &json, place.in_text()))
        });
        if token.finds_only_element() && rest.is_empty() {
            return Truth::of_all(inside.into_iter().chain([self.test_only_element(value, place)]));
        }
        inside.unwrap_or(Truth::Unsure)
    }
}

fn object_member<'a>(object: &RawObject<'a>, token: &str) -> PointerTarget<'a> {
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
pub(in crate::policy) fn equals_ignoring_case(one: &str, other: &str) -> bool {
    one == other || fold_case(one).eq(fold_case(other))
}

fn fold_case(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| !is_ignorable(*c)).flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Characters that some file systems and parsers skip.
pub(super) const fn is_ignorable(c: char) -> bool {
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
