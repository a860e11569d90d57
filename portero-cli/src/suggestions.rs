//! Suggests the tool or server that a mistyped name probably means. These are only hints and refuse nothing,
//! because an unknown name may become known.

use portero::catalog::cached_tools;
use portero::config::Config;
use portero::names::{BUILTIN_SERVER, Operation, ServerName, ToolId};
use portero::paths::Paths;
use portero::pattern::Pattern;
use portero::policy::{ConfigPolicy, DecisionSource};
use portero::session::builtin_tool_names;

/// The configured servers, and the tools in their cached lists.
pub(crate) struct KnownTools {
    /// All servers, including skipped ones.
    servers: Vec<ServerName>,
    /// The servers with a known list.
    listed_servers: Vec<ServerName>,
    tools: Vec<ToolId>,
}

impl KnownTools {
    /// Reads the lists that earlier sessions cached; this starts nothing.
    pub(crate) fn load(config: &Config, paths: &Paths) -> Self {
        let (heard, tools): (_, Vec<_>) = cached_tools(&config.servers, &paths.catalog()).into_iter().unzip();
        let servers = config.servers.iter().map(|server| server.name.clone());
        let skipped = config.skipped.iter().map(|skipped| skipped.server.clone());
        Self { servers: servers.chain(skipped).collect(), listed_servers: heard, tools: tools.concat() }
    }

    /// A hint for each tool that the policy names and its server doesn't list, with the entry's place. Such an entry
    /// denies or allows nothing. Unknown servers are a problem of the configuration itself.
    pub(crate) fn hints_for_policy(&self, policy: &ConfigPolicy) -> Vec<String> {
        let entries = policy.entries.iter().map(|entry| (Some(&entry.source), &entry.pattern));
        let quorums = policy
            .quorums
            .iter()
            .flat_map(|quorum| quorum.tools.iter().map(|pattern| (Some(&quorum.source), pattern)));
        let locked = policy.locked.iter().map(|pattern| (None, pattern));
        let hint = |(source, pattern): (Option<&DecisionSource>, &Pattern)| {
            let tool: ToolId = pattern.to_string().parse().ok()?;
            let hint = if tool.is_builtin() {
                hint_for_builtin(tool.tool.as_str())
            } else {
                self.hint_if_unlisted(&tool)
            };
            let hint = hint?;
            Some(match source {
                Some(source) => format!("{source}: {hint}"),
                None => format!("policies.json, locked: {hint}"),
            })
        };
        entries.chain(quorums).chain(locked).filter_map(hint).collect()
    }

    /// A hint if no server lists this tool.
    pub(crate) fn hint_for_tool(&self, tool: &ToolId) -> Option<String> {
        let (server, name) = (tool.server.as_str(), tool.tool.as_str());
        if tool.is_builtin() {
            return hint_for_builtin(name);
        }
        self.hint_for_server(server, name).or_else(|| self.hint_if_unlisted(tool))
    }

    /// A hint if this server's known list lacks the tool.
    fn hint_if_unlisted(&self, tool: &ToolId) -> Option<String> {
        let (server, name) = (tool.server.as_str(), tool.tool.as_str());
        // Other methods, such as `resources:read`, are in no list.
        if name.contains(':') || !self.listed_servers.contains(&tool.server) || self.tools.contains(tool) {
            return None;
        }
        let of_server = self.tools.iter().filter(|known| known.server == tool.server);
        let near = nearest_match(name, of_server.map(|known| known.tool.as_str()));
        let meant = near.map(|near| format!("; did you mean `{server}/{near}`?")).unwrap_or_default();
        Some(format!("`{server}` lists no tool `{name}`{meant}"))
    }

    /// A hint if this pattern names an unknown server or tool.
    pub(crate) fn hint_for_pattern(&self, pattern: &Pattern) -> Option<String> {
        let text = pattern.to_string();
        if let Ok(tool) = text.parse::<ToolId>() {
            return self.hint_for_tool(&tool);
        }
        let (server, rest) = text.split_once('/')?;
        if server.contains(['*', '?', '[', '{', '\\']) {
            return None;
        }
        self.hint_for_server(server, rest)
    }

    /// A hint if the pattern names one server whose tools are known, and matches none of them.
    pub(crate) fn hint_for_unmatched(&self, pattern: &Pattern) -> Option<String> {
        let server = pattern.server().filter(|server| self.listed_servers.contains(server))?;
        let operations = Operation::ALL.map(|operation| ToolId::new(server.clone(), operation));
        let is_matched = self.tools.iter().chain(&operations).any(|tool| pattern.matches(tool));
        (!is_matched).then(|| format!("`{pattern}` matches no tool that `{server}` lists"))
    }

