//! Where the daemon listens, and who may connect: what differs between systems.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{
    SocketFile, bind_socket, check_directory, is_own_user, is_socket, remove_socket, socket_name,
};
#[cfg(windows)]
pub(super) use windows::{SocketFile, bind, check_directory, is_own_user, is_socket, name, remove};
