//! Checks a call's arguments against the `inputSchema` of its tool.
//!
//! A check that can't be made refuses nothing. A schema that is too large, refers to another document, or
//! needs a backtracking pattern engine is left to the server. The result depends on what the agent wrote and
//! on where fakes are in it, never on a real value behind one. Otherwise an agent could probe a value's length
//! or letters.

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The largest schema that is compiled, in bytes.
const MAX_SCHEMA_BYTES: usize = 128 << 10;
/// The largest arguments that are checked, in bytes.
const MAX_ARGUMENTS_BYTES: usize = 128 << 10;
/// The most memory of one compiled pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// The most steps of one check; see [`StepBudget`].
const MAX_STEPS: usize = 500_000;
/// How deep schemas may refer to each other for one value.
const MAX_SCHEMA_DEPTH: usize = 256;
/// The most faults that are reported.
const MAX_FAULTS: usize = 5;

/// The `inputSchema` of a tool, compiled.
#[derive(Debug)]
pub(super) struct InputSchema {
    schema: Value,
    validator: Validator,
}

impl InputSchema {
    /// Compiles a schema. `None` if arguments can't be checked against it. The dialect is its `$schema`, or
    /// else 2020-12 (MCP 2025-11-25, "JSON Schema Usage").
    pub(super) fn compile(schema: &RawValue) -> Option<Self> {
        if schema.get().len() > MAX_SCHEMA_BYTES {
            return None;
        }
        let schema: Value = serde_json::from_str(schema.get()).ok()?;
        let validator = jsonschema::options()
            .offline()
            // Servers differ in what they accept as a date or an address, and most don't check.
            .should_validate_formats(false)
            // Takes linear time, whatever the pattern.
            .with_pattern_options(
                PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES),
            )
            .build(&schema)
            .ok()?;
        Some(Self { schema, validator })
    }

    /// The first few faults, in the schema's own words and without any value of the arguments, each with its
    /// place. Empty if the arguments fit or can't be checked. `sent` are the arguments as the agent wrote
    /// them, `seen` as the server would see them.
    pub(super) fn faults(&self, sent: Option<&RawValue>, seen: Option<&RawValue>) -> Vec<String> {
        let (Some(sent), Some(seen)) = (read_arguments(sent), read_arguments(seen)) else {
            return Vec::new();
        };
        // The budget first: a validator must not even start on a schema that could keep it busy for ever.
        let mut budget = StepBudget { root: &self.schema, left: MAX_STEPS };
        if budget.spend_check(&self.schema, &sent, 0).is_none() || self.validator.is_valid(&sent) {
            return Vec::new();
        }
        let mut revealed = Vec::new();
        find_revealed(&sent, &seen, &Location::new(), &mut revealed);
        self.validator
            .iter_errors(&sent)
            .filter(|error| is_certain(error, &revealed))
            .take(MAX_FAULTS)
            .map(|error| format!("{}: {}", describe_place(error.instance_path()), error.masked()))
            .collect()
    }
}

/// The arguments as a value; `None` if they are too large. Absent arguments count as an empty object, as for
/// most servers.
fn read_arguments(arguments: Option<&RawValue>) -> Option<Value> {
    match arguments.map(RawValue::get) {
        None | Some("null") => Some(Value::Object(Map::new())),
        Some(text) if text.len() > MAX_ARGUMENTS_BYTES => None,
        Some(text) => serde_json::from_str(text).ok(),
    }
}

fn describe_place(place: &Location) -> String {
    match place.as_str() {
        "" => "the arguments".to_owned(),
        pointer => format!("`{pointer}`"),
    }
}

/// Collects the places where the server would see something else than the agent wrote: a revealed value, or an
/// object with a revealed key.
fn find_revealed(sent: &Value, seen: &Value, place: &Location, revealed: &mut Vec<Location>) {
    match (sent, seen) {
        (Value::Object(sent), Value::Object(seen)) if sent.keys().eq(seen.keys()) => {
            for (key, value) in sent {
                find_revealed(value, &seen[key], &place.join(key), revealed);
            }
        }
        (Value::Array(sent), Value::Array(seen)) if sent.len() == seen.len() => {
            for (index, (sent, seen)) in sent.iter().zip(seen).enumerate() {
                find_revealed(sent, seen, &place.join(index), revealed);
            }
        }
        _ if sent == seen => {}
        _ => revealed.push(place.clone()),
    }
}

