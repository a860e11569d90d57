//! The catalog as its users see it.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::json;
use crate::names::Operation;

pub(super) fn server_config(name: &str) -> config::ServerConfig {
    config::ServerConfig {
        name: name.parse().expect("a name"),
        transport: config::ServerTransport::Stdio(config::StdioServer {
            command: "server".to_owned(),
            ..config::StdioServer::default()
        }),
        timeout: None,
        prefix: true,
        instance: config::ServerInstance::Session,
        stateless: false,
        pinned_tools: None,
        categories: Vec::new(),
        roots: None,
    }
}

/// The program of a server of [`server_config`].
pub(super) fn stdio_of(server: &mut config::ServerConfig) -> &mut config::StdioServer {
    match &mut server.transport {
        config::ServerTransport::Stdio(server) => server,
        config::ServerTransport::Http(_) => panic!("it is a program"),
    }
}

/// The same server, started by another program.
fn started_by(command: &str, server: &config::ServerConfig) -> config::ServerConfig {
    let mut other = server.clone();
    command.clone_into(&mut stdio_of(&mut other).command);
    other
}

pub(super) fn raw_json(text: &str) -> RawJson {
    json::parse_raw(text.to_owned()).expect("JSON")
}

fn server_name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

fn tool_id(text: &str) -> ToolId {
    text.parse().expect("a name")
}

