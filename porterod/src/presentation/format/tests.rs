//! Every formatter shows everything; what it knows stands first and under its name.

use portero::json::{RawJson, parse_raw};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn raw_json(text: &str) -> RawJson {
    parse_raw(text.to_owned()).expect("JSON")
}

fn tool_id(name: &str) -> ToolId {
    name.parse().expect("a good name")
}

/// The fields as text: a line for each, blocks below their label.
fn reading_text(name: &str, arguments: &str) -> String {
    let reading = read_arguments(&tool_id(name), Some(&raw_json(arguments)));
    let mut text = format!("[{}]", reading.kind);
    for field in reading.fields {
        let between = if field.value.is_block() { ":\n" } else { ": " };
        text.push_str(&format!(
            "\n{}{between}{}",
            field.label.to_text().plain_text(),
            field.value.plain_text()
        ));
    }
    text
}

#[test]
fn mail() {
    insta::assert_snapshot!(reading_text("gmail/send_email", r#"{"subject":"Offer","to":["ada@example.org","b@example.org"],
        "body":"Dear Ada,\n\n\u202ethanks","cc":"c@example.org","mimeType":"text/plain","priority":1.50}"#), @"
    [E-mail]
    To: ada@example.org, b@example.org
    Cc: c@example.org
    Subject: Offer
    Body:
    Dear Ada,

    ⟨U+202E⟩thanks
    mimeType: text/plain
    priority: 1.50
    ");
    insta::assert_snapshot!(reading_text("workspace/send_gmail_message", r#"{"user_google_email":"me@example.org",
        "to":"ada@example.org","to":"eve@example.org","subject":"","body":"5",
        "attachments":[{"filename":"a.pdf","content":"JVBERi0="}],"bcc":[{"email":"d@example.org"}]}"#), @r#"
    [E-mail]
    From: me@example.org
    To: ada@example.org
    To: eve@example.org
    Bcc: d@example.org
    Subject: (an empty text)
    Body: "5"
    Attachments:
    [
      {
        "filename": "a.pdf",
        "content": "JVBERi0="
      }
    ]
    "#);
}

#[test]
fn calendar() {
    insta::assert_snapshot!(reading_text("calendar/create-event", r#"{"calendarId":"primary","summary":"Lunch",
        "start":{"dateTime":"2026-11-20T12:00:00","timeZone":"Europe/Zurich"},"end":{"date":"2026-11-21"},
        "attendees":[{"email":"a@example.org"},{"email":"b@example.org"}],"recurrence":["RRULE:FREQ=WEEKLY"],
        "sendUpdates":"all"}"#), @"
    [Calendar]
    Title: Lunch
    Starts: 2026-11-20T12:00:00 in the zone Europe/Zurich
    Ends: all day 2026-11-21
    Repeats: RRULE:FREQ=WEEKLY
    Attendees: a@example.org, b@example.org
    Tells them: all
    Calendar: primary
    ");
    insta::assert_snapshot!(reading_text("workspace/manage_event", r#"{"action":"create","summary":"Call",
        "start_time":"2026-11-20T12:00:00Z","end_time":"2026-11-20T13:00:00Z",
        "attendees":[{"email":"a@example.org","optional":true}],"timezone":"UTC","add_google_meet":true}"#), @r#"
    [Calendar]
    Action: create
    Title: Call
    Starts: 2026-11-20T12:00:00Z
    Ends: 2026-11-20T13:00:00Z
    Time zone: UTC
    Attendees:
    [
      {
        "email": "a@example.org",
        "optional": true
      }
    ]
    add_google_meet: true
    "#);
}

#[test]
fn files() {
    insta::assert_snapshot!(reading_text("fs/write_file", r#"{"path":"/home/me/a.txt","content":"\tone\ntwo\n"}"#), @"
    [File]
    Path: /home/me/a.txt
    Size: 9 bytes
    Content:
    ⇥one
    two⏎
    ");
    insta::assert_snapshot!(reading_text("fs/edit_file", r#"{"path":"/a","edits":[{"oldText":"one\ntwo","newText":"one\n2"},
        {"oldText":"x","newText":"","count":2}],"dryRun":false}"#), @r#"
    [File]
    Path: /a
    Change 1:
    = one
    - two
    + 2
    Change 2:
    {
      "oldText": "x",
      "newText": "",
      "count": 2
    }
    dryRun: false
    "#);
    insta::assert_snapshot!(reading_text("editor/str_replace", r#"{"file_path":"/a","old_str":"x","new_str":"y"}"#), @"
    [File]
    Path: /a
    Change:
    - x
    + y
    ");
    insta::assert_snapshot!(reading_text("fs/move_file", r#"{"source":"/a","destination":"/b"}"#), @"
    [File]
    From: /a
    Into: /b
    ");
}

#[test]
fn github() {
    insta::assert_snapshot!(reading_text("github/create_pull_request", r#"{"owner":"portero","repo":"portero","title":"Fix",
        "head":"fix","base":"main","body":"Line\nLine","draft":false,"maintainer_can_modify":true}"#), @"
    [GitHub]
    Owner: portero
    Repository: portero
    Title: Fix
    From: fix
    Into: main
    Draft: false
    Body:
    Line
    Line
    maintainer_can_modify: true
    ");
    insta::assert_snapshot!(reading_text("github/push_files", r#"{"owner":"p","repo":"q","branch":"main","message":"m",
        "files":[{"path":"a.sh","content":"echo 1\n"},{"path":"b","content":""}]}"#), @"
    [GitHub]
    Owner: p
    Repository: q
    Branch: main
    Commit message: m
    File 1:
    a.sh
    echo 1⏎
    File 2: b (empty)
    ");
}

#[test]
fn notion() {
    insta::assert_snapshot!(reading_text("notion/API-post-page", r#"{"parent":{"database_id":"d1"},
        "properties":{"Name":{"title":[{"text":{"content":"Plan"}}]},"Status":{"select":{"name":"Open"}}},
        "children":[{"object":"block","type":"paragraph","paragraph":{"rich_text":[{"type":"text","text":{"content":"Hello"}}]}},
        {"paragraph":{"rich_text":[{"text":{"content":"x","link":{"url":"https://example.org"}}}]}}]}"#), @r#"
    [Notion]
    Under:
    {
      "database_id": "d1"
    }
    Property Name: Plan (the title)
    Property Status:
    {
      "select": {
        "name": "Open"
      }
    }
    Block 1: paragraph: Hello
    Block 2:
    {
      "paragraph": {
        "rich_text": [
          {
            "text": {
              "content": "x",
              "link": {
                "url": "https://example.org"
              }
            }
          }
        ]
      }
    }
    "#);
}

#[test]
fn payments() {
    insta::assert_snapshot!(reading_text("stripe/create_price", r#"{"product":"prod_1","unit_amount":2000,"currency":"usd"}"#), @"
    [Payment]
    Unit amount: 20.00 USD, sent as 2000
    Currency: usd
    Product: prod_1
    ");
    insta::assert_snapshot!(reading_text("stripe/create_price", r#"{"unit_amount":500,"currency":"jpy","unit_amount":5}"#), @"
    [Payment]
    Unit amount: 500 JPY, sent as 500
    Unit amount: 5 JPY, sent as 5
    Currency: jpy
    ");
    insta::assert_snapshot!(reading_text("stripe/create_refund", r#"{"payment_intent":"pi_1","amount":1500}"#), @"
    [Payment]
    Amount: 1500 in the smallest unit of its currency, which the call does not tell
    Payment: pi_1
    ");
}

#[test]
fn anything_else() {
    insta::assert_snapshot!(reading_text("a/b", r#"{"z":[1,2],"a":"x","a":true,"t":"true","e":[],"n":null}"#), @r#"
    [Arguments]
    z:
    [
      1,
      2
    ]
    a: x
    a: true
    t: "true"
    e: []
    n: null
    "#);
    assert_eq!(reading_text("a/b", "[1]"), "[Arguments]\nArguments:\n[\n  1\n]");
    assert_eq!(reading_text("a/b", "{}"), "[No arguments]");
    assert_eq!(read_arguments(&tool_id("a/b"), None).kind, "No arguments");
}

#[test]
fn json_in_a_text_is_decoded_and_marked() {
    insta::assert_snapshot!(
        reading_text(
            "inventory/patch",
            &serde_json::json!({
                "hosts_json": r#"["we\u00622","db1"]"#,
                "changes": [{"patch": r#"{"replicas":3,"note":"\u202ehidden"}"#}],
                "title": "[bug] not JSON", "empty": "{}", "twice": r#"{"a":1,"a":2}"#,
            })
            .to_string()
        ),
        @r#"
    [Arguments]
    hosts_json:
     JSON in a text
    [
      "web2",
      "db1"
    ]
    changes:
    [
      {
        "patch": JSON in a text: {
          "replicas": 3,
          "note": "⟨U+202E⟩hidden"
        }
      }
    ]
    title: "[bug] not JSON"
    empty: "{}"
    twice: "{\"a\":1,\"a\":2}"
    "#
    );
}

#[test]
fn letters_that_only_look_latin_are_told() {
    let told =
        |to: &str| reading_text("gmail/send", &serde_json::json!({ "to": to, "subject": "x" }).to_string());
    for to in ["аda@example.org", "ada@exαmple.org", "ａda@example.org"] {
        assert!(told(to).contains(&format!("To: {to} (mixes alphabets that look alike)")), "{}", told(to));
    }
    for to in ["ada@example.org", "Ада Лавлейс", "Ada и Bob", "jürg@exämple.ch", "名前@example.jp"]
    {
        assert!(told(to).contains(&format!("To: {to}\n")), "{}", told(to));
    }
}

#[test]
fn what_is_nested_deeply_is_read() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for key in ["x", "properties", "children", "files", "edits", "attendees", "start", "amount"] {
        for name in
            ["notion/API-post-page", "github/push_files", "fs/edit_file", "calendar/update_event", "stripe/x"]
        {
            let arguments =
                format!(r#"{{"owner":"a","repo":"b","path":"c","calendarId":"d","{key}":{deep}}}"#);
            let fields = read_arguments(&tool_id(name), Some(&raw_json(&arguments))).fields;
            assert!(fields.iter().any(|field| field.value.plain_text().len() > 10_000));
        }
    }
}

/// Every leaf of a value, and every key, as it is shown.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            found.extend(
                text.split('\n').map(|line| EscapedText::line(line).as_str().trim_matches('␠').to_owned()),
            );
        }
        Value::Array(values) => values.iter().for_each(|value| leaves(value, found)),
        Value::Object(members) => members.iter().for_each(|(_, value)| leaves(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => found.push(value.to_string()),
    }
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z0-9 @/.\u{202e}\n]{0,20}".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..4)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

/// Keys that formatters know, and others.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "to",
        "cc",
        "subject",
        "body",
        "attachments",
        "email",
        "start",
        "end",
        "dateTime",
        "timeZone",
        "attendees",
        "path",
        "content",
        "edits",
        "oldText",
        "newText",
        "old_str",
        "new_str",
        "owner",
        "repo",
        "files",
        "title",
        "parent",
        "properties",
        "children",
        "rich_text",
        "text",
        "object",
        "type",
        "paragraph",
        "amount",
        "currency",
        "unit_amount",
        "calendarId",
        "source",
        "destination",
    ];
    prop_oneof![3 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z]{1,6}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_leaf_of_the_arguments_is_shown(
        members in proptest::collection::vec((key(), anything()), 0..8),
        name in proptest::sample::select(vec![
            "gmail/send_email", "calendar/create-event", "fs/edit_file", "github/create_issue", "notion/API-post-page",
            "stripe/create_price", "a/b",
        ]),
    ) {
        let arguments = Value::Object(members.into_iter().collect());
        let shown = reading_text(name, &arguments.to_string());
        let mut wanted = Vec::new();
        leaves(&arguments, &mut wanted);
        for leaf in wanted {
            // A text in JSON stands with its escapes.
            let escaped = serde_json::to_string(&leaf).expect("JSON");
            let escaped = escaped.trim_matches('"');
            prop_assert!(shown.contains(&leaf) || shown.contains(escaped), "{leaf:?} is missing in {shown}");
        }
    }
}
