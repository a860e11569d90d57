//! Tests on the commands of a shell's line, or on a list of a program and its arguments.
//!
//! A pattern is words with blanks between them, each a glob over one word; `**` alone is any number of words. A line meets
//! a test where each of its commands is matched by one of the patterns, and fails it where none is. What can't be read is
//! neither ([`Truth::Unreadable`]), unless it contains the words of a pattern.

use std::fmt;

use super::Truth;
use super::path::normalize_path;
use super::shell::{ShellWord, SimpleCommand, parse_line};
use super::text::TextMatcher;

/// How deep texts of commands may nest, as in `sh -c "sh -c ls"`.
const MAX_DEPTH: usize = 4;
/// The most words of a command that runs another one.
const MAX_RUNNER_WORDS: usize = 64;
/// The longest line that can't be read and is searched for the words of a pattern.
const MAX_SEARCHED_BYTES: usize = 1 << 20;

/// Shells that read a text of commands as this reader does.
const POSIX_SHELLS: [&str; 7] = ["ash", "bash", "dash", "ksh", "mksh", "sh", "zsh"];
/// Programs that run what is written in a language of their own, or commands from elsewhere.
const INTERPRETERS: [&str; 15] = [
    ".",
    "alias",
    "awk",
    "cmd",
    "csh",
    "eval",
    "fish",
    "gawk",
    "mawk",
    "osascript",
    "powershell",
    "pwsh",
    "source",
    "tcsh",
    "trap",
];
/// Programs that do so where an option has them.
const OPTIONAL_INTERPRETERS: [&str; 9] =
    ["bun", "deno", "lua", "node", "perl", "php", "python", "python3", "ruby"];
const CODE_OPTIONS: [&str; 9] = ["-c", "-e", "-E", "-p", "-r", "--eval", "--print", "--run", "eval"];
/// Programs that run the command that follows, somewhere behind their own options.
const RUNNERS: [&str; 31] = [
    "builtin", "busybox", "chroot", "chrt", "command", "doas", "env", "exec", "flock", "fakeroot", "ionice",
    "ltrace", "nice", "nohup", "nsenter", "parallel", "pkexec", "runuser", "screen", "setsid", "ssh",
    "stdbuf", "strace", "su", "sudo", "taskset", "time", "timeout", "unshare", "watch", "xargs",
];
/// Options of `find` that a command follows.
const FIND_OPTIONS: [&str; 4] = ["-exec", "-execdir", "-ok", "-okdir"];

/// Patterns of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandMatcher {
    patterns: Vec<CommandPattern>,
}

/// Why a text is no pattern of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandPatternError {
    /// It has no word.
    #[error("a command has at least one word, such as `git status`")]
    Empty,
    /// It can't be compiled.
    #[error("the command is too long")]
    TooLong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CommandPattern {
    text: String,
    words: Vec<WordPattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum WordPattern {
    /// `**`: any words, or none.
    AnyWords,
    Word {
        matcher: TextMatcher,
        is_literal: bool,
    },
}

/// What counts as a match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MatchMode {
    /// For sure, whatever the shell expands.
    Certain,
    /// By something that it may expand, or by a name that some system takes for the same.
    Possible,
    /// As possible, and any words may follow.
    PossibleStart,
}

/// What the first word of a command does with the others.
enum ProgramKind {
    Plain,
    PosixShell,
    Interpreter,
    Runner,
}

