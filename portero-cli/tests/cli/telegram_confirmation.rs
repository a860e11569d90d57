//! What widens at the terminal is confirmed on Telegram: with the number that the terminal alone shows.

#![cfg(unix)]

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use expectrl::session::OsSession;
use expectrl::{Eof, Expect as _, Session};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::fake_telegram::{FakeTelegram, ShownMessage, TOKEN};
use crate::terminal::{PASSPHRASE, confirm_with_passphrase, set_passphrase, spawn_on_terminal};
use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};
use crate::totp;

const JANE_USER_ID: i64 = 501;
/// How the prompt begins where there is a choice.
const CHOICE_PROMPT: &str = "Passphrase, or Enter to confirm on Telegram, to ";

/// Jane's phone, with Telegram in a thread of its own.
pub(crate) struct FakePhone {
    telegram: Arc<FakeTelegram>,
    _stop: oneshot::Sender<()>,
    _thread: JoinHandle<()>,
}

impl FakePhone {
    /// A bot that this world's configuration names, and that listens to Jane.
    pub(crate) fn pair_with(world: &TestHome) -> Self {
        Self::pair_with_settings(world, &json!({}))
    }

    /// As [`FakePhone::pair_with`], with more settings.
    pub(crate) fn pair_with_settings(world: &TestHome, more: &Value) -> Self {
        let (made, telegram) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let io = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            io.block_on(async {
                made.send(Arc::new(FakeTelegram::start().await)).unwrap();
                let _ = stopped.await;
            });
        });
        let telegram = telegram.recv().unwrap();
        telegram.send_text(JANE_USER_ID, "/start");
        let settings = json!({"token": TOKEN, "apiUrl": telegram.api_url(), "admin": JANE_USER_ID});
        let mut all = more.clone();
        all["telegram"] = settings;
        world.write("portero.json", &all);
        Self { telegram, _stop: stop, _thread: thread }
    }

    /// Returns once what widens at a terminal can be confirmed here.
    pub(crate) fn wait_until_ready(&self, world: &TestHome) {
        eventually("it can be confirmed on Telegram", || {
            (world.json(&["status"])["telegram"]["confirms"] == "now").then_some(())
        });
    }

    /// Returns once the bot is served again, and too much was asked before.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_until_held(&self, world: &TestHome) {
        eventually("nothing is asked on Telegram for a while", || {
            let confirms = world.json(&["status"])["telegram"]["confirms"]["not-now"].to_string();
            confirms.contains("had no answer").then_some(())
        });
    }

    /// What terminals asked, the oldest first.
    pub(crate) fn questions(&self) -> Vec<ShownMessage> {
        let asked = |it: &ShownMessage| it.text.contains("portero ") && it.text.contains("erminal");
        self.telegram.bot_messages(JANE_USER_ID).into_iter().filter(asked).collect()
    }

    /// The question that is open now.
    pub(crate) fn wait_for_question(&self) -> ShownMessage {
        let open = || self.questions().into_iter().next_back().filter(|it| it.keyboard.is_some());
        eventually("a question on the phone", open)
    }

    /// Taps a button of the card that says this, once it is there.
    pub(crate) fn tap_on_card(&self, words: &str, button: &str) {
        let card = || {
            let shown = self.telegram.bot_messages(JANE_USER_ID);
            shown.into_iter().find(|it| it.text.contains(words) && it.keyboard.is_some())
        };
        self.telegram.press(JANE_USER_ID, eventually("a card on the phone", card).id, button);
    }

    pub(crate) fn tap_button(&self, words: &str) {
        self.telegram.press(JANE_USER_ID, self.wait_for_question().id, words);
    }

    /// Taps the number, and waits until the question is over.
    fn confirm_number(&self, number: &str) {
        let card = self.wait_for_question();
        self.tap_button(number);
        self.wait_until_shown(&card, "Confirmed and done.");
    }

    fn wait_until_shown(&self, shown: &ShownMessage, words: &str) {
        eventually(words, || {
            let now = self.questions().into_iter().find(|now| now.id == shown.id)?;
            (now.text.starts_with(words) && now.keyboard.is_none()).then_some(())
        });
    }
}

/// The number that the terminal shows.
pub(crate) fn read_number(terminal: &mut OsSession) -> String {
    let found = terminal.expect(expectrl::Regex("Tap ([0-9]{2}) on Telegram, within 120 s")).unwrap();
    String::from_utf8(found.get(1).unwrap().to_vec()).unwrap()
}

