//! The additions of 2026-07-28 to the envelope: per-request `_meta`, result types, cache hints, subscriptions.
//!
//! Sources: the schema of revision 2026-07-28 (`RequestMetaObject`, `ResultMetaObject`,
//! `NotificationMetaObject`, `CacheableResult`, `DiscoverResult`, `SubscriptionFilter`,
//! `SubscriptionsAcknowledgedNotification`, `InputRequiredResult`, `UnsupportedProtocolVersionError`), as the
//! official Python (`mcp-types` 2.3) and Rust (`rmcp` 3.8) packages define it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Revision, answer_error_object, codes};
use crate::json::{self, RawJson, RawObject};

/// The prefix of the `_meta` keys that MCP itself reserves for one connection.
pub const META_PREFIX: &str = "io.modelcontextprotocol/";
/// Request `_meta`, required: the request's revision.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Request `_meta`: the client's `Implementation`.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Request `_meta`, required: the client's capabilities for this request.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Request `_meta`: the lowest level of log notifications for this request. Without it none are sent.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Notification and result `_meta`: the id of their `subscriptions/listen`.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// Request `_meta`, all revisions: the token for progress.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// The method that describes a server and its capabilities.
pub const DISCOVER_METHOD: &str = "server/discover";
/// The method that opens a stream of notifications.
pub const LISTEN_METHOD: &str = "subscriptions/listen";
/// The first notification on such a stream.
pub const ACKNOWLEDGED_METHOD: &str = "notifications/subscriptions/acknowledged";

/// `resultType` of a final result.
pub const RESULT_TYPE_COMPLETE: &str = "complete";
/// `resultType` of a result that asks the client for input. The client then repeats the request with it.
pub const RESULT_TYPE_INPUT_REQUIRED: &str = "input_required";
/// The members of a result that only this revision has.
const MODERN_MEMBERS: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];
const COMPLETE_MEMBERS: &str = r#""resultType":"complete""#;
/// Stale at once, because lists depend on policy. Private, because they depend on the person.
const LIST_MEMBERS: &str = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;

/// Marks a result as final, unless it has its own `resultType`.
#[must_use]
pub fn mark_complete(result: RawJson) -> RawJson {
    prepend_members(result, COMPLETE_MEMBERS, &["resultType"])
}

/// Marks the result of a list or read as final and stale, except for members that it has itself.
#[must_use]
pub fn mark_list_result(result: RawJson) -> RawJson {
    prepend_members(result, LIST_MEMBERS, &MODERN_MEMBERS)
}

/// Removes the members that earlier revisions don't know.
#[must_use]
pub fn strip_modern_members(result: RawJson) -> RawJson {
    if !may_contain_key(&result, &MODERN_MEMBERS) {
        return result;
    }
    match RawObject::read(&result) {
        Ok(object) if MODERN_MEMBERS.iter().any(|key| object.get(key).is_some()) => {
            object.without_members(|key| MODERN_MEMBERS.contains(&key)).to_raw()
        }
        Ok(_) | Err(_) => result,
    }
}

/// The `resultType` of a result; absent means [`RESULT_TYPE_COMPLETE`].
#[must_use]
pub fn result_type(result: &RawValue) -> Cow<'_, str> {
    if !may_contain_key(result, &["resultType"]) {
        return Cow::Borrowed(RESULT_TYPE_COMPLETE);
    }
    RawObject::read(result)
        .ok()
        .and_then(|object| object.get_text("resultType"))
        .unwrap_or(Cow::Borrowed(RESULT_TYPE_COMPLETE))
}

/// Prepends members to an object. Those of `keys` that it already has keep their values.
fn prepend_members(result: RawJson, members: &str, keys: &[&str]) -> RawJson {
    let Some(inside) = result.get().strip_prefix('{') else { return result };
    if may_contain_key(&result, keys) {
        let Ok(mut object) = RawObject::read(&result) else { return result };
        let added = json::parse_raw(format!("{{{members}}}")).expect("our own members are an object");
        let added = RawObject::read(&added).expect("our own members are an object");
        for (key, value) in added.iter() {
            if keys.contains(&key) && object.get(key).is_none() {
                object = object.with_member(key, value);
            }
        }
        return object.to_raw();
    }
    // The common case: no parsing, one copy.
    let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
    let mut text = String::with_capacity(result.get().len() + members.len() + 1);
    text.push('{');
    text.push_str(members);
    text.push_str(comma);
    text.push_str(inside);
    json::parse_raw(text).unwrap_or(result)
}

