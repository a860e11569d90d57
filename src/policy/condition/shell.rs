//! A shell's command line, as far as it can be told without running it.
//!
//! Known are the words and quotes of POSIX (Shell Command Language, sections 2.2 to 2.7) and what splits a line into
//! commands: `;`, `&&`, `||`, `|`, `&` and line breaks. Whatever else a shell gives a meaning makes the line unreadable, such
//! as a command in `$(…)`, a loop or a comment: shells differ there, and a guess would be a hole. A crate that splits words
//! drops the difference between `;` and `";"`, and one that parses all of a shell nests as deep as an agent writes.

use std::iter::Peekable;
use std::str::Chars;

use super::pointer::is_ignorable;

/// The longest line that is read.
pub(super) const MAX_LINE_BYTES: usize = 64 << 10;
/// The most words of a command.
const MAX_WORDS: usize = 1024;

/// Words with which something begins that is no simple command; `time` is one that runs another.
const RESERVED_WORDS: [&str; 19] = [
    "!", "[[", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "foreach", "function",
    "if", "in", "select", "then", "until", "while",
];

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShellWord {
    /// This very word.
    Known(String),
    /// What a shell makes of a variable, of a glob or of braces: any words, or none.
    Expanded,
}

/// A program with its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SimpleCommand {
    /// The program and its arguments; none where variables are set and nothing is run.
    pub(super) words: Vec<ShellWord>,
    /// Whether variables are set for it, or a file is read or written beside it.
    pub(super) is_altered: bool,
}

/// The commands of a line; `None` where they can't be told.
pub(super) fn parse_line(line: &str) -> Option<Vec<SimpleCommand>> {
    if line.len() > MAX_LINE_BYTES {
        return None;
    }
    let reader = ShellReader {
        rest: line.chars().peekable(),
        commands: Vec::new(),
        command: SimpleCommand::default(),
        word: None,
        redirection: None,
        needs_command: false,
    };
    reader.read()
}

/// A word that is being read.
#[derive(Default)]
struct PartialWord {
    text: String,
    /// Whether some of it is quoted, so that it is no word of the shell's own.
    is_quoted: bool,
    is_expanded: bool,
    is_assignment: bool,
}

struct ShellReader<'a> {
    rest: Peekable<Chars<'a>>,
    commands: Vec<SimpleCommand>,
    command: SimpleCommand,
    word: Option<PartialWord>,
    /// The operator whose target is the next word.
    redirection: Option<String>,
    /// Whether `&&`, `||` or `|` is before the next command.
    needs_command: bool,
}