/// Keywords whose schemas apply only if other schemas match, or don't.
const CONDITIONAL_KEYWORDS: [&str; 4] = ["then", "else", "unevaluatedProperties", "unevaluatedItems"];

/// Whether a fault exists whatever value is behind the fakes.
fn is_certain(error: &ValidationError<'_>, revealed: &[Location]) -> bool {
    if is_uncertain_anywhere(error.kind()) {
        return false;
    }
    if revealed.is_empty() {
        return true;
    }
    let place = error.instance_path().as_str();
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_conditional = error.evaluation_path().into_iter().any(|segment| match segment {
        LocationSegment::Property(keyword) => CONDITIONAL_KEYWORDS.contains(&&*keyword),
        LocationSegment::Index(_) => false,
    });
    // Conditional keywords may depend on a revealed value. A fault at or inside a revealed value does, and one
    // around it may, unless it is about the shape alone.
    !is_conditional
        && revealed.iter().all(|changed| {
            let changed = changed.as_str();
            !within(place, changed) && (!within(changed, place) || is_about_shape(error.kind()))
        })
}

/// Whether servers may disagree about this kind of fault, as in rounding, or in encodings that few check.
fn is_uncertain_anywhere(kind: &ValidationErrorKind) -> bool {
    matches!(
        kind,
        ValidationErrorKind::MultipleOf { .. }
            | ValidationErrorKind::Format { .. }
            | ValidationErrorKind::ContentEncoding { .. }
            | ValidationErrorKind::ContentMediaType { .. }
            | ValidationErrorKind::FromUtf8 { .. }
            | ValidationErrorKind::BacktrackLimitExceeded { .. }
            | ValidationErrorKind::RegexEngineFailure { .. }
            | ValidationErrorKind::Referencing(_)
            | ValidationErrorKind::Custom { .. }
    )
}

/// Whether a fault of an object or array is about its keys, length or type, and not about its contents.
fn is_about_shape(kind: &ValidationErrorKind) -> bool {
    matches!(
        kind,
        ValidationErrorKind::Required { .. }
            | ValidationErrorKind::AdditionalProperties { .. }
            | ValidationErrorKind::AdditionalItems { .. }
            | ValidationErrorKind::Type { .. }
            | ValidationErrorKind::FalseSchema
            | ValidationErrorKind::MinItems { .. }
            | ValidationErrorKind::MaxItems { .. }
            | ValidationErrorKind::MinProperties { .. }
            | ValidationErrorKind::MaxProperties { .. }
    )
}

/// Counts the steps of a check in advance. A few schemas that refer to each other can make any validator try
/// more combinations than there are atoms, and a server's schema can't be trusted not to.
///
/// A step is one schema at one value, and costs as much as the value is large, because a validator may copy it
/// into its report. Every branch counts as if it had to be tried.
struct StepBudget<'s> {
    root: &'s Value,
    left: usize,
}

