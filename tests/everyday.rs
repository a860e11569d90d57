//! Everyday texts go both ways: what the agent sees of each, and what the server gets back, is written by hand in
//! `tests/everyday`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use portero::anonymize::{Anonymizer, Fake, Real};
use portero::config::{ConfigFiles, read_config};
use portero::json::{self, RawJson};
use portero::names::ServerName;

/// The cases that don't hold yet, with the reason. The list may only shrink: a case in it that holds fails the test.
const KNOWN: [(&str, &str); 3] = [
    ("a name over a line break", OTHER_BLANKS),
    ("two blanks in a name", OTHER_BLANKS),
    (
        "a name with a no-break blank",
        "HTML's no-break blank comes back as a blank, and its letters as references",
    ),
];

const OTHER_BLANKS: &str = "a value is found with single blanks alone";

#[test]
fn everyday_texts_go_both_ways() {
    let cases = read_cases();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let fixture = Fixture::load();
    let mut known: BTreeMap<&str, &str> = KNOWN.into_iter().collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let problem = fixture.try_case(case);
        match (problem, known.remove(case.title.as_str())) {
            (None, None) | (Some(_), Some(_)) => {}
            (None, Some(reason)) => {
                wrong.push(format!("{}: it holds; take it off the list ({reason})", case.title))
            }
            (Some(problem), None) => wrong.push(format!("{} ({}): {problem}", case.title, case.file)),
        }
    }
    wrong.extend(known.keys().map(|title| format!("{title}: there is no such case")));
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What a server says, what the agent sees of it, and what comes of that on the way back.
struct EverydayCase {
    file: String,
    title: String,
    /// The raw message.
    server: RawJson,
    /// None if it is withheld.
    agent: Option<RawJson>,
    /// None if a call with it is refused.
    back: Option<RawJson>,
}

struct Fixture {
    anonymizer: Anonymizer,
    server: ServerName,
}

impl Fixture {
    fn load() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/everyday");
        let files = ConfigFiles::load(&directory).expect("the configuration");
        let (config, problems) = read_config(&files, &|_| None);
        let config = config.unwrap_or_else(|| panic!("{problems}"));
        let anonymizer = Anonymizer::new(&config.replacements).expect("the rules go together");
        Self { anonymizer, server: "shop".parse().expect("a name") }
    }

    /// What differs, if anything does.
    fn try_case(&self, case: &EverydayCase) -> Option<String> {
        let mut shown = BTreeSet::new();
        let answer = Real::from_server(case.server.clone());
        let concealed = self.anonymizer.conceal_answer(&self.server, answer, &mut shown);
        let (concealed, expected) = match (concealed, &case.agent) {
            (Err(_), None) => return None,
            (Err(leak), Some(_)) => return Some(format!("withheld: {}", leak.describe_value())),
            (Ok(concealed), None) => return Some(format!("not withheld: {}", concealed.get())),
            (Ok(concealed), Some(expected)) => (concealed, expected),
        };
        if concealed.get().get() != expected.get() {
            return Some(format!("the agent sees\n  {}\n  {} is right", concealed.get(), expected));
        }
        let restored = self.anonymizer.restore_redactions(&self.server, &concealed, &shown);
        let back = restored.ok().map(|restored| {
            let arguments: Fake<RawJson> = restored.map_or(concealed, |(arguments, _)| arguments);
            self.anonymizer.reveal(&self.server, &arguments).into_exposed()
        });
        let text = |json: &Option<RawJson>| json.as_ref().map(|json| json.get().to_owned());
        (text(&back) != text(&case.back))
            .then(|| format!("the server gets\n  {:?}\n  {:?} is right", text(&back), text(&case.back)))
    }
}

fn read_cases() -> Vec<EverydayCase> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/everyday");
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort_unstable();
    let mut titles = BTreeSet::new();
    let mut cases = Vec::new();
    for path in files {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("UTF-8");
        let text = text.strip_suffix('\n').unwrap_or(&text);
        for case in format!("\n{text}").split("\n=== ").skip(1) {
            let case = read_case(&file, case);
            assert!(titles.insert(case.title.clone()), "two cases are called {:?}", case.title);
            cases.push(case);
        }
    }
    cases
}

fn read_case(file: &str, text: &str) -> EverydayCase {
    let mut sections = text.split("\n--- ");
    let title = sections.next().expect("a title").to_owned();
    let mut case: BTreeMap<&str, &str> = BTreeMap::new();
    for section in sections {
        let (name, body) = section.split_once('\n').unwrap_or((section, ""));
        match name {
            "server" | "json" | "agent" | "withheld" | "back" | "refused" => {
                assert!(case.insert(name, body).is_none(), "{title}: two sections are called {name}");
            }
            _ => panic!("{title}: {name:?} is no section"),
        }
    }
    let raw = |text: &str| match case.contains_key("json") {
        true => json::parse_raw(text.to_owned()).unwrap_or_else(|error| panic!("{title}: {error}: {text}")),
        false => json::serialize_raw(text),
    };
    let server = raw(case.get("server").or(case.get("json")).unwrap_or_else(|| panic!("{title}: no server")));
    let agent = case.get("agent").map(|text| raw(text));
    assert!(agent.is_some() != case.contains_key("withheld"), "{title}: what does the agent see?");
    let back = match case.get("back") {
        Some(text) => Some(raw(text)),
        None => (!case.contains_key("refused")).then(|| server.clone()),
    };
    EverydayCase { file: file.to_owned(), title: title.clone(), server, agent, back }
}
