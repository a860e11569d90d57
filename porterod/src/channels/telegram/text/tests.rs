//! Whatever comes from outside stands whole, inside `code` and `pre` only.

use proptest::prelude::*;

use super::*;

/// The text that an entity covers, by UTF-16 offsets, as Telegram reads them.
pub(in crate::channels::telegram) fn covered(message: &Message, entity: &Entity) -> String {
    let wide: Vec<u16> = message.text.encode_utf16().collect();
    String::from_utf16(&wide[entity.offset..entity.offset + entity.length]).expect("no letter is split")
}

/// What stands in no entity.
pub(in crate::channels::telegram) fn uncovered(message: &Message) -> String {
    let wide: Vec<u16> = message.text.encode_utf16().collect();
    let inside =
        |at: usize| message.entities.iter().any(|one| (one.offset..one.offset + one.length).contains(&at));
    let outside: Vec<u16> = (0..wide.len()).filter(|at| !inside(*at)).map(|at| wide[at]).collect();
    String::from_utf16(&outside).expect("no letter is split")
}

/// Reads a block back.
fn read_back(shown: &str) -> String {
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

fn outside() -> impl Strategy<Value = String> {
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

fn is_outside(style: Style) -> bool {
    match style {
        Style::Code | Style::Pre => true,
        Style::Bold => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_shown_can_be_read_back(text in outside()) {
        prop_assert_eq!(read_back(Shown::block(&text).as_str()), text.clone());
        prop_assert_eq!(read_back(Shown::line(&text).as_str()), text);
    }

    #[test]
    fn nothing_that_is_shown_is_hidden(text in outside()) {
        for shown in [Shown::line(&text), Shown::block(&text), Shown::behind("│ ", &text)] {
            let hidden = |letter: char| letter != '\n' && portero::plain::is_hidden(letter);
            prop_assert!(!shown.as_str().contains(hidden));
            prop_assert_eq!(shown.as_str().trim(), shown.as_str());
        }
    }

    #[test]
    fn pages_hold_everything_from_outside_and_only_in_code(
        texts in proptest::collection::vec((outside(), any::<bool>()), 0..110),
    ) {
        let (mut text, mut expected) = (Text::new().bold("Own"), String::new());
        for (outside, block) in &texts {
            let shown = if *block { Shown::block(outside) } else { Shown::line(outside) };
            expected.push_str(shown.as_str());
            text = text.words(" own ");
            text = if *block { text.pre(&shown) } else { text.code(&shown) };
        }
        let text = text.words(" end");
        let mut found = String::new();
        let pages = text.pages();
        for page in &pages {
            prop_assert!(units(&page.text) <= MESSAGE_MOST);
            prop_assert!(page.entities.len() <= ENTITIES_MOST);
            prop_assert_eq!(page.text.trim(), &page.text);
            let mut end = 0;
            for entity in &page.entities {
                prop_assert!(entity.offset >= end && entity.length > 0);
                end = entity.offset + entity.length;
                let covered = covered(page, entity);
                if is_outside(entity.style) { found.push_str(&covered) } else { prop_assert_eq!(covered, "Own") }
            }
            for word in uncovered(page).split_whitespace() {
                let own = ["own", "end", "Page", "of", "(it", "goes", "on)", "(nothing)"];
                prop_assert!(own.contains(&word) || word.parse::<usize>().is_ok(), "{}", word);
            }
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn offsets_count_utf_16_code_units() {
    let message =
        Text::new().words("🙂 ").code(&Shown::line("a🙂")).words(" x").message(MESSAGE_MOST).expect("short");
    assert_eq!(message.entities, [Entity { style: Style::Code, offset: 3, length: 3 }]);
    let json = serde_json::to_string(&message.entities).expect("JSON");
    assert_eq!(json, r#"[{"type":"code","offset":3,"length":3}]"#);
}

#[test]
fn a_block_stands_on_its_own_lines() {
    let text = Text::new()
        .words("a")
        .pre(&Shown::block("b"))
        .words("c")
        .pre(&Shown::block("d"))
        .pre(&Shown::block("e"));
    assert_eq!(text.plain(), "a\nb\nc\nd\ne");
    assert_eq!(text.entities(), 3);
    let codes = Text::new().code(&Shown::line("a")).code(&Shown::line("b")).code(&Shown::line(""));
    assert_eq!(codes.plain(), "a b (nothing)");
}

#[test]
fn a_page_breaks_at_a_line_where_it_can() {
    let lines: String = (0..2000).map(|line| format!("line {line}\n")).collect();
    let pages = Text::new().pre(&Shown::block(&lines)).pages();
    assert!(pages.len() > 2);
    for page in &pages[..pages.len() - 1] {
        assert!(page.text.ends_with("\n\n(it goes on)"), "{}", page.text);
    }
}

#[test]
fn a_letter_that_is_longer_than_a_page_is_split_between_its_characters() {
    let syllable = "ᄀ".repeat(10_000);
    let pages = Text::new().words("Own").pre(&Shown::block(&syllable)).pages();
    let found: String =
        pages.iter().flat_map(|page| page.entities.iter().map(|entity| covered(page, entity))).collect();
    assert_eq!(found, syllable);
    assert!(pages.iter().all(|page| units(&page.text) <= MESSAGE_MOST));
}

#[test]
fn own_words_that_telegram_would_link_are_known() {
    for words in ["see example.com", "run /start", "ask @friend", "#now", "a_b", "costs $USD", "x@y"] {
        assert!(!is_inert(words), "{words}");
    }
    assert!(is_inert("It asks. Wait (3 of 4)… Then: yes."));
}
