//! The end of a process that is no child of this one.

#[cfg(target_os = "linux")]
pub(super) use linux::Ending;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Ending;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    /// A process that is about to end; none where it is gone already.
    pub(in super::super) struct Ending(Option<OwnedFd>);

    impl Ending {
        pub(in super::super) fn of(pid: u32) -> Self {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            Self(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()))
        }

        /// Returns once it ended, whether or not its parent collected it, or after `most`.
        pub(in super::super) async fn ended(self, most: Duration) {
            let Some(handle) = self.0 else { return };
            let wait = move || {
                let timeout = Timespec::try_from(most).ok();
                poll(&mut [PollFd::new(&handle, PollFlags::IN)], timeout.as_ref())
            };
            // That the wait failed is no reason to wait longer.
            let _ = tokio::task::spawn_blocking(wait).await;
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::time::Duration;

    /// There only a parent is told of an end. Nothing depends on it: the daemon let go of its lock before.
    pub(in super::super) struct Ending;

    impl Ending {
        pub(in super::super) const fn of(_: u32) -> Self {
            Self
        }

        pub(in super::super) async fn ended(self, _: Duration) {}
    }
}
