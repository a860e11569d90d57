//! The audit: records in segments, and the hash chain that protects them.
//!
//! Each process appends to its own [`AuditWriter`], one write for each record. Approval steps are also synced.
//! A record holds only names, ids and concealed values (guarantees U1, U2).
//!
//! - [`read_log`] merges the segments of all processes.
//! - [`ReverseReader`] reads the newest records first, and no further than wanted.
//! - [`AuditFollower`] keeps reading while processes write.
//! - [`verify`] finds what was changed, removed or reordered.
//! - [`verify_with_checkpoints`] also finds what was cut off or is missing, by [`SegmentCheckpoint`]s kept
//!   elsewhere.

mod chain;
mod checkpoint;
mod digest_key;
mod disk;
mod event_display;
mod filter;
mod follow;
mod lines;
mod reader;
mod record;
mod reverse_reader;
mod segment;
mod segment_age;
mod unfinished_calls;
mod verify;

pub use checkpoint::{CheckpointError, SegmentCheckpoint};
pub use digest_key::DigestKey;
pub use disk::{Disk, SegmentFile, SystemDisk, is_open};
pub use filter::{DecisionKind, IdPart, IdPartError, RecordFilter};
pub use follow::AuditFollower;
pub use reader::{AuditLog, PreviousSegment, SegmentRecord, SegmentStart, list_segments, read_log};
pub use record::{AuditEvent, AuditRecord, RecordedOutcome, WithheldChannel};
pub use reverse_reader::{ReadPosition, ReverseRead, ReverseReader};
pub use segment::{AuditWriter, DEFAULT_SEGMENT_BYTES};
pub use segment_age::{AuditExtent, SegmentAge, remove_segments, segment_start_time};
pub use unfinished_calls::{EndedProcesses, UnfinishedCall, find_ended_processes};
pub use verify::{
    AuditVerification, BrokenLine, SegmentReport, SegmentState, verify, verify_with_checkpoints,
};
