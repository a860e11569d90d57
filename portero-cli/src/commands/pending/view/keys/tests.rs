use portero::notice::{Adoption, Alarm, Entry, Notice};
use portero::task::State;

use super::super::fixture::{NOW, came, id, view};
use super::super::state::Acted;
use super::*;

const SIZE: (u16, u16) = (80, 24);

/// What the view is at, in a word.
fn at(view: &View) -> String {
    match &view.mode {
        Mode::Browse => "browse".to_owned(),
        Mode::Help => "help".to_owned(),
        Mode::Approve { task, typed, .. } => format!("approve {task} {typed:?}"),
        Mode::Reject { task, reason } => format!("reject {task} {reason:?}"),
        Mode::Pause => "pause".to_owned(),
        Mode::Gone => "gone".to_owned(),
    }
}

/// What stands at the bottom, as one line.
fn below(view: &View) -> String {
    let words: Vec<String> = layout::footer(view).iter().map(|line| line.trim().to_owned()).collect();
    words.join(" ")
}

/// Plays keys: letters as themselves, `<` for Escape, `!` for Enter, `~` for Backspace, `_` for Ctrl-U.
fn play(view: &mut View, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for letter in keys.chars() {
        effect = view.key(match letter {
            '<' => Key::Escape,
            '!' => Key::Enter,
            '~' => Key::Backspace,
            '_' => Key::Clear,
            other => Key::Letter(other),
        });
    }
    effect
}

#[test]
fn each_key_does_what_it_says() {
    let approve = |number, typed: &str| format!("approve {} {typed:?}", id(number));
    let reject = |number, reason: &str| format!("reject {} {reason:?}", id(number));
    let yes = |number, typed: &str| Effect::Approve { task: id(number), passphrase: Secret::new(typed) };
    let no =
        |number, reason: Option<&str>| Effect::Reject { task: id(number), reason: reason.map(str::to_owned) };
    let browse = || "browse".to_owned();
    for (keys, selected, mode, effect) in [
        ("", 9, browse(), None),
        ("j", 5, browse(), None),
        ("jj", 1, browse(), None),
        ("jjj", 1, browse(), None),
        ("jjk", 5, browse(), None),
        ("k", 9, browse(), None),
        ("?", 9, "help".to_owned(), None),
        ("?j", 9, browse(), None),
        ("x!~", 9, browse(), None),
        ("a", 9, approve(9, ""), Some(Effect::Check { task: id(9) })),
        ("jajkqrp?", 5, approve(5, "jkqrp?"), None),
        ("asecret~~", 9, approve(9, "secr"), None),
        ("asecret_", 9, approve(9, ""), None),
        ("asecret<", 9, browse(), None),
        ("a!", 9, approve(9, ""), None),
        ("jasecret!", 5, approve(5, ""), Some(yes(5, "secret"))),
        ("r", 9, reject(9, ""), None),
        ("rno q~~", 9, reject(9, "no"), None),
        ("rno<", 9, browse(), None),
        ("r!", 9, reject(9, ""), Some(no(9, None))),
        ("jrask me !", 5, reject(5, "ask me "), Some(no(5, Some("ask me")))),
        ("p", 9, "pause".to_owned(), None),
        ("pn", 9, browse(), None),
        ("p!", 9, browse(), None),
        ("py", 9, "pause".to_owned(), Some(Effect::Pause)),
        ("q", 9, browse(), Some(Effect::Quit)),
    ] {
        let mut view = view(SIZE);
        let made = play(&mut view, keys);
        assert_eq!(view.selected, Some(id(selected)), "{keys}");
        assert_eq!(at(&view), mode, "{keys}");
        assert_eq!(made, effect, "{keys}");
    }
}

#[test]
fn a_yes_that_would_not_make_it_run_takes_back_what_is_typed() {
    let void = |number| Acted::Void { task: id(number), why: "the tool's definition changed".to_owned() };
    let mut view = view(SIZE);
    play(&mut view, "asec");
    view.acted(Acted::Runnable);
    assert_eq!(at(&view), format!("approve {} \"sec\"", id(9)));
    view.acted(void(5));
    assert_eq!(at(&view), format!("approve {} \"sec\"", id(9)), "it is about another call");
    view.acted(void(9));
    assert_eq!(play(&mut view, "ret p"), None, "the rest of a passphrase is no command");
    assert_eq!(at(&view), "gone");
    assert_eq!(view.says, "the tool's definition changed; you approved nothing");
    play(&mut view, "<");
    assert_eq!(at(&view), "browse");
    assert_eq!(view.waiting(), 3, "it still waits");
}

#[test]
fn the_call_can_be_read_to_its_end_while_the_passphrase_is_asked_for() {
    let mut view = view(SIZE);
    play(&mut view, "a");
    let unseen = |view: &View| {
        let item = view.selected().unwrap();
        layout::lines(view, item).len() - item.seen
    };
    assert!(unseen(&view) > 20);
    assert!(below(&view).contains("NOT YET SEEN"));
    for _ in 0..10 {
        view.key(Key::PageDown);
    }
    assert_eq!(unseen(&view), 0);
    assert!(!below(&view).contains("NOT YET SEEN"));
    let end = view.scroll;
    view.key(Key::PageDown);
    assert_eq!(view.scroll, end, "there is nothing beyond the end");
    view.key(Key::Home);
    assert_eq!(view.scroll, 0);
    view.key(Key::End);
    assert_eq!(view.scroll, end);
}

