//! `portero resume`. Widens.

use portero::ipc::{Failure, Reply};

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::What;

pub(super) async fn answer(daemon: &Daemon, by: &str, confirming: Confirming) -> Result<Reply, Failure> {
    let confirmed = confirm(daemon, by, confirming, What::Resume).await?;
    let resumed = daemon.rules.resume(confirmed).await;
    daemon.enforce().await;
    let since = resumed.map_err(|error| failure::of_rules(&error))?;
    // Every session goes on before the first approved call starts.
    daemon.desk.resumed();
    Ok(Reply::Changed(since.map_or(0, |_| 1)))
}
