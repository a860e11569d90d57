//! All fields that the readers know. The readers refuse all others, and a test compares these tables with the
//! JSON schemas.

/// `mcps.json`
pub(super) const MCPS: &[&str] = &["$schema", "mcps", "mcpServers"];
/// A server, in both shapes.
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
    "auth",
    "oauth",
    "maxConcurrent",
    "caFile",
    "certFile",
    "keyFile",
];
/// A variable in `env` that says whether it is a secret.
pub(super) const VARIABLE: &[&str] = &["value", "secret"];
/// `auth` of a server, beside the fields of [`OAUTH`].
pub(super) const AUTH: &[&str] =
    &["method", "location", "name", "format", "prefix", "template", "credential_ref", "credentialRef"];
/// `oauth` of a server. `auth` has them too.
pub(super) const OAUTH: &[&str] = &[
    "grant",
    "client_id",
    "clientId",
    "client_secret",
    "clientSecret",
    "token_endpoint_auth_method",
    "tokenEndpointAuthMethod",
    "private_key_file",
    "privateKeyFile",
    "private_key_algorithm",
    "privateKeyAlgorithm",
    "scopes",
    "callback_port",
    "callbackPort",
    "auth_server_metadata_url",
    "authServerMetadataUrl",
    "client_metadata_url",
    "clientMetadataUrl",
];
/// The additional field of an entry of `mcps`. In `mcpServers` the name is the key.
pub(super) const NAME: &[&str] = &["name"];
/// `replacements.json`
pub(super) const REPLACEMENTS: &[&str] = &["$schema", "replacements"];
/// One replacement.
pub(super) const REPLACEMENT: &[&str] =
    &["fake", "real", "bidirectional", "caseSensitive", "match", "responseReplacement", "label", "servers"];
/// `policies.json`
pub(super) const POLICIES: &[&str] = &["$schema", "policies", "defaultPolicy", "locked", "reads"];
/// An entry of `policies` that looks at arguments.
pub(super) const CONDITIONAL: &[&str] = &["cases", "otherwise"];
/// One of its cases.
pub(super) const CASE: &[&str] = &["when", "then"];
/// A test on one place in the arguments.
pub(super) const TEST: &[&str] =
    &["equals", "glob", "regex", "under", "command", "above", "below", "atLeast", "atMost"];
/// `portero.json`
pub(super) const PORTERO: &[&str] =
    &["$schema", "approvals", "limits", "audit", "logging", "credentials", "telegram", "https"];
/// `approvals` of `portero.json`
pub(super) const APPROVALS: &[&str] = &[
    "pending",
    "start",
    "grantMost",
    "coolDown",
    "hold",
    "remember",
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
/// `credentials` of `portero.json`
pub(super) const CREDENTIALS: &[&str] = &["keyring"];
/// `telegram` of `portero.json`
pub(super) const TELEGRAM: &[&str] = &["token", "admin", "chat", "deciders", "quorum", "apiUrl", "notices"];
/// An entry of `telegram.quorum` of `portero.json`
pub(super) const QUORUM: &[&str] = &["tools", "approvals", "of"];
/// `telegram.notices` of `portero.json`
pub(super) const NOTICES: &[&str] = &["every", "level", "servers", "quiet"];
/// `telegram.notices.quiet` of `portero.json`
pub(super) const QUIET: &[&str] = &["from", "to", "zone"];

/// `https` of `portero.json`
pub(super) const HTTPS: &[&str] = &[
    "listen",
    "certFile",
    "keyFile",
    "selfSigned",
    "plainHttp",
    "hosts",
    "origins",
    "limits",
    "oidc",
    "clientCertificates",
];
/// `https.limits` of `portero.json`
pub(super) const HTTPS_LIMITS: &[&str] = &[
    "bodyBytes",
    "headerBytes",
    "requestsPerMinute",
    "requestsPerMinuteOfAddress",
    "connections",
    "connectionsOfAddress",
    "header",
    "body",
    "idle",
];

/// `https.oidc` of `portero.json`
pub(super) const HTTPS_OIDC: &[&str] = &["issuer", "audience", "algorithms", "jwksUrl", "caFile", "claims"];
/// `https.clientCertificates` of `portero.json`
pub(super) const HTTPS_CERTIFICATES: &[&str] = &["caFile", "clients"];
/// A client of it, besides what it may reach
pub(super) const HTTPS_CERTIFICATE: &[&str] = &["sha256", "commonName"];
/// What a claim or a client may reach
pub(super) const HTTPS_SCOPE: &[&str] = &["servers", "tools"];

/// The levels of `logging.level`.
pub(super) const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
