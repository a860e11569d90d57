//! Through the question on Telegram: the agent asks it too, at its own terminal and on the socket, and nobody taps.

use expectrl::{Eof, Expect as _};
use serde_json::{Value, json};

use super::socket::Socket;
use super::{PRIZES, Siege};
use crate::phone::{Phone, number};
use crate::terminal::{on_terminal, without_terminal};
use crate::world::World;

/// Everything that widens, confirmed on Telegram in the words of the socket, also with what is not so.
fn widening(task: &str) -> Vec<Value> {
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
            json!({"approve": {"task": task, "challenge": challenge}}),
            json!({"grant": {"pattern": "office/*", "millis": 60_000, "challenge": challenge}}),
            json!({"rule": {"pattern": "office/*", "action": "allow", "challenge": challenge}}),
            json!({"resume": {"challenge": challenge}}),
            json!({"real-task": {"task": task, "challenge": challenge}}),
            json!({"confirm-config": {"shown": "0", "challenge": challenge}}),
            json!({"set-passphrase": {"old": challenge, "new": {"passphrase": "a passphrase of mine"}}}),
            json!({"telegram-unpair": {"challenge": challenge}}),
            json!({"telegram-pair": {"challenge": challenge}}),
            json!({"offer-totp": {"challenge": challenge}}),
        ]);
    }
    for number in [10, 47, 99] {
        let text = number.to_string();
        asks.push(json!({"number": {"number": 1, "tap": text, "seconds": 120}}));
        asks.push(json!({"answer": {"question": 1, "says": {"number": 0}}}));
        asks.push(json!({"tap": {"number": number}}));
    }
    asks
}

/// A siege whose owner decides on Telegram too.
fn with_phone() -> (Siege, Phone) {
    let world = World::with_office();
    let phone = Phone::of(&world);
    let siege = Siege::of(world);
    phone.is_ready(&siege.world);
    (siege, phone)
}

#[test]
fn an_agent_that_asks_on_telegram_gets_nothing_without_a_tap() {
    let (mut siege, phone) = with_phone();
    for words in [
        &["grant", "office/send_mail", "1h", "--telegram"][..],
        &["allow", "office/*", "--telegram"],
        &["approve", &siege.task, "--telegram"],
    ] {
        let said = without_terminal(&siege.world, words, "\n\n47\n");
        assert!(said.code == 1 && said.err.contains("no terminal here"), "{}{}", said.out, said.err);
    }
    assert!(phone.asked().is_empty(), "nobody was asked");

    // A terminal of its own shows it the number, and it types whatever it likes.
    let mut terminal = on_terminal(&siege.world, &["grant", "office/send_mail", "1h", "--telegram"]);
    let number = number(&mut terminal);
    terminal.send_line(&number).unwrap();
    terminal.send_line("yes").unwrap();
    let card = phone.card();
    assert!(card.text.contains("no terminal in front of you shows a number: Refuse."), "{}", card.text);
    siege.held("a question of its own");
    phone.tap("❌ Refuse");
    terminal.expect("it was refused on Telegram").unwrap();
    terminal.expect(Eof).unwrap();
    siege.held("a question that is refused");

    for ask in widening(&siege.task) {
        let reply = Socket::as_terminal(&siege.world).ask(&ask);
        let done = reply.as_ref().is_some_and(|reply| reply.get("Ok").is_some());
        assert!(!done, "{ask} was answered with {reply:?}");
    }
    assert_eq!(phone.asked().len(), 1, "after the refusal nobody was asked again");
    siege.storm("after every message");
}

#[test]
fn an_agent_cannot_wear_a_person_out_with_questions() {
    let (mut siege, phone) = with_phone();
    for time in 0..20 {
        let mut socket = Socket::as_terminal(&siege.world);
        let ask = json!({"grant": {
            "pattern": format!("office/{}", PRIZES[time % 2]), "millis": 60_000, "challenge": {"telegram": true},
        }});
        // It is told a number or refused, and hangs up.
        let heard = socket.ask_and_hear(&ask);
        assert!(heard["answer"]["reply"].get("Ok").is_none(), "{heard}");
    }
    assert!(phone.asked().len() <= 3, "{:?}", phone.asked());
    siege.storm("a flood of questions on Telegram");
    // The daemon that is killed and started again forgets none of them.
    siege.world.run(&["daemon", "stop"]);
    phone.is_held(&siege.world);
    let reply = Socket::as_terminal(&siege.world)
        .ask(&json!({"resume": {"challenge": {"telegram": true}}}))
        .expect("an answer");
    assert!(reply["Err"]["message"].as_str().unwrap().contains("had no answer"), "{reply}");
}
