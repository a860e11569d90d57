//! No test waits for ever: where a loop in test code waits for something, its function says when it gives up.
//!
//! A loop waits where its body or condition sleeps, yields, awaits or asks whether a process has ended. The function
//! around it must name a bound: a timeout, a deadline, a count. What serves others until it is dropped, such as the
//! stand-ins of servers, is listed here with its reason.

mod sources;

use std::fs;
use std::path::{Path, PathBuf};

/// What a loop that waits does.
const WAITS: [&str; 5] = [".await", "sleep(", "yield_now(", "try_wait(", "read_line("];
/// What gives a loop an end.
const BOUNDS: [&str; 6] =
    ["timeout(", "timeout_at(", "deadline", "elapsed()", "Instant::now() <", "eventually("];
/// Functions with a loop that ends with what it serves: the file's end, the function's name, and the reason.
const ENDLESS: [(&str, &str, &str); 7] = [
    ("tests/daemon/support.rs", "session", "follows until its connection ends"),
    ("tests/telegram/hands.rs", "connect", "reads on until its connection ends"),
    ("benches/telegram/main.rs", "connect", "reads on until its connection ends"),
    ("tests/telegram/standin/http.rs", "serve", "serves until the stand-in is dropped"),
    ("crash/tests/channel.rs", "tell", "a channel of the daemon that the test kills"),
    ("upkeep/tests.rs", "pass", "counts down the time that it lets pass"),
    ("tests/cli/skew.rs", "a_daemon_of_another_version", "a daemon that the test ends"),
];

#[test]
fn every_loop_that_waits_in_a_test_has_a_bound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for file in test_sources(root) {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.strip_prefix(root).expect("below the root").display().to_string();
        for function in functions(&text) {
            let excused =
                ENDLESS.iter().any(|(end, listed, _)| name.ends_with(end) && *listed == function.name);
            let bounded = BOUNDS.iter().any(|bound| function.body.contains(bound));
            if !excused && !bounded && loops(&function.body).iter().any(|it| waits(it)) {
                wrong.push(format!("{name}: fn {}", function.name));
            }
        }
    }
    assert!(wrong.is_empty(), "these may wait for ever:\n{}", wrong.join("\n"));
}

fn waits(text: &str) -> bool {
    WAITS.iter().any(|word| text.contains(word))
}

/// Everything that is compiled for tests and benchmarks only.
fn test_sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "porterod", "portero-cli"] {
        for kind in ["tests", "benches"] {
            found.extend(sources::below(&root.join(folder).join(kind)));
        }
        let of_tests = |path: &PathBuf| {
            path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "test_support.rs")
        };
        found.extend(sources::below(&root.join(folder).join("src")).into_iter().filter(of_tests));
    }
    found
}

struct Function {
    name: String,
    body: String,
}

/// The functions of a file, the outermost only: what stands in one is its own to bound.
fn functions(text: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("fn ") {
        let starts_word = at == 0 || !rest.as_bytes()[at - 1].is_ascii_alphanumeric();
        let after = &rest[at + 3..];
        let name: String =
            after.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        let (open, end) = (after.find('{'), after.find(';'));
        match open {
            Some(open) if starts_word && !name.is_empty() && end.is_none_or(|end| open < end) => {
                let body = block(&after[open..]);
                found.push(Function { name, body: body.to_owned() });
                rest = &after[open + body.len()..];
            }
            _ => rest = after,
        }
    }
    found
}

/// The loops of a function: each with its condition and body.
fn loops(body: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for word in ["loop {", "while "] {
        for (at, _) in body.match_indices(word) {
            let is_word = !body.as_bytes()[at.saturating_sub(1)].is_ascii_alphanumeric();
            let line = body[..at].rsplit('\n').next().unwrap_or_default();
            if is_word
                && !line.contains("//")
                && let Some(open) = body[at..].find('{')
            {
                let end = at + open + block(&body[at + open..]).len();
                found.push(&body[at..end]);
            }
        }
    }
    found
}

/// From an opening brace to the one that closes it. Braces in texts and comments are rare and come in pairs.
fn block(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return &text[..=at];
                }
            }
            _ => {}
        }
    }
    text
}
