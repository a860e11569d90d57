//! `mcps.json`: the child servers, in Portero's own list or in Claude Code's `mcpServers` object.

mod auth;
mod http;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use self::http::HTTP_FIELDS;
pub use self::http::is_transport_header;
use super::document::{CheckedMembers, ConfigDocument, join_quoted, nearest_word};
use super::secrets::{MIN_SECRET_LENGTH, secrets_in_argument, secrets_in_inherited, secrets_in_variable};
use super::snippet::escape_for_display;
use super::types::{ServerConfig, ServerInstance, ServerTransport, SkippedServer, StdioServer};
use super::variables::{ExpandedText, Variables, is_variable_name};
use super::{duration, fields};
use crate::anonymize::{Direction, ReplacementRule};
use crate::names::{SecretName, ServerName, ToolName};
use crate::secret::Secret;

/// The contents of `mcps.json`.
pub(super) struct ParsedServers {
    pub(super) servers: Vec<ServerConfig>,
    pub(super) skipped: Vec<SkippedServer>,
    /// All names in the file, with disabled and skipped servers; none if it couldn't be read.
    pub(super) known: Option<Vec<ServerName>>,
    /// A rule for each secret that a server gets, with its position.
    pub(super) injected: Vec<(ReplacementRule, usize)>,
}

pub(super) fn read_servers<'a>(
    document: &mut ConfigDocument<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
    directory: &Path,
) -> ParsedServers {
    let mut reading = ServersReader {
        document,
        variables,
        directory,
        first: HashMap::new(),
        found: ParsedServers { servers: Vec::new(), skipped: Vec::new(), known: None, injected: Vec::new() },
    };
    if let Some(root) = root {
        reading.read_file(root);
    }
    reading.found
}

struct ServersReader<'d, 'a, 'e> {
    document: &'d mut ConfigDocument<'a>,
    variables: &'e Variables<'e>,
    directory: &'e Path,
    /// Where each name occurred first.
    first: HashMap<ServerName, usize>,
    found: ParsedServers,
}

/// The variables in one server's fields.
#[derive(Default)]
struct ServerVariables {
    unset: Vec<String>,
    secrets: Vec<(Secret, usize)>,
    /// Where a secret is written out in the file itself: its field, and a word for it.
    written_out: Vec<(usize, String, String)>,
}

impl ServerVariables {
    /// Notes a text of which these parts are secrets.
    fn note_secrets(
        &mut self,
        at: usize,
        field: &str,
        word: &str,
        text: &ExpandedText,
        secrets: Vec<Secret>,
    ) {
        let is_literal = text.sources.is_empty() && text.references.is_empty();
        let is_long = |secret: &Secret| secret.expose().chars().count() >= MIN_SECRET_LENGTH;
        if is_literal && secrets.iter().any(is_long) {
            self.written_out.push((at, field.to_owned(), word.to_owned()));
        }
        self.secrets.extend(secrets.into_iter().map(|secret| (secret, at)));
    }
}

/// The transport that an entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransportKind {
    Stdio,
    Http,
    Sse,
}

/// Why a server with this entry can't be reached yet, with the next step.
fn unsupported_field(members: &CheckedMembers<'_, '_>) -> Option<(&'static str, &'static str)> {
    let is_websocket = members
        .get("type")
        .is_some_and(|value| matches!(value, Value::StringLit(text) if text.value == "ws"));
    if is_websocket {
        let reason = "it is reached by a WebSocket, which is no transport of MCP";
        return Some((reason, "use its address for `http`, if it has one"));
    }
    members.get("headersHelper").is_some().then_some((
        "`headersHelper` is not supported",
        "write the header under `headers`, with a variable such as ${API_KEY} for its secret",
    ))
}

