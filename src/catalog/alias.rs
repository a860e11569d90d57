//! The names of tools and prompts toward the agent (aliases).
//!
//! A name depends only on the server's name and the tool's own, so it is the same in every run, whatever else
//! is listed. Where folding, cutting or an unclear split lost something, a short digest of both names is
//! added.

use std::collections::{HashMap, HashSet};

use crate::names::BUILTIN_SERVER;

/// The most characters of an alias. Clients allow 64, including their own `mcp__portero__`.
pub const MAX_ALIAS_CHARS: usize = 50;
/// Separates server and tool.
pub const SEPARATOR: &str = "__";
/// The prefix of Portero's own tools, which no other name may have.
pub const BUILTIN_PREFIX: &str = "portero__";

/// The characters of the digest, with the `_` before it.
const DIGEST_SUFFIX_CHARS: usize = 7;
/// How many names are remembered. Only a server that keeps renaming its tools needs more.
const MAX_CLAIMS: usize = 50_000;
/// How many characters of a long server name are kept at least.
const MIN_SERVER_CHARS: usize = 12;

/// The alias of a thing that its server names `name`.
#[must_use]
pub fn wire_name(server: &str, name: &str) -> String {
    let plain = format!("{server}{SEPARATOR}{name}");
    if is_clean(&plain) && has_clear_split(server, name) && !is_reserved(&plain) {
        plain
    } else {
        wire_name_with_digest(server, name)
    }
}

/// The alias with a digest of server and name. It is understood beside [`wire_name`], and replaces it where
/// two names differ only in case.
#[must_use]
pub fn wire_name_with_digest(server: &str, name: &str) -> String {
    let (server_folded, name_folded) = (fold_name(server), fold_name(name));
    // The tool's part gets what the server's leaves, but a long tool name can't push the server out
    // completely.
    let room = MAX_ALIAS_CHARS - DIGEST_SUFFIX_CHARS - SEPARATOR.len();
    let server_part = server_folded.len().min(room.saturating_sub(name_folded.len()).max(MIN_SERVER_CHARS));
    let name_part = name_folded.len().min(room - server_part);
    // Over the unfolded names, so that two names that fold alike differ here.
    let digest = blake3::hash(format!("{server}/{name}").as_bytes()).to_hex();
    format!(
        "{}{SEPARATOR}{}_{}",
        &server_folded[..server_part],
        &name_folded[..name_part],
        &digest[..DIGEST_SUFFIX_CHARS - 1]
    )
}

/// Whether a server's own name works without a prefix. It must not look like a prefixed name, nor like one of
/// Portero's own.
#[must_use]
pub fn can_be_unprefixed(name: &str) -> bool {
    is_clean(name) && !name.contains(SEPARATOR) && !looks_builtin(name)
}

fn is_clean(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_ALIAS_CHARS && name.bytes().all(is_wire_byte)
}

/// Whether the first `__` separates server and tool.
fn has_clear_split(server: &str, name: &str) -> bool {
    !server.contains(SEPARATOR) && !server.ends_with('_') && !name.is_empty() && !name.starts_with('_')
}

fn is_reserved(name: &str) -> bool {
    name.get(..BUILTIN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(BUILTIN_PREFIX))
}

fn looks_builtin(name: &str) -> bool {
    name.get(..BUILTIN_SERVER.len()).is_some_and(|start| start.eq_ignore_ascii_case(BUILTIN_SERVER))
}

const fn is_wire_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Replaces each character that clients would refuse by one `_`.
fn fold_name(name: &str) -> String {
    name.chars().map(|c| if u8::try_from(c).is_ok_and(is_wire_byte) { c } else { '_' }).collect()
}

/// Aliases with their meanings. No two of them differ only in case.
#[derive(Debug, Default)]
pub(super) struct AliasTable {
    meanings: HashMap<String, usize>,
    taken: HashSet<String>,
}

impl AliasTable {
    /// Assigns an alias, with a digest if the plain one is taken. `None` if even that is taken.
    pub(super) fn assign_alias(
        &mut self,
        server: &str,
        name: &str,
        what: usize,
        claims: &mut AliasClaims,
    ) -> Option<String> {
        let plain = wire_name(server, name);
        if self.claim_alias(&plain, (server, name), what, claims) {
            return Some(plain);
        }
        let alias = wire_name_with_digest(server, name);
        self.insert_alias(&alias, what).then_some(alias)
    }

    /// Gives an alias a meaning, if it is free now and never belonged to anything else.
    pub(super) fn claim_alias(
        &mut self,
        alias: &str,
        whose: (&str, &str),
        what: usize,
        claims: &mut AliasClaims,
    ) -> bool {
        // Free first: a claim that is made and then not used would block the name for the process's life.
        self.is_free(alias) && claims.claim_for(alias, whose) && self.insert_alias(alias, what)
    }

    fn is_free(&self, alias: &str) -> bool {
        !self.taken.contains(&alias.to_ascii_lowercase())
    }

