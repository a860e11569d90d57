//! Tells people of what only the audit of a session says: that a message was withheld there, because a private
//! value stood in it.
//!
//! What the daemon withholds itself, it tells itself, at once. Alarms that were raised several times in some minutes
//! are told from here too, together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portero::audit::{Event, Filter, Follower, Outcome};
use portero::names::ToolId;
use portero::notice::Alarm;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;

/// How often the segments are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Follows the segments of sessions, from their present ends.
pub struct Alarms {
    journal: Arc<Journal>,
    directory: PathBuf,
    /// None until the directory could be read.
    follower: Option<Follower>,
}

impl Alarms {
    /// Of the segments in `directory`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, directory: &Path) -> Self {
        let follower = begin(directory);
        Self { journal, directory: directory.to_owned(), follower }
    }

    /// Looks from time to time, until `stop`. The composition root spawns it.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.journal.tell_alarms(true).await,
                () = tokio::time::sleep(LOOK_EVERY) => self.look().await,
            }
        }
    }

    /// Tells of what was withheld since the last look.
    pub async fn look(&mut self) {
        let (follower, directory) = (self.follower.take(), self.directory.clone());
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || {
            let mut follower = follower.or_else(|| begin(&directory))?;
            let mut withheld = BTreeMap::new();
            let read = follower.visit(|entry| {
                if let Event::Outcome { tool, outcome: Outcome::Withheld, .. } = entry.record.event
                    && !journal.is_own(&entry.segment)
                {
                    *withheld.entry(tool).or_insert(0) += 1;
                }
            });
            Some((follower, withheld, read))
        });
        let Ok(Some((follower, withheld, read))) = read.await else { return };
        self.follower = Some(follower);
        for (tool, count) in withheld {
            self.tell(&tool, count).await;
        }
        if let Err(error) = read {
            tracing::warn!(%error, "what sessions withheld is not known");
        }
        self.journal.tell_alarms(false).await;
    }

    async fn tell(&self, tool: &ToolId, count: u64) {
        let about = format!(
            "an answer of {tool} was withheld from a session, because a private value stood in it; see \
             `portero logs --tool {tool}`"
        );
        for _ in 0..count {
            self.journal.alarm(Alarm::Withheld, &about).await;
        }
    }
}

fn begin(directory: &Path) -> Option<Follower> {
    Follower::new(directory, Filter::default())
        .inspect_err(|error| tracing::warn!(%error, "what sessions withhold is not known"))
        .ok()
}

#[cfg(test)]
mod tests {
    use portero::audit::{Record, Segment};
    use portero::clock::Clock as _;

    use super::*;
    use crate::approval::tests::Bench;
    use crate::journal::ALARMS_FOR;

    fn outcome(bench: &Bench, outcome: Outcome) -> Record {
        let event = Event::Outcome { call: 1, tool: "mail/read".parse().unwrap(), outcome, micros: 1 };
        Record { at: bench.clock.now().wall, session: None, principal: None, event }
    }

    #[tokio::test]
    async fn people_are_told_once_of_what_a_session_withheld_and_of_nothing_else() {
        let bench = Bench::new();
        let directory = bench.directory.path().join("audit");
        let session = Segment::open(&directory, "session", bench.clock.now()).unwrap();
        session.append(&outcome(&bench, Outcome::Withheld)).unwrap();
        let mut alarms = Alarms::new(Arc::clone(&bench.journal), &directory);
        alarms.look().await;
        assert!(bench.told().is_empty(), "what was before is not told");
        session.append(&outcome(&bench, Outcome::Failed)).unwrap();
        session.append(&outcome(&bench, Outcome::Withheld)).unwrap();
        bench.journal.record(outcome(&bench, Outcome::Withheld)).await.unwrap();
        alarms.look().await;
        alarms.look().await;
        assert_eq!(bench.told().len(), 1, "{:?}", bench.told());
        assert!(bench.told()[0].contains("mail/read"));
        for _ in 0..50 {
            session.append(&outcome(&bench, Outcome::Withheld)).unwrap();
        }
        alarms.look().await;
        assert_eq!(bench.told().len(), 1, "what says the same is counted: {:?}", bench.told());
        bench.clock.advance(ALARMS_FOR);
        alarms.look().await;
        assert_eq!(bench.told().len(), 2);
        assert!(bench.told()[1].contains("mail/read") && bench.told()[1].contains("(50 times)"));
        bench.clock.advance(2 * ALARMS_FOR);
        alarms.look().await;
        let later = Segment::open(&directory, "another", bench.clock.now()).unwrap();
        later.append(&outcome(&bench, Outcome::Withheld)).unwrap();
        alarms.look().await;
        assert_eq!(bench.told().len(), 3, "a session that came later is followed too");
    }
}
