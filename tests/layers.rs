//! The modules stand in layers: each imports only from those above it in its crate's list.
//!
//! The list is the order of the `mod` lines in `lib.rs` or `main.rs`, which a newcomer reads first; the
//! order that `docs/architecture.md` gives is checked against it. Tests inside a module may import what they
//! like.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The library's modules, as the architecture gives them.
const LIBRARY: [&str; 34] = [
    "sync",
    "printable",
    "digest",
    "json",
    "names",
    "clock",
    "files",
    "paths",
    "secret",
    "atomic_file",
    "session_key",
    "store_identity",
    "encrypted_file",
    "passphrase",
    "hardening",
    "pattern",
    "access",
    "anonymize",
    "policy",
    "config",
    "approved_config",
    "call",
    "task",
    "approval_scope",
    "notice",
    "permit",
    "audit",
    "wire",
    "server",
    "catalog",
    "pipeline",
    "binding",
    "session",
    "ipc",
];
/// The daemon's.
const DAEMON: [&str; 31] = [
    "boot",
    "signals",
    "reserved",
    "programs",
    "keyring",
    "store",
    "journal",
    "auth",
    "access_tokens",
    "bot_health",
    "https_health",
    "sessions",
    "overrides",
    "approvals",
    "secrets",
    "http_client",
    "oauth",
    "http_transport",
    "connect",
    "oidc",
    "upstreams",
    "login",
    "approved_config",
    "daemon",
    "api",
    "remote_sessions",
    "presentation",
    "telegram",
    "https",
    "listen",
    "app",
];
/// The terminal's.
const TERMINAL: [&str; 13] = [
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
    "mcp",
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

/// Two modules of one room that need each other are one module, or hide a third.
#[test]
fn no_modules_of_one_folder_import_in_a_circle() {
    let mut circles = Vec::new();
    for folder in ["src", "porterod/src", "portero-cli/src"] {
        let modules = read_modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        for path in modules.keys() {
            let imports = sibling_imports(&modules, path);
            let room = [folder, &path.join("/")].join("/");
            circles
                .extend(find_circles(&imports).iter().map(|circle| describe_circle(&room, circle, &imports)));
        }
    }
    assert!(circles.is_empty(), "modules of one folder that need each other:\n{}", circles.join("\n"));
}

/// The imports that make the circle.
fn describe_circle(room: &str, circle: &[String], imports: &Imports) -> String {
    let imported = |from: &String| {
        let inside: Vec<&str> =
            imports[from].iter().filter(|to| circle.contains(to)).map(String::as_str).collect();
        format!("\n    {from} imports {}", inside.join(", "))
    };
    format!("{room}:{}", circle.iter().map(imported).collect::<String>())
}

/// A module's path below its crate, such as `["journal", "outbox"]`.
type ModulePath = Vec<String>;

/// Each module below the folder with the paths that its code names, tests left out. The root has an empty path.
fn read_modules(folder: &Path) -> BTreeMap<ModulePath, Vec<ModulePath>> {
    let mut modules = BTreeMap::new();
    for file in sources::below(folder) {
        let inside = file.strip_prefix(folder).expect("a file of the folder").with_extension("");
        let mut path: ModulePath = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        path.retain(|part| !["mod", "lib", "main"].contains(&part.as_str()));
        if path.iter().any(|part| part.contains("test")) {
            continue;
        }
        let code = strip_comments(&fs::read_to_string(&file).expect("a source"));
        let named: &mut Vec<ModulePath> = modules.entry(path.clone()).or_default();
        named.extend(named_paths(&code, &path));
    }
    modules
}

/// Which child of the room names which other child, itself or through what the room re-exports of it.
fn sibling_imports(modules: &BTreeMap<ModulePath, Vec<ModulePath>>, room: &[String]) -> Imports {
    let child_of = |path: &[String]| -> Option<String> {
        let rest = path.strip_prefix(room)?;
        let child = [room, rest.get(..1)?].concat();
        modules.contains_key(&child).then(|| rest[0].clone())
    };
    // `super::Outbox` leads to `outbox` where the room says `use self::outbox::Outbox`.
    let mut reexported = BTreeMap::new();
    for path in &modules[room] {
        if let (Some(child), Some(name), true) = (child_of(path), path.last(), path.len() > room.len() + 1) {
            reexported.insert(name.clone(), child);
        }
    }
    let mut imports = Imports::new();
    for (module, named) in modules {
        let Some(from) = child_of(module) else { continue };
        for path in named {
            let alias = || reexported.get(path.strip_prefix(room)?.first()?).cloned();
            if let Some(to) = child_of(path).or_else(alias).filter(|to| *to != from) {
                imports.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    imports
}

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The groups of modules of which each leads to each other one, sorted.
fn find_circles(imports: &Imports) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        // It ends: a module is followed only when it is new to `seen`.
        while let Some(module) = next.pop() {
            next.extend(imports.get(module).into_iter().flatten().filter(|to| seen.insert((*to).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|from| (from, reach(from))).collect();
    let mut circles = BTreeSet::new();
    for (from, there) in &reached {
        if there.contains(*from) {
            let back = |to: &&String| reached.get(to).is_some_and(|there| there.contains(*from));
            circles.insert(there.iter().filter(back).cloned().collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

/// Every path of the own crate that the code names, from the crate's root: `crate::`, `self::` and `super::`,
/// with each entry of a group.
fn named_paths(code: &str, module: &[String]) -> Vec<ModulePath> {
    let mut found = Vec::new();
    for start in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' || before == '$' {
                continue;
            }
            let mut base = if start == "crate::" { Vec::new() } else { module.to_vec() };
            let mut rest = &code[at..];
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            rest = rest.strip_prefix("crate::").or_else(|| rest.strip_prefix("self::")).unwrap_or(rest);
            found.extend(expand_group(rest).into_iter().map(|path| [base.clone(), path].concat()));
        }
    }
    found
}

/// The paths of a `use` tree: `a::{b, c::D}` gives `a::b` and `a::c::D`.
fn expand_group(tree: &str) -> Vec<ModulePath> {
    let Some(entries) = tree.strip_prefix('{') else {
        let word = leading_word(tree);
        let tails = match tree[word.len()..].strip_prefix("::") {
            Some(rest) if !word.is_empty() => expand_group(rest),
            _ => vec![Vec::new()],
        };
        return tails.into_iter().map(|tail| [vec![word.clone()], tail].concat()).collect();
    };
    let (mut found, mut depth, mut fresh) = (Vec::new(), 1, true);
    for (at, c) in entries.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && depth == 1 && !c.is_whitespace() => {
                found.extend(expand_group(&entries[at..]));
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

/// What the second look takes from the first.
const VALUES_OF_BOTH_LOOKS: [&str; 4] = [
    "anonymize::term::Term",
    "anonymize::term::WordEdges",
    "anonymize::protocol_words::KEYS",
    "anonymize::protocol_words::VALUES",
];

/// One fault must not blind both looks at an outgoing message. So the second one has its own reader and decoders, and takes
/// from the first only the values themselves.
///
/// And the lists of the protocol's words, which are no code.
#[test]
fn the_two_looks_at_an_outgoing_message_share_no_code() {
    let modules = read_modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let inside = |path: &[String]| path.starts_with(&["anonymize", "leak_scan"].map(str::to_owned));
    let mut files = 0;
    for (module, named) in &modules {
        files += usize::from(inside(module));
        for path in named {
            let shown = path.join("::");
            if inside(module) && !inside(path) && modules.contains_key(&path[..path.len().min(1)]) {
                assert!(
                    VALUES_OF_BOTH_LOOKS.contains(&shown.as_str()),
                    "{} takes {shown}",
                    module.join("::")
                );
            }
            if !inside(module) && inside(path) && path.len() > 2 {
                assert_eq!(shown, "anonymize::leak_scan::LeakScan", "{} takes it", module.join("::"));
            }
        }
    }
    assert!(files > 5, "{files} files of the second look were read");
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

#[test]
fn a_circle_is_seen_through_groups_and_reexports() {
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<ModulePath>();
    let code = "use super::{b::X, c}; fn f() { crate::room::c::go(); self::inner::x(); our_crate::no(); }";
    let named: Vec<String> = named_paths(code, &path("room::a")).iter().map(|path| path.join("::")).collect();
    assert_eq!(named, ["room::c::go", "room::a::inner::x", "room::b::X", "room::c"]);
    let modules = BTreeMap::from([
        (path("room"), vec![path("room::a::Thing")]),
        (path("room::a"), vec![path("room::b::X")]),
        (path("room::b::deep"), vec![path("room::Thing")]),
        (path("room::b"), vec![path("room::c")]),
        (path("room::c"), Vec::new()),
    ]);
    let circles = find_circles(&sibling_imports(&modules, &path("room")));
    assert_eq!(circles, [["a", "b"]], "`c` imports nothing");
}
