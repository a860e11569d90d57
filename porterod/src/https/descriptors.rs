//! File descriptors for the connections.

/// What the rest of the daemon needs: its store, its servers, its socket and its sessions.
#[cfg(unix)]
const RESERVED: u64 = 512;

/// How many of these connections the process may have open. Its soft limit is raised as far as that needs and its
/// hard limit permits.
#[cfg(unix)]
pub(super) fn permit_connections(wanted: u32) -> u32 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let needed = u64::from(wanted) + RESERVED;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None means no limit.
    let Some(current) = current.filter(|current| *current < needed) else { return wanted };
    let raised = maximum.map_or(needed, |maximum| needed.min(maximum));
    let limit = Rlimit { current: Some(raised), maximum };
    let current = if setrlimit(Resource::Nofile, limit).is_ok() { raised } else { current };
    let permitted = u32::try_from(current.saturating_sub(RESERVED)).unwrap_or(wanted).clamp(1, wanted);
    if permitted < wanted {
        tracing::warn!(wanted, permitted, "the limit of open files permits fewer connections over HTTPS");
    }
    permitted
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(super) const fn permit_connections(wanted: u32) -> u32 {
    wanted
}
