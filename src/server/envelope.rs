//! Requests toward a child: a call's bytes with Portero's own `_meta` inserted and everything else unchanged.

use serde_json::value::RawValue;

use crate::wire;

/// The members of one request's `_meta`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MetaMembers<'a> {
    /// The client's own members, without those of its connection.
    pub(super) client_meta: Option<&'a RawValue>,
    /// The members that the revision requires, as JSON text without braces.
    pub(super) revision_members: Option<&'a str>,
    /// The token for progress.
    pub(super) progress_token: Option<u64>,
}

impl<'a> MetaMembers<'a> {
    /// For a request of Portero's own: only what the server's revision requires.
    pub(super) const fn of_revision(revision_members: Option<&'a str>) -> Self {
        Self { client_meta: None, revision_members, progress_token: None }
    }
}

/// Appends a request. `params` is an object without `_meta`.
pub(super) fn write_request_with_meta(
    out: &mut Vec<u8>,
    id: u64,
    method: &str,
    params: Option<&RawValue>,
    meta: MetaMembers<'_>,
) {
    if meta.client_meta.is_none() && meta.revision_members.is_none() && meta.progress_token.is_none() {
        return wire::write_request(out, id, method, params);
    }
    let params = params.map_or("{}", RawValue::get);
    out.reserve(params.len() + 128);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    wire::WriteId::write_id(&id, out);
    out.extend_from_slice(b",\"method\":\"");
    // Method names are constants without characters to escape.
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\",\"params\":{");
    let inside = object_members(params);
    wire::append_single_line(out, inside);
    out.extend_from_slice(if inside.is_empty() { b"\"_meta\":{" } else { b",\"_meta\":{" });
    write_meta(out, meta);
    out.extend_from_slice(b"}}}\n");
}

fn write_meta(out: &mut Vec<u8>, meta: MetaMembers<'_>) {
    let from = out.len();
    let token = meta.progress_token.map(|token| format!("\"progressToken\":{token}"));
    // The client's members come without its connection's keys, so no key occurs twice.
    let members = [
        meta.client_meta.map(|client| object_members(client.get())),
        meta.revision_members,
        token.as_deref(),
    ];
    for members in members.into_iter().flatten().filter(|members| !members.is_empty()) {
        if out.len() > from {
            out.push(b',');
        }
        wire::append_single_line(out, members);
    }
}

/// The members of an object as text, without its braces.
fn object_members(object: &str) -> &str {
    let object = object.trim();
    object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).map_or("", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_raw;

    fn written(params: Option<&str>, meta: MetaMembers<'_>) -> String {
        let params = params.map(|params| parse_raw(params.to_owned()).expect("JSON"));
        let mut out = Vec::new();
        write_request_with_meta(&mut out, 7, "tools/call", params.as_deref(), meta);
        String::from_utf8(out).expect("UTF-8")
    }

    const START: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call""#;

    #[test]
    fn without_meta_the_params_are_the_bytes_that_came() {
        let got = written(Some(r#"{"name":"a","arguments":{"x":1.10}}"#), MetaMembers::default());
        assert_eq!(got, format!("{START},\"params\":{{\"name\":\"a\",\"arguments\":{{\"x\":1.10}}}}}}\n"));
        assert_eq!(written(None, MetaMembers::default()), format!("{START}}}\n"));
    }

    #[test]
    fn the_clients_meta_the_revisions_and_the_token_stand_together() {
        let client = parse_raw(r#"{ "k":{"a":1.0} }"#.to_owned()).expect("JSON");
        let meta = MetaMembers {
            client_meta: Some(&client),
            revision_members: Some("\"e\":2"),
            progress_token: Some(7),
        };
        let got = written(Some("{\"name\":\"a\",\n\"n\":1e2}"), meta);
        assert_eq!(
            got,
            format!(
                "{START},\"params\":{{\"name\":\"a\", \"n\":1e2,\"_meta\":{{\"k\":{{\"a\":1.0}},\"e\":2,\"progressToken\":7}}}}}}\n"
            )
        );
        let empty = parse_raw("{ }".to_owned()).expect("JSON");
        let meta = MetaMembers { client_meta: Some(&empty), revision_members: None, progress_token: Some(1) };
        assert_eq!(
            written(None, meta),
            format!("{START},\"params\":{{\"_meta\":{{\"progressToken\":1}}}}}}\n")
        );
    }
}
