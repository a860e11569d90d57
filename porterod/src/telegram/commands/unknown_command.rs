//! What a person is told of what they mistyped: what is wrong, and how it is right.

use super::super::text::{EscapedText, StyledText};
use super::command_parser::{CommandError, CommandSpec};

/// What to say.
pub(super) fn error_text(mistake: &CommandError) -> StyledText {
    let text = StyledText::new();
    let code = |text: StyledText, outside: &str| text.code(&EscapedText::line(outside));
    match mistake {
        CommandError::NotACommand => text.literal("I understand commands only: ").command("help"),
        CommandError::ForOtherBot => text.literal("That is meant for another bot: ").command("help"),
        CommandError::UnknownCommand(word, near) => {
            let text = code(text.literal("There is no command "), &format!("/{word}"));
            match near {
                Some(near) => text.literal(". Did you mean ").command(near.name).literal("?"),
                None => text.literal(". All of them: ").command("help"),
            }
        }
        CommandError::MissingArgument(known, what) => {
            append_example(text.literal("Something is missing: ").literal(what).literal("."), known)
        }
        CommandError::ExtraArgument(known, more) => {
            let text = text.literal("This is more than ").command(known.name).literal(" takes: ");
            append_example(code(text, more), known)
        }
        CommandError::InvalidArgument(known, word, why) => {
            let text = code(text, word).literal(" does not do: ");
            append_example(code(text, why), known)
        }
    }
}

fn append_example(text: StyledText, known: &CommandSpec) -> StyledText {
    text.literal("\nFor example: ").code(&EscapedText::line(known.example))
}

#[cfg(test)]
mod tests {
    use super::super::super::text::ToMessages as _;
    use super::super::command_parser::parse_command;
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_an_example() {
        let told = |text: &str| error_text(&parse_command(text, "bot").unwrap_err()).plain_text();
        assert_eq!(told("/Statsu"), "There is no command /Statsu. Did you mean /status?");
        assert_eq!(told("/xyzzy"), "There is no command /xyzzy. All of them: /help");
        assert_eq!(told("hello"), "I understand commands only: /help");
        assert_eq!(
            told("/grant a/*"),
            "Something is missing: for how long.\nFor example: /grant github/* 30m"
        );
        assert_eq!(
            told("/deny github"),
            "github does not do: a pattern needs a `/` between server and tool; did you mean `github/*` or `*/github`?\n\
             For example: /deny shell/*"
        );
    }

    #[test]
    fn what_was_typed_stands_in_code_only() {
        for text in ["/@all", "/grant @all/x 1h", "/status #x http://evil.example", "/why @all"] {
            for page in error_text(&parse_command(text, "bot").unwrap_err()).to_pages() {
                let outside = super::super::super::text::tests::text_outside_entities(&page);
                assert!(!outside.contains(['@', '#']) && !outside.contains("evil"), "{outside}");
            }
        }
    }
}
