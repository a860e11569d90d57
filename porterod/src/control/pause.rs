//! `portero pause`. Narrows.

use portero::ipc::{Failure, Reply};

use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Daemon, by: &str) -> Result<Reply, Failure> {
    let paused = daemon.rules.pause(by).await;
    daemon.enforce().await;
    paused.map(|_| Reply::Standing(daemon.rules.standing())).map_err(|error| failure::of_rules(&error))
}
