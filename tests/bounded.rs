//! No test waits for ever: where a loop in test code waits for something, its function says when it gives up.
//!
//! A loop waits where its body or condition sleeps, yields, awaits or asks whether a process has ended. The function
//! around it must name a bound: a timeout, a deadline, a count. What serves others until it is dropped, such as the
//! stand-ins of servers, is listed here with its reason.
//!
//! And no program polls: a loop that sleeps does so for half a second at least, or is listed here with its reason. What
//! waits for something waits until it is told, by a signal, a lock, a handle of a process or a notification.

#[path = "sources/production.rs"]
mod production;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a loop that waits does.
const WAITING_CALLS: [&str; 5] = [".await", "sleep(", "yield_now(", "try_wait(", "read_line("];
/// What gives a loop an end.
const BOUNDING_CALLS: [&str; 6] =
    ["timeout(", "timeout_at(", "deadline", "elapsed()", "Instant::now() <", "eventually("];
/// Functions with a loop that ends with what it serves: the file's end, the function's name, and the reason.
const UNBOUNDED_FUNCTIONS: [(&str, &str, &str); 20] = [
    ("tests/conformance/server_leg.rs", "relay_request", "relays until its connection ends"),
    ("benches/gateway/http.rs", "read_head", "its caller's socket has a time limit"),
    ("benches/gateway/http.rs", "read_chunks", "its caller's socket has a time limit"),
    ("oidc/tests/private_authority.rs", "start", "serves until its test ends"),
    ("oidc/tests/private_authority.rs", "serve", "reads until its connection ends"),
    ("tests/bounded.rs", "every_short_sleep_is_seen", "names loops, and has none that waits"),
    ("tests/daemon/support.rs", "session", "follows until its connection ends"),
    ("tests/telegram/fake_user.rs", "connect", "reads on until its connection ends"),
    ("benches/telegram/main.rs", "connect", "reads on until its connection ends"),
    ("tests/telegram/fake_telegram/http.rs", "serve", "serves until the fake Telegram is dropped"),
    ("crash/tests/channel.rs", "run_channel", "a channel of the daemon that the test kills"),
    ("retention/tests.rs", "pass_time", "counts down the time that it lets pass"),
    ("http_transport/tests/fake_http.rs", "accept", "serves until its test's runtime ends"),
    ("http_transport/tests/client_certificate.rs", "serve_tls", "serves until its test's runtime ends"),
    ("tests/daemon/logins.rs", "start_locked_server", "serves until its test's runtime ends"),
    ("tests/daemon/logins.rs", "start", "serves until its test's runtime ends"),
    ("tests/telegram/fake_telegram/mod.rs", "until", "its caller says how long"),
    ("tests/real/day/person.rs", "answer_questions", "answers until the day is over"),
    ("tests/real/day/person.rs", "answer_question", "is away until the day's script goes on, or is over"),
    ("tests/cli/skew.rs", "a_daemon_of_another_version", "a daemon that the test ends"),
];

/// A loop of a program may look twice a second: that costs nothing that could be measured, and hardly delays anything that
/// a person waits for.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// What a loop sleeps by, before its argument.
const SLEEPS: [&str; 7] =
    ["sleep(", "sleep_until(", "interval(", "recv_timeout(", "wait_timeout(", "park_timeout(", "poll("];
