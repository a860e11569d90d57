//! The approval queue: where calls wait for a person.
//!
//! [`ApprovalQueue`] opens a task, settles it once, expires it, or cancels it for its principal. Each of
//! these is a compare-and-swap in the store, so only one of several concurrent changes succeeds.

pub mod executor;

mod allowed;
mod binding;
mod child;
mod denials;
mod error;
mod expiry;
mod open;
mod queue;
mod runnable_check;
mod settle;
mod settle_list;
mod transition;
mod unsaved_rejections;
mod vote;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::store::TaskFilter;
pub use allowed::{AgentSessions, WaitingRun};
pub use binding::BindingSource;
pub use child::{CallPlace, ServerSettings};
pub use error::{ApprovalError, QuorumProgress, VoteError};
pub use queue::{ApprovalQueue, ApprovalQueueDeps};
pub use settle_list::{ListApproval, ListRejection};
pub use unsaved_rejections::UnsavedRejections;
