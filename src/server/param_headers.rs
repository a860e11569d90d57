//! Arguments that a server over HTTP wants as headers too: `x-mcp-header` in a tool's `inputSchema` (MCP 2026-07-28,
//! Streamable HTTP, "Custom Headers from Tool Parameters").
//!
//! The header says what the argument says, as the server gets it: with the real values that it may see. An agent over
//! HTTP sends such headers to Portero, with the values that it sees itself ([`check_param_headers`]).

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::RawObject;
use crate::secret::Secret;
use crate::wire::modern;

/// The annotation of a property.
const ANNOTATION: &str = "x-mcp-header";
/// What is put before its value.
const HEADER_PREFIX: &str = "mcp-param-";
/// The most annotations of one tool.
const MAX_HEADERS: usize = 64;

/// Keywords whose value is a schema, or a list of schemas, that no chain of `properties` reaches.
const SUBSCHEMAS: [&str; 17] = [
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "extends",
];
/// Keywords whose value maps names to such schemas.
const SUBSCHEMA_MAPS: [&str; 4] = ["patternProperties", "dependentSchemas", "$defs", "definitions"];

/// An argument that is sent as a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParamHeader {
    /// The whole name of the header, in lower case.
    name: String,
    /// The keys that lead to the argument.
    path: Vec<String>,
}

/// The annotated arguments of a tool.
///
/// # Errors
/// In words, for an annotation that breaks a rule of the specification. Such a tool must not be used.
pub(super) fn read_param_headers(tool: &RawValue) -> Result<Vec<ParamHeader>, String> {
    if !modern::may_contain_key(tool, &[ANNOTATION]) {
        return Ok(Vec::new());
    }
    let Some(schema) = RawObject::read(tool).ok().and_then(|tool| tool.get("inputSchema")) else {
        return Ok(Vec::new());
    };
    // Too deep to read: no annotation in it can be sent.
    let Ok(Value::Object(schema)) = serde_json::from_str(schema.get()) else { return Ok(Vec::new()) };
    let mut reader = AnnotationReader { found: Vec::new(), names: HashSet::new() };
    if schema.contains_key(ANNOTATION) {
        return Err(format!("`{ANNOTATION}` is not on a property"));
    }
    reader.read_schema(&schema, &mut Vec::new(), true)?;
    Ok(reader.found)
}

/// The headers of one call, by its `params`. An argument that is absent or null has none.
pub(super) fn header_values(headers: &[ParamHeader], params: Option<&RawValue>) -> Vec<(String, Secret)> {
    let value = |header: &ParamHeader| {
        let text = argument_text(header.argument(params)?)?;
        Some((header.name.clone(), Secret::new(modern::encode_header_value(&text))))
    };
    headers.iter().filter_map(value).collect()
}

