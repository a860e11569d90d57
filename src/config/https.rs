//! `https` in `portero.json`: the endpoint for agents on other machines, and the variables that stand for its fields.
//!
//! A shape that would be unsafe is no error of the file: the endpoint stays closed, everything else works, and
//! [`ClosedHttps`] says why (guarantee T1).

mod token;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use url::{Host, Url};

use super::client_certificates::{ClientCertificates, read_client_certificates};
use super::document::{CheckedMembers, ConfigDocument};
use super::fields;
use super::oidc::{OidcSettings, read_oidc};
use super::variables::Variables;
use crate::secret::Secret;

/// The variables of `.env` that stand for fields, as earlier gateways name them.
const PORT_VARIABLE: &str = "PORT";
const TOKEN_VARIABLE: &str = "BEARER_TOKEN";
const CERTIFICATE_VARIABLE: &str = "SSL_CERT_PATH";
const KEY_VARIABLE: &str = "SSL_KEY_PATH";
const AUTHENTICATION_VARIABLE: &str = "AUTH_ENABLED";

/// The port without another one.
const DEFAULT_PORT: u16 = 8443;
/// The most entries of `hosts` and of `origins`.
const MAX_NAMES: usize = 64;

/// The HTTPS endpoint, for agents that don't use this machine's stdio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsSettings {
    /// Its address. Default 127.0.0.1:8443. Beyond loopback only with encryption (guarantee T1).
    pub listen: SocketAddr,
    /// How connections are encrypted.
    pub encryption: HttpsEncryption,
    /// The host names and addresses that a request may name besides those of loopback and `listen`: in lower case,
    /// without a port, IPv6 in brackets.
    pub hosts: Vec<String>,
    /// The origins of web pages that may call besides the endpoint's own, as RFC 6454, section 6.2 serializes them.
    pub origins: Vec<String>,
    /// Its limits.
    pub limits: HttpsLimits,
    /// The token of `.env` that every principal without one of its own sends.
    pub bearer_token: Option<Secret>,
    /// The issuer whose tokens count, if there is one.
    pub oidc: Option<OidcSettings>,
    /// The clients that are known by their certificate, if there are any.
    pub client_certificates: Option<ClientCertificates>,
}

/// How the connections of the endpoint are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpsEncryption {
    /// TLS with a certificate from files in PEM, which are read again when they change.
    Files {
        /// The certificate, followed by its chain.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// TLS with a certificate that the daemon makes and keeps.
    SelfSigned,
    /// Plain HTTP, on loopback only.
    Plain,
}

/// The limits of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsLimits {
    /// The longest body of a request, in bytes. Default 4 MiB.
    pub max_body_bytes: usize,
    /// The longest head of a request, in bytes. Default 32 KiB.
    pub max_header_bytes: usize,
    /// How many requests a principal may make in a minute. Default 600.
    pub requests_per_minute: u32,
    /// How many requests an address may make in a minute, also without a credential. Default 1200.
    pub requests_per_minute_of_address: u32,
    /// How many connections may be open. Default 512.
    pub max_connections: u32,
    /// How many of them one address may have. Default 128.
    pub max_connections_of_address: u32,
    /// How long the head of a request may take, and how long a connection of HTTP/1.1 may wait for one. Default 30 s.
    pub header_timeout: Duration,
    /// How long the body of a request may take. Default 30 s.
    pub body_timeout: Duration,
    /// How long a connection may stay open without a request. Default 2 min.
    pub idle_timeout: Duration,
}

impl HttpsLimits {
    /// The smallest `headerBytes`: what every HTTP server is expected to take (RFC 9112, section 3).
    const MIN_HEADER_BYTES: u64 = 8 << 10;
    /// The largest `bodyBytes`.
    const MAX_BODY_BYTES: u64 = 64 << 20;
    /// The largest `headerBytes`.
    const MAX_HEADER_BYTES: u64 = 1 << 20;
    /// The most connections and the highest rates.
    const MAX_COUNT: u64 = 1_000_000;
    /// The longest of the times.
    const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
}

impl Default for HttpsLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 << 20,
            max_header_bytes: 32 << 10,
            requests_per_minute: 600,
            requests_per_minute_of_address: 1200,
            max_connections: 512,
            max_connections_of_address: 128,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

