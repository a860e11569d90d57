//! Pairing with a bot at the terminal: the real programs, and a fake Telegram on loopback.

#![cfg(unix)]

use expectrl::{Eof, Expect as _};
use serde_json::{Value, json};

use crate::background_telegram::BackgroundTelegram;
use crate::fake_telegram::{FakeTelegram, TOKEN, USERNAME};
use crate::terminal::{PASSPHRASE, confirm_with_passphrase, set_passphrase, spawn_on_terminal};
use crate::test_support::{TestHome, eventually};
use crate::totp::{answer_prompt, enroll_totp, read_to_end, totp_code};

const JANE_USER_ID: i64 = 501;

/// Waits until the bot said something to Jane that begins so.
fn wait_for_message(telegram: &BackgroundTelegram, words: &str) {
    let told =
        |it: &FakeTelegram| it.bot_messages(JANE_USER_ID).into_iter().find(|it| it.text.starts_with(words));
    telegram.block_on(telegram.fake().wait_until(words, told));
}

/// A world whose configuration names the bot of the fake Telegram; the daemon listens to it.
fn home_with_bot(telegram: &BackgroundTelegram, more: &Value) -> TestHome {
    let world = TestHome::with_office();
    let mut settings = json!({"token": TOKEN, "apiUrl": telegram.fake().api_url()});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.write("portero.json", &json!({"telegram": settings}));
    eventually("the bot is served", || {
        let status = world.json(&["status"]);
        (status["telegram"]["state"] == "serving").then_some(())
    });
    world
}

fn paired_person(world: &TestHome) -> Value {
    world.json(&["status"])["telegram"]["person"].clone()
}

fn pair_jane(world: &TestHome, telegram: &BackgroundTelegram) {
    let shown = world.json(&["telegram", "pair"]);
    telegram.fake().send_text(JANE_USER_ID, &format!("/pair {}", shown["code"].as_str().unwrap()));
    wait_for_message(telegram, "Paired.");
}

#[test]
fn a_code_a_link_and_a_picture_of_it_are_shown_and_pair_whoever_says_the_code() {
    let telegram = BackgroundTelegram::start();
    let world = home_with_bot(&telegram, &json!({}));
    let said = world.run(&["telegram", "pair"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let (_, code) = said.stdout.split_once("/pair ").expect("the code");
    let code = code.lines().next().unwrap();
    let link = format!("https://t.me/{USERNAME}?start={}", code.replace('-', ""));
    assert!(said.stdout.contains(&link), "{}", said.stdout);
    assert!(
        said.stdout.contains('▀') && !said.stdout.contains('\x1b'),
        "a QR code, and no colours in a pipe: {}",
        said.stdout
    );
    assert!(said.stderr.contains("No passphrase is set"), "{}", said.stderr);
    assert_eq!(paired_person(&world), json!(null));
    telegram.fake().send_text(JANE_USER_ID, &format!("/pair {code}"));
    wait_for_message(&telegram, "Paired.");
    assert_eq!(paired_person(&world), json!({"user": JANE_USER_ID, "configured": false}));
    assert!(world.run(&["status"]).stdout.contains("paired with user 501"));
    let audit = world.run(&["logs"]).stdout;
    assert!(audit.contains("telegram pair") && !audit.contains(code), "{audit}");
}

#[test]
fn as_json_it_is_one_line() {
    let telegram = BackgroundTelegram::start();
    let world = home_with_bot(&telegram, &json!({}));
    let said = world.run(&["telegram", "pair", "--json"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 1), "{}", said.stdout);
    let shown: Value = serde_json::from_str(&said.stdout).unwrap();
    let keys: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "link", "expires"]);
    let code = shown["code"].as_str().unwrap();
    assert!(shown["link"].as_str().unwrap().ends_with(&code.replace('-', "")), "{shown}");
}

