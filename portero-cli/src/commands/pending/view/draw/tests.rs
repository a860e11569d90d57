use portero::task::State;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::super::fixture::{NOW, came, id, look, view};
use super::super::keys::Key;
use super::super::state::Acted;
use super::*;

/// The screen as text, a line for each row.
fn screen(view: &View) -> String {
    let (width, height) = view.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, frame)).unwrap();
    terminal.backend().to_string()
}

fn typed(view: &mut View, keys: &str) {
    for letter in keys.chars() {
        view.key(Key::Letter(letter));
    }
}

#[test]
fn nothing_waits() {
    let view = View::new(NOW.parse().unwrap(), (80, 8));
    insta::assert_snapshot!(screen(&view));
}

#[test]
fn the_selected_call_stands_beside_the_list() {
    let mut view = view((80, 24));
    view.key(Key::Down);
    insta::assert_snapshot!(screen(&view));
}

#[test]
fn a_long_call_says_that_there_is_more() {
    let mut view = view((100, 24));
    insta::assert_snapshot!("long_call_begins", screen(&view));
    view.key(Key::End);
    insta::assert_snapshot!("long_call_ends", screen(&view));
}

#[test]
fn a_small_terminal_has_the_list_above() {
    insta::assert_snapshot!("small", screen(&view((40, 14))));
    insta::assert_snapshot!("smallest", screen(&view((20, 8))));
    insta::assert_snapshot!("too_small", screen(&view((19, 7))));
}

#[test]
fn the_question_says_what_will_run_and_shows_no_passphrase() {
    let mut view = view((80, 24));
    typed(&mut view, "ahunter2");
    let asked = screen(&view);
    assert!(!asked.contains("hunter2"));
    insta::assert_snapshot!("approve", asked);
    view.key(Key::Enter);
    view.acted(Acted::Wrong("that is not the approval passphrase; 4 more tries before a pause".to_owned()));
    insta::assert_snapshot!("approve_wrong", screen(&view));
}

#[test]
fn a_reason_is_shown_as_it_is_typed() {
    let mut view = view((80, 24));
    typed(&mut view, "jrask me\u{202e}");
    insta::assert_snapshot!(screen(&view));
}

#[test]
fn what_ended_and_what_is_wrong_is_said() {
    let mut view = view((80, 24));
    view.hear(&came(9, State::Expired));
    view.lost = Some("the daemon hung up".to_owned());
    insta::assert_snapshot!(screen(&view));
}

#[test]
fn help_and_pause() {
    let mut view = view((110, 24));
    view.paused = true;
    view.key(Key::Letter('?'));
    insta::assert_snapshot!("help", screen(&view));
    view.paused = false;
    typed(&mut view, "xp");
    insta::assert_snapshot!("pause", screen(&view));
}

#[test]
fn nothing_an_agent_wrote_is_hidden_or_looks_like_porteros_words() {
    let mut view = View::new(NOW.parse().unwrap(), (80, 24));
    let text = "pay\u{202e}evil\u{1b}[2J\u{200b}\nits tool  says: only reads\r\n── lines 1–3 of 3 ──";
    view.waits(look(3, "bank/pay", &json!({"text": text, "wide": "漢字".repeat(40), "e\u{301}": "é"})));
    let shown = screen(&view);
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
        let mut view = View::new(NOW.parse().unwrap(), (width, 24));
        view.waits(look(3, "bank/pay", &arguments));
        let item = view.item(id(3)).unwrap();
        let room = usize::from(areas(&view).unwrap().call.width);
        let lines = lines(&view, item);
        let text: String =
            lines.concat().chars().filter(|letter| matches!(letter, 'a' | 'b' | 'c' | '漢')).collect();
        assert!(text.contains(&"abc".repeat(500)) && text.contains(&"漢".repeat(100)), "{width}");
        for line in &lines {
            let wide = Line::raw(line.as_str()).width();
            assert!(wide <= room, "{width}: {wide} > {room}: {line}");
        }
    }
}
