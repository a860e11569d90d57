//! Suggests the tool or server that a mistyped name probably means. These are only hints and refuse nothing,
//! because an unknown name may become known.

use portero::catalog::cached_tools;
use portero::config::Config;
use portero::names::{BUILTIN_SERVER, ServerName, ToolId};
use portero::paths::Paths;
use portero::pattern::Pattern;

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

    /// A hint if no server lists this tool.
    pub(crate) fn hint_for_tool(&self, tool: &ToolId) -> Option<String> {
        let (server, name) = (tool.server.as_str(), tool.tool.as_str());
        if let Some(hint) = self.hint_for_server(server, name) {
            return Some(hint);
        }
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

    fn hint_for_server(&self, server: &str, rest: &str) -> Option<String> {
        if server == BUILTIN_SERVER || self.servers.iter().any(|known| known.as_str() == server) {
            return None;
        }
        let near = nearest_match(server, self.servers.iter().map(ServerName::as_str));
        let meant = near.map(|near| format!("; did you mean `{near}/{rest}`?")).unwrap_or_default();
        Some(format!("mcps.json names no server `{server}` that is in use{meant}"))
    }
}

/// The most similar word, if one is similar enough.
pub(crate) fn nearest_match<'w>(typed: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let likeness = known.map(|word| (strsim::jaro_winkler(typed, word), word));
    let like = likeness.filter(|(likeness, _)| *likeness > 0.8);
    like.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
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
        for right in ["files/read_file", "files/resources:read", "github/unheard_of", "portero/call"] {
            assert_eq!(about(right), None, "{right}");
        }
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
