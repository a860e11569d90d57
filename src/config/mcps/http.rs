//! The entries of servers that are reached over HTTP.

use std::collections::BTreeMap;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::{ServerVariables, ServersReader};
use crate::config::auth::ClientCertificate;
use crate::config::document::CheckedMembers;
use crate::config::secret_names::is_secret_name;
use crate::config::secret_shapes::secrets_by_shape;
use crate::config::secrets::{secret_in_query, secrets_in_header};
use crate::config::snippet::escape_for_display;
use crate::config::types::HttpServer;
use crate::config::url::HttpUrl;
use crate::secret::{Secret, SecretPart};

/// The fields that only a program has.
pub(super) const STDIO_FIELDS: [&str; 6] = ["command", "args", "env", "envPassthrough", "cwd", "instance"];
/// The fields that only a server over HTTP has.
pub(super) const HTTP_FIELDS: [&str; 9] =
    ["url", "headers", "headersHelper", "auth", "oauth", "maxConcurrent", "caFile", "certFile", "keyFile"];

/// Headers that the transport itself sets, in lower case (RFC 9110, and MCP's Streamable HTTP).
const TRANSPORT_HEADERS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl<'a> ServersReader<'_, 'a, '_> {
    /// Reads a server's endpoint and headers; none if a field is wrong.
    pub(super) fn read_http_server(
        &mut self,
        at: usize,
        members: &CheckedMembers<'_, 'a>,
        is_sse: bool,
        given: &mut ServerVariables,
    ) -> Option<HttpServer> {
        for field in STDIO_FIELDS {
            if let Some(value) = members.get(field) {
                let message =
                    format!("`{field}` belongs to a server that Portero starts, but this one has a `url`");
                self.document.add_error(value.start(), message, None);
            }
        }
        let url = self.read_url(at, members, given);
        let headers = self.read_headers(members.get("headers"), given);
        let concurrent = members.get("maxConcurrent");
        let most = concurrent.and_then(|value| {
            let read = self.document.read_number(Some(value), "`maxConcurrent`", 1)?;
            let fits = u16::try_from(read);
            if fits.is_err() {
                self.document.add_error(value.start(), "`maxConcurrent` must be at most 65535".into(), None);
            }
            fits.ok()
        });
        let ca_file = members.get("caFile").and_then(|value| self.read_path(value, "`caFile`", given));
        let client_certificate = self.read_client_certificate(members, given);
        let auth = self.read_auth(members, &headers, given);
        Some(HttpServer {
            url: url?,
            is_sse,
            headers,
            auth: auth?,
            max_concurrent: most.unwrap_or(HttpServer::DEFAULT_MAX_CONCURRENT),
            ca_file,
            client_certificate,
        })
    }

    fn read_client_certificate(
        &mut self,
        members: &CheckedMembers<'_, 'a>,
        given: &mut ServerVariables,
    ) -> Option<ClientCertificate> {
        let (certificate, key) = (members.get("certFile"), members.get("keyFile"));
        let cert_file = certificate.and_then(|value| self.read_path(value, "`certFile`", given));
        let key_file = key.and_then(|value| self.read_path(value, "`keyFile`", given));
        let alone = match (certificate, key) {
            (Some(value), None) => Some((value, "`certFile` needs a `keyFile`, the file of its private key")),
            (None, Some(value)) => Some((value, "`keyFile` needs a `certFile`, the file of its certificate")),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some((value, message)) = alone {
            self.document.add_error(value.start(), message.to_owned(), None);
        }
        Some(ClientCertificate { cert_file: cert_file?, key_file: key_file? })
    }

    fn read_url(
        &mut self,
        at: usize,
        members: &CheckedMembers<'_, 'a>,
        given: &mut ServerVariables,
    ) -> Option<HttpUrl> {
        let Some(value) = members.get("url") else {
            self.document.add_error(at, "this server has no `url`".into(), None);
            return None;
        };
        let text = self.read_secret_text(value, "`url`", given)?;
        // With an unset variable it is no whole URL, and the server is skipped for that reason.
        if !text.unset.is_empty() {
            return None;
        }
        let url = match HttpUrl::parse_with_references(&text.text) {
            Ok(url) => url,
            Err(error) => {
                self.document.add_error(value.start(), format!("`url`: {error}"), None);
                return None;
            }
        };
        if url.is_readable_by_others() {
            let message = "`url` is not encrypted: calls and credentials go to another machine in plain text";
            self.document.add_warning(value.start(), message.into(), Some("use https://".into()));
        }
        let named = text.sources.into_iter().filter(|(name, _)| is_secret_name(name)).map(|(_, value)| value);
        // In a query with a reference stands its spelling, which is no secret.
        let mut in_url = Vec::new();
        if text.references.is_empty() {
            in_url = secret_in_query(url.expose());
            in_url.extend(secrets_by_shape(text.text.expose()).into_iter().map(Secret::new));
        }
        let secrets = named.chain(in_url);
        given.secrets.extend(secrets.map(|secret| (secret, value.start())));
        Some(url)
    }

    fn read_headers(
        &mut self,
        value: Option<&Value<'a>>,
        given: &mut ServerVariables,
    ) -> BTreeMap<String, Secret> {
        let Some(value) = value else { return BTreeMap::new() };
        let mut headers = BTreeMap::new();
        for (name, (at, value)) in self.document.read_map(value, "`headers`").unwrap_or_default() {
            let shown = escape_for_display(name);
            if !is_header_name(name) {
                self.document.add_error(at, format!("`{shown}` cannot name a header"), None);
                continue;
            }
            let key = name.to_ascii_lowercase();
            if is_transport_header(name) {
                self.document.add_error(
                    at,
                    format!("the header `{shown}` is set by the transport itself"),
                    None,
                );
                continue;
            }
            let what = format!("`headers.{shown}`");
            let Some(text) = self.read_secret_text(value, &what, given) else { continue };
            if secret_holds_control_character(&text.text) {
                let message = format!("`headers.{shown}` holds a line break or another control character");
                self.document.add_error(value.start(), message, None);
                continue;
            }
            let secrets = secrets_in_header(&key, &text);
            given.note_secrets(value.start(), &what, &key, &text, secrets);
            // Names without case are one header (RFC 9110, 5.1).
            if headers.insert(key, text.text).is_some() {
                self.document.add_error(at, format!("there are two headers `{shown}`"), None);
            }
        }
        headers
    }
}

/// Whether a header's value can't be sent: of the control characters only the tab is allowed (RFC 9110, 5.5).
pub(super) fn holds_control_character(value: &str) -> bool {
    value.chars().any(|c| c != '\t' && (c < ' ' || c == '\u{7f}'))
}

/// Whether the transport sets this header itself, whose names have no case. `Mcp-Param-…` mirrors arguments
/// (2026-07-28).
#[must_use]
pub fn is_transport_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TRANSPORT_HEADERS.contains(&&*name) || name.starts_with("mcp-param-")
}

/// Whether a header's value can't be sent: of the control characters only the tab is allowed (RFC 9110, 5.5). What a
/// reference stands for is checked when it is looked up.
pub(super) fn secret_holds_control_character(value: &Secret) -> bool {
    value.parts().any(|part| match part {
        SecretPart::Text(text) => holds_control_character(text),
        SecretPart::Reference(_) => false,
    })
}

/// Whether this is a field name: a token of RFC 9110, 5.6.2.
pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
