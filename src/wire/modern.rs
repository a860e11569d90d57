//! What 2026-07-28 adds to the envelope: per-request `_meta`, result types, cache hints, subscriptions.
//!
//! Sources: the schema of revision 2026-07-28 (`RequestMetaObject`, `ResultMetaObject`,
//! `NotificationMetaObject`, `CacheableResult`, `DiscoverResult`, `SubscriptionFilter`,
//! `SubscriptionsAcknowledgedNotification`, `InputRequiredResult`, `UnsupportedProtocolVersionError`), as the
//! official Python (`mcp-types` 2.3) and Rust (`rmcp` 3.8) packages carry it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Revision, codes, error};
use crate::json::{self, Object, RawJson};

/// The prefix of the `_meta` keys that MCP itself reserves for one connection.
pub const META_PREFIX: &str = "io.modelcontextprotocol/";
/// Request `_meta`, required: the revision that the request is in.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Request `_meta`: the client's `Implementation`.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Request `_meta`, required: what the client can do, for this request.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Request `_meta`: the level of log notifications wanted for this request; none are sent without it.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Result `_meta`: the server's `Implementation`.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Notification and result `_meta`: the id of the `subscriptions/listen` that this belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// `_meta` of 2025-11-25: the task that a message belongs to.
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
/// Request `_meta`, all revisions: where progress is to be reported.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// The extension, in a client's or server's `capabilities.extensions`, that has tasks.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The method that tells what a server is and can do.
pub const DISCOVER: &str = "server/discover";
/// The method that opens a stream of notifications.
pub const LISTEN: &str = "subscriptions/listen";
/// The notification that must come first on such a stream.
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// `resultType` of a final result.
pub const COMPLETE: &str = "complete";
/// `resultType` of a result that asks the client for input; the client then sends the request again.
pub const INPUT_REQUIRED: &str = "input_required";
/// `resultType` of a result that is a task (extension [`TASKS_EXTENSION`]).
pub const TASK: &str = "task";

/// The methods whose results carry `ttlMs` and `cacheScope`.
pub const CACHEABLE: [&str; 6] =
    ["prompts/list", "resources/list", "resources/read", "resources/templates/list", DISCOVER, "tools/list"];

/// The members that a result has only in this revision.
const ADDED: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];
const AS_COMPLETE: &str = r#""resultType":"complete""#;
/// Stale at once, since what is listed depends on policy; private, since it depends on the person.
const AS_LIST: &str = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;

/// Marks a result as final, unless it says itself what it is.
#[must_use]
pub fn complete(result: RawJson) -> RawJson {
    splice(result, AS_COMPLETE, &["resultType"])
}

/// Marks the result of a [`CACHEABLE`] method as final and stale, unless it says itself what it is.
#[must_use]
pub fn list_result(result: RawJson) -> RawJson {
    splice(result, AS_LIST, &ADDED)
}

/// Takes away what earlier revisions do not know.
#[must_use]
pub fn strip(result: RawJson) -> RawJson {
    if !may_have(&result, &ADDED) {
        return result;
    }
    match Object::read(&result) {
        Ok(object) if ADDED.iter().any(|key| object.get(key).is_some()) => {
            object.without(|key| ADDED.contains(&key)).to_raw()
        }
        Ok(_) | Err(_) => result,
    }
}

/// The `resultType` of a result; absent means [`COMPLETE`].
#[must_use]
pub fn result_type(result: &RawValue) -> Cow<'_, str> {
    if !may_have(result, &["resultType"]) {
        return Cow::Borrowed(COMPLETE);
    }
    Object::read(result).ok().and_then(|object| object.text("resultType")).unwrap_or(Cow::Borrowed(COMPLETE))
}

