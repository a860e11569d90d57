//! `portero secret`: set from a pipe or at the terminal, listed, cleared, and its value shown nowhere.

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::settings::test_server;
use crate::terminal::{PASSPHRASE, run_without_terminal, set_passphrase, spawn_on_terminal};
use crate::test_support::TestHome;
use crate::totp::{answer_prompt, read_to_end};

const VALUE: &str = "s3cret-value-of-the-pipe";

/// A world with the server `vault`, which is given the secret `key`.
fn vault_home() -> TestHome {
    crate::porterod::porterod_program();
    let world = TestHome::empty();
    let vault = test_server("vault", &[], json!({"env": {"KEY": "${secret:key}"}}));
    world.write("mcps.json", &json!({"mcps": [vault]}));
    world.write("policies.json", &json!({"policies": {"*": "allow"}}));
    // That of the machine is none of a test's.
    world.write("portero.json", &json!({"credentials": {"keyring": false}}));
    world
}

#[test]
fn a_secret_from_a_pipe_reaches_its_server_and_is_shown_nowhere() {
    let world = vault_home();
    let set = run_without_terminal(&world, &["secret", "set", "key"], &format!("{VALUE}\n"));
    assert_eq!(set.code, 0, "{}", set.stderr);
    let mut agent = Agent::connect(&world, &[]);
    let look = agent.call_tool("vault__look", &json!({}));
    let seen: Value = serde_json::from_str(result_text(&look)).unwrap();
    assert!(seen.to_string().contains("***REDACTED***"), "{seen}");

    let listed = world.run(&["secret", "list"]);
    assert!(listed.stdout.contains("key  in memory until the daemon ends"), "{}", listed.stdout);
    assert_eq!(world.json(&["secret", "list"])[0]["is_kept"], false);
    assert_eq!(world.json(&["secret", "clear", "--all"]), json!({"cleared": 1}));

    let refused = agent.call_tool("vault__look", &json!({}));
    let words = "the secret `key` is not set; ask your user to run `portero secret set key`";
    assert!(refused.to_string().contains(words), "{refused}");
    let log = world.run(&["logs", "--json"]);
    for text in [&agent.received_text, &listed.stdout, &set.stdout, &set.stderr, &log.stdout] {
        assert!(!text.contains(VALUE), "{text}");
    }
    assert!(log.stdout.contains("secret set") && log.stdout.contains("secret clear"), "{}", log.stdout);
}

#[test]
fn at_the_terminal_it_is_typed_unseen_and_takes_the_passphrase() {
    let world = vault_home();
    set_passphrase(&world);
    let mut terminal = spawn_on_terminal(&world, &["secret", "set", "key", "--keep"]);
    let mut shown = answer_prompt(&mut terminal, "Value of `key`", VALUE);
    shown += &answer_prompt(&mut terminal, "Passphrase, to set the secret key", PASSPHRASE);
    shown += &read_to_end(&mut terminal);
    assert!(shown.contains("the secret `key` is set, and kept, sealed in the store"), "{shown}");
    let listed = &world.json(&["secret", "list"])[0];
    assert_eq!((&listed["is_kept"], &listed["place"]), (&json!(true), &json!("store")));
    assert!(world.run(&["secret", "list"]).stdout.contains("key  kept, sealed in the store, set "));
    let status = world.run(&["status"]).stdout;
    assert!(status.contains("1 kept; sealed in the store (`credentials.keyring` is false)"), "{status}");
    assert_eq!(world.json(&["status"])["credentials"]["in_store"], 1);

    let refused = run_without_terminal(&world, &["secret", "set", "key"], "another value");
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("to set a secret needs a person at a terminal"), "{}", refused.stderr);
}

#[test]
fn what_is_missing_or_contradicts_itself_sets_nothing() {
    let world = vault_home();
    for (words, stdin, code) in [
        (&["secret", "set", "key"][..], "\n", 1),
        (&["secret", "set", "a b"], VALUE, 2),
        (&["secret", "set", "key", "--keep", "--ttl", "1m"], VALUE, 2),
        (&["secret", "clear"], "", 2),
        (&["secret", "clear", "key", "--all"], "", 2),
    ] {
        let said = run_without_terminal(&world, words, stdin);
        assert_eq!(said.code, code, "{words:?}: {}{}", said.stdout, said.stderr);
        assert!(!said.stderr.contains(VALUE), "{}", said.stderr);
    }
    assert_eq!(world.json(&["secret", "list"]), json!([]));
}
