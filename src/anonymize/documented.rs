//! The examples of `docs/anonymizer.md`, run.

use super::{Anonymizer, Direction, Fake, Real, ReplacementRule};
use crate::json;
use crate::secret::Secret;

/// The cells in backticks of each row of a section's last table. Words beside them are for the reader.
fn rows(page: &str, section: &str) -> Vec<Vec<String>> {
    let (_, section) = page.split_once(&format!("\n{section}\n")).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let rows: Vec<Vec<String>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned).collect())
        .collect();
    assert!(rows.len() > 2, "{section}");
    rows
}

#[test]
fn the_page_says_what_happens() {
    let page = &format!("\n{}", include_str!("../../docs/anonymizer.md"));
    let rules: Vec<ReplacementRule> = rows(page, "# What the anonymizer sees")
        .into_iter()
        .map(|row| ReplacementRule {
            fake: row[0].clone(),
            real: Secret::new(row[1].clone()),
            direction: Direction::Both,
            case_sensitive: true,
            label: None,
            servers: None,
        })
        .collect();
    let set = Anonymizer::new(&rules).unwrap_or_else(|conflicts| panic!("{conflicts:?}"));
    let conceal = |text: &str| {
        let shown = set.conceal(Real::from_server(json::serialize_raw(text))).ok()?;
        Some(json::as_text(shown.get()).expect("a text").into_owned())
    };
    let reveal = |text: &str| {
        let real = set.reveal(&"x".parse().expect("a name"), &Fake::concealed(json::serialize_raw(text)));
        json::as_text(real.expose()).expect("a text").into_owned()
    };
    for row in rows(page, "## Guaranteed") {
        assert_eq!(conceal(&row[0]).as_ref(), Some(&row[1]), "{row:?}");
        assert_eq!(reveal(&row[1]), row[0], "{row:?}");
    }
    for row in rows(page, "## Best effort") {
        assert_eq!(conceal(&row[0]).as_ref(), Some(&row[1]), "{row:?}");
        assert_eq!(reveal(&row[1]), row[2], "{row:?}");
    }
    for row in rows(page, "## Withheld") {
        assert_eq!(conceal(&row[0]), None, "{row:?}");
    }
    for row in rows(page, "## Not covered") {
        assert_eq!(conceal(&row[0]).as_ref(), Some(&row[0]), "{row:?}");
    }
}