impl CommandMatcher {
    /// Reads the patterns.
    ///
    /// # Errors
    /// When one has no word or is too long.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, CommandPatternError> {
        let patterns: Vec<_> = patterns.into_iter().map(CommandPattern::parse).collect::<Result<_, _>>()?;
        if patterns.is_empty() { Err(CommandPatternError::Empty) } else { Ok(Self { patterns }) }
    }

    /// Whether all commands of a shell's line are matched.
    #[must_use]
    pub fn evaluate_line(&self, line: &str) -> Truth {
        self.evaluate_line_at(line, 0)
    }

    /// Whether a program with its arguments is matched, which no shell reads.
    #[must_use]
    pub fn evaluate_arguments(&self, arguments: Vec<String>) -> Truth {
        let words = arguments.into_iter().map(ShellWord::Known).collect();
        self.evaluate_command(&SimpleCommand { words, is_altered: false }, 0)
    }

    fn evaluate_line_at(&self, line: &str, depth: usize) -> Truth {
        let commands = if depth < MAX_DEPTH { parse_line(line) } else { None };
        match commands {
            Some(commands) => {
                Truth::of_all(commands.iter().map(|command| self.evaluate_command(command, depth)))
            }
            None if line.len() > MAX_SEARCHED_BYTES || self.occurs_in(line) => Truth::Unsure,
            None => Truth::Unreadable,
        }
    }

    fn evaluate_command(&self, command: &SimpleCommand, depth: usize) -> Truth {
        let words = &command.words;
        let own = self.match_suffixes(words);
        let truth = match own.first() {
            None => Truth::No,
            // An author who writes down `sudo` or `sh` knows that it runs others.
            Some((Truth::Yes, true)) => Truth::Yes,
            Some((truth, _)) => match ProgramKind::of(words) {
                kind @ (ProgramKind::Runner | ProgramKind::Interpreter) => {
                    let itself = self.evaluate_program(words, *truth, &kind, depth);
                    if words.len() > MAX_RUNNER_WORDS {
                        Truth::of_all([itself, Truth::Unreadable])
                    } else {
                        Truth::of_all(std::iter::once(itself).chain(self.evaluate_run(words, &own, depth)))
                    }
                }
                kind => self.evaluate_program(words, *truth, &kind, depth),
            },
        };
        // Variables may make another program of it, and a file that it writes is more than its words say.
        if command.is_altered { truth.min(Truth::Unsure) } else { truth }
    }

    /// What a program's own words say, and the text that a shell reads.
    fn evaluate_program(&self, words: &[ShellWord], own: Truth, kind: &ProgramKind, depth: usize) -> Truth {
        match kind {
            ProgramKind::Plain | ProgramKind::Runner => own,
            ProgramKind::Interpreter => Truth::of_all([own, Truth::Unreadable]),
            ProgramKind::PosixShell => match (shell_text(words), own) {
                (Some(text), Truth::No) => self.evaluate_line_at(text, depth + 1),
                (Some(text), _) => Truth::of_all([own, self.evaluate_line_at(text, depth + 1)]),
                (None, _) => Truth::of_all([own, Truth::Unreadable]),
            },
        }
    }

    /// What each command says that a program may run, wherever among its words that begins.
    fn evaluate_run(&self, words: &[ShellWord], own: &[(Truth, bool)], depth: usize) -> Vec<Truth> {
        let run = command_starts(words).map(|start| {
            let rest = &words[start..];
            self.evaluate_program(rest, own[start].0, &ProgramKind::of(rest), depth)
        });
        // A text with blanks may be a line of commands, as of `su -c`.
        let lines = words.iter().filter_map(|word| match word {
            ShellWord::Known(text) if text.contains([' ', '\t', '\n']) => Some(text),
            ShellWord::Known(_) | ShellWord::Expanded => None,
        });
        run.chain(lines.map(|line| self.evaluate_line_at(line, depth + 1))).collect()
    }

    /// For the words from each on: whether a pattern matches them, and whether for sure by a first word that it writes
    /// out.
    fn match_suffixes(&self, words: &[ShellWord]) -> Vec<(Truth, bool)> {
        let mut found = vec![(Truth::No, false); words.len()];
        for pattern in &self.patterns {
            let certain = pattern.match_suffixes(words, MatchMode::Certain);
            let possible = pattern.match_suffixes(words, MatchMode::Possible);
            for (at, (truth, is_named)) in found.iter_mut().enumerate() {
                if certain[at] {
                    *truth = Truth::Yes;
                    *is_named |= pattern.is_named();
                } else if possible[at] {
                    // A program that is only known when the shell has expanded it may be any.
                    let is_seen = words[at] != ShellWord::Expanded;
                    *truth = (*truth).max(if is_seen { Truth::Unsure } else { Truth::Unreadable });
                }
            }
        }
        found
    }

    /// Whether the words of a pattern are anywhere in a line that can't be read.
    fn occurs_in(&self, line: &str) -> bool {
        let separates = |c: char| c.is_whitespace() || ";&|()<>`\"'$\\{}=,".contains(c);
        let words: Vec<_> = line
            .split(separates)
            .filter(|word| !word.is_empty())
            .map(|word| ShellWord::Known(word.to_owned()))
            .collect();
        self.patterns.iter().any(|pattern| {
            let found = pattern.match_suffixes(&words, MatchMode::PossibleStart);
            found[..words.len()].contains(&true)
        })
    }
}

