//! The guarantees N1 to N7, by table and by property.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::json::parse_raw;

fn rule(fake: &str, real: &str) -> ReplacementRule {
    ReplacementRule {
        fake: fake.into(),
        real: Secret::new(real),
        direction: Direction::Both,
        case_sensitive: true,
        label: None,
        servers: None,
    }
}

fn any_case(fake: &str, real: &str) -> ReplacementRule {
    ReplacementRule { case_sensitive: false, ..rule(fake, real) }
}

fn one_way(fake: &str, real: &str, redaction: &str) -> ReplacementRule {
    ReplacementRule { direction: Direction::OneWay { redaction: redaction.into() }, ..rule(fake, real) }
}

fn injected(real: &str) -> ReplacementRule {
    ReplacementRule { direction: Direction::Injected, ..rule("", real) }
}

fn anonymizer_with(rules: &[ReplacementRule]) -> Anonymizer {
    Anonymizer::new(rules).unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
}

fn json(text: &str) -> RawJson {
    parse_raw(text.to_owned()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn conceal(set: &Anonymizer, text: &str) -> String {
    set.conceal(Real::from_server(json(text)))
        .unwrap_or_else(|_| panic!("withheld: {text}"))
        .get()
        .get()
        .to_owned()
}

fn reveal(set: &Anonymizer, text: &str) -> String {
    reveal_to(set, "mail", text)
}

fn reveal_to(set: &Anonymizer, server: &str, text: &str) -> String {
    let server = server.parse().expect("a name");
    set.reveal(&server, &Fake::concealed(json(text))).expose().get().to_owned()
}

fn sample_anonymizer() -> Anonymizer {
    anonymizer_with(&[
        rule("Jane Doe", "José Müller"),
        rule("jane@example.com", "jose@corp.test"),
        rule("5550001111", "4155550100"),
        rule("ID-ABC", "987654321"),
        rule("CORP2\\jdoe", "CORP1\\jmuel"),
        rule("the \"Doe\" house", "the \"Müller\" home"),
        rule("Q", "unused value").with_fake("Q-Street"),
        one_way("fake-api-key-1", "sk-live-12345", "***API-KEY***"),
        injected("ghp_injectedsecret"),
    ])
}

impl ReplacementRule {
    fn with_fake(mut self, fake: &str) -> Self {
        self.fake = fake.into();
        self
    }
}

#[test]
fn every_content_type_is_concealed_and_keeps_its_shape() {
    let table = [
        (
            r#"{"content":[{"type":"text","text":"Hi José Müller"}]}"#,
            r#"{"content":[{"type":"text","text":"Hi Jane Doe"}]}"#,
        ),
        (
            r#"{"structuredContent":{"who":"José Müller" , "n":1.10}}"#,
            r#"{"structuredContent":{"who":"Jane Doe" , "n":1.10}}"#,
        ),
        (r#"{"José Müller":{"jose@corp.test":[]}}"#, r#"{"Jane Doe":{"jane@example.com":[]}}"#),
        (r#"{"phone":4155550100}"#, r#"{"phone":5550001111}"#),
        (r#"{"phone":14155550100.0}"#, r#"{"phone":15550001111.0}"#),
        (r#"[987654321,-9876543210]"#, r#"["ID-ABC","-ID-ABC0"]"#),
        (r#"{"uri":"mail://x/Jos%C3%A9%20M%c3%bcller"}"#, r#"{"uri":"mail://x/Jane%20Doe"}"#),
        (r#"{"uri":"/find?q=Jos%C3%A9+M%C3%BCller&n=2"}"#, r#"{"uri":"/find?q=%4Aane+Doe&n=2"}"#),
        (r#"{"uri":"mailto:jose%40corp.test"}"#, r#"{"uri":"mailto:jane%40example.com"}"#),
        (
            r#"{"code":-32000,"message":"no user jose@corp.test"}"#,
            r#"{"code":-32000,"message":"no user jane@example.com"}"#,
        ),
        (
            r#"{"enum":["jose@corp.test","b"],"default":"José Müller"}"#,
            r#"{"enum":["jane@example.com","b"],"default":"Jane Doe"}"#,
        ),
        (r#"{"text":"Jos\u00e9 M\u00FCller\n\u00e9"}"#, r#"{"text":"Jane Doe\n\u00e9"}"#),
        (r#"{"text":"{\"who\":\"Jos\\u00e9 M\\u00fcller\"}"}"#, r#"{"text":"{\"who\":\"Jane Doe\"}"}"#),
        (
            r#"{"text":"{\"j\":\"{\\\"who\\\":\\\"José M\\\\u00fcller\\\"}\"}"}"#,
            r#"{"text":"{\"j\":\"{\\\"who\\\":\\\"Jane Doe\\\"}\"}"}"#,
        ),
        (r#"{"text":"CORP1\\jmuel and CORP1\\\\jmuel"}"#, r#"{"text":"CORP2\\jdoe and CORP2\\\\jdoe"}"#),
        (r#"{"text":"the \"M\u00fcller\" home"}"#, r#"{"text":"the \"Doe\" house"}"#),
        (r#"{"env":"ghp_injectedsecret sk-live-12345"}"#, r#"{"env":"***REDACTED*** ***API-KEY***"}"#),
        ("\"\\u006aose@corp.test\"", "\"jane@example.com\""),
        (" [ \"a\" , true ] ", "[ \"a\" , true ]"),
    ];
    let set = sample_anonymizer();
    for (real, fake) in table {
        let concealed = conceal(&set, real);
        assert_eq!(concealed, fake);
        assert_eq!(conceal(&set, &concealed), concealed, "twice");
    }
}

#[test]
fn what_looks_like_a_value_is_left_alone() {
    let set = anonymizer_with(&[
        rule("Max", "nick"),
        rule("One Two", "1, 2"),
        rule("Sep", "\",\""),
        rule("Als", "als"),
        rule("Zed", "9xyz"),
    ]);
    for same in [r#"{"a":"\nick"}"#, "[1, 2]", r#"["a","b"]"#, "[false]", r#"["\u00e9xyz"]"#] {
        assert_eq!(conceal(&set, same), same);
    }
    assert_eq!(conceal(&set, r#"["x\\nick"]"#), r#"["x\\Max"]"#);
    assert_eq!(conceal(&set, r#"["\",\""]"#), r#"["Sep"]"#);
}

#[test]
fn untouched_bytes_survive_exactly() {
    let set = sample_anonymizer();
    let message = "{\"b\" :1.10,\t\"a\":12345678901234567890123456789012345678901,\"s\":\"\\/\\u0041\\ud83d\\ude00 \\\"\",\r\n\"e\":1E+05,\"x\":\"José Müller\",\"a\":null}";
    assert_eq!(conceal(&set, message), message.replace("José Müller", "Jane Doe"));
    assert_eq!(reveal(&set, &conceal(&set, message)), message);
}

#[test]
fn a_fake_is_revealed_in_the_spelling_in_which_it_stands() {
    let set = sample_anonymizer();
    let table = [
        (r#"{"to":"Jane Doe"}"#, r#"{"to":"José Müller"}"#),
        (r#"{"Jane Doe":5550001111}"#, r#"{"José Müller":4155550100}"#),
        (r#"{"u":"https://x/?q=Jane%20Doe"}"#, r#"{"u":"https://x/?q=Jos%C3%A9%20M%C3%BCller"}"#),
        (r#"{"k":"fake-api-key-1"}"#, r#"{"k":"sk-live-12345"}"#),
        (r#"{"t":"{\"d\":\"CORP2\\\\jdoe\"}"}"#, r#"{"t":"{\"d\":\"CORP1\\\\jmuel\"}"}"#),
        (r#"{"t":"the \"Doe\" house"}"#, r#"{"t":"the \"Müller\" home"}"#),
        (r#"{"t":"***REDACTED*** ***API-KEY***"}"#, r#"{"t":"***REDACTED*** ***API-KEY***"}"#),
    ];
    for (fake, real) in table {
        assert_eq!(reveal(&set, fake), real);
    }
}

#[test]
fn a_value_in_an_encoded_form_makes_the_round_trip() {
    let set = anonymizer_with(&[rule("Max", "O\"Neil & José"), rule("Moritz", "a b/c")]);
    for message in [
        r#"["O\"Neil & José"]"#,
        r#"["{\"n\":\"O\\\"Neil & Jos\\u00e9\"}"]"#,
        r#"["{\"n\":\"{\\\"m\\\":\\\"O\\\\\\\"Neil & José\\\"}\"}"]"#,
        r#"["?q=O%22Neil%20%26%20Jos%C3%A9&x"]"#,
        r#"["?q=O%22Neil%20%26%20Jos%c3%a9&x"]"#,
        r#"["?q=a%20b%2Fc"]"#,
    ] {
        let concealed = conceal(&set, message);
        assert!(!concealed.contains("Neil") && !concealed.contains("b%2F"), "{concealed}");
        assert_eq!(reveal(&set, &concealed), message, "{concealed}");
    }
}

#[test]
fn a_value_is_revealed_only_where_its_rule_says() {
    let mail = vec!["mail".parse().expect("a name")];
    let scoped = ReplacementRule { servers: Some(mail), ..rule("Jane Doe", "José Müller") };
    let set = anonymizer_with(&[scoped, rule("Max Muster", "Moritz X")]);
    let message = r#"["Jane Doe","Max Muster"]"#;
    assert_eq!(reveal_to(&set, "mail", message), r#"["José Müller","Moritz X"]"#);
    assert_eq!(reveal_to(&set, "web", message), r#"["Jane Doe","Moritz X"]"#);
    assert_eq!(conceal(&set, r#""José Müller""#), r#""Jane Doe""#);
}

#[test]
fn case_is_carried_over_where_it_does_not_count() {
    let set = anonymizer_with(&[any_case("Zoë Smith", "José Müller")]);
    for (real, fake) in
        [("José Müller", "Zoë Smith"), ("JOSÉ MÜLLER", "ZOË SMITH"), ("josé müller", "zoë smith")]
    {
        let (real, fake) = (format!("\"x {real}!\""), format!("\"x {fake}!\""));
        assert_eq!(conceal(&set, &real), fake);
        assert_eq!(reveal(&set, &fake), real);
    }
    assert_eq!(conceal(&set, r#""jOS\u00c9 mÜLLER""#), r#""Zo\u00eb Smith""#);
}

#[test]
fn a_rule_wins_over_an_injected_secret() {
    let rules =
        [injected("SK-123456"), injected("sk-123456"), any_case("fake-key", "sk-123456"), injected("1")];
    let set = anonymizer_with(&rules);
    assert_eq!(conceal(&set, r#"["sk-123456","SK-123456",1]"#), r#"["fake-key","FAKE-KEY",1]"#);
}

#[test]
fn a_longer_real_value_wins() {
    let set = anonymizer_with(&[
        rule("Jane", "Maria"),
        rule("Jill Doe", "Maria Muster"),
        rule("Zed", "ria Muster x"),
    ]);
    assert_eq!(conceal(&set, r#""Maria Muster x Maria""#), r#""Jill Doe x Jane""#);
}

#[test]
fn what_arises_at_a_join_is_withheld() {
    let withheld = |rules: &[ReplacementRule], text: &str| {
        assert!(anonymizer_with(rules).conceal_local(json(text)).is_err(), "{text}");
    };
    // A real value out of a replacement and the text behind it.
    withheld(&[rule("Jane Dorset", "Maria"), rule("Jill", "trunk-key")], r#""Mariarunk-key""#);
    // A fake out of the text before a replacement and the replacement.
    withheld(&[rule("ohannes", "Maria"), rule("x-files-o", "Erika")], r#""x-files-Maria""#);
}

#[test]
fn a_spelling_that_no_writer_writes_is_withheld() {
    let set = anonymizer_with(&[rule("Jane Doe", "\"a\" b c")]);
    for uneven in [r#"["\"a\\\" b c"]"#, r#"["%22a%22%20b c"]"#] {
        assert!(set.conceal_local(json(uneven)).is_err(), "{uneven}");
    }
}

#[test]
fn more_layers_than_anyone_writes_are_withheld() {
    let deep = format!("\"\\{}u0041\"", "u005c".repeat(40));
    assert!(sample_anonymizer().conceal_local(json(&deep)).is_err());
}

#[test]
fn deep_nesting_needs_no_stack() {
    let deep = format!("{}\"José Müller\"{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = json::raw_unchecked(deep);
    let concealed = sample_anonymizer().conceal(Real::from_server(deep)).expect("no leak");
    assert!(concealed.get().get().contains("[\"Jane Doe\"]"));
}

#[test]
fn plain_text_is_concealed_too() {
    let set = sample_anonymizer();
    assert_eq!(set.conceal_text("err: José Müller\n\"C:\\x\"").get(), "err: Jane Doe\n\"C:\\x\"");
    assert_eq!(set.conceal_text("GET /?q=Jos%C3%A9%20M%C3%BCller").get(), "GET /?q=Jane%20Doe");
    assert_eq!(Anonymizer::empty().conceal_text("José").get(), "José");
}

#[test]
fn the_identity_tells_labels_and_fakes() {
    let set = anonymizer_with(&[
        ReplacementRule { label: Some("name".into()), ..rule("Jane Doe", "José") },
        rule("x-y", "abc"),
    ]);
    assert_eq!(set.identity().collect::<Vec<_>>(), [("name", "Jane Doe")]);
}

#[test]
fn an_anonymizer_does_not_print_its_values() {
    let printed = format!("{:?}", sample_anonymizer());
    assert!(!printed.contains("Müller") && !printed.contains("Doe"), "{printed}");
}

/// What the first pass must come to, written as plainly as can be: parse, walk, replace in each text.
fn conceal_naively(rules: &[(String, String)], value: &Value) -> Value {
    let text = |text: &str| -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let longest =
                rules.iter().filter(|(from, _)| rest.starts_with(from)).max_by_key(|(from, _)| from.len());
            match longest {
                Some((from, to)) => {
                    out.push_str(to);
                    rest = &rest[from.len()..];
                }
                None => {
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        out
    };
    match value {
        Value::String(string) => text(string).into(),
        Value::Array(items) => items.iter().map(|item| conceal_naively(rules, item)).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, item)| (text(key), conceal_naively(rules, item))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Values whose characters need every kind of care, and texts that are full of them.
fn any_values() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[A-F\"é]{4,10}", "[u-z\\\\\"ü\n 0-3]{3,9}"), 1..7)
        .prop_map(|pairs| pairs.into_iter().filter(|(_, real)| !real.trim().is_empty()).collect())
}

fn any_text(values: Vec<String>) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(values),
        2 => "[u-zü\\\\\"/\n 0-3%]{0,6}",
        1 => "[ghA-Cé\\\\.]{0,4}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Writes a JSON string, with some characters escaped that needn't be.
fn write_escaped(text: &str, escaped: &[bool]) -> String {
    let mut out = String::from("\"");
    for (c, escape) in text.chars().zip(escaped.iter().chain(std::iter::repeat(&false))) {
        if *escape {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            let one = serde_json::to_string(&c).expect("a character");
            out.push_str(&one[1..one.len() - 1]);
        }
    }
    out + "\""
}

type RoundTripCase = (Vec<(String, String)>, String, String, Vec<bool>);

fn any_case_of_values() -> impl Strategy<Value = RoundTripCase> {
    any_values().prop_filter("a rule", |values| !values.is_empty()).prop_flat_map(|values| {
        let reals: Vec<String> = values.iter().map(|(_, real)| real.clone()).collect();
        let fakes: Vec<String> = values.iter().map(|(fake, _)| fake.clone()).collect();
        (
            Just(values),
            any_text(reals),
            any_text(fakes),
            prop::collection::vec(prop::bool::weighted(0.2), 0..30),
        )
    })
}

fn rules_of(values: &[(String, String)]) -> Vec<ReplacementRule> {
    values.iter().map(|(fake, real)| rule(fake, real)).collect()
}

/// A set that holds together. Sets that do not, and messages that are withheld, count as rejected, so that a
/// test which hardly ever gets as far as its claim fails.
fn proven(rules: &[ReplacementRule]) -> Result<Anonymizer, TestCaseError> {
    Anonymizer::new(rules).map_err(|_| TestCaseError::reject("the rules do not hold together"))
}

fn withheld(_: Leak) -> TestCaseError {
    TestCaseError::reject("the message is withheld")
}

fn json_text(json: &RawJson) -> String {
    serde_json::from_str(json.get()).expect("a string")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_global_rejects: 12_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leaks_and_the_round_trip_is_exact((values, text, _, escaped) in any_case_of_values()) {
        let set = proven(&rules_of(&values))?;
        let raw = json(&write_escaped(&text, &escaped));
        let concealed = set.conceal_local(raw).map_err(withheld)?;
        let seen = json_text(concealed.get());
        for (_, real) in &values {
            prop_assert!(!seen.contains(real.as_str()), "N1: {seen:?} holds {real:?}");
        }
        prop_assert_eq!(set.conceal_local(concealed.get().clone()).map(|again| json_text(again.get())), Ok(seen.clone()), "N3");
        if !values.iter().any(|(fake, _)| text.contains(fake.as_str())) {
            let back = set.reveal(&"x".parse().expect("a name"), &concealed);
            prop_assert_eq!(json_text(back.expose()), text, "N2 through {:?}", seen);
        }
    }

    #[test]
    fn plain_texts_come_out_as_the_naive_walk_has_them((values, text, fakes, escaped) in any_case_of_values()) {
        let set = proven(&rules_of(&values))?;
        prop_assume!(!text.contains(['\\', '%']) && values.iter().all(|(_, real)| !real.contains('\\')));
        let message = format!("{{{}:[1,{}]}}", write_escaped(&text, &escaped), write_escaped(&fakes, &escaped));
        let value: Value = serde_json::from_str(&message).expect("JSON");
        let forth: Vec<_> = values.iter().map(|(fake, real)| (real.clone(), fake.clone())).collect();
        let concealed = set.conceal_local(json(&message)).map_err(withheld)?;
        let concealed: Value = serde_json::from_str(concealed.get().get()).expect("JSON");
        prop_assert_eq!(concealed, conceal_naively(&forth, &value));
    }

    #[test]
    fn what_is_revealed_is_concealed_again((values, _, text, escaped) in any_case_of_values()) {
        let set = proven(&rules_of(&values))?;
        prop_assume!(!values.iter().any(|(_, real)| text.contains(real.as_str())));
        let fake = Fake::concealed(json(&write_escaped(&text, &escaped)));
        let revealed = set.reveal(&"x".parse().expect("a name"), &fake);
        let seen = json_text(revealed.expose());
        // Overlaps of one real value with the next, or with the text around, are outside the promise.
        let overlap = (0..seen.len()).filter(|at| seen.is_char_boundary(*at)).map(|at| values.iter().filter(|(_, real)| seen[at..].starts_with(real.as_str())).count()).sum::<usize>();
        let written_ones: usize = {
            let back: Vec<_> = values.clone();
            let mut count = 0;
            let mut rest = text.as_str();
            while let Some(c) = rest.chars().next() {
                match back.iter().find(|(fake, _)| rest.starts_with(fake.as_str())) {
                    Some((fake, _)) => { count += 1; rest = &rest[fake.len()..]; }
                    None => rest = &rest[c.len_utf8()..],
                }
            }
            count
        };
        prop_assume!(overlap == written_ones);
        let again = set.conceal(revealed).map_err(withheld)?;
        prop_assert_eq!(json_text(again.get()), text);
    }

    #[test]
    fn the_order_of_rules_changes_nothing((values, text, _, escaped) in any_case_of_values()) {
        let rules = rules_of(&values);
        let turned: Vec<ReplacementRule> = rules.iter().rev().cloned().collect();
        prop_assert_eq!(Anonymizer::new(&rules).is_ok(), Anonymizer::new(&turned).is_ok());
        let (one, two) = (proven(&rules)?, proven(&turned)?);
        let raw = json(&write_escaped(&text, &escaped));
        let concealed = |set: &Anonymizer| set.conceal_local(raw.clone()).map(|json| json.get().get().to_owned());
        prop_assert_eq!(concealed(&one), concealed(&two));
    }

    #[test]
    fn the_second_look_finds_what_the_first_pass_would((values, text, _, escaped) in any_case_of_values(), layers in 1..4) {
        let set = proven(&rules_of(&values))?;
        let mut message = write_escaped(&text, &escaped);
        for _ in 1..layers {
            message = serde_json::to_string(&message).expect("a text");
        }
        let holds = values.iter().any(|(_, real)| text.contains(real.as_str()));
        if holds {
            prop_assert!(set.leak_scan.contains_value(&message), "{message}");
            prop_assert!(!matches!(set.conceal.rewrite(&message, |_| true), RewriteOutcome::Unchanged), "{message}");
        }
        // In a deeper layer a quote that ends a text is also taken for one of a value: withheld for nothing, at worst.
        let quoted = values.iter().any(|(_, real)| real.contains('"'));
        if !quoted && !text.contains(['\\', '%']) && set.leak_scan.contains_value(&message) {
            prop_assert!(!matches!(set.conceal.rewrite(&message, |_| true), RewriteOutcome::Unchanged), "{message}");
        }
    }
}
