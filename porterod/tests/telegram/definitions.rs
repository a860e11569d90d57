//! Definitions of a server that changed: the card of a call that asks because of one, `/pins`, the notice, and a
//! terminal that asks here.

use portero::ipc::Challenge;
use portero::ipc::requests::definitions::{
    AcceptDefinitions, GetDefinitions, ReportDefinitions, ReportedDefinition, ServerDefinitions,
};
use portero::names::{ServerName, ToolName};
use portero::policy::definition_pins::DefinitionItem;
use portero::task::{Task, TaskState};
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, Fault, ShownMessage};
use crate::fake_user::{FakeUser, ODD_TOOL, button_labels, callback_data};
use crate::fixture::JANE;

const ACCEPT: &str = "✅ Approve and accept the new definition…";
const YES: &str = "✅ Yes, approve and accept it";

fn notes() -> ServerName {
    "notes".parse().unwrap()
}

/// What the server lists, with this behind the description of `send`.
fn listing(more: &str) -> Vec<ReportedDefinition> {
    let report = |name: &str| {
        let more = if name == "send" { more } else { "" };
        let definition = json!({
            "name": name, "description": format!("{name}{more} for Jane Roe"), "inputSchema": {"type": "object"},
        });
        ReportedDefinition {
            item: DefinitionItem::Tool(ToolName::from_child(name).unwrap()),
            definition: Some(serde_json::value::to_raw_value(&definition).unwrap()),
        }
    };
    ["read", "send", "erase", "wait", ODD_TOOL].map(report).into()
}

impl FakeUser {
    /// A world in which the tools of `notes` are allowed, and `send` defines itself otherwise since a moment ago.
    async fn with_changed_definition() -> Self {
        let mut user = Self::with_policies(json!({"policies": {"notes/*": "allow"}})).await;
        user.list("").await;
        user.list(" and your keys").await;
        user
    }

    /// The server lists its tools, with this behind the description of `send`.
    async fn list(&mut self, more: &str) {
        self.session_request(ReportDefinitions { server: notes(), definitions: listing(more) }).await;
    }

    async fn fetch_definitions(&self) -> ServerDefinitions {
        let request = GetDefinitions { server: Some(notes()) };
        self.fixture.request(request).await.unwrap().remove(0)
    }

    /// Waits until the task's card shows these words and has this button.
    async fn wait_for_card_showing(&self, task: &Task, words: &str, button: &str) -> ShownMessage {
        let found = |it: &FakeTelegram| {
            let has = |shown: &ShownMessage| button_labels(shown).iter().any(|label| label == button);
            let mut all = it.bot_messages(JANE).into_iter().rev();
            all.find(|shown| shown.text.contains(&task.call.tool.to_string()) && has(shown))
                .filter(|shown| shown.text.contains(words))
        };
        self.telegram().wait_until(&format!("a card with `{words}`"), found).await
    }
}

#[tokio::test]
async fn a_card_shows_the_changed_definition_and_a_second_press_accepts_it_besides() {
    let mut user = FakeUser::with_changed_definition().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    for words in [
        "Why: needs approval: its definition changed since it was accepted",
        "Its definition: a yes to this call accepts nothing.",
        "Changed: tool send",
        "=   \"name\": \"send\"",
        "-   \"description\": \"send for John Doe\"",
        "+   \"description\": \"send and your keys for John Doe\"",
    ] {
        assert!(card.text.contains(words), "{words} in {}", card.text);
    }
    assert!(!card.text.contains("Jane Roe"));
    assert_eq!(user.press_button(&task, ACCEPT).await, "", "it only asks");
    assert_eq!(user.fetch_definitions().await.changed.len(), 1);
    assert_eq!(user.press_button(&task, YES).await, "Approved, and its new definition is accepted.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    let outcome = user.wait_for_outcome_with(&task, "Accepted: the new definition of tool send").await;
    assert!(outcome.text.starts_with("Approved on this phone"), "{}", outcome.text);
    assert!(user.fetch_definitions().await.changed.is_empty());
    assert_eq!(user.received_texts(), ["one"]);
    let acts = user.fixture.audited_acts();
    assert!(acts.iter().any(|act| act.starts_with("pins accept: notes: tool send")), "{acts:?}");
}

#[tokio::test]
async fn an_approval_alone_accepts_nothing() {
    let mut user = FakeUser::with_changed_definition().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, "✅ Approve").await;
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.fetch_definitions().await.changed.len(), 1);
}

