//! A card shows everything, and nothing in it is taken for Portero's words.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::text::tests::{entity_text, text_outside_entities};
use super::super::text::{EscapedText, TextStyle, utf16_len};
use super::*;
use crate::presentation::card::{CallDocument, DecidedBy};
use crate::presentation::tests::{task_of, with_context, with_params};
use portero::call::Call;
use portero::catalog::ToolHints;
use portero::ipc::InspectedTask;
use portero::ipc::requests::definitions::{DefinitionDifference, DifferenceLine, LineChange, TaskDefinition};
use portero::policy::definition_pins::{DefinitionItem, ServerPins};
use portero::task::TaskState;

/// A card as Telegram shows it.
struct DrawnCard {
    pages: Vec<FormattedText>,
    document: Option<CallDocument>,
}

fn look_of(task: &Task, hints: Option<ToolHints>) -> InspectedTask {
    InspectedTask { task: task.clone(), hints, loss: None, void: None, definition: None }
}

fn draw_card(task: &Task, hints: Option<ToolHints>) -> DrawnCard {
    draw_look(&look_of(task, hints))
}

fn draw_look(look: &InspectedTask) -> DrawnCard {
    let (pages, is_whole) = with_context(|view| card_pages(&Card::new(look, view)));
    DrawnCard { pages, document: (!is_whole).then(|| call_document(look)) }
}

fn card_of(task: &Task) -> DrawnCard {
    draw_card(task, None)
}

fn document_json(card: &DrawnCard) -> Value {
    let document = card.document.as_ref().expect("a document");
    serde_json::from_slice(&document.bytes).expect("JSON")
}

