//! Through the question on Telegram: the agent asks it too, at its own terminal and on the socket, and nobody taps.

use expectrl::{Eof, Expect as _};
use serde_json::{Value, json};

use super::raw_socket::{RawSocket, assert_known, request};
use super::{AttackFixture, FORBIDDEN_TOOLS};
use crate::telegram_confirmation::{FakePhone, read_number};
use crate::terminal::{run_without_terminal, spawn_on_terminal};
use crate::test_support::TestHome;

/// Everything that widens, confirmed on Telegram in the words of the socket, also with what is not so.
fn elevating_requests(task: &str) -> Vec<Value> {
    let challenges = [
        json!({"telegram": true}),
        json!({"telegram": true, "passphrase": "password", "code": "000000"}),
        json!({"telegram": true, "confirmed": true, "number": 47, "tap": "47"}),
        json!({"telegram": {"confirmed": true}}),
        json!({"passphrase": "", "telegram": false, "consented": {"user": 501, "question": 1}}),
    ];
    let mut asks = Vec::new();
    for challenge in challenges {
        asks.extend([
            request("approvals/approve", json!({"task": task, "challenge": challenge})),
            request(
                "grants/create",
                json!({"pattern": "office/*", "millis": 60_000, "challenge": challenge}),
            ),
            request(
                "rules/create",
                json!({"pattern": "office/*", "action": "allow", "challenge": challenge}),
            ),
            request("resume", json!({"challenge": challenge})),
            request("tasks/reveal", json!({"task": task, "challenge": challenge})),
            request("config/confirm", json!({"shown": "0", "challenge": challenge})),
            request(
                "passphrase/set",
                json!({"old": challenge, "new": {"passphrase": "a passphrase of mine"}}),
            ),
            request("telegram/unpair", json!({"challenge": challenge})),
            request("telegram/pair", json!({"challenge": challenge})),
            request("totp/offer", json!({"challenge": challenge})),
        ]);
    }
    for number in [10, 47, 99] {
        let text = number.to_string();
        asks.push(request("number", json!({"number": 1, "tap": text, "seconds": 120})));
        asks.push(request("answer", json!({"question": 1, "says": {"number": 0}})));
        asks.push(request("tap", json!({"number": number})));
    }
    asks
}

/// A siege whose owner decides on Telegram too.
fn attack_with_phone() -> (AttackFixture, FakePhone) {
    let world = TestHome::with_office();
    let phone = FakePhone::pair_with(&world);
    let siege = AttackFixture::in_home(world);
    phone.wait_until_ready(&siege.home);
    (siege, phone)
}

#[test]
fn an_agent_that_asks_on_telegram_gets_nothing_without_a_tap() {
    let (mut siege, phone) = attack_with_phone();
    for words in [
        &["grant", "office/send_mail", "1h", "--telegram"][..],
        &["allow", "office/*", "--telegram"],
        &["approve", &siege.task, "--telegram"],
    ] {
        let said = run_without_terminal(&siege.home, words, "\n\n47\n");
        assert!(said.code == 1 && said.stderr.contains("no terminal here"), "{}{}", said.stdout, said.stderr);
    }
    assert!(phone.questions().is_empty(), "nobody was asked");

    // A terminal of its own shows it the number, and it types whatever it likes.
    let mut terminal = spawn_on_terminal(&siege.home, &["grant", "office/send_mail", "1h", "--telegram"]);
    terminal.expect("run it too?").unwrap();
    terminal.send_line("y").unwrap();
    let number = read_number(&mut terminal);
    terminal.send_line(&number).unwrap();
    terminal.send_line("yes").unwrap();
    let card = phone.wait_for_question();
    assert!(card.text.contains("no terminal in front of you shows a number: Refuse."), "{}", card.text);
    siege.assert_held("a question of its own");
    phone.tap_button("❌ Refuse");
    terminal.expect("it was refused on Telegram").unwrap();
    terminal.expect(Eof).unwrap();
    siege.assert_held("a question that is refused");

    for ask in elevating_requests(&siege.task) {
        let reply = RawSocket::as_terminal(&siege.home).request(&ask).expect("an answer");
        assert!(reply.get("Ok").is_none(), "{ask} was answered with {reply}");
        assert_known(&ask, &reply);
    }
    assert_eq!(phone.questions().len(), 1, "after the refusal nobody was asked again");
    siege.attack_and_assert_held("after every message");
}

#[test]
fn an_agent_cannot_wear_a_person_out_with_questions() {
    let (mut siege, phone) = attack_with_phone();
    for time in 0..20 {
        let mut socket = RawSocket::as_terminal(&siege.home);
        let ask = request(
            "grants/create",
            json!({
                "pattern": format!("office/{}", FORBIDDEN_TOOLS[time % 2]), "millis": 60_000, "challenge": {"telegram": true},
            }),
        );
        // It is told a number or refused, and hangs up.
        let heard = socket.request_and_hear(&ask);
        assert!(heard["response"]["result"].get("Ok").is_none(), "{heard}");
    }
    assert!(phone.questions().len() <= 3, "{:?}", phone.questions());
    siege.attack_and_assert_held("a flood of questions on Telegram");
    // The daemon that is killed and started again forgets none of them.
    siege.home.run(&["daemon", "stop"]);
    phone.wait_until_held(&siege.home);
    let reply = RawSocket::as_terminal(&siege.home)
        .request(&request("resume", json!({"challenge": {"telegram": true}})))
        .expect("an answer");
    assert!(reply["Err"]["message"].as_str().unwrap().contains("had no answer"), "{reply}");
}
