//! Files, as `server-filesystem` (`write_file`, `edit_file`, `move_file`) and the tools of editors take them.
//! Edits are shown as a diff.

use portero::json;
use serde_json::value::RawValue;
use similar::{Algorithm, ChangeTag, TextDiff};

use super::super::text::{EscapedText, StyledText};
use super::value::{array_elements, as_json, as_text, text_members};
use super::{ArgumentReader, CallField, FieldLabel};

const PATH_KEYS: [&str; 6] = ["path", "file_path", "filePath", "filename", "file", "paths"];
const SOURCE_KEYS: [&str; 3] = ["source", "source_path", "from_path"];
const DESTINATION_KEYS: [&str; 3] = ["destination", "destination_path", "to_path"];
const CONTENT_KEYS: [&str; 4] = ["content", "contents", "file_text", "new_content"];
/// The names by which editors' tools call the old and the new text.
const EDIT_KEY_PAIRS: [(&str, &str); 5] = [
    ("oldText", "newText"),
    ("old_text", "new_text"),
    ("old_string", "new_string"),
    ("old_str", "new_str"),
    ("search", "replace"),
];
/// Longer texts aren't compared but shown one after the other.
const MAX_DIFF_LINES: usize = 2000;

pub(super) fn matches_call(open: &ArgumentReader<'_>) -> bool {
    let named = open.name_contains(&["file", "edit", "write", "read", "dir", "path", "replace"]);
    // A path alone is no file operation: many tools have one. The name or a content must agree.
    let changes = open.has_any(&CONTENT_KEYS) || open.has_any(&["edits"]) || find_edit_pair(open).is_some();
    open.has_any(&PATH_KEYS) && (named || changes)
        || open.has_any(&SOURCE_KEYS) && open.has_any(&DESTINATION_KEYS)
}

pub(super) fn take_known_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("Path", &PATH_KEYS, as_text);
    open.take_field("From", &SOURCE_KEYS, as_text);
    open.take_field("Into", &DESTINATION_KEYS, as_text);
    if let Some(size) =
        CONTENT_KEYS.iter().find_map(|key| json::as_text(open.last_value(key)?)).map(|text| text.len())
    {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        open.add_field(
            "Size",
            StyledText::new().number(size).literal(if size == 1 { " byte" } else { " bytes" }),
        );
    }
    if let Some((old, new, diff)) = find_edit_pair(open) {
        open.add_field("Change", diff);
        open.remaining.retain(|(key, _)| key != old && key != new);
    }
    open.take_many_fields(&["edits"], edit_fields);
    open.take_field("Content", &CONTENT_KEYS, as_text);
}

/// The pair of old and new text among the arguments, if each occurs exactly once.
fn find_edit_pair(open: &ArgumentReader<'_>) -> Option<(&'static str, &'static str, StyledText)> {
    EDIT_KEY_PAIRS.iter().find_map(|(old, new)| {
        // With a doubled key the server may use either text, so no diff is shown.
        let once = |key: &str| open.remaining.iter().filter(|(name, _)| name == key).count() == 1;
        let text = |key: &str| json::as_text(open.last_value(key)?);
        if !once(old) || !once(new) {
            return None;
        }
        Some((*old, *new, diff_text(&text(old)?, &text(new)?)))
    })
}

/// Several edits, one field each.
fn edit_fields(value: &RawValue) -> Vec<CallField> {
    let Some(edits) = array_elements(value).filter(|edits| !edits.is_empty()) else {
        return vec![CallField { label: FieldLabel::Own("Edits"), value: as_text(value) }];
    };
    let numbered = |(index, edit): (usize, &&RawValue)| CallField {
        label: FieldLabel::Numbered("Change", index + 1),
        value: edit_text(edit).unwrap_or_else(|| as_json(edit)),
    };
    edits.iter().enumerate().map(numbered).collect()
}

/// An edit with an old and a new text and no other member.
fn edit_text(edit: &RawValue) -> Option<StyledText> {
    EDIT_KEY_PAIRS.iter().find_map(|(old, new)| {
        let parts = text_members(edit, &[old, new])?;
        let part = |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| text);
        Some(diff_text(part(old)?, part(new)?))
    })
}

/// Both texts line by line: `- ` marks a removed line, `+ ` an added one, `= ` an unchanged one.
fn diff_text(old: &str, new: &str) -> StyledText {
    let (before, after): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut shown = EscapedText::default();
    // A comparison of long texts takes time that grows with the square of their differences.
    if before.len() + after.len() > MAX_DIFF_LINES {
        before.iter().for_each(|line| shown.push_line("- ", line));
        after.iter().for_each(|line| shown.push_line("+ ", line));
        return StyledText::new().pre(&shown);
    }
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).diff_slices(&before, &after);
    for change in diff.iter_all_changes() {
        let bar = match change.tag() {
            ChangeTag::Delete => "- ",
            ChangeTag::Insert => "+ ",
            ChangeTag::Equal => "= ",
        };
        shown.push_line(bar, change.value());
    }
    StyledText::new().pre(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_holds_every_line_of_both_texts() {
        let shown = diff_text("fn a() {\n  one\n}\n", "fn a() {\n  two\n  - three\n}\n").plain_text();
        assert_eq!(shown, "= fn a() {\n-   one\n+   two\n+   - three\n= }\n=");
        let many = |word: &str| vec![word; MAX_DIFF_LINES].join("\n");
        let shown = diff_text(&many("old"), &many("new")).plain_text();
        assert_eq!(shown.lines().count(), 2 * MAX_DIFF_LINES);
    }
}