/// Presses Enter where there is a choice.
fn choose_telegram(terminal: &mut OsSession) {
    terminal.expect(CHOICE_PROMPT).unwrap();
    terminal.expect(": ").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    terminal.send_line("").unwrap();
}

/// A world with a passphrase, and a phone.
fn home_with_phone() -> (TestHome, FakePhone) {
    let world = TestHome::with_office();
    let phone = FakePhone::pair_with(&world);
    set_passphrase(&world);
    phone.wait_until_ready(&world);
    (world, phone)
}

#[test]
fn enter_alone_at_the_prompt_asks_on_telegram_and_the_right_number_confirms() {
    let (world, phone) = home_with_phone();
    let mut terminal = spawn_on_terminal(&world, &["grant", "office/send_mail", "1h"]);
    choose_telegram(&mut terminal);
    let number = read_number(&mut terminal);
    let card = phone.wait_for_question();
    assert!(card.text.contains("portero grant office/send_mail 1h"), "{}", card.text);
    assert_eq!(world.json(&["rules"])["grants"], json!([]), "nothing is granted yet");
    phone.tap_button(&number);
    terminal.expect("grant 1: `office/send_mail` runs unasked for 1h").unwrap();
    terminal.expect(Eof).unwrap();
    phone.wait_until_shown(&card, "Confirmed and done.");
    // The passphrase goes on to do.
    let mut terminal = spawn_on_terminal(&world, &["allow", "office/write_note"]);
    terminal.expect(CHOICE_PROMPT).unwrap();
    terminal.expect(": ").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    terminal.send_line(PASSPHRASE).unwrap();
    terminal.expect("is allowed").unwrap();
    terminal.expect(Eof).unwrap();
}

#[test]
fn where_no_passphrase_is_set_the_phone_alone_confirms() {
    let world = TestHome::with_office();
    let phone = FakePhone::pair_with(&world);
    phone.wait_until_ready(&world);
    let mut terminal = spawn_on_terminal(&world, &["allow", "office/send_mail"]);
    terminal.expect("No approval passphrase is set, so this is confirmed on Telegram.").unwrap();
    let number = read_number(&mut terminal);
    phone.tap_button(&number);
    terminal.expect("is allowed").unwrap();
    terminal.expect(Eof).unwrap();
    let mut terminal = spawn_on_terminal(&world, &["telegram", "unpair"]);
    terminal.expect("no approval passphrase is set").unwrap();
    terminal.expect(Eof).unwrap();
}

#[test]
fn a_refusal_is_told_and_then_the_passphrase_is_left() {
    let (world, phone) = home_with_phone();
    let mut terminal = spawn_on_terminal(&world, &["grant", "office/*", "1h", "--telegram"]);
    read_number(&mut terminal);
    let card = phone.wait_for_question();
    phone.tap_button("❌ Refuse");
    terminal.expect("it was refused on Telegram, so nothing changed").unwrap();
    terminal.expect("confirm it with the passphrase").unwrap();
    terminal.expect(Eof).unwrap();
    phone.wait_until_shown(&card, "Refused. Nothing changed");
    assert_eq!(world.json(&["rules"])["grants"], json!([]));
    let shown =
        confirm_with_passphrase(&world, &["grant", "office/*", "1h", "--telegram"], "runs unasked for 1h");
    assert!(shown.contains("Not on Telegram: the last question on Telegram was refused"), "{shown}");
    assert_eq!(phone.questions().len(), 1);
}

#[test]
fn interrupting_the_terminal_takes_the_question_back() {
    let (world, phone) = home_with_phone();
    let mut terminal = spawn_on_terminal(&world, &["grant", "office/*", "1h", "--telegram"]);
    read_number(&mut terminal);
    let card = phone.wait_for_question();
    terminal.send("\u{3}").unwrap();
    phone.wait_until_shown(&card, "The terminal has gone. Nothing changed.");
    assert_eq!(world.json(&["rules"])["grants"], json!([]));
}

