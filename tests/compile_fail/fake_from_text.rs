//! Text of outside becomes a `Fake` only through the anonymizer.

use portero::anonymize::Fake;

fn concealed(text: String) -> Fake<String> {
    Fake(text)
}

fn main() {
    concealed(String::new());
}
