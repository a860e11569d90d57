//! What Telegram refuses to show is counted and told, and never lost in silence.

use portero::ipc::requests::overrides::Pause;

use crate::fake_telegram::{FakeTelegram, Fault};
use crate::fixture::{JANE, TelegramFixture};

const REFUSAL_FAULT: Fault = Fault::Bad("ENTITY_TEXT_INVALID");

#[tokio::test]
async fn an_answer_that_is_refused_is_told_in_plain_words() {
    let world = TelegramFixture::with_jane().await;
    world.wait_for_answers(JANE, 1).await;
    world.telegram.inject_fault("sendMessage", REFUSAL_FAULT, 1);
    world.telegram.send_text(JANE, "/why notes/read");
    world
        .wait_for_message(
            JANE,
            "Portero could not show this here; use the terminal: portero status tells more.",
        )
        .await;
    let status = world.wait_for_status("a refusal", |it| it.refused.is_some()).await;
    let refused = status.refused.unwrap();
    assert_eq!((refused.count, refused.last.kind.as_str()), (1, "update"));
    assert!(refused.last.what.contains("ENTITY_TEXT_INVALID"), "{}", refused.last.what);
    assert_eq!(status.sending_trouble, None, "sending itself goes well");
    assert!(world.say_and_wait("/status").await.text.contains("refused and not shown: 1, the last"));
}

#[tokio::test]
async fn news_that_is_refused_leaves_a_word() {
    let world = TelegramFixture::with_jane().await;
    world.wait_for_answers(JANE, 1).await;
    world.telegram.inject_fault("sendMessage", REFUSAL_FAULT, 1);
    world.request(Pause).await.unwrap();
    world.wait_for_message(JANE, "Portero could not show this here").await;
    let status = world.wait_for_status("a refusal", |it| it.refused.is_some()).await;
    assert_eq!(status.refused.unwrap().last.kind, "news");
}

#[tokio::test]
async fn a_page_that_is_refused_is_told_and_one_that_was_removed_is_not() {
    let world = TelegramFixture::with_jane().await;
    world.set_passphrase().await;
    let shown = world.say_and_wait("/grant notes/* 30m").await;
    world.telegram.inject_fault("editMessageText", REFUSAL_FAULT, 1);
    world.telegram.press(JANE, shown.id, "❌ Not now");
    world.wait_for_message(JANE, "Portero could not show this here").await;
    let shown = world.say_and_wait("/grant notes/* 30m").await;
    let no = crate::fake_user::callback_data(&shown, "❌ Not now");
    world.telegram.remove_message(JANE, shown.id);
    let query = world.telegram.press_data(JANE, shown.id, &no);
    world.telegram.wait_until("the end of the press", |it| it.press_answer(&query)).await;
    let tries = |it: &FakeTelegram| (it.calls("editMessageText").len() == 2).then_some(());
    world.telegram.wait_until("a try", tries).await;
    world.say_and_wait("/whoami").await;
    assert_eq!(world.status().await.refused.unwrap().count, 1);
    let told = world
        .telegram
        .bot_messages(JANE)
        .iter()
        .filter(|it| it.text.starts_with("Portero could not"))
        .count();
    assert_eq!(told, 1);
}
