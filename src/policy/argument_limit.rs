//! Limits of a grant to certain calls: to exactly one call, or to calls in which some arguments have fixed values.
//!
//! Values are compared strictly, in their canonical spelling: `1` isn't `1.0`, and a text isn't the JSON in it. Where
//! servers could read the arguments in two ways, the limit doesn't cover the call (guarantee P1).

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::condition::equals_ignoring_case;
use crate::json::{
    RawJson, RawObject, as_text, canonicalize, parse_raw, refuse_duplicate_keys, serialize_raw,
};

/// How many arguments one grant may fix.
pub const MAX_FIXED_ARGUMENTS: usize = 8;
/// How long the value of a fixed argument may be, as JSON, in bytes. A person must be able to read it.
pub const MAX_FIXED_VALUE_BYTES: usize = 256;
/// How long the pointer of a fixed argument may be, in bytes.
const MAX_POINTER_BYTES: usize = 256;

/// Which calls of its tools a grant covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgumentLimit {
    /// Exactly one call, by [`CallIdentity::fingerprint`](super::CallIdentity::fingerprint) with the key of the
    /// denials.
    ExactCall(String),
    /// Calls in which each of these arguments has its value.
    Fixed(FixedArguments),
}

/// One argument with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FixedArgument {
    /// Where the argument is.
    pub pointer: ArgumentPointer,
    /// Its concealed value.
    pub value: ScalarValue,
}

/// Between one and [`MAX_FIXED_ARGUMENTS`] arguments with their values, by pointer, each once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<FixedArgument>", into = "Vec<FixedArgument>")]
pub struct FixedArguments(Vec<FixedArgument>);

/// A JSON Pointer (RFC 6901) to a member of the arguments. Unlike the pointers of policy's conditions it has no
/// wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArgumentPointer(String);

/// A text, number, `true`, `false` or `null`, in its canonical JSON spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScalarValue(String);

/// Why something can't limit a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentLimitError {
    /// The pointer has the wrong form.
    #[error("a field is a name, or a JSON Pointer as `/repo/owner`; in a pointer `~` is written `~0`")]
    Pointer,
    /// The value is an object or a list.
    #[error("only a text, a number, true, false or null can be fixed")]
    NotScalar,
    /// The value or the pointer is too long.
    #[error("a fixed field has at most {MAX_FIXED_VALUE_BYTES} bytes")]
    TooLong,
    /// There are none or too many.
    #[error("a grant fixes between 1 and {MAX_FIXED_ARGUMENTS} fields")]
    Count,
    /// Two of them are the same argument.
    #[error("a field can be fixed once only")]
    Twice,
}

impl FixedArguments {
    /// Sorts the arguments by pointer.
    ///
    /// # Errors
    /// If there are none or too many, or one is there twice.
    pub fn new(mut arguments: Vec<FixedArgument>) -> Result<Self, ArgumentLimitError> {
        if arguments.is_empty() || arguments.len() > MAX_FIXED_ARGUMENTS {
            return Err(ArgumentLimitError::Count);
        }
        arguments.sort();
        if arguments.windows(2).any(|pair| pair[0].pointer == pair[1].pointer) {
            return Err(ArgumentLimitError::Twice);
        }
        Ok(Self(arguments))
    }

    /// The arguments, by pointer.
    #[must_use]
    pub fn as_slice(&self) -> &[FixedArgument] {
        &self.0
    }

    /// Whether a call's concealed arguments have all of these values.
    #[must_use]
    pub fn cover(&self, arguments: &RawValue) -> bool {
        // Parsers disagree on which of two equal keys counts, also where the two are beside the fixed ones.
        refuse_duplicate_keys(arguments).is_ok()
            && self.0.iter().all(|fixed| {
                let found = fixed.pointer.find(arguments);
                found.and_then(ScalarValue::read).is_some_and(|value| value == fixed.value)
            })
    }
}

