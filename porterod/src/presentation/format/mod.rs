//! The content of a call as readable fields, in a useful order.
//!
//! A formatter is chosen by the call's names and shape, and isn't trusted: it only orders and labels the
//! members that it knows.
//! Fields are made by taking members out of the arguments. Members that no formatter took follow at the end,
//! so nothing of a call is ever left out (guarantee A3).

mod files;
pub mod money;
mod notion;
mod services;
mod value;

use std::borrow::Cow;

use portero::json::RawObject;
use portero::names::ToolId;
use serde_json::value::RawValue;

use super::text::{EscapedText, StyledText};
pub use value::{as_json, as_line_of_json, as_text};

/// The content of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReading {
    /// Its kind in Portero's own words, such as `E-mail`.
    pub kind: &'static str,
    /// Its complete content.
    pub fields: Vec<CallField>,
}

/// One labelled value of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallField {
    /// Its label.
    pub label: FieldLabel,
    /// Its value.
    pub value: StyledText,
}

/// The label of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldLabel {
    /// Portero's own words.
    Own(&'static str),
    /// The argument's key.
    Key(EscapedText),
    /// Portero's own words with a number.
    Numbered(&'static str, usize),
    /// Portero's own words with a name from outside.
    Named(&'static str, EscapedText),
}

impl FieldLabel {
    /// The label before a colon.
    #[must_use]
    pub fn to_text(&self) -> StyledText {
        match self {
            Self::Own(words) => StyledText::new().bold(words),
            Self::Key(key) => StyledText::new().code(key),
            Self::Numbered(words, number) => {
                StyledText::new().bold(words).literal(" ").number(u64::try_from(*number).unwrap_or(u64::MAX))
            }
            Self::Named(words, name) => StyledText::new().bold(words).literal(" ").code(name),
        }
    }
}

/// Reads a call's arguments.
#[must_use]
pub fn read_arguments(tool: &ToolId, arguments: Option<&RawValue>) -> CallReading {
    let Some(arguments) = arguments else { return CallReading { kind: "No arguments", fields: Vec::new() } };
    // Arguments that are not an object fit no formatter and are shown whole.
    let Ok(object) = RawObject::read(arguments) else {
        let field = CallField { label: FieldLabel::Own("Arguments"), value: as_json(arguments) };
        return CallReading { kind: "Arguments", fields: vec![field] };
    };
    let mut open = ArgumentReader::new(tool, object);
    let known = FORMATTERS.iter().find(|formatter| (formatter.matches)(&open));
    if let Some(formatter) = known {
        (formatter.take_known_fields)(&mut open);
    }
    let fields = open.into_fields();
    let kind = match known {
        Some(formatter) => formatter.kind,
        None if fields.is_empty() => "No arguments",
        None => "Arguments",
    };
    CallReading { kind, fields }
}

/// A formatter for one kind of call.
struct CallFormatter {
    kind: &'static str,
    matches: fn(&ArgumentReader<'_>) -> bool,
    take_known_fields: fn(&mut ArgumentReader<'_>),
}

/// The formatters. The first match wins, so the most specific ones come first.
const FORMATTERS: [CallFormatter; 6] = [
    CallFormatter {
        kind: "Payment",
        matches: services::matches_payment,
        take_known_fields: services::take_payment_fields,
    },
    CallFormatter {
        kind: "GitHub",
        matches: services::matches_github,
        take_known_fields: services::take_github_fields,
    },
    CallFormatter {
        kind: "Notion",
        matches: notion::matches_call,
        take_known_fields: notion::take_known_fields,
    },
    CallFormatter {
        kind: "Calendar",
        matches: services::matches_calendar,
        take_known_fields: services::take_calendar_fields,
    },
    CallFormatter {
        kind: "E-mail",
        matches: services::matches_mail,
        take_known_fields: services::take_mail_fields,
    },
    CallFormatter { kind: "File", matches: files::matches_call, take_known_fields: files::take_known_fields },
];

/// Arguments while fields are taken from them. Members that were not taken are added by
/// [`ArgumentReader::into_fields`].
struct ArgumentReader<'a> {
    tool: &'a ToolId,
    remaining: Vec<(Cow<'a, str>, &'a RawValue)>,
    fields: Vec<CallField>,
}

impl<'a> ArgumentReader<'a> {
    fn new(tool: &'a ToolId, object: RawObject<'a>) -> Self {
        Self { tool, remaining: object.into_members().collect(), fields: Vec::new() }
    }

    /// Whether the server's or the tool's name contains one of these words.
    fn name_contains(&self, words: &[&str]) -> bool {
        let name = self.tool.to_string().to_ascii_lowercase();
        words.iter().any(|word| name.contains(word))
    }

    fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.last_value(key).is_some())
    }

    /// The value of the last member with this key. Most servers use the last one of duplicate keys.
    fn last_value(&self, key: &str) -> Option<&'a RawValue> {
        self.remaining.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// Makes a field of every member with these keys.
    fn take_field(&mut self, label: &'static str, keys: &[&str], show: impl Fn(&RawValue) -> StyledText) {
        self.take_many_fields(keys, |value| {
            vec![CallField { label: FieldLabel::Own(label), value: show(value) }]
        });
    }

    /// As [`ArgumentReader::take_field`], with several fields for each member.
    fn take_many_fields(&mut self, keys: &[&str], show: impl Fn(&'a RawValue) -> Vec<CallField>) {
        for key in keys {
            let fields = &mut self.fields;
            self.remaining.retain(|(name, value)| {
                if name == key {
                    fields.extend(show(value));
                }
                name != key
            });
        }
    }

    /// Adds a field that Portero computed.
    fn add_field(&mut self, label: &'static str, value: StyledText) {
        self.fields.push(CallField { label: FieldLabel::Own(label), value });
    }

    /// All fields, with the members that were not taken at the end.
    fn into_fields(mut self) -> Vec<CallField> {
        // The rest comes last but always comes: a member that no formatter knows is never hidden.
        for (key, value) in self.remaining {
            let label = FieldLabel::Key(EscapedText::line(&key));
            self.fields.push(CallField { label, value: as_text(value) });
        }
        self.fields
    }
}

#[cfg(test)]
mod tests;
