//! All fields that the readers know. The readers refuse all others, and a test compares these tables with the
//! JSON schemas.

/// `mcps.json`
pub(super) const MCPS: &[&str] = &["$schema", "mcps", "mcpServers"];
/// A server, in both shapes. The last five are Claude Code's fields for remote servers.
pub(super) const SERVER: &[&str] = &[
    "command",
    "args",
    "env",
    "cwd",
    "timeout",
    "prefix",
    "instance",
    "stateless",
    "disabled",
    "pinnedTools",
    "categories",
    "roots",
    "envPassthrough",
    "type",
    "url",
    "headers",
    "headersHelper",
    "oauth",
];
/// The additional field of an entry of `mcps`. In `mcpServers` the name is the key.
pub(super) const NAME: &[&str] = &["name"];
/// `replacements.json`
pub(super) const REPLACEMENTS: &[&str] = &["$schema", "replacements"];
/// One replacement.
pub(super) const REPLACEMENT: &[&str] =
    &["fake", "real", "bidirectional", "caseSensitive", "responseReplacement", "label", "servers"];
/// `policies.json`
pub(super) const POLICIES: &[&str] = &["$schema", "policies", "defaultPolicy", "locked"];
/// An entry of `policies` that looks at arguments.
pub(super) const CONDITIONAL: &[&str] = &["cases", "otherwise"];
/// One of its cases.
pub(super) const CASE: &[&str] = &["when", "then"];
/// A test on one place in the arguments.
pub(super) const TEST: &[&str] =
    &["equals", "glob", "regex", "under", "command", "above", "below", "atLeast", "atMost"];
/// `portero.json`
pub(super) const PORTERO: &[&str] =
    &["$schema", "approvals", "limits", "audit", "logging", "telegram", "https"];
/// `approvals` of `portero.json`
pub(super) const APPROVALS: &[&str] = &[
    "pending",
    "start",
    "grantMost",
    "coolDown",
    "hold",
    "pendingMost",
    "pendingMostOfProject",
    "pendingMostInAll",
    "keep",
    "resultBytes",
];
/// `limits` of `portero.json`
pub(super) const LIMITS: &[&str] = &["start", "request", "listWait", "messageBytes", "serverLogBytes"];
/// `audit` of `portero.json`
pub(super) const AUDIT: &[&str] = &["segmentBytes", "keep"];
/// `logging` of `portero.json`
pub(super) const LOGGING: &[&str] = &["level"];
/// `telegram` of `portero.json`
pub(super) const TELEGRAM: &[&str] = &["token", "admin", "chat", "deciders", "quorum", "apiUrl", "notices"];
/// An entry of `telegram.quorum` of `portero.json`
pub(super) const QUORUM: &[&str] = &["tools", "approvals", "of"];
/// `telegram.notices` of `portero.json`
pub(super) const NOTICES: &[&str] = &["every", "level", "servers", "quiet"];
/// `telegram.notices.quiet` of `portero.json`
pub(super) const QUIET: &[&str] = &["from", "to", "zone"];

/// `https` of `portero.json`
pub(super) const HTTPS: &[&str] = &["listen"];

/// The levels of `logging.level`.
pub(super) const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
