//! What an approval binds to (guarantee A1).

use std::borrow::Cow;
use std::fmt::Debug;
use std::path::Path;

use portero::call::Call;
use portero::config::{Config, Server};
use portero::json::Object;
use portero::pipeline::{BoxFuture, Refusal};
use portero::policy::ConfigPolicy;
use serde_json::value::RawValue;

/// How deeply a call's JSON may nest.
const DEPTH_MOST: usize = 128;

/// What a call stands on besides itself: if any of it changes after a person was asked, the call does not
/// run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// [`server_digest`] of the server.
    pub server: String,
    /// The digest of the tool's definition; none for what is not a tool.
    pub definition: Option<String>,
    /// [`policy_digest`] of the configuration.
    pub policy: String,
    /// [`replacements_digest`] of the configuration.
    pub replacements: String,
}

impl Ground {
    /// Its parts, with what people call them.
    fn parts(&self) -> [(&'static str, &str); 4] {
        [
            ("the server's entry in mcps.json", &self.server),
            ("the tool's definition", self.definition.as_deref().unwrap_or("no definition")),
            ("the policy in policies.json", &self.policy),
            ("the replacements in replacements.json", &self.replacements),
        ]
    }
}

/// Tells what a call stands on now. It may start the server, to read the definition from itself rather than
/// from a cache.
pub trait Grounds: Send + Sync {
    /// What `call` stands on, where servers without a directory of their own run in `directory`.
    fn ground<'a>(&'a self, call: &'a Call, directory: &'a Path) -> BoxFuture<'a, Result<Ground, Refusal>>;
}

/// How many hexadecimal digits tell one state of a part of the ground from another, for [`changed`].
const PART: usize = 16;

/// The binding: a keyed digest over the call without its `_meta`, the directory it runs in, and its ground; and
/// behind it a short one of each part of the ground, so that a difference can be named. The key keeps anyone
/// who sees a task from guessing at real values in the ground.
///
/// # Errors
/// [`Refusal::Invalid`] when the call's JSON nests too deeply or holds a key twice.
pub fn bind(key: &[u8; 32], call: &Call, directory: &str, ground: &Ground) -> Result<String, Refusal> {
    let mut hasher = asked(key, call)?;
    if let Some(meta) = &call.meta {
        // It is not bound, but a person reads it, and must read what the server reads.
        canonical(meta.get(), DEPTH_MOST, &mut Vec::new())
            .map_err(|problem| Refusal::Invalid(format!("`_meta` is not acceptable: {problem}")))?;
    }
    let grounds = ground.parts();
    for part in [directory].into_iter().chain(grounds.iter().map(|(_, part)| *part)) {
        put(&mut hasher, part.as_bytes());
    }
    let mut binding = hasher.finalize().to_hex().to_string();
    for (what, part) in grounds {
        let digest =
            blake3::Hasher::new_keyed(key).update(what.as_bytes()).update(part.as_bytes()).finalize();
        binding.push('.');
        binding.push_str(&digest.to_hex()[..PART]);
    }
    Ok(binding)
}

/// What tells one call from another, wherever and on whatever ground it is made: a keyed digest of tool, method
/// and arguments.
///
/// # Errors
/// [`Refusal::Invalid`] when the call's JSON nests too deeply or holds a key twice.
pub fn fingerprint(key: &[u8; 32], call: &Call) -> Result<String, Refusal> {
    Ok(asked(key, call)?.finalize().to_hex().to_string())
}

/// The digest of what is asked, begun.
fn asked(key: &[u8; 32], call: &Call) -> Result<blake3::Hasher, Refusal> {
    let mut params = Vec::with_capacity(call.params.get().get().len());
    canonical(call.params.get(), DEPTH_MOST, &mut params)
        .map_err(|problem| Refusal::Invalid(format!("the arguments are not acceptable: {problem}")))?;
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in [call.tool.to_string().as_bytes(), call.method.as_str().as_bytes(), &params] {
        put(&mut hasher, part);
    }
    Ok(hasher)
}

