//! Standard input and output, asynchronous where possible.
//!
//! Node's clients hand their children socket pairs, others use pipes. Each has its own asynchronous type. The
//! blocking way works for everything else, but is four times slower.

use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// Standard input.
pub type Stdin = Pin<Box<dyn AsyncRead + Send>>;
/// Standard output.
pub type Stdout = Pin<Box<dyn AsyncWrite + Send>>;

/// This process's standard input and output. Call it once, within a runtime.
///
/// # Errors
/// If the system refuses to hand them out.
pub fn stdio() -> io::Result<(Stdin, Stdout)> {
    Ok((system::input()?, system::output()?))
}

/// For files, terminals and any other system: a thread that reads and writes.
mod blocking {
    use super::{Stdin, Stdout};

    pub(super) fn input() -> Stdin {
        Box::pin(tokio::io::stdin())
    }

    pub(super) fn output() -> Stdout {
        Box::pin(tokio::io::stdout())
    }
}

#[cfg(unix)]
mod system {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    use rustix::fs::FileType;
    use tokio::net::unix::pipe;

    use super::{Stdin, Stdout, blocking};

    pub(super) fn input() -> io::Result<Stdin> {
        let stdin = io::stdin();
        Ok(match file_type(stdin.as_fd())? {
            FileType::Fifo => Box::pin(pipe::Receiver::from_owned_fd(duplicate_pipe(stdin.as_fd())?)?),
            FileType::Socket => Box::pin(duplicate_socket(stdin.as_fd())?),
            _ => blocking::input(),
        })
    }

    pub(super) fn output() -> io::Result<Stdout> {
        let stdout = io::stdout();
        Ok(match file_type(stdout.as_fd())? {
            FileType::Fifo => Box::pin(pipe::Sender::from_owned_fd(duplicate_pipe(stdout.as_fd())?)?),
            FileType::Socket => Box::pin(duplicate_socket(stdout.as_fd())?),
            _ => blocking::output(),
        })
    }

    fn file_type(fd: BorrowedFd<'_>) -> io::Result<FileType> {
        Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
    }

    /// A descriptor of our own for the same pipe or socket. The standard one stays open for the library's
    /// handle.
    fn duplicate_fd(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        fd.try_clone_to_owned()
    }

    /// Like [`duplicate_fd`], for a pipe. A large pipe moves large results in fewer rounds.
    fn duplicate_pipe(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Err(error) = rustix::pipe::fcntl_setpipe_size(fd, 1 << 20) {
            tracing::debug!(%error, "the pipe keeps its size");
        }
        duplicate_fd(fd)
    }

    fn duplicate_socket(fd: BorrowedFd<'_>) -> io::Result<tokio::net::UnixStream> {
        let stream = UnixStream::from(duplicate_fd(fd)?);
        stream.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(stream)
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;

    use super::{Stdin, Stdout, blocking};

    pub(super) fn input() -> io::Result<Stdin> {
        Ok(blocking::input())
    }

    pub(super) fn output() -> io::Result<Stdout> {
        Ok(blocking::output())
    }
}
