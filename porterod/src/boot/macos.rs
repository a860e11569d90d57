//! macOS: the boot's id is random. The boot clock that [`portero::clock::SystemClock`] reads there starts
//! with the process, so a grant could not outlive the daemon anyway.

pub(super) const fn boot_id() -> Option<String> {
    None
}