    /// Gives an alias a meaning, if it is free.
    pub(super) fn insert_alias(&mut self, alias: &str, what: usize) -> bool {
        let free = self.taken.insert(alias.to_ascii_lowercase());
        if free {
            self.meanings.insert(alias.to_owned(), what);
        }
        free
    }

    /// The meaning of an alias.
    pub(super) fn meaning(&self, alias: &str) -> Option<usize> {
        self.meanings.get(alias).copied()
    }
}

/// The owner of each alias, for the life of the process. A name that became free is given to nothing else,
/// because the agent may still mean its former owner.
#[derive(Debug, Default)]
pub(super) struct AliasClaims(HashMap<String, (String, String)>);

impl AliasClaims {
    /// Whether an alias belongs to this server's `name`, now or from now on.
    fn claim_for(&mut self, alias: &str, (server, name): (&str, &str)) -> bool {
        let key = alias.to_ascii_lowercase();
        match self.0.get(&key) {
            Some((owner, owned)) => owner == server && owned == name,
            // Further names get a digest. Those need no claim, because nothing else can have them.
            None if self.0.len() >= MAX_CLAIMS => false,
            None => {
                self.0.insert(key, (server.to_owned(), name.to_owned()));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_name_shows_both_parts() {
        assert_eq!(wire_name("github", "create_issue"), "github__create_issue");
        assert_eq!(wire_name("my-server", "get-Sum__all"), "my-server__get-Sum__all");
    }

    #[test]
    fn a_name_that_lost_something_carries_a_digest() {
        for (server, name, start) in [
            ("git.hub", "list", "git_hub__list_"),
            ("github", "list.all", "github__list_all_"),
            ("github", "über", "github___ber_"),
            ("a__b", "c", "a__b__c_"),
            ("a", "_b", "a___b_"),
            ("a_", "b", "a___b_"),
            ("Portero", "search_tools", "Portero__search_tools_"),
            ("github", "", "github___"),
        ] {
            let alias = wire_name(server, name);
            assert_eq!(alias.len(), start.len() + 6, "{alias}");
            assert!(alias.starts_with(start), "{alias}");
        }
        assert_eq!(wire_name("a", "_b"), wire_name("a", "_b"));
        assert_ne!(wire_name("a", "_b"), wire_name("a_", "b"));
    }

    #[test]
    fn a_long_name_is_cut_and_both_parts_stay_readable() {
        let alias = wire_name("a-server-with-quite-a-long-name", "and_a_tool_with_a_long_name_too");
        assert_eq!(alias.len(), MAX_ALIAS_CHARS);
        assert!(alias.starts_with("a-server-wit__and_a_tool_with_a_long_name_t_"), "{alias}");
        let alias = wire_name(&"s".repeat(64), "send");
        assert!(alias.len() == MAX_ALIAS_CHARS && alias.contains("__send_"), "{alias}");
    }

    #[test]
    fn what_stands_alone_never_looks_prefixed() {
        assert!(can_be_unprefixed("read_file"));
        for name in ["a__b", "a.b", "", "portero", "Portero", "portero_call", "PorteroCall", &"x".repeat(51)]
        {
            assert!(!can_be_unprefixed(name), "{name}");
        }
    }

    #[test]
    fn names_that_differ_only_in_case_both_get_one() {
        let (mut names, mut claims) = (AliasTable::default(), AliasClaims::default());
        assert_eq!(names.assign_alias("s", "get", 0, &mut claims).as_deref(), Some("s__get"));
        let other = names.assign_alias("s", "Get", 1, &mut claims).expect("a name");
        assert!(other.starts_with("s__Get_"), "{other}");
        assert_eq!((names.meaning("s__get"), names.meaning(&other)), (Some(0), Some(1)));
        assert_eq!(names.meaning("s__Get"), None);
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_clients_take(server in "[a-zA-Z0-9_.-]{1,64}", name in "\\PC{0,140}") {
            for alias in [wire_name(&server, &name), wire_name_with_digest(&server, &name)] {
                prop_assert!(is_clean(&alias), "{}", alias);
                prop_assert!(!is_reserved(&alias) || alias.len() > BUILTIN_PREFIX.len() + 6);
            }
        }

        #[test]
        fn different_things_have_different_names(
            one in ("[ab_.]{1,3}", "[ab_.]{1,3}"),
            other in ("[ab_.]{1,3}", "[ab_.]{1,3}"),
        ) {
            prop_assume!(one != other);
            prop_assert_ne!(wire_name(&one.0, &one.1), wire_name(&other.0, &other.1));
        }

        #[test]
        fn a_plain_name_reads_back_at_its_first_border(server in "[a-c_]{1,5}", name in "[a-c_]{1,5}") {
            let alias = wire_name(&server, &name);
            if alias.len() == server.len() + name.len() + SEPARATOR.len() {
                prop_assert_eq!(alias.split_once(SEPARATOR), Some((&*server, &*name)));
            }
        }
    }
}