/// An argument as text; none if it isn't a string, a number or a boolean.
fn argument_text(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        Value::String(text) => Some(text),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(match number.as_f64() {
            // `42.0` is the integer 42, which the header spells without a fraction.
            Some(float) if number.as_i64().is_none() && float.fract() == 0.0 && float.abs() < 9.0e15 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Checks that the headers of a request say what the arguments of its call say, as a server must (MCP 2026-07-28,
/// Streamable HTTP, "Server Validation"). `given` holds the headers `mcp-param-…` by their names in lower case, as they
/// came. Headers that the tool doesn't ask for say nothing.
///
/// # Errors
/// In words, with the name of the header. Its value isn't repeated.
pub(crate) fn check_param_headers(
    tool: &RawValue,
    params: Option<&RawValue>,
    given: &HashMap<String, String>,
) -> Result<(), String> {
    // Clients leave out a tool with an invalid annotation, so there is nothing that they could send.
    let Ok(headers) = read_param_headers(tool) else { return Ok(()) };
    for header in headers {
        let name = &header.name;
        match (header.argument(params), given.get(name)) {
            (None, None) => {}
            (Some(_), None) => return Err(format!("the header {name} is missing")),
            (None, Some(_)) => return Err(format!("there is a header {name} and no such argument")),
            (Some(argument), Some(value)) => match modern::decode_header_value(value) {
                None => return Err(format!("the header {name} is marked as base64 and is none")),
                Some(value) if says_argument(&value, argument) => {}
                Some(_) => return Err(format!("the header {name} does not match its argument in the body")),
            },
        }
    }
    Ok(())
}

/// Whether a header says this argument. Numbers count by their values.
fn says_argument(value: &str, argument: &RawValue) -> bool {
    let expected = argument_text(argument);
    let is_number = matches!(serde_json::from_str(argument.get()), Ok(Value::Number(_)));
    let read = || serde_json::from_str::<&RawValue>(value).ok().and_then(argument_text);
    expected.as_deref() == Some(value) || is_number && expected == read()
}

impl ParamHeader {
    /// The argument that it mirrors; none if that is absent or null, or can't be a header.
    fn argument<'a>(&self, params: Option<&'a RawValue>) -> Option<&'a RawValue> {
        let mut value = RawObject::read(params?).ok()?.get("arguments")?;
        for key in &self.path {
            value = RawObject::read(value).ok()?.get(key)?;
        }
        argument_text(value).is_some().then_some(value)
    }
}

struct AnnotationReader {
    found: Vec<ParamHeader>,
    names: HashSet<String>,
}

impl AnnotationReader {
    /// Reads a schema below an annotation's own check. `path` leads to its value, if a chain of `properties` does.
    fn read_schema(
        &mut self,
        schema: &Map<String, Value>,
        path: &mut Vec<String>,
        is_reachable: bool,
    ) -> Result<(), String> {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (name, property) in properties {
                let Value::Object(property) = property else { continue };
                path.push(name.clone());
                if let Some(annotation) = property.get(ANNOTATION) {
                    self.take_annotation(annotation, property, path, is_reachable)?;
                }
                self.read_schema(property, path, is_reachable)?;
                path.pop();
            }
        }
        let single = SUBSCHEMAS.into_iter().filter_map(|keyword| schema.get(keyword));
        let mapped = SUBSCHEMA_MAPS.into_iter().filter_map(|keyword| schema.get(keyword)?.as_object());
        for below in single.chain(mapped.flat_map(|schemas| schemas.values())) {
            self.refuse_below(below, path)?;
        }
        Ok(())
    }

    /// Refuses an annotation in a place that no chain of `properties` reaches.
    fn refuse_below(&mut self, below: &Value, path: &mut Vec<String>) -> Result<(), String> {
        match below {
            Value::Object(schema) if schema.contains_key(ANNOTATION) => Err(unreachable_annotation()),
            Value::Object(schema) => self.read_schema(schema, path, false),
            Value::Array(schemas) => schemas.iter().try_for_each(|schema| self.refuse_below(schema, path)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn take_annotation(
        &mut self,
        annotation: &Value,
        property: &Map<String, Value>,
        path: &[String],
        is_reachable: bool,
    ) -> Result<(), String> {
        if !is_reachable {
            return Err(unreachable_annotation());
        }
        // A token of RFC 9110, 5.6.2.
        let is_token = |name: &&str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        let Some(name) = annotation.as_str().filter(is_token) else {
            return Err(format!("an `{ANNOTATION}` is no name of a header"));
        };
        if !matches!(property.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(format!("an `{ANNOTATION}` is on what is no string, integer or boolean"));
        }
        let name = format!("{HEADER_PREFIX}{}", name.to_ascii_lowercase());
        if !self.names.insert(name.clone()) {
            return Err(format!("two `{ANNOTATION}` have one name"));
        }
        if self.found.len() == MAX_HEADERS {
            return Err(format!("it has more than {MAX_HEADERS} of `{ANNOTATION}`"));
        }
        self.found.push(ParamHeader { name, path: path.to_vec() });
        Ok(())
    }
}

fn unreachable_annotation() -> String {
    format!("an `{ANNOTATION}` is in a place that `properties` alone does not reach")
}

/// The annotated arguments of a server's tools, by the tools' names.
pub(super) type ToolHeaders = HashMap<String, Vec<ParamHeader>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{RawJson, parse_raw};

    fn tool(schema: &str) -> RawJson {
        parse_raw(format!(r#"{{"name":"t","inputSchema":{schema}}}"#)).expect("JSON")
    }

    #[test]
    fn a_header_that_does_not_say_its_argument_is_found() {
        let tool = tool(
            r#"{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "count":{"type":"integer","x-mcp-header":"Count"}}}"#,
        );
        let check = |arguments: &str, given: &[(&str, &str)]| {
            let params = parse_raw(format!(r#"{{"name":"t","arguments":{arguments}}}"#)).expect("JSON");
            let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            check_param_headers(&tool, Some(&params), &given).err().unwrap_or_default()
        };
        let region = "mcp-param-region";
        for (arguments, given) in [
            ("{}", &[][..]),
            (r#"{"region":null}"#, &[]),
            (r#"{"region":"us"}"#, &[(region, "us")]),
            (r#"{"region":"us"}"#, &[(region, "us"), ("mcp-param-other", "x")]),
            (r#"{"region":"\u00fc"}"#, &[(region, "=?base64?w7w=?=")]),
            (r#"{"region":"dXM="}"#, &[(region, "dXM=")]),
            (r#"{"count":42}"#, &[("mcp-param-count", "42")]),
            (r#"{"count":42.0}"#, &[("mcp-param-count", "42")]),
            (r#"{"count":42}"#, &[("mcp-param-count", "42.0")]),
        ] {
            assert_eq!(check(arguments, given), "", "{arguments} {given:?}");
        }
        for (arguments, given, why) in [
            (r#"{"region":"us"}"#, &[][..], "is missing"),
            ("{}", &[(region, "us")], "no such argument"),
            (r#"{"region":"us"}"#, &[(region, "eu")], "does not match"),
            (r#"{"region":"us"}"#, &[(region, "US")], "does not match"),
            (r#"{"region":"42.0"}"#, &[(region, "42")], "does not match"),
            (r#"{"region":"us"}"#, &[(region, "=?base64?dXM?=")], "base64"),
            (r#"{"region":"us"}"#, &[(region, "=?base64?d!M=?=")], "base64"),
            (r#"{"count":9007199254740993}"#, &[("mcp-param-count", "9007199254740992")], "does not match"),
        ] {
            let words = check(arguments, given);
            assert!(words.contains(why), "{arguments} {given:?}: {words}");
            assert!(!words.contains("us") && !words.contains("eu"), "{words}");
        }
    }

    fn values(schema: &str, arguments: &str) -> Vec<(String, String)> {
        let headers = read_param_headers(&tool(schema)).expect("good annotations");
        let params = parse_raw(format!(r#"{{"name":"t","arguments":{arguments}}}"#)).expect("JSON");
        let values = header_values(&headers, Some(&params));
        values.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect()
    }

    #[test]
    fn annotated_arguments_are_sent_as_their_text() {
        let schema = r#"{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "count":{"type":"integer","x-mcp-header":"Count"},
            "dry":{"type":"boolean","x-mcp-header":"Dry-Run"},
            "options":{"type":"object","properties":{"limit":{"type":"integer","x-mcp-header":"Limit"}}},
            "query":{"type":"string"}}}"#;
        let sent = values(
            schema,
            r#"{"region":"us-west1","count":42.0,"dry":false,"options":{"limit":-7},"query":"x"}"#,
        );
        let expected = [
            ("mcp-param-region", "us-west1"),
            ("mcp-param-count", "42"),
            ("mcp-param-dry-run", "false"),
            ("mcp-param-limit", "-7"),
        ];
        assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(values(schema, r#"{"region":null,"options":{}}"#), []);
        assert_eq!(values(schema, r#"{"region":["us"]}"#), []);
    }

    #[test]
    fn what_a_header_cannot_hold_is_encoded() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"}}}"#;
        let sent = |argument: &str| values(schema, &format!(r#"{{"a":{argument}}}"#)).remove(0).1;
        // The examples of the specification, "Value Encoding".
        assert_eq!(sent(r#""Hello, 世界""#), "=?base64?SGVsbG8sIOS4lueVjA==?=");
        assert_eq!(sent(r#"" padded ""#), "=?base64?IHBhZGRlZCA=?=");
        assert_eq!(sent(r#""line1\nline2""#), "=?base64?bGluZTEKbGluZTI=?=");
        assert_eq!(sent(r#""=?base64?literal?=""#), "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=");
    }

    #[test]
    fn a_bad_annotation_spoils_its_tool() {
        for (schema, told) in [
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#, "no name of a header"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#, "no name of a header"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":"a\r\nb"}}}"#, "no name of a header"),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#, "no name of a header"),
            (r#"{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}"#, "no string, integer"),
            (r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#, "no string, integer"),
            (r#"{"properties":{"a":{"x-mcp-header":"A"}}}"#, "no string, integer"),
            (
                r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
                "have one name",
            ),
            (
                r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}"#,
                "does not reach",
            ),
            (r#"{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#, "does not reach"),
            (r#"{"$defs":{"a":{"type":"string","x-mcp-header":"A"}}}"#, "does not reach"),
            (r#"{"type":"object","x-mcp-header":"A"}"#, "not on a property"),
        ] {
            let error = read_param_headers(&tool(schema)).expect_err(schema);
            assert!(error.contains(told), "{schema}: {error}");
        }
    }

    #[test]
    fn a_property_or_a_value_of_that_name_is_no_annotation() {
        for schema in [
            r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#,
            r#"{"properties":{"a":{"type":"object","default":{"x-mcp-header":"A"}}}}"#,
            r#"{"properties":{"a":{"const":{"x-mcp-header":7}}}}"#,
        ] {
            assert_eq!(read_param_headers(&tool(schema)), Ok(Vec::new()), "{schema}");
        }
    }
}
