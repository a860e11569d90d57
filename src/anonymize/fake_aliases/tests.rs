//! Fakes in a server's own data, both ways.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::{Anonymizer, Direction, Fake, Real, ReplacementRule};
use crate::json::{self, RawJson};
use crate::names::ServerName;
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

fn server(name: &str) -> ServerName {
    name.parse().expect("a name")
}

fn raw(text: &str) -> RawJson {
    json::parse_raw(text.to_owned()).expect("JSON")
}

/// What the agent sees of an answer.
fn conceal(set: &Anonymizer, name: &str, message: &str) -> String {
    let answer = Real::from_server(raw(message));
    let concealed = set.conceal_answer(&server(name), answer, &mut BTreeSet::new());
    concealed.unwrap_or_else(|leak| panic!("{message}: {}", leak.describe_value())).get().get().to_owned()
}

fn reveal(set: &Anonymizer, name: &str, message: &str) -> String {
    set.reveal(&server(name), &Fake::concealed(raw(message))).expose().get().to_owned()
}

fn set(rules: &[ReplacementRule]) -> Anonymizer {
    Anonymizer::new(rules).unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
}

#[test]
fn a_fake_in_a_servers_own_data_comes_back_as_itself() {
    let any_case = ReplacementRule { case_sensitive: false, ..rule("ilse@example.net", "jose@corp.test") };
    let key = ReplacementRule {
        direction: Direction::OneWay { redaction: "***KEY***".into() },
        servers: Some(vec![server("mail")]),
        ..rule("no-key-7731", "sk-live-12345")
    };
    let set = set(&[
        rule("Ilse Varga", "José Núñez"),
        any_case,
        rule("90316482", "40718263"),
        rule("/home/ivarga", "/home/jnunez"),
        rule("佐藤花子", "山田太郎"),
        key,
    ]);
    for message in [
        r#"["Ilse Varga wrote to José Núñez"]"#,
        r#"{"Ilse Varga":1,"José Núñez":2}"#,
        r#"["ilse@example.net, ILSE@EXAMPLE.NET, jose@corp.test"]"#,
        r#"[90316482,40718263,"90316482"]"#,
        r#"["cd /home/ivarga; cd /home/jnunez"]"#,
        r#"["{\"by\":\"Ilse Varga\",\"to\":\"José Núñez\"}"]"#,
        r#"["?q=Ilse%20Varga&r=Jos%C3%A9%20N%C3%BA%C3%B1ez"]"#,
        r#"["佐藤花子 and 山田太郎"]"#,
        r#"["key no-key-7731"]"#,
        r#"["data:text/plain;base64,SWxzZSBWYXJnYSBhbmQgSm9zw6kgTsO6w7Flego="]"#,
    ] {
        let seen = conceal(&set, "mail", message);
        for hidden in ["José", "jose@", "40718263", "jnunez", "山田", "no-key-7731"] {
            assert!(!seen.contains(hidden), "{message}: {seen}");
        }
        assert_eq!(reveal(&set, "mail", &seen), message, "{seen}");
    }
    // The two people stay two.
    let seen = conceal(&set, "mail", r#"{"Ilse Varga":1,"José Núñez":2}"#);
    assert!(seen.ends_with(r#","Ilse Varga":2}"#) && !seen.starts_with(r#"{"Ilse Varga""#), "{seen}");
}

#[test]
fn what_the_agent_writes_of_its_own_is_revealed_as_ever() {
    let set = set(&[rule("Ilse Varga", "José Núñez")]);
    assert_eq!(reveal(&set, "mail", r#"["Ilse Varga"]"#), r#"["José Núñez"]"#);
    // And what comes back of it is no server's own data.
    assert_eq!(conceal(&set, "mail", r#"["José Núñez"]"#), r#"["Ilse Varga"]"#);
}

#[test]
fn a_server_that_gets_no_real_value_needs_no_alias() {
    let scoped =
        ReplacementRule { servers: Some(vec![server("mail")]), ..rule("Ilse Varga", "José Núñez") };
    let set = set(&[scoped]);
    let message = r#"["Ilse Varga"]"#;
    assert_eq!(conceal(&set, "web", message), message);
    assert_eq!(reveal(&set, "web", message), message);
    let alias = conceal(&set, "mail", message);
    assert_ne!(alias, message);
    // The agent carries the text from one server to another.
    assert_eq!(reveal(&set, "web", &alias), message);
    assert_eq!(reveal(&set, "mail", &alias), message);
}

#[test]
fn an_alias_follows_from_the_fake_and_shares_nothing_with_the_rules() {
    let rules: Vec<ReplacementRule> = (0..2_000)
        .map(|number| rule(&format!("Varga {number:04} Ilse"), &format!("Núñez {number:04} José")))
        .collect();
    let aliases = super::choose_aliases(&rules);
    assert_eq!(aliases, super::choose_aliases(&rules));
    let given: Vec<&String> = aliases.iter().flatten().collect();
    assert!(given.len() > 1_990, "{}", given.len());
    let different: BTreeSet<&&String> = given.iter().collect();
    assert_eq!(different.len(), given.len());
    for alias in &given {
        assert_eq!(alias.len(), "Varga 0000 Ilse".len());
        assert!(!alias.contains("Varga") && !alias.contains("Ilse"), "{alias}");
    }
    // Too little to change.
    assert_eq!(super::choose_aliases(&[rule("Qx", "Maximilian")]), [None]);
}

static THREE_RULES: LazyLock<Anonymizer> = LazyLock::new(|| {
    set(&[
        rule("Ilse Varga", "José Núñez"),
        rule("ilse@example.net", "jose@corp.test"),
        rule("90316482", "40718263"),
    ])
});

proptest! {
    /// Whatever a server says with fakes and values in it comes back to it, unless it is withheld.
    #[test]
    fn what_a_server_says_comes_back(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "Ilse Varga", "José Núñez", "ilse@example.net", "jose@corp.test", " ", ", ", "\n", "x", "Ilse", "Varga",
                "José", "ga", "90316482", "40718263", "7", "\"", "\\", "/", "%20", "é",
            ]),
            0..12,
        ),
    ) {
        let text = pieces.concat();
        let answer = Real::from_server(json::serialize_raw(&text));
        if let Ok(concealed) = THREE_RULES.conceal_answer(&server("mail"), answer, &mut BTreeSet::new()) {
            let back = THREE_RULES.reveal(&server("mail"), &concealed);
            prop_assert_eq!(json::as_text(back.expose()).expect("a text"), text, "{}", concealed.get());
        }
    }
}
