//! No text, however it is encoded, makes the anonymizer panic, write what is no JSON, or show a value; and what it read as
//! binary keeps its bytes.
//!
//! `cargo +nightly fuzz run encodings fuzz/corpus/encodings fuzz/seeds/encodings`

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portero::anonymize::{Anonymizer, Direction, ReplacementRule};
use portero::json::{as_text, serialize_raw};
use portero::names::ServerName;
use portero::secret::Secret;

const PAIRS: [(&str, &str, bool); 4] = [
    ("Jane Doe", "José O'Neil", true),
    ("Ida Smith", "Weißmann & Co", false),
    ("jane@example.com", "maria@corp.test", false),
    ("5550001111", "4155550100", true),
];

static SET: LazyLock<Anonymizer> = LazyLock::new(|| {
    let rules = PAIRS.map(|(fake, real, case_sensitive)| ReplacementRule {
        fake: fake.to_owned(),
        real: Secret::new(real),
        direction: Direction::Both,
        case_sensitive,
        matching: None,
        label: None,
        servers: None,
    });
    Anonymizer::new(&rules).expect("rules that go together")
});

fuzz_target!(|text: &str| {
    // Once as the text of a block, and once as a file.
    for json in [serialize_raw(text), serialize_raw(&serde_json::json!({ "blob": text, "mimeType": "a/b" }))]
    {
        let Ok(concealed) = SET.conceal_local(json) else { continue };
        let shown = concealed.get().get();
        serde_json::from_str::<serde_json::Value>(shown).expect("what is concealed is JSON");
        assert!(PAIRS.iter().all(|(_, real, _)| !shown.contains(real)), "{shown}");
        let server: ServerName = "mail".parse().expect("a name");
        let back = SET.reveal(&server, &concealed);
        serde_json::from_str::<serde_json::Value>(back.expose().get()).expect("what is revealed is JSON");
        assert!(as_text(concealed.get()).is_none_or(|shown| shown.len() <= 64 * text.len() + 64));
    }
});