fn put(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// What is no longer as it was between two bindings of one call, in words.
#[must_use]
pub fn changed(asked: &str, now: &str) -> String {
    let names = Ground {
        server: String::new(),
        definition: None,
        policy: String::new(),
        replacements: String::new(),
    };
    let pairs = asked.split('.').skip(1).zip(now.split('.').skip(1));
    let different: Vec<_> = names
        .parts()
        .into_iter()
        .zip(pairs)
        .filter(|(_, (asked, now))| asked != now)
        .map(|((what, _), _)| what)
        .collect();
    if different.is_empty() { "what it was asked on".to_owned() } else { different.join(" and ") }
}

/// A digest of everything in a server's configuration that changes what a call to it does.
#[must_use]
pub fn server_digest(server: &Server) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut put = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    put(server.name.as_str());
    put(&server.command);
    put(&server.args.len().to_string());
    server.args.iter().for_each(|argument| put(argument.expose()));
    put(&server.env.len().to_string());
    for (name, value) in &server.env {
        put(name);
        put(value.expose());
    }
    put(&format!("{:?}{:?}{}{:?}", server.env_passthrough, server.cwd, server.shared, server.roots));
    hasher.finalize().to_hex().to_string()
}

/// A digest of the configured policy: of what it says, not of how the file is laid out. While something waits
/// for a person, the confirmed policy is part of it.
#[must_use]
pub fn policy_digest(config: &Config) -> String {
    blake3::hash(policy_text(&config.policy).as_bytes()).to_hex().to_string()
}

fn policy_text(policy: &ConfigPolicy) -> String {
    // Who must say yes is no ground of a call: it is asked again when the call is to start.
    let ConfigPolicy { entries, default, locked, quorums: _, confirmed } = policy;
    let entries = sorted(entries.iter().map(|entry| {
        let cases = sorted(entry.cases.iter().map(|case| (&case.when, case.action)));
        (&entry.pattern, entry.action, cases)
    }));
    let locked = sorted(locked.iter());
    let confirmed = confirmed.as_deref().map(policy_text).unwrap_or_default();
    format!("{default:?}{entries:?}{locked:?}{confirmed}")
}

/// A digest of the configured replacements.
#[must_use]
pub fn replacements_digest(config: &Config) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut put = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for rule in &config.replacements {
        put(&rule.fake);
        put(rule.real.expose());
        put(&format!("{:?}{}{:?}", rule.direction, rule.case_sensitive, rule.servers));
    }
    hasher.finalize().to_hex().to_string()
}

fn sorted<T: Debug>(items: impl Iterator<Item = T>) -> Vec<String> {
    let mut texts: Vec<_> = items.map(|item| format!("{item:?}")).collect();
    texts.sort_unstable();
    texts
}

/// Writes JSON with sorted keys, without blanks, each text spelled in one way, each number as it was spelled:
/// `1.10` and `1.1` are not the same call.
fn canonical(value: &RawValue, depth: usize, out: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
    let text = value.get();
    if depth == 0 {
        return Err("they nest too deeply".into());
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let object = Object::read(value).map_err(|error| error.to_string())?;
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(format!("the key {:?} stands twice", pair[0].0).into());
            }
            out.push(b'{');
            for (key, member) in members {
                put_text(key, out);
                out.push(b':');
                canonical(member, depth - 1, out)?;
                out.push(b',');
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| error.to_string())?;
            out.push(b'[');
            for item in items {
                canonical(item, depth - 1, out)?;
                out.push(b',');
            }
            out.push(b']');
        }
        // A text that is no Unicode, such as a lone surrogate, stays as it is spelled.
        Some(b'"') => match portero::json::text(value) {
            Some(string) => put_text(&string, out),
            None => out.extend_from_slice(text.as_bytes()),
        },
        _ => out.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(portero::json::raw(text).get().as_bytes());
}

#[cfg(test)]
mod tests;
