//! What an approval binds to (guarantee A1).
//!
//! The daemon computes it under the store's key. A session computes one too, under its own key, of what a call relies on
//! in its process: its environment may differ from the daemon's.

use std::path::PathBuf;

use crate::anonymize::Anonymizer;
use crate::call::Call;
use crate::config::url::HttpUrl;
use crate::config::{
    HttpServer, OAuthSettings, ServerAuth, ServerConfig, ServerTransport, StaticAuth, StdioServer,
    TokenEndpointAuthMethod,
};
use crate::digest::FieldDigest;
use crate::json::canonicalize;
use crate::pipeline::Refusal;
use crate::secret::Secret;
use crate::task::SessionChild;

/// Everything that determines a call's effect besides the call itself. If any of it changes after a person
/// was asked, the call doesn't run.
/// Policy isn't part of it, because policy decides again before the call runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingInputs {
    /// The part that the configuration determines.
    pub configured: ConfiguredInputs,
    /// The digest of the tool's definition; none for methods other than tool calls.
    pub definition: Option<String>,
    /// The session's process in which the call is to run; none where the daemon runs the server.
    pub child: Option<SessionChild>,
}

/// The inputs that are known without asking a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredInputs {
    /// [`server_digest`] of the server.
    pub server: String,
    /// [`environment_digest`] of the server.
    pub environment: String,
    /// [`values_digest`] of the call.
    pub values: String,
}

impl ConfiguredInputs {
    /// Of a server that is not configured here, such as one with a variable that only the session has: the session's
    /// own binding holds them.
    #[must_use]
    pub fn unconfigured() -> Self {
        Self { server: String::new(), environment: String::new(), values: String::new() }
    }
}

/// The names of the inputs in messages. Their order is that of a binding's short digests.
const PART_NAMES: [&str; 4] = [
    "the server's entry in mcps.json",
    "the variables that the server is given",
    "the real values behind the call's replacements",
    "the tool's definition",
];

impl ConfiguredInputs {
    fn digests(&self) -> [&str; 3] {
        [&self.server, &self.environment, &self.values]
    }
}

/// The version of a binding's format. A task with another version was asked by another version of Portero.
const BINDING_VERSION: &str = "v2";
/// The length of a short digest in hexadecimal digits, for [`describe_changes`].
const PART_DIGEST_LENGTH: usize = 16;

/// The binding: a keyed digest over the call without its `_meta`, its directory, and its inputs. A short
/// digest of each input follows, so that a difference can be named.
/// The key keeps readers of a task from guessing the real values by hashing candidates.
///
/// # Errors
/// [`Refusal::Invalid`] when the call's JSON nests too deeply or holds a key twice.
pub fn compute_binding(
    key: &[u8; 32],
    call: &Call,
    directory: &str,
    ground: &BindingInputs,
) -> Result<String, Refusal> {
    if let Some(meta) = &call.meta {
        // `_meta` isn't bound, but a person reads it. Two keys of one name could show them another value than
        // the server reads.
        canonicalize(meta.get())
            .map_err(|problem| Refusal::Invalid(format!("`_meta` is not acceptable: {problem}")))?;
    }
    let [server, environment, values] = ground.configured.digests();
    let child = ground.child.as_ref();
    let whole = add_call(FieldDigest::keyed(key, "portero binding v2"), call)?
        .bytes("directory", directory)
        .bytes("server", server)
        .bytes("environment", environment)
        .bytes("values", values)
        .optional("definition", ground.definition.as_ref())
        // The same call in two processes is two questions.
        .optional("process", child.map(|child| child.generation.to_string()))
        .optional("session's own binding", child.map(|child| &child.binding));
    let parts = short_digests(key, &ground.configured);
    let definition = part_digest(key, FieldDigest::optional, PART_NAMES[3], ground.definition.as_deref());
    Ok([BINDING_VERSION, &whole.to_hex(), &parts.join("."), &definition].join("."))
}

fn short_digests(key: &[u8; 32], configured: &ConfiguredInputs) -> [String; 3] {
    let parts = configured.digests();
    [0, 1, 2].map(|at| part_digest(key, FieldDigest::bytes, PART_NAMES[at], parts[at]))
}

