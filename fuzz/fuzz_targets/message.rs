//! Any line is a message or is told why not; a message is written as one line that reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::wire::{
    Message, MessageKind, parse_batch, write_error, write_notification, write_request, write_result,
};

fuzz_target!(|line: &[u8]| {
    for message in parse_batch(line).unwrap_or_default() {
        let _ = Message::from_value(message);
    }
    let Ok(message) = Message::parse(line) else { return };
    let shape = std::mem::discriminant(message.kind());
    let mut out = Vec::new();
    match message.into_kind() {
        MessageKind::Request { id, method, params } => write_request(&mut out, id, &method, params),
        MessageKind::Notification { method, params } => write_notification(&mut out, &method, params),
        MessageKind::Response { id, outcome: Ok(result) } => write_result(&mut out, id, result),
        MessageKind::Response { id, outcome: Err(error) } => write_error(&mut out, id, error),
    }
    assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1));
    let again = Message::parse(&out).expect("what was written reads back");
    assert_eq!(std::mem::discriminant(again.kind()), shape);
});
