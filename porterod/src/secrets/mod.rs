//! Credentials toward servers.
//!
//! Only the daemon holds their values (guarantee T2). They leave it toward the server that they are for, and
//! in no answer, log or error.

pub mod kept;
pub mod lookup;
pub mod named;
mod program_tree;
pub mod redaction;
pub mod references;