impl CommandPattern {
    fn parse(text: &str) -> Result<Self, CommandPatternError> {
        let word = |word: &str| match word {
            "**" => Ok(WordPattern::AnyWords),
            word => TextMatcher::glob(word)
                .map(|matcher| WordPattern::Word { matcher, is_literal: !word.contains(['*', '?']) })
                .map_err(|_| CommandPatternError::TooLong),
        };
        let words: Vec<_> = text.split_whitespace().map(word).collect::<Result<_, _>>()?;
        if words.is_empty() {
            return Err(CommandPatternError::Empty);
        }
        Ok(Self { text: text.to_owned(), words })
    }

    /// Whether it writes out its program.
    fn is_named(&self) -> bool {
        matches!(self.words.first(), Some(WordPattern::Word { is_literal: true, .. }))
    }

    /// Whether it matches the words from each on, `[at]`, and none at all, at the end.
    ///
    /// It goes from the pattern's last word to its first: `matched[at]` says whether the words from `at` on match what was
    /// looked at. Each pair of words is looked at once, so that no line takes more than their product.
    fn match_suffixes(&self, words: &[ShellWord], mode: MatchMode) -> Vec<bool> {
        let mut matched = vec![mode == MatchMode::PossibleStart; words.len() + 1];
        matched[words.len()] = true;
        for at in (0..words.len()).rev() {
            let may_be_none = mode != MatchMode::Certain && words[at] == ShellWord::Expanded;
            matched[at] |= may_be_none && matched[at + 1];
        }
        for (position, pattern) in self.words.iter().enumerate().rev() {
            let mut next = vec![false; words.len() + 1];
            next[words.len()] = *pattern == WordPattern::AnyWords && matched[words.len()];
            for (at, word) in words.iter().enumerate().rev() {
                next[at] = match (pattern, word) {
                    (WordPattern::AnyWords, _) => matched[at] || next[at + 1],
                    // As no word, or as one of several.
                    (WordPattern::Word { .. }, ShellWord::Expanded) => {
                        mode != MatchMode::Certain && (next[at + 1] || matched[at])
                    }
                    (WordPattern::Word { matcher, .. }, ShellWord::Known(word)) => {
                        matched[at + 1] && matches_word(matcher, word, position == 0, mode)
                    }
                };
            }
            matched = next;
        }
        matched
    }
}

/// `is_program`: whether the word names a program, which some systems find by another spelling.
fn matches_word(matcher: &TextMatcher, word: &str, is_program: bool, mode: MatchMode) -> bool {
    let plain = matcher.matches(word);
    // A path may lead elsewhere than its text says.
    let tidied = normalize_path(word).map_or(plain, |tidied| matcher.matches(&tidied));
    match mode {
        MatchMode::Certain => plain && tidied,
        MatchMode::Possible | MatchMode::PossibleStart => {
            plain || tidied || (is_program && matcher.matches(&program_name(word)))
        }
    }
}

