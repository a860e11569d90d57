//! The tests, types and files that the documentation names are there.

mod sources;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The words between backticks, in their order.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_page_on_security_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let (_, table) = page.split_once("## Which test shows it").expect("the section");
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with('|')).skip(2) {
        let (_, tests) = row.trim_end_matches('|').rsplit_once(" | ").expect("a row of two cells");
        let mut file: Option<(&str, String)> = None;
        for word in quoted(tests) {
            if word.ends_with(".rs") {
                let text =
                    fs::read_to_string(root.join(word)).unwrap_or_else(|error| panic!("{word}: {error}"));
                file = Some((word, text));
                continue;
            }
            let (path, text) = file.as_ref().unwrap_or_else(|| panic!("no file before `{word}`"));
            let is_there = text.contains(&format!("\nfn {word}(")) || text.contains(&format!(" fn {word}("));
            assert!(is_there, "there is no test `{word}` in {path}");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests are named");
}

fn is_no_letter(c: char) -> bool {
    !c.is_alphanumeric() && c != '_'
}

#[test]
fn every_type_that_the_glossary_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/glossary.md")).expect("the page");
    let mut defined = HashSet::new();
    for folder in ["src", "porterod/src", "portero-cli/src"] {
        for file in sources::below(&root.join(folder)) {
            let text = fs::read_to_string(file).expect("a source");
            let words: Vec<&str> = text.split_whitespace().collect();
            let is_kind = |word: &str| ["struct", "enum", "trait", "fn", "mod"].contains(&word);
            let names = words.windows(2).filter(|pair| is_kind(pair[0])).map(|pair| pair[1]);
            defined.extend(names.filter_map(|name| Some(name.split(is_no_letter).next()?.to_owned())));
        }
    }
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let (_, cell) = row.trim_end_matches(" |").rsplit_once(" | ").expect("a row of three cells");
        for path in quoted(cell) {
            let name = path.rsplit("::").next().unwrap_or(path);
            assert!(defined.contains(name), "the glossary names `{path}`, which is not in the code");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} names are in the glossary");
}

/// The lists of files to touch name files and folders that exist; `NAME` and `NNNN` are the reader's own.
#[test]
fn every_file_that_the_walks_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/contributing/README.md")).expect("the page");
    let mut named = 0;
    for path in quoted(&page).filter(|word| word.contains('/') && !word.contains([' ', '*', '{', ':'])) {
        if path.contains("NAME") || path.contains("NNNN") || path.contains("SUBJECT") {
            continue;
        }
        assert!(root.join(path).exists(), "docs/contributing/README.md names `{path}`");
        named += 1;
    }
    assert!(named > 20, "only {named} files are named");
}
