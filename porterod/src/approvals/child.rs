//! Where an approved call runs: in the daemon, or in the process that the session's other calls use (guarantee A10).

use std::time::Duration;

use portero::names::ServerName;

/// Where an approved call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallPlace {
    /// In a process of the daemon's.
    Daemon,
    /// In the process of the session that asked.
    Session,
}

/// The present configuration of servers.
pub trait ServerSettings: Send + Sync {
    /// Whether a call may be made in another process than the session's.
    fn is_stateless(&self, server: &ServerName) -> bool;

    /// How long a session may be silent about a call of its own server.
    fn handover_timeout(&self, server: &ServerName) -> Duration;
}
