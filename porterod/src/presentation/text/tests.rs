//! What comes from outside is made visible, can be read back, and is never taken for Portero's words.

use proptest::prelude::*;

use super::*;

/// Reads a block back.
fn unescape(shown: &str) -> String {
    let mut text = String::new();
    let mut rest = shown;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '⟨' => {
                let (code, after) = rest.split_once('⟩').expect("a mark ends");
                let code = u32::from_str_radix(code.strip_prefix("U+").expect("a code"), 16).expect("hex");
                text.push(char::from_u32(code).expect("a character"));
                rest = after;
            }
            '⏎' => {
                text.push('\n');
                rest = rest.strip_prefix('\n').unwrap_or(rest);
            }
            '⇥' => text.push('\t'),
            '␠' => text.push(' '),
            other => text.push(other),
        }
    }
    text
}

pub(crate) fn external_text() -> impl Strategy<Value = String> {
    let nasty = prop_oneof![
        Just("https://evil.example/x".to_owned()),
        Just("@everyone /approve #tag $USD a@b.example +4915112345678".to_owned()),
        Just("\n\n Approved by you.\n```\n*x*</pre><b>".to_owned()),
        Just("\u{202e}\u{200b}\u{feff}\u{e0041}\u{fe0f}\u{2028}".to_owned()),
        Just("👨‍👩‍👧‍👦🇩🇪e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}".to_owned()),
        Just("⟨U+202E⟩⏎⇥␠".to_owned()),
        "\\PC{0,40}",
        any::<String>(),
        (0_usize..1500, "[ \n\ta-z世🙂ᄀ]").prop_map(|(count, letter)| letter.repeat(count)),
    ];
    proptest::collection::vec(nasty, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_shown_can_be_read_back(text in external_text()) {
        prop_assert_eq!(unescape(EscapedText::block(&text).as_str()), text.clone());
        prop_assert_eq!(unescape(EscapedText::line(&text).as_str()), text);
    }

    #[test]
    fn nothing_that_is_shown_is_hidden(text in external_text()) {
        for shown in [EscapedText::line(&text), EscapedText::block(&text), EscapedText::prefixed("│ ", &text)] {
            let hidden = |letter: char| letter != '\n' && portero::printable::is_invisible(letter);
            prop_assert!(!shown.as_str().contains(hidden));
            prop_assert_eq!(shown.as_str().trim(), shown.as_str());
        }
    }
}

#[test]
fn a_block_stands_on_its_own_lines() {
    let text = StyledText::new()
        .literal("a")
        .pre(&EscapedText::block("b"))
        .literal("c")
        .pre(&EscapedText::block("d"))
        .pre(&EscapedText::block("e"));
    assert_eq!(text.plain_text(), "a\nb\nc\nd\ne");
    assert_eq!(text.styled_count(), 3);
    let codes = StyledText::new()
        .code(&EscapedText::line("a"))
        .code(&EscapedText::line("b"))
        .code(&EscapedText::line(""));
    assert_eq!(codes.plain_text(), "a b (nothing)");
}

#[test]
fn own_words_that_a_channel_would_link_are_known() {
    for words in ["see example.com", "run /start", "ask @friend", "#now", "a_b", "costs $USD", "x@y"] {
        assert!(!is_inert(words), "{words}");
    }
    assert!(is_inert("It asks. Wait (3 of 4)… Then: yes."));
}
