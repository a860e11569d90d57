//! Waits until something is written into the audit's directory.

use std::time::Duration;

/// How often the directory is looked at where the system tells nothing of it, or not of everything.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[cfg(target_os = "linux")]
pub(super) use linux::Writes;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Writes;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

    use super::LOOK_INTERVAL;

    /// How often the directory is looked at though the system tells of writes: of those of another machine it does not.
    const WATCHED_INTERVAL: Duration = Duration::from_secs(5);
    /// How long writes are gathered: each look opens every file of the directory.
    const GATHER_INTERVAL: Duration = Duration::from_millis(100);

    /// What the system tells of a directory.
    pub(in super::super) struct Writes(Option<OwnedFd>);

    impl Writes {
        /// Of what is written from now on.
        pub(in super::super) fn of(directory: &Path) -> Self {
            let watch = || {
                let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
                let writes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
                inotify::add_watch(&watch, directory, writes).map(|_| watch)
            };
            Self(watch().ok())
        }

        /// Returns once something was written since the last time; after `most` at the latest, and where nothing may
        /// have been told, before.
        pub(in super::super) fn wait(&self, most: Duration) {
            let Some(watch) = &self.0 else { return std::thread::sleep(most.min(LOOK_INTERVAL)) };
            let timeout = Timespec::try_from(most.min(WATCHED_INTERVAL)).ok();
            if !matches!(poll(&mut [PollFd::new(watch, PollFlags::IN)], timeout.as_ref()), Ok(1..)) {
                return;
            }
            std::thread::sleep(most.min(GATHER_INTERVAL));
            // Emptied before the caller looks: a write after its look ends the next wait.
            let mut events = [0; 4096];
            while matches!(rustix::io::read(watch, &mut events), Ok(1..)) {}
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::path::Path;
    use std::time::Duration;

    use super::LOOK_INTERVAL;

    /// There is no watch here.
    pub(in super::super) struct Writes;

    impl Writes {
        pub(in super::super) const fn of(_: &Path) -> Self {
            Self
        }

        pub(in super::super) fn wait(&self, most: Duration) {
            std::thread::sleep(most.min(LOOK_INTERVAL));
        }
    }
}
