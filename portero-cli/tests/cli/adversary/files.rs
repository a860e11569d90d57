//! Through the files of the configuration and the state, while the daemon runs, while it is stopped, and
//! across a restart.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Siege, hello, still_reads, try_prizes};
use crate::agent::Agent;
use crate::world::World;

/// A file and what the adversary makes of it.
struct Edit {
    name: &'static str,
    make: fn(&World) -> Vec<(PathBuf, String)>,
}

/// Edits of what people write: they wait for a person, so everything goes on as before.
const CONFIGURATION: [Edit; 7] = [
    Edit {
        name: "allow everything",
        make: |world| vec![config(world, "policies.json", &json!({"policies": {"**": "allow"}}))],
    },
    Edit {
        name: "no policy at all",
        make: |world| vec![config(world, "policies.json", &json!({"default": "allow"}))],
    },
    Edit {
        name: "an exact allow",
        make: |world| {
            let policies =
                json!({"office/read_*": "allow", "office/send_mail": "allow", "office/delete_mail": "allow"});
            vec![config(world, "policies.json", &json!({ "policies": policies }))]
        },
    },
    Edit {
        name: "the server under another name",
        make: |world| {
            let server = |name: &str| {
                json!({
                    "name": name, "command": env!("CARGO_BIN_EXE_portero"),
                    "args": ["sample-server", "--record", world.path("received.jsonl")],
                })
            };
            vec![
                config(world, "mcps.json", &json!({"mcps": [server("office"), server("free")]})),
                config(
                    world,
                    "policies.json",
                    &json!({"policies": {"office/read_*": "allow", "free/*": "allow"}}),
                ),
            ]
        },
    },
    Edit {
        name: "another command in the server's place",
        make: |world| {
            let script =
                format!("echo '{{\"tool\": \"delete_mail\"}}' >> {}", world.path("received.jsonl").display());
            let server = json!({"name": "office", "command": "/bin/sh", "args": ["-c", script]});
            vec![config(world, "mcps.json", &json!({"mcps": [server]}))]
        },
    },
    Edit {
        name: "a case that lets the call through",
        make: |world| {
            let entry = json!({"cases": [{"when": [{"at": "/to", "equals": "thief@elsewhere.test"}], "then": "allow"}], "otherwise": "deny"});
            vec![config(
                world,
                "policies.json",
                &json!({"policies": {"office/read_*": "allow", "office/send_mail": entry}}),
            )]
        },
    },
    Edit {
        name: "broken on purpose",
        make: |world| vec![(world.path("config/policies.json"), "{".to_owned())],
    },
];

/// Edits of what Portero keeps for itself.
const STATE: [Edit; 3] = [
    Edit {
        name: "denies that allow",
        make: |world| {
            let standing = serde_json::from_value(json!({
                "epoch": 1_000_000,
                "rules": [{"id": 1, "pattern": "**", "action": "allow", "made": "2026-01-01T00:00:00Z"}],
                "grants": [], "boot_id": "",
            }));
            let forged = world.path("forged.json");
            portero::policy::denies::write(&forged, &standing.unwrap()).unwrap();
            vec![(world.path("state/denies.json"), fs::read_to_string(forged).unwrap())]
        },
    },
    Edit { name: "no denies", make: |world| vec![(world.path("state/denies.json"), String::new())] },
    Edit {
        name: "a store of noise",
        make: |world| vec![(world.path("state/portero.db"), "noise".repeat(9_999))],
    },
];

fn config(world: &World, name: &str, value: &Value) -> (PathBuf, String) {
    (world.path("config").join(name), value.to_string())
}

fn apply(siege: &Siege, edit: &Edit) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    (edit.make)(&siege.world)
        .into_iter()
        .map(|(path, text)| {
            let former = fs::read(&path).ok();
            fs::write(&path, text).unwrap();
            (path, former)
        })
        .collect()
}

fn undo(former: Vec<(PathBuf, Option<Vec<u8>>)>) {
    for (path, bytes) in former {
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    }
}

#[test]
fn no_edit_of_the_configuration_gets_a_call_through() {
    let mut siege = Siege::begin();
    for edit in &CONFIGURATION {
        let former = apply(&siege, edit);
        // Told or not yet told of the change, the daemon and every session go by what was confirmed.
        siege.storm(edit.name);
        // Without the daemon: what asks is refused.
        assert_eq!(siege.world.run(&["daemon", "stop"]).code, 0);
        try_prizes(&mut Agent::connect(&siege.world, &["--no-start"]));
        siege.none_received(edit.name);
        // A new daemon reads the files anew.
        let started = siege.world.run(&["daemon", "start"]);
        if started.code == 0 {
            siege.storm(edit.name);
        } else {
            siege.none_received(edit.name);
        }
        undo(former);
        siege.world.run(&["daemon", "start"]);
        siege.held(edit.name);
    }
    still_reads(&mut Agent::connect(&siege.world, &[]));
}

#[test]
fn no_edit_of_the_state_gets_a_call_through() {
    for edit in &STATE {
        let siege = Siege::begin();
        assert_eq!(siege.world.run(&["daemon", "stop"]).code, 0);
        apply(&siege, edit);
        try_prizes(&mut Agent::connect(&siege.world, &["--no-start"]));
        siege.none_received(edit.name);
        if siege.world.run(&["daemon", "start"]).code == 0 {
            try_prizes(&mut Agent::connect(&siege.world, &[]));
            siege.held(edit.name);
        }
        siege.none_received(edit.name);
    }
}

/// Each file of the state directory, removed alone, and all of them together.
#[test]
fn no_removal_from_the_state_gets_a_call_through() {
    let siege = Siege::begin();
    assert_eq!(siege.world.run(&["daemon", "stop"]).code, 0);
    let whole = siege.world.path("state");
    let kept = siege.world.path("kept");
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
        let mut agent = Agent::start(&siege.world, &[]);
        agent.ask("initialize", &hello());
        try_prizes(&mut agent);
        siege.none_received(&attempt);
        drop(agent);
        // Nor can a passphrase of its own be set, and the call then be approved.
        let status = siege.world.run(&["status", "--json"]);
        if status.code == 0 {
            let status: Value = serde_json::from_str(&status.out).unwrap();
            assert!(!status["passphrase"].is_null(), "{attempt}: the passphrase is forgotten");
        }
        siege.world.run(&["daemon", "stop"]);
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
