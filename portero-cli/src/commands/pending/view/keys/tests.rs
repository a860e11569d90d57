use portero::notice::{AlarmKind, ConfigAdoption, Notice, NoticeEntry};
use portero::task::TaskState;

use super::super::test_support::{TEST_NOW, sample_view, state_notice, task_id};
use super::super::updates::EffectResult;
use super::*;

const SIZE: (u16, u16) = (80, 24);

/// What the view is at, in a word.
fn describe_mode(view: &PendingView) -> String {
    match &view.mode {
        ViewMode::Browse => "browse".to_owned(),
        ViewMode::Help => "help".to_owned(),
        ViewMode::Approve { task, typed, .. } => format!("approve {task} {typed:?}"),
        ViewMode::Reject { task, reason } => format!("reject {task} {reason:?}"),
        ViewMode::Pause => "pause".to_owned(),
        ViewMode::TaskEnded => "gone".to_owned(),
    }
}

/// What stands at the bottom, as one line.
fn footer_text(view: &PendingView) -> String {
    let words: Vec<String> = layout::footer_lines(view).iter().map(|line| line.trim().to_owned()).collect();
    words.join(" ")
}

/// Plays keys: letters as themselves, `<` for Escape, `!` for Enter, `~` for Backspace, `_` for Ctrl-U.
fn play_keys(view: &mut PendingView, keys: &str) -> Option<ViewEffect> {
    let mut effect = None;
    for letter in keys.chars() {
        effect = view.handle_key(match letter {
            '<' => ViewKey::Escape,
            '!' => ViewKey::Enter,
            '~' => ViewKey::Backspace,
            '_' => ViewKey::Clear,
            other => ViewKey::Char(other),
        });
    }
    effect
}

#[test]
fn each_key_does_what_it_says() {
    let approve = |number, typed: &str| format!("approve {} {typed:?}", task_id(number));
    let reject = |number, reason: &str| format!("reject {} {reason:?}", task_id(number));
    let yes =
        |number, typed: &str| ViewEffect::Approve { task: task_id(number), passphrase: Secret::new(typed) };
    let no = |number, reason: Option<&str>| ViewEffect::Reject {
        task: task_id(number),
        reason: reason.map(str::to_owned),
    };
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
        ("a", 9, approve(9, ""), Some(ViewEffect::CheckApprovable { task: task_id(9) })),
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
        ("py", 9, "pause".to_owned(), Some(ViewEffect::Pause)),
        ("q", 9, browse(), Some(ViewEffect::Quit)),
    ] {
        let mut view = sample_view(SIZE);
        let made = play_keys(&mut view, keys);
        assert_eq!(view.selected, Some(task_id(selected)), "{keys}");
        assert_eq!(describe_mode(&view), mode, "{keys}");
        assert_eq!(made, effect, "{keys}");
    }
}

#[test]
fn a_yes_that_would_not_make_it_run_takes_back_what_is_typed() {
    let void = |number| EffectResult::NotApprovable {
        task: task_id(number),
        why: "the tool's definition changed".to_owned(),
    };
    let mut view = sample_view(SIZE);
    play_keys(&mut view, "asec");
    view.apply_result(EffectResult::Approvable);
    assert_eq!(describe_mode(&view), format!("approve {} \"sec\"", task_id(9)));
    view.apply_result(void(5));
    assert_eq!(describe_mode(&view), format!("approve {} \"sec\"", task_id(9)), "it is about another call");
    view.apply_result(void(9));
    assert_eq!(play_keys(&mut view, "ret p"), None, "the rest of a passphrase is no command");
    assert_eq!(describe_mode(&view), "gone");
    assert_eq!(view.message, "the tool's definition changed; you approved nothing");
    play_keys(&mut view, "<");
    assert_eq!(describe_mode(&view), "browse");
    assert_eq!(view.waiting_count(), 3, "it still waits");
}