/// Functions whose loops sleep for less, or for a time that is computed: the file, the function, and the reason.
const MAY_SLEEP: [(&str, &str, &str); 34] = [
    (
        "src/files/pipe.rs",
        "read",
        "the system tells of what is written; the time is what is left of a second",
    ),
    (
        "src/files/read_timeout.rs",
        "wait_for_place",
        "the semaphore unparks it; the time is what is left of its timeout",
    ),
    (
        "src/server/events.rs",
        "announce_changes",
        "gathers after each announcement, and waits for the next one",
    ),
    ("src/server/guard/macos.rs", "tie_to_parent", "outside Linux no signal tells of a parent's end"),
    ("src/server/logs.rs", "read_stderr", "until the moment at which it has something to tell"),
    ("src/server/upstream.rs", "connection", "until a server may be started again"),
    ("src/server/pending.rs", "watch_deadlines", "until the first request is late"),
    ("src/session/listing_requests.rs", "wait_for_listings", "until a list is given without what is missing"),
    ("src/session/listing_requests.rs", "retry_fetch", "an act that failed, at growing intervals"),
    ("src/session/notifications.rs", "flush_later", "lets a burst go in portions, and waits for room"),
    ("porterod/src/oauth/device.rs", "finish_device", "the interval that the authorization server wants"),
    ("porterod/src/app.rs", "relist_until_current", "an act that failed, at growing intervals"),
    ("porterod/src/secrets/sealed.rs", "run", "an act that failed, at growing intervals"),
    ("porterod/src/telegram/updates.rs", "poll_updates", "an act that failed, at growing intervals"),
    ("porterod/src/telegram/supervisor.rs", "serve_bot", "an act that failed, at growing intervals"),
    ("porterod/src/telegram/supervisor.rs", "fetch_account", "an act that failed, at growing intervals"),
    (
        "porterod/src/telegram/notices/activity_watch.rs",
        "follow_activity",
        "the interval at which a person wants to be told",
    ),
    (
        "porterod/src/telegram/notices/audit_head.rs",
        "send_audit_heads",
        "the interval is a parameter: a minute",
    ),
    ("porterod/src/telegram/menu.rs", "place_menu_with_retries", "an act that failed, at growing intervals"),
    (
        "porterod/src/telegram/notices/news.rs",
        "run_news",
        "gathers after each message, and waits for the next change",
    ),
    (
        "porterod/src/auth/remote_confirmation.rs",
        "wait_for_deadline",
        "until a question is over; looks twice a second, since a boot clock goes on in suspend",
    ),
    ("porterod/src/overrides/grant.rs", "run_expiry", "until the first grant is over"),
    (
        "porterod/src/journal/checkpoints.rs",
        "run",
        "gathers after a session left, and waits for the next one",
    ),
    (
        "porterod/src/listen.rs",
        "serve_socket",
        "an act that failed: nothing tells when a descriptor is free again",
    ),
    (
        "porterod/src/http_transport/conversation.rs",
        "listen",
        "opens a server's stream again, at growing intervals or when the server said",
    ),
    (
        "porterod/src/http_transport/exchange.rs",
        "resume",
        "opens a broken stream again, at growing intervals or when the server said; five times at most",
    ),
    ("porterod/src/main.rs", "start_app", "an act that failed, at growing intervals"),
    (
        "porterod/src/approved_config/watch.rs",
        "follow_config_files",
        "gathers after a change, and waits for the next one",
    ),
    (
        "porterod/src/store/writer.rs",
        "begin_transaction",
        "SQLite tells nothing of when another program lets go of the store; two seconds at most",
    ),
    ("portero-cli/src/mcp/daemon_connection.rs", "maintain", "an act that failed, at growing intervals"),
    ("portero-cli/src/mcp/running_session.rs", "poll_while_empty", "each second"),
    ("portero-cli/src/mcp/startup.rs", "wait_until_ready", "each second"),
    (
        "portero-cli/src/commands/pending/view/screen.rs",
        "read_inputs",
        "the keyboard's library cannot be woken when the view is left",
    ),
    ("portero-cli/src/daemon/mod.rs", "connect_verified", "an act that failed, at growing intervals"),
];

#[test]
fn no_program_polls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut wrong, mut needless) = (Vec::new(), MAY_SLEEP.to_vec());
    for (name, text) in production::files(root) {
        for function in find_functions(&text) {
            let short = find_loops(&function.body).iter().any(|it| has_short_sleep(it, &text));
            let listed = |(file, listed, _): &(&str, &str, &str)| *file == name && *listed == function.name;
            if short && !MAY_SLEEP.iter().any(listed) {
                wrong.push(format!("{name}: fn {}", function.name));
            }
            needless.retain(|may| !(short && listed(may)));
        }
    }
    assert!(wrong.is_empty(), "these may poll:\n{}", wrong.join("\n"));
    assert!(needless.is_empty(), "these need no leave any more: {needless:?}");
}

