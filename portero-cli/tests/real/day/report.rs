//! The tables of the day in `docs/asking.md`, written with `PORTERO_UPDATE`, compared without.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::measure::{Counts, Measured};
use super::read_here;

/// An estimate of how many bytes of JSON one token holds.
const BYTES_OF_TOKEN: usize = 4;
const PAGE: &str = "docs/asking.md";
const BEGIN: &str = "<!-- day -->\n";
const END: &str = "<!-- end of day -->";
/// The rows whose figures differ from run to run.
const WAITED: &str = "seconds that the agent waited for calls that asked";
const TOKENS: &str = "tokens of Portero's tools in the agent's context";

/// Compares the counts of a day with the page's. With `PORTERO_UPDATE` it writes them there.
///
/// # Panics
/// When a count or the policy on the page is another one.
pub(super) fn compare_with_page(measured: &Measured) {
    let page = read_page();
    let (before, rest) = page.split_once(BEGIN).expect("the page has the day's begin");
    let (written, after) = rest.split_once(END).expect("the page has the day's end");
    let fresh = format!("\n{}\n{}\n", figures_table(measured), entries_table(&measured.counts));
    if std::env::var_os("PORTERO_UPDATE").is_some() {
        let page = format!("{before}{BEGIN}{fresh}{END}{after}");
        fs::write(below_root(PAGE), page).expect("the page is writable");
        return;
    }
    assert_eq!(
        without_varying_figures(&fresh),
        without_varying_figures(written),
        "docs/asking.md tells of another day; if this one is right, run with PORTERO_UPDATE=1"
    );
}

/// Compares the counts alone with the page's. Another client than the page's has other seconds and tokens.
///
/// # Panics
/// When a count on the page is another one.
pub(super) fn assert_same_counts(counts: &Counts) {
    let page = read_page();
    for row in count_rows(counts).iter().map(|(name, value)| table_row(&[name, value])) {
        assert!(page.contains(&row), "docs/asking.md tells of another day: it lacks {row}");
    }
    let sentence =
        format!("of {} calls to five servers, Portero asks {} times", counts.calls(), counts.questions);
    assert!(read_below_root("README.md").contains(&sentence), "the README doesn't say: {sentence}");
    let table = entries_table(counts);
    assert!(page.contains(&table), "docs/asking.md tells of another day: it lacks {table}");
}

/// The page, which must show the policy of the day.
fn read_page() -> String {
    let page = read_below_root(PAGE);
    let policy = format!("```json policies.json\n{}```\n", read_here("policies.json"));
    assert!(page.contains(&policy), "docs/asking.md shows another policy than the day's");
    page
}

fn read_below_root(name: &str) -> String {
    fs::read_to_string(below_root(name)).expect("it is part of the repository")
}

fn below_root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join(name)
}

fn count_rows(counts: &Counts) -> Vec<(&'static str, String)> {
    let Counts { reads, writes, sends, questions, taps, notices, ran, denied, entries } = counts;
    let calls = counts.calls();
    let granted: usize = entries.values().map(|entry| entry.granted).sum();
    let allowed: usize = entries.values().map(|entry| entry.allowed).sum();
    let asked: usize = entries.values().map(|entry| entry.asked).sum();
    vec![
        ("calls", format!("{calls} ({reads} reads, {writes} writes, {sends} mails)")),
        ("calls that ran unasked, by the policy", allowed.to_string()),
        ("calls that ran unasked, by a grant made with a tap", granted.to_string()),
        ("calls that asked", asked.to_string()),
        ("**questions: messages that ask**", format!("**{questions}**")),
        ("taps", taps.to_string()),
        ("messages that only tell something", notices.to_string()),
        ("calls that ran", ran.to_string()),
        ("calls that were denied and did not run", denied.to_string()),
    ]
}

fn figures_table(measured: &Measured) -> String {
    let mut rows = count_rows(&measured.counts);
    rows.push((WAITED, format!("{:.1}", measured.seconds_waited)));
    let tokens = (measured.context_bytes / BYTES_OF_TOKEN).next_multiple_of(100);
    rows.push((TOKENS, format!("about {tokens}")));
    let mut table = format!("{}|---|---|\n", table_row(&["of the day", "how many"]));
    for (name, value) in rows {
        table.push_str(&table_row(&[name, &value]));
    }
    table
}

fn entries_table(counts: &Counts) -> String {
    let mut table = format!(
        "{}|---|---|---|---|\n",
        table_row(&["entry of `policies.json`", "allowed", "granted", "asked"])
    );
    for (pattern, entry) in &counts.entries {
        let name =
            if pattern.is_empty() { "no entry (the default)".to_owned() } else { format!("`{pattern}`") };
        let cells = [entry.allowed, entry.granted, entry.asked].map(|count| count.to_string());
        table.push_str(&table_row(&[&name, &cells[0], &cells[1], &cells[2]]));
    }
    table
}

fn table_row(cells: &[&str]) -> String {
    let mut row = String::from("|");
    for cell in cells {
        write!(row, " {cell} |").expect("a text takes all");
    }
    row.push('\n');
    row
}

/// The tables, with the rows of figures that vary reduced to their names.
fn without_varying_figures(tables: &str) -> Vec<String> {
    let reduce = |line: &str| {
        let varies = [WAITED, TOKENS].into_iter().find(|name| line.contains(name));
        varies.map_or_else(|| line.to_owned(), str::to_owned)
    };
    tables.lines().map(reduce).collect()
}