/// Whether any of the keys may occur in the value. Only its bytes are searched, because usually none does.
pub fn may_contain_key(value: &RawValue, keys: &[&str]) -> bool {
    let bytes = value.get().as_bytes();
    keys.iter().any(|key| memchr::memmem::find(bytes, key.as_bytes()).is_some())
        // An escape may spell a key too.
        || memchr::memmem::find(bytes, b"\\u").is_some()
}

/// A text as the value of an HTTP header such as `Mcp-Name` (2026-07-28, Streamable HTTP, "Value Encoding"):
/// as it is where that is printable ASCII, and otherwise in base64 with a mark.
#[must_use]
pub fn encode_header_value(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) && text.trim() == text;
    let looks_encoded = text.starts_with("=?base64?") && text.ends_with("?=");
    if is_plain && !looks_encoded {
        return text.to_owned();
    }
    format!("=?base64?{}?=", data_encoding::BASE64.encode(text.as_bytes()))
}

/// The text of a header that [`encode_header_value`] wrote; `None` if it is marked as base64 and holds no text.
#[must_use]
pub fn decode_header_value(value: &str) -> Option<Cow<'_, str>> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => Some(Cow::Borrowed(value)),
        Some(encoded) => {
            let bytes = data_encoding::BASE64.decode(encoded.as_bytes()).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

/// The `_meta` of a request, of any revision.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta<'a> {
    meta: RawObject<'a>,
}

impl<'a> RequestMeta<'a> {
    /// Reads it from `params`; empty if there is none.
    #[must_use]
    pub fn read(params: Option<&'a RawValue>) -> Self {
        let meta = params
            .filter(|params| may_contain_key(params, &["_meta"]))
            .and_then(|params| RawObject::read(params).ok()?.get("_meta"))
            .and_then(|meta| RawObject::read(meta).ok())
            .unwrap_or_default();
        Self { meta }
    }

    /// The revision that the request names, as text. Exactly the modern requests name one.
    #[must_use]
    pub fn protocol_version(&self) -> Option<Cow<'a, str>> {
        self.meta.get_text(PROTOCOL_VERSION)
    }

    /// The client's claimed name and version.
    #[must_use]
    pub fn client_info(&self) -> Option<&'a RawValue> {
        self.meta.get(CLIENT_INFO)
    }

    /// The key that every request of this revision must have, and this one lacks (2026-07-28, Base Protocol, "_meta").
    #[must_use]
    pub fn missing_key(&self) -> Option<&'static str> {
        let is_object = |value: &&RawValue| RawObject::read(value).is_ok();
        if self.protocol_version().is_none() {
            return Some(PROTOCOL_VERSION);
        }
        self.meta.get(CLIENT_CAPABILITIES).filter(is_object).is_none().then_some(CLIENT_CAPABILITIES)
    }

    /// The lowest level of log notifications for this request.
    #[must_use]
    pub fn log_level(&self) -> Option<Cow<'a, str>> {
        self.meta.get_text(LOG_LEVEL)
    }

    /// The token for progress: a string or a number.
    #[must_use]
    pub fn progress_token(&self) -> Option<&'a RawValue> {
        self.meta.get(PROGRESS_TOKEN).filter(|token| super::IdKey::from_raw(token).is_some())
    }

    /// The member with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.meta.get(key)
    }

    /// The `_meta` without the members that belong to this one connection.
    #[must_use]
    pub fn without_connection_keys(&self) -> Option<RawJson> {
        let rest =
            self.meta.clone().without_members(|key| key == PROGRESS_TOKEN || key.starts_with(META_PREFIX));
        (!rest.is_empty()).then(|| rest.to_raw())
    }
}

/// The wishes of a `subscriptions/listen`, and what its acknowledgement grants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionFilter {
    /// Whether `notifications/tools/list_changed` is wanted.
    #[serde(deserialize_with = "flag", skip_serializing_if = "is_false")]
    pub tools_list_changed: bool,
    /// Whether `notifications/prompts/list_changed` is wanted.
    #[serde(deserialize_with = "flag", skip_serializing_if = "is_false")]
    pub prompts_list_changed: bool,
    /// Whether `notifications/resources/list_changed` is wanted.
    #[serde(deserialize_with = "flag", skip_serializing_if = "is_false")]
    pub resources_list_changed: bool,
    /// The resources whose `notifications/resources/updated` are wanted.
    #[serde(deserialize_with = "uris", skip_serializing_if = "Vec::is_empty")]
    pub resource_subscriptions: Vec<String>,
}

impl SubscriptionFilter {
    /// Reads the `notifications` of the request's `params`. Malformed wishes count as absent.
    #[must_use]
    pub fn read(params: Option<&RawValue>) -> Self {
        params
            .and_then(|params| RawObject::read(params).ok()?.get("notifications"))
            .and_then(|wanted| serde_json::from_str(wanted.get()).ok())
            .unwrap_or_default()
    }
}

