//! What a call says, as a person reads it: fields with names, in a person's order.
//!
//! A formatter is chosen by the call's names and shape, never by trust: it only puts in order and names what it
//! knows. Fields come from taking members out of the arguments, and what no formatter took follows at the end, so
//! that nothing of a call is ever left out (guarantee A3).

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
pub use value::{as_json, as_text};

/// What a call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReading {
    /// What it looks like, in Portero's words, such as `E-mail`.
    pub kind: &'static str,
    /// Everything that it says.
    pub fields: Vec<CallField>,
}

/// One thing that a call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallField {
    /// What it is.
    pub label: FieldLabel,
    /// What it says.
    pub value: StyledText,
}

/// What a field is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldLabel {
    /// In Portero's words.
    Own(&'static str),
    /// As the argument's key.
    Key(EscapedText),
    /// In Portero's words, one of several.
    Numbered(&'static str, usize),
    /// In Portero's words, with a name from outside.
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

/// One formatter.
struct CallFormatter {
    kind: &'static str,
    matches: fn(&ArgumentReader<'_>) -> bool,
    take_known_fields: fn(&mut ArgumentReader<'_>),
}

/// The formatters, the most particular first.
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

/// Arguments of which fields are taken. Whatever is not taken is added by [`ArgumentReader::finish`].
struct ArgumentReader<'a> {
    tool: &'a ToolId,
    remaining: Vec<(Cow<'a, str>, &'a RawValue)>,
    fields: Vec<CallField>,
}

impl<'a> ArgumentReader<'a> {
    fn new(tool: &'a ToolId, object: RawObject<'a>) -> Self {
        Self { tool, remaining: object.into_members().collect(), fields: Vec::new() }
    }

    /// Whether the server's or the tool's name holds one of these words.
    fn name_contains(&self, words: &[&str]) -> bool {
        let name = self.tool.to_string().to_ascii_lowercase();
        words.iter().any(|word| name.contains(word))
    }

    fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.last_value(key).is_some())
    }

    /// The value of the last member with this key, which is the one that servers take.
    fn last_value(&self, key: &str) -> Option<&'a RawValue> {
        self.remaining.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// Makes fields of the members with these keys, every one of them.
    fn take_field(&mut self, label: &'static str, keys: &[&str], show: impl Fn(&RawValue) -> StyledText) {
        self.take_many_fields(keys, |value| {
            vec![CallField { label: FieldLabel::Own(label), value: show(value) }]
        });
    }

    /// As [`ArgumentReader::take`], several fields of each.
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

    /// Adds a field of Portero's own.
    fn add_field(&mut self, label: &'static str, value: StyledText) {
        self.fields.push(CallField { label: FieldLabel::Own(label), value });
    }

    /// Every field, with what was not taken at the end.
    fn into_fields(mut self) -> Vec<CallField> {
        for (key, value) in self.remaining {
            let label = FieldLabel::Key(EscapedText::line(&key));
            self.fields.push(CallField { label, value: as_text(value) });
        }
        self.fields
    }
}

#[cfg(test)]
mod tests;
