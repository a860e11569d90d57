//! Each encoding, concealed and revealed again.

use proptest::prelude::*;

use crate::anonymize::{Anonymizer, Direction, Fake, Real, ReplacementRule};
use crate::json;
use crate::secret::Secret;

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

fn sample_anonymizer() -> Anonymizer {
    Anonymizer::new(&[
        rule("Jane Doe", "José Núñez"),
        rule("Zoë Smith", "O'Neil & Søn"),
        rule("Mr. D'Arcy", "Frank O'Hara"),
    ])
    .unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
}

fn conceal(text: &str) -> String {
    let concealed = sample_anonymizer().conceal(Real::from_server(json::serialize_raw(text)));
    let concealed = concealed.unwrap_or_else(|_| panic!("withheld: {text}"));
    json::as_text(concealed.get()).expect("a text").into_owned()
}

fn reveal(text: &str) -> String {
    let revealed = sample_anonymizer()
        .reveal(&"git".parse().expect("a name"), &Fake::concealed(json::serialize_raw(text)));
    json::as_text(revealed.expose()).expect("a text").into_owned()
}

#[test]
fn a_value_in_an_everyday_encoding_makes_the_round_trip() {
    for (real, fake) in [
        (r#"A  "docs/Jos\303\251 N\303\272\303\261ez.txt""#, r#"A  "docs/\112ane Doe.txt""#),
        (r"b'Jos\xc3\xa9 N\xc3\xba\xc3\xb1ez'", r"b'\x4aane Doe'"),
        (r"'Jos\xe9 N\xfa\xf1ez'", r"'Jane Do\x65'"),
        ("<b>Jos&eacute; N&uacute;&ntilde;ez</b>", "<b>&#074;ane Doe</b>"),
        ("<b>Jos&#233; N&#250;&#241;ez</b>", "<b>&#74;ane Doe</b>"),
        ("<b>Jos&#xe9; N&#xfa;&#xf1;ez</b>", "<b>&#x4a;ane Doe</b>"),
        ("<b>O&#39;Neil &#38; S&#248;n</b>", "<b>Zo&#235; Smith</b>"),
        ("<b>O&apos;Neil &amp; S&oslash;n</b>", "<b>Zo&euml; Smith</b>"),
        ("Jos=C3=A9 N=C3=BA=C3=B1ez wrote", "=4Aane Doe wrote"),
        ("q=Jos%u00e9%20N%u00fa%u00f1ez", "q=Jane%20Doe"),
        ("by Frank O’Hara, 1964", "by Mr. D’Arcy, 1964"),
        ("VALUES ('Frank O''Hara', 1)", "VALUES ('Mr. D''Arcy', 1)"),
    ] {
        assert_eq!(conceal(real), fake);
        if !real.contains("%u") {
            assert_eq!(reveal(fake), real);
        }
    }
}

#[test]
fn a_value_comes_back_with_the_same_meaning_where_the_replacement_carries_no_encoding() {
    assert_eq!(conceal("O’Neil & Søn"), "Zoë Smith");
    assert_eq!(reveal("Zoë Smith"), "O'Neil & Søn");
    assert_eq!(conceal("Jos=C3=A9 N=\r\n=C3=BA=C3=B1ez!"), "=4Aane Doe!");
    assert_eq!(conceal("O'Ne=\nil & S=\nøn"), "Zo=C3=AB Smith");
    assert_eq!(reveal("=4Aane Doe!"), "Jos=C3=A9 N=C3=BA=C3=B1ez!");
}

/// Reads as the replacements' writers do, apart from the code under test.
fn write(text: &str, how: usize) -> String {
    let bytes = |text: &str, write: fn(u8) -> String| {
        text.bytes()
            .map(|byte| if byte.is_ascii() { char::from(byte).to_string() } else { write(byte) })
            .collect::<String>()
    };
    match how {
        0 => bytes(text, |byte| format!("\\{byte:03o}")),
        1 => bytes(text, |byte| format!("\\x{byte:02x}")),
        2 => bytes(text, |byte| format!("={byte:02X}")),
        3 => text
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || " .".contains(c) {
                    c.to_string()
                } else {
                    format!("&#{};", u32::from(c))
                }
            })
            .collect(),
        4 => text
            .chars()
            .map(|c| if c.is_ascii() { c.to_string() } else { format!("&#x{:x};", u32::from(c)) })
            .collect(),
        _ => text
            .chars()
            .map(|c| {
                if c.is_ascii() || u32::from(c) > 0xFF {
                    c.to_string()
                } else {
                    format!("\\x{:02x}", u32::from(c))
                }
            })
            .collect(),
    }
}

proptest! {
    #[test]
    fn nothing_stays_and_all_comes_back_in_each_encoding(
        real in "[A-Z][a-z]{0,4}[éñüß]{1,3}[a-z]{0,4}",
        fake in "[A-Z][g-z]{4,9}( [A-Z][g-zéö]{3,8})?",
        before in "[g-z .]{0,12}",
        behind in "[g-z .]{0,12}",
        how in 0_usize..6,
    ) {
        prop_assume!(real.chars().count() >= 3);
        let Ok(set) = Anonymizer::new(&[rule(&fake, &real)]) else { return Ok(()) };
        let text = write(&format!("{before} {real} {behind}"), how);
        let concealed = set.conceal(Real::from_server(json::serialize_raw(&text)));
        let Ok(concealed) = concealed else { return Err(TestCaseError::fail(format!("withheld: {text}"))) };
        prop_assert_ne!(json::as_text(concealed.get()).expect("a text").into_owned(), text.as_str());
        let back = set.reveal(&"x".parse().expect("a name"), &concealed);
        prop_assert_eq!(json::as_text(back.expose()).expect("a text").into_owned(), text, "{}", concealed.get());
    }
}

#[test]
fn other_text_keeps_its_bytes() {
    for text in [
        r"C:\303\251 \x41 \112 Jane%u0020Do",
        "a && b &lt; c &unknown; &#x110000; &#0; =3D =ZZ ''' \"\" “x” ’",
        "Jos&eacute; and N\\303\\272\\303\\261ez",
    ] {
        assert_eq!(conceal(text), text);
        assert_eq!(reveal(text), text);
    }
}