/// Whether a loop sleeps for a time that is short, or not a constant of its file.
fn has_short_sleep(text: &str, file: &str) -> bool {
    let code: String = text.lines().filter_map(|line| line.split("//").next()).collect();
    SLEEPS.iter().any(|sleep| {
        code.match_indices(sleep).any(|(at, _)| {
            // A method of that name asks something of its own.
            let is_part = |before: char| before.is_alphanumeric() || before == '_';
            let is_method = *sleep == "poll(" && code[..at].ends_with('.');
            let is_word = !is_method && !code[..at].ends_with(is_part);
            let after = &code[at + sleep.len()..];
            let argument = after[..after.find([',', ')']).unwrap_or(after.len())].trim();
            is_word && constant(argument, file).is_none_or(|time| time < MIN_INTERVAL)
        })
    })
}

/// The time that a constant of the file stands for.
fn constant(name: &str, file: &str) -> Option<Duration> {
    if name.is_empty() {
        return None;
    }
    let value = file.split_once(&format!("const {name}: Duration = Duration::"))?.1;
    let (unit, number) = value.split(';').next()?.trim_end_matches(')').split_once('(')?;
    let number = number
        .split('*')
        .map(|factor| factor.trim().replace('_', "").parse::<u64>().ok())
        .product::<Option<u64>>()?;
    match unit {
        "from_secs" => Some(Duration::from_secs(number)),
        "from_millis" => Some(Duration::from_millis(number)),
        _ => None,
    }
}

#[test]
fn every_short_sleep_is_seen() {
    const FILE: &str =
        "const A: Duration = Duration::from_millis(499);\nconst B: Duration = Duration::from_secs(60 * 60);";
    for (text, is_short) in [
        ("loop { thread::sleep(A); }", true),
        ("loop { tokio::time::sleep(B).await }", false),
        ("loop { sleep(pause).await }", true),
        ("loop { sleep(Duration::from_millis(1)) }", true),
        ("loop { // sleep(A)\n }", false),
        ("loop { no_sleep(A) }", false),
        ("while follower.poll() {}", false),
        ("while event::poll(A) {}", true),
        ("loop { select! { () = sleep(B) => {} () = sleep(A) => {} } }", true),
    ] {
        assert_eq!(has_short_sleep(text, FILE), is_short, "{text}");
    }
}

#[test]
fn every_loop_that_waits_in_a_test_has_a_bound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for file in test_sources(root) {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.strip_prefix(root).expect("below the root").display().to_string();
        for function in find_functions(&text) {
            let excused = UNBOUNDED_FUNCTIONS
                .iter()
                .any(|(end, listed, _)| name.ends_with(end) && *listed == function.name);
            let bounded = BOUNDING_CALLS.iter().any(|bound| function.body.contains(bound));
            if !excused && !bounded && find_loops(&function.body).iter().any(|it| contains_wait(it)) {
                wrong.push(format!("{name}: fn {}", function.name));
            }
        }
    }
    assert!(wrong.is_empty(), "these may wait for ever:\n{}", wrong.join("\n"));
}

fn contains_wait(text: &str) -> bool {
    WAITING_CALLS.iter().any(|word| text.contains(word))
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
fn find_functions(text: &str) -> Vec<Function> {
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
                let body = braced_block(&after[open..]);
                found.push(Function { name, body: body.to_owned() });
                rest = &after[open + body.len()..];
            }
            _ => rest = after,
        }
    }
    found
}

/// The loops of a function: each with its condition and body.
fn find_loops(body: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for word in ["loop {", "while "] {
        for (at, _) in body.match_indices(word) {
            let is_word = !body.as_bytes()[at.saturating_sub(1)].is_ascii_alphanumeric();
            let line = body[..at].rsplit('\n').next().unwrap_or_default();
            if is_word
                && !line.contains("//")
                && let Some(open) = body[at..].find('{')
            {
                let end = at + open + braced_block(&body[at + open..]).len();
                found.push(&body[at..end]);
            }
        }
    }
    found
}

/// From an opening brace to the one that closes it. Braces in texts and comments are rare and come in pairs.
fn braced_block(text: &str) -> &str {
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
