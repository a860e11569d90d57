//! `portero telegram unpair`. It lets another person be paired, so it widens.

use portero::ipc::{Failure, Reply, Width};

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::What;

pub(super) async fn answer(daemon: &Daemon, by: &str, confirming: Confirming) -> Result<Reply, Failure> {
    let confirmed = confirm(daemon, by, confirming, What::Other(Width::PAIR)).await?;
    let ended = daemon.pairing.unpair(&confirmed).await.map_err(|error| failure::of_store(&error))?;
    // The link begins anew, so nothing that waits goes to whom it no longer listens to.
    daemon.reloaded.send_replace(());
    Ok(Reply::Changed(u64::from(ended)))
}