impl TryFrom<Vec<FixedArgument>> for FixedArguments {
    type Error = ArgumentLimitError;

    fn try_from(arguments: Vec<FixedArgument>) -> Result<Self, ArgumentLimitError> {
        Self::new(arguments)
    }
}

impl From<FixedArguments> for Vec<FixedArgument> {
    fn from(arguments: FixedArguments) -> Self {
        arguments.0
    }
}

/// The arguments in words: `owner = "acme", repo = "site"`.
impl fmt::Display for FixedArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> =
            self.0.iter().map(|fixed| format!("{} = {}", fixed.pointer, fixed.value)).collect();
        f.write_str(&words.join(", "))
    }
}

impl ArgumentPointer {
    /// Reads what a person types: a JSON Pointer, or the name of a top-level member.
    ///
    /// # Errors
    /// If it is neither, or too long.
    pub fn parse_typed(text: &str) -> Result<Self, ArgumentLimitError> {
        match text.strip_prefix('/') {
            Some(_) => Self::try_from(text.to_owned()),
            None => Self::to_member(text),
        }
    }

    /// The pointer to a top-level member.
    ///
    /// # Errors
    /// If the name is empty or too long.
    pub fn to_member(name: &str) -> Result<Self, ArgumentLimitError> {
        if name.is_empty() { Err(ArgumentLimitError::Pointer) } else { Self::from_names(&[name]) }
    }

    /// The pointer along these names.
    ///
    /// # Errors
    /// If it would be too long.
    pub fn from_names(names: &[&str]) -> Result<Self, ArgumentLimitError> {
        let text: String =
            names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
        Self::try_from(text)
    }

    /// The names along the pointer.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        // `~1` first: `~01` is the text `~1`.
        self.0.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"))
    }

    /// The value there. None if it is missing, or if a server could read another one: with keys that differ in case
    /// alone, and in lists.
    fn find<'a>(&self, arguments: &'a RawValue) -> Option<&'a RawValue> {
        let mut found = arguments;
        for name in self.names() {
            let object = RawObject::read(found).ok()?;
            let mut like = object.iter().filter(|(key, _)| equals_ignoring_case(key, &name));
            let (key, member) = like.next()?;
            if key != name || like.next().is_some() {
                return None;
            }
            found = member;
        }
        Some(found)
    }
}

impl TryFrom<String> for ArgumentPointer {
    type Error = ArgumentLimitError;

    fn try_from(text: String) -> Result<Self, ArgumentLimitError> {
        if text.len() > MAX_POINTER_BYTES {
            return Err(ArgumentLimitError::TooLong);
        }
        let escapes_well =
            text.split('~').skip(1).all(|after| after.starts_with('0') || after.starts_with('1'));
        if text.starts_with('/') && escapes_well { Ok(Self(text)) } else { Err(ArgumentLimitError::Pointer) }
    }
}

impl From<ArgumentPointer> for String {
    fn from(pointer: ArgumentPointer) -> Self {
        pointer.0
    }
}

/// The name of a top-level member, or else the pointer.
impl fmt::Display for ArgumentPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.names();
        match (names.next(), names.next()) {
            (Some(name), None) if !name.is_empty() && !name.contains(['/', '~']) => f.write_str(&name),
            _ => f.write_str(&self.0),
        }
    }
}

impl ScalarValue {
    /// The value in its canonical spelling; none if it is an object or a list, or too long.
    #[must_use]
    pub fn read(value: &RawValue) -> Option<Self> {
        if value.get().starts_with(['{', '[']) {
            return None;
        }
        let text = String::from_utf8(canonicalize(value).ok()?).ok()?;
        (text.len() <= MAX_FIXED_VALUE_BYTES).then_some(Self(text))
    }