impl<'a> ServersReader<'_, 'a, '_> {
    fn read_file(&mut self, root: &Value<'a>) {
        let Some(file) = self.document.read_object(root, "mcps.json", &[fields::MCPS]) else { return };
        if let Some(own) = file.get("mcps") {
            for value in self.document.read_array(own, "`mcps`") {
                let known = [fields::NAME, fields::SERVER];
                let Some(server) = self.document.read_object(value, "a server", &known) else { continue };
                match server.get("name") {
                    None => {
                        self.document.add_error(server.at, "this server has no `name`".into(), None);
                        self.check_unnamed(server.at, &server);
                    }
                    Some(name) => {
                        if let Some(text) = self.document.read_string(name, "`name`") {
                            self.read_server(name.start(), text, &server);
                        }
                    }
                }
            }
        }
        if let Some(theirs) = file.get("mcpServers") {
            for (name, (at, value)) in self.document.read_map(theirs, "`mcpServers`").unwrap_or_default() {
                if let Some(server) = self.document.read_object(value, "a server", &[fields::SERVER]) {
                    self.read_server(at, name, &server);
                }
            }
        }
        // Also after errors: a server with a faulty entry is still known, so patterns that name it draw no
        // warning.
        self.found.known = Some(self.first.keys().cloned().collect());
    }

    fn read_server(&mut self, at: usize, name: &str, members: &CheckedMembers<'_, 'a>) {
        let name: ServerName = match name.parse() {
            Ok(name) => name,
            Err(error) => {
                self.document.add_error(at, error.to_string(), None);
                return self.check_unnamed(at, members);
            }
        };
        if let Some(before) = self.first.get(&name) {
            let (line, column) = self.document.line_and_column(*before);
            let hint = format!("the first one is at mcps.json:{line}:{column}");
            self.document.add_error(at, format!("there are two servers `{name}`"), Some(hint));
            return self.check_unnamed(at, members);
        }
        // Recorded before anything else can end the reading, so that a second server of this name is always
        // found.
        self.first.insert(name.clone(), at);
        let disabled = self.document.read_bool(members.get("disabled"), "`disabled`", false);
        let mut given = ServerVariables::default();
        // Also read if it is disabled, so that its errors show before it is switched on.
        let server = self.read_members(at, name.clone(), members, &mut given);
        if disabled {
            return;
        }
        if let Some((reason, hint)) = unsupported_field(members) {
            return self.skip_server(at, name, reason.to_owned(), hint);
        }
        if !given.unset.is_empty() {
            given.unset.sort();
            given.unset.dedup();
            let reason = match &given.unset[..] {
                [one] => format!("the variable `{one}` is not set"),
                many => format!("the variables {} are not set", join_quoted(many)),
            };
            return self.skip_server(
                at,
                name,
                reason,
                "set it in the environment, or in the file .env beside this one",
            );
        }
        if let Some(server) = server {
            self.warn_of_written_out(&server, given.written_out);
            self.found.servers.push(server);
            self.add_injected_rules(&name, given.secrets);
        }
    }

    /// Checks the other fields of a server without a usable name, so that all problems show at once.
    fn check_unnamed(&mut self, at: usize, members: &CheckedMembers<'_, 'a>) {
        self.document.read_bool(members.get("disabled"), "`disabled`", false);
        let nameless = "nameless".parse().expect("letters make a name");
        self.read_members(at, nameless, members, &mut ServerVariables::default());
    }

    fn skip_server(&mut self, at: usize, server: ServerName, reason: String, hint: &str) {
        self.document.add_warning(
            at,
            format!("server `{server}` is skipped: {reason}"),
            Some(hint.to_owned()),
        );
        self.found.skipped.push(SkippedServer { server, reason, hint: hint.to_owned() });
    }

    /// Warns of secrets in the file itself, with the command that moves each.
    fn warn_of_written_out(&mut self, server: &ServerConfig, written_out: Vec<(usize, String, String)>) {
        for (at, field, word) in written_out {
            let name = format!("{}.{word}", server.name);
            let name = name.parse::<SecretName>().map_or_else(|_| "NAME".to_owned(), |name| name.to_string());
            let moved = if server.instance == ServerInstance::Session {
                "; the daemon then runs this server"
            } else {
                ""
            };
            let hint = format!(
                "run `portero secret set {name} --keep`, and write ${{secret:{name}}} in its place{moved}; or move it into \
                 .env"
            );
            let message = format!("{field} holds a secret in clear, which every session reads");
            self.document.add_warning(at, message, Some(hint));
        }
    }

