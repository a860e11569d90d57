//! The reader of a shell's line: any line is read to an end, and no command beside an allowed one makes it allowed.
//!
//! The input is patterns with `;` between them and, after a line break, a command line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::policy::condition::{CommandMatcher, Truth};

/// A program that no pattern of a fuzzer names by chance.
const OTHER: &str = "a-program-that-no-pattern-names";

fuzz_target!(|text: &str| {
    let Some((patterns, line)) = text.split_once('\n') else { return };
    let Ok(matcher) = CommandMatcher::parse(patterns.split(';')) else { return };
    let truth = matcher.evaluate_line(line);
    // A backslash at the end joins what follows to the last word.
    if matcher.evaluate_line(OTHER) != Truth::No || line.ends_with('\\') {
        return;
    }
    for beside in [format!("{line}\n{OTHER}"), format!("{OTHER};{line}"), format!("{OTHER}|{line}")] {
        assert_ne!(matcher.evaluate_line(&beside), Truth::Yes, "{beside:?} beside {truth:?}");
    }
    // As the only argument of a program that no shell starts, it is one word.
    let _ = matcher.evaluate_arguments(vec![line.to_owned()]);
});
