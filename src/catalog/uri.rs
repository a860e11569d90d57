//! The URIs of resources toward the agent: `portero://SERVER/ORIGINAL`, with the original byte for byte.

use std::ops::Range;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::value::RawValue;

use crate::json::{self, RawJson, RawObject};
use crate::names::ServerName;

const SCHEME: &str = "portero://";
/// The largest compiled template that is matched.
const MAX_TEMPLATE_REGEX_BYTES: usize = 1 << 18;

pub(super) fn wrap_uri(server: &ServerName, uri: &str) -> String {
    format!("{SCHEME}{server}/{uri}")
}

/// The server's name as written, and the original URI.
pub(super) fn unwrap_uri(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix(SCHEME)?.split_once('/')
}

/// See [`Catalog::rewrite_uris`](super::Catalog::rewrite_uris).
pub(super) fn rewrite_uris(server: &ServerName, result: RawJson) -> RawJson {
    // Most results hold no URI at all, and this search is far cheaper than parsing them.
    if memchr::memmem::find(result.get().as_bytes(), b"\"uri\"").is_none() {
        return result;
    }
    let mut links = UriSpans { all: result.get(), found: Vec::new() };
    links.find_in_result(&result);
    if links.found.is_empty() {
        return result;
    }
    links.found.sort_unstable_by_key(|link| link.start);
    let prefix = format!("{SCHEME}{server}/");
    let mut text = String::with_capacity(result.get().len() + links.found.len() * prefix.len());
    let mut done = 0;
    for link in &links.found {
        // A shared server's results come wrapped from the daemon.
        if result.get()[link.clone()].starts_with(&prefix) {
            continue;
        }
        text.push_str(&result.get()[done..link.start]);
        text.push_str(&prefix);
        done = link.start;
    }
    text.push_str(&result.get()[done..]);
    json::parse_raw(text).unwrap_or(result)
}

/// The spans of the URIs in a result, without their quotes.
struct UriSpans<'a> {
    all: &'a str,
    found: Vec<Range<usize>>,
}

impl<'a> UriSpans<'a> {
    /// Searches results of `tools/call`, `resources/read` and `prompts/get`.
    fn find_in_result(&mut self, result: &'a RawValue) {
        let Ok(object) = RawObject::read(result) else { return };
        if let Some(contents) = object.get("contents") {
            for item in list_items(contents) {
                self.push_uri_of(item);
            }
        }
        if let Some(content) = object.get("content") {
            self.find_in_content(content);
        }
        if let Some(messages) = object.get("messages") {
            for message in list_items(messages) {
                if let Some(content) =
                    RawObject::read(message).ok().and_then(|message| message.get("content"))
                {
                    self.find_in_content(content);
                }
            }
        }
    }

    /// Searches one content block, or a list of them.
    fn find_in_content(&mut self, content: &'a RawValue) {
        if content.get().starts_with('[') {
            for block in list_items(content) {
                self.find_in_block(block);
            }
        } else {
            self.find_in_block(content);
        }
    }

    fn find_in_block(&mut self, block: &'a RawValue) {
        let Ok(object) = RawObject::read(block) else { return };
        match object.get_text("type").as_deref() {
            Some("resource_link") => self.push_uri_of(block),
            Some("resource") => {
                if let Some(resource) = object.get("resource") {
                    self.push_uri_of(resource);
                }
            }
            Some(_) | None => {}
        }
    }

    fn push_uri_of(&mut self, holder: &'a RawValue) {
        let Some(uri) = RawObject::read(holder).ok().and_then(|holder| holder.get("uri")) else { return };
        if uri.get().starts_with('"') {
            // Raw values borrow from one text, so the difference of addresses is the position.
            let start = uri.get().as_ptr() as usize - self.all.as_ptr() as usize + 1;
            self.found.push(start..start + uri.get().len() - 2);
        }
    }
}

fn list_items(list: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(list.get()).unwrap_or_default()
}

/// A URI template (RFC 6570) that tells whether a URI can come from it.
#[derive(Debug)]
pub(super) struct UriTemplate {
    text: String,
    matcher: OnceLock<Option<Regex>>,
}

impl UriTemplate {
    pub(super) fn new(text: String) -> Self {
        Self { text, matcher: OnceLock::new() }
    }

    pub(super) fn matches(&self, uri: &str) -> bool {
        self.matcher
            .get_or_init(|| compile_template(&self.text))
            .as_ref()
            .is_some_and(|matcher| matcher.is_match(uri))
    }
}

