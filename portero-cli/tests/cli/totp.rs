//! An authenticator is enrolled at the terminal, and what is wide then needs its codes.

#![cfg(unix)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE32_NOPAD;
use expectrl::session::OsSession;
use expectrl::{Eof, Expect as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;

use crate::terminal::{PASSPHRASE, confirm_with_passphrase, set_passphrase, spawn_on_terminal};
use crate::test_support::TestHome;

/// The code of a step, as a phone that was given this secret makes it (RFC 4226, section 5.3).
pub(crate) fn totp_code(secret: &[u8], step: u64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).unwrap();
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 0x0f);
    let four: [u8; 4] = hash[offset..offset + 4].try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

fn current_step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

/// Types where something is asked for without showing what is typed.
pub(crate) fn answer_prompt(terminal: &mut OsSession, asked: &str, typed: &str) -> String {
    let before = terminal.expect(asked).unwrap();
    let shown = String::from_utf8_lossy(before.before()).into_owned();
    terminal.expect(": ").unwrap();
    // The terminal echoes until the prompt's reader turned that off.
    std::thread::sleep(Duration::from_millis(50));
    terminal.send_line(typed).unwrap();
    shown
}

/// The rest of what is shown.
pub(crate) fn read_to_end(terminal: &mut OsSession) -> String {
    let end = terminal.expect(Eof).unwrap();
    String::from_utf8_lossy(end.as_bytes()).into_owned()
}

/// Enrols at the terminal, and gives the secret, the step whose code is used, and a recovery code.
pub(crate) fn enroll_totp(world: &TestHome) -> (Vec<u8>, u64, String) {
    let mut terminal = spawn_on_terminal(world, &["totp", "enroll"]);
    answer_prompt(&mut terminal, "Passphrase, to enrol an authenticator", PASSPHRASE);
    let shown = answer_prompt(&mut terminal, "The code that the app shows now", "000 00");
    assert!(shown.contains('▀') && shown.contains("\x1b[38;5;16;48;5;231m"), "a QR code: {shown}");
    let (_, secret) = shown.split_once("30 seconds):").unwrap();
    let secret: String = secret.split_whitespace().collect();
    let secret = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let step = current_step();
    let refused = answer_prompt(&mut terminal, "The code that the app shows now", &totp_code(&secret, step));
    assert!(refused.contains("type the next code"), "{refused}");
    let end = read_to_end(&mut terminal);
    assert!(end.contains("the authenticator is enrolled"), "{end}");
    let recovery = end.split_whitespace().find(|word| word.len() == 11 && word.as_bytes()[5] == b'-');
    (secret, step, recovery.unwrap().to_owned())
}

/// Grants on every tool of the office with this code, and gives what is said.
fn grant_with_code(world: &TestHome, code: &str) -> String {
    let mut terminal = spawn_on_terminal(world, &["grant", "office/*", "30m"]);
    answer_prompt(&mut terminal, "Passphrase, to grant this for 30m", PASSPHRASE);
    answer_prompt(&mut terminal, "Code of your authenticator, or a recovery code", code);
    read_to_end(&mut terminal)
}

#[test]
fn what_is_wide_needs_a_code_once_an_authenticator_is_enrolled() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let before = confirm_with_passphrase(&world, &["grant", "office/*", "1m"], "grant 1");
    assert!(before.contains("portero totp enroll"), "{before}");
    assert_eq!(world.json(&["status"])["totp"], json!(null));

    let (secret, step, recovery) = enroll_totp(&world);
    let status = world.json(&["status"]);
    assert_eq!(status["totp"]["recovery"], 8);
    assert!(status["totp"]["since"].is_string() && status["totp"]["by"].is_string());
    assert!(world.run(&["status"]).stdout.contains("totp        enrolled "));

    let next = totp_code(&secret, step + 1);
    let wrong = if next == "000000" { "000001" } else { "000000" };
    assert!(grant_with_code(&world, wrong).contains("not the code of now"));
    assert!(grant_with_code(&world, &next).contains("grant 2: `office/*` runs unasked for 30m"));
    assert!(grant_with_code(&world, &next).contains("used before"), "the same code a second time");
    assert_eq!(world.json(&["rules"])["grants"].as_array().unwrap().len(), 2);
    // One tool for a while takes the passphrase alone.
    confirm_with_passphrase(&world, &["grant", "office/send_mail", "1h"], "grant 3");

    let mut terminal = spawn_on_terminal(&world, &["totp", "remove"]);
    answer_prompt(&mut terminal, "Passphrase, to remove the authenticator", PASSPHRASE);
    answer_prompt(&mut terminal, "or a recovery code", &recovery);
    assert!(read_to_end(&mut terminal).contains("the authenticator is removed"));
    assert_eq!(world.json(&["status"])["totp"], json!(null));
    let audit = world.run(&["logs"]).stdout;
    for act in ["totp enroll", "totp recovery", "totp remove"] {
        assert!(audit.contains(act), "{act}: {audit}");
    }
    assert!(!audit.contains(&recovery), "{audit}");
}

#[test]
fn an_authenticator_of_an_earlier_build_is_removed_with_the_passphrase_alone_and_every_refusal_says_so() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    enroll_totp(&world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    // As an earlier build left it: without the mark of the present way.
    let change = "import sqlite3, sys; store = sqlite3.connect(sys.argv[1]); \
                  store.execute('UPDATE authenticator SET sealed = substr(sealed, 16)'); store.commit(); store.close()";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", change]).arg(world.path("state/portero.db"));
    assert!(python.status().unwrap().success());
    let status = world.run(&["status"]).stdout;
    assert!(status.contains("CANNOT BE USED") && status.contains("`portero totp remove`"), "{status}");
    let mut terminal = spawn_on_terminal(&world, &["grant", "office/*", "30m"]);
    let refused = read_to_end(&mut terminal);
    assert!(refused.contains("`portero totp remove` removes it with the passphrase alone"), "{refused}");
    assert!(!refused.contains("Code of"), "no code is asked for in vain: {refused}");
    let removed = confirm_with_passphrase(&world, &["totp", "remove"], "the authenticator is removed");
    assert!(!removed.contains("Code of"), "{removed}");
    assert_eq!(world.json(&["status"])["totp"], json!(null));
    enroll_totp(&world);
}

#[cfg(target_os = "linux")]
#[test]
fn neither_secret_nor_code_is_told_without_a_terminal() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    for words in [&["totp", "enroll"][..], &["totp", "remove"]] {
        let said = crate::terminal::run_without_terminal(&world, words, &format!("{PASSPHRASE}\n000000\n"));
        assert_eq!(said.code, 1, "{words:?}");
        assert!(
            said.stdout.is_empty() && said.stderr.contains("no terminal here"),
            "{}{}",
            said.stdout,
            said.stderr
        );
    }
}
