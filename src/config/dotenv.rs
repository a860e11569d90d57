//! `.env`: one `NAME=value` a line.
//!
//! Comments begin with `#`, and `export ` may precede a name. A value in single quotes is literal. In double
//! quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes. Both kinds may span lines. A value without quotes
//! ends at the line's end or before ` #`. Nothing is expanded.

use std::collections::HashMap;

use super::problem::{ConfigProblem, Severity};
use super::snippet::escape_for_display;
use super::variables::is_variable_name;
use crate::secret::Secret;

/// Reads the file. Each problem names its line, never a value.
pub(super) fn read_dotenv(text: Option<&str>) -> (HashMap<String, Secret>, Vec<ConfigProblem>) {
    let text = text.unwrap_or_default();
    let mut reader = DotenvReader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let (mut values, mut problems) = (HashMap::new(), Vec::new());
    while !reader.rest.is_empty() {
        let line = reader.line;
        let problem =
            |column: usize, name: Option<&str>, message: String, hint: Option<&str>| ConfigProblem {
                severity: Severity::Error,
                file: super::DOTENV.into(),
                line,
                column: u32::try_from(column).unwrap_or(u32::MAX),
                message,
                snippet: name.map(|name| format!("{}=…", escape_for_display(name))),
                hint: hint.map(str::to_owned),
            };
        match reader.read_entry() {
            Ok(None) => {}
            Ok(Some((name, value))) => {
                if values.insert(name.to_owned(), value).is_some() {
                    let message = format!("the variable `{name}` appears twice");
                    problems.push(problem(1, Some(name), message, Some("keep one of them")));
                }
            }
            Err(DotenvError { column, name, message }) => {
                problems.push(problem(column, name, message.to_owned(), Some("lines are NAME=value")));
            }
        }
    }
    (values, problems)
}

struct DotenvReader<'a> {
    rest: &'a str,
    line: u32,
}

struct DotenvError<'a> {
    column: usize,
    name: Option<&'a str>,
    message: &'static str,
}

impl<'a> DotenvReader<'a> {
    /// Reads one entry, or skips one line without any.
    fn read_entry(&mut self) -> Result<Option<(&'a str, Secret)>, DotenvError<'a>> {
        let line = self.rest.split('\n').next().unwrap_or_default();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.skip_line(line.len());
            return Ok(None);
        }
        let start = line.len() - line.trim_start().len();
        let entry = line[start..].strip_prefix("export ").unwrap_or(&line[start..]).trim_start();
        let column = line[..line.len() - entry.len()].chars().count() + 1;
        let Some((name, value)) = entry.split_once('=') else {
            self.skip_line(line.len());
            return Err(DotenvError { column, name: None, message: "this line has no `=`" });
        };
        let name = name.trim_end();
        if !is_variable_name(name) {
            self.skip_line(line.len());
            let message = "a variable's name holds letters, digits and `_` only";
            return Err(DotenvError { column, name: None, message });
        }
        let value = value.trim_start_matches([' ', '\t']);
        let from = line.len() - value.len();
        match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                self.read_quoted(name, from, quote).map(|value| Some((name, value)))
            }
            _ => {
                self.skip_line(line.len());
                let end = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
                let end = if value.starts_with('#') { 0 } else { end };
                Ok(Some((name, Secret::new(value[..end].trim_end()))))
            }
        }
    }

    fn read_quoted(&mut self, name: &'a str, from: usize, quote: char) -> Result<Secret, DotenvError<'a>> {
        let text = &self.rest[from + 1..];
        let mut value = zeroize::Zeroizing::new(String::new());
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    let after = &text[at + 1..];
                    let tail = after.split('\n').next().unwrap_or_default();
                    self.skip_line(from + 1 + at + 1 + tail.len());
                    let tail = tail.trim();
                    if !tail.is_empty() && !tail.starts_with('#') {
                        let message = "something follows the closing quote";
                        return Err(DotenvError { column: 1, name: Some(name), message });
                    }
                    return Ok(Secret::new(value.as_str()));
                }
                '\\' if quote == '"' => match chars.next().map(|(_, escaped)| escaped) {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(plain @ ('"' | '\\' | '$')) => value.push(plain),
                    Some(other) => {
                        value.push('\\');
                        value.push(other);
                    }
                    None => {}
                },
                c => value.push(c),
            }
        }
        // Only this line is skipped, so that a forgotten quote doesn't swallow the rest of the file's
        // problems.
        self.skip_line(self.rest.split('\n').next().unwrap_or_default().len());
        Err(DotenvError { column: 1, name: Some(name), message: "a quote is not closed" })
    }

    /// Skips this many bytes and the line end after them.
    fn skip_line(&mut self, bytes: usize) {
        let past = (bytes + 1).min(self.rest.len());
        let lines = self.rest[..past].matches('\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = &self.rest[past..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str, name: &str) -> Option<String> {
        let (values, problems) = read_dotenv(Some(text));
        assert_eq!(problems, [], "{text}");
        values.get(name).map(|value| value.expose().to_owned())
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        let text = "# who\r\nA=plain value \r\nexport B = 'single $x \\n' # why\n\nC=\"two\\nlines\nand \\\"\"\nD=a#b #c\nE=\nF=#x\nG==x=";
        let expected = [
            ("A", "plain value"),
            ("B", "single $x \\n"),
            ("C", "two\nlines\nand \""),
            ("D", "a#b"),
            ("E", ""),
            ("F", ""),
            ("G", "=x="),
        ];
        for (name, expected) in expected {
            assert_eq!(value(text, name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_lines_and_without_values() {
        let (_, problems) = read_dotenv(Some("A=1\nJohn Doe\n1X=secret\nA=2\nB='open\nC=\"x\" secret\n"));
        let told: Vec<_> = problems.iter().map(|problem| (problem.line, problem.message.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "this line has no `=`"),
                (3, "a variable's name holds letters, digits and `_` only"),
                (4, "the variable `A` appears twice"),
                (5, "a quote is not closed"),
                (6, "something follows the closing quote"),
            ]
        );
        let all = problems.iter().map(ToString::to_string).collect::<String>();
        assert!(!all.contains("secret") && !all.contains("John") && !all.contains("open\n"), "{all}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "(?s)[A-C=\"'\\\\\n# é]{0,40}") {
            let _ = read_dotenv(Some(&text));
        }
    }
}
