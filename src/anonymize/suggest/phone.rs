//! Telephone numbers that nobody has, from the ranges that regulators keep for fiction.
//!
//! | numbers | range | kept by |
//! |---|---|---|
//! | North America | (any area) 555-0100 to 0199 | NANPA |
//! | United Kingdom | 07700 900000 to 900999 | Ofcom |
//! | Germany | 0171 3920000 to 3920099 | Bundesnetzagentur |
//! | France | 06 39 98 00 00 to 99 99 | Arcep |
//! | others | country code 999, which the ITU has given to no country | ITU-T E.164 |

use super::choice::Choice;

/// Area codes in use, in which 555-01xx is kept free.
const AREAS: [&str; 12] =
    ["202", "303", "312", "404", "503", "602", "615", "702", "713", "802", "907", "917"];
/// Fewer digits are an extension, more are no number.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A number with the digits and the punctuation of another one. None if that is no telephone number.
pub(super) fn make_number(shape: &str, choice: &mut Choice) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || " +-./()\u{A0}".contains(c);
    let digits: String = shape.chars().filter(char::is_ascii_digit).collect();
    if !DIGITS.contains(&digits.len()) || !shape.chars().all(is_part) {
        return None;
    }
    let international = shape.trim_start().starts_with('+');
    let mut fake = make_digits(&digits, international, choice).into_bytes().into_iter();
    Some(
        shape
            .chars()
            .map(|c| if c.is_ascii_digit() { fake.next().map_or(c, char::from) } else { c })
            .collect(),
    )
}

/// As many digits as there are.
fn make_digits(digits: &str, international: bool, choice: &mut Choice) -> String {
    let mut tail = |count: usize| -> String { (0..count).map(|_| choice.digit()).collect() };
    let starts = |start: &str| digits.starts_with(start);
    match (international, digits.len()) {
        (true, 12) if starts("44") => format!("447700900{}", tail(3)),
        (true, 12) if starts("49") => format!("491713920{}", fill(&tail(2), 3)),
        (true, 11) if starts("33") => format!("3363998{}", tail(4)),
        (false, 11) if starts("07") => format!("07700900{}", tail(3)),
        (false, 11) if starts("01") => format!("01713920{}", fill(&tail(2), 3)),
        (false, 10) if starts("0") => format!("063998{}", tail(4)),
        (false, 7) => format!("55501{}", tail(2)),
        (false, 10) => format!("{}55501{}", AREAS[usize_of(&tail(2)) % AREAS.len()], tail(2)),
        (_, 11) => format!("1{}55501{}", AREAS[usize_of(&tail(2)) % AREAS.len()], tail(2)),
        (_, count) => {
            let last = tail(2);
            let middle = tail(count.saturating_sub(10));
            let whole = format!("999{middle}55501{last}");
            // A short number keeps the end, which is what is reserved.
            whole[whole.len() - count..].to_owned()
        }
    }
}

/// Zeros before some digits.
fn fill(digits: &str, count: usize) -> String {
    format!("{digits:0>count$}")
}

fn usize_of(digits: &str) -> usize {
    digits.parse().unwrap_or_default()
}
