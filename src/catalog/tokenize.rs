//! Splits text into comparable words (lower case, without endings), and knows synonyms.

/// Query words that say nothing about a tool.
const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "any", "are", "as", "at", "be", "by", "can", "do", "for", "from", "how", "i", "in",
    "into", "is", "it", "its", "me", "my", "of", "on", "or", "our", "please", "some", "that", "the", "this",
    "to", "tool", "tools", "use", "using", "want", "we", "with", "you", "your",
];

/// Groups of words with the same meaning.
const SYNONYMS: &[&[&str]] = &[
    &["add", "create", "insert", "make", "new"],
    &["answer", "reply", "respond"],
    &["appointment", "event", "meeting"],
    &["archive", "store"],
    &["bill", "invoice"],
    &["book", "calendar", "plan", "schedule"],
    &["branch", "ref"],
    &["browse", "enumerate", "list", "show"],
    &["bug", "issue", "ticket"],
    &["cancel", "abort", "stop"],
    &["change", "edit", "modify", "patch", "set", "update"],
    &["channel", "room"],
    &["charge", "pay", "payment"],
    &["clock", "time"],
    &["client", "customer"],
    &["clone", "copy", "duplicate"],
    &["combine", "merge"],
    &["comment", "remark"],
    &["contact", "people", "person"],
    &["content", "text"],
    &["convert", "transform", "translate"],
    &["database", "db", "sql"],
    &["delete", "destroy", "erase", "remove", "trash"],
    &["deliver", "post", "send"],
    &["dir", "directory", "folder"],
    &["doc", "document", "file"],
    &["download", "export"],
    &["email", "mail"],
    &["excel", "sheet", "spreadsheet"],
    &["execute", "run"],
    &["fetch", "get", "read", "retrieve", "view"],
    &["find", "lookup", "query", "search"],
    &["image", "photo", "picture"],
    &["import", "upload"],
    &["label", "tag"],
    &["mark", "flag"],
    &["memo", "note"],
    &["move", "rename"],
    &["notification", "alert"],
    &["pr", "pull"],
    &["refund", "reimburse"],
    &["reminder", "task", "todo"],
    &["repo", "repository"],
    &["subscription", "plan"],
    &["url", "link"],
    &["user", "member", "account"],
    &["weather", "forecast"],
];

/// The words of a text, in order.
pub(super) fn tokenize(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for run in text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty()) {
        // The common case: a run in lower case needs no search for humps.
        if run.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            words.push(stem(run));
            continue;
        }
        let mut from = 0;
        let chars: Vec<(usize, char)> = run.char_indices().collect();
        for at in 1..chars.len() {
            let (before, here) = (chars[at - 1].1, chars[at].1);
            let next_is_lower = chars.get(at + 1).is_some_and(|next| next.1.is_lowercase());
            // Splits `getUser` before the `U`, and `HTTPServer` before the `S`.
            if here.is_uppercase() && (!before.is_uppercase() || next_is_lower) {
                words.push(stem(&run[from..chars[at].0]));
                from = chars[at].0;
            }
        }
        words.push(stem(&run[from..]));
    }
    words
}

/// The words of a query, without stop words unless it has no others.
pub(super) fn tokenize_query(query: &str) -> Vec<String> {
    let all = tokenize(query);
    let telling: Vec<String> =
        all.iter().filter(|word| !STOP_WORDS.contains(&word.as_str())).cloned().collect();
    if telling.is_empty() { all } else { telling }
}

/// The words with the same meaning as this one.
pub(super) fn synonyms_of(word: &str) -> impl Iterator<Item = String> {
    SYNONYMS
        .iter()
        .map(|group| group.iter().map(|other| stem(other)).collect::<Vec<_>>())
        .filter(move |group| group.iter().any(|other| other == word))
        .flatten()
        .filter(move |other| other != word)
}

/// The word in lower case, without English endings. Both sides of a comparison go through this, so it need not
/// give real words.
fn stem(word: &str) -> String {
    let mut word = word.to_lowercase();
    if !word.is_ascii() {
        return word;
    }
    strip_plural(&mut word);
    if word.len() > 6 && word.ends_with("tion") {
        word.truncate(word.len() - 3);
    } else if word.len() > 5 && word.ends_with("ing") {
        word.truncate(word.len() - 3);
        strip_doubled_consonant(&mut word);
    } else if word.len() > 4 && word.ends_with("ed") && !word.ends_with("eed") {
        word.truncate(word.len() - 2);
        strip_doubled_consonant(&mut word);
    }
    if word.len() > 4 && word.ends_with('e') {
        word.pop();
    }
    word
}

fn strip_plural(word: &mut String) {
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.len() > 4 && ["sses", "xes", "ches", "shes", "zes"].iter().any(|end| word.ends_with(end)) {
        word.truncate(word.len() - 2);
    } else if word.len() > 3
        && word.ends_with('s')
        && !["ss", "us", "is"].iter().any(|end| word.ends_with(end))
    {
        word.pop();
    }
}

/// `planning` → `plann` → `plan`. Doubled vowels, `l` and `s` stay: `see`, `call`, `pass`.
fn strip_doubled_consonant(word: &mut String) {
    let bytes = word.as_bytes();
    if let [.., one, other] = bytes
        && one == other
        && !matches!(one, b'a' | b'e' | b'i' | b'o' | b'u' | b'l' | b's')
    {
        word.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        for (text, expected) in [
            ("create_issue", "creat issu"),
            ("getHTTPServerURL", "get http server url"),
            ("list-pull.requests", "list pull request"),
            ("sha256Sum", "sha256 sum"),
            ("Größe ändern", "größe ändern"),
            ("  ", ""),
            ("ABC", "abc"),
        ] {
            assert_eq!(tokenize(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn forms_of_a_word_are_one() {
        for forms in [
            &["create", "creates", "created", "creating", "creation"][..],
            &["delete", "deleting", "deleted", "deletion"],
            &["issue", "issues"],
            &["file", "files"],
            &["repository", "repositories"],
            &["branch", "branches"],
            &["plan", "plans", "planned", "planning"],
            &["search", "searches", "searching", "searched"],
            &["status"],
            &["access"],
        ] {
            for form in forms {
                assert_eq!(stem(form), stem(forms[0]), "{form}");
            }
        }
        assert_ne!(stem("issue"), stem("list"));
        assert_eq!(stem("status"), "status");
    }

    #[test]
    fn idle_words_go_unless_there_are_no_others() {
        assert_eq!(tokenize_query("how do I send an email to the customer").join(" "), "send email customer");
        assert_eq!(tokenize_query("the").join(" "), "the");
    }

    #[test]
    fn words_alike_are_known_in_every_form() {
        assert!(synonyms_of(&tokenize("deleting")[0]).any(|word| word == "remov"));
        assert_eq!(synonyms_of("zebra").count(), 0);
    }
}
