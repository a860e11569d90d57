//! `portero allow PATTERN`, which widens, and `portero deny PATTERN`, which narrows.

use portero::ipc::{Challenge, Failure, FailureKind, Reply, Width};
use portero::pattern::Pattern;
use portero::policy::Action;

use super::challenge::confirm;
use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    pattern: Pattern,
    action: Action,
    challenge: Option<Challenge>,
) -> Result<Reply, Failure> {
    let made = match action {
        Action::Deny => daemon.rules.deny(pattern, by).await,
        Action::Allow => {
            let confirmed = confirm(daemon, by, challenge.unwrap_or_default(), Width::ALLOW).await?;
            daemon.rules.allow(pattern, confirmed).await
        }
        Action::RequireApproval => {
            return Err(Failure::new(FailureKind::Invalid, "a rule allows or denies"));
        }
    };
    daemon.enforce().await;
    made.map(Reply::Rule).map_err(|error| failure::of_rules(&error))
}
