//! Credentials toward servers.
//!
//! Only the daemon holds their values (guarantee T2). They leave it toward the server that they are for, and
//! in no answer, log or error.

pub mod kept;
mod keyring_keys;
pub mod lookup;
pub mod named;
pub mod redaction;
pub mod references;
mod seal;
pub mod sealed;
