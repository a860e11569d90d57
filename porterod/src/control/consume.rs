//! A session's call runs by a use of a grant.

use portero::call::Call;
use portero::ipc::{Failure, Reply};
use portero::task::Origin;

use super::{failure, submit};
use crate::daemon::Daemon;

/// Decides again by the daemon's own rules: whoever speaks on the socket is not trusted.
pub(super) async fn answer(
    daemon: &Daemon,
    grant: u64,
    call: Call,
    origin: &Origin,
) -> Result<Reply, Failure> {
    let call = submit::conceal(daemon, call)?;
    let consumed = daemon.rules.consume(grant, &call, origin).await;
    consumed.map(Reply::Grant).map_err(|error| failure::of_rules(&error))
}