impl ShellReader<'_> {
    fn read(mut self) -> Option<Vec<SimpleCommand>> {
        while let Some(c) = self.rest.next() {
            match c {
                ' ' | '\t' => self.end_word()?,
                '\n' | ';' | '&' | '|' => self.end_command(Some(c))?,
                '\'' => self.read_single_quoted()?,
                '"' => self.read_double_quoted()?,
                '\\' => self.read_escaped()?,
                '$' => self.read_expansion(false)?,
                '<' | '>' => self.read_redirection(c)?,
                '!' => self.read_bang(false)?,
                '=' => self.read_equals_sign(),
                '*' | '?' | '[' | '{' | '}' => self.push_expanded(c),
                '~' if self.is_home() => self.push_expanded(c),
                '`' | '(' | ')' => return None,
                // A comment, and what replaces words of the line before.
                '#' | '^' if self.word.is_none() => return None,
                c if c.is_control() || c.is_whitespace() || is_ignorable(c) => return None,
                c => self.push(c),
            }
        }
        self.end_command(None)?;
        Some(self.commands)
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().text.push(c);
    }

    fn push_expanded(&mut self, c: char) {
        self.push(c);
        self.word.get_or_insert_default().is_expanded = true;
    }

    /// Whether a `~` here is a home: at a word's beginning, and in lists of paths.
    fn is_home(&self) -> bool {
        self.word.as_ref().is_none_or(|word| word.text.is_empty() || word.text.ends_with(['=', ':']))
    }

    fn read_single_quoted(&mut self) -> Option<()> {
        self.word.get_or_insert_default().is_quoted = true;
        loop {
            match self.rest.next()? {
                '\'' => return Some(()),
                '\0' => return None,
                c => self.push(c),
            }
        }
    }

    fn read_double_quoted(&mut self) -> Option<()> {
        self.word.get_or_insert_default().is_quoted = true;
        loop {
            match self.rest.next()? {
                '"' => return Some(()),
                '\\' => match self.rest.next()? {
                    c @ ('$' | '`' | '"' | '\\') => self.push(c),
                    '\n' => {}
                    c => {
                        self.push('\\');
                        self.push(c);
                    }
                },
                '$' => self.read_expansion(true)?,
                '!' => self.read_bang(true)?,
                '`' | '\0' => return None,
                c => self.push(c),
            }
        }
    }

    fn read_escaped(&mut self) -> Option<()> {
        match self.rest.next()? {
            // The line goes on.
            '\n' => {}
            '\0' => return None,
            c => {
                self.word.get_or_insert_default().is_quoted = true;
                self.push(c);
            }
        }
        Some(())
    }

    /// A variable; what else begins with a `$` runs commands, computes or decodes.
    fn read_expansion(&mut self, in_quotes: bool) -> Option<()> {
        match self.rest.peek().copied() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                while self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_').is_some() {}
            }
            Some('0'..='9' | '@' | '*' | '#' | '?' | '-' | '$' | '!') => drop(self.rest.next()),
            Some('{') => {
                self.rest.next();
                let mut length = 0;
                while self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_').is_some() {
                    length += 1;
                }
                self.rest.next_if_eq(&'}').filter(|_| length > 0)?;
            }
            Some('(' | '[') => return None,
            Some('\'' | '"') if !in_quotes => return None,
            Some(c) if !c.is_ascii() => return None,
            _ => {
                self.push('$');
                return Some(());
            }
        }
        self.push_expanded('$');
        Some(())
    }

    /// A `!` recalls an earlier command where a shell is spoken to line by line, but for these characters after it.
    fn read_bang(&mut self, in_quotes: bool) -> Option<()> {
        match self.rest.peek() {
            None | Some(' ' | '\t' | '\n' | '=') => {}
            Some('"') if in_quotes => {}
            Some(_) => return None,
        }
        self.push('!');
        Some(())
    }

    fn read_equals_sign(&mut self) {
        let is_first = self.command.words.is_empty();
        match &mut self.word {
            // One shell takes `=ls` for the path of `ls`.
            None => self.push_expanded('='),
            Some(word) => {
                let name = word.text.strip_suffix('+').unwrap_or(&word.text);
                let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                word.is_assignment |= is_first && !word.is_quoted && is_name;
                word.text.push('=');
            }
        }
    }

    /// Files that are read or written beside the command. Text that follows in later lines (`<<`) is not read.
    fn read_redirection(&mut self, first: char) -> Option<()> {
        let is_number = |word: &PartialWord| {
            !word.is_quoted && !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if self.word.as_ref().is_some_and(is_number) {
            self.word = None;
        }
        self.end_word()?;
        let mut operator = String::from(first);
        while let Some(c) = self.rest.next_if(|c| matches!(c, '<' | '>' | '&' | '|')) {
            operator.push(c);
        }
        let is_known = matches!(&*operator, ">" | ">>" | "<" | ">&" | "<&" | ">|");
        if !is_known || self.redirection.is_some() {
            return None;
        }
        self.redirection = Some(operator);
        Some(())
    }

    fn end_word(&mut self) -> Option<()> {
        let Some(PartialWord { text, is_quoted, is_expanded, is_assignment }) = self.word.take() else {
            return Some(());
        };
        let is_plain = !is_quoted;
        // A pair of braces and a bracket by themselves stay as they are.
        let is_expanded = is_expanded && !(is_plain && matches!(&*text, "{}" | "["));
        if let Some(operator) = self.redirection.take() {
            let number = text.bytes().all(|byte| byte.is_ascii_digit());
            let is_harmless = text == "/dev/null" || (operator.ends_with('&') && number);
            self.command.is_altered |= is_expanded || !is_harmless;
            return Some(());
        }
        if self.command.words.is_empty() {
            if is_assignment {
                self.command.is_altered = true;
                return Some(());
            }
            if is_plain && (matches!(&*text, "{" | "}") || RESERVED_WORDS.contains(&&*text)) {
                return None;
            }
        }
        if self.command.words.len() == MAX_WORDS {
            return None;
        }
        self.command.words.push(if is_expanded { ShellWord::Expanded } else { ShellWord::Known(text) });
        Some(())
    }

    /// Ends a command at an operator, or at the line's end.
    fn end_command(&mut self, operator: Option<char>) -> Option<()> {
        self.end_word()?;
        if self.redirection.is_some() {
            return None;
        }
        if self.command == SimpleCommand::default() {
            return match operator {
                Some('\n') => Some(()),
                None if !self.needs_command => Some(()),
                None | Some(_) => None,
            };
        }
        self.commands.push(std::mem::take(&mut self.command));
        let next = self.rest.peek().copied();
        self.needs_command = match (operator, next) {
            (Some(';'), Some(';')) | (Some('&'), Some('>' | '|')) | (Some('|'), Some('&')) => return None,
            (Some(operator @ ('&' | '|')), Some(next)) if operator == next => {
                self.rest.next();
                true
            }
            (operator, _) => operator == Some('|'),
        };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Commands as text: `¦` between words, `…` for what is expanded, `!` where it is altered.
    fn parsed(line: &str) -> Option<Vec<String>> {
        let word = |word: &ShellWord| match word {
            ShellWord::Known(text) => text.clone(),
            ShellWord::Expanded => "…".to_owned(),
        };
        let command = |command: &SimpleCommand| {
            let words: Vec<_> = command.words.iter().map(word).collect();
            format!("{}{}", words.join("¦"), if command.is_altered { "!" } else { "" })
        };
        Some(parse_line(line)?.iter().map(command).collect())
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, expected) in [
            ("git status", &["git¦status"][..]),
            ("  git\t status  ", &["git¦status"]),
            ("a; b", &["a", "b"]),
            ("a;b;", &["a", "b"]),
            ("a && b || c | d & e", &["a", "b", "c", "d", "e"]),
            ("a\nb\n\n", &["a", "b"]),
            ("a &&\n\n b", &["a", "b"]),
            ("a&", &["a"]),
            ("r\\m x", &["rm¦x"]),
            ("r''m \"\" ''", &["rm¦¦"]),
            ("\"a;b\" 'c && d' e\\;f", &["a;b¦c && d¦e;f"]),
            ("\"a\\\"b\\$c\\d\"", &["a\"b$c\\d"]),
            ("a\\\nb", &["ab"]),
            ("echo $HOME \"$X y\" ${Z}z $1 a$ '$x'", &["echo¦…¦…¦…¦…¦a$¦$x"]),
            ("ls *.rs src/? [ab] {a,b} ~ ~root a~ x=~", &["ls¦…¦…¦…¦…¦…¦…¦a~¦…"]),
            ("find . -exec rm {} \\;", &["find¦.¦-exec¦rm¦{}¦;"]),
            ("[ -f x ] && y", &["[¦-f¦x¦]", "y"]),
            ("X=1 Y+=$Z git status a=b", &["git¦status¦a=b!"]),
            ("X=1; git status", &["!", "git¦status"]),
            ("\"X\"=1", &["X=1"]),
            ("echo a > out", &["echo¦a!"]),
            ("echo a>>out", &["echo¦a!"]),
            ("<in sort", &["sort!"]),
            ("a 2>&1 >/dev/null | b", &["a", "b"]),
            ("a 2 > /dev/null", &["a¦2"]),
            ("a >$X", &["a!"]),
            ("git log HEAD^ a#b !", &["git¦log¦HEAD^¦a#b¦!"]),
            ("echo \"done!\" a!=b", &["echo¦done!¦a!=b"]),
            ("=ls", &["…"]),
            ("", &[]),
            ("\n", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|command| (*command).to_owned()).collect();
            assert_eq!(parsed(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_shells_do_beside_words_is_not_guessed() {
        for line in [
            "echo $(rm x)",
            "echo `rm x`",
            "echo \"$(rm x)\"",
            "echo \"`rm x`\"",
            "(a)",
            "a()",
            "{ a; }",
            "}",
            "if a; then b; fi",
            "for x in a; do b; done",
            "! a",
            "[[ a ]]",
            "function f",
            "$'\\x72m' x",
            "$\"rm\"",
            "${X:-rm}",
            "${}",
            "$((1))",
            "$[1]",
            "cat <<EOF",
            "cat <<<x",
            "cat <(a)",
            "a > >(b)",
            "a &> b",
            "a |& b",
            "a ;; b",
            "; a",
            "a &&",
            "a | | b",
            "a &&& b",
            "| a",
            "a >",
            "a > ; b",
            "a > > b",
            "'a",
            "\"a",
            "a\\",
            "# a",
            "a # b",
            "!!",
            "a \"!x\"",
            "^a^b",
            "a\rb",
            "a\u{a0}b",
            "a\u{200b}",
            "a\0",
            "'\0'",
            "a\u{1b}",
            "$é",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
        assert_eq!(parsed(&"a ".repeat(MAX_WORDS + 1)), None);
        assert_eq!(parsed(&"a".repeat(MAX_LINE_BYTES + 1)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Where nothing is a shell's but words and quotes, they are those of a crate that splits words.
        #[test]
        fn words_are_those_of_another_reader(line in "[ab'\"\\\\ =/\t-]{0,16}") {
            let Some(commands) = parse_line(&line) else { return Ok(()) };
            let [SimpleCommand { words, is_altered: false }] = &commands[..] else { return Ok(()) };
            if !words.contains(&ShellWord::Expanded) {
                let known: Vec<_> = words.iter().map(|word| match word {
                    ShellWord::Known(text) => text.clone(),
                    ShellWord::Expanded => unreachable!("looked for above"),
                }).collect();
                prop_assert_eq!(Some(known), shlex::split(&line), "{}", line);
            }
        }

        #[test]
        fn any_line_is_read_to_an_end(line in "[ab;&|<>$(){}\\[*'\"`\\\\ \n=!#~^é\u{200b}]{0,40}") {
            if let Some(commands) = parse_line(&line) {
                prop_assert!(commands.iter().all(|command| *command != SimpleCommand::default()));
            }
        }
    }
}
