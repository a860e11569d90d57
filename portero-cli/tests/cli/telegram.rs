//! Pairing with a bot at the terminal: the real programs, and a stand-in for Telegram on loopback.

#![cfg(unix)]

use std::thread::JoinHandle;

use expectrl::{Eof, Expect as _};
use serde_json::{Value, json};

use crate::standin::{StandIn, TOKEN, USERNAME};
use crate::terminal::{PASSPHRASE, confirm, on_terminal, set_passphrase};
use crate::totp::{answer, code, enroll, rest};
use crate::world::{World, eventually};

const JANE: i64 = 501;

/// Telegram, on a thread of its own, since these tests have no runtime.
struct Telegram {
    bot: Option<StandIn>,
    runtime: tokio::runtime::Handle,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Telegram {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let bot = runtime.block_on(StandIn::start());
        let running = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        Self { bot: Some(bot), runtime: handle, stop: Some(stop), running: Some(running) }
    }

    fn bot(&self) -> &StandIn {
        self.bot.as_ref().unwrap()
    }

    /// Waits until the bot said something to Jane that begins so.
    fn said(&self, words: &str) {
        let told = |it: &StandIn| it.by_bot(JANE).into_iter().find(|it| it.text.starts_with(words));
        self.runtime.block_on(self.bot().until(words, told));
    }
}

