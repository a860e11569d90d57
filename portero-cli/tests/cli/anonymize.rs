//! `portero anonymize` and `portero replacements`.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::test_support::{CommandOutput, TestHome};

/// A configuration with two replacements, one of them for one server, and a server with a secret.
fn home() -> TestHome {
    let home = TestHome::empty();
    let server = |name: &str, env: Value| json!({"name": name, "command": "true", "env": env});
    let servers = [server("mail", json!({"MAIL_TOKEN": "ghp_0123456789"})), server("files", json!({}))];
    home.write("mcps.json", &json!({ "mcps": servers }));
    std::fs::write(
        home.path("config").join("replacements.json"),
        r#"{"replacements": [
  {"fake": "Ilse Varga", "real": "José Núñez", "label": "name"},
  {"fake": "/home/ivarga", "real": "/home/jnunez", "servers": ["files"]},
  {"fake": "no-such-key-88", "real": "key-4c1d77", "bidirectional": false, "responseReplacement": "***KEY***", "label": "key"}
]}"#,
    )
    .unwrap();
    home
}

fn pipe(home: &TestHome, words: &[&str], input: &[u8]) -> CommandOutput {
    let mut command = home.command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = stdin.write_all(input);
    drop(stdin);
    CommandOutput::from_output(child.wait_with_output().unwrap())
}

const MAIL: &str =
    "From: José Núñez\n\nsee /home/jnunez?q=Jos%C3%A9%20N%C3%BA%C3%B1ez key-4c1d77 ghp_0123456789";

#[test]
fn a_text_comes_out_as_an_agent_sees_it_and_back_as_a_server_gets_it() {
    let home = home();
    let said = pipe(&home, &["anonymize"], MAIL.as_bytes());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let shown = "From: Ilse Varga\n\nsee /home/ivarga?q=%49lse%20Varga ***KEY*** ***REDACTED***";
    assert!(said.stderr.is_empty(), "{}", said.stderr);
    assert!(said.stdout == shown || said.stdout == shown.replace("%49", "I"), "{}", said.stdout);
    let back = pipe(&home, &["anonymize", "--reveal", "--server", "files"], said.stdout.as_bytes());
    assert_eq!(back.code, 0, "{}", back.stderr);
    let real = MAIL.replace("key-4c1d77", "***KEY***").replace("ghp_0123456789", "***REDACTED***");
    assert_eq!(back.stdout, real);
    assert!(back.stderr.contains("`***KEY***` stays"), "{}", back.stderr);
    // The secret of one server is redacted in what that server says.
    let said = pipe(&home, &["anonymize", "--server", "files"], b"ghp_0123456789\n");
    assert_eq!(said.stdout, "ghp_0123456789\n");
    let said = pipe(&home, &["anonymize", "--server", "mail"], b"ghp_0123456789\n");
    assert_eq!(said.stdout, "***REDACTED***\n");
}

#[test]
fn an_explanation_names_places_and_fakes_and_nothing_real() {
    let home = home();
    let said = pipe(&home, &["anonymize", "--explain"], MAIL.as_bytes());
    let expected = [
        "1:7: \"Ilse Varga\" (replacements.json:2:3), plain",
        "3:5: \"/home/ivarga\" (replacements.json:3:3), plain",
        "3:20: \"Ilse Varga\" (replacements.json:2:3), percent-encoding",
        "3:48: \"no-such-key-88\" (replacements.json:4:3), plain",
        "3:59: a secret of `mail`, plain",
        "5 values replaced",
    ];
    assert_eq!(said.stderr.lines().collect::<Vec<_>>(), expected);
    let said = pipe(&home, &["anonymize", "--json"], MAIL.as_bytes());
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(value["replaced"][1]["fake"], "/home/ivarga");
    assert_eq!(value["replaced"][1]["place"], json!({"line": 3, "column": 3}));
    assert_eq!(value["replaced"][4]["secret_of"], json!(["mail"]));
    for real in ["José", "N%C3%BA", "jnunez", "key-4c1d77", "ghp_0123"] {
        assert!(!said.stdout.contains(real), "{real}: {}", said.stdout);
    }
    let said = pipe(&home, &["anonymize", "--reveal", "--explain"], b"at /home/ivarga\n");
    assert_eq!(said.stdout, "at /home/ivarga\n");
    let expected =
        "1:4: \"/home/ivarga\" (replacements.json:3:3), plain, stays\n0 values replaced\nnote: 1 fake stays";
    assert!(said.stderr.starts_with(expected), "{}", said.stderr);
}

