//! The guarantees N1 to N7, by table and by property.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;

use super::escape::DecodedText;
use super::rewrite::RewriteOutcome;
use super::*;
use crate::json::parse_raw;

fn rule(fake: &str, real: &str) -> ReplacementRule {
    ReplacementRule {
        fake: fake.into(),
        real: Secret::new(real),
        direction: Direction::Both,
        case_sensitive: true,
        matching: None,
        label: None,
        servers: None,
    }
}

/// Found anywhere, also within a word.
fn anywhere(fake: &str, real: &str) -> ReplacementRule {
    ReplacementRule { matching: Some(MatchMode::Substring), ..rule(fake, real) }
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
    withheld(&[anywhere("Jane Dorset", "Maria"), rule("Jill", "trunk-key")], r#""Mariarunk-key""#);
    // A fake out of the text before a replacement and the replacement.
    withheld(&[anywhere("ohannes", "Maria"), anywhere("x-files-o", "Erika")], r#""x-files-Maria""#);
}

#[test]
fn a_fake_of_two_bytes_is_revealed_everywhere() {
    let set = anonymizer_with(&[rule("Qx", "Maximilian")]);
    for text in ["signed: Qx\nQx,\nby Qx ok", "Qx", "(Qx)", "Qx."] {
        let concealed = json::serialize_raw(text).get().to_owned();
        let real = json::serialize_raw(&text.replace("Qx", "Maximilian")).get().to_owned();
        assert_eq!(reveal(&set, &concealed), real);
        assert_eq!(conceal(&set, &real), concealed);
    }
}

#[test]
fn a_fake_that_begins_with_a_digit_is_revealed_whole_where_it_is_escaped() {
    let table = [
        ("12 Elm Street", "Calle de Alcalá 45", r#""?q=Calle+de+Alcal%C3%A1+45""#),
        ("12 Elm Street", "Calle de Alcalá 45", r#""?q=Calle%20de%20Alcal%C3%A1%2045""#),
        ("1001", "Müller", r#""M%C3%BCller""#),
        ("1111", "Müller", r#""M%C3%BCller%20M%C3%BCller1""#),
        ("3M Corp", "Müller GmbH", r#""a=M%C3%BCller%20GmbH""#),
        ("555000111", "José Núñez", r#""Jos%C3%A9%20N%C3%BA%C3%B1ez""#),
        ("10011", "M\"üller", r#""{\"n\":\"M\\\"\\u00fcller\\n\"}""#),
        ("10011", "M\"üller", r#""{\"n\":\"M\\\"üller\\n\"}""#),
    ];
    for (fake, real, message) in table {
        let set = anonymizer_with(&[anywhere(fake, real)]);
        let concealed = conceal(&set, message);
        assert!(!concealed.contains("ller") && !concealed.contains("Calle"), "{concealed}");
        assert_eq!(reveal(&set, &concealed), message, "{concealed}");
    }
}

#[test]
fn what_would_be_revealed_elsewhere_is_withheld_in_every_spelling() {
    // The fake begins as it ends, so a character of it before the value would move it.
    let set = anonymizer_with(&[anywhere("éééé", "Maria")]);
    for moved in [r#""éMaria""#, r#""\u00e9Maria""#] {
        assert!(set.conceal_local(json(moved)).is_err(), "{moved}");
    }
    assert_eq!(conceal(&set, r#""e Maria""#), r#""e éééé""#);
    // A redaction isn't revealed, so no fake may reach into it.
    let set = anonymizer_with(&[one_way("fake-key", "sk-123456", "***KEY***"), anywhere("x***", "Maria")]);
    assert!(set.conceal_local(json(r#""x\u0078sk-123456""#)).is_err());
    assert_eq!(conceal(&set, r#""y sk-123456""#), r#""y ***KEY***""#);
}

#[test]
fn a_value_that_may_not_be_revealed_still_has_its_place() {
    let scoped = ReplacementRule { servers: Some(Vec::new()), ..rule("Jane Dox", "Maria") };
    let set = anonymizer_with(&[scoped, rule("xylo", "Erika")]);
    assert_eq!(reveal(&set, r#""Jane Doxylo""#), r#""Jane Doxylo""#);
    assert_eq!(reveal(&set, r#""xylo""#), r#""Erika""#);
}

#[test]
fn values_in_one_number_are_revealed_one_by_one() {
    let set = anonymizer_with(&[rule("5550001111", "4155550100"), rule("ID-ABC", "987654321")]);
    for (real, fake) in [
        ("[41555501004155550100]", "[55500011115550001111]"),
        ("[9876543214155550100]", r#"["ID-ABC5550001111"]"#),
    ] {
        assert_eq!(conceal(&set, real), fake);
    }
}

#[test]
fn a_value_in_another_form_of_unicode_is_concealed() {
    let set = anonymizer_with(&[
        rule("Jane Doe", "José Núñez"),
        any_case("Max Mox", "Jörg Weißmann"),
        any_case("Zoe", "İnci"),
        rule("Kim", "山田"),
    ]);
    let table = [
        ("Jose\u{301} Nu\u{301}n\u{303}ez!", "Jane Doe!"),
        ("to Jose\u{301} Núñez", "to Jane Doe"),
        ("José\u{A0}Núñez", "Jane Doe"),
        ("José\u{2009}Núñez", "Jane Doe"),
        ("Jo\u{AD}sé N\u{200B}úñez.", "Jane Doe."),
        ("Ｊｏｓé　Ｎúñｅｚ", "Jane Doe"),
        ("JÖRG WEISSMANN", "MAX MOX"),
        ("Jo\u{308}rg Weissmann", "Max Mox"),
        ("JÖRG WEIẞMANN", "Max Mox"),
        ("inci, INCI, İnci, İNCİ, I\u{307}nci, ıncı", "zoe, ZOE, Zoe, Zoe, Zoe, Zoe"),
        ("山\u{200B}田", "Kim"),
    ];
    for (real, fake) in table {
        for real in [json::serialize_raw(real).get().to_owned(), write_escaped(real, &[true; 40])] {
            let concealed = conceal(&set, &real);
            let seen: String = serde_json::from_str(&concealed).expect("a string");
            assert_eq!(seen.to_lowercase(), fake.to_lowercase(), "{real}");
        }
        let nested = json::serialize_raw(json::serialize_raw(real).get()).get().to_owned();
        assert!(conceal(&set, &nested).to_lowercase().contains(&fake.to_lowercase()[..3]), "{nested}");
    }
    // A fake in such a form is revealed as well.
    assert_eq!(reveal(&set, "\"Jane\u{A0}Doe\""), "\"José Núñez\"");
    // What only has odd characters beside it keeps them.
    for same in ["\u{AD}x\u{A0}…", "e\u{301} ß ﬁ"] {
        let same = json::serialize_raw(same).get().to_owned();
        assert_eq!(conceal(&set, &same), same);
    }
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
fn an_excerpt_is_cut_after_it_is_concealed_wherever_the_cut_falls() {
    let (real, fake) = ("María Musterfrau", "Jane Roe");
    let set = anonymizer_with(&[rule(fake, real)]);
    let text = format!("no such account: {real}, ask an administrator");
    let shown = format!("no such account: {fake}, ask an administrator");
    for max_chars in 0..=shown.chars().count() {
        let excerpt = set.conceal_excerpt(&text, max_chars).into_inner();
        let begin: String = shown.chars().take(max_chars).collect();
        let is_whole = max_chars == shown.chars().count();
        assert_eq!(excerpt, if is_whole { begin } else { format!("{begin}…") });
    }
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

/// Whether no letter or digit goes on beside a value in a plain text. What begins or ends in another character needs none.
fn is_word(text: &str, at: usize, value: &str) -> bool {
    let joins = |one: Option<char>, two: Option<char>| {
        one.is_some_and(char::is_alphanumeric) && two.is_some_and(char::is_alphanumeric)
    };
    !joins(text[..at].chars().next_back(), value.chars().next())
        && !joins(value.chars().next_back(), text[at + value.len()..].chars().next())
}

/// Whether a plain text holds a value where that counts.
fn holds(text: &str, value: &str, mode: MatchMode) -> bool {
    let places = text.char_indices().map(|(at, _)| at).filter(|at| text[*at..].starts_with(value));
    places.into_iter().any(|at| mode == MatchMode::Substring || is_word(text, at, value))
}

#[test]
fn words_of_the_protocol_stay_whatever_a_rule_says() {
    let set = anonymizer_with(&[
        rule("Zed", "text"),
        rule("Yve", "name"),
        any_case("Xan", "Annotations"),
        rule("Wim", "user"),
        anywhere("Vico", "con"),
        rule("Uli", "required"),
        rule("title", "Maria Muster"),
    ]);
    let table = [
        (
            r#"{"content":[{"type":"text","text":"my text, user","annotations":{"audience":["user"]}}]}"#,
            r#"{"content":[{"type":"text","text":"my Zed, Wim","annotations":{"audience":["user"]}}]}"#,
        ),
        (
            r#"{"tools":[{"name":"send","inputSchema":{"type":"object","properties":{"name":{"type":"string","description":"the name"},"user":{"const":"user"}},"required":["name","user"]}}]}"#,
            r#"{"tools":[{"name":"send","inputSchema":{"type":"object","properties":{"name":{"type":"string","description":"the Yve"},"Wim":{"const":"Wim"}},"required":["name","Wim"]}}]}"#,
        ),
        (
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"{\"type\":\"text\"}"}}]}"#,
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"{\"type\":\"Zed\"}"}}]}"#,
        ),
        (
            r#"{"structuredContent":{"type":"user","kind":"text"}}"#,
            r#"{"structuredContent":{"type":"Wim","kind":"Zed"}}"#,
        ),
        (r#"{"title":"from Maria Muster"}"#, r#"{"title":"from title"}"#),
    ];
    for (real, fake) in table {
        assert_eq!(conceal(&set, real), fake);
        assert_eq!(reveal(&set, fake), real);
    }
    // Its fake would be a word of the protocol, which isn't revealed.
    assert!(set.conceal_local(json(r#"{"Maria Muster":1}"#)).is_err());
}

#[test]
fn two_keys_of_an_object_never_become_one() {
    let set =
        anonymizer_with(&[rule("Jane Doe", "José Núñez"), any_case("zoe@example.com", "ann@corp.test")]);
    for merged in [
        r#"{"José Núñez":1,"Jane Doe":2}"#,
        r#"[{"a":{"Jane Doe":2, "b":[], "José N\u00fa\u00f1ez":1}}]"#,
        r#"{"Jos&eacute; N&uacute;&ntilde;ez":1,"&#074;ane Doe":2}"#,
        r#"{"Ann@corp.test":1,"ann@corp.test":2}"#,
    ] {
        let leak = set.conceal_local(json(merged)).expect_err("withheld");
        assert!(leak.merges_keys() && leak.to_string().contains("would become one"), "{merged}: {leak}");
    }
    for apart in [
        r#"{"José Núñez":1,"x":{"Jane Doe":2}}"#,
        r#"{"José Núñez":1,"José":2}"#,
        r#"{"a":"José Núñez","b":"Jane Doe","Jane Doe":1}"#,
        r#"{"ann@corp.test":1,"ANN@CORP.TEST":2}"#,
    ] {
        assert!(set.conceal_local(json(apart)).is_ok(), "{apart}");
    }
    let merges =
        |text: &str| set.reveals_merged_keys(&"mail".parse().expect("a name"), &Fake::concealed(json(text)));
    assert!(merges(r#"{"to":{"Zoe@example.com":1,"zoE@example.com":2}}"#));
    for apart in [r#"{"zoe@example.com":1,"ZOE@EXAMPLE.COM":2}"#, r#"["zoe@example.com","Zoe@example.com"]"#]
    {
        assert!(!merges(apart), "{apart}");
    }
}

/// What the first pass must come to, written as plainly as can be: parse, walk, replace in each text.
fn conceal_naively(rules: &[(String, String, MatchMode)], value: &Value) -> Value {
    let text = |text: &str| -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let here = text.len() - rest.len();
            let counts = |from: &str, mode: MatchMode| {
                rest.starts_with(from) && (mode == MatchMode::Substring || is_word(text, here, from))
            };
            let longest = rules
                .iter()
                .filter(|(from, _, mode)| counts(from, *mode))
                .max_by_key(|(from, ..)| from.len());
            match longest {
                Some((from, to, _)) => {
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

fn rules_of(values: &[(String, String)], matching: Option<MatchMode>) -> Vec<ReplacementRule> {
    values.iter().map(|(fake, real)| ReplacementRule { matching, ..rule(fake, real) }).collect()
}

/// By each value, or one for all.
fn any_matching() -> impl Strategy<Value = Option<MatchMode>> {
    prop::sample::select(vec![None, Some(MatchMode::Substring), Some(MatchMode::Word)])
}

/// A set that holds together. Sets that do not, and messages that are withheld, count as rejected, so that a
/// test which hardly ever gets as far as its claim fails.
fn proven(rules: &[ReplacementRule]) -> Result<Anonymizer, TestCaseError> {
    Anonymizer::new(rules).map_err(|_| TestCaseError::reject("the rules do not hold together"))
}

fn withheld(_: Leak) -> TestCaseError {
    TestCaseError::reject("the message is withheld")
}

/// A text with all its layers of escapes read.
fn peel(text: &str) -> Vec<u8> {
    let mut view = DecodedText::from_json_string(text.as_bytes());
    while let Some(deeper) = view.decode_layer(true) {
        view = deeper;
    }
    view.bytes
}

fn json_text(json: &RawJson) -> String {
    serde_json::from_str(json.get()).expect("a string")
}

/// The same cases in each run, so that a change is judged by itself. `PROPTEST_CASES` asks for others, and for more.
fn property_config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(20_261_201) };
    let cases = asked.unwrap_or(cases);
    let max_global_rejects = cases.saturating_mul(60);
    ProptestConfig { cases, max_global_rejects, rng_seed, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(property_config(400))]

    #[test]
    fn nothing_leaks_and_the_round_trip_is_exact((values, text, _, escaped) in any_case_of_values(), matching in any_matching()) {
        let rules = rules_of(&values, matching);
        let set = proven(&rules)?;
        let raw = json(&write_escaped(&text, &escaped));
        let concealed = set.conceal_local(raw).map_err(withheld)?;
        let seen = json_text(concealed.get());
        for rule in &rules {
            // Beside an escape that the text has by chance a value may be a word or not.
            let mode = rule.match_mode();
            if mode == MatchMode::Substring || !text.contains(['\\', '%']) {
                prop_assert!(!holds(&seen, rule.real.expose(), mode), "N1: {seen:?} holds {rule:?}");
            }
        }
        prop_assert_eq!(set.conceal_local(concealed.get().clone()).map(|again| json_text(again.get())), Ok(seen.clone()), "N3");
        if !values.iter().any(|(fake, _)| text.contains(fake.as_str())) {
            let back = set.reveal(&"x".parse().expect("a name"), &concealed);
            let back = json_text(back.expose());
            // An escape that the text has by chance may come back in another spelling.
            let escaped = text.contains(['\\', '%']);
            prop_assert!(back == text || escaped && peel(&back) == peel(&text), "N2: {text:?} through {seen:?} to {back:?}");
        }
    }

    #[test]
    fn plain_texts_come_out_as_the_naive_walk_has_them((values, text, fakes, escaped) in any_case_of_values(), matching in any_matching()) {
        let rules = rules_of(&values, matching);
        let set = proven(&rules)?;
        prop_assume!(!text.contains(['\\', '%']) && values.iter().all(|(_, real)| !real.contains('\\')));
        let message = format!("{{{}:[1,{}]}}", write_escaped(&text, &escaped), write_escaped(&fakes, &escaped));
        let value: Value = serde_json::from_str(&message).expect("JSON");
        let forth: Vec<_> = rules.iter().map(|rule| (rule.real.expose().to_owned(), rule.fake.clone(), rule.match_mode())).collect();
        let concealed = set.conceal_local(json(&message)).map_err(withheld)?;
        let concealed: Value = serde_json::from_str(concealed.get().get()).expect("JSON");
        prop_assert_eq!(concealed, conceal_naively(&forth, &value));
    }

    #[test]
    fn what_is_revealed_is_concealed_again((values, _, text, escaped) in any_case_of_values(), matching in any_matching()) {
        let rules = rules_of(&values, matching);
        let set = proven(&rules)?;
        // Fakes that end in punctuation may stand beside each other, which words can't.
        let has_same_edges = |rule: &ReplacementRule| {
            let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let [fake, real] = [rule.fake.as_str(), rule.real.expose()]
                .map(|text| [joins(text.chars().next()), joins(text.chars().next_back())]);
            fake == real
        };
        prop_assume!(rules.iter().all(|rule| rule.match_mode() == MatchMode::Substring || has_same_edges(rule)));
        // Known limit: `%3` before a fake whose value begins with a hex digit reads as an escape when it is revealed.
        prop_assume!(!text.contains('%'));
        // A value may also be there with escapes of an inner layer, which the text has by chance.
        let written = json(&write_escaped(&text, &escaped));
        prop_assume!(set.conceal_local(written.clone()).is_ok_and(|same| same.get().get() == written.get()));
        let fake = Fake::concealed(written);
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
    fn the_order_of_rules_changes_nothing((values, text, _, escaped) in any_case_of_values(), matching in any_matching()) {
        let rules = rules_of(&values, matching);
        let turned: Vec<ReplacementRule> = rules.iter().rev().cloned().collect();
        prop_assert_eq!(Anonymizer::new(&rules).is_ok(), Anonymizer::new(&turned).is_ok());
        let (one, two) = (proven(&rules)?, proven(&turned)?);
        let raw = json(&write_escaped(&text, &escaped));
        let concealed = |set: &Anonymizer| set.conceal_local(raw.clone()).map(|json| json.get().get().to_owned());
        prop_assert_eq!(concealed(&one), concealed(&two));
    }

    #[test]
    fn the_second_look_finds_what_the_first_pass_would((values, text, _, escaped) in any_case_of_values(), layers in 1..4, matching in any_matching()) {
        let rules = rules_of(&values, matching);
        let set = proven(&rules)?;
        let mut message = write_escaped(&text, &escaped);
        for _ in 1..layers {
            message = serde_json::to_string(&message).expect("a text");
        }
        let found = |text: &str| rules.iter().any(|rule| holds(text, rule.real.expose(), rule.match_mode()));
        let is_plain = !text.contains(['\\', '%']);
        let is_certain = is_plain || rules.iter().all(|rule| rule.match_mode() == MatchMode::Substring);
        if is_certain && found(&text) {
            prop_assert!(set.leak_scans.all.contains_value(&message), "{message}");
            prop_assert!(!matches!(set.conceal.rewrite(&message, |_| true, |_| true), RewriteOutcome::Unchanged), "{message}");
        }
        // In a deeper layer a quote that ends a text is also taken for one of a value: withheld for nothing, at worst.
        let quoted = values.iter().any(|(_, real)| real.contains('"'));
        if !quoted && is_plain && set.leak_scans.all.contains_value(&message) {
            // To a reader two blanks are as good as one.
            let squeeze = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            let bare = format!(" {text} ");
            prop_assert!(
                rules.iter().any(|rule| {
                    let mode = rule.match_mode();
                    holds(&squeeze(&bare), &squeeze(rule.real.expose()), mode)
                }),
                "{message}"
            );
        }
    }
}

fn given(server: &str, real: &str) -> ReplacementRule {
    ReplacementRule { servers: Some(vec![server.parse().expect("a name")]), ..injected(real) }
}

#[test]
fn an_injected_secret_is_redacted_in_what_its_server_says_and_stays_in_arguments() {
    let set = anonymizer_with(&[
        rule("Jane Doe", "Ada Lovelace"),
        given("db", "pa55-w0rd-of-db"),
        given("git", "ghp_ofGitServer1"),
        injected("of-everybody"),
    ]);
    let text = r#""Ada Lovelace pa55-w0rd-of-db ghp_ofGitServer1 of-everybody""#;
    let from = |server: &str| {
        let server = server.parse().expect("a name");
        set.conceal_from(&server, Real::from_server(json(text)))
            .expect("concealed")
            .into_inner()
            .get()
            .to_owned()
    };
    assert_eq!(from("db"), r#""Jane Doe ***REDACTED*** ghp_ofGitServer1 ***REDACTED***""#);
    assert_eq!(from("git"), r#""Jane Doe pa55-w0rd-of-db ***REDACTED*** ***REDACTED***""#);
    assert_eq!(from("files"), r#""Jane Doe pa55-w0rd-of-db ghp_ofGitServer1 ***REDACTED***""#);
    let arguments = set.conceal_arguments(json(text)).expect("concealed");
    assert_eq!(arguments.get().get(), r#""Jane Doe pa55-w0rd-of-db ghp_ofGitServer1 ***REDACTED***""#);
    assert_eq!(conceal(&set, text), r#""Jane Doe ***REDACTED*** ***REDACTED*** ***REDACTED***""#);
    let server = "db".parse().expect("a name");
    assert_eq!(set.conceal_text_from(&server, "pa55-w0rd-of-db").get(), "***REDACTED***");
    let bare = set.leak_scans.contains_value(text, SecretScope::Agent);
    assert!(bare && !set.leak_scans.contains_value("\"ghp_ofGitServer1\"", SecretScope::Server(&server)));
    assert!(set.leak_scans.contains_value("\"x pa55-w0rd-of-db\"", SecretScope::Server(&server)));
}

#[test]
fn two_servers_with_overlapping_secrets_each_have_their_own_redacted() {
    let set = anonymizer_with(&[
        given("a", "token-of-both"),
        given("b", "token-of-both"),
        given("b", "oken-of-bo"),
    ]);
    for server in ["a", "b"] {
        let server = server.parse().expect("a name");
        assert_eq!(set.conceal_text_from(&server, "x token-of-both y").get(), "x ***REDACTED*** y");
    }
}

#[test]
fn a_secret_of_several_lines_is_redacted_whole_by_line_trimmed_and_in_base64() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ\nAgEAAoIBAQC7v==\n\
               -----END PRIVATE KEY-----\n";
    let one_way = one_way("fake-key", &key.replace("MIIE", "ABCD"), "***PEM***");
    let set = anonymizer_with(&[injected(key), injected(" paddedToken123 "), one_way]);
    let base64 = data_encoding::BASE64.encode(format!("x{key}").as_bytes());
    let indented = key.lines().map(|line| format!("    {line}\n")).collect::<String>();
    for said in [
        key,
        &key.replace('\n', "\r\n"),
        &key.replace('\n', "\\n"),
        &indented,
        &base64,
        key.trim(),
        "a paddedToken123 b",
    ] {
        let shown = set.conceal_text(said).into_inner();
        for piece in
            ["MIIEvQIBADANBgkqhkiG9w0BAQ", "EFAASCBKcwggSjAgEAAoIBAQ", "paddedToken123", &base64[40..60]]
        {
            assert!(!shown.contains(piece), "{said} became {shown}");
        }
        // Of base64 the text is redacted, and encoded again.
        let opened =
            data_encoding::BASE64.decode(shown.as_bytes()).unwrap_or_else(|_| shown.clone().into_bytes());
        let opened = String::from_utf8_lossy(&opened);
        assert!(opened.contains("***REDACTED***"), "a redaction is written plainly: {opened}");
        let logged: Vec<_> = said.lines().map(|line| set.conceal_text(line).into_inner()).collect();
        assert!(!logged.concat().contains("EFAASCBKcwggSjAgEAAoIBAQ"), "{logged:?}");
    }
    assert_eq!(set.conceal_text("log: ABCDvQIBADANBgkqhkiG9w0BAQ").get(), "log: ***PEM***");
    assert_eq!(set.conceal_text("-----BEGIN PRIVATE KEY-----").get(), "-----BEGIN PRIVATE KEY-----");
}

#[test]
fn a_form_of_a_secret_that_a_fake_or_redaction_holds_withholds_nothing() {
    let secret = "first line of a secret\nJane Doe of Dorset\nlast line of a secret";
    let set = anonymizer_with(&[rule("Jane Doe of Dorset", "Ada Lovelace"), injected(secret)]);
    assert_eq!(conceal(&set, r#""by Ada Lovelace""#), r#""by Jane Doe of Dorset""#);
}

fn shown(text: &str, fake: Option<&str>) -> ShownRedaction {
    ShownRedaction { text: text.to_owned(), fake: fake.map(ToOwned::to_owned) }
}

#[test]
fn a_redaction_is_restored_where_the_same_server_showed_one_value_of_one_rule() {
    let scoped = |servers: &[&str], rule: ReplacementRule| {
        let servers = servers.iter().map(|server| server.parse().expect("a name")).collect();
        ReplacementRule { servers: Some(servers), ..rule }
    };
    let set = anonymizer_with(&[
        scoped(&["files"], one_way("fake-api-key-1", "sk-live-12345", "***API-KEY***")),
        scoped(&["files"], one_way("fake-api-key-2", "sk-live-67890", "***API-KEY***")),
        scoped(&["mail"], one_way("fake-token-3", "token-of-mail", "***TOKEN***")),
        one_way("fake-pass-4", "first line of the pass\nsecond line of the pass", "***PASS***"),
        one_way("fake-star-5", "starred-value", "***"),
        given("files", "ghp_injectedsecret"),
    ]);
    let files: ServerName = "files".parse().expect("a name");
    let answer = |text: &str| {
        let mut seen = BTreeSet::new();
        set.conceal_answer(&files, Real::from_server(json(text)), &mut seen).expect("concealed");
        seen
    };
    let restore = |text: &str, seen: &BTreeSet<ShownRedaction>| {
        let arguments = Fake::concealed(json(text));
        let restored = set.restore_redactions(&files, &arguments, seen);
        restored.map(|restored| restored.map(|(json, _)| json.into_inner().get().to_owned()))
    };
    let first = answer(r#"{"text":"KEY=sk-live-12345"}"#);
    assert_eq!(first, [shown("***API-KEY***", Some("fake-api-key-1"))].into());
    let text = r#"{"text":"A=1\nKEY=***API-KEY***","nested":"{\"k\":\"***API-KEY***\"}"}"#;
    let restored = restore(text, &first).expect("it is one value").expect("it holds a redaction");
    assert_eq!(restored, text.replace("***API-KEY***", "fake-api-key-1"));
    assert_eq!(reveal_to(&set, "files", &restored), text.replace("***API-KEY***", "sk-live-12345"));
    assert_eq!(restore(r#"{"text":"nothing **bold** or *** here"}"#, &first), Ok(None));

    let refused = |text: &str, seen: &BTreeSet<ShownRedaction>| restore(text, seen).expect_err("refused").1;
    let key = r#"["***API-KEY***"]"#;
    assert_eq!(refused(key, &BTreeSet::new()), RedactionProblem::NotShown);
    assert_eq!(refused(key, &answer(r#"["sk-live-12345","sk-live-67890"]"#)), RedactionProblem::Ambiguous);
    assert_eq!(
        refused(key, &answer(r#"["sk-live-12345","written as ***API-KEY***"]"#)),
        RedactionProblem::Ambiguous
    );
    // The second key is written as HTML, so the redaction in its place could be taken for that of the first.
    assert_eq!(
        refused(key, &answer(r#"["sk-live-12345","sk&#45;live&#45;67890"]"#)),
        RedactionProblem::Ambiguous
    );
    assert_eq!(refused(r#"["***TOKEN***"]"#, &answer(r#"["token-of-mail"]"#)), RedactionProblem::OutOfScope);
    assert_eq!(
        refused(r#"["***PASS***"]"#, &answer(r#"["second line of the pass"]"#)),
        RedactionProblem::Ambiguous
    );
    assert_eq!(
        refused(r#"["***REDACTED***"]"#, &answer(r#"["ghp_injectedsecret"]"#)),
        RedactionProblem::Ambiguous
    );
    let plain = anonymizer_with(&[rule("Jane", "Maria")]);
    let text = Fake::concealed(json(r#"["***REDACTED***"]"#));
    assert!(
        plain.restore_redactions(&files, &text, &BTreeSet::new()).is_ok_and(|restored| restored.is_none())
    );
}

#[test]
fn a_leak_tells_its_rule_and_not_the_value() {
    let set = anonymizer_with(&[
        anywhere("Jane Dorset", "Maria"),
        ReplacementRule { label: Some("name".to_owned()), ..rule("Jill", "trunk-key") },
        given("git", "ghp_injectedsecret"),
    ]);
    let leak = set.conceal_local(json(r#""Mariarunk-key""#)).expect_err("withheld");
    assert!(
        leak.describe_value().contains("spell together") || leak.describe_value().contains("replacement"),
        "{leak:?}"
    );
    let what = |text: &str| set.describe_leak(text, SecretScope::All).describe_value().to_owned();
    assert_eq!(what(r#""x trunk-key y""#), "the real value of replacement 2 (name)");
    assert_eq!(what(r#""x Maria y""#), "the real value of replacement 1");
    assert_eq!(what(r#""ghp_injectedsecret""#), "a secret of `git`");
}