#[test]
fn a_short_call_stands_in_one_message() {
    let mail =
        json!({ "to": ["bob@example.org"], "subject": "Offer", "body": "Dear Bob,\nsee @all and /start" });
    let hints =
        ToolHints { read_only: Some(false), destructive: None, idempotent: None, open_world: Some(true) };
    let card = draw_card(&task_of("gmail/send_email", &mail), Some(hints));
    assert!(card.document.is_none());
    insta::assert_snapshot!(card.pages[0].text, @"
    May this run?
    gmail/send_email

    Asks: claude-code 2.1.328
    Project: /home/ada/shop, session 456789ab
    Server's hints: writes, reaches outside
    Why: needs approval by `gmail/*` (policies.json:4:5)
    Until: 14:15 +01, in 14 min
    Task: 1b0a9e8f

    E-mail
    To: bob@example.org
    Subject: Offer
    Body:
    Dear Bob,
    see @all and /start
    ");
    assert!(!text_outside_entities(&card.pages[0]).contains(['@', '/']));
}

#[test]
fn a_long_call_stands_whole_in_a_document_and_takes_a_second_tap() {
    let body: String = (0..900).map(|line| format!("line {line} \u{202e}\n")).collect();
    let task = task_of("gmail/send_email", &json!({ "to": "bob@example.org", "subject": "x", "body": body }));
    let card = card_of(&task);
    assert!(card.document.is_some() && card.pages.len() > 1);
    assert!(card.pages[0].text.contains("This is more than fits into one message."));
    let document = document_json(&card);
    assert_eq!(document["params"]["arguments"]["body"], body);
    assert_eq!(document["tool"], "gmail/send_email");
    let document = card.document.expect("a document");
    assert_eq!(document.name, "call-1b0a9e8f.json");
    assert!(document.bytes.is_ascii(), "nothing in it is hidden");
}

#[test]
fn a_huge_call_is_bounded_on_cards_and_whole_in_its_document() {
    let many = card_of(&task_of("a/b", &json!({ "text": "word ".repeat(60_000) })));
    assert_eq!(many.pages.len(), MAX_CARD_PAGES);
    assert!(many.pages[MAX_CARD_PAGES - 1].text.ends_with("(the rest is only in the document)"));
    let deep = format!("{}{}", "[".repeat(300_000), "]".repeat(300_000));
    let mut task = task_of("a/b", &json!({}));
    let params = format!(r#"{{"name":"b","arguments":{{"x":{deep}}}}}"#);
    let call = format!(r#"{{"tool":"a/b","method":"tools/call","params":{params}}}"#);
    task.call = serde_json::from_str(&call).expect("a call");
    let card = card_of(&task);
    assert!(card.document.is_some() && card.pages[0].text.contains("600031 bytes"), "{}", card.pages[0].text);
    let document = card.document.expect("a document");
    assert!(String::from_utf8(document.bytes).expect("text").contains(&params));
    assert!(json_pages(&look_of(&task, None))[0].text.contains("too long to be shown here"));
}

/// A definition of which these many lines are new.
fn changed_definition(lines: usize) -> TaskDefinition {
    let mut pins = ServerPins::first_sight([]);
    let item: DefinitionItem = "tool send".parse().expect("an item");
    pins.add_waiting(&item, "digest".to_owned(), 1);
    let line = |change, text: String| DifferenceLine { change, text };
    let mut all = vec![line(LineChange::Removed, r#"  "description": "Sends a mail""#.to_owned())];
    all.extend(
        (0..lines).map(|at| line(LineChange::Added, format!("line {at} of EVIL \u{202e}<b>@all</b>"))),
    );
    let shown = pins.waiting_item_digest(&item).expect("it waits");
    let differences = vec![DefinitionDifference { item: item.clone(), is_new: false, lines: all }];
    TaskDefinition { item, differences, shown }
}

#[test]
fn a_card_shows_the_definition_because_of_which_it_asks_and_a_long_one_is_whole_in_the_document() {
    let task = task_of("mail/send", &json!({ "to": "bob@example.org" }));
    let look = |lines| InspectedTask { definition: Some(changed_definition(lines)), ..look_of(&task, None) };
    let short = draw_look(&look(1));
    assert!(short.document.is_none() && short.pages.len() == 1);
    let text = &short.pages[0].text;
    let shown = text.split_once("Its definition").expect("the definition").1;
    insta::assert_snapshot!(shown, @r#"
    : a yes to this call accepts nothing. Once it is accepted, allowed calls run by it in every session.
    Changed: tool send
    -   "description": "Sends a mail"
    + line 0 of EVIL ⟨U+202E⟩<b>@all</b>
    "#);
    assert!(!text_outside_entities(&short.pages[0]).contains("EVIL"));
    let long = draw_look(&look(3_000));
    assert!(long.document.is_some() && long.pages.len() == MAX_CARD_PAGES, "{}", long.pages.len());
    let lines = &document_json(&long)["definition"][0]["lines"];
    assert_eq!(lines.as_array().expect("lines").len(), 3_001);
    assert_eq!(lines[3_000], "+ line 2999 of EVIL \u{202e}<b>@all</b>");
    let json = json_pages(&look(1));
    assert!(json[0].text.contains("\"definition\""), "{}", json[0].text);
    for page in long.pages.iter().chain(&json) {
        assert!(!text_outside_entities(page).contains("EVIL"), "{}", page.text);
    }
}

#[test]
fn what_goes_to_the_server_beside_the_arguments_is_shown_too() {
    let mut task =
        with_params("a/b", &json!({ "name": "b", "arguments": { "x": 1 }, "task": { "ttl": 60 } }));
    task.origin.directory = "/tmp/trap".into();
    let meta = json!({ "tool": "a/b", "method": "tools/call", "params": { "name": "b" }, "meta": { "trace": "t1" } });
    task.call.meta = serde_json::from_value::<Call>(meta).expect("a call").meta;
    let text = &card_of(&task).pages[0].text;
    for part in ["ttl", "trace", "Runs in: /tmp/trap"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let prompt = json!({ "tool": "a/prompts:get", "method": "prompts/get", "params": { "name": "p1", "arguments": {} } });
    task.call = serde_json::from_value(prompt).expect("a call");
    let text = &card_of(&task).pages[0].text;
    assert!(text.contains("prompts/get") && text.contains("p1"), "{text}");
    let read = json!({ "tool": "a/resources:read", "method": "resources/read", "params": { "uri": "file:///etc/passwd" } });
    task.call = serde_json::from_value(read).expect("a call");
    assert!(card_of(&task).pages[0].text.contains("uri: file:///etc/passwd"));
}

#[test]
fn an_outcome_says_what_became_of_it() {
    let mut task =
        task_of("gmail/send_email", &json!({ "to": "bob@example.org", "subject": "Offer", "body": "Hi" }));
    let at = "2026-11-20T13:00:30Z".parse().expect("a time");
    let told = |task: &Task, door| {
        with_context(|view| outcome_message(task, RecordedDecision { by: door, at }, None, view)).text
    };
    task.state = TaskState::Denied;
    task.note = serde_json::from_value(json!("not now\u{202e}")).expect("a note");
    insta::assert_snapshot!(told(&task, DecidedBy::ThisPhone), @"
    Denied on this phone, 14:00 +01
    gmail/send_email
    Asks: claude-code 2.1.328
    Project: /home/ada/shop, session 456789ab
    Note: not now⟨U+202E⟩

    E-mail
    To: bob@example.org
    Subject: Offer
    Body: Hi

    All of it: portero task 1b0a9e8f
    ");
    task.note = None;
    for (state, door, words) in [
        (TaskState::Approved, DecidedBy::AnotherPhone, "Approved on another phone, 14:00 +01"),
        (TaskState::Executing, DecidedBy::Terminal, "It runs."),
        (TaskState::Interrupted, DecidedBy::Terminal, "Interrupted: whether it took effect is not known."),
        (TaskState::Expired, DecidedBy::Expiry, "Expired because no decision came in time"),
        (TaskState::Cancelled, DecidedBy::Agent, "Taken back by the agent"),
        (TaskState::Denied, DecidedBy::Rule, "Denied by a rule or grant"),
    ] {
        task.state = state;
        assert!(told(&task, door).contains(words), "{}", told(&task, door));
    }
}

#[test]
fn an_outcome_shows_the_answer_and_says_when_it_is_shortened() {
    let mut task = task_of("a/b", &json!({ "x": "y".repeat(5000) }));
    let at = "2026-11-20T13:00:30Z".parse().expect("a time");
    let told = |task: &Task| {
        with_context(|view| {
            outcome_message(task, RecordedDecision { by: DecidedBy::Terminal, at }, None, view)
        })
    };
    task.state = TaskState::Completed;
    task.result = serde_json::from_value(json!({ "content": [
        { "type": "text", "text": "Sent.\nid 5" }, { "type": "image", "data": "aGk=", "mimeType": "image/png" },
    ] }))
    .expect("a result");
    let text = told(&task).text;
    assert!(text.contains("Done. It answered:\nSent.\nid 5\n(an image)"), "{text}");
    assert!(text.contains("(the call is shortened here)") && !text.contains("(the answer is"), "{text}");
    task.result =
        serde_json::from_value(json!({ "content": [{ "type": "text", "text": "z".repeat(5000) }] }))
            .expect("a result");
    let text = told(&task).text;
    assert!(
        text.contains("(the answer is shortened here)") && text.contains("portero task 1b0a9e8f"),
        "{text}"
    );
    assert!(utf16_len(&text) <= MAX_MESSAGE_UNITS);
    (task.state, task.result) = (TaskState::Failed, None);
    task.error =
        serde_json::from_value(json!({ "code": -32000, "message": "no such mailbox" })).expect("an error");
    assert!(told(&task).text.contains("Failed. It answered:\nno such mailbox"), "{}", told(&task).text);
}

fn evil_text() -> impl Strategy<Value = String> {
    let nasty = prop_oneof![
        Just("EVIL https://evil.example @everyone /approve #tag a@b.example".to_owned()),
        Just("\n\nEVIL\nTo: safe@example.org\n**Approved**\n```".to_owned()),
        Just("\u{202e}EVIL\u{200b}\u{e0041}".to_owned()),
        Just("EVIL😀".repeat(1200)),
        any::<String>().prop_map(|text| format!("EVIL{text}")),
        "[a-z ]{0,12}",
    ];
    proptest::collection::vec(nasty, 0..3).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_of_a_call_stands_outside_of_code_and_nothing_is_lost(
        members in proptest::collection::vec((prop_oneof![Just("to".to_owned()), Just("body".to_owned()), evil_text()], evil_text()), 0..6),
        (client, project, answer) in (evil_text(), evil_text(), evil_text()),
        list in proptest::collection::vec(evil_text(), 0..4),
    ) {
        let mut arguments: serde_json::Map<String, Value> = members.into_iter().map(|(key, text)| (key, json!(text))).collect();
        arguments.insert("list".to_owned(), json!(list));
        let mut task = task_of("gmail/send", &json!(arguments));
        task.origin.client = serde_json::from_value(json!(client)).expect("a client");
        task.origin.principal = serde_json::from_value(json!(project)).expect("a project");
        let card = card_of(&task);
        (task.state, task.note) = (TaskState::Failed, Some(task.origin.client.clone()));
        task.error = serde_json::from_value(json!({ "code": 1, "message": answer })).expect("an error");
        let decided = RecordedDecision { by: DecidedBy::Terminal, at: task.asked };
        let told = with_context(|view| outcome_message(&task, decided, None, view));
        for page in card.pages.iter().chain(&json_pages(&look_of(&task, None))).chain([&told]) {
            prop_assert!(utf16_len(&page.text) <= MAX_MESSAGE_UNITS && page.entities.len() <= MAX_ENTITIES);
            let own = text_outside_entities(page);
            prop_assert!(!own.contains("EVIL") && !own.contains(['@', '/', '#', '<', '*']), "{}", own);
            for entity in &page.entities {
                let bold = entity.style == TextStyle::Bold;
                prop_assert!(!bold || !entity_text(page, entity).contains("EVIL"));
            }
        }
        prop_assert_eq!(card.document.is_some(), card.pages.len() > 1);
        if card.document.is_some() {
            prop_assert_eq!(&document_json(&card)["params"]["arguments"], &json!(arguments));
        } else {
            for (key, value) in &arguments {
                let said = card.pages[0].entities.iter().any(|entity| entity_text(&card.pages[0], entity) == EscapedText::line(key).as_str());
                prop_assert!(said || ["to", "body", ""].contains(&key.as_str()), "{}", key);
                let lines = value.as_str().unwrap_or_default().split('\n');
                for line in lines.map(|line| EscapedText::line(line).as_str().trim_matches('␠').to_owned()) {
                    let quoted = serde_json::to_string(&line).expect("JSON");
                    let text = &card.pages[0].text;
                    prop_assert!(text.contains(&line) || text.contains(quoted.trim_matches('"')), "{line}");
                }
            }
        }
    }
}
