//! `mcps.json`: the child servers, in Portero's own list or in Claude Code's `mcpServers` object.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{Document, Members, list, nearest};
use super::secrets::{SECRET_LEAST, names_secret, secret_in, secrets_of, sounds_secret};
use super::snippet::visible;
use super::types::{Server, Skipped};
use super::variables::{Expanded, Variables, is_name};
use super::{duration, fields};
use crate::anonymize::{Direction, Rule};
use crate::names::{ServerName, ToolName};
use crate::secret::Secret;

/// What `mcps.json` says.
pub(super) struct Servers {
    pub(super) servers: Vec<Server>,
    pub(super) skipped: Vec<Skipped>,
    /// Every name in the file, those of disabled and skipped servers too; none when it could not be read.
    pub(super) known: Option<Vec<ServerName>>,
    /// A rule for each secret that a server is given, and where it stands.
    pub(super) injected: Vec<(Rule, usize)>,
}

pub(super) fn read<'a>(
    document: &mut Document<'a>,
    root: Option<&Value<'a>>,
    variables: &Variables<'_>,
    directory: &Path,
) -> Servers {
    let mut reading = Reading {
        document,
        variables,
        directory,
        first: HashMap::new(),
        found: Servers { servers: Vec::new(), skipped: Vec::new(), known: None, injected: Vec::new() },
    };
    if let Some(root) = root {
        reading.file(root);
    }
    reading.found
}

struct Reading<'d, 'a, 'e> {
    document: &'d mut Document<'a>,
    variables: &'e Variables<'e>,
    directory: &'e Path,
    /// Where each name stood first.
    first: HashMap<ServerName, usize>,
    found: Servers,
}

/// What one server's variables came to.
#[derive(Default)]
struct Given {
    unset: Vec<String>,
    secrets: Vec<(Secret, usize)>,
}

impl<'a> Reading<'_, 'a, '_> {
    fn file(&mut self, root: &Value<'a>) {
        let Some(file) = self.document.object(root, "mcps.json", &[fields::MCPS]) else { return };
        if let Some(own) = file.get("mcps") {
            for value in self.document.array(own, "`mcps`") {
                let known = [fields::NAME, fields::SERVER];
                let Some(server) = self.document.object(value, "a server", &known) else { continue };
                match server.get("name") {
                    None => {
                        self.document.error(server.at, "this server has no `name`".into(), None);
                        self.only_look(server.at, &server);
                    }
                    Some(name) => {
                        if let Some(text) = self.document.string(name, "`name`") {
                            self.server(name.start(), text, &server);
                        }
                    }
                }
            }
        }
        if let Some(theirs) = file.get("mcpServers") {
            for (name, (at, value)) in self.document.map(theirs, "`mcpServers`").unwrap_or_default() {
                if let Some(server) = self.document.object(value, "a server", &[fields::SERVER]) {
                    self.server(at, name, &server);
                }
            }
        }
        self.found.known = Some(self.first.keys().cloned().collect());
    }

    fn server(&mut self, at: usize, name: &str, members: &Members<'_, 'a>) {
        let name: ServerName = match name.parse() {
            Ok(name) => name,
            Err(error) => {
                self.document.error(at, error.to_string(), None);
                return self.only_look(at, members);
            }
        };
        if let Some(before) = self.first.get(&name) {
            let (line, column) = self.document.place(*before);
            let hint = format!("the first one is at mcps.json:{line}:{column}");
            self.document.error(at, format!("there are two servers `{name}`"), Some(hint));
            return self.only_look(at, members);
        }
        self.first.insert(name.clone(), at);
        let disabled = self.document.flag(members.get("disabled"), "`disabled`", false);
        if self.is_remote(members) {
            if !disabled {
                let reason = "it is a remote server (`url`); only servers that Portero starts itself are supported yet";
                self.skip(at, name, reason.to_owned(), "give a `command`, such as a bridge to it");
            }
            return;
        }
        let mut given = Given::default();
        let server = self.local(at, name.clone(), members, &mut given);
        if disabled {
            return;
        }
        if !given.unset.is_empty() {
            given.unset.sort();
            given.unset.dedup();
            let reason = match &given.unset[..] {
                [one] => format!("the variable `{one}` is not set"),
                many => format!("the variables {} are not set", list(many)),
            };
            return self.skip(
                at,
                name,
                reason,
                "set it in the environment, or in the file .env beside this one",
            );
        }
        if let Some(server) = server {
            self.found.servers.push(server);
            self.inject(&name, given.secrets);
        }
    }

