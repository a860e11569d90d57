//! The sources of the programs, without those that are built for tests alone.

use std::fs;
use std::path::Path;

use super::sources;

/// The folders of the three crates.
const FOLDERS: [&str; 3] = ["src", "porterod/src", "portero-cli/src"];

/// Every file with its name below `root`, and its text up to the tests in it.
pub(crate) fn files(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in FOLDERS.map(|folder| root.join(folder)) {
        for path in sources::below(&folder) {
            let inside = path.strip_prefix(&folder).expect("below");
            if is_for_tests(&folder, inside) {
                continue;
            }
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.strip_prefix(root).expect("below").to_string_lossy().replace('\\', "/");
            found.push((name, code(&text).to_owned()));
        }
    }
    assert!(found.len() > 300, "only {} sources were found", found.len());
    found
}

/// The text before the tests.
pub(crate) fn code(text: &str) -> &str {
    text.split("\nmod tests {").next().unwrap_or_default()
}

/// Files and folders of that name, and modules that are built for tests alone.
fn is_for_tests(folder: &Path, inside: &Path) -> bool {
    let mut above = folder.to_owned();
    inside.iter().any(|part| {
        let path = above.join(part);
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let is = name == "tests" || name.ends_with("_tests") || test_modules(&above).contains(&name);
        above = path;
        is
    })
}

/// `#[cfg(test)] mod x;`, as it stands in a module of this folder or beside it.
fn test_modules(folder: &Path) -> Vec<String> {
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
