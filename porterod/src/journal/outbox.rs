//! The outbox: notices, kept until every channel has delivered them.
//!
//! A notice is stored in the same transaction as its change, by [`Journal::change`](crate::journal::Journal).
//! Channels get it at least once: an entry that wasn't acknowledged when the daemon was killed comes again.
//! So a channel must tolerate repetitions and works like this:
//! the same twice:
//!
//! ```text
//! outbox.register_channel("telegram")      once it is paired; open tasks come first
//! loop {
//!     for entry in outbox.next_entries("telegram") { deliver it }
//!     outbox.acknowledge("telegram", the last one's seq)
//!     if there was none { outbox.subscribe().changed() }
//! }
//! ```
//!
//! Entries keep the order of the changes. A notice says that a task *came* into a state; a channel reads the
//! task and shows its present state.
//! Beyond 100 000 waiting notices only the last one of each task is kept, and notices older than thirty days
//! are removed. A notice about an open task is never removed, and an alarm replaces any others that were
//! lost.
//! anything untold had to go, an alarm takes its place.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use portero::anonymize::Fake;
use portero::notice::{LoginChange, Notice, NoticeEntry};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
pub use crate::store::outbox::NoticesAfter;
use crate::store::outbox::{self as kept, OutboxLimits};
use crate::store::{Durability, StoreError};

/// The most entries that one call returns.
pub const MAX_BATCH: u32 = 100;
/// How often old notices are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
/// How long to wait before retrying a failed write.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long `portero status` shows an alarm, and how many it shows.
const SHOWN_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
const MAX_SHOWN_ALARMS: u32 = 5;

/// The notices for people.
#[derive(Debug)]
pub struct Outbox {
    journal: Arc<Journal>,
}

impl Outbox {
    /// The outbox of this journal.
    #[must_use]
    pub fn new(journal: Arc<Journal>) -> Arc<Self> {
        Arc::new(Self { journal })
    }

    /// Registers a channel under a stable name, and returns whether it is new. From then on every notice
    /// waits for it. A new channel first gets every open task, and nothing older.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn register_channel(&self, channel: &str) -> Result<bool, StoreError> {
        let (name, now) = (channel.to_owned(), self.journal.now().wall);
        self.write_store(move |connection| kept::register_channel(connection, &name, now)).await
    }

    /// Unregisters a channel, as after unpairing; no notice waits for it any more. Returns whether it was
    /// registered.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn unregister_channel(&self, channel: &str) -> Result<bool, StoreError> {
        let name = channel.to_owned();
        self.write_store(move |connection| kept::unregister_channel(connection, &name)).await
    }

    /// The next entries for a channel in order, at most [`MAX_BATCH`]; empty if it has delivered all. The
    /// same entries come again until they are acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there is no such channel; otherwise if the store can't be read.
    pub fn next_entries(&self, channel: &str) -> Result<Vec<NoticeEntry>, StoreError> {
        let named = channel.to_owned();
        let next =
            self.journal.store().read(move |connection| kept::next_entries(connection, &named, MAX_BATCH))?;
        Ok(self.conceal_entries(next.ok_or_else(|| missing_channel(channel))?))
    }

    /// Acknowledges every notice up to and including `upto`. An earlier position changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there is no such channel; otherwise if the store can't be written.
    pub async fn acknowledge(&self, channel: &str, upto: u64) -> Result<(), StoreError> {
        let name = channel.to_owned();
        // Unsynced: if a power failure loses this, the notices are only delivered twice.
        let acknowledge =
            move |connection: &rusqlite::Connection| kept::acknowledge_upto(connection, &name, upto);
        let found = self.journal.store().write(Durability::Unsynced, acknowledge).await?;
        if found { Ok(()) } else { Err(missing_channel(channel)) }
    }

    /// Changes whenever there is a new notice. Subscribe before [`Outbox::next_entries`], so that no notice
    /// falls between the two.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.journal.subscribe_notices()
    }

    /// The position of the last notice, for watchers that keep their own position.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        self.journal.store().read(kept::last_seq)
    }

    /// The notices after `place`, for all channels, at most [`MAX_BATCH`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn entries_after(&self, place: u64) -> Result<NoticesAfter, StoreError> {
        match self
            .journal
            .store()
            .read(move |connection| kept::entries_after(connection, place, MAX_BATCH))?
        {
            NoticesAfter::Entries(entries) => Ok(NoticesAfter::Entries(self.conceal_entries(entries))),
            NoticesAfter::Removed => Ok(NoticesAfter::Removed),
        }
    }

    /// The latest alarms of the last days, the newest first, whether delivered or not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn alarms(&self) -> Result<Vec<(Timestamp, Fake<String>)>, StoreError> {
        let since = self.journal.now().wall.checked_sub(SHOWN_FOR).unwrap_or(Timestamp::MIN);
        let entries =
            self.journal.store().read(move |connection| kept::alarms(connection, since, MAX_SHOWN_ALARMS))?;
        let alarms = self.conceal_entries(entries).into_iter().filter_map(|entry| match entry.notice {
            Notice::Alarm { about, .. } => Some((entry.at, about)),
            Notice::Task { .. }
            | Notice::Vote { .. }
            | Notice::Grant { .. }
            | Notice::Rule { .. }
            | Notice::Token { .. }
            | Notice::Paused
            | Notice::Resumed
            | Notice::Config { .. }
            | Notice::Definitions { .. }
            | Notice::Login { .. } => None,
        });
        Ok(alarms.collect())
    }

    /// Writes late notices and removes delivered or old ones, until `stop`. The composition root spawns it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let keeping = async {
            loop {
                if let Err(error) = self.prune_notices().await {
                    tracing::warn!(%error, "notices wait for the disk");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
                // Either a late notice or the end of the interval is a reason to run again.
                let _ = tokio::time::timeout(PRUNE_INTERVAL, self.journal.wait_for_late_notice()).await;
            }
        };
        stop.run_until_cancelled(keeping).await;
    }

    /// Conceals entries by today's rules, which may know more values than those of the day they were stored.
    fn conceal_entries(&self, mut entries: Vec<NoticeEntry>) -> Vec<NoticeEntry> {
        for entry in &mut entries {
            match &mut entry.notice {
                Notice::Grant { pattern: text, .. }
                | Notice::Rule { pattern: text, .. }
                | Notice::Token { scope: text, .. }
                | Notice::Alarm { about: text, .. }
                | Notice::Login { became: LoginChange::Needed(text), .. }
                | Notice::Task { note: Some(text), .. } => *text = self.journal.conceal_text(text.get()),
                Notice::Task { note: None, .. }
                | Notice::Vote { .. }
                | Notice::Paused
                | Notice::Resumed
                | Notice::Config { .. }
                | Notice::Definitions { .. }
                | Notice::Login { became: LoginChange::SignedIn | LoginChange::SignedOut, .. } => {}
            }
        }
        entries
    }

    async fn prune_notices(&self) -> Result<(), StoreError> {
        self.journal.write_late_notices().await?;
        let now = self.journal.now().wall;
        self.write_store(move |connection| kept::prune_notices(connection, now, OutboxLimits::PRODUCTION))
            .await
    }

    async fn write_store<T: Send + 'static>(
        &self,
        change: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.journal.store().write(Durability::StoreSynced, change).await
    }
}

fn missing_channel(channel: &str) -> StoreError {
    StoreError::Refused(format!("there is no channel `{channel}`"))
}

#[cfg(test)]
mod tests;
