//! The desk: where calls wait for a person.
//!
//! [`Desk`] opens a task, settles it once, lets it expire, and lets its principal take it back. Every one of
//! these is a compare-and-swap in the store, so that of any number at the same time one succeeds.

mod binding;
mod desk;
mod expiry;
mod news;
mod open;
mod settle;
mod unsaved;
mod void;
mod vote;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::store::Which;
pub use binding::{
    Configured, Ground, Grounds, bind, changed, configured_change, environment_digest, fingerprint,
    server_digest, values_digest,
};
pub use desk::{Desk, DeskError, DeskParts};
pub(crate) use open::AGAIN;
pub use settle::ListRejection;
pub use vote::VoteError;
