//! Values in every channel of a message and in every encoding: none is readable in what leaves.
//!
//! Small in the normal run; `PROPTEST_CASES` makes it large. The reader of the outcome is this test's own.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Anonymizer, Direction, MatchMode, Real, ReplacementRule};
use crate::json;
use crate::secret::Secret;

const CHANNELS: usize = 12;
const ENCODINGS: usize = 14;

/// A message with a text in one channel.
fn message(channel: usize, text: &str) -> Value {
    match channel {
        0 => json!({ "content": [{ "type": "text", "text": text }] }),
        1 => json!({ "structuredContent": { text: [1, { "a": text }] } }),
        2 => json!({ "isError": true, "content": [{ "type": "text", "text": format!("failed: {text}\n") }] }),
        3 => json!({ "code": -32000, "message": text, "data": { "why": text } }),
        4 => {
            json!({ "tools": [{ "name": "a", "description": text, "inputSchema": { "type": "object", "properties": { text: { "enum": [text] } } } }] })
        }
        5 => json!({ "resources": [{ "uri": format!("file:///home/{text}"), "name": text }] }),
        6 => json!({ "progressToken": 1, "progress": 0.5, "message": text }),
        7 => json!({ "level": "info", "logger": text, "data": [text] }),
        8 => {
            json!({ "content": [{ "type": "resource", "resource": { "uri": "a:b", "blob": BASE64.encode(text.as_bytes()) } }] })
        }
        9 => json!({ "content": [{ "type": "text", "text": json!({ "inner": text }).to_string() }] }),
        10 => json!({ "contents": [{ "uri": "a:b", "text": format!("<a href=\"x?q={text}\">{text}</a>") }] }),
        // A line of stderr.
        _ => json!(format!("2026-12-01 12:00 ERROR no such user: {text}")),
    }
}

fn encode(text: &str, how: usize) -> String {
    let octets = |write: &dyn Fn(u8) -> String| {
        let one =
            |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { write(byte) };
        text.bytes().map(one).collect::<String>()
    };
    let chars = |write: &dyn Fn(char) -> String| {
        let one = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { write(c) };
        text.chars().map(one).collect::<String>()
    };
    match how {
        0 => text.to_owned(),
        1 => octets(&|byte| format!("%{byte:02X}")),
        2 => octets(&|byte| format!("%{byte:02x}")),
        3 => octets(&|byte| format!("\\{byte:03o}")),
        4 => octets(&|byte| format!("\\x{byte:02x}")),
        5 => octets(&|byte| format!("={byte:02X}")),
        6 => chars(&|c| format!("&#{};", u32::from(c))),
        7 => chars(&|c| format!("&#x{:X};", u32::from(c))),
        8 => text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        9 => text.encode_utf16().map(|unit| format!("%u{unit:04X}")).collect(),
        10 => BASE64.encode(text.as_bytes()),
        11 => BASE64URL_NOPAD.encode(format!("{text} and so on").as_bytes()),
        12 => HEXLOWER.encode(text.as_bytes()),
        _ => text.replace(' ', "\u{a0}").replace('\'', "’"),
    }
}