    /// Reads what a person types: JSON, or else a text without quotes.
    ///
    /// # Errors
    /// If it is an object or a list, or too long.
    pub fn parse_typed(text: &str) -> Result<Self, ArgumentLimitError> {
        let json = parse_raw(text.to_owned()).unwrap_or_else(|_| serialize_raw(text));
        if json.get().len() > MAX_FIXED_VALUE_BYTES {
            return Err(ArgumentLimitError::TooLong);
        }
        Self::read(&json).ok_or(ArgumentLimitError::NotScalar)
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> RawJson {
        parse_raw(self.0.clone()).unwrap_or_else(|_| serialize_raw(&self.0))
    }

    /// A text without its quotes; any other value as JSON.
    #[must_use]
    pub fn to_plain_text(&self) -> String {
        as_text(&self.to_json()).map_or_else(|| self.0.clone(), Cow::into_owned)
    }
}

impl TryFrom<String> for ScalarValue {
    type Error = ArgumentLimitError;

    fn try_from(text: String) -> Result<Self, ArgumentLimitError> {
        let json = parse_raw(text).map_err(|_| ArgumentLimitError::NotScalar)?;
        Self::read(&json).ok_or(ArgumentLimitError::NotScalar)
    }
}

impl From<ScalarValue> for String {
    fn from(value: ScalarValue) -> Self {
        value.0
    }
}

impl fmt::Display for ScalarValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ArgumentLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExactCall(call) => write!(f, "only exactly one call, {}", call.get(..8).unwrap_or(call)),
            Self::Fixed(arguments) => write!(f, "only with {arguments}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(pointer: &str, value: &str) -> FixedArguments {
        let argument = FixedArgument {
            pointer: ArgumentPointer::parse_typed(pointer).unwrap(),
            value: ScalarValue::try_from(value.to_owned()).unwrap(),
        };
        FixedArguments::new(vec![argument]).unwrap()
    }

    fn covers(pointer: &str, value: &str, arguments: &str) -> bool {
        fixed(pointer, value).cover(&parse_raw(arguments.to_owned()).unwrap())
    }

