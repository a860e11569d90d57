//! A page of the audit, read back from where the page before ended.

use std::io;
use std::path::Path;

use jiff::tz::TimeZone;
use portero::anonymize::Anonymizer;
use portero::audit::{ReadPosition, RecordFilter, ReverseRead, ReverseReader};

use super::super::text::{EscapedText, MAX_MESSAGE_UNITS, utf16_len};
use crate::presentation::views::{self, LogPage};

/// How many records stand on a page at most.
const MAX_RECORDS_PER_PAGE: usize = 50;
/// How many UTF-16 code units of a page may be records; the rest is for the words around them.
const MAX_RECORD_UNITS: usize = MAX_MESSAGE_UNITS - 400;

/// Reads as many as one message holds, at least one where there is one.
pub(super) fn read_log_page(
    (directory, filter): (&Path, RecordFilter),
    after: Option<&ReadPosition>,
    zone: &TimeZone,
    anonymizer: &Anonymizer,
) -> io::Result<LogPage> {
    let mut back = ReverseReader::new(directory, filter, after)?;
    let mut stretch = LogPage::default();
    let mut used = 0;
    while stretch.rows.len() < MAX_RECORDS_PER_PAGE {
        let before = back.position();
        match back.read_next()? {
            ReverseRead::Record(entry) => {
                // The rules of today may know values that those of that day did not.
                let row = anonymizer.conceal_text(&views::record_line(&entry, zone)).into_inner();
                used += row_units(&row);
                if used > MAX_RECORD_UNITS && !stretch.rows.is_empty() {
                    stretch.next = before;
                    break;
                }
                stretch.rows.insert(0, row);
                stretch.next = back.position();
            }
            ReverseRead::BudgetSpent => {
                stretch.next = back.position();
                stretch.searched_back_to = stretch.next.as_ref().map(|place| place.at);
                break;
            }
            ReverseRead::End => {
                stretch.next = None;
                break;
            }
        }
    }
    stretch.unreadable = back.unreadable();
    Ok(stretch)
}

/// How many UTF-16 code units a row takes.
fn row_units(row: &str) -> usize {
    let mut shown = EscapedText::default();
    shown.push_line("", row);
    utf16_len(shown.as_str()) + 1
}