#[tokio::test]
async fn a_definition_that_changes_again_is_shown_again_and_no_press_on_the_former_counts() {
    let mut user = FakeUser::with_changed_definition().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, ACCEPT).await;
    let card = user.wait_for_card_with(&task, YES).await;
    let former = callback_data(&card, YES);
    // The card can't be drawn again yet, so its button still is the one of the former definition.
    user.telegram().inject_fault("editMessageText", Fault::Server(502), 1_000_000);
    user.list(" and your money").await;
    let query = user.telegram().press_data(JANE, card.id, &former);
    let said = user.wait_for_answer(&query).await;
    assert!(said.starts_with("Its definition changed or was accepted since this was shown."), "{said}");
    user.telegram().clear_faults("editMessageText");
    let card = user.wait_for_card_showing(&task, "send and your money", YES).await;
    assert!(card.text.contains("send and your keys"), "both wait: {}", card.text);
    let query = user.telegram().press_data(JANE, card.id, &former);
    assert!(user.wait_for_answer(&query).await.contains("Nothing was "));
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert_eq!(user.fetch_definitions().await.changed.len(), 1);
    let query = user.telegram().press(JANE, card.id, YES);
    assert_eq!(user.wait_for_answer(&query).await, "Approved, and its new definition is accepted.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert!(user.fetch_definitions().await.changed.is_empty());
}

#[tokio::test]
async fn a_card_is_drawn_again_once_its_definition_is_accepted_elsewhere() {
    let mut user = FakeUser::with_changed_definition().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card_with(&task, ACCEPT).await;
    let asked = user.fixture.say_and_wait("/pins notes").await;
    user.fixture.press_and_wait(&asked, "✅ Confirm").await;
    let plain = |it: &FakeTelegram| {
        let now = it.bot_messages(JANE).into_iter().find(|now| now.id == card.id)?;
        (!now.text.contains("Its definition:")).then_some(now)
    };
    let card = user.telegram().wait_until("a card without the definition", plain).await;
    assert!(!button_labels(&card).iter().any(|label| label == ACCEPT), "{card:?}");
}

#[tokio::test]
async fn pins_lists_what_waits_shows_it_and_accepts_what_was_shown() {
    let mut user = FakeUser::with_changed_definition().await;
    let notice = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("The server notes defines"))
    };
    let notice = user.telegram().wait_until("a notice", notice).await;
    assert!(notice.text.contains("1 changed") && notice.text.contains("Look at it with /pins"), "{notice:?}");
    let world = &user.fixture;
    let list = world.say_and_wait("/pins").await;
    assert!(list.text.contains("notes: 5 pinned\n   tool send changed, and asks"), "{}", list.text);
    let question = world.press_and_wait(&list, "Show notes").await;
    assert!(question.text.starts_with("Accept what this server defines now?\nnotes: "), "{}", question.text);
    assert!(question.text.contains("+   \"description\": \"send and your keys for John Doe\""));
    user.list(" and your money").await;
    let world = &user.fixture;
    let again = world.press_and_wait(&question, "✅ Confirm").await;
    assert!(again.text.starts_with("Something changed meanwhile."), "{}", again.text);
    assert!(again.text.contains("send and your money"), "{}", again.text);
    assert_eq!(user.fetch_definitions().await.changed.len(), 1, "nothing was accepted");
    let done = world.press_and_wait(&again, "✅ Confirm").await;
    assert!(done.text.starts_with("Accepted: 2 of the definitions of notes"), "{}", done.text);
    assert!(user.fetch_definitions().await.changed.is_empty());
    assert!(world.say_and_wait("/pins").await.text.contains("Nothing waits for you."));
    let none = world.say_and_wait("/pins notes").await;
    assert!(none.text.contains("no definition of a server `notes` waits for you"), "{}", none.text);
}

#[tokio::test]
async fn a_terminal_accepts_definitions_by_the_number_in_the_chat() {
    let mut user = FakeUser::with_changed_definition().await;
    for changes in [true, false] {
        let shown = user.fetch_definitions().await.shown;
        let request = AcceptDefinitions { server: notes(), shown, challenge: Challenge::on_telegram() };
        let terminal = user.fixture.ask_from_terminal(request).await;
        let card = user.fixture.wait_for_prompt().await;
        assert!(
            card.text.starts_with("A terminal of yours asks: portero pins accept notes\nby "),
            "{card:?}"
        );
        assert!(card.text.contains("+   \"description\": \"send and your keys for John Doe\""), "{card:?}");
        if changes {
            user.list(" and your money").await;
        }
        user.telegram().press(JANE, card.id, &terminal.number);
        let accepted = terminal.wait_for_reply().await;
        if changes {
            assert!(accepted.is_err(), "{accepted:?}");
            assert_eq!(user.fetch_definitions().await.changed.len(), 1);
        } else {
            assert_eq!(accepted.unwrap(), 2);
            user.fixture.wait_until_shows(&card, "Confirmed and done.").await;
            assert!(user.fetch_definitions().await.changed.is_empty());
        }
    }
}
