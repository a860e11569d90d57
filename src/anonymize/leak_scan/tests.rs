//! What the scan finds, what it leaves alone, and how much it reads.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use proptest::prelude::*;

use super::*;

fn scan_for(values: &[(&str, bool)]) -> LeakScan {
    let terms: Vec<Term> = values.iter().map(|(text, exact)| Term::new(0, text, *exact)).collect();
    LeakScan::new(&terms, std::iter::empty())
}

#[test]
fn a_value_is_found_in_every_spelling() {
    let look = scan_for(&[
        ("José Pérez", true),
        ("a\"b\\c\n", true),
        ("KELVIN", false),
        ("abc", true),
        ("+49 1/2", true),
    ]);
    for json in [
        r#"{"José Pérez":1}"#,
        r#"["Jos\u00e9 P\u00e9rez"]"#,
        r#"["{\"n\":\"Jos\\u00e9 P\\u00e9rez\"}"]"#,
        r#"["a\"b\\c\n"]"#,
        r#"["[\"a\\\"b\\\\c\\n\"]"]"#,
        r#"["?q=Jos%C3%A9%20P%c3%a9rez"]"#,
        r#"["\u004bel\u212Ain","kelvin"]"#,
        r#"["x\u004belvin"]"#,
        "[\"\u{212A}elvin\"]",
        r#"["xxabcx"]"#,
        r#"["+49 1\/2"]"#,
    ] {
        assert!(look.contains_value(json), "{json}");
    }
}

#[test]
fn letters_that_shrink_and_grow_without_case_hide_nothing() {
    let look = scan_for(&[("kelvin", false)]);
    let json = "[\"ȺȺȺȺ\u{212A}elvin\",\"\u{212A}\"]";
    assert_eq!(skeleton(json, true).len(), json.len(), "what grows and what shrinks cancel out");
    assert!(look.contains_value(json));
}

#[test]
fn a_long_text_is_searched_to_its_end() {
    let look = scan_for(&[("Erika Muster", true), ("Berta Block", true)]);
    for place in (0..9_000).step_by(7).chain(8_990..9_000) {
        let mut text = "x".repeat(9_000);
        text.insert_str(place, "Erika Muster");
        assert!(look.contains_value(&format!("\"{text}\"")), "{place}");
    }
    assert!(!look.contains_value(&format!("\"{}\"", "Erika Must".repeat(1_000))));
}