impl<'s> StepBudget<'s> {
    /// Spends the steps of checking a value. `None` if they are too many or can't be counted.
    fn spend_check(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Option<()> {
        self.spend(1 + weigh(value))?;
        let Value::Object(keywords) = schema else { return Some(()) };
        // Below its own base address a reference can't be followed in this document.
        if depth > MAX_SCHEMA_DEPTH || depth > 0 && has_own_base(keywords) {
            return None;
        }
        // To know what was evaluated, a validator evaluates the other keywords once more.
        let rounds = 1 + ["unevaluatedProperties", "unevaluatedItems"]
            .iter()
            .filter(|keyword| keywords.contains_key(**keyword))
            .count();
        for _ in 0..rounds {
            for (keyword, operand) in keywords {
                self.spend_keyword(keyword, operand, keywords, value, depth + 1)?;
            }
        }
        Some(())
    }

    fn spend_keyword(
        &mut self,
        keyword: &str,
        operand: &'s Value,
        keywords: &'s Map<String, Value>,
        value: &Value,
        depth: usize,
    ) -> Option<()> {
        match keyword {
            "$ref" => {
                let target = self.resolve_reference(operand)?;
                self.spend_check(target, value, depth)
            }
            // The target of these depends on the way to them.
            "$dynamicRef" | "$recursiveRef" => None,
            "allOf" | "anyOf" | "oneOf" => operand
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|branch| self.spend_check(branch, value, depth)),
            "not" | "if" | "then" | "else" => self.spend_check(operand, value, depth),
            "dependentSchemas" | "dependencies" => operand
                .as_object()
                .into_iter()
                .flatten()
                .try_for_each(|(_, branch)| self.spend_check(branch, value, depth)),
            "enum" | "uniqueItems" => {
                let compared = operand.as_array().map_or(16, Vec::len);
                self.spend(compared.saturating_mul(1 + value.as_array().map_or(0, Vec::len)))
            }
            _ => match value {
                Value::Object(members) => self.spend_members(keyword, operand, keywords, members, depth),
                Value::Array(items) => self.spend_items(keyword, operand, items, depth),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(()),
            },
        }
    }

    /// Spends the steps of a keyword for the members of an object.
    fn spend_members(
        &mut self,
        keyword: &str,
        operand: &'s Value,
        keywords: &'s Map<String, Value>,
        members: &Map<String, Value>,
        depth: usize,
    ) -> Option<()> {
        match keyword {
            "properties" => {
                let named = operand.as_object();
                members
                    .iter()
                    .filter_map(|(key, value)| Some((named?.get(key)?, value)))
                    .try_for_each(|(schema, value)| self.spend_check(schema, value, depth))
            }
            // Counts as if every pattern matched every key.
            "patternProperties" => operand.as_object().into_iter().flatten().try_for_each(|(_, schema)| {
                members.values().try_for_each(|value| self.spend_check(schema, value, depth))
            }),
            "additionalProperties" | "unevaluatedProperties" => {
                let named = keywords.get("properties").and_then(Value::as_object);
                members
                    .iter()
                    .filter(|(key, _)| named.is_none_or(|named| !named.contains_key(*key)))
                    .try_for_each(|(_, value)| self.spend_check(operand, value, depth))
            }
            "propertyNames" => members
                .keys()
                .try_for_each(|key| self.spend_check(operand, &Value::String(key.clone()), depth)),
            _ => Some(()),
        }
    }

    /// Spends the steps of a keyword for the items of an array.
    fn spend_items(
        &mut self,
        keyword: &str,
        operand: &'s Value,
        items: &[Value],
        depth: usize,
    ) -> Option<()> {
        match (keyword, operand) {
            ("prefixItems" | "items", Value::Array(schemas)) => {
                schemas.iter().zip(items).try_for_each(|(schema, item)| self.spend_check(schema, item, depth))
            }
            ("items" | "additionalItems" | "unevaluatedItems" | "contains", schema) => {
                items.iter().try_for_each(|item| self.spend_check(schema, item, depth))
            }
            _ => Some(()),
        }
    }

    /// The schema in the same document that a `$ref` names. `None` for another document, or an anchor.
    fn resolve_reference(&self, reference: &Value) -> Option<&'s Value> {
        let pointer = reference.as_str()?.strip_prefix('#')?;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return None;
        }
        self.root.pointer(&percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?)
    }

    fn spend(&mut self, steps: usize) -> Option<()> {
        self.left = self.left.checked_sub(steps)?;
        Some(())
    }
}

/// Whether references below this schema are relative to an address of its own.
fn has_own_base(keywords: &Map<String, Value>) -> bool {
    ["$id", "id"].iter().any(|key| keywords.get(*key).is_some_and(Value::is_string))
}