fn flag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(from)?.unwrap_or_default())
}

fn uris<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(from)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize)]
struct SubscriptionMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    id: &'a RawValue,
}

/// The `params` of [`ACKNOWLEDGED_METHOD`] for the listen request `id`.
#[must_use]
pub fn acknowledged_params(id: &RawValue, granted: &SubscriptionFilter) -> RawJson {
    #[derive(Serialize)]
    struct AcknowledgedParams<'a> {
        #[serde(rename = "_meta")]
        meta: SubscriptionMeta<'a>,
        notifications: &'a SubscriptionFilter,
    }
    json::serialize_raw(&AcknowledgedParams { meta: SubscriptionMeta { id }, notifications: granted })
}

/// The `params` of a notification, marked with its listen request's id.
#[must_use]
pub fn mark_subscription(id: &RawValue, params: Option<&RawValue>) -> RawJson {
    let object = params.and_then(|params| RawObject::read(params).ok()).unwrap_or_default();
    let meta = object.get("_meta").and_then(|meta| RawObject::read(meta).ok()).unwrap_or_default();
    // A server's own `_meta` stays, except for a subscription id, which names its connection and not this
    // one.
    let meta = meta.with_member(SUBSCRIPTION_ID, id).to_raw();
    object.with_member("_meta", &meta).to_raw()
}

/// The result that ends the listen request `id` regularly.
#[must_use]
pub fn listen_result(id: &RawValue) -> RawJson {
    #[derive(Serialize)]
    struct ListenResult<'a> {
        #[serde(rename = "resultType")]
        kind: &'static str,
        #[serde(rename = "_meta")]
        meta: SubscriptionMeta<'a>,
    }
    json::serialize_raw(&ListenResult { kind: RESULT_TYPE_COMPLETE, meta: SubscriptionMeta { id } })
}