/// Puts members in front of an object's own; what the object has of `keys` stays as it is.
fn splice(result: RawJson, members: &str, keys: &[&str]) -> RawJson {
    let Some(inside) = result.get().strip_prefix('{') else { return result };
    if may_have(&result, keys) {
        let Ok(mut object) = Object::read(&result) else { return result };
        let added = json::parse_raw(format!("{{{members}}}")).expect("our own members are an object");
        let added = Object::read(&added).expect("our own members are an object");
        for (key, value) in added.iter() {
            if keys.contains(&key) && object.get(key).is_none() {
                object = object.with(key, value);
            }
        }
        return object.to_raw();
    }
    let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
    let mut text = String::with_capacity(result.get().len() + members.len() + 1);
    text.push('{');
    text.push_str(members);
    text.push_str(comma);
    text.push_str(inside);
    json::parse_raw(text).unwrap_or(result)
}

/// Whether any of the keys may stand in the value; a look at its bytes, for the common case that none does.
fn may_have(value: &RawValue, keys: &[&str]) -> bool {
    let bytes = value.get().as_bytes();
    keys.iter().any(|key| memchr::memmem::find(bytes, key.as_bytes()).is_some())
        || memchr::memmem::find(bytes, b"\\u").is_some()
}

/// The `_meta` of a request, of any revision.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta<'a> {
    meta: Object<'a>,
}

impl<'a> RequestMeta<'a> {
    /// Reads it out of `params`; empty when there is none.
    #[must_use]
    pub fn read(params: Option<&'a RawValue>) -> Self {
        let meta = params
            .filter(|params| may_have(params, &["_meta"]))
            .and_then(|params| Object::read(params).ok()?.get("_meta"))
            .and_then(|meta| Object::read(meta).ok())
            .unwrap_or_default();
        Self { meta }
    }

    /// The revision that the request says it is in, as text: present exactly in modern requests.
    #[must_use]
    pub fn protocol_version(&self) -> Option<Cow<'a, str>> {
        self.meta.text(PROTOCOL_VERSION)
    }

    /// The client's name and version, as it says.
    #[must_use]
    pub fn client_info(&self) -> Option<&'a RawValue> {
        self.meta.get(CLIENT_INFO)
    }

    /// What the client can do.
    #[must_use]
    pub fn client_capabilities(&self) -> Option<&'a RawValue> {
        self.meta.get(CLIENT_CAPABILITIES)
    }

    /// Whether the client understands a result that is a task.
    #[must_use]
    pub fn has_tasks(&self) -> bool {
        let inner = |value: &'a RawValue, key: &str| Object::read(value).ok()?.get(key);
        self.client_capabilities()
            .and_then(|capabilities| inner(capabilities, "extensions"))
            .and_then(|extensions| inner(extensions, TASKS_EXTENSION))
            .is_some()
    }

    /// The level of log notifications that are wanted for this request.
    #[must_use]
    pub fn log_level(&self) -> Option<Cow<'a, str>> {
        self.meta.text(LOG_LEVEL)
    }

    /// Where progress is to be reported: a string or a number.
    #[must_use]
    pub fn progress_token(&self) -> Option<&'a RawValue> {
        self.meta.get(PROGRESS_TOKEN).filter(|token| super::Id::of(token).is_some())
    }

    /// A member by its key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.meta.get(key)
    }

    /// What is left without the members that belong to this one connection.
    #[must_use]
    pub fn rest(&self) -> Option<RawJson> {
        let rest = self.meta.clone().without(|key| key == PROGRESS_TOKEN || key.starts_with(META_PREFIX));
        (!rest.is_empty()).then(|| rest.to_raw())
    }
}

/// The `_meta` that Portero gives a request of its own to a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutgoingMeta<'a> {
    /// What the client said, without what belongs to its own connection.
    pub base: Option<&'a RawValue>,
    /// Portero's `Implementation` and capabilities; none toward a server of an earlier revision.
    pub modern: Option<(&'a RawValue, &'a RawValue)>,
    /// The level of log notifications wanted.
    pub log_level: Option<&'a str>,
    /// Where progress is to be reported.
    pub progress_token: Option<u64>,
}

