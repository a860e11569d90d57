//! Whatever comes from outside stands whole, inside `code` and `pre` only.

use proptest::prelude::*;

use super::*;
use crate::presentation::text::tests::external_text;

/// The text that an entity covers, by UTF-16 offsets, as Telegram reads them.
pub(crate) fn entity_text(message: &FormattedText, entity: &TextEntity) -> String {
    let wide: Vec<u16> = message.text.encode_utf16().collect();
    String::from_utf16(&wide[entity.offset..entity.offset + entity.length]).expect("no letter is split")
}

/// What stands in no entity.
pub(crate) fn text_outside_entities(message: &FormattedText) -> String {
    let wide: Vec<u16> = message.text.encode_utf16().collect();
    let inside =
        |at: usize| message.entities.iter().any(|one| (one.offset..one.offset + one.length).contains(&at));
    let outside: Vec<u16> = (0..wide.len()).filter(|at| !inside(*at)).map(|at| wide[at]).collect();
    String::from_utf16(&outside).expect("no letter is split")
}

fn is_external(style: TextStyle) -> bool {
    match style {
        TextStyle::Code | TextStyle::Pre => true,
        TextStyle::Bold => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pages_hold_everything_from_outside_and_only_in_code(
        texts in proptest::collection::vec((external_text(), any::<bool>()), 0..110),
    ) {
        let (mut text, mut expected) = (StyledText::new().bold("Own"), String::new());
        for (outside, block) in &texts {
            let shown = if *block { EscapedText::block(outside) } else { EscapedText::line(outside) };
            expected.push_str(shown.as_str());
            text = text.literal(" own ");
            text = if *block { text.pre(&shown) } else { text.code(&shown) };
        }
        let text = text.literal(" end");
        let mut found = String::new();
        let pages = text.to_pages();
        for page in &pages {
            prop_assert!(utf16_len(&page.text) <= MAX_MESSAGE_UNITS);
            prop_assert!(page.entities.len() <= MAX_ENTITIES);
            prop_assert_eq!(page.text.trim(), &page.text);
            let mut end = 0;
            for entity in &page.entities {
                prop_assert!(entity.offset >= end && entity.length > 0);
                end = entity.offset + entity.length;
                let covered = entity_text(page, entity);
                if is_external(entity.style) { found.push_str(&covered) } else { prop_assert_eq!(covered, "Own") }
            }
            for word in text_outside_entities(page).split_whitespace() {
                let own = ["own", "end", "Page", "of", "(it", "goes", "on)", "(nothing)"];
                prop_assert!(own.contains(&word) || word.parse::<usize>().is_ok(), "{}", word);
            }
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn offsets_count_utf_16_code_units() {
    let message = StyledText::new()
        .literal("🙂 ")
        .code(&EscapedText::line("a🙂"))
        .literal(" x")
        .fit_message(MAX_MESSAGE_UNITS)
        .expect("short");
    assert_eq!(message.entities, [TextEntity { style: TextStyle::Code, offset: 3, length: 3 }]);
    let json = serde_json::to_string(&message.entities).expect("JSON");
    assert_eq!(json, r#"[{"type":"code","offset":3,"length":3}]"#);
}

#[test]
fn a_page_breaks_at_a_line_where_it_can() {
    let lines: String = (0..2000).map(|line| format!("line {line}\n")).collect();
    let pages = StyledText::new().pre(&EscapedText::block(&lines)).to_pages();
    assert!(pages.len() > 2);
    for page in &pages[..pages.len() - 1] {
        assert!(page.text.ends_with("\n\n(it goes on)"), "{}", page.text);
    }
}

#[test]
fn a_letter_that_is_longer_than_a_page_is_split_between_its_characters() {
    let syllable = "ᄀ".repeat(10_000);
    let pages = StyledText::new().literal("Own").pre(&EscapedText::block(&syllable)).to_pages();
    let found: String =
        pages.iter().flat_map(|page| page.entities.iter().map(|entity| entity_text(page, entity))).collect();
    assert_eq!(found, syllable);
    assert!(pages.iter().all(|page| utf16_len(&page.text) <= MAX_MESSAGE_UNITS));
}
