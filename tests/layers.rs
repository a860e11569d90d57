//! The modules stand in layers: each imports only from those above it in its crate's list.
//!
//! The list is the order of the `mod` lines in `lib.rs` or `main.rs`, which a newcomer reads first; the
//! order that `docs/architecture.md` gives is checked against it. Tests inside a module may import what they
//! like.

mod sources;

use std::fs;
use std::path::Path;

/// The library's modules, as the architecture gives them.
const LIBRARY: [&str; 29] = [
    "printable",
    "digest",
    "json",
    "names",
    "clock",
    "files",
    "paths",
    "secret",
    "atomic_file",
    "store_identity",
    "encrypted_file",
    "passphrase",
    "hardening",
    "pattern",
    "anonymize",
    "policy",
    "config",
    "approved_config",
    "call",
    "task",
    "notice",
    "permit",
    "audit",
    "wire",
    "server",
    "catalog",
    "pipeline",
    "session",
    "ipc",
];
/// The daemon's.
const DAEMON: [&str; 19] = [
    "boot",
    "signals",
    "reserved",
    "store",
    "journal",
    "auth",
    "bot_health",
    "approved_config",
    "overrides",
    "approvals",
    "sessions",
    "upstreams",
    "daemon",
    "apply_config",
    "api",
    "telegram",
    "reload",
    "listen",
    "app",
];
/// The terminal's.
const TERMINAL: [&str; 13] = [
    "time_arg",
    "args",
    "output",
    "qr",
    "failure",
    "terminal",
    "signals",
    "offline_denies",
    "launch",
    "suggestions",
    "daemon",
    "elevate",
    "commands",
];

#[test]
fn the_library_keeps_its_layers() {
    assert_layers(Path::new("src"), "lib.rs", &LIBRARY);
}

#[test]
fn the_daemon_keeps_its_layers() {
    assert_layers(Path::new("porterod/src"), "lib.rs", &DAEMON);
}

#[test]
fn the_terminal_keeps_its_layers() {
    assert_layers(Path::new("portero-cli/src"), "main.rs", &TERMINAL);
}

/// A request without its line would be unknown to the daemon that defines it.
#[test]
fn every_request_has_one_line_in_the_daemons_routes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let routes = fs::read_to_string(root.join("porterod/src/api/route.rs")).expect("the routes");
    let (_, routes) = routes.split_once("macro_rules! session_requests").expect("the routes begin");
    let mut requests = 0;
    for file in sources::below(&root.join("src/ipc/requests")) {
        let text = fs::read_to_string(&file).expect("a source");
        for name in text.lines().filter_map(|line| line.strip_prefix("impl Request for ")) {
            let line = format!("{},", leading_word(name));
            let lines = routes.lines().filter(|route| route.trim() == line).count();
            assert_eq!(lines, 1, "{}: `{line}` in porterod/src/api/route.rs", file.display());
            requests += 1;
        }
    }
    assert!(requests > 40, "{requests} requests were found");
}

fn assert_layers(folder: &Path, root: &str, architecture: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut layers = declared_modules(&folder.join(root));
    if root == "lib.rs" {
        // What a thin program keeps for itself stands below its library.
        layers.extend(declared_modules(&folder.join("main.rs")));
    }
    assert!(!layers.is_empty(), "{} declares no modules", folder.join(root).display());
    for pair in architecture.windows(2) {
        let place = |name: &str| layers.iter().position(|layer| layer == name).unwrap_or(layers.len());
        assert!(
            place(pair[0]) < place(pair[1]) || place(pair[1]) == layers.len(),
            "{}: `{}` stands above `{}` in docs/architecture.md",
            folder.join(root).display(),
            pair[0],
            pair[1]
        );
    }
    let wrong: Vec<String> = sources::below(&folder)
        .iter()
        .filter(|file| **file != folder.join(root) && **file != folder.join("main.rs"))
        .flat_map(|file| wrong_imports(&folder, file, &layers))
        .collect();
    assert!(wrong.is_empty(), "a module may import only from those above it:\n{}", wrong.join("\n"));
}

/// The modules in the order of their `mod` lines.
fn declared_modules(root: &Path) -> Vec<String> {
    if !root.exists() {
        return Vec::new();
    }
    let text = fs::read_to_string(root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let name = |line: &str| {
        let line = line.trim().strip_prefix("pub ").unwrap_or(line.trim());
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    text.lines().filter_map(name).collect()
}

fn wrong_imports(folder: &Path, file: &Path, layers: &[String]) -> Vec<String> {
    let inside = file.strip_prefix(folder).expect("a file of the folder").with_extension("");
    let mut path: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    path.retain(|part| part != "mod");
    if path.iter().any(|part| part == "tests") {
        return Vec::new();
    }
    let own = path.first().expect("a name");
    let place = |name: &str| layers.iter().position(|layer| layer == name);
    let Some(here) = place(own) else {
        return vec![format!("{}: `{own}` has no `mod` line", file.display())];
    };
    let text = fs::read_to_string(file).expect("a source");
    let mut wrong = Vec::new();
    for (line, name) in find_imports(&strip_comments(&text), path.len()) {
        if place(&name).is_some_and(|there| there > here) {
            wrong.push(format!("{}:{line}: `{own}` imports `{name}`, which stands below it", file.display()));
        }
    }
    wrong
}

/// The code before the tests, with comments and texts blanked, each line in its place.
fn strip_comments(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut plain = String::with_capacity(code.len());
    for line in code.lines() {
        let mut in_text = false;
        let mut before = ' ';
        let mut rest = line.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if before != '\\' && before != '\'' => in_text = !in_text,
                '/' if !in_text && rest.peek() == Some(&'/') => break,
                _ if !in_text => plain.push(c),
                _ => {}
            }
            before = if before == '\\' { ' ' } else { c };
        }
        plain.push('\n');
    }
    plain
}

/// Every module at the root that the code names, with its line: `crate::x`, `crate::{x, y::z}`, and as many
/// `super::` as lead there.
fn find_imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let starts = ["crate::".to_owned(), "super::".repeat(depth)];
    for start in &starts {
        for (at, _) in code.match_indices(start.as_str()) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' || before == '$' {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let after = &code[at + start.len()..];
            match after.strip_prefix('{') {
                Some(group) => found.extend(group_heads(group).into_iter().map(|name| (line, name))),
                None => found.push((line, leading_word(after))),
            }
        }
    }
    found
}

/// The first word of each entry of a `{…}` group.
fn group_heads(group: &str) -> Vec<String> {
    let (mut found, mut depth, mut fresh) = (Vec::new(), 1, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && depth == 1 && !c.is_whitespace() => {
                found.push(leading_word(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn leading_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    let code = strip_comments(
        "use crate::names::X; // crate::comment\n/// [`crate::doc`]\nuse crate::{\n    audit, ipc::{A, B},\n};\n\
         fn f() { crate::wire::go(\"crate::text\"); super::super::task::x(); my_crate::no(); }\n\
         #[cfg(test)]\nmod tests { use crate::tested; }",
    );
    let names: Vec<_> = find_imports(&code, 2).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["names", "audit", "ipc", "wire", "task"]);
}
