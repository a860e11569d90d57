//! Any JSON is concealed without a trace of a real value, stays JSON, and comes back.
//!
//! `cargo +nightly fuzz run conceal_reveal`

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portero::anonymize::{Anonymizer, Direction, ReplacementRule};
use portero::json::parse_raw;
use portero::names::ServerName;
use portero::secret::Secret;
use serde_json::Value;

const REALS: [&str; 4] = ["Maria \"M\" Müller", "maria@corp.test", "4155550100", "C:\\maria"];
const FAKES: [&str; 4] = ["Jane Doe", "jane@example.com", "5550001111", "D:\\jane"];

static SET: LazyLock<Anonymizer> = LazyLock::new(|| {
    let rules: Vec<ReplacementRule> = (FAKES.iter().zip(REALS))
        .map(|(fake, real)| ReplacementRule {
            fake: (*fake).to_owned(),
            real: Secret::new(real),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: None,
        })
        .collect();
    Anonymizer::new(&rules).expect("rules that go together")
});

fn texts(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Number(number) => all.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        Value::Object(members) => members.iter().for_each(|(key, item)| {
            all.push(key.clone());
            texts(item, all);
        }),
        Value::Null | Value::Bool(_) => {}
    }
}

fuzz_target!(|message: &str| {
    let Ok(value) = serde_json::from_str::<Value>(message) else { return };
    let Ok(json) = parse_raw(message.to_owned()) else { return };
    let Ok(concealed) = SET.conceal_local(json) else { return };
    let seen: Value = serde_json::from_str(concealed.get().get()).expect("what is concealed is JSON");
    let (mut before, mut after) = (Vec::new(), Vec::new());
    texts(&value, &mut before);
    texts(&seen, &mut after);
    for text in &after {
        assert!(REALS.iter().all(|real| !text.contains(real)), "{text:?}");
    }
    let again = SET.conceal_local(concealed.get().clone()).expect("what is concealed may go out");
    assert_eq!(again.get().get(), concealed.get().get());
    let spelled =
        |text: &String| FAKES.iter().all(|fake| !text.contains(fake)) && !text.contains(['\\', '%']);
    if before.iter().all(spelled) {
        let server: ServerName = "mail".parse().expect("a name");
        let back = SET.reveal(&server, &concealed);
        assert_eq!(serde_json::from_str::<Value>(back.expose().get()).expect("JSON"), value);
    }
});