    #[test]
    fn a_call_is_covered_where_the_argument_has_the_very_value() {
        for (pointer, value, arguments) in [
            ("owner", r#""acme""#, r#"{"owner":"acme"}"#),
            ("owner", r#""acme""#, r#"{ "repo":"x", "owner" : "acme" }"#),
            ("owner", r#""acme""#, r#"{"\u006fwner":"\u0061cme"}"#),
            ("owner", r#""\u0061cme""#, r#"{"owner":"acme"}"#),
            ("/repo/owner", r#""acme""#, r#"{"repo":{"owner":"acme"},"owner":"x"}"#),
            ("id", "1", r#"{"id":1}"#),
            ("id", "1.0", r#"{"id":1.0}"#),
            ("draft", "true", r#"{"draft":true}"#),
            ("after", "null", r#"{"after":null}"#),
            ("/a~1b/~0", "2", r#"{"a/b":{"~":2}}"#),
            ("/", "2", r#"{"":2}"#),
        ] {
            assert!(covers(pointer, value, arguments), "{pointer} {value} {arguments}");
        }
    }

    #[test]
    fn a_call_is_not_covered_where_a_server_could_read_anything_else() {
        for (pointer, value, arguments) in [
            ("owner", r#""acme""#, r#"{"owner":"other"}"#),
            ("owner", r#""acme""#, r#"{"owner":"Acme"}"#),
            ("owner", r#""acme""#, r#"{"owner":"acme "}"#),
            ("owner", r#""acme""#, r#"{}"#),
            ("owner", r#""acme""#, r#"{"repo":{"owner":"acme"}}"#),
            ("owner", r#""acme""#, r#"{"owner":["acme"]}"#),
            ("owner", r#""acme""#, r#"{"owner":"\"acme\""}"#),
            ("owner", r#""acme""#, r#"{"owner":"acme","owner":"other"}"#),
            ("owner", r#""acme""#, r#"{"owner":"acme","\u006fwner":"acme"}"#),
            ("owner", r#""acme""#, r#"{"owner":"acme","Owner":"other"}"#),
            ("owner", r#""acme""#, r#"{"owner":"acme","more":{"a":1,"a":2}}"#),
            ("owner", r#""acme""#, r#"{"Owner":"acme"}"#),
            ("owner", r#""acme""#, r#"[{"owner":"acme"}]"#),
            ("owner", r#""acme""#, r#""{\"owner\":\"acme\"}""#),
            ("/repo/owner", r#""acme""#, r#"{"repo":"{\"owner\":\"acme\"}"}"#),
            ("/list/0", r#""acme""#, r#"{"list":["acme"]}"#),
            ("id", "1", r#"{"id":1.0}"#),
            ("id", "1", r#"{"id":"1"}"#),
            ("id", "1", r#"{"id":1e0}"#),
            ("id", r#""1""#, r#"{"id":1}"#),
            ("draft", "true", r#"{"draft":"true"}"#),
            ("after", "null", r#"{}"#),
            ("after", "null", r#"{"after":"null"}"#),
            ("after", r#""""#, r#"{"after":null}"#),
        ] {
            assert!(!covers(pointer, value, arguments), "{pointer} {value} {arguments}");
        }
    }

    #[test]
    fn every_fixed_argument_must_have_its_value() {
        let two: FixedArguments = serde_json::from_str(
            r#"[{"pointer":"/repo","value":"\"site\""},{"pointer":"/owner","value":"\"acme\""}]"#,
        )
        .unwrap();
        let cover = |arguments: &str| two.cover(&parse_raw(arguments.to_owned()).unwrap());
        assert!(cover(r#"{"owner":"acme","repo":"site"}"#));
        assert!(!cover(r#"{"owner":"acme"}"#) && !cover(r#"{"owner":"acme","repo":"other"}"#));
        assert_eq!(two.to_string(), r#"owner = "acme", repo = "site""#);
    }

    #[test]
    fn what_cannot_be_compared_or_read_by_a_person_is_no_limit() {
        let long = format!("\"{}\"", "x".repeat(MAX_FIXED_VALUE_BYTES));
        for value in ["{}", "[1]", "", "acme", "\"a\" x", &long] {
            assert!(ScalarValue::try_from(value.to_owned()).is_err(), "{value}");
        }
        for pointer in ["owner", "", "/a~2", "/a~"] {
            assert!(ArgumentPointer::try_from(pointer.to_owned()).is_err(), "{pointer}");
        }
        assert_eq!(ArgumentPointer::parse_typed(""), Err(ArgumentLimitError::Pointer));
        let list = |count: usize| {
            let argument = |n| format!(r#"{{"pointer":"/{n}","value":"1"}}"#);
            format!("[{}]", (0..count).map(argument).collect::<Vec<_>>().join(","))
        };
        let reads = |text: &str| serde_json::from_str::<FixedArguments>(text).is_ok();
        assert!(reads(&list(1)) && reads(&list(MAX_FIXED_ARGUMENTS)));
        assert!(!reads(&list(0)) && !reads(&list(MAX_FIXED_ARGUMENTS + 1)));
        assert!(!reads(r#"[{"pointer":"/a","value":"1"},{"pointer":"/a","value":"2"}]"#));
    }

    #[test]
    fn what_a_person_types_is_json_or_a_text() {
        for (typed, json) in [
            ("acme", r#""acme""#),
            ("5", "5"),
            ("\"5\"", r#""5""#),
            ("true", "true"),
            ("null", "null"),
            ("a b=c", r#""a b=c""#),
            ("", r#""""#),
        ] {
            assert_eq!(ScalarValue::parse_typed(typed).unwrap().to_string(), json, "{typed}");
        }
        assert_eq!(ScalarValue::parse_typed("[1]"), Err(ArgumentLimitError::NotScalar));
        assert_eq!(ScalarValue::parse_typed(&"x".repeat(300)), Err(ArgumentLimitError::TooLong));
        assert_eq!(ScalarValue::parse_typed("acme").unwrap().to_plain_text(), "acme");
    }
}
