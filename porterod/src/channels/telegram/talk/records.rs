//! A page of the audit, read back from where the page before ended.

use std::io;
use std::path::Path;

use jiff::tz::TimeZone;
use portero::anonymize::Anonymizer;
use portero::audit::{Backwards, Filter, Found, Place};

use super::super::screens::{self, Stretch};
use super::super::text::MESSAGE_MOST;

/// How many records stand on a page at most.
const RECORDS_MOST: usize = 50;
/// How many UTF-16 code units of a page may be records; the rest is for the words around them.
const UNITS_MOST: usize = MESSAGE_MOST - 400;

/// Reads as many as one message holds, at least one where there is one.
pub(super) fn read(
    (directory, filter): (&Path, Filter),
    after: Option<&Place>,
    zone: &TimeZone,
    anonymizer: &Anonymizer,
) -> io::Result<Stretch> {
    let mut back = Backwards::new(directory, filter, after)?;
    let mut stretch = Stretch::default();
    let mut used = 0;
    while stretch.rows.len() < RECORDS_MOST {
        let before = back.place();
        match back.step()? {
            Found::Entry(entry) => {
                // The rules of today may know values that those of that day did not.
                let row = anonymizer.conceal_text(&screens::record(&entry, zone)).into_inner();
                used += screens::width(&row);
                if used > UNITS_MOST && !stretch.rows.is_empty() {
                    stretch.next = before;
                    break;
                }
                stretch.rows.insert(0, row);
                stretch.next = back.place();
            }
            Found::Enough => {
                stretch.next = back.place();
                stretch.back_to = stretch.next.as_ref().map(|place| place.at);
                break;
            }
            Found::End => {
                stretch.next = None;
                break;
            }
        }
    }
    stretch.unreadable = back.unreadable();
    Ok(stretch)
}
