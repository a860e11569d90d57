//! Conditions in the words of `policies.json`, for people.

use std::fmt;

use super::path::Folder;
use super::{ArgumentCondition, Comparison, Decimal, ValueTest};

impl fmt::Display for ArgumentCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pointer, self.test)
    }
}

impl ArgumentCondition {
    /// The place and the test's field, without the value that it compares with.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.pointer, self.test.field_name())
    }
}

impl ValueTest {
    /// The field's name.
    const fn field_name(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Number(_) | Self::Flag(_) | Self::Null => "equals",
            Self::Matches(matcher) => matcher.field_name(),
            Self::Bound(side, _) => side.field_name(),
            Self::Under(_) => "under",
            Self::Command(_) => "command",
        }
    }
}

impl fmt::Display for ValueTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "equals {text:?}"),
            Self::Number(number) => write!(f, "equals {number}"),
            Self::Flag(flag) => write!(f, "equals {flag}"),
            Self::Null => f.write_str("equals null"),
            Self::Matches(matcher) => write!(f, "{matcher}"),
            Self::Bound(side, bound) => write!(f, "{} {bound}", side.field_name()),
            Self::Command(matcher) => write!(f, "{matcher}"),
            Self::Under(folder) => write!(f, "under {:?}", folder.to_string()),
        }
    }
}

impl Comparison {
    /// The field's name.
    const fn field_name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::AtLeast => "atLeast",
            Self::AtMost => "atMost",
        }
    }
}

/// Written out where that takes few zeros, else as a fraction with a power of ten.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_PADDING_ZEROS: usize = 12;
        let (negative, digits, point) = self.parts();
        let sign = if negative { "-" } else { "" };
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let zeros = |count: i64| usize::try_from(count).ok().filter(|count| *count <= MAX_PADDING_ZEROS);
        match (zeros(-point), zeros(point - length)) {
            _ if digits.is_empty() => f.write_str("0"),
            (Some(before), _) => write!(f, "{sign}0.{}{digits}", "0".repeat(before)),
            (None, Some(after)) => write!(f, "{sign}{digits}{}", "0".repeat(after)),
            (None, None) if (1..length).contains(&point) => {
                let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or_default());
                write!(f, "{sign}{whole}.{fraction}")
            }
            (None, None) => write!(f, "{sign}0.{digits}e{point}"),
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (drive, segments) = self.parts();
        if let Some(drive) = drive {
            write!(f, "{drive}:")?;
        }
        match segments {
            [] => f.write_str("/"),
            segments => segments.iter().try_for_each(|segment| write!(f, "/{segment}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{JsonPointer, TextMatcher};
    use super::*;

    #[test]
    fn a_number_is_told_as_people_write_it_and_reads_back_as_itself() {
        for (written, told) in [
            ("100", "100"),
            ("1e3", "1000"),
            ("-0.50", "-0.5"),
            ("12.5", "12.5"),
            ("0", "0"),
            ("1e40", "0.1e41"),
            ("1e-40", "0.1e-39"),
            ("0.001", "0.001"),
        ] {
            let number = Decimal::parse(written).expect(written);
            assert_eq!(number.to_string(), told);
            assert_eq!(Decimal::parse(told), Some(number), "{written}");
        }
    }

    #[test]
    fn a_condition_is_told_in_the_words_of_the_file() {
        let told = |test| {
            ArgumentCondition { pointer: JsonPointer::parse("/path").expect("a pointer"), test }.to_string()
        };
        assert_eq!(
            told(ValueTest::Under(Folder::parse("/notes/x").expect("a folder"))),
            r#"/path under "/notes/x""#
        );
        assert_eq!(
            told(ValueTest::Matches(TextMatcher::glob("*.md").expect("a glob"))),
            r#"/path glob "*.md""#
        );
        assert_eq!(
            told(ValueTest::Bound(Comparison::AtMost, Decimal::parse("7").expect("a number"))),
            "/path atMost 7"
        );
        assert_eq!(told(ValueTest::Null), "/path equals null");
    }
}
