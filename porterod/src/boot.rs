//! Identifies the machine's boot; grants end with it (guarantee D5).

#[cfg(target_os = "linux")]
#[path = "boot/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
mod system {
    /// Other systems tell no id of the boot without unsafe calls, so there a grant ends with the daemon.
    pub(super) const fn boot_id() -> Option<String> {
        None
    }
}

/// The id of the present boot. If the system has none, each call returns a new id, which can only shorten
/// grants. So call it once per process.
#[must_use]
pub fn boot_id() -> String {
    system::boot_id().unwrap_or_else(|| format!("process-{:032x}", rand::random::<u128>()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn one_boot_has_one_id() {
        assert_eq!(super::boot_id(), super::boot_id());
    }
}
