//! JSON that stands in texts: any text is read to an end, and one that a list in a text holds is never surely absent.
//!
//! The input is the text that a server sees once it has decoded everything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::json::{parse_raw, pretty::pretty_print_decoded};
use portero::policy::condition::{ArgumentCondition, JsonPointer, PolicyCase, Truth, ValueTest};
use portero::policy::{Action, DecisionSource};

fuzz_target!(|text: &str| {
    let case = |pointer: &str, test: ValueTest| PolicyCase {
        when: vec![ArgumentCondition { pointer: JsonPointer::parse(pointer).expect("a pointer"), test }],
        action: Action::Deny,
        number: 1,
        source: DecisionSource::Default,
    };
    // As it is, it is read to an end.
    let mut value = serde_json::Value::from(text);
    for pointer in ["/x", "/x/*", "/x/a", "/x/0", "/x/(json)/{a,b}"] {
        let arguments = parse_raw(serde_json::json!({ "x": value }).to_string()).expect("JSON");
        let _ = case(pointer, ValueTest::Text("a".into())).evaluate(Some(&arguments));
        let _ = pretty_print_decoded(arguments.get());
    }
    // In a list in a text, as deep as it may be.
    for _ in 0..3 {
        value = serde_json::Value::from(serde_json::json!([value]).to_string());
        let arguments = parse_raw(serde_json::json!({ "x": value }).to_string()).expect("JSON");
        for pointer in ["/x", "/x/*", "/x/(json)"] {
            let truth = case(pointer, ValueTest::Text(text.into())).evaluate(Some(&arguments));
            assert_ne!(truth, Truth::No, "{pointer} of {arguments}");
        }
    }
});