impl ProgramKind {
    fn of(words: &[ShellWord]) -> Self {
        let Some(ShellWord::Known(first)) = words.first() else { return Self::Plain };
        let name = program_name(first);
        let name = name.as_str();
        let is_code = |word: &ShellWord| match word {
            ShellWord::Known(text) => CODE_OPTIONS.contains(&text.as_str()),
            ShellWord::Expanded => true,
        };
        match () {
            () if POSIX_SHELLS.contains(&name) => Self::PosixShell,
            () if INTERPRETERS.contains(&name) => Self::Interpreter,
            () if OPTIONAL_INTERPRETERS.contains(&name) && words.iter().any(is_code) => Self::Interpreter,
            () if RUNNERS.contains(&name) || name == "find" => Self::Runner,
            () => Self::Plain,
        }
    }
}

/// The name of a program, without its folder, in small letters, as some systems look for it.
fn program_name(word: &str) -> String {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word).to_lowercase();
    name.strip_suffix(".exe").map_or_else(|| name.clone(), str::to_owned)
}

/// The text of `sh -c TEXT`, where nothing else follows.
fn shell_text(words: &[ShellWord]) -> Option<&str> {
    let [_, options @ .., ShellWord::Known(text)] = words else { return None };
    let is_option = |word: &ShellWord| {
        matches!(word, ShellWord::Known(option) if option.strip_prefix('-').is_some_and(|letters| {
            !letters.is_empty() && letters.bytes().all(|letter| matches!(letter, b'c' | b'e' | b'l' | b'u' | b'x'))
        }))
    };
    let takes_text = |word: &ShellWord| matches!(word, ShellWord::Known(option) if option.contains('c'));
    let (last, others) = options.split_last()?;
    let is_known =
        is_option(last) && takes_text(last) && others.iter().all(|word| is_option(word) && !takes_text(word));
    is_known.then_some(text)
}

/// Where the command of a runner may begin.
fn command_starts(words: &[ShellWord]) -> impl Iterator<Item = usize> {
    let is_find = matches!(words.first(), Some(ShellWord::Known(first)) if program_name(first) == "find");
    (1..words.len()).filter(move |start| match &words[start - 1] {
        ShellWord::Known(before) => !is_find || FIND_OPTIONS.contains(&before.as_str()),
        ShellWord::Expanded => true,
    })
}

