//! Changes the parts of a message that come from outside, and adjusts its entities.

use super::{FormattedText, TextEntity, TextStyle, utf16_len};

impl FormattedText {
    /// The message with `change` applied to each part from outside. A part that becomes empty loses its
    /// entity. Portero's own words stay.
    #[must_use]
    pub fn map_external(&self, mut change: impl FnMut(&str) -> String) -> Self {
        let whole: Vec<u16> = self.text.encode_utf16().collect();
        let part = |from: usize, to: usize| String::from_utf16_lossy(whole.get(from..to).unwrap_or_default());
        let mut made = Self { text: String::new(), entities: Vec::with_capacity(self.entities.len()) };
        let (mut offset, mut done) = (0, 0);
        // Entities are in order and don't overlap, so one pass copies the text between them and moves each
        // offset by the difference so far.
        for entity in &self.entities {
            let before = part(done, entity.offset);
            done = entity.offset + entity.length;
            let marked = part(entity.offset, done);
            let marked = match entity.style {
                TextStyle::Bold => marked,
                TextStyle::Code | TextStyle::Pre => change(&marked),
            };
            offset += utf16_len(&before);
            let length = utf16_len(&marked);
            if length > 0 {
                made.entities.push(TextEntity { style: entity.style, offset, length });
            }
            offset += length;
            made.text.push_str(&before);
            made.text.push_str(&marked);
        }
        made.text.push_str(&part(done, whole.len()));
        made
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{EscapedText, StyledText, ToMessages as _};
    use super::*;

    fn sample_message(parts: &[String]) -> FormattedText {
        let text = parts.iter().fold(StyledText::new(), |text, part| {
            text.bold("Who")
                .literal(": ")
                .code(&EscapedText::line(part))
                .literal(", ")
                .pre(&EscapedText::block(part))
        });
        text.literal("end").fit_message(usize::MAX).expect("it fits")
    }

    /// What the marked parts hold.
    fn entity_texts(message: &FormattedText) -> Vec<String> {
        let whole: Vec<u16> = message.text.encode_utf16().collect();
        let of = |entity: &TextEntity| {
            String::from_utf16(&whole[entity.offset..entity.offset + entity.length])
                .expect("whole characters")
        };
        message.entities.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn what_is_not_changed_is_the_same_message(parts in prop::collection::vec("\\PC{1,8}", 1..4)) {
            let message = sample_message(&parts);
            prop_assert_eq!(message.map_external(str::to_owned), message);
        }

        #[test]
        fn what_is_changed_stands_in_its_marks_alone(
            parts in prop::collection::vec("\\PC{1,8}", 1..4),
            other in "[a-z😀]{1,12}",
        ) {
            let message = sample_message(&parts);
            let changed = message.map_external(|_| other.clone());
            let expected: Vec<_> = entity_texts(&message)
                .into_iter()
                .zip(&message.entities)
                .map(|(was, entity)| if entity.style == TextStyle::Bold { was } else { other.clone() })
                .collect();
            prop_assert_eq!(entity_texts(&changed), expected);
            prop_assert!(changed.text.ends_with("end"));
        }
    }

    #[test]
    fn what_becomes_empty_is_marked_no_more() {
        let changed = sample_message(&["a".to_owned()]).map_external(|_| String::new());
        assert_eq!(
            (changed.text.as_str(), entity_texts(&changed)),
            ("Who: , \n\nend", vec!["Who".to_owned()])
        );
    }
}
