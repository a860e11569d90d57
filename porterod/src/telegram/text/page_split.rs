//! Splits a text into messages.
//!
//! Nothing is lost between two pages, and no letter is split. Each page begins and ends with our own words.

use unicode_segmentation::UnicodeSegmentation as _;

use super::{FormattedText, MAX_ENTITIES, MAX_MESSAGE_UNITS, TextEntity, TextStyle, utf16_len};
use crate::presentation::text::StyledPart;

/// The units reserved for the words around a page.
const PAGE_MARGIN_UNITS: usize = 80;
/// The smallest part that is worth beginning on a page, in UTF-16 code units.
const MIN_CHUNK_UNITS: usize = 200;

/// The parts as one message; they must fit.
pub(super) fn message_of_parts(parts: &[StyledPart]) -> FormattedText {
    let mut message = FormattedText::default();
    let mut offset = 0;
    for part in parts {
        let length = utf16_len(&part.text);
        if let Some(style) = part.style {
            message.entities.push(TextEntity { style, offset, length });
        }
        offset += length;
        message.text.push_str(&part.text);
    }
    message
}

/// The parts as the first `most` of several numbered messages. The last one says if the text continues.
pub(super) fn split_pages(parts: &[StyledPart], most: usize) -> Vec<FormattedText> {
    let mut split = PageSplitter::default();
    for part in parts {
        split.add_part(part);
    }
    split.finish_page();
    let of = split.pages.len();
    let named = |(index, page): (usize, &Vec<StyledPart>)| {
        let own = |text: String| StyledPart { style: None, text };
        let mut parts = vec![own(format!("Page {} of {of}\n", index + 1))];
        parts.extend(page.iter().cloned());
        if index + 1 < of {
            let more = if index + 1 == most { "(the rest is only in the document)" } else { "(it goes on)" };
            parts.push(own(format!("\n{more}")));
        }
        message_of_parts(&parts)
    };
    split.pages.iter().take(most).enumerate().map(named).collect()
}

/// The pages that are being built.
#[derive(Default)]
struct PageSplitter {
    pages: Vec<Vec<StyledPart>>,
    page: Vec<StyledPart>,
    units: usize,
    entities: usize,
}

impl PageSplitter {
    fn add_part(&mut self, part: &StyledPart) {
        if part.style.is_some() && self.entities == MAX_ENTITIES {
            self.finish_page();
        }
        let mut rest = part.text.as_str();
        // Each round either places all of the rest, begins a new page, or places a part of it, so the loop
        // ends.
        while !rest.is_empty() {
            if fits_units(rest, self.room_units()) {
                self.put_text(part.style, rest);
                return;
            }
            if self.room_units() < MIN_CHUNK_UNITS && !self.page.is_empty() {
                self.finish_page();
                continue;
            }
            let (head, tail) = rest.split_at(split_index(rest, self.room_units()));
            self.put_text(part.style, head);
            self.finish_page();
            rest = tail;
        }
    }

    const fn room_units(&self) -> usize {
        MAX_MESSAGE_UNITS - PAGE_MARGIN_UNITS - self.units
    }

    fn put_text(&mut self, style: Option<TextStyle>, text: &str) {
        self.units += utf16_len(text);
        self.entities += usize::from(style.is_some());
        self.page.push(StyledPart { style, text: text.to_owned() });
    }

    fn finish_page(&mut self) {
        if !self.page.is_empty() {
            self.pages.push(std::mem::take(&mut self.page));
        }
        (self.units, self.entities) = (0, 0);
    }
}

/// Whether a text has at most `most` UTF-16 code units; it stops reading once that is clear.
fn fits_units(text: &str, most: usize) -> bool {
    let mut used = 0;
    // UTF-8 never has fewer bytes than UTF-16 has units, so a short text needs no counting.
    text.len() <= most
        || text.chars().all(|character| {
            used += character.len_utf16();
            used <= most
        })
}

/// The index at which to split a text so that its beginning has at most `most` UTF-16 code units, and `most`
/// is at least two. A line break in the second half is preferred; otherwise the split is between graphemes.
fn split_index(text: &str, most: usize) -> usize {
    let (mut used, mut end, mut line) = (0, 0, None);
    for (at, letter) in text.grapheme_indices(true) {
        used += utf16_len(letter);
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
        // One grapheme is longer than a page, so it is split between its characters.
        (None, 0) => split_index_in_letter(text, most),
        (None, end) => end,
    }
}

fn split_index_in_letter(text: &str, most: usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.len_utf16();
        if used > most {
            return at;
        }
    }
    text.len()
}