    /// The transport that an entry names, in the words of Claude Code's `type`.
    fn read_type(&mut self, members: &CheckedMembers<'_, 'a>) -> TransportKind {
        let kind = members
            .get("type")
            .and_then(|value| Some((value.start(), self.document.read_string(value, "`type`")?)));
        match kind {
            Some((_, "http" | "streamable-http" | "ws")) => TransportKind::Http,
            Some((_, "sse")) => TransportKind::Sse,
            Some((_, "stdio")) => TransportKind::Stdio,
            Some((at, other)) => {
                let hint = nearest_word(other, ["stdio", "http", "sse"])
                    .map(|near| format!("did you mean `{near}`?"));
                self.document.add_error(
                    at,
                    "unknown `type`; the types are `stdio`, `http` and `sse`".into(),
                    hint,
                );
                TransportKind::Stdio
            }
            // Without a `type`, a `command` decides: such a server is started here, and a stray `url` is
            // reported as an error.
            None if members.get("url").is_some() && members.get("command").is_none() => TransportKind::Http,
            None => TransportKind::Stdio,
        }
    }

    /// Reads an entry with a known name.
    fn read_members(
        &mut self,
        at: usize,
        name: ServerName,
        members: &CheckedMembers<'_, 'a>,
        given: &mut ServerVariables,
    ) -> Option<ServerConfig> {
        let kind = self.read_type(members);
        let transport = match kind {
            TransportKind::Stdio => self.read_stdio_server(at, members, given).map(ServerTransport::Stdio),
            TransportKind::Http | TransportKind::Sse => self
                .read_http_server(at, members, kind == TransportKind::Sse, given)
                .map(ServerTransport::Http),
        };
        let is_http = kind != TransportKind::Stdio;
        let texts = |found: Option<Vec<(usize, &str)>>| {
            found.map(|texts| texts.into_iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>())
        };
        let categories = texts(self.document.read_strings(members.get("categories"), "`categories`"));
        let instance = match is_http {
            // One connection for all sessions: no credential enters a process that an agent starts.
            true => ServerInstance::User,
            false => self.read_instance(members.get("instance"), transport.as_ref()),
        };
        let timeout = self.read_timeout(members.get("timeout"));
        let prefix = self.document.read_bool(members.get("prefix"), "`prefix`", true);
        let stateless = self.document.read_bool(members.get("stateless"), "`stateless`", is_http);
        let pinned_tools = self.read_pinned_tools(members.get("pinnedTools"));
        let roots = members.get("roots").map(|roots| {
            let roots = self.document.read_array(roots, "`roots`");
            roots.iter().filter_map(|root| self.read_path(root, "each entry of `roots`", given)).collect()
        });
        Some(ServerConfig {
            name,
            transport: transport?,
            timeout,
            prefix,
            instance,
            stateless,
            pinned_tools,
            categories: categories.unwrap_or_default(),
            roots,
        })
    }

    /// Reads the program of a server that Portero starts; none without a usable `command`.
    fn read_stdio_server(
        &mut self,
        at: usize,
        members: &CheckedMembers<'_, 'a>,
        given: &mut ServerVariables,
    ) -> Option<StdioServer> {
        for field in HTTP_FIELDS {
            if let Some(value) = members.get(field) {
                let message = format!("`{field}` belongs to a remote server, but this one has a `command`");
                self.document.add_error(value.start(), message, None);
            }
        }
        // All fields are read before a missing command ends it, so that all problems show at once.
        let command = self.read_command(at, members, given);
        let args = self.read_args(members.get("args"), given);
        let env = self.read_env(members.get("env"), given);
        let env_passthrough = self.read_passthrough(members.get("envPassthrough"), given);
        let cwd = members.get("cwd").and_then(|cwd| self.read_path(cwd, "`cwd`", given));
        Some(StdioServer { command: command?, args, env, env_passthrough, cwd })
    }

    fn read_command(
        &mut self,
        at: usize,
        members: &CheckedMembers<'_, 'a>,
        given: &mut ServerVariables,
    ) -> Option<String> {
        let Some(value) = members.get("command") else {
            self.document.add_error(at, "this server has no `command`".into(), None);
            return None;
        };
        let command = self.read_text(value, "`command`", given)?;
        let command = command.text.expose();
        if command.trim().is_empty() && given.unset.is_empty() {
            self.document.add_error(value.start(), "`command` must not be empty".into(), None);
            return None;
        }
        Some(command.to_owned())
    }

