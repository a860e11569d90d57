//! Files are opened in one place: `src/files/` looks what they are, how large they are, and gives up in time.
//!
//! Whatever opens a file elsewhere could wait for ever on a named pipe that somebody put there. Tests may do as they
//! like.

use std::fs;
use std::path::{Path, PathBuf};

/// Every way of the standard library and of tokio to open a file, or to read or write one by its name.
const OPENERS: [&str; 11] = [
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    "fs::read(",
    "fs::read_to_string",
    "fs::write(",
    "fs::copy(",
    "tokio::fs",
    "rustix::fs::open",
    "use std::fs::{read",
];
/// Files that may, and why.
const MAY: [(&str, &str); 1] =
    [("portero-cli/src/commands/trial/scene.rs", "writes into a directory that it has just made")];

#[test]
fn no_other_module_opens_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut looked = 0;
    for folder in ["src", "porterod/src", "portero-cli/src"] {
        for path in sources(&root.join(folder)) {
            let name = path.strip_prefix(root).expect("below").to_string_lossy().replace('\\', "/");
            if name.starts_with("src/files/") || MAY.iter().any(|(may, _)| *may == name) {
                continue;
            }
            looked += 1;
            for (number, line) in code(&fs::read_to_string(&path).expect("a source")) {
                if let Some(opener) = opened(&line) {
                    wrong.push(format!("{name}:{number}: `{opener}`; use `portero::files`"));
                }
            }
        }
    }
    assert!(looked > 300, "only {looked} sources were looked at");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for (may, _) in MAY {
        let text = fs::read_to_string(root.join(may)).expect("a source");
        assert!(code(&text).any(|(_, line)| opened(&line).is_some()), "{may} needs no leave any more");
    }
}

fn opened(line: &str) -> Option<&'static str> {
    OPENERS.into_iter().find(|opener| line.contains(opener))
}

/// The lines before the tests, without comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, String)> {
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default().to_owned()))
}

/// The sources below a folder but for those of tests: folders and files of that name, and modules that are built for
/// tests alone.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let for_tests = modules_for_tests(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name == "tests" || name.ends_with("_tests") || for_tests.contains(&name) {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// `#[cfg(test)] mod x;`, as it stands in a module of this folder or beside it.
fn modules_for_tests(folder: &Path) -> Vec<String> {
    let roots = ["lib.rs", "main.rs", "mod.rs"].map(|name| folder.join(name));
    let beside = folder.with_extension("rs");
    let mut found = Vec::new();
    for root in roots.into_iter().chain([beside]) {
        let Ok(text) = fs::read_to_string(root) else { continue };
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let is_for_tests = line.trim().starts_with("#[cfg(") && line.contains("test");
            if let Some(next) = lines.peek().filter(|_| is_for_tests) {
                let module = next.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
                found.extend(
                    module
                        .strip_prefix("mod ")
                        .and_then(|module| module.strip_suffix(';'))
                        .map(str::to_owned),
                );
            }
        }
    }
    found
}

#[test]
fn every_opening_is_seen() {
    let text = "//! File::open in a comment\nlet a = 1; // fs::read(x)\nlet b = fs::read(path);\n\
                let mut o = fs::OpenOptions::new();\n#[cfg(test)]\nmod tests {\n    fs::write(a, b);\n}\n";
    let found: Vec<_> = code(text).filter_map(|(number, line)| Some((number, opened(&line)?))).collect();
    assert_eq!(found, [(3, "fs::read("), (4, "OpenOptions")]);
}