/// An offer of tools that have nothing but a name.
fn tools_listing(names: &[&str]) -> ServerListing {
    let tool = |name: &&str| raw_json(&format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#));
    ServerListing { tools: names.iter().map(tool).collect(), ..ServerListing::default() }
}

fn catalog_of(servers: &[(config::ServerConfig, ServerListing)]) -> Catalog {
    let configs: Vec<_> = servers.iter().map(|(server, _)| server.clone()).collect();
    let catalog = Catalog::new(&configs, None);
    for (server, offer) in servers {
        catalog.set_listing(&server.name, offer.clone());
    }
    catalog
}

fn list_tools_as(catalog: &Catalog, action: &dyn Fn(&ToolId) -> Action, recent: &[&str]) -> Vec<Value> {
    let recent: HashSet<ToolId> = recent.iter().map(|recent| tool_id(recent)).collect();
    let list = catalog.list_tools(&CatalogView { action, recent: &recent, is_private: &|_| false });
    serde_json::from_str(list.expose().get()).expect("a JSON array")
}

fn list_allowed_tools(catalog: &Catalog) -> Vec<Value> {
    list_tools_as(catalog, &|_| Action::Allow, &[])
}

fn names_of(list: &[Value]) -> Vec<&str> {
    list.iter().map(|tool| tool["name"].as_str().expect("a name")).collect()
}

/// The one tool of a server, as it is listed.
fn list_single_tool(tool: &str) -> Option<String> {
    let catalog = catalog_of(&[(
        server_config("s"),
        ServerListing { tools: vec![raw_json(tool)], ..ServerListing::default() },
    )]);
    let recent = HashSet::new();
    let list = catalog.list_tools(&CatalogView {
        action: &|_| Action::Allow,
        recent: &recent,
        is_private: &|_| false,
    });
    let items: Vec<RawJson> = serde_json::from_str(list.expose().get()).expect("a JSON array");
    items.first().map(|item| item.get().to_owned())
}

#[test]
fn a_good_tool_is_listed_byte_for_byte_under_its_alias() {
    let tool = r#"{"x-new":[1.10,1234567890123456789012345678901234567890],"inputSchema":{ "type":"object","properties":{"a":{"const":1e400}}},"name":"send","description":"\u00e9 / \/","annotations":{"readOnlyHint":true,"other":7},"_meta":{"k":[ ]}}"#;
    assert_eq!(list_single_tool(tool), Some(tool.replace(r#""name":"send""#, r#""name":"s__send""#)));
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
        assert_eq!(list_single_tool(harmful).unwrap_or_default(), expected, "{harmful}");
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
        let name = json::serialize_raw(*name);
        raw_json(&format!(r#"{{"name":{name},"inputSchema":{{"type":"object"}}}}"#))
    };
    let offer = ServerListing { tools: odd.iter().map(tool).collect(), ..ServerListing::default() };
    let catalog = catalog_of(&[(server_config("s"), offer)]);
    let list = list_allowed_tools(&catalog);
    let aliases = names_of(&list);
    assert_eq!(aliases.len(), odd.len());
    for (alias, name) in aliases.iter().zip(odd) {
        assert!(
            alias.len() <= alias::MAX_ALIAS_CHARS
                && alias.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        );
        let id = catalog.resolve_tool(alias).expect(alias);
        assert_eq!(catalog.tool(&id).expect("listed").name.expose(), name);
        assert!(id.tool.matches_original(name) && id.tool.operation().is_none());
        assert_eq!(catalog.resolve_tool(&id.to_string()).as_ref(), Some(&id), "by its canonical name");
        assert_eq!(catalog.resolve_tool(&format!("s/{name}")).as_ref(), Some(&id), "by the server's own");
        let literal = crate::pattern::Pattern::from(&id);
        let covered = catalog.tools().iter().filter(|tool| literal.matches(&tool.id)).count();
        assert_eq!(covered, 1, "{id} is a pattern for itself alone");
        assert_eq!(
            id.to_string().parse::<crate::pattern::Pattern>().expect("a pattern").exact_tool(),
            Some(&id)
        );
    }
    assert!(catalog.omitted_entries(&|_| false).is_empty());
}

#[test]
fn what_is_left_out_is_counted_by_reason_and_private_names_are_no_examples() {
    let offer = ServerListing {
        tools: vec![
            raw_json(r#"{"name":"one","inputSchema":[]}"#),
            raw_json(r#"{"name":"two","inputSchema":[]}"#),
            raw_json(r#"{"name":"","inputSchema":{"type":"object"}}"#),
            raw_json(r#"{"name":"mail Erika","inputSchema":{"type":"object"}}"#),
        ],
        ..ServerListing::default()
    };
    let catalog = catalog_of(&[(server_config("s"), offer)]);
    let left_out = catalog.omitted_entries(&|name| name.contains("Erika"));
    let words: Vec<String> = left_out.iter().map(|one| one.describe(&Anonymizer::empty())).collect();
    assert!(
        words.iter().any(|words| words.starts_with("2 left out: ") && words.contains("`one`, `two`")),
        "{words:?}"
    );
    assert!(words.contains(&"1 left out: its name holds a private value".to_owned()), "{words:?}");
    assert_eq!(left_out.iter().map(|one| one.count).sum::<usize>(), 4);
}

#[test]
fn a_tool_that_cannot_be_corrected_is_not_listed_and_is_reported() {
    let deep = format!(r#"{{"name":"deep","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let offer = ServerListing {
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
        .map(raw_json)
        .into(),
        ..ServerListing::default()
    };
    let catalog = catalog_of(&[(server_config("s"), offer)]);
    assert_eq!(names_of(&list_allowed_tools(&catalog)), ["s__good"]);
    let complaints = catalog.problems();
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
            ("deep", Remedy::Sanitized),
        ]
    );
    assert_eq!(catalog.resolve_tool("s/odd"), Some(tool_id("s/odd")), "what is not listed can be called");
    assert_eq!(catalog.resolve_tool("s/a b"), None);
    assert!(catalog.tool(&tool_id("s/good")).expect("there").description.is_none(), "the first counts");
}

#[test]
fn a_tool_is_found_by_its_alias_its_canonical_name_and_nothing_else() {
    let catalog = catalog_of(&[(server_config("github"), tools_listing(&["create_issue", "a.b"]))]);
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
        assert_eq!(catalog.resolve_tool(spelled), meant.map(tool_id), "{spelled}");
    }
}

#[test]
fn tools_come_in_the_order_of_the_configuration_whichever_answers_first() {
    let (one, two) = (server_config("one"), server_config("two"));
    let catalog = Catalog::new(&[one.clone(), two.clone()], None);
    catalog.set_listing(&two.name, tools_listing(&["z", "a"]));
    assert_eq!(names_of(&list_allowed_tools(&catalog)), ["two__z", "two__a"]);
    catalog.set_listing(&one.name, tools_listing(&["y", "b"]));
    assert_eq!(names_of(&list_allowed_tools(&catalog)), ["one__y", "one__b", "two__z", "two__a"]);
    assert_eq!(catalog.tools().len(), 4);
}

#[test]
fn what_policy_denies_is_not_listed_and_what_waits_has_no_output_schema() {
    let tool = |name: &str| {
        raw_json(&format!(
            r#"{{"name":"{name}","outputSchema":{{"type":"object"}},"inputSchema":{{"type":"object"}}}}"#
        ))
    };
    let offer =
        ServerListing { tools: vec![tool("free"), tool("ask"), tool("never")], ..ServerListing::default() };
    let catalog = catalog_of(&[(server_config("s"), offer)]);
    let action = |id: &ToolId| match id.tool.as_str() {
        "free" => Action::Allow,
        "ask" => Action::RequireApproval,
        _ => Action::Deny,
    };
    let list = list_tools_as(&catalog, &action, &[]);
    assert_eq!(names_of(&list), ["s__free", "s__ask"]);
    assert!(list[0].get("outputSchema").is_some() && list[1].get("outputSchema").is_none());
}

#[test]
fn of_a_server_that_pins_tools_only_those_and_the_recent_ones_are_listed() {
    let mut pinning = server_config("s");
    pinning.pinned_tools = Some(vec!["b".to_owned(), "gone".to_owned()]);
    let catalog = catalog_of(&[
        (pinning, tools_listing(&["a", "b", "c"])),
        (server_config("t"), tools_listing(&["d"])),
    ]);
    assert_eq!(names_of(&list_allowed_tools(&catalog)), ["s__b", "t__d"]);
    let list = list_tools_as(&catalog, &|_| Action::Allow, &["s/c"]);
    assert_eq!(names_of(&list), ["s__b", "s__c", "t__d"]);
    let list = list_tools_as(
        &catalog,
        &|id| if id.tool.as_str() == "c" { Action::Deny } else { Action::Allow },
        &["s/c"],
    );
    assert_eq!(names_of(&list), ["s__b", "t__d"], "recent use lifts no deny");
}

#[test]
fn own_names_are_exposed_where_they_are_free() {
    let bare = |name: &str| config::ServerConfig { prefix: false, ..server_config(name) };
    let servers = [bare("one"), bare("two"), server_config("gmail")];
    let cache = tempfile::tempdir().expect("a directory");
    let known = |catalog: Catalog| {
        for (server, offer) in [
            ("one", tools_listing(&["read", "gmail__send", "a.b"])),
            ("two", tools_listing(&["read", "Write"])),
            ("gmail", tools_listing(&["send"])),
        ] {
            catalog.set_listing(&server.parse().expect("a name"), offer);
        }
        catalog
    };
    // What the first one offers is known from before; else the second would be prefixed.
    known(Catalog::new(&servers, Some(ListingCache::new(cache.path().into(), "/project".into()))));
    let catalog =
        known(Catalog::new(&servers, Some(ListingCache::new(cache.path().into(), "/project".into()))));
    let dotted = alias::wire_name("one", "a.b");
    let ambiguous = "one__gmail__send";
    assert_eq!(
        names_of(&list_allowed_tools(&catalog)),
        ["read", ambiguous, &dotted, "two__read", "Write", "gmail__send"]
    );
    assert_eq!(catalog.resolve_tool("read"), Some(tool_id("one/read")));
    assert_eq!(catalog.resolve_tool("one__read"), Some(tool_id("one/read")));
    assert_eq!(catalog.resolve_tool("gmail__send"), Some(tool_id("gmail/send")));
}

#[test]
fn a_change_is_told_by_the_list_that_it_is_in() {
    let s = server_config("s");
    let catalog = Catalog::new(std::slice::from_ref(&s), None);
    assert!(!catalog.is_known(&s.name));
    assert_eq!(catalog.unanswered_servers(), std::slice::from_ref(&s.name));
    assert_eq!(catalog.set_listing(&s.name, ServerListing::default()), []);
    assert!(catalog.is_known(&s.name) && catalog.unanswered_servers().is_empty());
    assert_eq!(catalog.set_listing(&s.name, tools_listing(&["a"])), [ListKind::Tools]);
    assert_eq!(catalog.set_listing(&s.name, tools_listing(&["a"])), []);
    let mut offer = tools_listing(&["a"]);
    offer.templates.push(raw_json(r#"{"uriTemplate":"a:{b}","name":"t"}"#));
    offer.prompts.push(raw_json(r#"{"name":"p"}"#));
    assert_eq!(catalog.set_listing(&s.name, offer), [ListKind::Resources, ListKind::Prompts]);
    assert_eq!(catalog.set_listing(&server_name("unknown"), tools_listing(&["a"])), []);
}

#[test]
fn a_failure_keeps_what_was_known_and_is_forgotten_after_success() {
    let (one, two) = (server_config("one"), server_config("two"));
    let catalog = Catalog::new(&[one.clone(), two.clone()], None);
    catalog.set_listing(&one.name, tools_listing(&["a"]));
    catalog.record_listing_failure(&one.name, "no".to_owned());
    catalog.record_listing_failure(&two.name, "no".to_owned());
    assert!(catalog.is_known(&one.name) && !catalog.is_known(&two.name));
    assert!(catalog.unanswered_servers().is_empty(), "nobody waits for what failed");
    assert_eq!(catalog.failures().len(), 2);
    catalog.set_listing(&two.name, ServerListing::default());
    assert_eq!(catalog.failures(), [(one.name.clone(), "no".to_owned())]);
    assert_eq!(names_of(&list_allowed_tools(&catalog)), ["one__a"]);
}

#[test]
fn the_cache_fills_the_catalog_of_the_next_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("catalog");
    let cache = || Some(ListingCache::new(folder.clone(), "/project".into()));
    let s = server_config("s");
    let mut offer = tools_listing(&["a"]);
    offer.instructions = Some("be kind".to_owned());
    offer.capabilities = Some(raw_json(r#"{"tools":{}}"#));
    let first = Catalog::new(std::slice::from_ref(&s), cache());
    first.set_listing(&s.name, offer.clone());
    let definition = first.definition_digest(&tool_id("s/a"));

    let next = Catalog::new(std::slice::from_ref(&s), cache());
    assert!(next.is_known(&s.name) && next.unanswered_servers().is_empty());
    assert_eq!(names_of(&list_allowed_tools(&next)), ["s__a"]);
    assert_eq!(next.definition_digest(&tool_id("s/a")), definition);
    assert_eq!(next.instructions(&s.name).map(Real::into_exposed).as_deref(), Some("be kind"));
    assert_eq!(next.capabilities(&s.name).expect("declared").expose().get(), r#"{"tools":{}}"#);
    assert_eq!(next.set_listing(&s.name, offer), [], "the same as cached is no change");

    assert_eq!(cached_tools(std::slice::from_ref(&s), &folder), [(s.name.clone(), vec![tool_id("s/a")])]);
    assert_eq!(cached_tools(&[server_config("silent")], &folder), []);

    let changed = started_by("another", &s);
    assert!(!Catalog::new(&[changed], cache()).is_known(&s.name));
}

#[test]
fn a_new_configuration_keeps_what_it_does_not_change() {
    let (one, two) = (server_config("one"), server_config("two"));
    let catalog = Catalog::new(&[one.clone(), two.clone()], None);
    catalog.set_listing(&one.name, tools_listing(&["a"]));
    catalog.set_listing(
        &two.name,
        ServerListing { prompts: vec![raw_json(r#"{"name":"p"}"#)], ..tools_listing(&["b"]) },
    );
    assert_eq!(catalog.replace_servers(&[one.clone(), two.clone()]), []);

    let bare = config::ServerConfig { prefix: false, ..two.clone() };
    assert_eq!(catalog.replace_servers(&[bare.clone(), one.clone()]), [ListKind::Tools, ListKind::Prompts]);
    assert_eq!(names_of(&list_allowed_tools(&catalog)), ["b", "one__a"]);

    let restarted = started_by("new", &one);
    assert_eq!(catalog.replace_servers(&[restarted, bare]), [ListKind::Tools]);
    assert_eq!(catalog.unanswered_servers(), [one.name]);
    assert_eq!(catalog.replace_servers(&[]), [ListKind::Tools, ListKind::Prompts]);
    assert_eq!(catalog.tools().len(), 0);
}

#[test]
fn the_definition_changes_with_any_byte() {
    let definition = |tool: &str| {
        let catalog = catalog_of(&[(
            server_config("s"),
            ServerListing { tools: vec![raw_json(tool)], ..ServerListing::default() },
        )]);
        catalog.definition_digest(&tool_id("s/t")).expect("listed")
    };
    let one = definition(r#"{"name":"t","x":1.0}"#);
    assert_eq!(one, definition(r#"{"name":"t","x":1.0}"#));
    assert_ne!(one, definition(r#"{"name":"t","x":1.00}"#));
    assert_eq!(one.len(), 64);
}

fn with_resources() -> Catalog {
    let offer = |resources: &[&str], templates: &[&str]| ServerListing {
        resources: resources.iter().map(|text| raw_json(text)).collect(),
        templates: templates.iter().map(|text| raw_json(text)).collect(),
        ..ServerListing::default()
    };
    catalog_of(&[
        (
            server_config("one"),
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
            server_config("Two"),
            offer(&[r#"{"uri":"both:1","name":"B"}"#], &[r#"{"uriTemplate":"db://x/{+y}","name":"T"}"#]),
        ),
    ])
}

#[test]
fn resources_are_listed_wrapped_and_mended() {
    let catalog = with_resources();
    let recent = HashSet::new();
    let all = CatalogView { action: &|_| Action::Allow, recent: &recent, is_private: &|_| false };
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
    let some = CatalogView {
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
    let two = server_name("Two");
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
        let found = found.map(|(server, uri)| (server_name(server), uri.to_owned()));
        assert_eq!(catalog.resolve_resource(uri, prefer), found, "{uri}");
    }
}

#[test]
fn prompts_are_named_like_tools() {
    let offer = |prompts: &[&str]| ServerListing {
        prompts: prompts.iter().map(|text| raw_json(text)).collect(),
        ..ServerListing::default()
    };
    let catalog = catalog_of(&[
        (
            server_config("one"),
            offer(&[
                r#"{"name":"code review","arguments":[{"name":"x","required":true,"n":1.0},{"name":7},3]}"#,
                r#"{"name":"p","title":3,"arguments":{}}"#,
                r#"{"title":"no name"}"#,
            ]),
        ),
        (config::ServerConfig { prefix: false, ..server_config("two") }, offer(&[r#"{"name":"p"}"#])),
    ]);
    let recent = HashSet::new();
    let list = catalog.list_prompts(&CatalogView {
        action: &|_| Action::Allow,
        recent: &recent,
        is_private: &|_| false,
    });
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
        let found = found.map(|(server, prompt)| (server_name(server), prompt.to_owned()));
        assert_eq!(catalog.resolve_prompt(spelled), found, "{spelled}");
    }
    assert_eq!(catalog.problems().len(), 4);
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
        (!name.is_empty() && name.len() <= alias::MAX_ALIAS_CHARS, "name"),
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
fn any_value() -> impl Strategy<Value = Value> {
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
        1 => any_value(),
    ];
    (prop::collection::btree_map(key, any_value(), 0..7), name).prop_map(|(members, name)| {
        let mut tool: serde_json::Map<_, _> =
            members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        tool.insert("name".to_owned(), name);
        Value::Object(tool)
    })
}

/// A tool as the specification has it, with unknown members of any kind.
fn good_tool() -> impl Strategy<Value = Value> {
    let property = ("[a-zA-Z0-9_.-]{1,64}", any_value());
    let parts = (
        "[a-zA-Z0-9_.-]{1,60}",
        prop::option::of("\\PC{0,20}"),
        prop::collection::vec(property, 0..3),
        prop::option::of(any::<bool>()),
        any_value(),
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
    fn no_server_can_make_a_client_drop_the_list(offered in prop::collection::vec(prop_oneof![any_tool(), any_value()], 0..6)) {
        let offer = ServerListing { tools: offered.iter().map(json::serialize_raw).collect(), ..ServerListing::default() };
        let catalog = catalog_of(&[(server_config("some.server"), offer.clone()), (server_config("other"), offer)]);
        let list = list_allowed_tools(&catalog);
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
        let catalog = catalog_of(&[(server_config("s"), ServerListing { tools: vec![json::serialize_raw(&tool)], ..ServerListing::default() })]);
        let mut as_listed = tool.clone();
        as_listed["name"] = Value::from(alias::wire_name("s", tool["name"].as_str().expect("a name")));
        prop_assert_eq!(client_refuses(&as_listed), None);
        prop_assert_eq!(list_allowed_tools(&catalog), vec![as_listed]);
    }

    #[test]
    fn an_alias_does_not_depend_on_what_else_is_listed(names in prop::collection::btree_set("[a-c_.-]{1,6}", 1..6)) {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let together = catalog_of(&[(server_config("s"), tools_listing(&all))]);
        for name in all {
            let alone = catalog_of(&[(server_config("s"), tools_listing(&[name]))]);
            let alias = names_of(&list_allowed_tools(&alone))[0].to_owned();
            prop_assert_eq!(together.resolve_tool(&alias), alone.resolve_tool(&alias));
        }
    }
}