impl OutgoingMeta<'_> {
    /// The object; none when it would be empty.
    #[must_use]
    pub fn to_raw(&self) -> Option<RawJson> {
        let version = json::raw(Revision::LATEST.as_str());
        let level = self.log_level.map(json::raw);
        let token = self.progress_token.map(|token| json::raw(&token));
        let mut meta = self.base.and_then(|base| Object::read(base).ok()).unwrap_or_default();
        if let Some((info, capabilities)) = self.modern {
            meta = meta
                .with(PROTOCOL_VERSION, &version)
                .with(CLIENT_INFO, info)
                .with(CLIENT_CAPABILITIES, capabilities);
            if let Some(level) = &level {
                meta = meta.with(LOG_LEVEL, level);
            }
        }
        if let Some(token) = &token {
            meta = meta.with(PROGRESS_TOKEN, token);
        }
        (!meta.is_empty()).then(|| meta.to_raw())
    }
}

/// What a `subscriptions/listen` asks for, and what its acknowledgement grants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
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

impl Filter {
    /// Reads the `notifications` of the request's `params`; what is wrong there is not asked for.
    #[must_use]
    pub fn read(params: Option<&RawValue>) -> Self {
        params
            .and_then(|params| Object::read(params).ok()?.get("notifications"))
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

/// The `params` of [`ACKNOWLEDGED`] for the listen request `id`.
#[must_use]
pub fn acknowledged(id: &RawValue, granted: &Filter) -> RawJson {
    #[derive(Serialize)]
    struct Acknowledged<'a> {
        #[serde(rename = "_meta")]
        meta: SubscriptionMeta<'a>,
        notifications: &'a Filter,
    }
    json::raw(&Acknowledged { meta: SubscriptionMeta { id }, notifications: granted })
}

/// The `params` of a notification, marked as belonging to the listen request `id`.
#[must_use]
pub fn on_subscription(id: &RawValue, params: Option<&RawValue>) -> RawJson {
    let object = params.and_then(|params| Object::read(params).ok()).unwrap_or_default();
    let meta = object.get("_meta").and_then(|meta| Object::read(meta).ok()).unwrap_or_default();
    let meta = meta.with(SUBSCRIPTION_ID, id).to_raw();
    object.with("_meta", &meta).to_raw()
}

/// The result that ends the listen request `id` in order.
#[must_use]
pub fn listen_result(id: &RawValue) -> RawJson {
    #[derive(Serialize)]
    struct Ended<'a> {
        #[serde(rename = "resultType")]
        kind: &'static str,
        #[serde(rename = "_meta")]
        meta: SubscriptionMeta<'a>,
    }
    json::raw(&Ended { kind: COMPLETE, meta: SubscriptionMeta { id } })
}

