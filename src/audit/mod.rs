//! What is written down, and the hash chain that keeps it.
//!
//! Each process appends to its own [`Segment`], one write a record; approval steps are also synced. A record
//! holds names, ids and concealed values only (guarantees U1, U2). [`read`] merges the segments of all
//! processes, [`Backwards`] reads the newest first and no further than is wanted, [`Follower`] goes on reading, [`verify`] finds what was changed, removed or reordered, and
//! [`verify_against`] also what was cut off or is gone, by the [`Head`]s that are kept elsewhere.

mod age;
mod back;
mod chain;
mod disk;
mod filter;
mod follow;
mod head;
mod key;
mod lines;
mod reader;
mod record;
mod segment;
mod told;
mod unfinished;
mod verify;

pub use age::{Age, Extent, began, remove};
pub use back::{Backwards, Found, Place};
pub use disk::{Disk, Lines, RealDisk, is_open};
pub use filter::{Decided, Filter, IdPart, NoIdPart};
pub use follow::Follower;
pub use head::{Head, HeadError};
pub use key::Key;
pub use reader::{Begin, Entry, Former, Log, read, segments};
pub use record::{Event, Outcome, Record};
pub use segment::{SEGMENT_BYTES, Segment};
pub use unfinished::{Ended, Unfinished, ended};
pub use verify::{Broken, Report, State, Verdict, verify, verify_against};
