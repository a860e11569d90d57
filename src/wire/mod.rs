//! JSON-RPC 2.0 as MCP uses it: envelopes on raw JSON, lines, error codes, and the five revisions.
//!
//! Payloads are never parsed into a model here. `params`, `result` and `error` keep their bytes, so members
//! that Portero doesn't know pass through unharmed. No type here may use serde's buffered paths (`tag`,
//! `untagged`, `flatten`), which break raw values at run time.

pub mod codes;
mod lines;
mod message;
pub mod modern;
mod revision;
mod salvage;
mod write;

pub use lines::{LineError, LineReader, decode_text, strip_byte_order_mark};
pub use message::{
    IdKey, MalformedMessage, Message, MessageFault, MessageKind, check_outcome, is_response_without_id,
    parse_batch,
};
pub use revision::{Revision, UnknownRevision};
pub use salvage::{SalvagedMessage, id_as_u64, is_same_id, salvage_messages, salvage_overlong_id};
pub use write::{
    WriteId, answer_error_object, append_single_line, write_batch, write_error, write_malformed_error,
    write_notification, write_request, write_result, write_too_long_error,
};
