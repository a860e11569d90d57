//! Of any line it can be told whose answer it was meant to be, or that it is noise; what is a whole answer
//! is always seen as one, with the same id, and so is what is left of it after its id.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::wire::{Message, MessageKind, decode_text, id_as_u64, salvage_messages, salvage_overlong_id};

fuzz_target!(|input: (&[u8], u8)| {
    let (line, keep) = input;
    let found = salvage_messages(line);
    for message in &found {
        let _ = message.id().as_deref().and_then(id_as_u64);
    }
    let _ = salvage_overlong_id(line, &line[line.len().saturating_sub(usize::from(keep))..]);
    let text = decode_text(line);
    if let Ok(same) = std::str::from_utf8(line) {
        assert_eq!(text, same);
    }
    let Ok(message) = Message::parse(line) else { return };
    // A key may be spelled with escapes, which is not looked for in what is damaged.
    if line.contains(&b'\\') {
        return;
    }
    if let MessageKind::Response { id, .. } = message.kind() {
        assert_eq!(found.len(), 1);
        assert!(found[0].is_response);
        if id.get().len() <= 256 {
            assert_eq!(found[0].id().expect("it has one").get(), id.get());
        }
    }
});