/// Why the endpoint stays closed although it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedHttps {
    /// The reason, without values.
    pub reason: String,
    /// The next step.
    pub hint: String,
}

/// The endpoint as configured: open, closed for a reason, or not wanted.
pub(super) type ParsedHttps = Option<Result<HttpsSettings, ClosedHttps>>;

/// The endpoint that variables of `.env` alone ask for: a token with a certificate and its key.
pub(super) fn https_from_variables(
    document: &mut ConfigDocument<'_>,
    variables: &Variables<'_>,
    directory: &Path,
) -> ParsedHttps {
    let variables = variables.without_environment();
    let is_wanted = [TOKEN_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE]
        .iter()
        .all(|name| variables.non_empty(name).is_some());
    if !is_wanted {
        return None;
    }
    let mut reader = HttpsReader { document, variables, directory, at: 0 };
    let listen = reader.listen_from_variables()?;
    let encryption = reader.encryption_from_variables()?;
    let settings = HttpsSettings {
        listen,
        encryption,
        hosts: Vec::new(),
        origins: Vec::new(),
        limits: HttpsLimits::default(),
        bearer_token: None,
        oidc: None,
        client_certificates: None,
    };
    Some(reader.close_if_unsafe(settings))
}

/// Reads the section. None if it has an error.
pub(super) fn read_https<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
    variables: &Variables<'_>,
    directory: &Path,
) -> ParsedHttps {
    // The agent may start a daemon, and then chooses its environment. So only the files count here.
    let files = variables.without_environment();
    if files.non_empty(TOKEN_VARIABLE).is_none() && variables.non_empty(TOKEN_VARIABLE).is_some() {
        let hint = "put it into .env: the process that starts Portero chooses the environment, and may be the agent's";
        let message = format!("{TOKEN_VARIABLE} does not count in the environment");
        document.add_warning(members.at, message, Some(hint.into()));
    }
    let mut reader = HttpsReader { document, variables: files, directory, at: members.at };
    let listen = match members.get("listen") {
        Some(value) => reader.read_listen(value),
        None => reader.listen_from_variables(),
    };
    let encryption = reader.read_encryption(members);
    let hosts = reader.read_names(
        members.get("hosts"),
        "`https.hosts`",
        "such as \"portero.example.com\"",
        parse_host,
    );
    let origins = reader.read_names(
        members.get("origins"),
        "`https.origins`",
        "such as \"https://app.example.com\"",
        parse_origin,
    );
    let limits = members.get("limits").map(|value| read_limits(reader.document, value)).unwrap_or_default();
    let oidc = match members.get("oidc") {
        Some(value) => read_oidc(reader.document, value, &reader.variables, directory).map(Some),
        None => Some(None),
    };
    let client_certificates = match members.get("clientCertificates") {
        Some(value) => {
            read_client_certificates(reader.document, value, &reader.variables, directory).map(Some)
        }
        None => Some(None),
    };
    let encryption = match encryption? {
        Ok(encryption) => encryption,
        Err(closed) => return Some(Err(closed)),
    };
    let settings = HttpsSettings {
        listen: listen?,
        encryption,
        hosts,
        origins,
        limits,
        bearer_token: None,
        oidc: oidc?,
        client_certificates: client_certificates?,
    };
    Some(reader.close_if_unsafe(settings))
}

struct HttpsReader<'d, 'a, 'v> {
    document: &'d mut ConfigDocument<'a>,
    /// The variables of the files.
    variables: Variables<'v>,
    directory: &'d Path,
    /// Where the section begins.
    at: usize,
}

impl<'a> HttpsReader<'_, 'a, '_> {
    fn read_listen(&mut self, value: &Value<'a>) -> Option<SocketAddr> {
        let text = self.document.read_expanded_complete(value, "`https.listen`", &self.variables)?;
        let listen: Option<SocketAddr> = text.text.expose().parse().ok();
        if listen.is_none() {
            let message = "`https.listen` must be an address with a port";
            let hint = format!("such as \"127.0.0.1:{DEFAULT_PORT}\"");
            self.document.add_error(value.start(), message.into(), Some(hint));
        }
        listen
    }