/// The size of a value: the number of its parts, and 64 bytes of text as one more.
fn weigh(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len() / 64,
        Value::Array(items) => 1 + items.iter().map(weigh).sum::<usize>(),
        Value::Object(members) => {
            1 + members.iter().map(|(key, value)| key.len() / 64 + weigh(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::{RawJson, parse_raw};

    fn raw(text: &str) -> RawJson {
        parse_raw(text.to_owned()).expect("JSON")
    }

    fn faults_between(schema: &Value, sent: &str, seen: &str) -> Vec<String> {
        let schema = InputSchema::compile(&raw(&schema.to_string())).expect("a schema that compiles");
        schema.faults(Some(&raw(sent)), Some(&raw(seen)))
    }

    fn faults(schema: &Value, sent: &str) -> Vec<String> {
        faults_between(schema, sent, sent)
    }

    #[test]
    fn a_fault_names_its_place_and_what_the_schema_says_and_no_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "title": { "type": "string", "maxLength": 5 },
                "state": { "enum": ["open", "closed"] },
                "labels": { "type": "array", "items": { "type": "string" } },
            },
            "required": ["title"],
            "additionalProperties": false,
        });
        for (arguments, told) in [
            (r#"{"title":"a"}"#, None),
            (r#"{"title":7}"#, Some(r#"`/title`: value is not of type "string""#)),
            (r#"{"title":"s3cret"}"#, Some("`/title`: value is longer than 5 characters")),
            (r#"{}"#, Some(r#"the arguments: "title" is a required property"#)),
            (r#"[]"#, Some(r#"the arguments: value is not of type "object""#)),
            (
                r#"{"title":"a","state":"s3cret"}"#,
                Some(r#"`/state`: value is not one of "open" or "closed""#),
            ),
            (r#"{"title":"a","labels":["b",1]}"#, Some(r#"`/labels/1`: value is not of type "string""#)),
            (
                r#"{"title":"a","titel":"b"}"#,
                Some("the arguments: Additional properties are not allowed ('titel' was unexpected)"),
            ),
        ] {
            assert_eq!(faults(&schema, arguments).first().map(String::as_str), told, "{arguments}");
        }
    }

    #[test]
    fn no_arguments_are_an_empty_object() {
        let schema = InputSchema::compile(&raw(r#"{"type":"object"}"#)).expect("a schema");
        assert!(schema.faults(None, None).is_empty());
        assert!(schema.faults(Some(&raw("null")), Some(&raw("null"))).is_empty());
        let strict = InputSchema::compile(&raw(r#"{"required":["a"]}"#)).expect("a schema");
        assert_eq!(strict.faults(None, None).len(), 1);
    }

    #[test]
    fn the_dialect_is_that_of_the_schema_and_2020_12_without_one() {
        let pair = r#"{"pair":["a",1]}"#;
        let prefix = json!({ "properties": { "pair": { "prefixItems": [{ "type": "integer" }] } } });
        assert_eq!(faults(&prefix, pair).len(), 1);
        // Draft 7 writes the same as a list in `items`, and doesn't know `prefixItems`.
        let draft_7 = "http://json-schema.org/draft-07/schema#";
        let older =
            json!({ "$schema": draft_7, "properties": { "pair": { "items": [{ "type": "integer" }] } } });
        assert_eq!(faults(&older, pair).len(), 1);
        let unknown = json!({ "$schema": draft_7, "properties": prefix["properties"] });
        assert!(faults(&unknown, pair).is_empty());
    }

    #[test]
    fn what_cannot_be_checked_is_left_to_the_server() {
        let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(MAX_SCHEMA_BYTES));
        for schema in [
            r#"{"$ref":"https://example.com/other.json"}"#,
            r#"{"$ref":"file:///etc/passwd"}"#,
            r#"{"type":"nonsense"}"#,
            r#"{"pattern":"(?=a)b"}"#,
            r#"{"properties":{"a":{"pattern":"(a{1000}){1000}"}}}"#,
            r#"{"$schema":"https://example.com/dialect"}"#,
            &large,
        ] {
            assert!(InputSchema::compile(&raw(schema)).is_none(), "{}", &schema[..schema.len().min(80)]);
        }
        // Formats and rounding differ from server to server.
        let loose =
            json!({ "properties": { "at": { "format": "date-time" }, "price": { "multipleOf": 0.01 } } });
        assert!(faults(&loose, r#"{"at":"tomorrow","price":0.015}"#).is_empty());
        let many = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_ARGUMENTS_BYTES));
        assert!(faults(&json!({ "required": ["b"] }), &many).is_empty());
    }

    #[test]
    fn schemas_that_refer_to_each_other_without_end_cost_no_time() {
        // Each of these takes its neighbour twice: as many ways as there are atoms in a lump of iron.
        let mut doubled = Map::new();
        for level in 0..80 {
            let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
            doubled.insert(level.to_string(), json!({ "anyOf": [next, next] }));
        }
        doubled.insert("80".to_owned(), json!({ "type": "string" }));
        let circle = json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } }, "$ref": "#/$defs/a" });
        let child = json!({ "properties": { "c": { "$ref": "#" } }, "required": ["d"] });
        let tree = json!({ "anyOf": [child, child], "type": "object" });
        let deep = format!("{}{{}}{}", r#"{"c":"#.repeat(60), "}".repeat(60));
        for (schema, arguments) in
            [(json!({ "$defs": doubled, "$ref": "#/$defs/0" }), "{}"), (circle, "{}"), (tree, deep.as_str())]
        {
            if let Some(schema) = InputSchema::compile(&raw(&schema.to_string())) {
                assert!(schema.faults(Some(&raw(arguments)), Some(&raw(arguments))).is_empty());
            }
        }
        // One that is as deep as calls are is checked.
        let list = json!({ "properties": { "next": { "$ref": "#" }, "text": { "type": "string" } } });
        assert_eq!(
            faults(&list, r#"{"next":{"next":{"text":1}}}"#),
            [r#"`/next/next/text`: value is not of type "string""#]
        );
    }

    /// Whatever an agent sends around a fake, the answer must not depend on the value behind it.
    #[test]
    fn no_answer_depends_on_a_value_that_is_revealed() {
        let one_of = json!([{ "properties": { "name": { "const": "Ada" } } }, { "required": ["zip"] }]);
        let schemas = [
            json!({ "properties": { "name": { "maxLength": 4 } } }),
            json!({ "properties": { "name": { "minLength": 7 } } }),
            json!({ "properties": { "name": { "pattern": "^B" } } }),
            json!({ "properties": { "name": { "enum": ["Ada", "Eve"] } } }),
            json!({ "properties": { "name": { "const": "Ada" } } }),
            json!({ "properties": { "name": { "type": "integer" } } }),
            json!({ "anyOf": one_of }),
            json!({ "oneOf": one_of }),
            json!({ "not": one_of[0] }),
            json!({ "if": one_of[0], "then": { "required": ["zip"] } }),
            json!({ "if": one_of[0], "else": { "properties": { "other": { "type": "string" } } } }),
            json!({ "enum": [{ "name": "Ada", "other": 1 }] }),
            json!({ "anyOf": [one_of[0], true], "unevaluatedProperties": { "type": "string" } }),
            json!({ "propertyNames": { "maxLength": 2 }, "properties": { "name": { "maxLength": 4 } } }),
            json!({ "required": ["zip"], "properties": { "name": { "const": "Ada" }, "other": { "type": "null" } } }),
        ];
        let sent = r#"{"name":"Bob","other":1}"#;
        for schema in &schemas {
            let answers: Vec<_> = ["Ada", "Bartholomew", "B", "12"]
                .iter()
                .map(|real| faults_between(schema, sent, &json!({ "name": real, "other": 1 }).to_string()))
                .collect();
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{schema}: {answers:?}");
        }
        // What has nothing to do with it is told.
        let told = faults_between(&schemas[14], sent, r#"{"name":"Ada","other":1}"#);
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn a_value_that_fits_once_it_is_revealed_is_no_fault() {
        let schema =
            json!({ "properties": { "to": { "type": "array", "items": { "enum": ["ada@home.example"] } } } });
        let sent = r#"{"to":["bob@work.example"]}"#;
        assert!(faults_between(&schema, sent, r#"{"to":["ada@home.example"]}"#).is_empty());
        assert_eq!(faults(&schema, sent).len(), 1);
        // Nor is a key.
        let keys = json!({ "properties": { "ada": {} }, "additionalProperties": false });
        assert!(faults_between(&keys, r#"{"bob":1}"#, r#"{"ada":1}"#).is_empty());
        assert_eq!(faults(&keys, r#"{"bob":1}"#).len(), 1);
    }
}