#[test]
fn a_list_that_changes_never_makes_a_key_hit_another_task() {
    let mut view = view(SIZE);
    play(&mut view, "j");
    view.hear(&came(9, State::Expired));
    assert_eq!(view.selected, Some(id(5)), "one above it went");
    view.hear(&came(5, State::Denied));
    assert_eq!(view.selected, Some(id(5)), "it went itself, and stays until the person moves");
    assert_eq!(play(&mut view, "a!"), None);
    assert_eq!(at(&view), "browse");
    assert!(view.says.contains("denied"), "{}", view.says);
    play(&mut view, "j");
    assert_eq!(view.selected, Some(id(1)));
    assert_eq!(view.items.len(), 1, "what ended is gone once the person moved on");
}

#[test]
fn the_last_task_that_ended_goes_when_the_person_moves() {
    let mut view = view(SIZE);
    play(&mut view, "jj");
    view.hear(&came(9, State::Denied));
    view.hear(&came(5, State::Denied));
    view.hear(&came(1, State::Denied));
    assert_eq!(view.selected, Some(id(1)));
    play(&mut view, "j");
    assert!(view.items.is_empty() && view.selected.is_none());
    assert_eq!(play(&mut view, "jka!"), None);
    assert_eq!(view.says, "nothing waits for you");
}

#[test]
fn a_task_that_ends_while_it_is_asked_about_takes_the_question_back() {
    for keys in ["asecret", "rno"] {
        let mut view = view(SIZE);
        play(&mut view, keys);
        view.hear(&came(9, State::Cancelled));
        assert_eq!(at(&view), "gone");
        assert!(below(&view).contains("you decided nothing"), "{}", below(&view));
        assert_eq!(play(&mut view, "!"), None);
        assert_eq!(at(&view), "browse");
        view.hear(&came(5, State::Cancelled));
        assert_eq!(view.selected, Some(id(9)));
    }
}

/// An agent can take its task back at any moment, so also in the middle of a passphrase.
#[test]
fn the_rest_of_a_passphrase_is_no_command_when_its_task_goes_while_it_is_typed() {
    let mut view = view(SIZE);
    play(&mut view, "aso");
    view.hear(&came(9, State::Cancelled));
    for letter in "jrest of my passphrase py q".chars() {
        assert_eq!(view.key(Key::Letter(letter)), None, "{letter}");
    }
    view.paste("jrpasted");
    assert_eq!((at(&view).as_str(), view.selected), ("gone", Some(id(9))));
    assert_eq!(view.key(Key::Enter), None);
    assert_eq!((at(&view).as_str(), view.selected), ("browse", Some(id(9))));
}

#[test]
fn what_begins_anew_keeps_what_is_still_there_and_ends_the_rest() {
    let mut view = view(SIZE);
    play(&mut view, "j");
    view.anew(&[id(9)]);
    assert_eq!(view.selected, Some(id(5)));
    assert_eq!(view.selected().unwrap().ended.as_deref(), Some("no longer waiting"));
    assert_eq!((view.items.len(), view.waiting()), (2, 1));
}

#[test]
fn one_act_is_on_its_way_at_a_time_and_a_wrong_passphrase_asks_again() {
    let mut view = view(SIZE);
    assert!(play(&mut view, "asecret!").is_some());
    assert_eq!(play(&mut view, "again!"), None);
    assert_eq!(play(&mut view, "<"), None);
    assert_eq!(at(&view), format!("approve {} \"\"", id(9)));
    view.acted(Acted::Wrong("that is not the approval passphrase; 4 more tries before a pause".to_owned()));
    assert!(below(&view).contains("4 more tries"));
    assert!(play(&mut view, "secret!").is_some());
    view.hear(&came(9, State::Approved));
    view.acted(Acted::Done("it is approved".to_owned()));
    assert_eq!((at(&view).as_str(), view.says.as_str()), ("browse", "it is approved"));
    assert!(view.selected().unwrap().ended.is_some());
    assert_eq!(view.key(Key::Interrupt), Some(Effect::Quit));
}

#[test]
fn without_a_daemon_nothing_is_decided() {
    for keys in ["a!", "r!", "py"] {
        let mut view = view(SIZE);
        view.lost = Some("it hung up".to_owned());
        assert_eq!(play(&mut view, keys), None, "{keys}");
        assert_eq!(at(&view), "browse", "{keys}");
        assert!(view.says.contains("no daemon"), "{keys}: {}", view.says);
    }
}

#[test]
fn alarms_pauses_and_what_waits_elsewhere_are_said() {
    let mut view = view(SIZE);
    let mut hear = |notice| {
        view.hear(&Entry { seq: 1, at: NOW.parse().unwrap(), notice });
        (view.says.clone(), view.paused)
    };
    let about = serde_json::from_str("\"the audit was changed\\u001b\"").unwrap();
    let alarm = Notice::Alarm { alarm: Alarm::Audit, about };
    assert_eq!(hear(alarm).0, "alarm: the audit was changed⟨U+001B⟩");
    let digest = "d".to_owned();
    assert!(
        hear(Notice::Config { digest, became: Adoption::Waits, edits: 1 }).0.contains("configuration waits")
    );
    assert!(hear(Notice::Paused).1 && !hear(Notice::Resumed).1);
}

#[test]
fn what_is_pasted_is_typed_and_never_a_command() {
    let mut view = view(SIZE);
    view.paste("qar\ny!");
    assert_eq!(at(&view), "browse");
    play(&mut view, "r");
    view.paste("no\nnever\u{1b}");
    assert_eq!(at(&view), format!("reject {} \"nonever\"", id(9)));
}