fn part_digest<T>(
    key: &[u8; 32],
    add: impl Fn(FieldDigest, &str, T) -> FieldDigest,
    name: &str,
    value: T,
) -> String {
    let digest = add(FieldDigest::keyed(key, "portero part of a binding v1"), name, value);
    digest.to_hex()[..PART_DIGEST_LENGTH].to_owned()
}

/// The key of the fingerprints of calls. Sessions get it; the key of the bindings, which protects real values,
/// can't be computed from it.
#[must_use]
pub fn fingerprint_key(binding_key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("portero fingerprints of calls v1", binding_key)
}

/// A keyed digest of tool, method and arguments. It identifies a call independently of its directory and
/// binding inputs.
///
/// # Errors
/// [`Refusal::Invalid`] when the call's JSON nests too deeply or holds a key twice.
pub fn fingerprint(key: &[u8; 32], call: &Call) -> Result<String, Refusal> {
    call.identity().fingerprint(&fingerprint_key(key)).map_err(|problem| invalid_arguments(&problem))
}

/// Adds tool, method and canonical arguments.
fn add_call(digest: FieldDigest, call: &Call) -> Result<FieldDigest, Refusal> {
    // Canonical, so that key order and white space don't make two calls of one.
    let params = canonicalize(call.params.get()).map_err(|problem| invalid_arguments(&problem))?;
    Ok(digest
        .bytes("tool", call.tool.to_string())
        .bytes("method", call.method.as_str())
        .bytes("params", params))
}

fn invalid_arguments(problem: &str) -> Refusal {
    Refusal::Invalid(format!("the arguments are not acceptable: {problem}"))
}

/// Names the differences between two bindings of one call.
#[must_use]
pub fn describe_changes(asked: &str, now: &str) -> String {
    let (Some(asked), Some(now)) = (split_part_digests(asked), split_part_digests(now)) else {
        return OTHER_VERSION.to_owned();
    };
    differing_parts(&asked, &now).unwrap_or_else(|| "the call or its directory".to_owned())
}

/// Names the configuration inputs that changed since a call was bound; none if all are the same.
#[must_use]
pub fn describe_config_change(key: &[u8; 32], asked: &str, now: &ConfiguredInputs) -> Option<String> {
    let Some(asked) = split_part_digests(asked) else { return Some(OTHER_VERSION.to_owned()) };
    let now = short_digests(key, now);
    differing_parts(&asked[..now.len()], &now.each_ref().map(String::as_str))
}

const OTHER_VERSION: &str = "the version of Portero";

/// The short digests of a binding; none if its format is another version's.
fn split_part_digests(binding: &str) -> Option<Vec<&str>> {
    let mut fields = binding.split('.');
    let (form, _whole) = (fields.next()?, fields.next()?);
    let parts: Vec<&str> = fields.collect();
    (form == BINDING_VERSION && parts.len() == PART_NAMES.len()).then_some(parts)
}

fn differing_parts(asked: &[&str], now: &[&str]) -> Option<String> {
    let pairs = PART_NAMES.iter().zip(asked.iter().zip(now));
    let different: Vec<&str> =
        pairs.filter(|(_, (asked, now))| asked != now).map(|(name, _)| *name).collect();
    (!different.is_empty()).then(|| different.join(" and "))
}

/// A digest of everything in a server's entry that changes the effect of a call, without its variables.
#[must_use]
pub fn server_digest(server: &ServerConfig) -> String {
    // Every member is named, so a new one doesn't compile until its effect on approvals is decided here.
    let ServerConfig {
        name,
        transport,
        // These change how long a call may take and how it is shown, not its effect.
        timeout: _,
        prefix: _,
        instance,
        // Where else a call may run. It may only if the person is told, or by what the file says when it runs.
        stateless: _,
        pinned_tools: _,
        categories: _,
        roots,
    } = server;
    let digest = match transport {
        ServerTransport::Stdio(StdioServer { command, args, env: _, env_passthrough: _, cwd }) => {
            FieldDigest::new("portero server v2")
                .bytes("name", name.as_str())
                .bytes("command", command)
                .list("args", args.iter().map(|argument| argument.expose()))
                .optional("cwd", cwd.as_ref().map(|cwd| cwd.as_os_str().as_encoded_bytes()))
        }
        ServerTransport::Http(HttpServer {
            url,
            is_sse,
            headers: _,
            auth,
            max_concurrent: _,
            ca_file,
            client_certificate,
        }) => {
            let certificate = client_certificate.as_ref();
            let path = |file: &PathBuf| file.as_os_str().as_encoded_bytes().to_vec();
            let digest = FieldDigest::new("portero http server v2")
                .bytes("name", name.as_str())
                .bytes("url", url.expose().as_str())
                .flag("sse", *is_sse)
                .optional("ca", ca_file.as_ref().map(path))
                .optional("certificate", certificate.map(|certificate| path(&certificate.cert_file)))
                .optional("key", certificate.map(|certificate| path(&certificate.key_file)));
            add_auth(digest, auth)
        }
    };
    let digest = digest
        .bytes("instance", instance.as_str())
        .flag("declares roots", roots.is_some())
        .list("roots", roots.iter().flatten().map(|root| root.as_os_str().as_encoded_bytes()));
    digest.to_hex()
}

