//! Keys and values of MCP and JSON Schema, which no replacement touches (guarantee N8). A person may be called `Text`, and
//! `{"type":"text"}` must stay what it is.
//!
//! A key counts anywhere in a message: the same word names a member of the protocol, a property in a tool's schema and the
//! argument of a call, and these must go together. A value counts under its key alone. Text in a string, also JSON in it,
//! is no part of the protocol.

use std::ops::Range;

/// Keys of MCP's messages (schema of 2025-11-25) and of JSON Schema.
pub(super) const KEYS: [&str; 159] = [
    // JSON-RPC and every message.
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "code",
    "message",
    "data",
    "_meta",
    "progressToken",
    "progress",
    "total",
    "cursor",
    "nextCursor",
    "requestId",
    "reason",
    // Names of things, and content blocks.
    "name",
    "title",
    "description",
    "icons",
    "src",
    "mimeType",
    "sizes",
    "theme",
    "websiteUrl",
    "type",
    "text",
    "annotations",
    "audience",
    "priority",
    "lastModified",
    "content",
    "structuredContent",
    "isError",
    "resource",
    "uri",
    "blob",
    "size",
    "input",
    "toolUseId",
    // Tools, prompts, resources, completions.
    "tools",
    "inputSchema",
    "outputSchema",
    "execution",
    "taskSupport",
    "readOnlyHint",
    "destructiveHint",
    "idempotentHint",
    "openWorldHint",
    "arguments",
    "prompts",
    "messages",
    "role",
    "resources",
    "resourceTemplates",
    "uriTemplate",
    "contents",
    "completion",
    "values",
    "hasMore",
    "ref",
    "argument",
    "value",
    "context",
    // Logging, elicitation, sampling, tasks, initialization.
    "level",
    "logger",
    "requestedSchema",
    "action",
    "mode",
    "elicitationId",
    "url",
    "model",
    "stopReason",
    "systemPrompt",
    "includeContext",
    "temperature",
    "maxTokens",
    "stopSequences",
    "metadata",
    "modelPreferences",
    "hints",
    "toolChoice",
    "task",
    "tasks",
    "taskId",
    "status",
    "statusMessage",
    "ttl",
    "pollInterval",
    "createdAt",
    "lastUpdatedAt",
    "protocolVersion",
    "capabilities",
    "serverInfo",
    "clientInfo",
    "instructions",
    "version",
    "experimental",
    "listChanged",
    "subscribe",
    "roots",
    "logging",
    "completions",
    "sampling",
    "elicitation",
    "requests",
    // JSON Schema.
    "$schema",
    "$id",
    "$ref",
    "$defs",
    "$comment",
    "$anchor",
    "definitions",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "items",
    "prefixItems",
    "contains",
    "enum",
    "enumNames",
    "const",
    "default",
    "examples",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minContains",
    "maxContains",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
];

/// The values that a key may have, alone or in a list.
pub(super) const VALUES: [(&str, &[&str]); 11] = [
    (
        "type",
        &[
            "text",
            "image",
            "audio",
            "resource",
            "resource_link",
            "tool_use",
            "tool_result",
            "ref/prompt",
            "ref/resource",
            "object",
            "array",
            "string",
            "number",
            "integer",
            "boolean",
            "null",
        ],
    ),
    ("role", &["user", "assistant"]),
    ("audience", &["user", "assistant"]),
    ("level", &["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]),
    ("action", &["accept", "decline", "cancel"]),
    ("mode", &["form", "url", "auto", "required", "none"]),
    ("taskSupport", &["forbidden", "optional", "required"]),
    ("status", &["working", "input_required", "completed", "failed", "cancelled"]),
    ("theme", &["light", "dark"]),
    ("format", &["email", "uri", "date", "date-time"]),
    ("includeContext", &["none", "thisServer", "allServers"]),
];

/// The bytes of a longer list of values aren't read.
const MAX_LIST: usize = 2_048;

/// Whether a place in a string of raw JSON belongs to a key or value of the protocol.
pub(super) fn is_protocol_word(raw: &[u8], at: &Range<usize>) -> bool {
    let Some((quote, word)) = word_around(raw, at) else { return false };
    let Ok(word) = std::str::from_utf8(word) else { return false };
    let behind = quote + word.len() + 2;
    if first_non_blank(&raw[behind.min(raw.len())..]) == Some(b':') {
        return KEYS.contains(&word);
    }
    match key_of_value(&raw[..quote]) {
        // A schema names its properties here. They are keys as well.
        Some(b"required") => KEYS.contains(&word),
        Some(key) => VALUES.iter().any(|(known, values)| known.as_bytes() == key && values.contains(&word)),
        None => false,
    }
}

/// The string around a place, if it is a single word: where its opening quote is, and its text.
fn word_around<'a>(raw: &'a [u8], at: &Range<usize>) -> Option<(usize, &'a [u8])> {
    // No word of the protocol is longer.
    const MAX_WORD: usize = 24;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'$' | b'/' | b'-');
    let before = raw[..at.start].iter().rev().take(MAX_WORD).take_while(is_part).count();
    let behind = raw[at.end..].iter().take(MAX_WORD).take_while(is_part).count();
    let (start, end) = (at.start - before, at.end + behind);
    let quote = start.checked_sub(1)?;
    // A quote with a backslash is in a string.
    let is_string = raw[quote] == b'"' && raw.get(end) == Some(&b'"') && !raw[..quote].ends_with(b"\\");
    is_string.then(|| (quote, &raw[start..end]))
}

/// The key of the value that follows this text, which may stand in a list.
fn key_of_value(before: &[u8]) -> Option<&[u8]> {
    let before = match before.trim_ascii_end() {
        in_list @ [.., b'[' | b','] => {
            let near = in_list.len().saturating_sub(MAX_LIST);
            let bracket = near + memchr::memrchr(b'[', &in_list[near..])?;
            in_list[..bracket].trim_ascii_end()
        }
        single => single,
    };
    let key = before.strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"")?;
    let quote = memchr::memrchr(b'"', key)?;
    Some(&key[quote + 1..])
}

fn first_non_blank(text: &[u8]) -> Option<u8> {
    text.trim_ascii_start().first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_of_the_protocol_are_told_from_text() {
        let is_word = |json: &str| {
            let at = json.find('<').expect("a mark");
            let json = json.replace('<', "");
            is_protocol_word(json.as_bytes(), &(at..at + 2))
        };
        for json in [
            r#"{"<type":"x"}"#,
            r#"{"a":1,"ty<pe" : "x"}"#,
            r#"{"type":"<text"}"#,
            r#"{"type" : "te<xt","a":1}"#,
            r#"{"audience":["assistant", "<user"]}"#,
            r#"{"type":["<string","null"]}"#,
            r#"{"required":["a","<name"]}"#,
            r#"{"properties":{"<name":{}}}"#,
        ] {
            assert!(is_word(json), "{json}");
        }
        for json in [
            r#"{"text":"<type"}"#,
            r#"{"a":"<text"}"#,
            r#"["<text"]"#,
            r#""<text""#,
            r#"{"type":"<textual"}"#,
            r#"{"type":"a <text"}"#,
            r#"{"text":"{\"type\":\"<text\"}"}"#,
            r#"{"type":{"a":["<text"]}}"#,
            r#"{"texts <type":1}"#,
            r#"{"required":["<Ann"]}"#,
            r#"{"role":"<text"}"#,
        ] {
            assert!(!is_word(json), "{json}");
        }
    }
}
