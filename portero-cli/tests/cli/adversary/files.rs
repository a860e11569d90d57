//! Through the files of the configuration and the state, while the daemon runs, while it is stopped, and
//! across a restart.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{AttackFixture, assert_still_reads, call_forbidden_tools, initialize_params};
use crate::agent::Agent;
use crate::test_support::TestHome;

/// A file and what the adversary makes of it.
struct FileTampering {
    name: &'static str,
    edits: fn(&TestHome) -> Vec<(PathBuf, String)>,
}

/// Edits of what people write: they wait for a person, so everything goes on as before.
const CONFIG_TAMPERINGS: [FileTampering; 7] = [
    FileTampering {
        name: "allow everything",
        edits: |world| vec![config_edit(world, "policies.json", &json!({"policies": {"**": "allow"}}))],
    },
    FileTampering {
        name: "no policy at all",
        edits: |world| vec![config_edit(world, "policies.json", &json!({"default": "allow"}))],
    },
    FileTampering {
        name: "an exact allow",
        edits: |world| {
            let policies =
                json!({"office/read_*": "allow", "office/send_mail": "allow", "office/delete_mail": "allow"});
            vec![config_edit(world, "policies.json", &json!({ "policies": policies }))]
        },
    },
    FileTampering {
        name: "the server under another name",
        edits: |world| {
            let server = |name: &str| {
                json!({
                    "name": name, "command": env!("CARGO_BIN_EXE_portero"),
                    "args": ["sample-server", "--record", world.path("received.jsonl")],
                })
            };
            vec![
                config_edit(world, "mcps.json", &json!({"mcps": [server("office"), server("free")]})),
                config_edit(
                    world,
                    "policies.json",
                    &json!({"policies": {"office/read_*": "allow", "free/*": "allow"}}),
                ),
            ]
        },
    },
    FileTampering {
        name: "another command in the server's place",
        edits: |world| {
            let script =
                format!("echo '{{\"tool\": \"delete_mail\"}}' >> {}", world.path("received.jsonl").display());
            let server = json!({"name": "office", "command": "/bin/sh", "args": ["-c", script]});
            vec![config_edit(world, "mcps.json", &json!({"mcps": [server]}))]
        },
    },
    FileTampering {
        name: "a case that lets the call through",
        edits: |world| {
            let entry = json!({"cases": [{"when": [{"at": "/to", "equals": "thief@elsewhere.test"}], "then": "allow"}], "otherwise": "deny"});
            vec![config_edit(
                world,
                "policies.json",
                &json!({"policies": {"office/read_*": "allow", "office/send_mail": entry}}),
            )]
        },
    },
    FileTampering {
        name: "broken on purpose",
        edits: |world| vec![(world.path("config/policies.json"), "{".to_owned())],
    },
];

/// Edits of what Portero keeps for itself.
const STATE_TAMPERINGS: [FileTampering; 3] = [
    FileTampering {
        name: "denies that allow",
        edits: |world| {
            let standing = serde_json::from_value(json!({
                "epoch": 1_000_000,
                "rules": [{"id": 1, "pattern": "**", "action": "allow", "made": "2026-01-01T00:00:00Z"}],
                "grants": [], "boot_id": "",
            }));
            let forged = world.path("forged.json");
            portero::policy::offline_denies::write(&forged, &standing.unwrap()).unwrap();
            vec![(world.path("state/denies.json"), fs::read_to_string(forged).unwrap())]
        },
    },
    FileTampering {
        name: "no denies",
        edits: |world| vec![(world.path("state/denies.json"), String::new())],
    },
    FileTampering {
        name: "a store of noise",
        edits: |world| vec![(world.path("state/portero.db"), "noise".repeat(9_999))],
    },
];

fn config_edit(world: &TestHome, name: &str, value: &Value) -> (PathBuf, String) {
    (world.path("config").join(name), value.to_string())
}

fn apply_tampering(siege: &AttackFixture, edit: &FileTampering) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    (edit.edits)(&siege.home)
        .into_iter()
        .map(|(path, text)| {
            let former = fs::read(&path).ok();
            fs::write(&path, text).unwrap();
            (path, former)
        })
        .collect()
}

fn undo_tampering(former: Vec<(PathBuf, Option<Vec<u8>>)>) {
    for (path, bytes) in former {
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    }
}

#[test]
fn no_edit_of_the_configuration_gets_a_call_through() {
    let mut siege = AttackFixture::new();
    for edit in &CONFIG_TAMPERINGS {
        let former = apply_tampering(&siege, edit);
        // Told or not yet told of the change, the daemon and every session go by what was confirmed.
        siege.attack_and_assert_held(edit.name);
        // Without the daemon: what asks is refused.
        assert_eq!(siege.home.run(&["daemon", "stop"]).code, 0);
        call_forbidden_tools(&mut Agent::connect(&siege.home, &["--no-start"]));
        siege.assert_none_received(edit.name);
        // A new daemon reads the files anew.
        let started = siege.home.run(&["daemon", "start"]);
        if started.code == 0 {
            siege.attack_and_assert_held(edit.name);
        } else {
            siege.assert_none_received(edit.name);
        }
        undo_tampering(former);
        siege.home.run(&["daemon", "start"]);
        siege.assert_held(edit.name);
    }
    assert_still_reads(&mut Agent::connect(&siege.home, &[]));
}

#[test]
fn no_edit_of_the_state_gets_a_call_through() {
    for edit in &STATE_TAMPERINGS {
        let siege = AttackFixture::new();
        assert_eq!(siege.home.run(&["daemon", "stop"]).code, 0);
        apply_tampering(&siege, edit);
        call_forbidden_tools(&mut Agent::connect(&siege.home, &["--no-start"]));
        siege.assert_none_received(edit.name);
        if siege.home.run(&["daemon", "start"]).code == 0 {
            call_forbidden_tools(&mut Agent::connect(&siege.home, &[]));
            siege.assert_held(edit.name);
        }
        siege.assert_none_received(edit.name);
    }
}

/// Each file of the state directory, removed alone, and all of them together.
#[test]
fn no_removal_from_the_state_gets_a_call_through() {
    let siege = AttackFixture::new();
    assert_eq!(siege.home.run(&["daemon", "stop"]).code, 0);
    let whole = siege.home.path("state");
    let kept = siege.home.path("kept");
    fs::rename(&whole, &kept).unwrap();
    let mut names: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names.iter().any(|name| name == "portero.db"), "{names:?}");
    for gone in names.iter().map(Some).chain([None]) {
        copy_tree(&kept, &whole);
        match gone {
            Some(name) if kept.join(name).is_dir() => fs::remove_dir_all(whole.join(name)).unwrap(),
            Some(name) => fs::remove_file(whole.join(name)).unwrap(),
            None => fs::remove_dir_all(&whole).unwrap(),
        }
        let attempt = format!("without {gone:?}");
        // It may be refused altogether; what counts is what reaches the server.
        let mut agent = Agent::start(&siege.home, &[]);
        agent.request("initialize", &initialize_params());
        call_forbidden_tools(&mut agent);
        siege.assert_none_received(&attempt);
        drop(agent);
        // Nor can a passphrase of its own be set, and the call then be approved.
        let status = siege.home.run(&["status", "--json"]);
        if status.code == 0 {
            let status: Value = serde_json::from_str(&status.stdout).unwrap();
            assert!(!status["passphrase"].is_null(), "{attempt}: the passphrase is forgotten");
        }
        siege.home.run(&["daemon", "stop"]);
        let _ = fs::remove_dir_all(&whole);
    }
    fs::rename(&kept, &whole).unwrap();
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
