//! A session's client wants log messages of the shared servers from another level on.

use portero::ipc::Reply;
use portero::server::LogLevel;

use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, level: LogLevel) -> Reply {
    daemon.servers.want_logs(level);
    Reply::Changed(1)
}
