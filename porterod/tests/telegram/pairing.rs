//! Who is heard: one person, by a code from the terminal or by the configuration; nobody else, at no cost.

use portero::ipc::requests::auth::PairTelegram;
use portero::ipc::{Challenge, FailureKind, TelegramPerson, TelegramState};
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, Fault, TOKEN, USERNAME};
use crate::fixture::{JANE, MALLORY, PASSPHRASE, TelegramFixture};

const JANE_PAIRED: Option<TelegramPerson> = Some(TelegramPerson { user: JANE, configured: false });

#[tokio::test]
async fn whoever_says_the_code_of_the_terminal_is_paired() {
    let world = TelegramFixture::new().await;
    let shown = world.new_pairing_code().await;
    assert_eq!(shown.link, format!("https://t.me/{USERNAME}?start={}", shown.code.replace('-', "")));
    assert_eq!(shown.expires, "2026-11-20T12:05:00Z".parse().unwrap());
    world.telegram.send_text(JANE, &format!("/pair {}", shown.code));
    world.wait_for_message(JANE, "Paired.").await;
    assert_eq!(world.status().await.person, JANE_PAIRED);
    let acts = world.audited_acts();
    assert!(acts.contains(&"telegram pair: user 501 with bot 4711: true".to_owned()), "{acts:?}");
    let world = world.restart().await;
    world.wait_until_serving().await;
    assert_eq!(world.status().await.person, JANE_PAIRED);
}

#[tokio::test]
async fn the_link_pairs_too() {
    let world = TelegramFixture::new().await;
    let link = world.new_pairing_code().await.link;
    let (_, code) = link.split_once("start=").unwrap();
    world.telegram.send_text(JANE, &format!("/start {code}"));
    world.wait_for_message(JANE, "Paired.").await;
}

#[tokio::test]
async fn strangers_who_guess_get_silence_and_lock_nobody_out() {
    let world = TelegramFixture::new().await;
    let code = world.new_pairing_code().await.code;
    for stranger in 700..720 {
        for _ in 0..6 {
            world.telegram.send_text(stranger, "/pair 0000-0000-0000");
        }
    }
    world.telegram.send_text(JANE, "/pair 0000-0000-0000");
    world.telegram.send_text(JANE, &format!("/pair {code}"));
    world.wait_for_message(JANE, "Paired.").await;
    assert_eq!(world.status().await.person, JANE_PAIRED);
    assert_eq!(world.telegram.bot_messages(JANE).len(), 1, "a wrong code is not answered");
    assert!((700..720).all(|stranger| world.telegram.bot_messages(stranger).is_empty()));
}

#[tokio::test]
async fn who_guessed_five_times_is_not_paired_by_this_code() {
    let world = TelegramFixture::new().await;
    let code = world.new_pairing_code().await.code;
    for _ in 0..5 {
        world.telegram.send_text(MALLORY, "/pair 0000-0000-0000");
    }
    world.telegram.send_text(MALLORY, &format!("/pair {code}"));
    world.telegram.send_text(MALLORY, "/whoami");
    world.wait_for_message(MALLORY, "Your user: 666").await;
    assert_eq!((world.status().await.person, world.telegram.bot_messages(MALLORY).len()), (None, 1));
}

#[tokio::test]
async fn people_can_ask_who_they_are_before_anyone_is_paired() {
    let world = TelegramFixture::new().await;
    world.telegram.send_text(MALLORY, "/whoami");
    assert_eq!(world.wait_for_message(MALLORY, "Your user").await, "Your user: 666\nThis chat: 666");
    world.pair_jane().await;
    world.telegram.send_text(MALLORY, "/whoami");
    world.telegram.send_text(JANE, "hi");
    world.wait_for_answers(JANE, 2).await;
    assert_eq!(world.telegram.bot_messages(MALLORY).len(), 1, "a stranger hears nothing any more");
}

#[tokio::test]
async fn strangers_cost_nothing() {
    let mut world = TelegramFixture::with_jane().await;
    world.expect_no_pairing_code().await;
    for text in ["hi", "/start", "/pair AAAA-AAAA", "/whoami", "/status hunter2-of-mallory"] {
        world.telegram.send_text(MALLORY, text);
        world.telegram.send_text_in_group(MALLORY, -7, text);
    }
    world.telegram.press_data(MALLORY, 1, "token");
    world.telegram.send_text_in_group(JANE, -7, "Jane in a group");
    world.telegram.forward_text(JANE, "hunter2-of-someone");
    let before = world.telegram.bot_messages(JANE).len();
    world.telegram.send_text(JANE, "Jane herself");
    world.wait_for_answers(JANE, before + 1).await;
    assert!(world.telegram.bot_messages(MALLORY).is_empty() && world.telegram.bot_messages(-7).is_empty());
    assert_eq!(world.telegram.bot_messages(JANE).len(), before + 1, "her own words alone are answered");
    assert!(world.telegram.calls("answerCallbackQuery").is_empty());
    world.shut_down().await;
    assert!(!world.all_files().contains("hunter2"), "nothing that strangers write is kept");
}

#[tokio::test]
async fn whom_the_configuration_names_is_heard_without_a_code() {
    let world = TelegramFixture::with_jane().await;
    let person = world.status().await.person;
    assert_eq!(person, Some(TelegramPerson { user: JANE, configured: true }));
    world.telegram.send_text(JANE, "hi");
    world.wait_for_message(JANE, "I understand commands only").await;
}