/// The result of [`DISCOVER_METHOD`].
#[must_use]
pub fn discover_result(
    server_info: &RawValue,
    capabilities: &RawValue,
    instructions: Option<&str>,
) -> RawJson {
    #[derive(Serialize)]
    struct DiscoverMeta<'a> {
        #[serde(rename = "io.modelcontextprotocol/serverInfo")]
        server_info: &'a RawValue,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct DiscoverResult<'a> {
        result_type: &'static str,
        supported_versions: [&'static str; 5],
        capabilities: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        instructions: Option<&'a str>,
        ttl_ms: u32,
        cache_scope: &'static str,
        #[serde(rename = "_meta")]
        meta: DiscoverMeta<'a>,
    }
    json::serialize_raw(&DiscoverResult {
        result_type: RESULT_TYPE_COMPLETE,
        supported_versions: supported_versions(),
        capabilities,
        instructions,
        ttl_ms: 0,
        cache_scope: "private",
        meta: DiscoverMeta { server_info },
    })
}

/// The error for a request whose `_meta` lacks this key; see [`RequestMeta::missing_key`].
#[must_use]
pub fn missing_key_error(key: &str) -> RawJson {
    answer_error_object(codes::INVALID_PARAMS, &format!("the request's `_meta` lacks a valid {key}"), None)
}

/// The error for a request in an unknown revision.
#[must_use]
pub fn unsupported_version_error(requested: &str) -> RawJson {
    #[derive(Serialize)]
    struct UnsupportedVersionData<'a> {
        requested: &'a str,
        supported: [&'static str; 5],
    }
    let data = json::serialize_raw(&UnsupportedVersionData { requested, supported: supported_versions() });
    answer_error_object(
        codes::UNSUPPORTED_PROTOCOL_VERSION,
        "this protocol version is not supported",
        Some(&data),
    )
}

/// The newest first, because clients take the first that they know.
fn supported_versions() -> [&'static str; 5] {
    let mut versions = Revision::ALL.map(Revision::as_str);
    versions.reverse();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> RawJson {
        json::parse_raw(text.to_owned()).expect("JSON")
    }

    #[test]
    fn a_header_carries_any_text() {
        for (text, sent) in [
            ("create_issue", "create_issue"),
            ("file:///a b", "file:///a b"),
            ("crée", "=?base64?Y3LDqWU=?="),
            (" a", "=?base64?IGE=?="),
            ("a\r\nX-B: c", "=?base64?YQ0KWC1COiBj?="),
            ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ] {
            assert_eq!(encode_header_value(text), sent, "{text}");
            assert_eq!(decode_header_value(sent).as_deref(), Some(text));
        }
        for broken in ["=?base64?*?=", "=?base64?/w==?="] {
            assert_eq!(decode_header_value(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_result_is_marked_once_and_keeps_its_bytes() {
        for (before, after) in [
            ("{}", r#"{"resultType":"complete"}"#),
            ("{ }", r#"{"resultType":"complete" }"#),
            (r#"{"a": 1.10}"#, r#"{"resultType":"complete","a": 1.10}"#),
            (r#"{"resultType":"task","a":1}"#, r#"{"resultType":"task","a":1}"#),
            (r#"{"t":"resultType"}"#, r#"{"t":"resultType","resultType":"complete"}"#),
            ("{\"result\\u0054ype\":\"task\"}", "{\"result\\u0054ype\":\"task\"}"),
            ("[1]", "[1]"),
        ] {
            assert_eq!(mark_complete(value(before)).get(), after, "{before}");
        }
        assert_eq!(
            mark_list_result(value(r#"{"tools":[]}"#)).get(),
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[]}"#
        );
        assert_eq!(
            mark_list_result(value(r#"{"contents":[],"ttlMs":5}"#)).get(),
            r#"{"contents":[],"ttlMs":5,"resultType":"complete","cacheScope":"private"}"#
        );
    }

    #[test]
    fn stripping_undoes_marking() {
        for text in [r#"{"tools":[1.0],"x":{"ttlMs":1}}"#, "{}", "7"] {
            assert_eq!(strip_modern_members(mark_complete(value(text))).get(), text);
            assert_eq!(strip_modern_members(mark_list_result(value(text))).get(), text);
        }
    }

    #[test]
    fn an_absent_result_type_is_complete() {
        for (text, expected) in [
            ("{}", RESULT_TYPE_COMPLETE),
            (r#"{"resultType":"input_required"}"#, RESULT_TYPE_INPUT_REQUIRED),
            (r#"{"resultType":7}"#, RESULT_TYPE_COMPLETE),
            (r#"{"x":{"resultType":"task"}}"#, RESULT_TYPE_COMPLETE),
        ] {
            assert_eq!(result_type(&value(text)), expected, "{text}");
        }
    }

    #[test]
    fn request_meta_is_read_and_what_is_left_is_the_clients_own() {
        let params = value(
            r#"{"name":"x","_meta":{"progressToken":7,"claudecode/toolUseId":"t","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}},"io.modelcontextprotocol/logLevel":"info","n":1.10}}"#,
        );
        let meta = RequestMeta::read(Some(&params));
        assert_eq!(meta.protocol_version().as_deref(), Some("2026-07-28"));
        assert_eq!(meta.progress_token().map(RawValue::get), Some("7"));
        assert_eq!(meta.log_level().as_deref(), Some("info"));
        assert!(meta.client_info().is_none());
        assert_eq!(
            meta.without_connection_keys().expect("a rest").get(),
            r#"{"claudecode/toolUseId":"t","n":1.10}"#
        );
    }

    #[test]
    fn odd_meta_is_no_meta() {
        for text in [r"{}", r#"{"_meta":null}"#, r#"{"_meta":[]}"#, r#"{"_meta":{"progressToken":{}}}"#, "7"]
        {
            let params = value(text);
            let meta = RequestMeta::read(Some(&params));
            assert!(meta.protocol_version().is_none() && meta.progress_token().is_none(), "{text}");
        }
        assert!(RequestMeta::read(None).without_connection_keys().is_none());
    }

    #[test]
    fn a_subscription_is_acknowledged_marked_and_ended_under_its_id() {
        let params = value(
            r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":null,"resourceSubscriptions":["a:b"]}}"#,
        );
        let filter = SubscriptionFilter::read(Some(&params));
        let id = value(r#""listen:0""#);
        assert_eq!(
            acknowledged_params(&id, &filter).get(),
            r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"},"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:b"]}}"#
        );
        assert_eq!(
            mark_subscription(&id, Some(&value(r#"{"uri":"a:b"}"#))).get(),
            r#"{"uri":"a:b","_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}}"#
        );
        assert_eq!(
            listen_result(&id).get(),
            r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}}"#
        );
        assert_eq!(
            SubscriptionFilter::read(Some(&value(r#"{"notifications":7}"#))),
            SubscriptionFilter::default()
        );
    }

    #[test]
    fn discover_and_the_version_error_name_every_revision() {
        let result = discover_result(&value(r#"{"name":"p"}"#), &value("{}"), Some("hi"));
        assert_eq!(
            result.get(),
            r#"{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{},"instructions":"hi","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"p"}}}"#
        );
        assert!(unsupported_version_error("2030-01-01").get().contains(r#""code":-32022"#));
    }
}
