//! Which servers and tools exist for a principal.

use portero::config::{ServerConfig, SkippedServer};
use portero::json::RawObject;
use portero::names::{Operation, ServerName, ToolId, ToolName};
use portero::pattern::Pattern;
use portero::server::ServerListing;

/// What a principal can reach at all. What lies outside doesn't exist for it; within, policy decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolReach {
    /// The tools and operations, such as `notes/resources:read`: those that one of these covers.
    pub tools: Vec<Pattern>,
}

impl ToolReach {
    /// Whether it has a tool or an operation.
    #[must_use]
    pub fn has_tool(&self, tool: &ToolId) -> bool {
        self.tools.iter().any(|pattern| pattern.matches(tool))
    }

    /// Whether it may have a tool of this server.
    #[must_use]
    pub fn has_server(&self, server: &ServerName) -> bool {
        self.tools.iter().any(|pattern| pattern.server().is_none_or(|of| of == *server))
    }

    /// The servers of a configuration that exist here.
    pub(super) fn servers_of(&self, servers: &[ServerConfig]) -> Vec<ServerConfig> {
        servers.iter().filter(|server| self.has_server(&server.name)).cloned().collect()
    }

    /// The servers here that the configuration left out.
    pub(super) fn skipped_of(&self, skipped: &[SkippedServer]) -> Vec<SkippedServer> {
        skipped.iter().filter(|skipped| self.has_server(&skipped.server)).cloned().collect()
    }

    /// The part of a server's listing that exists here.
    pub(super) fn restrict_listing(&self, server: &ServerName, listing: &ServerListing) -> ServerListing {
        let mut listing = listing.clone();
        listing.tools.retain(|tool| {
            let name = RawObject::read(tool).unwrap_or_default();
            let name = name.get_text("name").and_then(|name| ToolName::from_child(&name).ok());
            name.is_some_and(|name| self.has_tool(&ToolId::new(server.clone(), name)))
        });
        let has = |operation: Operation| self.has_tool(&ToolId::new(server.clone(), operation));
        if !has(Operation::ReadResource) {
            listing.resources.clear();
            listing.templates.clear();
        }
        if !has(Operation::GetPrompt) {
            listing.prompts.clear();
        }
        listing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(tools: &[&str]) -> ToolReach {
        ToolReach { tools: tools.iter().map(|text| text.parse().unwrap()).collect() }
    }

    #[test]
    fn what_no_pattern_covers_does_not_exist() {
        let some = reach(&["*/read", "mail/list_*"]);
        for (name, has) in [
            ("mail/read", true),
            ("mail/list_all", true),
            ("mail/send", false),
            ("notes/read", true),
            ("mail/resources:read", false),
        ] {
            assert_eq!(some.has_tool(&name.parse().unwrap()), has, "{name}");
        }
        assert!(reach(&["*"]).has_tool(&"mail/resources:read".parse().unwrap()));
        assert!(!reach(&[]).has_tool(&"mail/send".parse().unwrap()));
    }

    #[test]
    fn a_server_without_a_tool_is_none() {
        let some = reach(&["mail/send", "notes/*"]);
        for (name, has) in [("mail", true), ("notes", true), ("github", false)] {
            assert_eq!(some.has_server(&name.parse().unwrap()), has, "{name}");
        }
        assert!(reach(&["*/read"]).has_server(&"github".parse().unwrap()));
    }

    #[test]
    fn a_listing_shows_only_what_exists() {
        let value = |text: &str| portero::json::parse_raw(text.to_owned()).unwrap();
        let listing = ServerListing {
            tools: vec![value(r#"{"name":"read"}"#), value(r#"{"name":"send"}"#)],
            resources: vec![value(r#"{"uri":"a:b"}"#)],
            prompts: vec![value(r#"{"name":"p"}"#)],
            ..ServerListing::default()
        };
        let server = "mail".parse().unwrap();
        let few = reach(&["mail/read"]).restrict_listing(&server, &listing);
        assert_eq!((few.tools.len(), few.resources.len(), few.prompts.len()), (1, 0, 0));
        let whole = reach(&["mail/*"]).restrict_listing(&server, &listing);
        assert_eq!((whole.tools.len(), whole.resources.len(), whole.prompts.len()), (2, 1, 1));
    }
}