#[tokio::test]
async fn the_files_name_the_person_and_the_environment_does_not() {
    let world = TelegramFixture::without_bot().await.with_environment("TELEGRAM_ADMIN_CHAT_ID", "666");
    world.write_telegram_config(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url()}));
    let world = world.start().await;
    world.wait_until_serving().await;
    assert_eq!(world.status().await.person, None);
    world.write_config(".env", "TELEGRAM_ADMIN_CHAT_ID=501\n");
    world
        .wait_for_status("the person", |status| status.person.is_some_and(|person| person.user == JANE))
        .await;
}

#[tokio::test]
async fn where_a_passphrase_is_set_pairing_needs_it() {
    let world = TelegramFixture::new().await;
    world.wait_until_serving().await;
    world.set_passphrase().await;
    let missing = world.request(PairTelegram { challenge: None }).await.unwrap_err();
    assert_eq!(missing.kind, FailureKind::Challenge);
    let wrong = Challenge::new("wrong");
    assert!(world.request(PairTelegram { challenge: Some(wrong) }).await.is_err());
    let right = Challenge::new(PASSPHRASE);
    world.request(PairTelegram { challenge: Some(right) }).await.unwrap();
}

#[tokio::test]
async fn only_who_knows_the_passphrase_lets_another_be_paired() {
    let world = TelegramFixture::new().await;
    world.pair_jane().await;
    world.expect_no_pairing_code().await;
    assert_eq!(world.unpair(PASSPHRASE).await.unwrap_err().kind, FailureKind::Challenge, "none is set");
    world.set_passphrase().await;
    assert_eq!(world.unpair("wrong").await.unwrap_err().kind, FailureKind::Challenge);
    assert_eq!(world.status().await.person, JANE_PAIRED);
    assert!(world.unpair(PASSPHRASE).await.unwrap(), "a person was paired");
    assert_eq!(world.status().await.person, None);
    world.wait_until_serving().await;
    world.telegram.send_text(JANE, "hi");
    world.telegram.send_text(JANE, "/whoami");
    world.wait_for_message(JANE, "Your user").await;
    assert_eq!(world.telegram.bot_messages(JANE).len(), 2, "she is a stranger now");
}

#[tokio::test]
async fn without_a_bot_there_is_no_code() {
    let world = TelegramFixture::without_bot().await.start().await;
    assert_eq!(world.status().await.state, TelegramState::Off);
    let refused = world.request(PairTelegram { challenge: None }).await.unwrap_err();
    assert_eq!((refused.kind, refused.message.as_str()), (FailureKind::Refused, "no bot is configured"));
}

impl TelegramFixture {
    async fn expect_no_pairing_code(&self) {
        let refused = self.request(PairTelegram { challenge: None }).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused, "{refused:?}");
    }
}

fn has_menu(person: i64) -> impl Fn(&FakeTelegram) -> Option<()> {
    move |it| it.menu_commands(person).contains(&"status".to_owned()).then_some(())
}

fn has_no_menu(person: i64) -> impl Fn(&FakeTelegram) -> Option<()> {
    move |it| it.menu_commands(person).is_empty().then_some(())
}

#[tokio::test]
async fn the_menu_comes_with_the_pairing_and_goes_with_it() {
    let world = TelegramFixture::new().await;
    world.set_passphrase().await;
    for _ in 0..2 {
        let code = world.new_pairing_code_with(PASSPHRASE).await;
        world.telegram.send_text(JANE, &format!("/pair {code}"));
        world.telegram.wait_until("a menu", has_menu(JANE)).await;
        world.unpair(PASSPHRASE).await.unwrap();
        world.telegram.wait_until("no menu", has_no_menu(JANE)).await;
    }
}

#[tokio::test]
async fn the_menu_goes_though_telegram_was_down_and_the_daemon_restarted() {
    let world = TelegramFixture::new().await;
    world.set_passphrase().await;
    let code = world.new_pairing_code_with(PASSPHRASE).await;
    world.telegram.send_text(JANE, &format!("/pair {code}"));
    world.telegram.wait_until("a menu", has_menu(JANE)).await;
    world.telegram.inject_fault("deleteMyCommands", Fault::Server(502), 1_000_000);
    world.unpair(PASSPHRASE).await.unwrap();
    let tried = |it: &FakeTelegram| (!it.calls("deleteMyCommands").is_empty()).then_some(());
    world.telegram.wait_until("a try", tried).await;
    let mut world = world;
    world.shut_down().await;
    assert!(has_menu(JANE)(&world.telegram).is_some());
    world.telegram.clear_faults("deleteMyCommands");
    let world = world.start().await;
    world.telegram.wait_until("no menu", has_no_menu(JANE)).await;
}

#[tokio::test]
async fn the_menu_follows_whom_the_configuration_names() {
    let world = TelegramFixture::with_jane().await;
    world.telegram.wait_until("a menu", has_menu(JANE)).await;
    world.telegram.send_text(MALLORY, "/start");
    world.write_telegram_config(
        &json!({"token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": MALLORY}),
    );
    world.telegram.wait_until("no menu", has_no_menu(JANE)).await;
    world.telegram.wait_until("a menu", has_menu(MALLORY)).await;
}
