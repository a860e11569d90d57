//! A named pipe that only its owner can open.

use std::io;
use std::path::Path;

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, PeerCreds, ToFsName};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::u16cstr;

/// The pipe's name.
pub(in crate::ipc) fn socket_name(socket: &Path) -> io::Result<Name<'_>> {
    socket.to_fs_name::<GenericFilePath>()
}

/// Binds. An address in use is an error and is never taken over.
pub(in crate::ipc) fn bind_socket(socket: &Path) -> io::Result<Listener> {
    // A protected list with one entry: the owner may do everything, all others nothing.
    let owner_only = SecurityDescriptor::deserialize(u16cstr!("D:P(A;;GA;;;OW)"))?;
    ListenerOptions::new().name(socket_name(socket)?).security_descriptor(owner_only).create_tokio()
}

/// Accepts any directory, because the pipe's descriptor protects it.
pub(in crate::ipc) fn check_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Always true, because the pipe's descriptor admits only its owner.
pub(in crate::ipc) fn is_own_user(_: &PeerCreds) -> bool {
    true
}

/// Does nothing: a pipe ends with its process.
pub(in crate::ipc) fn remove_socket(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Always true: only a pipe can have such a name.
pub(in crate::ipc) fn is_socket(_: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Nothing, because a pipe has no file.
#[derive(Debug)]
pub(in crate::ipc) struct SocketFile;

impl SocketFile {
    /// Nothing to remember.
    pub(in crate::ipc) fn new(_: &Path) -> Self {
        Self
    }
}
