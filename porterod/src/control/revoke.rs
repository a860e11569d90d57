//! `portero revoke`. Narrows.

use portero::ipc::{Acting, Failure, Reply};

use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Daemon, by: &str, acting: Acting) -> Result<Reply, Failure> {
    let ids = match &acting {
        Acting::On(ids) => Some(ids.as_slice()),
        Acting::All => None,
    };
    let ended = daemon.rules.revoke(ids, by).await;
    daemon.enforce().await;
    ended.map(Reply::Changed).map_err(|error| failure::of_rules(&error))
}