/// Replaces each expression by a pattern of what its operator can expand to (RFC 6570, section 3.2). A simple
/// one takes everything up to the next `/`, because not all servers encode values.
fn compile_template(template: &str) -> Option<Regex> {
    let mut pattern = String::from("(?s)^");
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (expression, after) = after.split_once('}')?;
        pattern.push_str(&regex::escape(literal));
        pattern.push_str(match expression.chars().next()? {
            '+' => ".*",
            '#' => "(?:#.*)?",
            '.' => r"(?:\.[^/?#]*)?",
            '/' => "(?:/[^?#]*)?",
            ';' => "(?:;[^/?#]*)?",
            '?' => r"(?:\?[^#]*)?",
            '&' => "(?:&[^#]*)?",
            _ if expression.ends_with('*') => "[^?#]*",
            _ => "[^/?#]*",
        });
        rest = after;
    }
    pattern.push_str(&regex::escape(rest));
    pattern.push('$');
    regex::RegexBuilder::new(&pattern).size_limit(MAX_TEMPLATE_REGEX_BYTES).build().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(name: &str) -> ServerName {
        name.parse().expect("a name")
    }

    fn rewrite_result(result: &str) -> String {
        rewrite_uris(&server("s"), json::parse_raw(result.to_owned()).expect("JSON")).get().to_owned()
    }

    #[test]
    fn links_of_every_kind_are_wrapped_and_nothing_else_changes() {
        for (before, after) in [
            (
                r#"{"content":[{"type":"text","text":"{\"uri\":\"a:b\"}"},{"uri": "file:///a\u0020b" ,"type":"resource_link","n":1.10}]}"#,
                r#"{"content":[{"type":"text","text":"{\"uri\":\"a:b\"}"},{"uri": "portero://s/file:///a\u0020b" ,"type":"resource_link","n":1.10}]}"#,
            ),
            (
                r#"{"content":[{"type":"resource","uri":"no","resource":{"uri":"m:1","text":"uri"}}],"structuredContent":{"uri":"x:y"}}"#,
                r#"{"content":[{"type":"resource","uri":"no","resource":{"uri":"portero://s/m:1","text":"uri"}}],"structuredContent":{"uri":"x:y"}}"#,
            ),
            (
                r#"{"contents":[{"uri":"b:1","blob":""},{"uri":7},{"uri":"b:2"}]}"#,
                r#"{"contents":[{"uri":"portero://s/b:1","blob":""},{"uri":7},{"uri":"portero://s/b:2"}]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"p:1"}}},{"content":[{"type":"resource_link","uri":"p:2"}]}]}"#,
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"portero://s/p:1"}}},{"content":[{"type":"resource_link","uri":"portero://s/p:2"}]}]}"#,
            ),
            (
                r#"{"content":[{"type":"image","uri":"x:1"}]}"#,
                r#"{"content":[{"type":"image","uri":"x:1"}]}"#,
            ),
            (r#"{"content":"uri","uri":[]}"#, r#"{"content":"uri","uri":[]}"#),
            (r#"[{"uri":"a:b"}]"#, r#"[{"uri":"a:b"}]"#),
        ] {
            assert_eq!(rewrite_result(before), after);
            assert_eq!(rewrite_result(after), after, "wrapping twice");
        }
    }

    #[test]
    fn a_template_matches_what_it_expands_to() {
        for (template, uri, matches) in [
            ("test://static/resource/{id}", "test://static/resource/17", true),
            ("test://static/resource/{id}", "test://static/resource/17/x", false),
            ("test://static/resource/{id}", "test://static/resources/17", false),
            ("file:///{+path}", "file:///a/b/c.txt", true),
            ("file:///{path*}", "file:///a/b/c.txt", true),
            ("db://t/{table}{?limit,offset}", "db://t/users?limit=1", true),
            ("db://t/{table}{?limit,offset}", "db://t/users", true),
            ("a.b://{x}", "aXb://y", false),
            ("plain:uri", "plain:uri", true),
            ("broken://{x", "broken://1", false),
            ("broken://{}", "broken://", false),
        ] {
            assert_eq!(UriTemplate::new(template.to_owned()).matches(uri), matches, "{template} {uri}");
        }
    }

    proptest! {
        #[test]
        fn a_wrapped_uri_reads_back(name in "[a-zA-Z0-9_.-]{1,20}", uri in "\\PC{0,60}") {
            prop_assume!(name != "portero");
            let wrapped = wrap_uri(&server(&name), &uri);
            prop_assert_eq!(unwrap_uri(&wrapped), Some((&*name, &*uri)));
        }

        #[test]
        fn a_link_with_any_text_is_wrapped_in_place(uri in "\\PC{0,40}") {
            let before = format!(r#"{{"contents":[{{"uri":{}}}]}}"#, json::serialize_raw(&uri));
            let after = rewrite_result(&before);
            let object: serde_json::Value = serde_json::from_str(&after).expect("JSON");
            let told = object["contents"][0]["uri"].as_str().expect("text");
            let (name, original) = unwrap_uri(told).expect("wrapped");
            prop_assert_eq!((name, original), ("s", uri.strip_prefix("portero://s/").unwrap_or(&uri)));
        }
    }
}
