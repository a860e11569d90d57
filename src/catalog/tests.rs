//! The catalog as its users see it.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::json;
use crate::names::Operation;

pub(super) fn server(name: &str) -> config::Server {
    config::Server {
        name: name.parse().expect("a name"),
        command: "server".to_owned(),
        args: Vec::new(),
        env: BTreeMap::new(),
        env_passthrough: Vec::new(),
        cwd: None,
        timeout: None,
        prefix: true,
        shared: false,
        pinned_tools: None,
        categories: Vec::new(),
        roots: None,
    }
}

pub(super) fn raw(text: &str) -> RawJson {
    json::parse_raw(text.to_owned()).expect("JSON")
}

fn name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

fn id(text: &str) -> ToolId {
    text.parse().expect("a name")
}

/// An offer of tools that have nothing but a name.
fn tools(names: &[&str]) -> Offer {
    let tool = |name: &&str| raw(&format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#));
    Offer { tools: names.iter().map(tool).collect(), ..Offer::default() }
}

fn catalog(servers: &[(config::Server, Offer)]) -> Catalog {
    let configs: Vec<_> = servers.iter().map(|(server, _)| server.clone()).collect();
    let catalog = Catalog::new(&configs, None);
    for (server, offer) in servers {
        catalog.set_offer(&server.name, offer.clone());
    }
    catalog
}

fn listed(catalog: &Catalog, action: &dyn Fn(&ToolId) -> Action, recent: &[&str]) -> Vec<Value> {
    let recent: HashSet<ToolId> = recent.iter().map(|recent| id(recent)).collect();
    let list = catalog.list_tools(&View { action, recent: &recent, is_private: &|_| false });
    serde_json::from_str(list.expose().get()).expect("a JSON array")
}

fn allowed(catalog: &Catalog) -> Vec<Value> {
    listed(catalog, &|_| Action::Allow, &[])
}

fn names_of(list: &[Value]) -> Vec<&str> {
    list.iter().map(|tool| tool["name"].as_str().expect("a name")).collect()
}

/// The one tool of a server, as it is listed.
fn mended(tool: &str) -> Option<String> {
    let catalog = catalog(&[(server("s"), Offer { tools: vec![raw(tool)], ..Offer::default() })]);
    let recent = HashSet::new();
    let list =
        catalog.list_tools(&View { action: &|_| Action::Allow, recent: &recent, is_private: &|_| false });
    let items: Vec<RawJson> = serde_json::from_str(list.expose().get()).expect("a JSON array");
    items.first().map(|item| item.get().to_owned())
}

#[test]
fn a_good_tool_is_listed_byte_for_byte_under_its_alias() {
    let tool = r#"{"x-new":[1.10,1234567890123456789012345678901234567890],"inputSchema":{ "type":"object","properties":{"a":{"const":1e400}}},"name":"send","description":"\u00e9 / \/","annotations":{"readOnlyHint":true,"other":7},"_meta":{"k":[ ]}}"#;
    assert_eq!(mended(tool), Some(tool.replace(r#""name":"send""#, r#""name":"s__send""#)));
}

#[test]
fn a_harmful_tool_is_mended() {
    for (harmful, expected) in [
        (r#"{"name":"t"}"#, r#"{"name":"s__t","inputSchema":{"type":"object"}}"#),
        (r#"{"name":"t","inputSchema":null}"#, r#"{"name":"s__t","inputSchema":{"type":"object"}}"#),
        (r#"{"name":"t","inputSchema":{}}"#, r#"{"name":"s__t","inputSchema":{"type":"object"}}"#),
        (
            r#"{"name":"t","inputSchema":{"properties":{"a":{}},"n":1.0}}"#,
            r#"{"name":"s__t","inputSchema":{"properties":{"a":{}},"n":1.0,"type":"object"}}"#,
        ),
        (
            r#"{"name":"t","inputSchema":{"type":["object","null"]}}"#,
            r#"{"name":"s__t","inputSchema":{"type":"object"}}"#,
        ),
        (
            r#"{"name":"t","inputSchema":{"type":"object","properties":{"a":true,"b":{"x":1}}}}"#,
            r#"{"name":"s__t","inputSchema":{"type":"object","properties":{"a":{},"b":{"x":1}}}}"#,
        ),
        (
            r#"{"name":"t","inputSchema":{"type":"object","properties":null,"required":"a"}}"#,
            r#"{"name":"s__t","inputSchema":{"type":"object"}}"#,
        ),
        (
            r#"{"name":"t","description":7,"title":null,"inputSchema":{"type":"object"}}"#,
            r#"{"name":"s__t","inputSchema":{"type":"object"}}"#,
        ),
        (
            r#"{"name":"t","description":"\ud800","inputSchema":{"type":"object"}}"#,
            // Half of a character in it: not listed at all.
            "",
        ),
        (
            r#"{"name":"t","annotations":{"readOnlyHint":"yes","title":"T","destructiveHint":false},"inputSchema":{"type":"object"}}"#,
            r#"{"name":"s__t","annotations":{"title":"T","destructiveHint":false},"inputSchema":{"type":"object"}}"#,
        ),
        (
            r#"{"name":"t","annotations":[],"_meta":7,"icons":[{"src":1}],"execution":{"taskSupport":"x"},"inputSchema":{"type":"object"}}"#,
            r#"{"name":"s__t","inputSchema":{"type":"object"}}"#,
        ),
        (
            r#"{"name":"t","outputSchema":{"type":"array"},"inputSchema":{"type":"object"}}"#,
            r#"{"name":"s__t","inputSchema":{"type":"object"}}"#,
        ),
        (
            r#"{"name":"u","name":"t","inputSchema":{"type":"object"}}"#,
            r#"{"name":"s__t","inputSchema":{"type":"object"}}"#,
        ),
    ] {
        assert_eq!(mended(harmful).unwrap_or_default(), expected, "{harmful}");
    }
}

#[test]
fn a_tool_with_any_name_is_listed_under_an_alias_that_leads_back_to_it() {
    let odd = [
        "github/create_issue",
        "list projects",
        "büro.öffnen",
        "a@b:c*'${d}",
        "x\u{7}y",
        "\u{202e}abc",
        "%2F",
        "resources:read",
        &"long/".repeat(100),
    ];
    let tool = |name: &&str| {
        let name = json::raw(*name);
        raw(&format!(r#"{{"name":{name},"inputSchema":{{"type":"object"}}}}"#))
    };
    let offer = Offer { tools: odd.iter().map(tool).collect(), ..Offer::default() };
    let catalog = catalog(&[(server("s"), offer)]);
    let list = allowed(&catalog);
    let aliases = names_of(&list);
    assert_eq!(aliases.len(), odd.len());
    for (alias, name) in aliases.iter().zip(odd) {
        assert!(
            alias.len() <= alias::MOST
                && alias.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        );
        let id = catalog.resolve_tool(alias).expect(alias);
        assert_eq!(catalog.tool(&id).expect("listed").name.expose(), name);
        assert!(id.tool.is_of(name) && id.tool.operation().is_none());
        assert_eq!(catalog.resolve_tool(&id.to_string()).as_ref(), Some(&id), "by its canonical name");
        assert_eq!(catalog.resolve_tool(&format!("s/{name}")).as_ref(), Some(&id), "by the server's own");
        let literal = crate::pattern::Pattern::from(&id);
        let covered = catalog.tools().iter().filter(|tool| literal.matches(&tool.id)).count();
        assert_eq!(covered, 1, "{id} is a pattern for itself alone");
        assert_eq!(id.to_string().parse::<crate::pattern::Pattern>().expect("a pattern").exact(), Some(&id));
    }
    assert!(catalog.left_out(&|_| false).is_empty());
}

#[test]
fn what_is_left_out_is_counted_by_reason_and_private_names_are_no_examples() {
    let offer = Offer {
        tools: vec![
            raw(r#"{"name":"one","inputSchema":[]}"#),
            raw(r#"{"name":"two","inputSchema":[]}"#),
            raw(r#"{"name":"","inputSchema":{"type":"object"}}"#),
            raw(r#"{"name":"mail Erika","inputSchema":{"type":"object"}}"#),
        ],
        ..Offer::default()
    };
    let catalog = catalog(&[(server("s"), offer)]);
    let left_out = catalog.left_out(&|name| name.contains("Erika"));
    let words: Vec<String> = left_out.iter().map(|one| one.describe(&Anonymizer::none())).collect();
    assert!(
        words.iter().any(|words| words.starts_with("2 left out: ") && words.contains("`one`, `two`")),
        "{words:?}"
    );
    assert!(words.contains(&"1 left out: its name holds a private value".to_owned()), "{words:?}");
    assert_eq!(left_out.iter().map(|one| one.count).sum::<usize>(), 4);
}

#[test]
fn a_tool_that_cannot_be_mended_is_not_listed_and_somebody_is_told() {
    let deep = format!(r#"{{"name":"deep","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let offer = Offer {
        tools: [
            "7",
            r#"{"description":"no name"}"#,
            r#"{"name":""}"#,
            r#"{"name":"good","inputSchema":{"type":"object"}}"#,
            r#"{"name":"good","description":"again","inputSchema":{"type":"object"}}"#,
            r#"{"name":"text","inputSchema":{"type":"string"}}"#,
            r#"{"name":"odd","inputSchema":{"type":"object","properties":{"a b":{}}}}"#,
            &deep,
        ]
        .map(raw)
        .into(),
        ..Offer::default()
    };
    let catalog = catalog(&[(server("s"), offer)]);
    assert_eq!(names_of(&allowed(&catalog)), ["s__good"]);
    let complaints = catalog.complaints();
    let told: Vec<(&str, Remedy)> =
        complaints.iter().map(|complaint| (complaint.subject.expose().as_str(), complaint.remedy)).collect();
    assert_eq!(
        told,
        [
            ("?", Remedy::Dropped),
            ("?", Remedy::Dropped),
            ("", Remedy::Dropped),
            ("good", Remedy::Dropped),
            ("text", Remedy::Unlisted),
            ("odd", Remedy::Unlisted),
            ("deep", Remedy::Unlisted),
            ("deep", Remedy::Mended),
        ]
    );
    assert_eq!(catalog.resolve_tool("s/odd"), Some(id("s/odd")), "what is not listed can be called");
    assert_eq!(catalog.resolve_tool("s/a b"), None);
    assert!(catalog.tool(&id("s/good")).expect("there").description.is_none(), "the first counts");
}

#[test]
fn a_tool_is_found_by_its_alias_its_canonical_name_and_nothing_else() {
    let catalog = catalog(&[(server("github"), tools(&["create_issue", "a.b"]))]);
    let dotted = alias::wire_name("github", "a.b");
    for (spelled, meant) in [
        ("github__create_issue", Some("github/create_issue")),
        ("github/create_issue", Some("github/create_issue")),
        ("mcp__portero__github__create_issue", Some("github/create_issue")),
        (&*alias::wire_name_with_digest("github", "create_issue"), Some("github/create_issue")),
        (&*dotted, Some("github/a.b")),
        ("github/a.b", Some("github/a.b")),
        ("create_issue", None),
        ("GitHub__create_issue", None),
        ("github__a.b", None),
        ("github/delete", None),
        ("portero/search_tools", None),
        ("github/resources:read", None),
        ("", None),
    ] {
        assert_eq!(catalog.resolve_tool(spelled), meant.map(id), "{spelled}");
    }
}

#[test]
fn tools_come_in_the_order_of_the_configuration_whoever_answers_first() {
    let (one, two) = (server("one"), server("two"));
    let catalog = Catalog::new(&[one.clone(), two.clone()], None);
    catalog.set_offer(&two.name, tools(&["z", "a"]));
    assert_eq!(names_of(&allowed(&catalog)), ["two__z", "two__a"]);
    catalog.set_offer(&one.name, tools(&["y", "b"]));
    assert_eq!(names_of(&allowed(&catalog)), ["one__y", "one__b", "two__z", "two__a"]);
    assert_eq!(catalog.tool_count(), 4);
}

#[test]
fn what_policy_denies_is_not_listed_and_what_waits_has_no_output_schema() {
    let tool = |name: &str| {
        raw(&format!(
            r#"{{"name":"{name}","outputSchema":{{"type":"object"}},"inputSchema":{{"type":"object"}}}}"#
        ))
    };
    let offer = Offer { tools: vec![tool("free"), tool("ask"), tool("never")], ..Offer::default() };
    let catalog = catalog(&[(server("s"), offer)]);
    let action = |id: &ToolId| match id.tool.as_str() {
        "free" => Action::Allow,
        "ask" => Action::RequireApproval,
        _ => Action::Deny,
    };
    let list = listed(&catalog, &action, &[]);
    assert_eq!(names_of(&list), ["s__free", "s__ask"]);
    assert!(list[0].get("outputSchema").is_some() && list[1].get("outputSchema").is_none());
}

#[test]
fn of_a_server_that_pins_tools_only_those_and_the_recent_ones_are_listed() {
    let mut pinning = server("s");
    pinning.pinned_tools = Some(vec!["b".to_owned(), "gone".to_owned()]);
    let catalog = catalog(&[(pinning, tools(&["a", "b", "c"])), (server("t"), tools(&["d"]))]);
    assert_eq!(names_of(&allowed(&catalog)), ["s__b", "t__d"]);
    let list = listed(&catalog, &|_| Action::Allow, &["s/c"]);
    assert_eq!(names_of(&list), ["s__b", "s__c", "t__d"]);
    let list =
        listed(&catalog, &|id| if id.tool.as_str() == "c" { Action::Deny } else { Action::Allow }, &["s/c"]);
    assert_eq!(names_of(&list), ["s__b", "t__d"], "recent use lifts no deny");
}

#[test]
fn own_names_are_exposed_where_they_are_free() {
    let bare = |name: &str| config::Server { prefix: false, ..server(name) };
    let servers = [bare("one"), bare("two"), server("gmail")];
    let cache = tempfile::tempdir().expect("a directory");
    let known = |catalog: Catalog| {
        for (server, offer) in [
            ("one", tools(&["read", "gmail__send", "a.b"])),
            ("two", tools(&["read", "Write"])),
            ("gmail", tools(&["send"])),
        ] {
            catalog.set_offer(&server.parse().expect("a name"), offer);
        }
        catalog
    };
    // What the first one offers is known from before; else the second would be prefixed.
    known(Catalog::new(&servers, Some(Cache::new(cache.path().into(), "/project".into()))));
    let catalog = known(Catalog::new(&servers, Some(Cache::new(cache.path().into(), "/project".into()))));
    let dotted = alias::wire_name("one", "a.b");
    let ambiguous = "one__gmail__send";
    assert_eq!(
        names_of(&allowed(&catalog)),
        ["read", ambiguous, &dotted, "two__read", "Write", "gmail__send"]
    );
    assert_eq!(catalog.resolve_tool("read"), Some(id("one/read")));
    assert_eq!(catalog.resolve_tool("one__read"), Some(id("one/read")));
    assert_eq!(catalog.resolve_tool("gmail__send"), Some(id("gmail/send")));
}

#[test]
fn a_change_is_told_by_the_list_that_it_is_in() {
    let s = server("s");
    let catalog = Catalog::new(std::slice::from_ref(&s), None);
    assert!(!catalog.known(&s.name));
    assert_eq!(catalog.missing(), std::slice::from_ref(&s.name));
    assert_eq!(catalog.set_offer(&s.name, Offer::default()), []);
    assert!(catalog.known(&s.name) && catalog.missing().is_empty());
    assert_eq!(catalog.set_offer(&s.name, tools(&["a"])), [List::Tools]);
    assert_eq!(catalog.set_offer(&s.name, tools(&["a"])), []);
    let mut offer = tools(&["a"]);
    offer.templates.push(raw(r#"{"uriTemplate":"a:{b}","name":"t"}"#));
    offer.prompts.push(raw(r#"{"name":"p"}"#));
    assert_eq!(catalog.set_offer(&s.name, offer), [List::Resources, List::Prompts]);
    assert_eq!(catalog.set_offer(&name("unknown"), tools(&["a"])), []);
}

#[test]
fn a_failure_keeps_what_was_known_and_is_forgotten_after_success() {
    let (one, two) = (server("one"), server("two"));
    let catalog = Catalog::new(&[one.clone(), two.clone()], None);
    catalog.set_offer(&one.name, tools(&["a"]));
    catalog.offer_failed(&one.name, "no".to_owned());
    catalog.offer_failed(&two.name, "no".to_owned());
    assert!(catalog.known(&one.name) && !catalog.known(&two.name));
    assert!(catalog.missing().is_empty(), "nobody waits for what failed");
    assert_eq!(catalog.failures().len(), 2);
    catalog.set_offer(&two.name, Offer::default());
    assert_eq!(catalog.failures(), [(one.name.clone(), "no".to_owned())]);
    assert_eq!(names_of(&allowed(&catalog)), ["one__a"]);
}

#[test]
fn the_cache_fills_the_catalog_of_the_next_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("catalog");
    let cache = || Some(Cache::new(folder.clone(), "/project".into()));
    let s = server("s");
    let mut offer = tools(&["a"]);
    offer.instructions = Some("be kind".to_owned());
    offer.capabilities = Some(raw(r#"{"tools":{}}"#));
    let first = Catalog::new(std::slice::from_ref(&s), cache());
    first.set_offer(&s.name, offer.clone());
    let definition = first.definition(&id("s/a"));

    let next = Catalog::new(std::slice::from_ref(&s), cache());
    assert!(next.known(&s.name) && next.missing().is_empty());
    assert_eq!(names_of(&allowed(&next)), ["s__a"]);
    assert_eq!(next.definition(&id("s/a")), definition);
    assert_eq!(next.instructions(&s.name).map(Real::into_exposed).as_deref(), Some("be kind"));
    assert_eq!(next.capabilities(&s.name).expect("declared").expose().get(), r#"{"tools":{}}"#);
    assert_eq!(next.set_offer(&s.name, offer), [], "the same as cached is no change");

    assert_eq!(heard_tools(std::slice::from_ref(&s), &folder), [(s.name.clone(), vec![id("s/a")])]);
    assert_eq!(heard_tools(&[server("silent")], &folder), []);

    let changed = config::Server { command: "another".to_owned(), ..s.clone() };
    assert!(!Catalog::new(&[changed], cache()).known(&s.name));
}

#[test]
fn a_new_configuration_keeps_what_it_does_not_change() {
    let (one, two) = (server("one"), server("two"));
    let catalog = Catalog::new(&[one.clone(), two.clone()], None);
    catalog.set_offer(&one.name, tools(&["a"]));
    catalog.set_offer(&two.name, Offer { prompts: vec![raw(r#"{"name":"p"}"#)], ..tools(&["b"]) });
    assert_eq!(catalog.replace(&[one.clone(), two.clone()]), []);

    let bare = config::Server { prefix: false, ..two.clone() };
    assert_eq!(catalog.replace(&[bare.clone(), one.clone()]), [List::Tools, List::Prompts]);
    assert_eq!(names_of(&allowed(&catalog)), ["b", "one__a"]);

    let restarted = config::Server { command: "new".to_owned(), ..one.clone() };
    assert_eq!(catalog.replace(&[restarted, bare]), [List::Tools]);
    assert_eq!(catalog.missing(), [one.name]);
    assert_eq!(catalog.replace(&[]), [List::Tools, List::Prompts]);
    assert_eq!(catalog.tool_count(), 0);
}

#[test]
fn the_definition_changes_with_any_byte() {
    let definition = |tool: &str| {
        let catalog = catalog(&[(server("s"), Offer { tools: vec![raw(tool)], ..Offer::default() })]);
        catalog.definition(&id("s/t")).expect("listed")
    };
    let one = definition(r#"{"name":"t","x":1.0}"#);
    assert_eq!(one, definition(r#"{"name":"t","x":1.0}"#));
    assert_ne!(one, definition(r#"{"name":"t","x":1.00}"#));
    assert_eq!(one.len(), 64);
}

fn with_resources() -> Catalog {
    let offer = |resources: &[&str], templates: &[&str]| Offer {
        resources: resources.iter().map(|text| raw(text)).collect(),
        templates: templates.iter().map(|text| raw(text)).collect(),
        ..Offer::default()
    };
    catalog(&[
        (
            server("one"),
            offer(
                &[
                    r#"{"uri":"file:///a b?x#y","name":"A","size":1.5,"mimeType":7,"n":1.10}"#,
                    r#"{"uri":"both:1","annotations":{"priority":7,"audience":["user"]}}"#,
                    r#"{"uri":"both:1","name":"again"}"#,
                    r#"{"name":"no uri"}"#,
                ],
                &[r#"{"uriTemplate":"db://{table}/{id}","name":"T"}"#],
            ),
        ),
        (
            server("Two"),
            offer(&[r#"{"uri":"both:1","name":"B"}"#], &[r#"{"uriTemplate":"db://x/{+y}","name":"T"}"#]),
        ),
    ])
}

#[test]
fn resources_are_listed_wrapped_and_mended() {
    let catalog = with_resources();
    let recent = HashSet::new();
    let all = View { action: &|_| Action::Allow, recent: &recent, is_private: &|_| false };
    assert_eq!(
        catalog.list_resources(&all).expose().get(),
        concat!(
            r#"[{"uri":"portero://one/file:///a b?x#y","name":"A","n":1.10},"#,
            r#"{"uri":"portero://one/both:1","annotations":{"audience":["user"]},"name":"both:1"},"#,
            r#"{"uri":"portero://Two/both:1","name":"B"}]"#
        )
    );
    assert_eq!(
        catalog.list_templates(&all).expose().get(),
        concat!(
            r#"[{"uriTemplate":"portero://one/db://{table}/{id}","name":"T"},"#,
            r#"{"uriTemplate":"portero://Two/db://x/{+y}","name":"T"}]"#
        )
    );
    let some = View {
        action: &|id| {
            let one = id.server.as_str() == "one" && id.tool.operation() == Some(Operation::ReadResource);
            if one { Action::Deny } else { Action::Allow }
        },
        recent: &recent,
        is_private: &|_| false,
    };
    assert_eq!(
        catalog.list_resources(&some).expose().get(),
        r#"[{"uri":"portero://Two/both:1","name":"B"}]"#
    );
}

#[test]
fn a_resource_is_found_on_the_right_server() {
    let catalog = with_resources();
    let two = name("Two");
    for (uri, prefer, found) in [
        ("portero://one/file:///a b?x#y", None, Some(("one", "file:///a b?x#y"))),
        ("portero://Two/never:listed", None, Some(("Two", "never:listed"))),
        ("portero://two/both:1", None, Some(("Two", "both:1"))),
        ("portero://three/both:1", None, None),
        ("portero://one/portero://Two/both:1", None, Some(("one", "portero://Two/both:1"))),
        ("file:///a b?x#y", None, Some(("one", "file:///a b?x#y"))),
        ("both:1", None, None),
        ("both:1", Some(&two), Some(("Two", "both:1"))),
        ("db://users/7", None, Some(("one", "db://users/7"))),
        ("db://x/7/8", None, Some(("Two", "db://x/7/8"))),
        ("db://x/7", None, None),
        ("what:else", None, None),
        ("what:else", Some(&two), Some(("Two", "what:else"))),
    ] {
        let found = found.map(|(server, uri)| (name(server), uri.to_owned()));
        assert_eq!(catalog.resolve_resource(uri, prefer), found, "{uri}");
    }
}

#[test]
fn prompts_are_named_like_tools() {
    let offer = |prompts: &[&str]| Offer {
        prompts: prompts.iter().map(|text| raw(text)).collect(),
        ..Offer::default()
    };
    let catalog = catalog(&[
        (
            server("one"),
            offer(&[
                r#"{"name":"code review","arguments":[{"name":"x","required":true,"n":1.0},{"name":7},3]}"#,
                r#"{"name":"p","title":3,"arguments":{}}"#,
                r#"{"title":"no name"}"#,
            ]),
        ),
        (config::Server { prefix: false, ..server("two") }, offer(&[r#"{"name":"p"}"#])),
    ]);
    let recent = HashSet::new();
    let list =
        catalog.list_prompts(&View { action: &|_| Action::Allow, recent: &recent, is_private: &|_| false });
    let folded = alias::wire_name("one", "code review");
    assert_eq!(
        list.expose().get(),
        format!(
            r#"[{{"name":"{folded}","arguments":[{{"name":"x","required":true,"n":1.0}}]}},{{"name":"one__p"}},{{"name":"p"}}]"#
        )
    );
    for (spelled, found) in [
        (&*folded, Some(("one", "code review"))),
        ("one/code review", Some(("one", "code review"))),
        ("one__p", Some(("one", "p"))),
        ("p", Some(("two", "p"))),
        ("two__p", Some(("two", "p"))),
        ("q", None),
    ] {
        let found = found.map(|(server, prompt)| (name(server), prompt.to_owned()));
        assert_eq!(catalog.resolve_prompt(spelled), found, "{spelled}");
    }
    assert_eq!(catalog.complaints().len(), 4);
}

/// What the clients' own schemas demand of a tool; one that fails loses the whole list.
fn client_refuses(tool: &Value) -> Option<&'static str> {
    let text = |value: &Value| value.is_string();
    let optional = |key: &str, good: &dyn Fn(&Value) -> bool| tool.get(key).is_none_or(good);
    let boolean = |key: &str| tool["annotations"].get(key).is_none_or(Value::is_boolean);
    let schema = |schema: &Value| {
        schema["type"] == "object"
            && schema
                .get("properties")
                .is_none_or(|all| all.as_object().is_some_and(|all| all.values().all(Value::is_object)))
            && schema.get("required").is_none_or(|all| all.as_array().is_some_and(|all| all.iter().all(text)))
    };
    let model_takes = |key: &String| {
        (1..=64).contains(&key.len()) && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    let name = tool["name"].as_str().unwrap_or_default();
    let checks = [
        (!name.is_empty() && name.len() <= alias::MOST, "name"),
        (name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "name's characters"),
        (tool.get("inputSchema").is_some_and(schema), "inputSchema"),
        (
            tool["inputSchema"]["properties"]
                .as_object()
                .is_none_or(|properties| properties.keys().all(model_takes)),
            "property key",
        ),
        (optional("outputSchema", &schema), "outputSchema"),
        (optional("title", &text), "title"),
        (optional("description", &text), "description"),
        (optional("annotations", &Value::is_object), "annotations"),
        (optional("_meta", &Value::is_object), "_meta"),
        (tool["annotations"].get("title").is_none_or(text), "annotations.title"),
        (
            ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"].into_iter().all(boolean),
            "a hint",
        ),
        (
            optional("icons", &|icons| {
                icons.as_array().is_some_and(|icons| icons.iter().all(|icon| icon["src"].is_string()))
            }),
            "icons",
        ),
        (
            optional("execution", &|execution| {
                execution.is_object()
                    && execution.get("taskSupport").is_none_or(|support| {
                        ["forbidden", "optional", "required"].iter().any(|known| support == known)
                    })
            }),
            "execution",
        ),
    ];
    checks.into_iter().find(|(good, _)| !good).map(|(_, what)| what)
}

/// Any JSON, preferring what tools are made of.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(vec!["object", "string", "a", "required", "", "ü"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key = prop::sample::select(vec![
            "type",
            "properties",
            "required",
            "a",
            "b c",
            "src",
            "title",
            "readOnlyHint",
            "taskSupport",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

fn any_tool() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "title",
        "description",
        "inputSchema",
        "outputSchema",
        "annotations",
        "icons",
        "_meta",
        "execution",
        "x",
    ]);
    let name = prop_oneof![
        4 => "[a-zA-Z0-9_.-]{1,60}".prop_map(Value::from),
        1 => anything(),
    ];
    (prop::collection::btree_map(key, anything(), 0..7), name).prop_map(|(members, name)| {
        let mut tool: serde_json::Map<_, _> =
            members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        tool.insert("name".to_owned(), name);
        Value::Object(tool)
    })
}

/// A tool as the specification has it, with unknown members of any kind.
fn good_tool() -> impl Strategy<Value = Value> {
    let property = ("[a-zA-Z0-9_.-]{1,64}", anything());
    let parts = (
        "[a-zA-Z0-9_.-]{1,60}",
        prop::option::of("\\PC{0,20}"),
        prop::collection::vec(property, 0..3),
        prop::option::of(any::<bool>()),
        anything(),
        any::<bool>(),
    );
    parts.prop_map(|(name, description, properties, hint, unknown, output)| {
        let properties: serde_json::Map<_, _> = properties
            .into_iter()
            .map(|(key, value)| (key, serde_json::json!({"default": value, "type": "string"})))
            .collect();
        let schema = serde_json::json!({"x": unknown, "type": "object", "properties": properties});
        let mut tool = serde_json::json!({"x": unknown, "name": name, "inputSchema": schema});
        if let Some(description) = description {
            tool["description"] = Value::from(description);
        }
        if let Some(hint) = hint {
            tool["annotations"] = serde_json::json!({"readOnlyHint": hint, "x": unknown});
        }
        if output {
            tool["outputSchema"] = schema;
        }
        tool
    })
}

proptest! {
    #[test]
    fn no_server_can_make_a_client_drop_the_list(offered in prop::collection::vec(prop_oneof![any_tool(), anything()], 0..6)) {
        let offer = Offer { tools: offered.iter().map(json::raw).collect(), ..Offer::default() };
        let catalog = catalog(&[(server("some.server"), offer.clone()), (server("other"), offer)]);
        let list = allowed(&catalog);
        for tool in &list {
            prop_assert_eq!(client_refuses(tool), None, "{}", tool);
        }
        let names = names_of(&list);
        let folded: HashSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        prop_assert_eq!(folded.len(), names.len());
        for name in names {
            prop_assert!(catalog.resolve_tool(name).is_some());
        }
    }

    #[test]
    fn a_tool_that_clients_take_is_not_touched(tool in good_tool()) {
        let catalog = catalog(&[(server("s"), Offer { tools: vec![json::raw(&tool)], ..Offer::default() })]);
        let mut as_listed = tool.clone();
        as_listed["name"] = Value::from(alias::wire_name("s", tool["name"].as_str().expect("a name")));
        prop_assert_eq!(client_refuses(&as_listed), None);
        prop_assert_eq!(allowed(&catalog), vec![as_listed]);
    }

    #[test]
    fn an_alias_does_not_depend_on_what_else_is_listed(names in prop::collection::btree_set("[a-c_.-]{1,6}", 1..6)) {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let together = catalog(&[(server("s"), tools(&all))]);
        for name in all {
            let alone = catalog(&[(server("s"), tools(&[name]))]);
            let alias = names_of(&allowed(&alone))[0].to_owned();
            prop_assert_eq!(together.resolve_tool(&alias), alone.resolve_tool(&alias));
        }
    }
}