#[test]
fn what_only_looks_like_a_value_is_none() {
    let look =
        scan_for(&[("nick", true), ("als", true), ("1, 2", true), ("\":\"", true), ("9xyz9xyz", true)]);
    for json in
        [r#"{"a":"\nick"}"#, "[false]", "[1, 2]", r#"{"a":"b"}"#, r#"["\u00e9xyz9xyz"]"#, r#"["Nick"]"#]
    {
        assert!(!look.contains_value(json), "{json}");
    }
    assert!(look.contains_value(r#"["x\\nick"]"#));
}

fn as_json(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

fn encode_octets(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { write(byte) })
        .collect()
}

#[test]
fn a_value_is_found_in_every_encoding_of_everyday_tools() {
    let look = scan_for(&[
        ("José O'Neil", true),
        ("İnci Weißmann", false),
        ("the \"big\" one", true),
        ("山田太郎", true),
    ]);
    let value = "José O'Neil";
    let units: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for text in [
        r"Jos\303\251 O'Neil",
        r"Jos\xe9 O'Neil",
        r"Jos\xc3\xa9 O\'Neil",
        r"Jos\u{e9} O\u0027Neil",
        "Jos%u00e9%20O'Neil",
        "q=Jos%C3%A9+O%27Neil",
        "q=Jos%E9+O%27Neil",
        "q=José+O'Neil",
        "Jos&eacute; O&#39;Neil",
        "Jos&#xE9;&nbsp;O&apos;Neil",
        "Jos&amp;eacute; O&amp;#39;Neil",
        "Jos=C3=A9 O=27Ne=\r\nil",
        "Jos=E9_O'Neil".replace('_', " ").as_str(),
        "=?utf-8?Q?Jos=C3=A9_O'Ne?= =?utf-8?Q?il?=",
        &format!("=?UTF-8?B?{}?=", BASE64.encode(value.as_bytes())),
        "José O''Neil",
        "José O’Neil",
        "Jose\u{301} O'Neil",
        "Ｊｏｓé O'Neil",
        "José\u{a0}O'Neil",
        "José  O'Neil",
        "Jo\u{ad}sé O'N\u{200b}eil",
        "a: \u{1b}[01;31m\u{1b}[KJosé\u{1b}[m\u{1b}[K O'Neil",
        r"José\ O\'Neil",
        "INCI WEISSMANN",
        "İNCİ WEIẞMANN",
        "inci weissmann",
        r#"""the ""big"" one"""#,
        "the “big” one",
        "the &quot;big&quot; one",
        "&#23665;&#30000;&#22826;&#37070;",
        r"\u5c71\u7530\u592a\u90ce",
        &format!("x {} y", BASE64.encode(value.as_bytes())),
        &format!("key/{}", BASE64URL_NOPAD.encode(format!("{{\"n\":\"{value}\"}}").as_bytes())),
        &format!("z{}", BASE64.encode(&units)),
        &BASE64.encode(BASE64.encode(value.as_bytes()).as_bytes()),
        &BASE64.encode(br"x Jos\u00e9 O'Neil"),
        &HEXLOWER.encode(value.as_bytes()),
        &encode_octets(value, |byte| format!("%{byte:02X}")),
        &encode_octets(value, |byte| format!("%25{byte:02X}")),
    ] {
        assert!(look.contains_value(&format!("{{\"a\":[{}]}}", as_json(text))), "{text}");
        assert!(
            look.contains_value(&format!("[{}]", as_json(&format!("{{\"t\":{}}}", as_json(text))))),
            "nested: {text}"
        );
    }
}

#[test]
fn encodings_are_undone_in_either_order() {
    let look = scan_for(&[("a/b c", true), ("José Müller", true)]);
    for text in [
        "%a%61%5c%2f%62%20%63",
        r"Jos%5Cu00e9 M%5Cu00fcller",
        r"Jos\u0025C3%A9 M%C3%BCller",
        "Jos%26eacute;%20M&uuml;ller",
        "Jos&#37;C3%A9 M%C3%BCller",
        r"Jos&#92;u00e9 M\u00fcller",
        "Jos=25C3=25A9 M=C3=BCller",
        "Jos=26eacute; M=C3=BCller",
        r"Jos\\075C3\\075A9 M\\075C3\\075BCller",
    ] {
        assert!(look.contains_value(&as_json(text)), "{text}");
    }
}

#[test]
fn a_value_over_the_border_of_text_blocks_is_found() {
    let look = scan_for(&[("María Musterfrau", true)]);
    let blocks = |texts: &[&str]| {
        let blocks: Vec<_> =
            texts.iter().map(|text| serde_json::json!({ "type": "text", "text": text })).collect();
        serde_json::json!({ "content": blocks }).to_string()
    };
    let filler = "some other words. ".repeat(500);
    for (left, right) in [("María Mu", "sterfrau"), ("María", "Musterfrau"), ("Mar", "ía Musterfrau\n")] {
        assert!(
            look.contains_value(&blocks(&[&format!("{filler}{left}"), &format!("{right}{filler}")])),
            "{left}|{right}"
        );
        assert!(look.contains_value(&blocks(&["first", left, right])), "{left}|{right}");
    }
    assert!(look.contains_value(&blocks(&["Mar", "ía M", "usterfrau"])));
    assert!(!look.contains_value(&blocks(&["María", "and Musterfrau"])));
    assert!(!look.contains_value(&blocks(&[&format!("Musterfrau{filler}María"), "x"])));
}

#[test]
fn a_replacement_that_reads_like_a_value_is_no_leak() {
    let terms = [Term::new(0, "Weiß", true), Term::new(1, "O''Hara", true)];
    let look = LeakScan::new(&terms, ["Weiß\u{200b}er", "O'Hara"].into_iter());
    assert!(!look.contains_value("[\"O'Hara\",\"Weiß\u{200b}er\"]") || look.contains_value("[\"Weiß\"]"));
    assert!(!look.contains_value("[\"O'Hara\"]"));
    assert!(look.contains_value("[\"O''Hara\"]"));
    assert!(look.contains_value(r#"["O%27%27Hara"]"#));
}

/// Bytes without any order, the same each time.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// What agents see every day, without any of the values in it.
fn everyday_texts() -> Vec<String> {
    let image = |size, seed| [b"\x89PNG\r\n\x1a\n".as_slice(), &noise(size, seed)].concat();
    let hash = |seed| HEXLOWER.encode(&noise(32, seed));
    let mut texts: Vec<String> = (1..5).map(|seed| BASE64.encode(&image(120_000, seed))).collect();
    texts.extend(
        (5..8).map(|seed| {
            format!("<img src=\"data:image/png;base64,{}\">", BASE64.encode(&image(30_000, seed)))
        }),
    );
    texts.push((1..400).map(|seed| format!("{}  src/file{seed}.rs\n", hash(seed))).collect());
    texts.push(
        (1..400).map(|seed| format!("sha512-{}==\n", &BASE64.encode(&noise(64, seed))[..86])).collect(),
    );
    texts.push((1..200).map(|seed| format!("commit {}\nAuthor: Some One <one@example.com>\nDate:   Mon\n\n    Mend the parser & its tests\n\n", &hash(seed)[..40])).collect());
    texts.push(
        (1..200).map(|row| format!("{row};\"Smith, \"\"Bob\"\"\";{}.50;\"a b\"\r\n", row * 7)).collect(),
    );
    texts.push(
        (1..300)
            .map(|row| {
                format!(
                    "eyJhbGciOiJIUzI1NiJ9.{}.{}\n",
                    BASE64URL_NOPAD.encode(&noise(60, row)),
                    BASE64URL_NOPAD.encode(&noise(32, row + 1))
                )
            })
            .collect(),
    );
    texts.push("!function(e,t){\"object\"==typeof exports&&\"undefined\"!=typeof module?t(exports):t((e=e||self).x={})}(this,function(e){\"use strict\";var n=\"\\u00e9\\x20\",r=/[^\\w\\d\\s]+/g;e.a=1<2&&3>2;});".repeat(80));
    texts.push(
        (1..300)
            .map(|id| {
                format!(
                    "{}-{}-4{}-a{}-{}\n",
                    &hash(id)[..8],
                    &hash(id)[8..12],
                    &hash(id)[12..15],
                    &hash(id)[15..18],
                    &hash(id)[18..30]
                )
            })
            .collect(),
    );
    for text in [
        "https://example.com/search?q=caf%C3%A9+bar&page=2&utm_source=x%20y#frag",
        "GET /api/v1/items?filter%5Bname%5D=a&filter%5Bid%5D=12 HTTP/1.1\r\nAccept: */*\r\nCookie: a=b; c=d%3D%3D",
        "<p>Caf&eacute; &amp; Bar &lt;b&gt;&nbsp;&#8211; &copy; 2024</p>",
        "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=C3=B6ne Gr=C3=BC=C3=9Fe, a =\r\nlong line",
        "diff --git a/x b/x\nindex 3b18e51..a9d1c2f 100644\n--- \"a/caf\\303\\251.txt\"\n+++ b/x\n@@ -1,2 +1,2 @@\n-a  b\n+a = b  // c",
        "C:\\Users\\someone\\new\\table\\x86\\readme.txt \\\\server\\share\\201\\file",
        r#"{"a":"{\"b\":\"c\\nd\",\"e\":[1,2,3]}","f":"\u00e9\u4e2d","g":1e10}"#,
        r"^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+)@(?:[a-z0-9-]+\.)+[a-z]{2,}$ \d{3}-\d{4} \x41 \u{1F600}",
        "SELECT * FROM t WHERE name = 'it''s' AND path LIKE '%a%b%' ESCAPE '\\\\';",
        "Ünïcödé — “quotes” and ‘single’, naïve façade, 100 % of 5 × 3 = 15 … ¿qué? 日本語テキスト и русский",
        "drwxr-xr-x  2 root root   4096 Dec  1 06:38 .ci\n-rw-r--r--  1 root root    133 Dec  1 06:38 .gitignore",
        "\u{1b}[32m✔\u{1b}[39m 12 tests \u{1b}[90m(1.2 s)\u{1b}[39m\r\n\u{1b}[K",
        "| a | b |\n|---|---|\n| 1\\|2 | **x** \\_y\\_ |\n",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ2x1ZGVkIGluIG5vdGhpbmcgYXQgYWxsMAoGCCqGSM49\nBAMCMC8xLTArBgNVBAMMJGp1c3QgYSB0ZXN0IGNlcnRpZmljYXRlIG9mIG5vYm9k\n-----END CERTIFICATE-----",
        "@font-face{src:url(data:font/woff2;base64,d09GMgABAAAAAAkIAA4AAAAAFFQAAAiyAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP0ZG)}a::after{content:\"\\201C\"}",
        "export PATH=\"$HOME/bin:$PATH\" && echo \"a=b\" | sed -e 's/%20/ /g' > \"/tmp/x y\"",
        "0x7ffee4c8 0xdeadbeef 00000000: 7f45 4c46 0201 0100 0000 0000 0000 0000  .ELF............",
        "BEGIN:VCALENDAR\r\nDTSTART;TZID=Europe/Berlin:20240101T100000\r\nSUMMARY:Team\\, weekly\\; all\r\n DESCRIPTION=C3\r\nEND:VCALENDAR",
        "package-lock: \"integrity\": \"sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==\"",
        "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "internationalization/antidisestablishmentarianism/pseudopseudohypoparathyroidism/supercalifragilistic.txt",
    ] {
        texts.push(text.to_owned());
    }
    texts
}

#[test]
fn everyday_texts_raise_no_alarm_and_cost_little() {
    let look = scan_for(&[
        ("Ann", true),
        ("max", false),
        ("Maria", false),
        ("José Müller", false),
        ("maria.musterfrau@corp.test", false),
        ("+49 170 1234567", true),
        ("O'Hara & Sons", true),
        ("4155550100", true),
        ("/home/mmuster", true),
        ("the \"Müller\" home", true),
        ("sk-live-9f8e7d6c5b4a", true),
        ("山田", true),
    ]);
    let texts = everyday_texts();
    assert!(texts.len() >= 35, "{}", texts.len());
    for text in &texts {
        for json in [as_json(text), as_json(&as_json(text))] {
            let mut limit = ReadingLimit::new(json.len());
            let start: String = text.chars().take(60).collect();
            assert!(!look.scan(&json, &mut limit), "{start}");
            assert!(
                limit.read <= 24 * json.len(),
                "{start}: {} bytes were read of {}",
                limit.read,
                json.len()
            );
        }
    }
}

#[test]
fn the_work_is_linear_whatever_a_server_sends() {
    let look = scan_for(&[("José Müller", false), ("a b/c", true), ("\"x\" & 'y'", true)]);
    let worst = [
        "%",
        "%25",
        r"\\",
        "&amp;",
        "=3D",
        "=?utf-8?B?",
        "&#38;#37;3D%5c",
        "QUFBQUFBQUFB",
        "%5Cu0025=25&amp;",
        "a+b  c''",
        "\u{301}",
    ];
    for piece in worst {
        for count in [1_000, 4_000] {
            let json = as_json(&piece.repeat(count));
            let mut limit = ReadingLimit::new(json.len());
            let found = look.scan(&json, &mut limit);
            assert!(found || limit.read <= limit.most, "{piece}");
            assert!(limit.read <= limit.most + 4 * json.len(), "{piece}: {} of {}", limit.read, json.len());
        }
    }
}

#[test]
fn base64_is_read_where_json_escapes_its_slashes() {
    assert!(scan_for(&[("?>?o??", true)]).contains_value(r#"["eD8+P28\/PywgYW5kIG1vcmU="]"#));
}

/// Writers of the encodings, apart from the readers that are tested.
fn encode(text: &str, how: u8) -> String {
    match how {
        0 => as_json(text),
        1 => encode_octets(text, |byte| format!("%{byte:02x}")),
        2 => text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("&#{};", u32::from(c)) })
            .collect(),
        3 => encode_octets(text, |byte| format!("={byte:02X}")),
        4 => encode_octets(text, |byte| format!("\\{byte:03o}")),
        5 => text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        6 => format!("x/{}", BASE64.encode(format!("{text}, and more of it").as_bytes())),
        _ => HEXLOWER.encode(format!("{text}, and more of it").as_bytes()),
    }
}

proptest! {
    #[test]
    fn a_value_that_was_encoded_twice_in_any_way_is_found(
        value in "[A-Za-zéüß山]{2}[A-Za-zéüß山 '&\"/]{2,8}[A-Za-z]{3}",
        before in "[a-z .,é]{0,12}",
        behind in "[a-z .,é]{0,12}",
        folded in any::<bool>(),
        first in 0_u8..8,
        second in 0_u8..8,
    ) {
        let look = scan_for(&[(&value, !folded)]);
        prop_assume!(skeleton(&value, false).len() >= 6);
        let text = encode(&encode(&format!("{before}{value}{behind}"), first), second);
        prop_assert!(look.contains_value(&as_json(&text)), "{text}");
    }
}