/// All texts that someone reads in a message who decodes it as it was encoded.
fn readings(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => read(text, 3, all),
        Value::Array(items) => items.iter().for_each(|item| readings(item, all)),
        Value::Object(members) => members.iter().for_each(|(key, item)| {
            read(key, 3, all);
            readings(item, all);
        }),
        Value::Number(number) => all.push(number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}

fn read(text: &str, depth: usize, all: &mut Vec<String>) {
    all.push(text.replace('\u{a0}', " ").replace('’', "'"));
    if depth == 0 {
        return;
    }
    if let Ok(inner) = serde_json::from_str::<Value>(text) {
        readings(&inner, all);
    }
    let percent = percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let html = html_escape::decode_html_entities(text).into_owned();
    let units = regex::Regex::new(r"(?:\\|%)u([0-9a-fA-F]{4})").expect("a pattern");
    let chars = units.replace_all(text, |found: &regex::Captures<'_>| {
        let code = u32::from_str_radix(&found[1], 16).expect("hex");
        char::from_u32(code).map_or_else(String::new, String::from)
    });
    let bytes = regex::bytes::Regex::new(r"(?:\\x|=)([0-9a-fA-F]{2})|\\([0-3][0-7]{2})").expect("a pattern");
    let bytes = bytes.replace_all(text.as_bytes(), |found: &regex::bytes::Captures<'_>| {
        let (digits, radix) = found.get(1).map_or_else(|| (&found[2], 8), |hex| (hex.as_bytes(), 16));
        vec![u8::from_str_radix(std::str::from_utf8(digits).expect("digits"), radix).expect("a byte")]
    });
    let bytes = String::from_utf8_lossy(&bytes).into_owned();
    for decoded in [percent, html, chars.into_owned(), bytes] {
        if decoded != text {
            read(&decoded, depth - 1, all);
        }
    }
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/-_=".contains(c))) {
        let decoded = [
            BASE64.decode(word.as_bytes()),
            BASE64URL_NOPAD.decode(word.as_bytes()),
            HEXLOWER.decode(word.as_bytes()),
        ];
        all.extend(decoded.into_iter().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn no_value_is_readable_in_what_leaves(
        pairs in prop::collection::vec(("[K-P][a-f]{4,8}", "[A-J][a-zéüß]{2,6}[ '&]?[g-zñ山]{3,6}", any::<bool>(), any::<bool>()), 1..6),
        channel in 0..CHANNELS,
        encodings in prop::collection::vec(0..ENCODINGS, 1..3),
        pick in any::<prop::sample::Index>(),
        before in "[a-z0-9 .]{0,10}",
        is_anywhere in any::<bool>(),
    ) {
        let rules: Vec<ReplacementRule> = pairs
            .iter()
            .map(|(fake, real, case_sensitive, is_secret)| ReplacementRule {
                fake: fake.clone(),
                real: Secret::new(real.as_str()),
                direction: if *is_secret { Direction::OneWay { redaction: "***KEY***".into() } } else { Direction::Both },
                case_sensitive: *case_sensitive,
                matching: is_anywhere.then_some(MatchMode::Substring),
                label: None,
                servers: None,
            })
            .collect();
        let Ok(set) = Anonymizer::new(&rules) else { return Ok(()) };
        let real = &pairs[pick.index(pairs.len())].1;
        // Where words count, the value is one.
        let between = if is_anywhere { "" } else { " " };
        let text = encodings.iter().fold(format!("{before}{between}{real}, {before}"), |text, how| encode(&text, *how));
        let Ok(concealed) = set.conceal(Real::from_server(json::serialize_raw(&message(channel, &text)))) else {
            return Ok(());
        };
        let shown: Value = serde_json::from_str(concealed.get().get()).expect("JSON");
        let mut all = Vec::new();
        readings(&shown, &mut all);
        for reading in all {
            prop_assert!(!reading.contains(real.as_str()), "{text} became {}", concealed.get());
        }
    }
}

/// A sweep in which every message is withheld would show nothing.
#[test]
fn most_messages_are_concealed_and_not_withheld() {
    let rule = ReplacementRule {
        fake: "Jane Doe".into(),
        real: Secret::new("José Núñez"),
        direction: Direction::Both,
        case_sensitive: true,
        matching: None,
        label: None,
        servers: None,
    };
    let set = Anonymizer::new(&[rule]).expect("one rule");
    let conceal = |channel: usize, how: usize| {
        let message = message(channel, &encode("by José Núñez", how));
        set.conceal(Real::from_server(json::serialize_raw(&message))).ok()
    };
    let conceal = &conceal;
    let shown: Vec<String> = (0..CHANNELS)
        .flat_map(|channel| (0..ENCODINGS).filter_map(move |how| conceal(channel, how)))
        .map(|shown| shown.get().get().to_owned())
        .collect();
    assert!(shown.len() * 2 > CHANNELS * ENCODINGS, "{} messages left", shown.len());
    assert!(shown.iter().filter(|shown| shown.contains("ane")).count() * 3 > shown.len(), "{shown:#?}");
}

/// The seeds of the fuzz target `encodings`, which only a nightly compiler runs.
#[test]
fn the_seeds_of_the_fuzz_target_show_no_value() {
    let rules =
        [("Jane Doe", "José O'Neil"), ("Ida Smith", "Weißmann & Co")].map(|(fake, real)| ReplacementRule {
            fake: fake.into(),
            real: Secret::new(real),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: None,
        });
    let set = Anonymizer::new(&rules).expect("rules that go together");
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/encodings");
    let mut touched = 0;
    for seed in std::fs::read_dir(seeds).expect("the seeds") {
        let text = std::fs::read_to_string(seed.expect("a seed").path()).expect("text");
        let Ok(concealed) = set.conceal(Real::from_server(json::serialize_raw(&text))) else {
            touched += 1;
            continue;
        };
        let shown: Value = serde_json::from_str(concealed.get().get()).expect("JSON");
        touched += usize::from(shown.as_str() != Some(text.as_str()));
        let mut all = Vec::new();
        readings(&shown, &mut all);
        assert!(all.iter().all(|reading| !reading.contains("José O'Neil")), "{text}");
    }
    assert!(touched > 6, "{touched} seeds hold a value that is found");
}
