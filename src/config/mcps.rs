//! `mcps.json`: the child servers, in Portero's own list or in Claude Code's `mcpServers` object.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{CheckedMembers, ConfigDocument, join_quoted, nearest_word};
use super::secrets::{
    MIN_SECRET_LENGTH, is_secret_flag, is_secret_name, secret_in_argument, secrets_in_variable,
};
use super::snippet::escape_for_display;
use super::types::{ServerConfig, ServerInstance, SkippedServer};
use super::variables::{ExpandedText, Variables, is_variable_name};
use super::{duration, fields};
use crate::anonymize::{Direction, ReplacementRule};
use crate::names::{ServerName, ToolName};
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
        if self.is_remote(members) {
            if !disabled {
                let reason = "it is a remote server (`url`); only servers that Portero starts itself are supported yet";
                self.skip_server(at, name, reason.to_owned(), "give a `command`, such as a bridge to it");
            }
            return;
        }
        let mut given = ServerVariables::default();
        // Also read if it is disabled, so that its errors show before it is switched on.
        let server = self.read_local_server(at, name.clone(), members, &mut given);
        if disabled {
            return;
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
            self.found.servers.push(server);
            self.add_injected_rules(&name, given.secrets);
        }
    }

    /// Checks the other fields of a server without a usable name, so that all problems show at once.
    fn check_unnamed(&mut self, at: usize, members: &CheckedMembers<'_, 'a>) {
        self.document.read_bool(members.get("disabled"), "`disabled`", false);
        if !self.is_remote(members) {
            let nameless = "nameless".parse().expect("letters make a name");
            self.read_local_server(at, nameless, members, &mut ServerVariables::default());
        }
    }

    fn skip_server(&mut self, at: usize, server: ServerName, reason: String, hint: &str) {
        self.document.add_warning(
            at,
            format!("server `{server}` is skipped: {reason}"),
            Some(hint.to_owned()),
        );
        self.found.skipped.push(SkippedServer { server, reason, hint: hint.to_owned() });
    }

    fn is_remote(&mut self, members: &CheckedMembers<'_, 'a>) -> bool {
        let kind = members
            .get("type")
            .and_then(|value| Some((value.start(), self.document.read_string(value, "`type`")?)));
        match kind {
            Some((_, "http" | "sse" | "streamable-http" | "ws")) => true,
            Some((_, "stdio")) => false,
            Some((at, other)) => {
                let hint = nearest_word(other, ["stdio", "http", "sse"])
                    .map(|near| format!("did you mean `{near}`?"));
                self.document.add_error(
                    at,
                    "unknown `type`; the types are `stdio`, `http` and `sse`".into(),
                    hint,
                );
                false
            }
            // Without a `type`, a `command` decides: such a server is started here, and a stray `url` is
            // reported as an error.
            None => members.get("url").is_some() && members.get("command").is_none(),
        }
    }

    fn read_local_server(
        &mut self,
        at: usize,
        name: ServerName,
        members: &CheckedMembers<'_, 'a>,
        given: &mut ServerVariables,
    ) -> Option<ServerConfig> {
        for remote in ["url", "headers", "headersHelper", "oauth"] {
            if let Some(value) = members.get(remote) {
                let message = format!("`{remote}` belongs to a remote server, but this one has a `command`");
                self.document.add_error(value.start(), message, None);
            }
        }
        let command = self.read_command(at, members, given);
        let texts = |found: Option<Vec<(usize, &str)>>| {
            found.map(|texts| texts.into_iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>())
        };
        let categories = texts(self.document.read_strings(members.get("categories"), "`categories`"));
        let server = ServerConfig {
            name,
            command: String::new(),
            args: self.read_args(members.get("args"), given),
            env: self.read_env(members.get("env"), given),
            env_passthrough: self.read_passthrough(members.get("envPassthrough"), given),
            cwd: members.get("cwd").and_then(|cwd| self.read_path(cwd, "`cwd`", given)),
            timeout: self.read_timeout(members.get("timeout")),
            prefix: self.document.read_bool(members.get("prefix"), "`prefix`", true),
            instance: self.read_instance(members.get("instance")),
            stateless: self.document.read_bool(members.get("stateless"), "`stateless`", false),
            pinned_tools: self.read_pinned_tools(members.get("pinnedTools")),
            categories: categories.unwrap_or_default(),
            roots: members.get("roots").map(|roots| {
                let roots = self.document.read_array(roots, "`roots`");
                roots.iter().filter_map(|root| self.read_path(root, "each entry of `roots`", given)).collect()
            }),
        };
        Some(ServerConfig { command: command?, ..server })
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

    /// Reads a text. Unset variables in it make the server skipped.
    fn read_text(
        &mut self,
        value: &Value<'a>,
        what: &str,
        given: &mut ServerVariables,
    ) -> Option<ExpandedText> {
        let expanded = self.document.read_expanded(value, what, self.variables)?;
        if expanded.text.expose().contains('\0') {
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
            // A secret may be an argument after `--token`, a part such as `--token=…`, or come from a variable
            // with a telling name.
            if let Some(arg) = self.read_text(item, "each entry of `args`", given) {
                let told = args.last().is_some_and(|flag: &Secret| is_secret_flag(flag.expose()));
                let told = told && !arg.text.expose().starts_with('-');
                let secret =
                    if told { Some(arg.text.clone()) } else { secret_in_argument(arg.text.expose()) };
                let named = arg.sources.into_iter().filter(|(name, _)| is_secret_name(name));
                let secrets = named.map(|(_, value)| value).chain(secret);
                given.secrets.extend(secrets.map(|secret| (secret, item.start())));
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
            if let Some(text) = self.read_text(value, &format!("`env.{}`", escape_for_display(name)), given) {
                let secrets = secrets_in_variable(name, &text);
                given.secrets.extend(secrets.into_iter().map(|secret| (secret, value.start())));
                env.insert(name.to_owned(), text.text);
            }
        }
        env
    }

    fn read_passthrough(&mut self, value: Option<&Value<'a>>, given: &mut ServerVariables) -> Vec<String> {
        let names = self.document.read_strings(value, "`envPassthrough`").unwrap_or_default();
        let mut checked = Vec::with_capacity(names.len());
        for (at, name) in names {
            if is_variable_name(name) {
                // Only the environment, because `.env` is never passed on to a child by name.
                let value = (self.variables.env)(name).filter(|_| is_secret_name(name));
                given.secrets.extend(value.map(|value| (Secret::new(value), at)));
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

    fn read_instance(&mut self, value: Option<&Value<'a>>) -> ServerInstance {
        let Some(value) = value else { return ServerInstance::default() };
        let Some(word) = self.document.read_string(value, "`instance`") else {
            return ServerInstance::default();
        };
        let found = ServerInstance::ALL.into_iter().find(|instance| instance.as_str() == word);
        if found.is_none() {
            let words = ServerInstance::ALL.map(ServerInstance::as_str);
            let hint = nearest_word(word, words).map(|near| format!("did you mean `{near}`?"));
            let message = "unknown `instance`; the instances are `session`, `project` and `user`";
            self.document.add_error(value.start(), message.into(), hint);
        }
        found.unwrap_or_default()
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
            // Two servers with one secret share its rule, since equal real values would conflict.
            if let Some((rule, _)) = self.found.injected.iter_mut().find(|(rule, _)| rule.real == real) {
                rule.servers.get_or_insert_default().push(server.clone());
                continue;
            }
            let rule = ReplacementRule {
                fake: String::new(),
                real,
                direction: Direction::Injected,
                case_sensitive: true,
                label: None,
                servers: Some(vec![server.clone()]),
            };
            self.found.injected.push((rule, at));
        }
    }
}