/// As it is written: one text, or several with `or` between them.
impl fmt::Display for CommandMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("command ")?;
        for (position, pattern) in self.patterns.iter().enumerate() {
            let before = if position == 0 { "" } else { " or " };
            write!(f, "{before}{:?}", pattern.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::Truth::{No, Unreadable, Unsure, Yes};
    use super::*;

    fn matcher(patterns: &[&str]) -> CommandMatcher {
        CommandMatcher::parse(patterns.iter().copied()).expect("patterns")
    }

    fn assert_lines(patterns: &[&str], rows: &[(&str, Truth)]) {
        let matcher = matcher(patterns);
        let wrong: Vec<_> = rows
            .iter()
            .map(|(line, expected)| (line, matcher.evaluate_line(line), expected))
            .filter(|(_, found, expected)| found != *expected)
            .collect();
        assert!(wrong.is_empty(), "{patterns:?}: {wrong:#?}");
    }

    #[test]
    fn every_command_of_a_line_must_be_matched() {
        assert_lines(
            &["git status", "git log **", "ls **", "cat /notes/**"],
            &[
                ("git status", Yes),
                ("git  'status'", Yes),
                ("git status && ls -l | ls", Yes),
                ("git log --oneline $N", Yes),
                ("ls *.rs", Yes),
                ("ls 2>/dev/null", Yes),
                ("sh -c 'git status; ls'", Yes),
                ("bash -lc \"git status\"", Yes),
                ("git", No),
                ("git status -s", No),
                ("rm x", No),
                ("", Unsure),
                // One of them is another.
                ("git status; rm x", Unsure),
                ("git status\nrm x", Unsure),
                ("sh -c 'git status; rm x'", Unsure),
                ("git status & evil", Unsure),
                // What is set or written beside it, or may be anything.
                ("PATH=/tmp git status", Unsure),
                ("PATH=/tmp; git status", Unsure),
                ("git log > ~/.bashrc", Unsure),
                ("git $X", Unsure),
                ("$X status", Unreadable),
                ("gi? status", Unreadable),
                ("/tmp/git status", Unsure),
                ("GIT status", Unsure),
                ("cat /notes/../etc/passwd", Unsure),
                ("cat /notes/a", Yes),
                ("sudo git status", Unsure),
                ("env -i ls", Unsure),
                ("xargs ls", Unsure),
                ("git status $(rm x)", Unsure),
                ("ls; if true; then rm x; fi", Unsure),
                ("eval rm x", Unreadable),
                ("eval ls", Unsure),
                ("echo $(date)", Unreadable),
                ("sh script.sh", Unreadable),
                ("sh -c rm x", Unreadable),
            ],
        );
    }

    #[test]
    fn a_denied_command_is_seen_wherever_a_shell_runs_it() {
        assert_lines(
            &["rm **", "git push **"],
            &[
                ("rm -rf /", Yes),
                ("r\\m x", Yes),
                ("'rm' x", Yes),
                ("rm $X", Yes),
                ("sh -c 'rm x'", Yes),
                ("sh -c \"bash -c 'rm x'\"", Yes),
                ("X=1 rm x", Unsure),
                ("rm x > log", Unsure),
                ("/bin/rm x", Unsure),
                ("RM.EXE x", Unsure),
                ("sudo rm x", Unsure),
                ("sudo -u root sh -c 'rm x'", Unsure),
                ("su -c 'rm x'", Unsure),
                ("env A=b rm x", Unsure),
                ("env -S 'rm x'", Unsure),
                ("ssh host rm x", Unsure),
                ("xargs -n1 rm", Unsure),
                ("find . -exec rm {} +", Unsure),
                ("find . -name x -exec sh -c 'rm \"$1\"' _ {} \\;", Unsure),
                ("timeout 5 nohup rm x", Unsure),
                ("eval rm x", Unsure),
                ("eval 'rm x'", Unsure),
                ("python3 -c 'rm x'", Unsure),
                ("ls; rm x", Unsure),
                ("ls && git push", Unsure),
                ("git $X", Unsure),
                ("$X", Unreadable),
                ("{rm,-rf,/}", Unreadable),
                ("/bin/r? x", Unreadable),
                ("echo $(rm x)", Unsure),
                ("if a; then rm x; fi", Unsure),
                ("(rm x)", Unsure),
                ("echo `git push`", Unsure),
                // Nothing of it is seen, and it can't be read.
                ("echo $(date)", Unreadable),
                ("$'\\x72m' x", Unreadable),
                ("eval \"$X\"", Unreadable),
                ("python3 -c 'import os'", Unreadable),
                ("ls", No),
                ("git log", No),
                ("ls rm", No),
                ("echo 'rm x'", No),
                ("find . -name rm", No),
                ("sudo ls", No),
                ("python3 x.py", No),
                ("rmdir x", No),
            ],
        );
    }

    #[test]
    fn an_author_who_names_what_runs_others_means_it() {
        assert_lines(
            &["sudo systemctl restart **", "bash deploy.sh"],
            &[
                ("sudo systemctl restart web", Yes),
                ("bash deploy.sh", Yes),
                ("sudo rm x", No),
                ("bash other.sh", Unreadable),
            ],
        );
        assert_lines(&["**"], &[("rm x", Yes), ("sudo rm x", Yes), ("a $B; c", Yes), ("eval x", Unsure)]);
        assert_lines(&["* --help"], &[("git --help", Yes), ("sudo --help", Unsure), ("a b --help", No)]);
    }

    #[test]
    fn words_of_any_number_are_matched_anywhere() {
        assert_lines(
            &["git ** --dry-run **"],
            &[
                ("git push --dry-run", Yes),
                ("git --dry-run push x", Yes),
                ("git push", No),
                ("git push $X", Unsure),
                ("git $X --dry-run", Yes),
            ],
        );
        assert_eq!(matcher(&["git  log **", "ls"]).to_string(), r#"command "git  log **" or "ls""#);
        for bad in [&[][..], &[""], &["ls", " "]] {
            assert_eq!(
                CommandMatcher::parse(bad.iter().copied()),
                Err(CommandPatternError::Empty),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_list_of_words_is_a_command_without_a_shell() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let rm = matcher(&["rm **"]);
        assert_eq!(rm.evaluate_arguments(list(&["rm", "$X;"])), Yes);
        assert_eq!(rm.evaluate_arguments(list(&["ls", ";", "rm"])), No);
        assert_eq!(rm.evaluate_arguments(list(&["sh", "-c", "rm x"])), Yes);
    }

    /// Were the work not linear in the line, this would run for hours.
    #[test]
    fn a_line_of_any_size_is_read_to_its_end() {
        let patterns: Vec<_> = (0..20).map(|number| format!("** a ** b ** c{number} **")).collect();
        let many = CommandMatcher::parse(patterns.iter().map(String::as_str)).expect("patterns");
        for piece in ["a b ", "sudo ", "a;", "sudo 'a b' ", "$(a ", "sh -c 'sh -c ", "$X "] {
            let line = piece.repeat((64 << 10) / piece.len());
            let _ = many.evaluate_line(&line);
        }
    }

    /// Pieces of lines that mean something to a shell.
    fn any_line() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "rm", "ls", "git", "push", "x", " ", " ", " ", ";", "&&", "|", "\n", "'", "\"", "$X", "$(", ")",
            "`", "sh -c ", "sudo ", "env ", "A=b ", ">", "<", "*", "{", "}", "\\", "eval ", "#", "2>&1",
        ]);
        prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    /// Compiling takes longer than a case.
    static RM: LazyLock<CommandMatcher> = LazyLock::new(|| matcher(&["rm **"]));
    static RM_X: LazyLock<CommandMatcher> = LazyLock::new(|| matcher(&["rm x"]));
    static BOTH: LazyLock<CommandMatcher> = LazyLock::new(|| matcher(&["rm **", "rm x"]));

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// More in a line never makes a denied command unseen, nor an allowed line of a denied one.
        #[test]
        fn a_command_more_never_hides_another(one in any_line(), other in any_line()) {
            let (first, second) = (RM.evaluate_line(&one), RM.evaluate_line(&other));
            let both = RM.evaluate_line(&format!("{one}\n{other}"));
            if parse_line(&one).is_some_and(|commands| !commands.is_empty()) && parse_line(&other).is_some_and(|commands| !commands.is_empty()) {
                prop_assert_eq!(both, Truth::of_all([first, second]), "{} and {}", one, other);
            }
            prop_assert!(both != Yes || (first != No && second != No), "{} and {}", one, other);
        }

        /// What is certain of a pattern is certain of a wider one, and what is not possible of it is not of a narrower one.
        #[test]
        fn a_wider_pattern_matches_more(line in any_line()) {
            let (narrow, wide) = (RM_X.evaluate_line(&line), BOTH.evaluate_line(&line));
            prop_assert!(narrow <= wide || narrow == Unreadable || wide == Unsure, "{}: {:?}, {:?}", line, narrow, wide);
        }

        /// A word that any shell runs as a command of its own is seen or can't be told: never is it surely not there.
        #[test]
        fn a_command_of_its_own_is_never_surely_absent(before in any_line(), after in any_line()) {
            let line = format!("{before}\nrm x\n{after}");
            let balanced = parse_line(&before).is_some();
            if balanced {
                prop_assert!(RM.evaluate_line(&line) != No, "{}", line);
            }
        }
    }
}