    /// Reads a text that can't hold a reference. Unset variables in it make the server skipped.
    fn read_text(
        &mut self,
        value: &Value<'a>,
        what: &str,
        given: &mut ServerVariables,
    ) -> Option<ExpandedText> {
        let expanded = self.read_secret_text(value, what, given)?;
        if let Some(reference) = expanded.references.first() {
            self.document.refuse_reference(value.start(), what, reference);
            return None;
        }
        Some(expanded)
    }

    /// Reads a text that may hold references. Unset variables in it make the server skipped.
    fn read_secret_text(
        &mut self,
        value: &Value<'a>,
        what: &str,
        given: &mut ServerVariables,
    ) -> Option<ExpandedText> {
        let expanded = self.document.read_expanded(value, what, self.variables)?;
        if expanded.references.is_empty() && expanded.text.expose().contains('\0') {
            self.document.add_error(value.start(), format!("{what} holds a NUL character"), None);
            return None;
        }
        given.unset.extend(expanded.unset.iter().cloned());
        Some(expanded)
    }

    /// Reads a path. A relative one starts at the configuration directory, because sessions have different
    /// directories.
    fn read_path(&mut self, value: &Value<'a>, what: &str, given: &mut ServerVariables) -> Option<PathBuf> {
        let expanded = self.read_text(value, what, given)?;
        if expanded.text.expose().is_empty() && expanded.unset.is_empty() {
            self.document.add_error(value.start(), format!("{what} must not be empty"), None);
            return None;
        }
        Some(self.directory.join(expanded.text.expose()))
    }

    fn read_args(&mut self, value: Option<&Value<'a>>, given: &mut ServerVariables) -> Vec<Secret> {
        let Some(value) = value else { return Vec::new() };
        let mut args = Vec::new();
        for item in self.document.read_array(value, "`args`") {
            if let Some(arg) = self.read_text(item, "each entry of `args`", given) {
                let secrets = secrets_in_argument(args.last().map(Secret::expose), &arg);
                given.secrets.extend(secrets.into_iter().map(|secret| (secret, item.start())));
                args.push(arg.text);
            }
        }
        args
    }

    fn read_env(
        &mut self,
        value: Option<&Value<'a>>,
        given: &mut ServerVariables,
    ) -> BTreeMap<String, Secret> {
        let Some(value) = value else { return BTreeMap::new() };
        let mut env = BTreeMap::new();
        for (name, (at, value)) in self.document.read_map(value, "`env`").unwrap_or_default() {
            if name.is_empty() || name.contains(['=', '\0']) {
                self.document.add_error(
                    at,
                    format!("`{}` cannot name a variable", escape_for_display(name)),
                    None,
                );
                continue;
            }
            let what = format!("`env.{}`", escape_for_display(name));
            let Some((value, declared)) = self.read_declaration(value, &what) else { continue };
            if let Some(text) = self.read_secret_text(value, &what, given) {
                if let (Some(false), Some(reference)) = (declared, text.references.first()) {
                    let message = format!("{what} holds `{reference}`, which is always a secret");
                    let hint = "leave `secret` out; or put the value into .env, and its variable here";
                    self.document.add_error(value.start(), message, Some(hint.to_owned()));
                }
                let secrets = secrets_in_variable(name, &text, declared);
                given.note_secrets(value.start(), &what, name, &text, secrets);
                env.insert(name.to_owned(), text.text);
            }
        }
        env
    }

