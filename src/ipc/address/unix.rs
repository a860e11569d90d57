//! A socket by path, in a directory of the user's own.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, PeerCreds, ToFsName};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use rustix::process::geteuid;

const OWNER_ONLY: rustix::fs::RawMode = 0o600;

/// The socket's name.
pub(in crate::ipc) fn socket_name(socket: &Path) -> io::Result<Name<'_>> {
    socket.to_fs_name::<GenericFilePath>()
}

/// Binds. An address in use is an error and is never taken over.
pub(in crate::ipc) fn bind_socket(socket: &Path) -> io::Result<Listener> {
    let options =
        || Ok::<_, io::Error>(ListenerOptions::new().name(socket_name(socket)?).reclaim_name(false));
    match options()?.mode(OWNER_ONLY).create_tokio() {
        // macOS can't set the mode before binding. There only the directory protects the socket.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => options()?.create_tokio(),
        bound => bound,
    }
}

/// Refuses a directory that other users can reach into.
pub(in crate::ipc) fn check_directory(directory: &Path) -> io::Result<()> {
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

/// Whether the thing at `path` is a socket, and not a link to one. True if nothing is there.
pub(in crate::ipc) fn is_socket(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(found.file_type().is_socket()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Removes the socket's file.
pub(in crate::ipc) fn remove_socket(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file of a socket that was just bound. Dropping this removes the file, unless another one has replaced
/// it. Drop it before the socket, because the open socket keeps its inode number from being reused.
#[derive(Debug)]
pub(in crate::ipc) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Remembers the file that is at `path` now.
    pub(in crate::ipc) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: file_identity(path) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        match file_identity(&self.path) {
            None => {}
            found if found == self.identity => {
                if let Err(error) = remove_socket(&self.path) {
                    tracing::warn!(%error, "could not remove the socket");
                }
            }
            Some(_) => tracing::warn!("what lies in the socket's place is not this daemon's, and stays"),
        }
    }
}

fn file_identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
