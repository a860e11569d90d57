//! What a person is told of what they mistyped: what is wrong, and how it is right.

use super::super::text::{Message, Shown, Text};
use super::command::{Known, Mistake};

/// What to say.
pub(super) fn said(mistake: &Mistake) -> Vec<Message> {
    let text = Text::new();
    let code = |text: Text, outside: &str| text.code(&Shown::line(outside));
    let text = match mistake {
        Mistake::NoCommand => text.words("I understand commands only: ").command("help"),
        Mistake::Elsewhere => text.words("That is meant for another bot: ").command("help"),
        Mistake::Unknown(word, near) => {
            let text = code(text.words("There is no command "), &format!("/{word}"));
            match near {
                Some(near) => text.words(". Did you mean ").command(near.name).words("?"),
                None => text.words(". All of them: ").command("help"),
            }
        }
        Mistake::Missing(known, what) => {
            example(text.words("Something is missing: ").words(what).words("."), known)
        }
        Mistake::TooMuch(known, more) => {
            let text = text.words("This is more than ").command(known.name).words(" takes: ");
            example(code(text, more), known)
        }
        Mistake::Wrong(known, word, why) => {
            let text = code(text, word).words(" does not do: ");
            example(code(text, why), known)
        }
    };
    text.pages()
}

fn example(text: Text, known: &Known) -> Text {
    text.words("\nFor example: ").code(&Shown::line(known.example))
}

#[cfg(test)]
mod tests {
    use super::super::command::read;
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_an_example() {
        let told = |text: &str| said(&read(text, "bot").unwrap_err()).remove(0).text;
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
            for page in said(&read(text, "bot").unwrap_err()) {
                let outside = super::super::super::text::tests::uncovered(&page);
                assert!(!outside.contains(['@', '#']) && !outside.contains("evil"), "{outside}");
            }
        }
    }
}
