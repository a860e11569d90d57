//! What a call says, as a person reads it: fields with names, in a person's order.
//!
//! A formatter is chosen by the call's names and shape, never by trust: it only puts in order and names what it
//! knows. Fields come from taking members out of the arguments, and what no formatter took follows at the end, so
//! that nothing of a call is ever left out (guarantee A3).

mod calendar;
mod files;
mod github;
mod mail;
pub mod money;
mod notion;
mod stripe;
mod value;

use std::borrow::Cow;

use portero::json::Object;
use portero::names::ToolId;
use serde_json::value::RawValue;

use super::text::{Shown, Text};
pub use value::{as_json, as_text};

/// What a call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it looks like, in Portero's words, such as `E-mail`.
    pub kind: &'static str,
    /// Everything that it says.
    pub fields: Vec<Field>,
}

/// One thing that a call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What it is.
    pub label: Label,
    /// What it says.
    pub value: Text,
}

/// What a field is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// In Portero's words.
    Own(&'static str),
    /// As the argument's key.
    Key(Shown),
    /// In Portero's words, one of several.
    Numbered(&'static str, usize),
    /// In Portero's words, with a name from outside.
    Named(&'static str, Shown),
}

impl Label {
    /// The label before a colon.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Own(words) => Text::new().bold(words),
            Self::Key(key) => Text::new().code(key),
            Self::Numbered(words, number) => {
                Text::new().bold(words).words(" ").count(u64::try_from(*number).unwrap_or(u64::MAX))
            }
            Self::Named(words, name) => Text::new().bold(words).words(" ").code(name),
        }
    }
}

/// Reads a call's arguments.
#[must_use]
pub fn read(tool: &ToolId, arguments: Option<&RawValue>) -> Reading {
    let Some(arguments) = arguments else { return Reading { kind: "No arguments", fields: Vec::new() } };
    let Ok(object) = Object::read(arguments) else {
        let field = Field { label: Label::Own("Arguments"), value: as_json(arguments) };
        return Reading { kind: "Arguments", fields: vec![field] };
    };
    let mut open = Open::new(tool, object);
    let known = FORMATTERS.iter().find(|formatter| (formatter.fits)(&open));
    if let Some(formatter) = known {
        (formatter.read)(&mut open);
    }
    let fields = open.finish();
    let kind = match known {
        Some(formatter) => formatter.kind,
        None if fields.is_empty() => "No arguments",
        None => "Arguments",
    };
    Reading { kind, fields }
}

/// One formatter.
struct Formatter {
    kind: &'static str,
    fits: fn(&Open<'_>) -> bool,
    read: fn(&mut Open<'_>),
}

/// The formatters, the most particular first.
const FORMATTERS: [Formatter; 6] = [
    Formatter { kind: "Payment", fits: stripe::fits, read: stripe::read },
    Formatter { kind: "GitHub", fits: github::fits, read: github::read },
    Formatter { kind: "Notion", fits: notion::fits, read: notion::read },
    Formatter { kind: "Calendar", fits: calendar::fits, read: calendar::read },
    Formatter { kind: "E-mail", fits: mail::fits, read: mail::read },
    Formatter { kind: "File", fits: files::fits, read: files::read },
];

/// Arguments of which fields are taken. Whatever is not taken is added by [`Open::finish`].
struct Open<'a> {
    tool: &'a ToolId,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    fields: Vec<Field>,
}

impl<'a> Open<'a> {
    fn new(tool: &'a ToolId, object: Object<'a>) -> Self {
        Self { tool, members: object.into_members().collect(), fields: Vec::new() }
    }

    /// Whether the server's or the tool's name holds one of these words.
    fn is_named(&self, words: &[&str]) -> bool {
        let name = self.tool.to_string().to_ascii_lowercase();
        words.iter().any(|word| name.contains(word))
    }

    fn has(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.get(key).is_some())
    }

    /// The value of the last member with this key, which is the one that servers take.
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// Makes fields of the members with these keys, every one of them.
    fn take(&mut self, label: &'static str, keys: &[&str], show: impl Fn(&RawValue) -> Text) {
        self.take_many(keys, |value| vec![Field { label: Label::Own(label), value: show(value) }]);
    }

    /// As [`Open::take`], several fields of each.
    fn take_many(&mut self, keys: &[&str], show: impl Fn(&'a RawValue) -> Vec<Field>) {
        for key in keys {
            let fields = &mut self.fields;
            self.members.retain(|(name, value)| {
                if name == key {
                    fields.extend(show(value));
                }
                name != key
            });
        }
    }

    /// Adds a field of Portero's own.
    fn add(&mut self, label: &'static str, value: Text) {
        self.fields.push(Field { label: Label::Own(label), value });
    }

    /// Every field, with what was not taken at the end.
    fn finish(mut self) -> Vec<Field> {
        for (key, value) in self.members {
            let label = Label::Key(Shown::line(&key));
            self.fields.push(Field { label, value: as_text(value) });
        }
        self.fields
    }
}

#[cfg(test)]
mod tests;
