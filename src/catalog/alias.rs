//! The names of tools and prompts toward the agent.

/// The most characters of a name toward the agent: clients take 64 with their own `mcp__portero__`.
pub const MOST: usize = 50;
/// What stands between server and tool.
pub const SEPARATOR: &str = "__";
/// What Portero's own tools begin with; nothing else does.
pub const OWN: &str = "portero__";

/// The name toward the agent of something that a server names `name`.
#[must_use]
pub fn wire_name(server: &str, name: &str) -> String {
    todo!()
}
