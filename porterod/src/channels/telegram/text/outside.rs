//! A message with the parts from outside changed, and its marks where they belong.

use super::{Entity, Message, Style, units};

impl Message {
    /// The message with each part from outside as `change` gives it; one that becomes empty is marked no more.
    /// Portero's own words stay.
    #[must_use]
    pub fn with_outside(&self, mut change: impl FnMut(&str) -> String) -> Self {
        let whole: Vec<u16> = self.text.encode_utf16().collect();
        let part = |from: usize, to: usize| String::from_utf16_lossy(whole.get(from..to).unwrap_or_default());
        let mut made = Self { text: String::new(), entities: Vec::with_capacity(self.entities.len()) };
        let (mut offset, mut done) = (0, 0);
        for entity in &self.entities {
            let before = part(done, entity.offset);
            done = entity.offset + entity.length;
            let marked = part(entity.offset, done);
            let marked = match entity.style {
                Style::Bold => marked,
                Style::Code | Style::Pre => change(&marked),
            };
            offset += units(&before);
            let length = units(&marked);
            if length > 0 {
                made.entities.push(Entity { style: entity.style, offset, length });
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

    use super::super::{Shown, Text};
    use super::*;

    fn message(parts: &[String]) -> Message {
        let text = parts.iter().fold(Text::new(), |text, part| {
            text.bold("Who").words(": ").code(&Shown::line(part)).words(", ").pre(&Shown::block(part))
        });
        text.words("end").message(usize::MAX).expect("it fits")
    }

    /// What the marked parts hold.
    fn marked(message: &Message) -> Vec<String> {
        let whole: Vec<u16> = message.text.encode_utf16().collect();
        let of = |entity: &Entity| {
            String::from_utf16(&whole[entity.offset..entity.offset + entity.length])
                .expect("whole characters")
        };
        message.entities.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn what_is_not_changed_is_the_same_message(parts in prop::collection::vec("\\PC{1,8}", 1..4)) {
            let message = message(&parts);
            prop_assert_eq!(message.with_outside(str::to_owned), message);
        }

        #[test]
        fn what_is_changed_stands_in_its_marks_alone(
            parts in prop::collection::vec("\\PC{1,8}", 1..4),
            other in "[a-z😀]{1,12}",
        ) {
            let message = message(&parts);
            let changed = message.with_outside(|_| other.clone());
            let expected: Vec<_> = marked(&message)
                .into_iter()
                .zip(&message.entities)
                .map(|(was, entity)| if entity.style == Style::Bold { was } else { other.clone() })
                .collect();
            prop_assert_eq!(marked(&changed), expected);
            prop_assert!(changed.text.ends_with("end"));
        }
    }

    #[test]
    fn what_becomes_empty_is_marked_no_more() {
        let changed = message(&["a".to_owned()]).with_outside(|_| String::new());
        assert_eq!((changed.text.as_str(), marked(&changed)), ("Who: , \n\nend", vec!["Who".to_owned()]));
    }
}