/// The result of [`DISCOVER`].
#[must_use]
pub fn discover_result(
    server_info: &RawValue,
    capabilities: &RawValue,
    instructions: Option<&str>,
) -> RawJson {
    #[derive(Serialize)]
    struct Meta<'a> {
        #[serde(rename = "io.modelcontextprotocol/serverInfo")]
        server_info: &'a RawValue,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Discovered<'a> {
        result_type: &'static str,
        supported_versions: [&'static str; 5],
        capabilities: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        instructions: Option<&'a str>,
        ttl_ms: u32,
        cache_scope: &'static str,
        #[serde(rename = "_meta")]
        meta: Meta<'a>,
    }
    json::raw(&Discovered {
        result_type: COMPLETE,
        supported_versions: supported(),
        capabilities,
        instructions,
        ttl_ms: 0,
        cache_scope: "private",
        meta: Meta { server_info },
    })
}

/// The error for a request in a revision that Portero does not speak.
#[must_use]
pub fn unsupported_version(requested: &str) -> RawJson {
    #[derive(Serialize)]
    struct Data<'a> {
        requested: &'a str,
        supported: [&'static str; 5],
    }
    let data = json::raw(&Data { requested, supported: supported() });
    error(codes::UNSUPPORTED_PROTOCOL_VERSION, "this protocol version is not supported", Some(&data))
}

/// The newest first, since clients take the first that they know.
fn supported() -> [&'static str; 5] {
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
            assert_eq!(complete(value(before)).get(), after, "{before}");
        }
        assert_eq!(
            list_result(value(r#"{"tools":[]}"#)).get(),
            r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[]}"#
        );
        assert_eq!(
            list_result(value(r#"{"contents":[],"ttlMs":5}"#)).get(),
            r#"{"contents":[],"ttlMs":5,"resultType":"complete","cacheScope":"private"}"#
        );
    }

    #[test]
    fn stripping_undoes_marking() {
        for text in [r#"{"tools":[1.0],"x":{"ttlMs":1}}"#, "{}", "7"] {
            assert_eq!(strip(complete(value(text))).get(), text);
            assert_eq!(strip(list_result(value(text))).get(), text);
        }
    }

    #[test]
    fn an_absent_result_type_is_complete() {
        for (text, expected) in [
            ("{}", COMPLETE),
            (r#"{"resultType":"input_required"}"#, INPUT_REQUIRED),
            (r#"{"resultType":7}"#, COMPLETE),
            (r#"{"x":{"resultType":"task"}}"#, COMPLETE),
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
        assert!(meta.has_tasks());
        assert!(meta.client_info().is_none());
        assert_eq!(meta.rest().expect("a rest").get(), r#"{"claudecode/toolUseId":"t","n":1.10}"#);
    }

    #[test]
    fn odd_meta_is_no_meta() {
        for text in [r"{}", r#"{"_meta":null}"#, r#"{"_meta":[]}"#, r#"{"_meta":{"progressToken":{}}}"#, "7"]
        {
            let params = value(text);
            let meta = RequestMeta::read(Some(&params));
            assert!(meta.protocol_version().is_none() && meta.progress_token().is_none(), "{text}");
        }
        assert!(RequestMeta::read(None).rest().is_none());
    }

    #[test]
    fn outgoing_meta_speaks_the_servers_revision() {
        let (base, info, capabilities) = (value(r#"{"k":1.0}"#), value(r#"{"name":"portero"}"#), value("{}"));
        let meta = OutgoingMeta { base: Some(&base), progress_token: Some(4), ..OutgoingMeta::default() };
        assert_eq!(meta.to_raw().expect("meta").get(), r#"{"k":1.0,"progressToken":4}"#);
        let meta = OutgoingMeta { modern: Some((&info, &capabilities)), ..meta };
        assert_eq!(
            meta.to_raw().expect("meta").get(),
            r#"{"k":1.0,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"portero"},"io.modelcontextprotocol/clientCapabilities":{},"progressToken":4}"#
        );
        assert!(OutgoingMeta::default().to_raw().is_none());
    }

    #[test]
    fn a_subscription_is_acknowledged_marked_and_ended_under_its_id() {
        let params = value(
            r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":null,"resourceSubscriptions":["a:b"]}}"#,
        );
        let filter = Filter::read(Some(&params));
        let id = value(r#""listen:0""#);
        assert_eq!(
            acknowledged(&id, &filter).get(),
            r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"},"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:b"]}}"#
        );
        assert_eq!(
            on_subscription(&id, Some(&value(r#"{"uri":"a:b"}"#))).get(),
            r#"{"uri":"a:b","_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}}"#
        );
        assert_eq!(
            listen_result(&id).get(),
            r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}}"#
        );
        assert_eq!(Filter::read(Some(&value(r#"{"notifications":7}"#))), Filter::default());
    }

    #[test]
    fn discover_and_the_version_error_name_every_revision() {
        let result = discover_result(&value(r#"{"name":"p"}"#), &value("{}"), Some("hi"));
        assert_eq!(
            result.get(),
            r#"{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{},"instructions":"hi","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"p"}}}"#
        );
        assert!(unsupported_version("2030-01-01").get().contains(r#""code":-32022"#));
    }
}
