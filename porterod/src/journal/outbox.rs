//! The outbox: what a person must be told, kept until every channel has told it.
//!
//! A notice is stored in the same transaction as the change that it tells of, by
//! [`Journal::change`](crate::journal::Journal). From there a channel takes it at least once: whatever was not
//! acknowledged when the daemon was killed comes again. So a channel works like this, and must bear to be told
//! the same twice:
//!
//! ```text
//! outbox.register_channel("telegram")      once it may tell (paired); what is open comes first
//! loop {
//!     for entry in outbox.next_entries("telegram") { tell it }
//!     outbox.acknowledge("telegram", the last one's seq)
//!     if there was none { outbox.subscribe().changed() }
//! }
//! ```
//!
//! The order is that of the changes. A notice tells that a task *came* into a state; a channel reads the task as
//! it is now and shows that. When more than 100 000 notices wait, only the last one of each task is kept; what
//! waits longer than thirty days goes too. Nothing of that takes away a notice about an open task, and where
//! anything untold had to go, an alarm stands in its place.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use portero::anonymize::Fake;
use portero::notice::{Notice, NoticeEntry};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
pub use crate::store::outbox::NoticesAfter;
use crate::store::outbox::{self as kept, OutboxLimits};
use crate::store::{Durability, StoreError};

/// How many notices one look gives.
pub const MAX_BATCH: u32 = 100;
/// How often what is too old is looked for.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
/// How long to wait before writing again what could not be written.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// For how long `portero status` shows an alarm, and how many.
const SHOWN_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
const MAX_SHOWN_ALARMS: u32 = 5;

/// What people are to be told.
#[derive(Debug)]
pub struct Outbox {
    journal: Arc<Journal>,
}

impl Outbox {
    /// On this journal.
    #[must_use]
    pub fn new(journal: Arc<Journal>) -> Arc<Self> {
        Arc::new(Self { journal })
    }

    /// Takes a channel in, under a name that it keeps, and tells whether it is new. From then on every notice
    /// waits for it. A new one is first told of every task that is open now; of what was before, nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn register_channel(&self, channel: &str) -> Result<bool, StoreError> {
        let (name, now) = (channel.to_owned(), self.journal.now().wall);
        self.write_store(move |connection| kept::register_channel(connection, &name, now)).await
    }

    /// Lets a channel go, as when it is unpaired; nothing waits for it any more. Tells whether there was one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn unregister_channel(&self, channel: &str) -> Result<bool, StoreError> {
        let name = channel.to_owned();
        self.write_store(move |connection| kept::unregister_channel(connection, &name)).await
    }

    /// What a channel has to tell next, in order, at most [`MAX_BATCH`]; empty when it has told everything. The
    /// same comes again until it is acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is no such channel, else when the store cannot be read.
    pub fn next_entries(&self, channel: &str) -> Result<Vec<NoticeEntry>, StoreError> {
        let named = channel.to_owned();
        let next =
            self.journal.store().read(move |connection| kept::next_entries(connection, &named, MAX_BATCH))?;
        Ok(self.conceal_entries(next.ok_or_else(|| missing_channel(channel))?))
    }

    /// A channel has told everything up to and including the notice `upto`. An earlier place changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is no such channel, else when the store cannot be written.
    pub async fn acknowledge(&self, channel: &str, upto: u64) -> Result<(), StoreError> {
        let name = channel.to_owned();
        // Where this is lost with the machine's power, the same is told again.
        let acknowledge =
            move |connection: &rusqlite::Connection| kept::acknowledge_upto(connection, &name, upto);
        let found = self.journal.store().write(Durability::Unsynced, acknowledge).await?;
        if found { Ok(()) } else { Err(missing_channel(channel)) }
    }

    /// Changes whenever there is something new. Take it before [`Outbox::next_entries`], so that nothing falls between.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.journal.subscribe_notices()
    }

    /// The place of the last notice, for those who only watch and keep their place themselves.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        self.journal.store().read(kept::last_seq)
    }

    /// What came after `place` for everyone, at most [`MAX_BATCH`].
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

    /// The latest alarms of the last days, the newest first, whether they were told or not.
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
            | Notice::Paused
            | Notice::Resumed
            | Notice::Config { .. } => None,
        });
        Ok(alarms.collect())
    }

    /// Writes what could not be written, and removes what is told or too old, until `stop`. The composition
    /// root spawns it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let keeping = async {
            loop {
                if let Err(error) = self.prune_notices().await {
                    tracing::warn!(%error, "notices wait for the disk");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                    continue;
                }
                // A late notice or the passing of time: both are reasons to look again.
                let _ = tokio::time::timeout(PRUNE_INTERVAL, self.journal.wait_for_late_notice()).await;
            }
        };
        stop.run_until_cancelled(keeping).await;
    }

    /// Concealed by the rules of today, which may know values that those of the day did not.
    fn conceal_entries(&self, mut entries: Vec<NoticeEntry>) -> Vec<NoticeEntry> {
        for entry in &mut entries {
            match &mut entry.notice {
                Notice::Grant { pattern: text, .. }
                | Notice::Rule { pattern: text, .. }
                | Notice::Alarm { about: text, .. }
                | Notice::Task { note: Some(text), .. } => *text = self.journal.conceal_text(text.get()),
                Notice::Task { note: None, .. }
                | Notice::Vote { .. }
                | Notice::Paused
                | Notice::Resumed
                | Notice::Config { .. } => {}
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
