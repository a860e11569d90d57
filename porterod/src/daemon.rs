//! Everything that a question to the daemon may need, in one place.
//!
//! Whoever changes rules or grants calls [`Daemon::enforce`] before answering: a change is in force in every
//! session before its command returns.

use std::ffi::OsString;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::anonymize::Anonymizer;
use portero::audit::{Event, Follower, Outcome, Record, Segment};
use portero::catalog::Catalog;
use portero::clock::Clock;
use portero::config::{Approvals, Config, Files};
use portero::confirmed::Changes;
use portero::ipc::Counts;
use portero::paths::Paths;
use portero::policy::Policy;
use portero::task::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::approval::Desk;
use crate::confirmed::Keeper;
use crate::consent::Consents;
use crate::edits::Edits;
use crate::heads::Heads;
use crate::journal::Journal;
use crate::outbox::Outbox;
use crate::pairing::Pairing;
use crate::passphrase::Passphrase;
use crate::rules::Rules;
use crate::servers::Servers;
use crate::sessions::Sessions;
use crate::upkeep::Upkeep;
use crate::weather::Weather;

/// How long to sleep at most before looking whether a grant is over, since clocks may be set meanwhile.
const NAP: Duration = Duration::from_secs(30);
/// How long at least.
const LEAST_NAP: Duration = Duration::from_millis(50);

/// Looks up a variable of the environment that the daemon was given.
pub type Environment = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// The running daemon, as questions see it.
pub struct Daemon {
    /// Its version.
    pub build: String,
    /// Since when it runs.
    pub started: Timestamp,
    /// Where things live.
    pub paths: Paths,
    /// What `${VAR}` reads.
    pub environment: Environment,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The configuration in force: the last valid files, but for what waits for a person.
    pub config: Arc<ArcSwap<Config>>,
    /// Its limits of approvals.
    pub approvals: Arc<ArcSwap<Approvals>>,
    /// What is wrong with the files as they are now.
    pub problems: ArcSwap<Vec<String>>,
    /// Whether those files can be put in force.
    pub valid: AtomicBool,
    /// What a person confirmed of the configuration.
    pub confirmed: Keeper,
    /// How the last valid files differ from that; what widens waits.
    pub changes: ArcSwap<Changes>,
    /// Edits of late, of which people are told together.
    pub edits: Edits,
    /// The last valid files. Held while another configuration is put in force.
    pub present: tokio::sync::Mutex<Files>,
    /// The rules of the anonymizer in force.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The policy in force: configuration and standing together.
    pub policy: Arc<ArcSwap<Policy>>,
    /// What the servers offer.
    pub catalog: Arc<Catalog>,
    /// Where everything is written down.
    pub audit: Arc<Segment>,
    /// Store and audit, written together.
    pub journal: Arc<Journal>,
    /// What people are to be told.
    pub outbox: Arc<Outbox>,
    /// How far the segments of all processes have come.
    pub heads: Arc<Heads>,
    /// Removes what is old of the audit, and verifies the rest.
    pub upkeep: Arc<Upkeep>,
    /// What terminals ask a person to confirm on Telegram.
    pub consents: Consents,
    /// The second factor.
    pub passphrase: Passphrase,
    /// Who decides on Telegram.
    pub pairing: Arc<Pairing>,
    /// How the bot there fares.
    pub weather: Arc<Weather>,
    /// Rules and grants.
    pub rules: Arc<Rules>,
    /// Where calls wait for a person.
    pub desk: Arc<Desk>,
    /// The daemon's children.
    pub servers: Arc<Servers>,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// Counts what is written down, from the daemon's start on.
    pub tally: Arc<Tally>,
    /// Tells when another configuration is in force, or a pairing ended.
    pub reloaded: watch::Sender<()>,
    /// Cancelled when the daemon is to end.
    pub stop: CancellationToken,
    /// What must come to its end before the daemon ends.
    pub work: TaskTracker,
    /// Held while rules and grants are sent out, so that changes arrive in their order.
    pub enforcing: Mutex<()>,
}

impl Daemon {
    /// Puts the rules and grants in force in every session; returns once each confirmed or lost its
    /// connection.
    pub async fn enforce(&self) {
        let spreading = {
            let _in_order = self.enforcing.lock().unwrap_or_else(PoisonError::into_inner);
            self.sessions.spread(self.policy.load().standing())
        };
        spreading.everywhere().await;
    }

    /// Ends grants as their time is over, everywhere, until the daemon is to end.
    pub async fn end_grants(self: Arc<Self>) {
        let mut changes = self.rules.changes();
        loop {
            let nap = self.rules.first_end().map_or(NAP, |left| left.clamp(LEAST_NAP, NAP));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(nap) => {}
                // The sender lives as long as the daemon.
                _ = changes.changed() => continue,
            }
            match self.rules.expire().await {
                Ok(false) => {}
                Ok(true) => self.enforce().await,
                Err(error) => {
                    tracing::warn!(%error, "a grant ended");
                    self.enforce().await;
                }
            }
        }
    }

    /// Writes an event down that is nobody's call.
    pub fn record(&self, event: Event) {
        let record = Record { at: self.clock.now().wall, session: None, principal: None, event };
        if let Err(error) = self.audit.append(&record) {
            tracing::error!(%error, "the audit cannot be written");
        }
    }
}

/// Counts what all processes wrote down since the daemon started.
#[derive(Debug)]
pub struct Tally {
    /// None where the audit could not be read when the daemon began.
    follower: Mutex<Option<Follower>>,
    /// What is counted by now, also while more is being read.
    counts: Mutex<Counts>,
}

impl Tally {
    /// Counts what `follower` gives.
    #[must_use]
    pub fn new(follower: Option<Follower>) -> Self {
        Self { follower: Mutex::new(follower), counts: Mutex::default() }
    }

    /// What is counted by now. It waits for nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was written since the last time. It reads files.
    ///
    /// # Errors
    /// Why not all of it is counted.
    pub fn read(&self) -> Result<(), String> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(follower) = follower.as_mut() else {
            return Err("the audit could not be read when the daemon began, so nothing is counted".to_owned());
        };
        let counting = follower.visit(|entry| {
            count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner), &entry.record.event);
        });
        counting.map_err(|error| format!("the audit cannot be read: {error}"))
    }
}

fn count(counts: &mut Counts, event: &Event) {
    match event {
        Event::Outcome { outcome: Outcome::Done, .. } => counts.done += 1,
        Event::Outcome { .. } | Event::Interrupted { .. } => counts.failed += 1,
        Event::Refused { .. } => counts.refused += 1,
        Event::Task { state: State::PendingApproval, .. } => counts.asked += 1,
        Event::Task { .. }
        | Event::Intent { .. }
        | Event::Act { .. }
        | Event::Config { .. }
        | Event::Continued { .. }
        | Event::Removed { .. }
        | Event::Process { .. } => {}
    }
}