#[test]
fn the_call_can_be_read_to_its_end_while_the_passphrase_is_asked_for() {
    let mut view = sample_view(SIZE);
    play_keys(&mut view, "a");
    let unseen = |view: &PendingView| {
        let item = view.selected().unwrap();
        layout::call_lines(view, item).len() - item.lines_seen
    };
    assert!(unseen(&view) > 20);
    assert!(footer_text(&view).contains("NOT YET SEEN"));
    for _ in 0..10 {
        view.handle_key(ViewKey::PageDown);
    }
    assert_eq!(unseen(&view), 0);
    assert!(!footer_text(&view).contains("NOT YET SEEN"));
    let end = view.scroll;
    view.handle_key(ViewKey::PageDown);
    assert_eq!(view.scroll, end, "there is nothing beyond the end");
    view.handle_key(ViewKey::Home);
    assert_eq!(view.scroll, 0);
    view.handle_key(ViewKey::End);
    assert_eq!(view.scroll, end);
}

#[test]
fn a_list_that_changes_never_makes_a_key_hit_another_task() {
    let mut view = sample_view(SIZE);
    play_keys(&mut view, "j");
    view.apply_notice(&state_notice(9, TaskState::Expired));
    assert_eq!(view.selected, Some(task_id(5)), "one above it went");
    view.apply_notice(&state_notice(5, TaskState::Denied));
    assert_eq!(view.selected, Some(task_id(5)), "it went itself, and stays until the person moves");
    assert_eq!(play_keys(&mut view, "a!"), None);
    assert_eq!(describe_mode(&view), "browse");
    assert!(view.message.contains("denied"), "{}", view.message);
    play_keys(&mut view, "j");
    assert_eq!(view.selected, Some(task_id(1)));
    assert_eq!(view.items.len(), 1, "what ended is gone once the person moved on");
}

#[test]
fn the_last_task_that_ended_goes_when_the_person_moves() {
    let mut view = sample_view(SIZE);
    play_keys(&mut view, "jj");
    view.apply_notice(&state_notice(9, TaskState::Denied));
    view.apply_notice(&state_notice(5, TaskState::Denied));
    view.apply_notice(&state_notice(1, TaskState::Denied));
    assert_eq!(view.selected, Some(task_id(1)));
    play_keys(&mut view, "j");
    assert!(view.items.is_empty() && view.selected.is_none());
    assert_eq!(play_keys(&mut view, "jka!"), None);
    assert_eq!(view.message, "nothing waits for you");
}

#[test]
fn a_task_that_ends_while_it_is_asked_about_takes_the_question_back() {
    for keys in ["asecret", "rno"] {
        let mut view = sample_view(SIZE);
        play_keys(&mut view, keys);
        view.apply_notice(&state_notice(9, TaskState::Cancelled));
        assert_eq!(describe_mode(&view), "gone");
        assert!(footer_text(&view).contains("you decided nothing"), "{}", footer_text(&view));
        assert_eq!(play_keys(&mut view, "!"), None);
        assert_eq!(describe_mode(&view), "browse");
        view.apply_notice(&state_notice(5, TaskState::Cancelled));
        assert_eq!(view.selected, Some(task_id(9)));
    }
}

/// An agent can take its task back at any moment, so also in the middle of a passphrase.
#[test]
fn the_rest_of_a_passphrase_is_no_command_when_its_task_goes_while_it_is_typed() {
    let mut view = sample_view(SIZE);
    play_keys(&mut view, "aso");
    view.apply_notice(&state_notice(9, TaskState::Cancelled));
    for letter in "jrest of my passphrase py q".chars() {
        assert_eq!(view.handle_key(ViewKey::Char(letter)), None, "{letter}");
    }
    view.handle_paste("jrpasted");
    assert_eq!((describe_mode(&view).as_str(), view.selected), ("gone", Some(task_id(9))));
    assert_eq!(view.handle_key(ViewKey::Enter), None);
    assert_eq!((describe_mode(&view).as_str(), view.selected), ("browse", Some(task_id(9))));
}

#[test]
fn what_begins_anew_keeps_what_is_still_there_and_ends_the_rest() {
    let mut view = sample_view(SIZE);
    play_keys(&mut view, "j");
    view.reset_waiting(&[task_id(9)]);
    assert_eq!(view.selected, Some(task_id(5)));
    assert_eq!(view.selected().unwrap().end_state.as_deref(), Some("no longer waiting"));
    assert_eq!((view.items.len(), view.waiting_count()), (2, 1));
}