    fn listen_from_variables(&mut self) -> Option<SocketAddr> {
        let port = match self.variables.non_empty(PORT_VARIABLE) {
            None => Some(DEFAULT_PORT),
            Some(text) => text.expose().trim().parse().ok().filter(|port| *port > 0),
        };
        if port.is_none() {
            let message = format!("{PORT_VARIABLE} in .env must be a port, from 1 to 65535");
            self.document.add_error(
                self.at,
                message,
                Some("`https.listen` names the address too".to_owned()),
            );
        }
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port?))
    }

    /// None after an error; a missing certificate keeps the endpoint closed.
    fn read_encryption(
        &mut self,
        members: &CheckedMembers<'_, 'a>,
    ) -> Option<Result<HttpsEncryption, ClosedHttps>> {
        let is_self_signed = self.document.read_bool(members.get("selfSigned"), "`https.selfSigned`", false);
        let is_plain = self.document.read_bool(members.get("plainHttp"), "`https.plainHttp`", false);
        let (certificate, key) = (members.get("certFile"), members.get("keyFile"));
        let given = usize::from(is_self_signed)
            + usize::from(is_plain)
            + usize::from(certificate.is_some() || key.is_some());
        if given > 1 {
            let message = "`https` takes one of `certFile` with `keyFile`, `selfSigned` and `plainHttp`";
            self.document.add_error(members.at, message.into(), None);
            return None;
        }
        if is_self_signed {
            return Some(Ok(HttpsEncryption::SelfSigned));
        }
        if is_plain {
            return Some(Ok(HttpsEncryption::Plain));
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let certificate = self.read_path(certificate, "`https.certFile`");
                let key = self.read_path(key, "`https.keyFile`");
                Some(Ok(HttpsEncryption::Files { certificate: certificate?, key: key? }))
            }
            (None, None) => Some(self.encryption_from_variables().ok_or_else(|| {
                self.closed(
                    "it names no certificate",
                    "set `certFile` and `keyFile`, or \"selfSigned\": true to have one made",
                )
            })),
            (Some(_), None) | (None, Some(_)) => {
                let message = "`https` needs both `certFile` and `keyFile`";
                self.document.add_error(members.at, message.into(), None);
                None
            }
        }
    }

    fn encryption_from_variables(&self) -> Option<HttpsEncryption> {
        let path = |name| Some(self.directory.join(self.variables.non_empty(name)?.expose()));
        Some(HttpsEncryption::Files { certificate: path(CERTIFICATE_VARIABLE)?, key: path(KEY_VARIABLE)? })
    }

    fn read_path(&mut self, value: &Value<'a>, what: &str) -> Option<PathBuf> {
        let text = self.document.read_expanded_complete(value, what, &self.variables)?;
        Some(self.directory.join(text.text.expose()))
    }

    fn read_names(
        &mut self,
        value: Option<&Value<'a>>,
        what: &str,
        hint: &str,
        parse: impl Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let named = self.document.read_strings(value, what).unwrap_or_default();
        if named.len() > MAX_NAMES {
            self.document.add_error(self.at, format!("{what} has at most {MAX_NAMES} entries"), None);
        }
        let mut names = Vec::new();
        for (at, text) in named.into_iter().take(MAX_NAMES) {
            match parse(text) {
                Some(name) if !names.contains(&name) => names.push(name),
                Some(_) => {}
                None => {
                    self.document.add_error(
                        at,
                        format!("{what} has an unusable entry"),
                        Some(hint.to_owned()),
                    );
                }
            }
        }
        names
    }

    /// Keeps an endpoint closed that anyone could read or call.
    fn close_if_unsafe(&mut self, settings: HttpsSettings) -> Result<HttpsSettings, ClosedHttps> {
        let is_local = settings.listen.ip().is_loopback();
        if settings.encryption == HttpsEncryption::Plain && !is_local {
            return Err(self.closed(
                "plain HTTP beyond this machine could be read on its way",
                "set `certFile` and `keyFile` or \"selfSigned\": true, or listen on 127.0.0.1",
            ));
        }
        let enabled = self.variables.non_empty(AUTHENTICATION_VARIABLE);
        if enabled.is_some_and(|word| {
            ["false", "0", "no", "off"].contains(&word.expose().trim().to_lowercase().as_str())
        }) {
            let reason = format!("{AUTHENTICATION_VARIABLE} in .env turns authentication off");
            return Err(self.closed(&reason, "remove it; Portero serves no one without a credential"));
        }
        let bearer = self.variables.non_empty(TOKEN_VARIABLE);
        if let Some(problem) = bearer.as_ref().and_then(|bearer| token::find_token_problem(bearer.expose())) {
            return Err(self.closed(&format!("{TOKEN_VARIABLE} in .env {problem}"), token::MAKE_TOKEN));
        }
        if !is_local && settings.hosts.is_empty() {
            let message = "`https.listen` is beyond this machine, but `https.hosts` names no host: requests to other \
                           names than that address are refused";
            let hint = "name the host that clients use: \"hosts\": [\"portero.example.com\"]";
            self.document.add_warning(self.at, message.into(), Some(hint.into()));
        }
        Ok(HttpsSettings { bearer_token: bearer, ..settings })
    }

    fn closed(&mut self, reason: &str, hint: &str) -> ClosedHttps {
        self.document.add_warning(self.at, format!("HTTPS stays closed: {reason}"), Some(hint.to_owned()));
        ClosedHttps { reason: reason.to_owned(), hint: hint.to_owned() }
    }
}

