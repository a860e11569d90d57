//! What an approval binds to (guarantee A1).

use std::path::Path;

use portero::call::Call;
use portero::config::{Config, Server};
use portero::pipeline::{BoxFuture, Refusal};

/// What a call stands on besides itself: if any of it changes after a person was asked, the call does not
/// run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// [`server_digest`] of the server.
    pub server: String,
    /// The digest of the tool's definition; none for what is not a tool.
    pub definition: Option<String>,
    /// [`rules_digest`] of the configuration.
    pub rules: String,
}

/// Tells what a call stands on now. It may start the server, to read the definition from itself rather than
/// from a cache.
pub trait Grounds: Send + Sync {
    /// What `call` stands on, where servers without a directory of their own run in `directory`.
    fn ground<'a>(&'a self, call: &'a Call, directory: &'a Path) -> BoxFuture<'a, Result<Ground, Refusal>>;
}

/// The binding: a keyed digest over the call without its `_meta`, the directory it runs in, and its ground.
/// The key keeps anyone who sees a task from guessing at real values in the ground.
///
/// # Errors
/// [`Refusal::Invalid`] when the call's JSON nests too deeply or holds a key twice.
pub fn bind(key: &[u8; 32], call: &Call, directory: &str, ground: &Ground) -> Result<String, Refusal> {
    let _ = (key, call, directory, ground);
    todo!()
}

/// A digest of everything in a server's configuration that changes what a call to it does.
#[must_use]
pub fn server_digest(server: &Server) -> String {
    let _ = server;
    todo!()
}

/// A digest of the configured policy and replacements.
#[must_use]
pub fn rules_digest(config: &Config) -> String {
    let _ = config;
    todo!()
}