    fn hint_for_server(&self, server: &str, rest: &str) -> Option<String> {
        if server == BUILTIN_SERVER || self.servers.iter().any(|known| known.as_str() == server) {
            return None;
        }
        let near = nearest_match(server, self.servers.iter().map(ServerName::as_str));
        let meant = near.map(|near| format!("; did you mean `{near}/{rest}`?")).unwrap_or_default();
        Some(format!("mcps.json names no server `{server}` that is in use{meant}"))
    }
}

/// A hint if Portero has no tool of this name.
fn hint_for_builtin(name: &str) -> Option<String> {
    let own: Vec<&str> = builtin_tool_names().collect();
    if own.contains(&name) {
        return None;
    }
    let near = nearest_match(name, own.into_iter());
    let meant = near.map(|near| format!("; did you mean `{BUILTIN_SERVER}/{near}`?")).unwrap_or_default();
    Some(format!("Portero has no tool `{name}`{meant}"))
}

/// The most similar word, if one is similar enough.
pub(crate) fn nearest_match<'w>(typed: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let likeness = known.map(|word| (strsim::jaro_winkler(typed, word), word));
    let like = likeness.filter(|(likeness, _)| *likeness > 0.8);
    like.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use portero::policy::{Action, PolicyEntry, Quorum};

    use super::*;

    fn sample_known_tools() -> KnownTools {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        KnownTools {
            servers: names(&["files", "github"]),
            listed_servers: names(&["files"]),
            tools: vec!["files/read_file".parse().unwrap(), "files/list_directory".parse().unwrap()],
        }
    }

    #[test]
    fn a_mistyped_tool_gets_the_nearest_one() {
        let about = |tool: &str| sample_known_tools().hint_for_tool(&tool.parse().unwrap());
        assert_eq!(
            about("files/read_fiel").as_deref(),
            Some("`files` lists no tool `read_fiel`; did you mean `files/read_file`?")
        );
        assert_eq!(
            about("filse/read_file").as_deref(),
            Some("mcps.json names no server `filse` that is in use; did you mean `files/read_file`?")
        );
        assert_eq!(
            about("weather/now").as_deref(),
            Some("mcps.json names no server `weather` that is in use")
        );
        assert_eq!(
            about("portero/chek_task").as_deref(),
            Some("Portero has no tool `chek_task`; did you mean `portero/check_task`?")
        );
        for right in ["files/read_file", "files/resources:read", "github/unheard_of", "portero/call"] {
            assert_eq!(about(right), None, "{right}");
        }
    }

    #[test]
    fn a_pattern_without_a_tool_is_named_where_the_tools_are_known() {
        let about = |pattern: &str| sample_known_tools().hint_for_unmatched(&pattern.parse().unwrap());
        let hint = "`files/get_*` matches no tool that `files` lists";
        assert_eq!(about("files/get_*").as_deref(), Some(hint));
        for right in ["files/read_*", "files/*:read", "github/get_*", "*/get_*", "*"] {
            assert_eq!(about(right), None, "{right}");
        }
    }

    #[test]
    fn an_entry_of_the_policy_that_names_no_listed_tool_is_told_with_its_place() {
        let entry = |pattern: &str, line| PolicyEntry {
            pattern: pattern.parse().unwrap(),
            action: Action::Deny,
            cases: Vec::new(),
            source: DecisionSource::Config { line, column: 5 },
        };
        let policy = ConfigPolicy {
            entries: vec![
                entry("files/read_fiel", 2),
                entry("files/read_file", 3),
                entry("files/*", 4),
                entry("portero/cal", 5),
                // What these list isn't known, or the configuration's own problem.
                entry("github/unheard_of", 6),
                entry("nosuch/tool", 7),
            ],
            locked: vec!["files/write_file".parse().unwrap()],
            quorums: vec![Quorum {
                tools: vec!["files/list_dir".parse().unwrap()],
                approvals: 2,
                of: vec![1, 2],
                source: DecisionSource::Quorum { line: 8, column: 3 },
            }],
            ..ConfigPolicy::default()
        };
        assert_eq!(
            sample_known_tools().hints_for_policy(&policy),
            [
                "policies.json:2:5: `files` lists no tool `read_fiel`; did you mean `files/read_file`?",
                "policies.json:5:5: Portero has no tool `cal`; did you mean `portero/call`?",
                "portero.json:8:3: `files` lists no tool `list_dir`; did you mean `files/list_directory`?",
                "policies.json, locked: `files` lists no tool `write_file`",
            ]
        );
    }

    #[test]
    fn a_mistyped_pattern_gets_the_nearest_one() {
        let about = |pattern: &str| sample_known_tools().hint_for_pattern(&pattern.parse().unwrap());
        assert_eq!(
            about("githb/*").as_deref(),
            Some("mcps.json names no server `githb` that is in use; did you mean `github/*`?")
        );
        assert!(about("files/read_fil").is_some_and(|hint| hint.contains("`files/read_file`")));
        for right in ["github/*", "*/delete_*", "*", "**", "{files,x}/*"] {
            assert_eq!(about(right), None, "{right}");
        }
    }
}
