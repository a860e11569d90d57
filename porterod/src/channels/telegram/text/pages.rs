//! Splitting a text into messages.
//!
//! Nothing is lost between two pages, and no letter is split. A page begins and ends with words of our own.

use unicode_segmentation::UnicodeSegmentation as _;

use super::{ENTITIES_MOST, Entity, MESSAGE_MOST, Message, Part, Style, units};

/// What the words around a page may need, in UTF-16 code units.
const AROUND: usize = 80;
/// The least of a text from outside that is worth beginning on a page, in UTF-16 code units.
const LEAST: usize = 200;

/// Parts as one message. They must fit.
pub(super) fn message(parts: &[Part]) -> Message {
    let mut message = Message { text: String::new(), entities: Vec::new() };
    let mut offset = 0;
    for part in parts {
        let length = units(&part.text);
        if let Some(style) = part.style {
            message.entities.push(Entity { style, offset, length });
        }
        offset += length;
        message.text.push_str(&part.text);
    }
    message
}

/// Parts as several messages, each of which says which page it is: the first `most` of them, of which the last
/// says so when it is not the end.
pub(super) fn pages(parts: &[Part], most: usize) -> Vec<Message> {
    let mut split = Split::default();
    for part in parts {
        split.add(part);
    }
    split.turn();
    let of = split.pages.len();
    let named = |(index, page): (usize, &Vec<Part>)| {
        let own = |text: String| Part { style: None, text };
        let mut parts = vec![own(format!("Page {} of {of}\n", index + 1))];
        parts.extend(page.iter().cloned());
        if index + 1 < of {
            let more =
                if index + 1 == most { "(what follows stands in the document only)" } else { "(it goes on)" };
            parts.push(own(format!("\n{more}")));
        }
        message(&parts)
    };
    split.pages.iter().take(most).enumerate().map(named).collect()
}

/// Pages in the making.
#[derive(Default)]
struct Split {
    pages: Vec<Vec<Part>>,
    page: Vec<Part>,
    units: usize,
    entities: usize,
}

impl Split {
    fn add(&mut self, part: &Part) {
        if part.style.is_some() && self.entities == ENTITIES_MOST {
            self.turn();
        }
        let mut rest = part.text.as_str();
        while !rest.is_empty() {
            if fits(rest, self.room()) {
                self.put(part.style, rest);
                return;
            }
            if self.room() < LEAST && !self.page.is_empty() {
                self.turn();
                continue;
            }
            let (head, tail) = rest.split_at(cut(rest, self.room()));
            self.put(part.style, head);
            self.turn();
            rest = tail;
        }
    }

    const fn room(&self) -> usize {
        MESSAGE_MOST - AROUND - self.units
    }

    fn put(&mut self, style: Option<Style>, text: &str) {
        self.units += units(text);
        self.entities += usize::from(style.is_some());
        self.page.push(Part { style, text: text.to_owned() });
    }

    fn turn(&mut self) {
        if !self.page.is_empty() {
            self.pages.push(std::mem::take(&mut self.page));
        }
        (self.units, self.entities) = (0, 0);
    }
}

/// Whether a text has at most `most` UTF-16 code units; looks no further than it must.
fn fits(text: &str, most: usize) -> bool {
    let mut used = 0;
    text.len() <= most
        || text.chars().all(|character| {
            used += character.len_utf16();
            used <= most
        })
}

/// Where to split a text so that its beginning has at most `most` UTF-16 code units, which is at least two: after
/// the last line break in the last half of them, else between letters as people see them.
fn cut(text: &str, most: usize) -> usize {
    let (mut used, mut end, mut line) = (0, 0, None);
    for (at, letter) in text.grapheme_indices(true) {
        used += units(letter);
        if used > most {
            break;
        }
        end = at + letter.len();
        if letter == "\n" && used * 2 > most {
            line = Some(end);
        }
    }
    match (line, end) {
        (Some(line), _) => line,
        // One letter that is longer than a page: between its characters.
        (None, 0) => cut_characters(text, most),
        (None, end) => end,
    }
}

fn cut_characters(text: &str, most: usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.len_utf16();
        if used > most {
            return at;
        }
    }
    text.len()
}
