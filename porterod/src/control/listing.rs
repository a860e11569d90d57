//! What a shared server offers, in its own words; the session conceals it.

use portero::ipc::{Failure, FailureKind, Reply};
use portero::names::ServerName;

use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Daemon, server: &ServerName) -> Result<Reply, Failure> {
    match daemon.servers.offer(server).await {
        Ok(offer) => Ok(Reply::Listing(portero::json::raw(&*offer))),
        Err(error) => {
            let message = daemon.anonymizer.load().conceal_text(&error.to_string()).into_inner();
            Err(Failure::new(FailureKind::Server, message))
        }
    }
}
