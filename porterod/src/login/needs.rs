//! Tells people once that a server wants a login.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portero::names::ServerName;
use portero::notice::{LoginChange, Notice};
use portero::sync::lock;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::upstreams::DaemonUpstreams;

/// For how long a notice isn't repeated, unless a person signed in or out meanwhile. A server that wants another scope
/// for some of its calls would be reported for each of them.
const REPEAT_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// The servers of which people know that they want a login.
#[derive(Debug, Default)]
pub struct LoginNeeds {
    /// When each was reported, since boot.
    reported: Mutex<BTreeMap<ServerName, Duration>>,
}

impl LoginNeeds {
    /// Reports each server when it begins to want a login, until `stop`. The composition root spawns it, after the
    /// user's servers were made.
    pub async fn run(
        self: Arc<Self>,
        upstreams: Arc<DaemonUpstreams>,
        journal: Arc<Journal>,
        stop: CancellationToken,
    ) {
        let Some(mut changes) = upstreams.subscribe_user_servers() else { return };
        let following = async {
            loop {
                for (server, step) in self.take_unreported(upstreams.logins_needed(), journal.now().boot) {
                    let became = LoginChange::Needed(journal.conceal_text(&step));
                    journal.add_notice(Notice::Login { server, became }).await;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        stop.run_until_cancelled(following).await;
    }

    /// Lets the server be reported again, after a person signed in or out.
    pub fn forget(&self, server: &ServerName) {
        lock(&self.reported).remove(server);
    }

    /// Those of the servers that are to be reported now. They count as reported from then on.
    fn take_unreported(&self, needed: Vec<(ServerName, String)>, now: Duration) -> Vec<(ServerName, String)> {
        let mut reported = lock(&self.reported);
        reported.retain(|_, at| now.saturating_sub(*at) < REPEAT_INTERVAL);
        let mut unreported = needed;
        unreported.retain(|(server, _)| !reported.contains_key(server));
        reported.extend(unreported.iter().map(|(server, _)| (server.clone(), now)));
        unreported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reported_once_a_day_and_again_after_a_login() {
        let needs = LoginNeeds::default();
        let server: ServerName = "linear".parse().expect("a name");
        let count = |seconds| {
            let needed = vec![(server.clone(), "run `portero login linear`".to_owned())];
            needs.take_unreported(needed, Duration::from_secs(seconds)).len()
        };
        assert_eq!([count(0), count(1), count(3_600)], [1, 0, 0]);
        needs.forget(&server);
        assert_eq!([count(3_601), count(3_602)], [1, 0]);
        // Each report begins a new day; asking in between doesn't.
        assert_eq!(count(3_601 + 24 * 3_600), 1);
    }
}
