//! A named pipe that only its owner can open.

use std::io;
use std::path::Path;

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::{GenericNamespaced, ListenerOptions, Name, PeerCreds, ToNsName};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::u16cstr;

/// The pipe's name. Pipes have one name space for all users, so the socket's path is digested into it.
pub(in crate::ipc) fn name(socket: &Path) -> io::Result<Name<'_>> {
    let digest = blake3::hash(socket.as_os_str().as_encoded_bytes()).to_hex();
    format!("portero-{}", &digest[..32]).to_ns_name::<GenericNamespaced>()
}

/// Binds; an address in use is an error, never taken over.
pub(in crate::ipc) fn bind(socket: &Path) -> io::Result<Listener> {
    // A protected list with one entry: everything to the owner, nothing to anybody else.
    let owner_only = SecurityDescriptor::deserialize(u16cstr!("D:P(A;;GA;;;OW)"))?;
    ListenerOptions::new().name(name(socket)?).security_descriptor(owner_only).create_tokio()
}

/// The descriptor of the pipe protects; no directory does.
pub(in crate::ipc) fn check_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The pipe's descriptor has let only its owner in.
pub(in crate::ipc) fn is_own_user(_: &PeerCreds) -> bool {
    true
}

/// A pipe goes with its process.
pub(in crate::ipc) fn remove(_: &Path) -> io::Result<()> {
    Ok(())
}
