//! Tools that take the yes of several people on Telegram: what the terminal says of them.

use serde_json::json;

use crate::world::World;

/// A set-up in which mail is only sent when two of three people approve, whatever its policies allow.
fn with_quorum() -> World {
    let world = World::with_office();
    world.write("policies.json", &json!({"policies": {"office/*": "allow", "office/delete_*": "deny"}}));
    let telegram = json!({
        "token": "4711:test", "apiUrl": "http://127.0.0.1:9", "chat": -5, "deciders": [11, 22, 33],
        "quorum": [{"tools": ["office/send_*", "office/delete_*"], "approvals": 2}],
    });
    world.write("portero.json", &json!({ "telegram": telegram }));
    world
}

#[test]
fn why_and_policy_test_name_the_entry_with_its_place_and_whom_it_takes() {
    let world = with_quorum();
    for live in [false, true] {
        if live {
            assert_eq!(world.run(&["daemon", "start"]).code, 0);
        }
        let said = world.run(&["why", "office/send_mail"]);
        assert!(said.out.starts_with("office/send_mail: require-approval"), "{}{}", said.out, said.err);
        let because = "because needs the approval of several people by `office/send_*` (portero.json:1:";
        assert!(said.out.contains(because), "{}", said.out);
        assert!(said.out.contains("it takes 2 of 3 people (user 11, 22, 33) on Telegram"), "{}", said.out);
        assert!(said.out.contains("stronger than allowed by `office/*`"), "{}", said.out);
        assert!(world.run(&["why", "office/delete_mail"]).out.starts_with("office/delete_mail: deny"));
        assert_eq!(world.json(&["why", "office/send_mail"])["quorums"][0]["approvals"], 2);
    }
    let file = world.path("cases.json");
    std::fs::write(&file, r#"[{"tool": "office/send_mail", "expect": "allow"}]"#).unwrap();
    let said = world.run(&["policy", "test", file.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("+ require-approval: needs the approval of several people"), "{}", said.out);
}
