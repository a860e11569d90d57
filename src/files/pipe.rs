//! A named pipe served by another program, as password managers do with `.env`.
//!
//! The server writes once it has a reader, then closes its end. Opened without blocking, a pipe without a
//! writer reads as an empty file. So an end counts only after a writer was there.

use std::path::Path;

use super::{FileError, FileProblem};

/// Reads what the pipe's server writes.
#[cfg(unix)]
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    use std::fs::OpenOptions;
    use std::io::{ErrorKind, Read as _};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    /// The time limit for all of it.
    const PIPE_TIMEOUT: Duration = Duration::from_secs(1);

    let failed = |error| FileError::from_io(path, error);
    let until = Instant::now() + PIPE_TIMEOUT;
    let mut options = OpenOptions::new();
    let mut pipe =
        super::without_waiting(options.read(true), super::SymlinkMode::Follow).open(path).map_err(failed)?;
    // The path may lead to something else by now, such as an endless device. The limit and the timeout hold
    // for that too.
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FileError::new(path, FileProblem::SilentPipe(PIPE_TIMEOUT)));
        }
        let timeout = Timespec::try_from(left).expect("a second fits");
        let mut waited = [PollFd::new(&pipe, PollFlags::IN)];
        match poll(&mut waited, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(failed(error.into())),
        }
        match pipe.read(&mut piece) {
            // A writer was there and has left. Without one, `poll` doesn't report the end.
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(failed(error)),
        }
        if bytes.len() as u64 > limit {
            return Err(FileError::new(path, FileProblem::TooLarge(limit)));
        }
    }
}

/// Windows has no pipes among files.
#[cfg(not(unix))]
pub(super) fn read(path: &Path, _: u64) -> Result<Vec<u8>, FileError> {
    Err(FileError::new(path, FileProblem::NotAFile(super::error::NonFileKind::Pipe)))
}