#[test]
fn with_a_passphrase_only_a_person_at_a_terminal_gets_a_code_and_ends_a_pairing() {
    let telegram = BackgroundTelegram::start();
    let mut world = home_with_bot(&telegram, &json!({}));
    world.variables.push(("TERM", "xterm-256color"));
    set_passphrase(&world);
    #[cfg(target_os = "linux")]
    for words in [["telegram", "pair"], ["telegram", "unpair"]] {
        let said = crate::terminal::run_without_terminal(&world, &words, &format!("{PASSPHRASE}\n"));
        assert_eq!(said.code, 1, "{words:?}: {}", said.stdout);
        assert!(
            said.stderr.contains("no terminal here") && !said.stdout.contains("t.me"),
            "{}{}",
            said.stdout,
            said.stderr
        );
    }
    let mut terminal = spawn_on_terminal(&world, &["telegram", "pair"]);
    let before = answer_prompt(&mut terminal, "Passphrase, to let someone decide on Telegram", "not the one");
    assert!(before.contains("decides on Telegram from then on"), "{before}");
    let refused = read_to_end(&mut terminal);
    assert!(refused.contains("not the approval passphrase") && !refused.contains("t.me"), "{refused}");
    let mut terminal = spawn_on_terminal(&world, &["telegram", "pair"]);
    answer_prompt(&mut terminal, "Passphrase, to let someone decide on Telegram", PASSPHRASE);
    let shown = read_to_end(&mut terminal);
    assert!(shown.contains("https://t.me/") && shown.contains("\x1b[38;5;16;48;5;231m"), "{shown}");
    let (_, code) = shown.split_once("/pair ").unwrap();
    telegram.fake().send_text(JANE_USER_ID, &format!("/pair {}", code.lines().next().unwrap().trim()));
    wait_for_message(&telegram, "Paired.");

    confirm_with_passphrase(&world, &["telegram", "unpair"], "the pairing has ended");
    assert_eq!(paired_person(&world), json!(null));
    confirm_with_passphrase(&world, &["telegram", "unpair"], "no person was paired");
    let audit = world.run(&["logs"]).stdout;
    assert!(audit.contains("telegram unpair"), "{audit}");
}

#[test]
fn where_an_authenticator_is_enrolled_its_code_is_needed_too() {
    let telegram = BackgroundTelegram::start();
    let world = home_with_bot(&telegram, &json!({}));
    pair_jane(&world, &telegram);
    set_passphrase(&world);
    let (secret, step, _) = enroll_totp(&world);
    let next = totp_code(&secret, step + 1);
    let wrong = if next == "000000" { "000001" } else { "000000" };
    let unpair = |code: &str| {
        let mut terminal = spawn_on_terminal(&world, &["telegram", "unpair"]);
        answer_prompt(&mut terminal, "Passphrase, to end the pairing", PASSPHRASE);
        answer_prompt(&mut terminal, "Code of your authenticator, or a recovery code", code);
        read_to_end(&mut terminal)
    };
    let refused = unpair(wrong);
    assert!(refused.contains("not the code of now"), "{refused}");
    assert_eq!(paired_person(&world)["user"], json!(JANE_USER_ID), "still paired");
    let done = unpair(&next);
    assert!(done.contains("the pairing has ended"), "{done}");
    assert_eq!(paired_person(&world), json!(null));
    let mut terminal = spawn_on_terminal(&world, &["telegram", "pair"]);
    answer_prompt(&mut terminal, "Passphrase, to let someone decide on Telegram", PASSPHRASE);
    answer_prompt(&mut terminal, "Code of your authenticator, or a recovery code", &next);
    let again = read_to_end(&mut terminal);
    assert!(again.contains("used before") && !again.contains("t.me"), "{again}");
}

#[test]
fn who_is_paired_stays_so_until_that_is_ended() {
    let telegram = BackgroundTelegram::start();
    let world = home_with_bot(&telegram, &json!({}));
    pair_jane(&world, &telegram);
    let refused = world.run(&["telegram", "pair"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("the bot is paired with user 501"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("hint: end that first with `portero telegram unpair`"),
        "{}",
        refused.stderr
    );
    // Nothing can be confirmed without a passphrase, so nobody ends it either.
    let mut terminal = spawn_on_terminal(&world, &["telegram", "unpair"]);
    terminal.expect("no approval passphrase is set").unwrap();
    terminal.expect(Eof).unwrap();
    assert_eq!(paired_person(&world)["user"], json!(JANE_USER_ID));
}

#[test]
fn who_is_named_by_the_configuration_is_not_paired_over() {
    let telegram = BackgroundTelegram::start();
    telegram.fake().send_text(JANE_USER_ID, "/start");
    let world = home_with_bot(&telegram, &json!({"admin": JANE_USER_ID}));
    let refused = world.run(&["telegram", "pair"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(
        refused.stderr.contains("names user 501") && refused.stderr.contains("telegram.admin"),
        "{}",
        refused.stderr
    );
}

#[test]
fn without_a_bot_one_is_told_how_to_make_one() {
    let world = TestHome::with_office();
    let refused = world.run(&["telegram", "pair"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("no bot is configured") && refused.stderr.contains("BotFather"),
        "{}",
        refused.stderr
    );
}
