//! Numbers as JSON spells them, compared exactly. `1e3`, `1000` and `1000.0` are one number, and no digit is
//! rounded away.

use std::cmp::Ordering;

/// The most digits of an exponent. No argument means a larger number, and the limit keeps the sums below from
/// overflowing.
const MAX_EXPONENT_DIGITS: usize = 12;

/// An exact decimal: 0.d₁d₂d₃… × 10^`point`, without zeros at either end of the digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Empty for zero, which is never negative.
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    /// Reads a JSON number (RFC 8259, section 6). `None` for anything else, and for exponents of more than
    /// twelve digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) || !all_digits(whole) {
            return None;
        }
        if !all_digits(fraction) {
            return None;
        }
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        // Zeros at either end only move the point. Without them, each number has exactly one form.
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self { negative: false, digits, point: 0 });
        }
        let length = |count: usize| i64::try_from(count).ok();
        let point = exponent.checked_add(length(whole.len())?)?.checked_sub(length(zeros)?)?;
        Some(Self { negative, digits, point })
    }

    /// The sign, the digits, and the position of the point in them.
    pub(super) fn parts(&self) -> (bool, &str, i64) {
        (self.negative, std::str::from_utf8(&self.digits).unwrap_or_default(), self.point)
    }

    /// Compares the distance from zero.
    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // The first digit is never zero, so a larger point means a larger number. With equal points,
            // digits compare like text, where a longer list beats its own beginning.
            (false, false) => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.len() > MAX_EXPONENT_DIGITS {
        return None;
    }
    let size: i64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some(if text.starts_with('-') { -size } else { size })
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn the_spelling_of_a_number_never_matters() {
        for same in [
            &["1000", "1e3", "1E+3", "1000.0", "1000.000e0", "0.1e4", "100000e-2", "1e0003"][..],
            &["0", "-0", "0.0", "-0e7", "0e999999999999"],
            &["-1.5", "-15e-1", "-0.15e1"],
        ] {
            for text in same {
                assert_eq!(decimal(text), decimal(same[0]), "{text}");
                assert_eq!(decimal(text).cmp(&decimal(same[0])), Ordering::Equal, "{text}");
            }
        }
    }

    #[test]
    fn no_digit_is_rounded_away() {
        let ordered = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-1.0000000000000000000001",
            "-1",
            "-1e-400",
            "0",
            "1e-400",
            "99.99999999999999999999",
            "100",
            "100.0000000000000000000001",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551616",
            "1e400",
            "1.0000001e400",
        ];
        for pair in ordered.windows(2) {
            assert!(decimal(pair[0]) < decimal(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn what_is_no_json_number_is_none() {
        for text in
            ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x10", "NaN", "1_000", "\"1\"", "1 ", "１"]
        {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse("1e9999999999999"), None);
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_they_do(one in any::<i64>(), other in any::<i64>(), shift in 0..30_u32) {
            let spell = |number: i64| format!("{number}e-{shift}");
            prop_assert_eq!(decimal(&spell(one)).cmp(&decimal(&spell(other))), one.cmp(&other));
            prop_assert_eq!(decimal(&one.to_string()) == decimal(&other.to_string()), one == other);
        }
    }
}
