//! The bytes of a connection, and the process that wrote them.
//!
//! The system reports which process listened or connected (`SO_PEERCRED`). That process may have passed the
//! socket on, for example to a child that it forked before executing another program. So on Linux each chunk
//! of bytes carries the credentials of its writer (`SCM_CREDENTIALS`), which must be the connection's peer.

use std::io;

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::StreamCommon as _;

pub(super) use system::{PeerReader, PeerWriter, split_stream};

use super::address;

/// A message from another process than the connection's peer.
#[derive(Debug, thiserror::Error)]
#[error("a message came from process {0}, with which there is no connection")]
pub(super) struct ForeignWriter(pub(super) u32);

/// The process at the other end, if it belongs to this user.
pub(super) fn same_user_peer(stream: &Stream) -> io::Result<Option<SameUserPeer>> {
    let peer = stream.peer_creds()?;
    // Signed or not, as the system has it.
    let pid = peer.pid().and_then(|pid| u32::try_from(i64::from(pid)).ok()).filter(|pid| *pid > 0);
    Ok(address::is_own_user(&peer).then_some(SameUserPeer { pid }))
}

/// A process of this user.
#[derive(Debug, Clone, Copy)]
pub(super) struct SameUserPeer {
    /// Its id, if it is visible from here.
    pub(super) pid: Option<u32>,
}

#[cfg(target_os = "linux")]
mod system {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd as _;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use interprocess::local_socket::tokio::Stream;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use rustix::net::sockopt::set_socket_passcred;
    use tokio::io::{AsyncRead, Interest, ReadBuf};
    use tokio::net::UnixStream;
    use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

    use super::{ForeignWriter, SameUserPeer};

    pub(in crate::ipc) type PeerWriter = OwnedWriteHalf;

    /// Reads what one process writes.
    #[derive(Debug)]
    pub(in crate::ipc) struct PeerReader {
        half: OwnedReadHalf,
        peer: SameUserPeer,
        /// Room for the credentials of one chunk.
        control: Vec<u8>,
    }

    /// Splits a connection with `peer`. Both ends request credentials before they write anything, so the
    /// system attaches them whichever end is first.
    pub(in crate::ipc) fn split_stream(
        stream: Stream,
        peer: SameUserPeer,
    ) -> io::Result<(PeerReader, PeerWriter)> {
        let Stream::UdSocket(stream) = stream;
        let stream = UnixStream::from(stream);
        set_socket_passcred(&stream, true)?;
        let (half, writer) = stream.into_split();
        let control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        Ok((PeerReader { half, peer, control }, writer))
    }

    impl AsyncRead for PeerReader {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Self { half, peer, control } = self.get_mut();
            let stream: &UnixStream = half.as_ref();
            loop {
                // Readiness may be stale. `try_io` then clears it, and the next round waits for the real one.
                ready!(stream.poll_read_ready(cx))?;
                let into = buf.initialize_unfilled();
                match stream.try_io(Interest::READABLE, || receive_chunk(stream, into, control)) {
                    Ok((0, _)) => return Poll::Ready(Ok(())),
                    Ok((read, writer)) => {
                        // Checked for each chunk, because the socket may be passed on at any time.
                        if writer != (peer.pid.unwrap_or(0), rustix::process::geteuid().as_raw()) {
                            return Poll::Ready(Err(io::Error::other(ForeignWriter(writer.0))));
                        }
                        buf.advance(read);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
    }

    /// Receives one chunk: its length, and its writer's process and user. A read never joins bytes of two
    /// writers.
    fn receive_chunk(
        stream: &UnixStream,
        into: &mut [u8],
        control: &mut [u8],
    ) -> io::Result<(usize, (u32, u32))> {
        let mut into = [IoSliceMut::new(into)];
        // A peer may attach file descriptors unasked. Close-on-exec keeps them from reaching a child.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(stream.as_raw_fd(), &mut into, Some(control), flags)?;
        let credentials = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(of) => Some((of.pid().cast_unsigned(), of.uid())),
            _ => None,
        });
        // Without credentials there is no sender: no process has this id.
        Ok((received.bytes, credentials.unwrap_or((u32::MAX, u32::MAX))))
    }
}

/// Other systems report only the connection's own peer.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use interprocess::local_socket::tokio::Stream;
    use tokio::io::{ReadHalf, WriteHalf};

    use super::SameUserPeer;

    pub(in crate::ipc) type PeerReader = ReadHalf<Stream>;
    pub(in crate::ipc) type PeerWriter = WriteHalf<Stream>;

    pub(in crate::ipc) fn split_stream(
        stream: Stream,
        _: SameUserPeer,
    ) -> io::Result<(PeerReader, PeerWriter)> {
        Ok(tokio::io::split(stream))
    }
}
