//! Files: what `server-filesystem` (`write_file`, `edit_file`, `move_file`) and editors' tools take. Edits are
//! shown as a diff.

use portero::json;
use serde_json::value::RawValue;
use similar::{Algorithm, ChangeTag, TextDiff};

use super::super::text::{Shown, Text};
use super::value::{as_json, as_text, elements, texts_only};
use super::{Field, Label, Open};

const PATH: [&str; 6] = ["path", "file_path", "filePath", "filename", "file", "paths"];
const FROM: [&str; 3] = ["source", "source_path", "from_path"];
const INTO: [&str; 3] = ["destination", "destination_path", "to_path"];
const CONTENT: [&str; 4] = ["content", "contents", "file_text", "new_content"];
/// How editors' tools call what is replaced and what replaces it.
const PAIRS: [(&str, &str); 5] = [
    ("oldText", "newText"),
    ("old_text", "new_text"),
    ("old_string", "new_string"),
    ("old_str", "new_str"),
    ("search", "replace"),
];
/// Texts with more lines than this are not compared but shown one after the other.
const COMPARED_MOST: usize = 2000;

pub(super) fn fits(open: &Open<'_>) -> bool {
    let named = open.is_named(&["file", "edit", "write", "read", "dir", "path", "replace"]);
    let changes = open.has(&CONTENT) || open.has(&["edits"]) || pair_in(open).is_some();
    open.has(&PATH) && (named || changes) || open.has(&FROM) && open.has(&INTO)
}

pub(super) fn read(open: &mut Open<'_>) {
    open.take("Path", &PATH, as_text);
    open.take("From", &FROM, as_text);
    open.take("Into", &INTO, as_text);
    if let Some(size) = CONTENT.iter().find_map(|key| json::text(open.get(key)?)).map(|text| text.len()) {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        open.add("Size", Text::new().count(size).words(if size == 1 { " byte" } else { " bytes" }));
    }
    if let Some((old, new, diff)) = pair_in(open) {
        open.add("Change", diff);
        open.members.retain(|(key, _)| key != old && key != new);
    }
    open.take_many(&["edits"], edits);
    open.take("Content", &CONTENT, as_text);
}

/// The one pair of old and new text among the arguments, where each stands once.
fn pair_in(open: &Open<'_>) -> Option<(&'static str, &'static str, Text)> {
    PAIRS.iter().find_map(|(old, new)| {
        let once = |key: &str| open.members.iter().filter(|(name, _)| name == key).count() == 1;
        let text = |key: &str| json::text(open.get(key)?);
        if !once(old) || !once(new) {
            return None;
        }
        Some((*old, *new, diff(&text(old)?, &text(new)?)))
    })
}

/// Edits, one after the other.
fn edits(value: &RawValue) -> Vec<Field> {
    let Some(edits) = elements(value).filter(|edits| !edits.is_empty()) else {
        return vec![Field { label: Label::Own("Edits"), value: as_text(value) }];
    };
    let numbered = |(index, edit): (usize, &&RawValue)| Field {
        label: Label::Numbered("Change", index + 1),
        value: edit_text(edit).unwrap_or_else(|| as_json(edit)),
    };
    edits.iter().enumerate().map(numbered).collect()
}

/// An edit that is an old and a new text and nothing else.
fn edit_text(edit: &RawValue) -> Option<Text> {
    PAIRS.iter().find_map(|(old, new)| {
        let parts = texts_only(edit, &[old, new])?;
        let part = |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| text);
        Some(diff(part(old)?, part(new)?))
    })
}

/// The lines of both texts: `- ` before what goes, `+ ` before what comes, `= ` before what stays.
fn diff(old: &str, new: &str) -> Text {
    let (before, after): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut shown = Shown::default();
    if before.len() + after.len() > COMPARED_MOST {
        before.iter().for_each(|line| shown.row("- ", line));
        after.iter().for_each(|line| shown.row("+ ", line));
        return Text::new().pre(&shown);
    }
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).diff_slices(&before, &after);
    for change in diff.iter_all_changes() {
        let bar = match change.tag() {
            ChangeTag::Delete => "- ",
            ChangeTag::Insert => "+ ",
            ChangeTag::Equal => "= ",
        };
        shown.row(bar, change.value());
    }
    Text::new().pre(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_holds_every_line_of_both_texts() {
        let shown = diff("fn a() {\n  one\n}\n", "fn a() {\n  two\n  - three\n}\n").plain();
        assert_eq!(shown, "= fn a() {\n-   one\n+   two\n+   - three\n= }\n=");
        let many = |word: &str| vec![word; COMPARED_MOST].join("\n");
        let shown = diff(&many("old"), &many("new")).plain();
        assert_eq!(shown.lines().count(), 2 * COMPARED_MOST);
    }
}