fn read_limits<'a>(document: &mut ConfigDocument<'a>, value: &Value<'a>) -> HttpsLimits {
    let default = HttpsLimits::default();
    let Some(members) = document.read_object(value, "`https.limits`", &[fields::HTTPS_LIMITS]) else {
        return default;
    };
    let mut number = |name: &str, default: u64, least: u64, most: u64| {
        let what = format!("`https.limits.{name}`");
        let number = document.read_number(members.get(name), &what, least);
        if let (Some(number), Some(value)) = (number, members.get(name))
            && number > most
        {
            document.add_error(value.start(), format!("{what} must be at most {most}"), None);
        }
        number.map_or(default, |number| number.min(most))
    };
    let bytes = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let body = number("bodyBytes", default.max_body_bytes as u64, 1 << 10, HttpsLimits::MAX_BODY_BYTES);
    let header = number(
        "headerBytes",
        default.max_header_bytes as u64,
        HttpsLimits::MIN_HEADER_BYTES,
        HttpsLimits::MAX_HEADER_BYTES,
    );
    let mut count = |name: &str, default: u32| {
        u32::try_from(number(name, default.into(), 1, HttpsLimits::MAX_COUNT)).unwrap_or(default)
    };
    let requests_per_minute = count("requestsPerMinute", default.requests_per_minute);
    let requests_per_minute_of_address =
        count("requestsPerMinuteOfAddress", default.requests_per_minute_of_address);
    let max_connections = count("connections", default.max_connections);
    let max_connections_of_address = count("connectionsOfAddress", default.max_connections_of_address);
    let mut timeout = |name: &str, default: Duration| {
        let what = format!("`https.limits.{name}`");
        let time = document.read_duration(members.get(name), &what, default);
        if let Some(value) = members.get(name).filter(|_| time.is_zero() || time > HttpsLimits::MAX_TIMEOUT) {
            document.add_error(value.start(), format!("{what} must be more than 0 and at most 1h"), None);
        }
        time
    };
    HttpsLimits {
        max_body_bytes: bytes(body),
        max_header_bytes: bytes(header),
        requests_per_minute,
        requests_per_minute_of_address,
        max_connections,
        max_connections_of_address,
        header_timeout: timeout("header", default.header_timeout),
        body_timeout: timeout("body", default.body_timeout),
        idle_timeout: timeout("idle", default.idle_timeout),
    }
}

/// A host without a port, as [`HttpsSettings::hosts`] spells it.
fn parse_host(text: &str) -> Option<String> {
    Host::parse(text).ok().map(|host| host.to_string()).filter(|host| !host.contains('*'))
}

/// An origin, as [`HttpsSettings::origins`] spells it.
fn parse_origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (is_bare && url.username().is_empty()).then(|| url.origin().ascii_serialization())
}