#[test]
fn several_approvals_are_a_question_each_and_ctrl_c_takes_back_the_open_one() {
    let (world, phone) = home_with_phone();
    let mut agent = crate::agent::Agent::connect(&world, &[]);
    let ids = ["Alder", "Birch"].map(|subject| {
        let mail = json!({"to": "a@b.test", "subject": subject, "body": "y"});
        let pending = agent.call_tool("office__send_mail", &mail);
        pending["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned()
    });
    let mut terminal = spawn_on_terminal(&world, &["approve", &ids[0], &ids[1], "--telegram"]);
    let number = read_number(&mut terminal);
    phone.confirm_number(&number);
    read_number(&mut terminal);
    let card = phone.wait_for_question();
    terminal.send("\u{3}").unwrap();
    phone.wait_until_shown(&card, "The terminal has gone. Nothing changed.");
    assert_eq!(world.json(&["task", &ids[1]])["state"], "pending-approval");
    eventually("the first ran", || (world.json(&["task", &ids[0]])["state"] == "completed").then_some(()));

    // Where each call is asked about, too.
    let mut terminal = spawn_on_terminal(&world, &["approve", "--telegram"]);
    terminal.expect("a number of the list: ").unwrap();
    terminal.send_line("y").unwrap();
    read_number(&mut terminal);
    let card = phone.wait_for_question();
    terminal.send("\u{3}").unwrap();
    terminal.expect("Taken back; `portero task ").unwrap();
    phone.wait_until_shown(&card, "The terminal has gone. Nothing changed.");
    assert_eq!(world.json(&["task", &ids[1]])["state"], "pending-approval");
}

#[test]
fn a_pause_is_ended_a_configuration_confirmed_and_a_deny_lifted_on_telegram() {
    let (world, phone) = home_with_phone();
    let deny = world.json(&["deny", "office/read_mail"])["id"].to_string();
    world.json(&["pause"]);
    let mut terminal = spawn_on_terminal(&world, &["resume", "--telegram"]);
    let tap = read_number(&mut terminal);
    phone.confirm_number(&tap);
    terminal.expect("Calls run again").unwrap();
    terminal.expect(Eof).unwrap();

    let mut terminal = spawn_on_terminal(&world, &["unrule", &deny, "--telegram"]);
    let tap = read_number(&mut terminal);
    phone.confirm_number(&tap);
    terminal.expect("is removed").unwrap();
    terminal.expect(Eof).unwrap();

    world.write("policies.json", &json!({"policies": {"office/*": "allow"}}));
    eventually("it waits", || (world.json(&["status"])["config_waits"] != 0).then_some(()));
    let mut terminal = spawn_on_terminal(&world, &["config", "confirm", "--telegram"]);
    let tap = read_number(&mut terminal);
    let card = phone.wait_for_question();
    assert!(card.text.contains("Put the changed configuration in force?"), "{}", card.text);
    assert!(card.text.contains("policies.json"), "{}", card.text);
    phone.tap_button(&tap);
    terminal.expect("confirmed; the configuration is in force").unwrap();
    terminal.expect(Eof).unwrap();
}

#[test]
fn what_is_wide_takes_the_code_of_an_authenticator_that_is_enrolled() {
    let (world, phone) = home_with_phone();
    totp::enroll_totp(&world);
    let mut terminal = spawn_on_terminal(&world, &["grant", "office/*", "1h", "--telegram"]);
    terminal.expect("it takes the passphrase and a code").unwrap();
    terminal.expect("Passphrase, to ").unwrap();
    terminal.send("\u{3}").unwrap();
    // One tool for an hour is not.
    let mut terminal = spawn_on_terminal(&world, &["grant", "office/send_mail", "1h", "--telegram"]);
    let number = read_number(&mut terminal);
    phone.tap_button(&number);
    terminal.expect("runs unasked for 1h").unwrap();
    assert_eq!(phone.questions().len(), 1);
}

#[test]
fn the_number_stands_on_the_terminal_device_and_nowhere_else() {
    let (world, phone) = home_with_phone();
    let (out, err) = (world.path("out"), world.path("err"));
    let portero = world.command(&["grant", "office/send_mail", "1h", "--telegram", "--json"]);
    let mut shell = std::process::Command::new("sh");
    let line = r#"out=$1; err=$2; shift 2; "$@" > "$out" 2> "$err"; echo ended"#;
    shell.args(["-c", line, "sh"]).arg(&out).arg(&err);
    shell.arg(portero.get_program()).args(portero.get_args()).env_clear();
    for (name, value) in portero.get_envs() {
        shell.env(name, value.unwrap());
    }
    let mut terminal: OsSession = Session::spawn(shell).unwrap();
    terminal.set_expect_timeout(Some(TEST_TIMEOUT));
    let number = read_number(&mut terminal);
    phone.tap_button(&number);
    terminal.expect("ended").unwrap();
    let (out, err) = (std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(err).unwrap());
    let grant: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(grant["pattern"], "office/send_mail");
    let quoted = format!("\"{number}\"");
    for text in [out, err, read_all_files(&world.path("state"))] {
        assert!(!text.contains("Tap ") && !text.contains(&quoted), "the number {number} is told: {text}");
    }
}

/// Every file that the daemon wrote, as one text.
fn read_all_files(directory: &std::path::Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&read_all_files(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    all
}