    /// Tells what else is wrong with a server that has no name of its own.
    fn only_look(&mut self, at: usize, members: &Members<'_, 'a>) {
        self.document.flag(members.get("disabled"), "`disabled`", false);
        if !self.is_remote(members) {
            let nameless = "nameless".parse().expect("letters make a name");
            self.local(at, nameless, members, &mut Given::default());
        }
    }

    fn skip(&mut self, at: usize, server: ServerName, reason: String, hint: &str) {
        self.document.warn(at, format!("server `{server}` is skipped: {reason}"), Some(hint.to_owned()));
        self.found.skipped.push(Skipped { server, reason, hint: hint.to_owned() });
    }

    fn is_remote(&mut self, members: &Members<'_, 'a>) -> bool {
        let kind = members
            .get("type")
            .and_then(|value| Some((value.start(), self.document.string(value, "`type`")?)));
        match kind {
            Some((_, "http" | "sse" | "streamable-http" | "ws")) => true,
            Some((_, "stdio")) => false,
            Some((at, other)) => {
                let hint =
                    nearest(other, ["stdio", "http", "sse"]).map(|near| format!("did you mean `{near}`?"));
                self.document.error(
                    at,
                    "unknown `type`; the types are `stdio`, `http` and `sse`".into(),
                    hint,
                );
                false
            }
            None => members.get("url").is_some() && members.get("command").is_none(),
        }
    }

    fn local(
        &mut self,
        at: usize,
        name: ServerName,
        members: &Members<'_, 'a>,
        given: &mut Given,
    ) -> Option<Server> {
        for remote in ["url", "headers", "headersHelper", "oauth"] {
            if let Some(value) = members.get(remote) {
                let message = format!("`{remote}` belongs to a remote server, but this one has a `command`");
                self.document.error(value.start(), message, None);
            }
        }
        let command = self.command(at, members, given);
        let texts = |found: Option<Vec<(usize, &str)>>| {
            found.map(|texts| texts.into_iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>())
        };
        let categories = texts(self.document.strings(members.get("categories"), "`categories`"));
        let server = Server {
            name,
            command: String::new(),
            args: self.args(members.get("args"), given),
            env: self.env(members.get("env"), given),
            env_passthrough: self.passthrough(members.get("envPassthrough"), given),
            cwd: members.get("cwd").and_then(|cwd| self.path(cwd, "`cwd`", given)),
            timeout: self.timeout(members.get("timeout")),
            prefix: self.document.flag(members.get("prefix"), "`prefix`", true),
            shared: self.document.flag(members.get("shared"), "`shared`", false),
            pinned_tools: self.pinned(members.get("pinnedTools")),
            categories: categories.unwrap_or_default(),
            roots: members.get("roots").map(|roots| {
                let roots = self.document.array(roots, "`roots`");
                roots.iter().filter_map(|root| self.path(root, "each entry of `roots`", given)).collect()
            }),
        };
        Some(Server { command: command?, ..server })
    }

    fn command(&mut self, at: usize, members: &Members<'_, 'a>, given: &mut Given) -> Option<String> {
        let Some(value) = members.get("command") else {
            self.document.error(at, "this server has no `command`".into(), None);
            return None;
        };
        let command = self.text(value, "`command`", given)?;
        let command = command.text.expose();
        if command.trim().is_empty() && given.unset.is_empty() {
            self.document.error(value.start(), "`command` must not be empty".into(), None);
            return None;
        }
        Some(command.to_owned())
    }

    /// A text whose unset variables skip the server.
    fn text(&mut self, value: &Value<'a>, what: &str, given: &mut Given) -> Option<Expanded> {
        let expanded = self.document.expanded(value, what, self.variables)?;
        if expanded.text.expose().contains('\0') {
            self.document.error(value.start(), format!("{what} holds a NUL character"), None);
            return None;
        }
        given.unset.extend(expanded.unset.iter().cloned());
        Some(expanded)
    }