impl Drop for Telegram {
    fn drop(&mut self) {
        drop(self.bot.take());
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

/// A world whose configuration names the stand-in's bot; the daemon listens to it.
fn with_bot(telegram: &Telegram, more: &Value) -> World {
    let world = World::with_office();
    let mut settings = json!({"token": TOKEN, "apiUrl": telegram.bot().api_url()});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.write("portero.json", &json!({"telegram": settings}));
    eventually("the bot is served", || {
        let status = world.json(&["status"]);
        (status["telegram"]["state"] == "serving").then_some(())
    });
    world
}

fn person(world: &World) -> Value {
    world.json(&["status"])["telegram"]["person"].clone()
}

fn pair_jane(world: &World, telegram: &Telegram) {
    let shown = world.json(&["telegram", "pair"]);
    telegram.bot().say(JANE, &format!("/pair {}", shown["code"].as_str().unwrap()));
    telegram.said("Paired.");
}

#[test]
fn a_code_a_link_and_a_picture_of_it_are_shown_and_pair_whoever_says_the_code() {
    let telegram = Telegram::start();
    let world = with_bot(&telegram, &json!({}));
    let said = world.run(&["telegram", "pair"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let (_, code) = said.out.split_once("/pair ").expect("the code");
    let code = code.lines().next().unwrap();
    let link = format!("https://t.me/{USERNAME}?start={}", code.replace('-', ""));
    assert!(said.out.contains(&link), "{}", said.out);
    assert!(
        said.out.contains('▀') && !said.out.contains('\x1b'),
        "a QR code, and no colours in a pipe: {}",
        said.out
    );
    assert!(said.err.contains("No passphrase is set"), "{}", said.err);
    assert_eq!(person(&world), json!(null));
    telegram.bot().say(JANE, &format!("/pair {code}"));
    telegram.said("Paired.");
    assert_eq!(person(&world), json!({"user": JANE, "configured": false}));
    assert!(world.run(&["status"]).out.contains("paired with user 501"));
    let audit = world.run(&["logs"]).out;
    assert!(audit.contains("telegram pair") && !audit.contains(code), "{audit}");
}

#[test]
fn as_json_it_is_one_line() {
    let telegram = Telegram::start();
    let world = with_bot(&telegram, &json!({}));
    let said = world.run(&["telegram", "pair", "--json"]);
    assert_eq!((said.code, said.out.lines().count()), (0, 1), "{}", said.out);
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    let keys: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "link", "expires"]);
    let code = shown["code"].as_str().unwrap();
    assert!(shown["link"].as_str().unwrap().ends_with(&code.replace('-', "")), "{shown}");
}

#[test]
fn with_a_passphrase_only_a_person_at_a_terminal_gets_a_code_and_ends_a_pairing() {
    let telegram = Telegram::start();
    let mut world = with_bot(&telegram, &json!({}));
    world.variables.push(("TERM", "xterm-256color"));
    set_passphrase(&world);
    #[cfg(target_os = "linux")]
    for words in [["telegram", "pair"], ["telegram", "unpair"]] {
        let said = crate::terminal::without_terminal(&world, &words, &format!("{PASSPHRASE}\n"));
        assert_eq!(said.code, 1, "{words:?}: {}", said.out);
        assert!(
            said.err.contains("no terminal here") && !said.out.contains("t.me"),
            "{}{}",
            said.out,
            said.err
        );
    }
    let mut terminal = on_terminal(&world, &["telegram", "pair"]);
    let before = answer(&mut terminal, "Passphrase, to let someone decide on Telegram", "not the one");
    assert!(before.contains("decides on Telegram from then on"), "{before}");
    let refused = rest(&mut terminal);
    assert!(refused.contains("not the approval passphrase") && !refused.contains("t.me"), "{refused}");
    let mut terminal = on_terminal(&world, &["telegram", "pair"]);
    answer(&mut terminal, "Passphrase, to let someone decide on Telegram", PASSPHRASE);
    let shown = rest(&mut terminal);
    assert!(shown.contains("https://t.me/") && shown.contains("\x1b[38;5;16;48;5;231m"), "{shown}");
    let (_, code) = shown.split_once("/pair ").unwrap();
    telegram.bot().say(JANE, &format!("/pair {}", code.lines().next().unwrap().trim()));
    telegram.said("Paired.");

    confirm(&world, &["telegram", "unpair"], "the bot listens to nobody now");
    assert_eq!(person(&world), json!(null));
    confirm(&world, &["telegram", "unpair"], "nobody was paired");
    let audit = world.run(&["logs"]).out;
    assert!(audit.contains("telegram unpair"), "{audit}");
}

#[test]
fn where_an_authenticator_is_enrolled_its_code_is_needed_too() {
    let telegram = Telegram::start();
    let world = with_bot(&telegram, &json!({}));
    pair_jane(&world, &telegram);
    set_passphrase(&world);
    let (secret, step, _) = enroll(&world);
    let next = code(&secret, step + 1);
    let wrong = if next == "000000" { "000001" } else { "000000" };
    let unpair = |code: &str| {
        let mut terminal = on_terminal(&world, &["telegram", "unpair"]);
        answer(&mut terminal, "Passphrase, to end the pairing", PASSPHRASE);
        answer(&mut terminal, "Code of your authenticator, or a recovery code", code);
        rest(&mut terminal)
    };
    let refused = unpair(wrong);
    assert!(refused.contains("not the code of now"), "{refused}");
    assert_eq!(person(&world)["user"], json!(JANE), "still paired");
    let done = unpair(&next);
    assert!(done.contains("the bot listens to nobody now"), "{done}");
    assert_eq!(person(&world), json!(null));
    let mut terminal = on_terminal(&world, &["telegram", "pair"]);
    answer(&mut terminal, "Passphrase, to let someone decide on Telegram", PASSPHRASE);
    answer(&mut terminal, "Code of your authenticator, or a recovery code", &next);
    let again = rest(&mut terminal);
    assert!(again.contains("used before") && !again.contains("t.me"), "{again}");
}

#[test]
fn who_is_paired_stays_so_until_that_is_ended() {
    let telegram = Telegram::start();
    let world = with_bot(&telegram, &json!({}));
    pair_jane(&world, &telegram);
    let refused = world.run(&["telegram", "pair"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("the bot is paired with user 501"), "{}", refused.err);
    assert!(refused.err.contains("hint: end that first with `portero telegram unpair`"), "{}", refused.err);
    // Nothing can be confirmed without a passphrase, so nobody ends it either.
    let mut terminal = on_terminal(&world, &["telegram", "unpair"]);
    terminal.expect("no approval passphrase is set").unwrap();
    terminal.expect(Eof).unwrap();
    assert_eq!(person(&world)["user"], json!(JANE));
}

#[test]
fn who_is_named_by_the_configuration_is_not_paired_over() {
    let telegram = Telegram::start();
    telegram.bot().say(JANE, "/start");
    let world = with_bot(&telegram, &json!({"admin": JANE}));
    let refused = world.run(&["telegram", "pair"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(
        refused.err.contains("names user 501") && refused.err.contains("telegram.admin"),
        "{}",
        refused.err
    );
}

#[test]
fn without_a_bot_one_is_told_how_to_make_one() {
    let world = World::with_office();
    let refused = world.run(&["telegram", "pair"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("no bot is configured") && refused.err.contains("BotFather"),
        "{}",
        refused.err
    );
}