/// Adds how a server is signed in to: as whom a call acts there. The secrets belong to [`environment_digest`].
fn add_auth(digest: FieldDigest, auth: &ServerAuth) -> FieldDigest {
    match auth {
        ServerAuth::None => digest.bytes("auth", "none"),
        ServerAuth::Static(StaticAuth { location, name, format, credential: _ }) => digest
            .bytes("auth", "static")
            .bytes("location", location.as_str())
            .bytes("credential name", name)
            .bytes("format", format.describe()),
        ServerAuth::OAuth(settings) => {
            let OAuthSettings {
                grant,
                client_id,
                client_secret: _,
                token_endpoint_auth_method,
                private_key,
                scopes,
                // Where the browser comes back to says nothing about who is signed in.
                callback_port: _,
                metadata_url,
                client_metadata_url,
            } = &**settings;
            let url = |url: &HttpUrl| url.expose().to_string();
            digest
                .bytes("auth", "oauth")
                .bytes("grant", grant.as_str())
                .optional("client", client_id.as_ref())
                .optional("client method", token_endpoint_auth_method.map(TokenEndpointAuthMethod::as_str))
                .optional(
                    "client key",
                    private_key.as_ref().map(|key| key.file.as_os_str().as_encoded_bytes()),
                )
                .optional("client algorithm", private_key.as_ref().map(|key| key.algorithm.as_str()))
                .flag("names scopes", scopes.is_some())
                .list("scopes", scopes.iter().flatten())
                .optional("metadata", metadata_url.as_ref().map(url))
                .optional("client metadata", client_metadata_url.as_ref().map(url))
        }
    }
}

/// A digest of the variables that a server is given beside the allow-list, or of the headers that it is sent.
/// Values are included if the configuration states them.
#[must_use]
pub fn environment_digest(server: &ServerConfig) -> String {
    match &server.transport {
        ServerTransport::Stdio(server) => FieldDigest::new("portero server environment v1")
            .list("names", server.env.keys())
            .list("values", server.env.values().map(|value| value.expose()))
            .set("passthrough", &server.env_passthrough)
            .to_hex(),
        ServerTransport::Http(server) => {
            let secret = match &server.auth {
                ServerAuth::None => None,
                ServerAuth::Static(auth) => Some(&auth.credential),
                ServerAuth::OAuth(settings) => settings.client_secret.as_ref(),
            };
            FieldDigest::new("portero server headers v2")
                .list("names", server.headers.keys())
                .list("values", server.headers.values().map(|value| value.expose()))
                .optional("credential", secret.map(Secret::expose))
                .to_hex()
        }
    }
}

/// A digest of the arguments as the server would receive them, with the real values that it may see. A
/// replacement that doesn't occur in the arguments doesn't change it.
///
/// # Errors
/// [`Refusal::Invalid`] when the call's JSON nests too deeply or holds a key twice.
pub fn values_digest(anonymizer: &Anonymizer, call: &Call) -> Result<String, Refusal> {
    let revealed = anonymizer.reveal(&call.tool.server, &call.params);
    let params = canonicalize(revealed.expose()).map_err(|problem| invalid_arguments(&problem))?;
    Ok(FieldDigest::new("portero revealed call v1").bytes("params", params).to_hex())
}

#[cfg(test)]
mod tests;
