//! Files are opened in one place: `src/files/` looks what they are, how large they are, and gives up in time.
//!
//! Whatever opens a file elsewhere could wait for ever on a named pipe that somebody put there. Tests may do as they
//! like.

#[path = "sources/production.rs"]
mod production;
mod sources;

use std::fs;
use std::path::Path;

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
const ALLOWED_FILES: [(&str, &str); 1] =
    [("portero-cli/src/commands/trial/trial_directory.rs", "writes into a directory that it has just made")];

#[test]
fn no_other_module_opens_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (name, text) in production::files(root) {
        if name.starts_with("src/files/") || ALLOWED_FILES.iter().any(|(may, _)| *may == name) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            if let Some(opener) = find_opener(&line) {
                wrong.push(format!("{name}:{number}: `{opener}`; use `portero::files`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for (may, _) in ALLOWED_FILES {
        let text = fs::read_to_string(root.join(may)).expect("a source");
        assert!(
            code_lines(&text).any(|(_, line)| find_opener(&line).is_some()),
            "{may} needs no leave any more"
        );
    }
}

fn find_opener(line: &str) -> Option<&'static str> {
    OPENERS.into_iter().find(|opener| line.contains(opener))
}

/// The lines before the tests, without comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines = production::code(text).lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default().to_owned()))
}

#[test]
fn every_opening_is_seen() {
    let text = "//! File::open in a comment\nlet a = 1; // fs::read(x)\nlet b = fs::read(path);\n\
                let mut o = fs::OpenOptions::new();\n#[cfg(test)]\nmod tests {\n    fs::write(a, b);\n}\n";
    let found: Vec<_> =
        code_lines(text).filter_map(|(number, line)| Some((number, find_opener(&line)?))).collect();
    assert_eq!(found, [(3, "fs::read("), (4, "OpenOptions")]);
}
