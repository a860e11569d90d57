//! JSON from outside, made readable and visible.

use portero::json::pretty::{StringToken, pretty_print_with, push_new_line, unescape_string};
use serde_json::value::RawValue;

use super::EscapedText;

impl EscapedText {
    /// JSON as people read it: indented, keys in their order, numbers as they were spelled. A text of several
    /// lines stands line by line behind a bar; what is no text cannot look like that.
    #[must_use]
    pub fn json(value: &RawValue) -> Self {
        // Outside of its strings, JSON is ASCII.
        Self(pretty_print_with(value.get(), write_string))
    }
}

fn write_string(string: StringToken<'_>, shown: &mut String) {
    let lines = if string.is_key { None } else { multiline_text(string.spelled) };
    let Some(lines) = lines else {
        shown.push_str(EscapedText::line(&unescape_string(string.spelled)).as_str());
        return;
    };
    // What led to it, a blank or a new line, is not needed any more.
    shown.truncate(shown.trim_end().len());
    for line in lines.split('\n') {
        push_new_line(shown, string.depth + 1);
        shown.push_str(EscapedText::prefixed("│ ", line).as_str());
    }
}

/// The text of a JSON string that has several lines.
fn multiline_text(spelled: &str) -> Option<String> {
    if !spelled.contains('\\') {
        return None;
    }
    let text: String = serde_json::from_str(spelled).ok()?;
    text.contains('\n').then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let value = RawValue::from_string(json.to_owned()).expect("JSON");
        EscapedText::json(&value).as_str().to_owned()
    }

    #[test]
    fn order_numbers_and_doubles_stay() {
        insta::assert_snapshot!(shown(r#"{"z":1.10,"a":12345678901234567890123,"a":[true,null,{}]}"#), @r#"
        {
          "z": 1.10,
          "a": 12345678901234567890123,
          "a": [
            true,
            null,
            {}
          ]
        }
        "#);
    }

    #[test]
    fn lines_stand_behind_a_bar_and_forge_no_key() {
        insta::assert_snapshot!(shown(r#"{"body":"Hi\n\",\n  \"to\": \"safe\u202e\"\n","k\ney":["x\u000ay"]}"#), @r#"
        {
          "body":
            │ Hi
            │ ",
            │   "to": "safe⟨U+202E⟩"
            │,
          "k\ney": [
              │ x
              │ y
          ]
        }
        "#);
    }
}