#[test]
fn one_act_is_on_its_way_at_a_time_and_a_wrong_passphrase_asks_again() {
    let mut view = sample_view(SIZE);
    assert!(play_keys(&mut view, "asecret!").is_some());
    assert_eq!(play_keys(&mut view, "again!"), None);
    assert_eq!(play_keys(&mut view, "<"), None);
    assert_eq!(describe_mode(&view), format!("approve {} \"\"", task_id(9)));
    view.apply_result(EffectResult::WrongPassphrase(
        "that is not the approval passphrase; 4 more tries before a pause".to_owned(),
    ));
    assert!(footer_text(&view).contains("4 more tries"));
    assert!(play_keys(&mut view, "secret!").is_some());
    view.apply_notice(&state_notice(9, TaskState::Approved));
    view.apply_result(EffectResult::Done("it is approved".to_owned()));
    assert_eq!((describe_mode(&view).as_str(), view.message.as_str()), ("browse", "it is approved"));
    assert!(view.selected().unwrap().end_state.is_some());
    assert_eq!(view.handle_key(ViewKey::Interrupt), Some(ViewEffect::Quit));
}

#[test]
fn without_a_daemon_nothing_is_decided() {
    for keys in ["a!", "r!", "py"] {
        let mut view = sample_view(SIZE);
        view.daemon_error = Some("it hung up".to_owned());
        assert_eq!(play_keys(&mut view, keys), None, "{keys}");
        assert_eq!(describe_mode(&view), "browse", "{keys}");
        assert!(view.message.contains("no daemon"), "{keys}: {}", view.message);
    }
}

#[test]
fn alarms_pauses_and_what_waits_elsewhere_are_said() {
    let mut view = sample_view(SIZE);
    let mut hear = |notice| {
        view.apply_notice(&NoticeEntry { seq: 1, at: TEST_NOW.parse().unwrap(), notice });
        (view.message.clone(), view.paused)
    };
    let about = serde_json::from_str("\"the audit was changed\\u001b\"").unwrap();
    let alarm = Notice::Alarm { alarm: AlarmKind::Audit, about };
    assert_eq!(hear(alarm).0, "alarm: the audit was changed⟨U+001B⟩");
    let digest = "d".to_owned();
    assert!(
        hear(Notice::Config { digest, became: ConfigAdoption::Waits, edits: 1 })
            .0
            .contains("configuration waits")
    );
    assert!(hear(Notice::Paused).1 && !hear(Notice::Resumed).1);
}

#[test]
fn what_is_pasted_is_typed_and_never_a_command() {
    let mut view = sample_view(SIZE);
    view.handle_paste("qar\ny!");
    assert_eq!(describe_mode(&view), "browse");
    play_keys(&mut view, "r");
    view.handle_paste("no\nnever\u{1b}");
    assert_eq!(describe_mode(&view), format!("reject {} \"nonever\"", task_id(9)));
}

#[test]
fn a_remembered_passphrase_takes_the_number_and_a_wrong_one_takes_the_passphrase_again() {
    let mut view = sample_view(SIZE);
    view.remembered = Some((std::time::Duration::from_secs(90), "473".to_owned()));
    assert_eq!(play_keys(&mut view, "a"), Some(ViewEffect::CheckApprovable { task: task_id(9) }));
    assert!(
        footer_text(&view).contains("Type 473 (the passphrase is remembered for 1m 30s)"),
        "{}",
        footer_text(&view)
    );
    assert_eq!(play_keys(&mut view, "473!"), Some(ViewEffect::ApproveRemembered { task: task_id(9) }));
    view.apply_result(EffectResult::WrongPassphrase("it is over".to_owned()));
    assert!(footer_text(&view).contains("it is over Passphrase (it is not shown)"), "{}", footer_text(&view));

    let mut view = sample_view(SIZE);
    view.remembered = Some((std::time::Duration::from_secs(90), "473".to_owned()));
    assert_eq!(play_keys(&mut view, "ay!"), Some(ViewEffect::ForgetPassphrase));
    assert!(
        !view.busy && footer_text(&view).contains("so the passphrase is forgotten"),
        "{}",
        footer_text(&view)
    );
    // From now on what is typed is a passphrase, also the former number.
    let typed = ViewEffect::Approve { task: task_id(9), passphrase: Secret::new("473") };
    assert_eq!(play_keys(&mut view, "473!"), Some(typed));
}