    /// The value of a variable, and whether the file says that it is a secret. It is written as a text, or as
    /// `{ "value": …, "secret": … }`.
    fn read_declaration<'v>(
        &mut self,
        value: &'v Value<'a>,
        what: &str,
    ) -> Option<(&'v Value<'a>, Option<bool>)> {
        if !matches!(value, Value::Object(_)) {
            return Some((value, None));
        }
        let members = self.document.read_object(value, what, &[fields::VARIABLE])?;
        let declared = members.get("secret").map(|flag| {
            // A mistyped declaration is an error, and until then the value counts as a secret.
            self.document.read_bool(Some(flag), &format!("{what}: `secret`"), true)
        });
        let Some(text) = members.get("value") else {
            self.document.add_error(members.at, format!("{what} has no `value`"), None);
            return None;
        };
        Some((text, declared))
    }

    fn read_passthrough(&mut self, value: Option<&Value<'a>>, given: &mut ServerVariables) -> Vec<String> {
        let names = self.document.read_strings(value, "`envPassthrough`").unwrap_or_default();
        let mut checked = Vec::with_capacity(names.len());
        for (at, name) in names {
            if is_variable_name(name) {
                // Only the environment, because `.env` is never passed on to a child by name.
                let value = (self.variables.env)(name);
                let secrets = value.map(|value| secrets_in_inherited(name, value)).unwrap_or_default();
                given.secrets.extend(secrets.into_iter().map(|secret| (secret, at)));
                checked.push(name.to_owned());
            } else {
                let message = "each entry of `envPassthrough` is the name of a variable";
                self.document.add_error(at, message.into(), Some("write it without `$` and braces".into()));
            }
        }
        checked
    }

    /// Reads a timeout. Portero's servers have durations, Claude Code's have milliseconds.
    fn read_timeout(&mut self, value: Option<&Value<'a>>) -> Option<Duration> {
        let value = value?;
        if let Value::NumberLit(_) = value {
            return self
                .document
                .read_number(Some(value), "`timeout` (in milliseconds)", 1)
                .map(Duration::from_millis);
        }
        let text = self.document.read_string(value, "`timeout`")?;
        let read = duration::parse_duration(text);
        if let Err(error) = &read {
            self.document.add_error(value.start(), format!("`timeout`: {error}"), None);
        }
        read.ok()
    }

    /// Reads the instance. A program whose variables hold references runs in the daemon, because no credential may
    /// enter a process that an agent starts (guarantee T2).
    fn read_instance(
        &mut self,
        value: Option<&Value<'a>>,
        transport: Option<&ServerTransport>,
    ) -> ServerInstance {
        let reference = transport.and_then(|transport| transport.references().into_iter().next());
        let usual = if reference.is_some() { ServerInstance::Project } else { ServerInstance::default() };
        let Some(value) = value else { return usual };
        let Some(word) = self.document.read_string(value, "`instance`") else { return usual };
        let found = ServerInstance::ALL.into_iter().find(|instance| instance.as_str() == word);
        if found.is_none() {
            let words = ServerInstance::ALL.map(ServerInstance::as_str);
            let hint = nearest_word(word, words).map(|near| format!("did you mean `{near}`?"));
            let message = "unknown `instance`; the instances are `session`, `project` and `user`";
            self.document.add_error(value.start(), message.into(), hint);
        }
        if let (Some(reference), Some(ServerInstance::Session)) = (reference, found) {
            let message = format!(
                "a server with `{reference}` can't have the instance `session`: the agent starts its sessions, and could \
                 read the secret there"
            );
            let hint =
                "leave `instance` out, or write `project` or `user`; the daemon then runs it".to_owned();
            self.document.add_error(value.start(), message, Some(hint));
        }
        found.unwrap_or(usual)
    }

    fn read_pinned_tools(&mut self, value: Option<&Value<'a>>) -> Option<Vec<String>> {
        let names = self.document.read_strings(value, "`pinnedTools`")?;
        let mut checked = Vec::with_capacity(names.len());
        for (at, name) in names {
            match ToolName::from_child(name) {
                Ok(_) => checked.push(name.to_owned()),
                Err(error) => {
                    let hint = "write the tool's own name, without the server's".to_owned();
                    self.document.add_error(at, format!("`pinnedTools`: {error}"), Some(hint));
                }
            }
        }
        Some(checked)
    }

    fn add_injected_rules(&mut self, server: &ServerName, secrets: Vec<(Secret, usize)>) {
        for (real, at) in secrets {
            if real.expose().chars().count() < MIN_SECRET_LENGTH {
                continue;
            }
            // Two servers with one secret share its rule.
            if let Some((rule, _)) = self.found.injected.iter_mut().find(|(rule, _)| rule.real == real) {
                let servers = rule.servers.get_or_insert_default();
                if !servers.contains(server) {
                    servers.push(server.clone());
                }
                continue;
            }
            let rule = ReplacementRule {
                fake: String::new(),
                real,
                direction: Direction::Injected,
                case_sensitive: true,
                matching: None,
                label: None,
                servers: Some(vec![server.clone()]),
            };
            self.found.injected.push((rule, at));
        }
    }
}
