//! The tests that the documentation names are there.

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
