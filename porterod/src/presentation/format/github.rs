//! GitHub, as `github-mcp-server` takes it (`create_issue`, `create_pull_request`, `push_files`,
//! `create_or_update_file`, `merge_pull_request`).

use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};
use super::value::{array_elements, as_json, as_text, text_members};
use super::{ArgumentReader, CallField, FieldLabel};

pub(super) fn matches_call(open: &ArgumentReader<'_>) -> bool {
    open.has_any(&["owner"]) && open.has_any(&["repo"])
        || open.name_contains(&["github"]) && open.has_any(&["repo", "repository", "full_name"])
}

pub(super) fn take_known_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("Owner", &["owner", "organization"], as_text);
    open.take_field("Repository", &["repo", "repository", "full_name"], as_text);
    open.take_field("Does", &["method", "event", "state", "merge_method"], as_text);
    open.take_field("Number", &["issue_number", "pullNumber", "pull_number", "issueNumber"], as_text);
    open.take_field("Title", &["title"], as_text);
    open.take_field("From", &["head", "from_branch"], as_text);
    open.take_field("Into", &["base"], as_text);
    open.take_field("Branch", &["branch", "ref"], as_text);
    open.take_field("Labels", &["labels"], as_text);
    open.take_field("Assignees", &["assignees", "reviewers"], as_text);
    open.take_field("Draft", &["draft"], as_text);
    open.take_field("Commit message", &["message", "commit_message", "commit_title"], as_text);
    open.take_field("Path", &["path"], as_text);
    open.take_field("Body", &["body", "comment"], as_text);
    open.take_field("Content", &["content"], as_text);
    open.take_many_fields(&["files"], file_fields);
}

/// The files of one commit, each with its path and whole content.
fn file_fields(value: &RawValue) -> Vec<CallField> {
    let Some(files) = array_elements(value).filter(|files| !files.is_empty()) else {
        return vec![CallField { label: FieldLabel::Own("Files"), value: as_text(value) }];
    };
    let numbered = |(index, file): (usize, &&RawValue)| CallField {
        label: FieldLabel::Numbered("File", index + 1),
        value: file_text(file).unwrap_or_else(|| as_json(file)),
    };
    files.iter().enumerate().map(numbered).collect()
}

fn file_text(file: &RawValue) -> Option<StyledText> {
    let parts = text_members(file, &["path", "content"])?;
    let part = |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| text);
    let (path, content) = (part("path")?, part("content")?);
    let text = StyledText::new().code(&EscapedText::line(path));
    Some(if content.is_empty() { text.literal(" (empty)") } else { text.pre(&EscapedText::block(content)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_more_than_a_path_and_content_is_shown_as_it_is() {
        let read = |text: &str| {
            let fields = file_fields(&portero::json::parse_raw(text.to_owned()).expect("JSON"));
            fields.into_iter().map(|field| field.value.plain_text()).collect::<Vec<_>>()
        };
        assert_eq!(read(r#"[{"path":"a","content":"x"}]"#), ["a\nx"]);
        assert_eq!(read(r#"[{"path":"a","content":"x","mode":"100755"}]"#).len(), 1);
        assert!(read(r#"[{"path":"a","content":"x","mode":"100755"}]"#)[0].contains("100755"));
        assert_eq!(read("[]"), ["[]"]);
        assert!(read(r#"[{"path":"a","path":"b","content":"x"}]"#)[0].contains(r#""path": "a""#));
    }
}