#[test]
fn what_cannot_be_passed_on_is_refused_with_its_reason() {
    let home = home();
    let refused: [(&[&str], &[u8], i32, &str); 4] = [
        (
            &["anonymize"],
            "=?utf-8?Q?Jos=C3=A9_N=C3=BA=C3=B1ez?=".as_bytes(),
            1,
            "the real value of replacement 1 (name)",
        ),
        (&["anonymize"], b"one\ntwo \xe9", 2, "the text is not UTF-8: byte 9, in line 2"),
        (&["anonymize", "--server", "mial"], b"", 2, "did you mean `mail`?"),
        (&["anonymize", "--server", "a b"], b"", 2, "--server"),
    ];
    for (words, input, code, expected) in refused {
        let said = pipe(&home, words, input);
        assert_eq!(said.code, code, "{words:?}: {}", said.stderr);
        assert!(said.stdout.is_empty() && said.stderr.contains(expected), "{words:?}: {}", said.stderr);
    }
    home.write("portero.json", &json!({"limits": {"messageBytes": 65536}}));
    let said = pipe(&home, &["anonymize"], &[b'a'; 65537]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("more than 65536 bytes"), "{}", said.stderr);
    let said = pipe(&home, &["anonymize"], &[b'a'; 65536]);
    assert_eq!((said.code, said.stdout.len()), (0, 65536), "{}", said.stderr);
    home.write("replacements.json", &json!({"replacements": [{"fake": "x", "real": "y"}]}));
    let said = pipe(&home, &["anonymize"], b"");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("portero check"), "{}", said.stderr);
}

#[test]
fn without_rules_a_text_passes_and_that_is_said() {
    let said = pipe(&TestHome::empty(), &["anonymize"], b"as it is");
    assert_eq!((said.code, said.stdout.as_str()), (0, "as it is"));
    assert!(said.stderr.contains("nothing is replaced"), "{}", said.stderr);
}

#[test]
fn fakes_are_proposed_in_the_shape_of_a_variable_and_pass_the_check() {
    let home = home();
    std::fs::write(
        home.path("config").join(".env"),
        "REAL_PHONE=+1 (415) 867-5309\nREAL_NAME='Marta Q. Lindqvist'\n",
    )
    .unwrap();
    let words = ["replacements", "suggest", "name", "--for", "REAL_NAME", "--seed", "7", "--count", "4"];
    let said = home.run(&words);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert_eq!(home.run(&words).stdout, said.stdout, "the same seed");
    let entries: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 4);
    for entry in &entries {
        assert_eq!((&entry["real"], &entry["label"]), (&json!("${REAL_NAME}"), &json!("name")));
        let fake = entry["fake"].as_str().unwrap();
        let parts: Vec<&str> = fake.split(' ').collect();
        assert!(parts.len() == 3 && parts[1].len() == 2 && parts[1].ends_with('.'), "{fake}");
        home.write("replacements.json", &json!({"replacements": [entry]}));
        let checked = home.run(&["check"]);
        assert!(checked.code == 0 && !checked.stdout.contains("replacements.json"), "{}", checked.stdout);
    }
    let phones = home.json(&["replacements", "suggest", "phone", "--for", "REAL_PHONE", "--count", "1"]);
    let fake = phones["proposed"][0]["fake"].as_str().unwrap();
    assert!(fake.starts_with("+1 (") && fake.contains(") 555-01"), "{fake}");
    let refused: [(&[&str], i32, &str); 3] = [
        (&["email", "--for", "REAL_NAME"], 1, "an `@`"),
        (&["name", "--for", "NO_SUCH"], 2, "`NO_SUCH` is not set"),
        (&["iban"], 2, "name, email, phone, path"),
    ];
    for (words, code, expected) in refused {
        let said = home.run(&[&["replacements", "suggest"], words].concat());
        assert_eq!(said.code, code, "{words:?}");
        assert!(said.stderr.contains(expected), "{words:?}: {}", said.stderr);
        assert!(!said.stderr.contains("Lindqvist"), "{}", said.stderr);
    }
}

#[test]
fn a_fake_that_models_write_by_themselves_is_warned_of() {
    let home = home();
    home.write(
        "replacements.json",
        &json!({"replacements": [{"fake": "John Doe", "real": "Marta Lindqvist"}]}),
    );
    let said = home.run(&["check"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    let expected = "warning: replacements.json:1:18: models write the fake \"John Doe\" by themselves";
    assert!(said.stdout.contains(expected), "{}", said.stdout);
    assert!(said.stdout.contains("portero replacements suggest"), "{}", said.stdout);
}

#[test]
fn the_replacements_are_listed_by_their_fakes() {
    let home = home();
    let said = home.run(&["replacements"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let rows: Vec<Vec<&str>> = said
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(
        rows,
        [
            vec!["FAKE", "LABEL", "TOWARD THE AGENT", "REVEALED TO", "PLACE"],
            vec!["Ilse Varga", "name", "the fake", "every server", "replacements.json:2:3"],
            vec!["/home/ivarga", "the fake", "files", "replacements.json:3:3"],
            vec!["no-such-key-88", "key", "***KEY***", "none", "replacements.json:4:3"],
        ],
        "{}",
        said.stdout
    );
    let value = home.json(&["replacements", "list"]);
    assert_eq!(value[2]["redaction"], "***KEY***");
    assert_eq!(value[1]["servers"], json!(["files"]));
    assert!(!value.to_string().contains("jnunez"));
}
