//! A path socket in a directory of the user's own.

use std::io;
use std::path::Path;

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, PeerCreds, ToFsName};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use rustix::process::geteuid;

const OWNER_ONLY: u16 = 0o600;

/// The socket's name.
pub(in crate::ipc) fn name(socket: &Path) -> io::Result<Name<'_>> {
    socket.to_fs_name::<GenericFilePath>()
}

/// Binds; an address in use is an error, never taken over.
pub(in crate::ipc) fn bind(socket: &Path) -> io::Result<Listener> {
    let options = || Ok::<_, io::Error>(ListenerOptions::new().name(name(socket)?).reclaim_name(false));
    match options()?.mode(OWNER_ONLY.into()).create_tokio() {
        // macOS can't set the mode before it binds; there the directory alone protects.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => options()?.create_tokio(),
        bound => bound,
    }
}

/// Refuses a directory that somebody else could reach into.
pub(in crate::ipc) fn check_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(directory)?;
    let refuse = |why: &str| {
        let message = format!("{} {why}; it must be your own, with mode 0700", directory.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    };
    if !found.is_dir() {
        return refuse("is no directory");
    }
    if found.uid() != geteuid().as_raw() {
        return refuse("belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        return refuse("is open to other users");
    }
    Ok(())
}

/// Whether the peer runs as this user.
pub(in crate::ipc) fn is_own_user(peer: &PeerCreds) -> bool {
    peer.euid() == Some(geteuid().as_raw())
}

/// Removes the socket's file.
pub(in crate::ipc) fn remove(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
