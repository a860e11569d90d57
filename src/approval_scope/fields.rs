//! The arguments of a call that a person can fix: a repository, a channel, a folder, a recipient.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::{RawObject, refuse_duplicate_keys};
use crate::policy::{ArgumentPointer, FixedArgument, FixedArguments, ScalarValue};

/// How many arguments are offered.
const MAX_CHOOSABLE_FIELDS: usize = 12;
/// How deep an argument may be: a member, or a member of a member.
const MAX_DEPTH: usize = 2;

/// What an argument is, by its name. The order is that in which they are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// A repository, or who owns it.
    Repository,
    /// A channel or chat.
    Channel,
    /// A recipient.
    Recipient,
    /// A folder or file.
    Path,
    /// A table or database.
    Table,
    /// A project, board, calendar or the like.
    Container,
    /// Anything else.
    Other,
}

/// An argument of a call that a person can fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoosableField {
    /// Where it is.
    pub pointer: ArgumentPointer,
    /// Its concealed value.
    pub value: ScalarValue,
    /// What it is.
    pub kind: FieldKind,
}

/// The arguments that a person can fix, the useful ones first. Empty where a server could read the arguments in two
/// ways.
#[must_use]
pub fn choosable_fields(arguments: &RawValue) -> Vec<ChoosableField> {
    if refuse_duplicate_keys(arguments).is_err() {
        return Vec::new();
    }
    let mut fields = Vec::new();
    collect_fields(arguments, &mut Vec::new(), &mut fields);
    fields.retain(|field| {
        let fixed = FixedArgument { pointer: field.pointer.clone(), value: field.value.clone() };
        // One that wouldn't cover this very call, because another key looks like its own.
        FixedArguments::new(vec![fixed]).is_ok_and(|fixed| fixed.cover(arguments))
    });
    // Stable, so that equals stay in the order of the call.
    fields.sort_by_key(|field| (field.kind, field.pointer.names().count()));
    fields.truncate(MAX_CHOOSABLE_FIELDS);
    fields
}

/// The arguments to fix where the person chooses none: all of the most useful kind. Empty where no argument has a name
/// that says what it is.
#[must_use]
pub fn suggested_pointers(fields: &[ChoosableField]) -> Vec<ArgumentPointer> {
    let Some(first) = fields.first().filter(|field| field.kind != FieldKind::Other) else {
        return Vec::new();
    };
    let same = fields.iter().filter(|field| field.kind == first.kind);
    same.map(|field| field.pointer.clone()).collect()
}

fn collect_fields(object: &RawValue, names: &mut Vec<String>, fields: &mut Vec<ChoosableField>) {
    let Ok(object) = RawObject::read(object) else { return };
    for (name, value) in object.iter() {
        names.push(name.to_owned());
        let path: Vec<&str> = names.iter().map(String::as_str).collect();
        match (ScalarValue::read(value), ArgumentPointer::from_names(&path)) {
            (Some(value), Ok(pointer)) if is_readable(&value) => {
                fields.push(ChoosableField { pointer, value, kind: FieldKind::of_name(name) });
            }
            (None, _) if names.len() < MAX_DEPTH => collect_fields(value, names, fields),
            (Some(_) | None, _) => {}
        }
        names.pop();
    }
}

/// Whether a person can take in the value at a glance. Texts of several lines are what is written, not where.
fn is_readable(value: &ScalarValue) -> bool {
    let text = value.to_plain_text();
    !text.is_empty() && text.chars().count() <= 100 && !text.contains(char::is_control)
}

impl ChoosableField {
    /// Whether it is a path that means another file in another directory.
    #[must_use]
    pub fn is_relative_path(&self) -> bool {
        let path = self.value.to_plain_text();
        let is_drive = path.as_bytes().get(1) == Some(&b':');
        self.kind == FieldKind::Path
            && !path.starts_with(['/', '\\', '~'])
            && !is_drive
            && !path.contains("://")
    }
}

impl FieldKind {
    /// What an argument of this name is.
    fn of_name(name: &str) -> Self {
        let plain: String =
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        let plain = plain.strip_suffix("id").filter(|rest| !rest.is_empty()).unwrap_or(&plain);
        match plain {
            "owner" | "org" | "organization" | "repo" | "repository" | "reponame" | "repositoryname"
            | "workspace" => Self::Repository,
            "channel" | "channelname" | "chat" | "room" | "conversation" | "thread" => Self::Channel,
            "to" | "recipient" | "email" | "emailaddress" | "address" | "phone" | "customer" | "user"
            | "username" => Self::Recipient,
            "path" | "filepath" | "file" | "filename" | "folder" | "directory" | "dir" | "cwd" | "root"
            | "workdir" | "workingdirectory" => Self::Path,
            "table" | "tablename" | "database" | "databasename" | "db" | "schema" | "collection"
            | "bucket" | "index" => Self::Table,
            "project" | "projectkey" | "projectname" | "board" | "team" | "account" | "calendar" | "page"
            | "parent" | "spreadsheet" | "document" | "doc" | "space" | "site" | "environment"
            | "cluster" | "namespace" | "host" => Self::Container,
            _ => Self::Other,
        }
    }
}
