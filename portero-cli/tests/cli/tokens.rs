//! Access tokens at the terminal.

#![cfg(unix)]

use crate::terminal::{confirm_with_passphrase, set_passphrase};
use crate::test_support::TestHome;

#[test]
fn a_token_is_shown_once_on_the_terminal_and_listed_without_its_secret() {
    let world = TestHome::with_office();
    let unset = world.run(&["token", "create", "laptop"]);
    assert_eq!(unset.code, 1, "{}", unset.stderr);
    set_passphrase(&world);
    assert!(world.run(&["token", "list"]).stdout.contains("portero token create NAME"));
    let words = [
        "token",
        "create",
        "laptop",
        "--servers",
        "office,note*",
        "--tools",
        "github/list_*",
        "--expires",
        "30d",
    ];
    let shown = confirm_with_passphrase(&world, &words, "token laptop: made");
    assert!(shown.contains("may ask over HTTPS for 30d, for office/*, note*/*, github/list_*."), "{shown}");
    let token =
        shown.split_whitespace().find(|word| word.starts_with("portero_")).expect("the token").to_owned();
    let listed = world.run(&["token", "list"]).stdout;
    for part in ["laptop", "in 29d 23h", "never", "office/*, note*/*, github/list_*"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    assert!(!listed.contains("portero_") && !world.run(&["logs"]).stdout.contains(&token[..20]));
    let json = world.json(&["token", "list"]);
    assert_eq!((json[0]["name"].as_str(), json[0]["scope"][0].as_str()), (Some("laptop"), Some("office/*")));
    let taken = world.run(&["token", "create", "laptop"]);
    assert!(taken.code == 1 && taken.stderr.contains("portero token revoke laptop"), "{}", taken.stderr);
    let revoked = world.run(&["token", "revoke", "laptop"]);
    assert!(revoked.code == 0 && revoked.stdout.contains("revoked"), "{}{}", revoked.stdout, revoked.stderr);
    let gone = world.run(&["token", "revoke", "laptop"]);
    assert!(gone.code == 1 && gone.stderr.contains("portero token list"), "{}", gone.stderr);
}

#[test]
fn a_mistyped_token_is_refused_before_anything_is_asked() {
    let world = TestHome::empty();
    for (words, problem) in [
        (&["token", "create", "my laptop"][..], "letters, digits"),
        (&["token", "create", "laptop", "--servers", "a/b"], "has no `/`"),
        (&["token", "create", "laptop", "--tools", "list_*"], "did you mean"),
        (&["token", "create", "laptop", "--expires", "soon"], "30m"),
        (&["token", "revoke"], "NAME"),
    ] {
        let said = world.run(words);
        assert!(said.code == 2 && said.stderr.contains(problem), "{words:?}: {} {}", said.code, said.stderr);
    }
}