    /// A relative path begins at the configuration directory: sessions have different directories.
    fn path(&mut self, value: &Value<'a>, what: &str, given: &mut Given) -> Option<PathBuf> {
        let expanded = self.text(value, what, given)?;
        if expanded.text.expose().is_empty() && expanded.unset.is_empty() {
            self.document.error(value.start(), format!("{what} must not be empty"), None);
            return None;
        }
        Some(self.directory.join(expanded.text.expose()))
    }

    fn args(&mut self, value: Option<&Value<'a>>, given: &mut Given) -> Vec<Secret> {
        let Some(value) = value else { return Vec::new() };
        let mut args = Vec::new();
        for item in self.document.array(value, "`args`") {
            if let Some(arg) = self.text(item, "each entry of `args`", given) {
                let told = args.last().is_some_and(|flag: &Secret| names_secret(flag.expose()));
                let told = told && !arg.text.expose().starts_with('-');
                let secret = if told { Some(arg.text.clone()) } else { secret_in(arg.text.expose()) };
                let named = arg.from.into_iter().filter(|(name, _)| sounds_secret(name));
                let secrets = named.map(|(_, value)| value).chain(secret);
                given.secrets.extend(secrets.map(|secret| (secret, item.start())));
                args.push(arg.text);
            }
        }
        args
    }

    fn env(&mut self, value: Option<&Value<'a>>, given: &mut Given) -> BTreeMap<String, Secret> {
        let Some(value) = value else { return BTreeMap::new() };
        let mut env = BTreeMap::new();
        for (name, (at, value)) in self.document.map(value, "`env`").unwrap_or_default() {
            if name.is_empty() || name.contains(['=', '\0']) {
                self.document.error(at, format!("`{}` cannot name a variable", visible(name)), None);
                continue;
            }
            if let Some(text) = self.text(value, &format!("`env.{}`", visible(name)), given) {
                let secrets = secrets_of(name, &text);
                given.secrets.extend(secrets.into_iter().map(|secret| (secret, value.start())));
                env.insert(name.to_owned(), text.text);
            }
        }
        env
    }

    fn passthrough(&mut self, value: Option<&Value<'a>>, given: &mut Given) -> Vec<String> {
        let names = self.document.strings(value, "`envPassthrough`").unwrap_or_default();
        let mut checked = Vec::with_capacity(names.len());
        for (at, name) in names {
            if is_name(name) {
                let value = (self.variables.env)(name).filter(|_| sounds_secret(name));
                given.secrets.extend(value.map(|value| (Secret::new(value), at)));
                checked.push(name.to_owned());
            } else {
                let message = "each entry of `envPassthrough` is the name of a variable";
                self.document.error(at, message.into(), Some("write it without `$` and braces".into()));
            }
        }
        checked
    }

    /// Portero's servers have durations; Claude Code's have milliseconds.
    fn timeout(&mut self, value: Option<&Value<'a>>) -> Option<Duration> {
        let value = value?;
        if let Value::NumberLit(_) = value {
            return self
                .document
                .number(Some(value), "`timeout` (in milliseconds)", 1)
                .map(Duration::from_millis);
        }
        let text = self.document.string(value, "`timeout`")?;
        let read = duration::parse(text);
        if let Err(error) = &read {
            self.document.error(value.start(), format!("`timeout`: {error}"), None);
        }
        read.ok()
    }

    fn pinned(&mut self, value: Option<&Value<'a>>) -> Option<Vec<String>> {
        let names = self.document.strings(value, "`pinnedTools`")?;
        let mut checked = Vec::with_capacity(names.len());
        for (at, name) in names {
            match ToolName::from_child(name) {
                Ok(_) => checked.push(name.to_owned()),
                Err(error) => {
                    let hint = "write the tool's own name, without the server's".to_owned();
                    self.document.error(at, format!("`pinnedTools`: {error}"), Some(hint));
                }
            }
        }
        Some(checked)
    }

    fn inject(&mut self, server: &ServerName, secrets: Vec<(Secret, usize)>) {
        for (real, at) in secrets {
            if real.expose().chars().count() < SECRET_LEAST {
                continue;
            }
            if let Some((rule, _)) = self.found.injected.iter_mut().find(|(rule, _)| rule.real == real) {
                rule.servers.get_or_insert_default().push(server.clone());
                continue;
            }
            let rule = Rule {
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
