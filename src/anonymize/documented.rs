//! The examples of `docs/anonymizer.md`, run.

use super::{Anonymizer, Direction, Fake, Real, ReplacementRule};
use crate::json;
use crate::secret::Secret;

/// The cells in backticks of each row of each table in a section. Words beside them are for the reader.
fn tables(page: &str, section: &str) -> Vec<Vec<Vec<String>>> {
    let (_, section) = page.split_once(&format!("\n{section}\n")).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let cells = |line: &str| line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<&str> = section.lines().collect();
    let tables: Vec<Vec<Vec<String>>> = lines
        .split(|line| line.starts_with("|---"))
        .skip(1)
        .map(|table| table.iter().filter(|line| line.starts_with("| `")).map(|line| cells(line)).collect())
        .collect();
    assert!(!tables.is_empty() && tables.iter().all(|rows| rows.len() > 2), "{section}");
    tables
}

/// The rows of a section's only table.
fn rows(page: &str, section: &str) -> Vec<Vec<String>> {
    let mut tables = tables(page, section);
    assert_eq!(tables.len(), 1, "{section}");
    tables.remove(0)
}

/// The set of rules in a table of fakes and real values.
fn rules_of(rows: &[Vec<String>]) -> Anonymizer {
    let rules: Vec<ReplacementRule> = rows
        .iter()
        .map(|row| ReplacementRule {
            fake: row[0].clone(),
            real: Secret::new(row[1].clone()),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: None,
        })
        .collect();
    Anonymizer::new(&rules).unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
}

fn conceal(set: &Anonymizer, text: &str) -> Option<String> {
    let shown = set.conceal(Real::from_server(json::serialize_raw(text))).ok()?;
    Some(json::as_text(shown.get()).expect("a text").into_owned())
}

fn reveal(set: &Anonymizer, text: &str) -> String {
    let real = set.reveal(&"x".parse().expect("a name"), &Fake::concealed(json::serialize_raw(text)));
    json::as_text(real.expose()).expect("a text").into_owned()
}

fn page() -> String {
    format!("\n{}", include_str!("../../docs/anonymizer.md"))
}

#[test]
fn the_page_says_what_happens() {
    let page = page();
    let set = rules_of(&rows(&page, "# What the anonymizer sees"));
    for row in rows(&page, "## Guaranteed") {
        assert_eq!(conceal(&set, &row[0]).as_ref(), Some(&row[1]), "{row:?}");
        assert_eq!(reveal(&set, &row[1]), row[0], "{row:?}");
    }
    for row in rows(&page, "## Best effort") {
        assert_eq!(conceal(&set, &row[0]).as_ref(), Some(&row[1]), "{row:?}");
        assert_eq!(reveal(&set, &row[1]), row[2], "{row:?}");
    }
    for row in rows(&page, "## Withheld") {
        assert_eq!(conceal(&set, &row[0]), None, "{row:?}");
    }
    for row in rows(&page, "## Not covered") {
        assert_eq!(conceal(&set, &row[0]).as_ref(), Some(&row[0]), "{row:?}");
    }
}

#[test]
fn words_are_told_from_parts_of_words() {
    let tables = tables(&page(), "## Words");
    let set = rules_of(&tables[0]);
    for row in &tables[1] {
        assert_eq!(conceal(&set, &row[0]).as_ref(), Some(&row[1]), "{row:?}");
        assert_eq!(reveal(&set, &row[1]), row[0], "{row:?}");
    }
}
