//! Where the daemon listens, and who may connect: what differs between systems.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{bind, check_directory, is_own_user, name, remove};
#[cfg(windows)]
pub(super) use windows::{bind, check_directory, is_own_user, name, remove};
