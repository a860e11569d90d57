//! `portero allow PATTERN`, which widens, and `portero ask PATTERN` and `portero deny PATTERN`, which narrow.

use portero::ipc::{Challenge, Failure, Reply};
use portero::pattern::Pattern;
use portero::policy::Action;

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::What;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    pattern: Pattern,
    action: Action,
    confirming: Option<Confirming>,
) -> Result<Reply, Failure> {
    let made = match action {
        Action::Deny => daemon.rules.deny(pattern, by).await,
        Action::Allow => {
            let confirming = confirming.unwrap_or(Confirming::Typed(Challenge::default()));
            let confirmed = confirm(daemon, by, confirming, What::Allow(&pattern)).await?;
            daemon.rules.allow(pattern, confirmed).await
        }
        Action::RequireApproval => daemon.rules.ask(pattern, by).await,
    };
    daemon.enforce().await;
    made.map(Reply::Rule).map_err(|error| failure::of_rules(&error))
}
