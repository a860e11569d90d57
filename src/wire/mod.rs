//! JSON-RPC 2.0 as MCP uses it: envelopes on raw JSON, lines, error codes, and the five revisions.
//!
//! A payload is never parsed into a model here: `params`, `result` and `error` stay the bytes that came, so
//! that what Portero does not understand passes through unharmed. Nothing in here may be read through
//! serde's buffered paths (`tag`, `untagged`, `flatten`): they break raw values at run time.

pub mod codes;
mod lines;
mod message;
pub mod modern;
mod revision;
mod salvage;
mod text;
mod write;

pub use lines::{LineError, Lines};
pub use message::{Fault, Id, Kind, Malformed, Message, batch, is_answer_to_none, usable};
pub use revision::{Revision, UnknownRevision};
pub use salvage::{Salvaged, id_number, id_of_too_long, salvage};
pub use text::read_text;
pub use write::{
    AsId, error, write_batch, write_error, write_malformed, write_notification, write_request, write_result,
    write_too_long,
};
