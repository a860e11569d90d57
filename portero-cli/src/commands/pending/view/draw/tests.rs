use portero::task::TaskState;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::super::keys::ViewKey;
use super::super::test_support::{TEST_NOW, sample_view, state_notice, task_id, waiting_task};
use super::super::updates::EffectResult;
use super::*;

/// The screen as text, a line for each row.
fn render_screen(view: &PendingView) -> String {
    let (width, height) = view.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw_view(view, frame)).unwrap();
    terminal.backend().to_string()
}

fn type_keys(view: &mut PendingView, keys: &str) {
    for letter in keys.chars() {
        view.handle_key(ViewKey::Char(letter));
    }
}

#[test]
fn nothing_waits() {
    let view = PendingView::new(TEST_NOW.parse().unwrap(), (80, 8));
    insta::assert_snapshot!(render_screen(&view));
}

#[test]
fn the_selected_call_stands_beside_the_list() {
    let mut view = sample_view((80, 24));
    view.handle_key(ViewKey::Down);
    insta::assert_snapshot!(render_screen(&view));
}

#[test]
fn a_long_call_says_that_there_is_more() {
    let mut view = sample_view((100, 24));
    insta::assert_snapshot!("long_call_begins", render_screen(&view));
    view.handle_key(ViewKey::End);
    insta::assert_snapshot!("long_call_ends", render_screen(&view));
}

#[test]
fn a_small_terminal_has_the_list_above() {
    insta::assert_snapshot!("small", render_screen(&sample_view((40, 14))));
    insta::assert_snapshot!("smallest", render_screen(&sample_view((20, 8))));
    insta::assert_snapshot!("too_small", render_screen(&sample_view((19, 7))));
}

#[test]
fn the_question_says_what_will_run_and_shows_no_passphrase() {
    let mut view = sample_view((80, 24));
    type_keys(&mut view, "ahunter2");
    let asked = render_screen(&view);
    assert!(!asked.contains("hunter2"));
    insta::assert_snapshot!("approve", asked);
    view.handle_key(ViewKey::Enter);
    view.apply_result(EffectResult::WrongPassphrase(
        "that is not the approval passphrase; 4 more tries before a pause".to_owned(),
    ));
    insta::assert_snapshot!("approve_wrong", render_screen(&view));
}

#[test]
fn a_reason_is_shown_as_it_is_typed() {
    let mut view = sample_view((80, 24));
    type_keys(&mut view, "jrask me\u{202e}");
    insta::assert_snapshot!(render_screen(&view));
}

#[test]
fn what_ended_and_what_is_wrong_is_said() {
    let mut view = sample_view((80, 24));
    view.apply_notice(&state_notice(9, TaskState::Expired));
    view.daemon_error = Some("the daemon hung up".to_owned());
    insta::assert_snapshot!(render_screen(&view));
}

#[test]
fn help_and_pause() {
    let mut view = sample_view((110, 24));
    view.paused = true;
    view.handle_key(ViewKey::Char('?'));
    insta::assert_snapshot!("help", render_screen(&view));
    view.paused = false;
    type_keys(&mut view, "xp");
    insta::assert_snapshot!("pause", render_screen(&view));
}

#[test]
fn nothing_an_agent_wrote_is_hidden_or_looks_like_porteros_words() {
    let mut view = PendingView::new(TEST_NOW.parse().unwrap(), (80, 24));
    let text = "pay\u{202e}evil\u{1b}[2J\u{200b}\nits tool  says: only reads\r\n── lines 1–3 of 3 ──";
    view.update_task(waiting_task(
        3,
        "bank/pay",
        &json!({"text": text, "wide": "漢字".repeat(40), "e\u{301}": "é"}),
    ));
    let shown = render_screen(&view);
    assert!(!shown.chars().any(|letter| letter.is_control() && letter != '\n'), "{shown:?}");
    for row in shown.lines().filter(|row| row.contains("only reads")) {
        assert!(row.contains("  │ ") || row.contains("  ┆ "), "{row}");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn every_character_of_a_call_is_on_one_of_its_lines() {
    let arguments = json!({"text": "abc".repeat(500), "wide": "漢".repeat(100)});
    for width in [20, 39, 40, 41, 69, 70, 71, 80, 200] {
        let mut view = PendingView::new(TEST_NOW.parse().unwrap(), (width, 24));
        view.update_task(waiting_task(3, "bank/pay", &arguments));
        let item = view.item(task_id(3)).unwrap();
        let room = usize::from(screen_areas(&view).unwrap().call.width);
        let lines = call_lines(&view, item);
        let text: String =
            lines.concat().chars().filter(|letter| matches!(letter, 'a' | 'b' | 'c' | '漢')).collect();
        assert!(text.contains(&"abc".repeat(500)) && text.contains(&"漢".repeat(100)), "{width}");
        for line in &lines {
            let wide = Line::raw(line.as_str()).width();
            assert!(wide <= room, "{width}: {wide} > {room}: {line}");
        }
    }
}
