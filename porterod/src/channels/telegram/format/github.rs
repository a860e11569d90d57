//! GitHub, as `github-mcp-server` takes it (`create_issue`, `create_pull_request`, `push_files`,
//! `create_or_update_file`, `merge_pull_request`).

use serde_json::value::RawValue;

use super::super::text::{Shown, Text};
use super::value::{as_json, as_text, elements, texts_only};
use super::{Field, Label, Open};

pub(super) fn fits(open: &Open<'_>) -> bool {
    open.has(&["owner"]) && open.has(&["repo"])
        || open.is_named(&["github"]) && open.has(&["repo", "repository", "full_name"])
}

pub(super) fn read(open: &mut Open<'_>) {
    open.take("Owner", &["owner", "organization"], as_text);
    open.take("Repository", &["repo", "repository", "full_name"], as_text);
    open.take("Does", &["method", "event", "state", "merge_method"], as_text);
    open.take("Number", &["issue_number", "pullNumber", "pull_number", "issueNumber"], as_text);
    open.take("Title", &["title"], as_text);
    open.take("From", &["head", "from_branch"], as_text);
    open.take("Into", &["base"], as_text);
    open.take("Branch", &["branch", "ref"], as_text);
    open.take("Labels", &["labels"], as_text);
    open.take("Assignees", &["assignees", "reviewers"], as_text);
    open.take("Draft", &["draft"], as_text);
    open.take("Commit message", &["message", "commit_message", "commit_title"], as_text);
    open.take("Path", &["path"], as_text);
    open.take("Body", &["body", "comment"], as_text);
    open.take("Content", &["content"], as_text);
    open.take_many(&["files"], files);
}

/// The files of one commit, each with its path and whole content.
fn files(value: &RawValue) -> Vec<Field> {
    let Some(files) = elements(value).filter(|files| !files.is_empty()) else {
        return vec![Field { label: Label::Own("Files"), value: as_text(value) }];
    };
    let numbered = |(index, file): (usize, &&RawValue)| Field {
        label: Label::Numbered("File", index + 1),
        value: file_text(file).unwrap_or_else(|| as_json(file)),
    };
    files.iter().enumerate().map(numbered).collect()
}

fn file_text(file: &RawValue) -> Option<Text> {
    let parts = texts_only(file, &["path", "content"])?;
    let part = |wanted: &str| parts.iter().find(|(key, _)| key == wanted).map(|(_, text)| text);
    let (path, content) = (part("path")?, part("content")?);
    let text = Text::new().code(&Shown::line(path));
    Some(if content.is_empty() { text.words(" (empty)") } else { text.pre(&Shown::block(content)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_more_than_a_path_and_content_is_shown_as_it_is() {
        let read = |text: &str| {
            let fields = files(&portero::json::parse_raw(text.to_owned()).expect("JSON"));
            fields.into_iter().map(|field| field.value.plain()).collect::<Vec<_>>()
        };
        assert_eq!(read(r#"[{"path":"a","content":"x"}]"#), ["a\nx"]);
        assert_eq!(read(r#"[{"path":"a","content":"x","mode":"100755"}]"#).len(), 1);
        assert!(read(r#"[{"path":"a","content":"x","mode":"100755"}]"#)[0].contains("100755"));
        assert_eq!(read("[]"), ["[]"]);
        assert!(read(r#"[{"path":"a","path":"b","content":"x"}]"#)[0].contains(r#""path": "a""#));
    }
}
