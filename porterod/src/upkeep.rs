//! What is done for the audit once in a while: what is older than it is kept is removed, and everything is
//! verified from the first line to the last.
//!
//! Nobody else removes a segment. One that a process writes to stays, and so does one that is not whole. The
//! mark in the store and the record come first, the file goes after: what is gone without a mark was removed by
//! somebody else (guarantee U2).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use portero::audit::{self, Age, Event, Head, HeadError, Record};
use portero::clock::Moment;
use portero::config::Config;
use tokio_util::sync::CancellationToken;

use crate::heads::Heads;
use crate::journal::{Journal, Weight};
use crate::store::{StoreError, heads};

/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often everything is verified.
const VERIFY_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How long the wall clock must have gone as it should before an age is believed.
const STEADY_FOR: Duration = Duration::from_secs(3600);
/// How far the wall clock may go off between two looks.
const OFF_MOST: SignedDuration = SignedDuration::from_mins(5);
/// How many segments are removed at a time.
const REMOVE_MOST: usize = 64;

/// Looks after the audit.
#[derive(Debug)]
pub struct Upkeep {
    journal: Arc<Journal>,
    heads: Arc<Heads>,
    directory: PathBuf,
    config: Arc<ArcSwap<Config>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    steady: Option<Steady>,
    verified: Option<Moment>,
}

/// Since when the wall clock and the boot clock have gone alike.
#[derive(Debug, Clone, Copy)]
struct Steady {
    since: Moment,
    last: Moment,
}

impl Upkeep {
    /// Of those segments whose heads these are.
    #[must_use]
    pub fn new(heads: Arc<Heads>, config: Arc<ArcSwap<Config>>) -> Arc<Self> {
        let (journal, directory) = (Arc::clone(heads.journal()), heads.directory().to_owned());
        Arc::new(Self { journal, heads, directory, config, state: Mutex::default() })
    }

    /// Does what is due, from time to time, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the audit could not be looked after");
            }
        }
    }

    /// When everything was last verified, if it was since the daemon started.
    #[must_use]
    pub fn verified(&self) -> Option<Timestamp> {
        self.state().verified.map(|at| at.wall)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the audit or the store fails.
    pub async fn look(&self) -> Result<(), StoreError> {
        let now = self.journal.now();
        let (steady, due) = {
            let mut state = self.state();
            let steady = Steady::after(state.steady, now);
            state.steady = Some(steady);
            let due = state.verified.is_none_or(|at| now.boot.saturating_sub(at.boot) >= VERIFY_EVERY);
            (steady, due)
        };
        if due {
            self.verify(now).await?;
        }
        if now.boot.saturating_sub(steady.since.boot) >= STEADY_FOR {
            self.clear(now).await?;
        }
        Ok(())
    }

    /// Follows every chain from its first line. What does not hold raises the alarm.
    async fn verify(&self, now: Moment) -> Result<(), StoreError> {
        self.heads.look().await?;
        let (known, directory) = (self.heads.list()?, self.directory.clone());
        let problems = off_thread(move || {
            let verdict = audit::verify_against(&directory, &known)?;
            let broken = verdict.segments.into_iter().filter_map(|report| {
                let broken = report.broken?;
                let head = known.iter().find(|head| head.segment == report.segment).cloned();
                let head = head.or_else(|| Head::first(&report.segment))?;
                Some((head, format!("record {}: {}", broken.line, broken.problem)))
            });
            Ok(broken.collect::<Vec<_>>())
        });
        let problems = problems.await?;
        self.heads.found(problems.into_iter().filter(|(head, _)| head.problem.is_none()).collect()).await?;
        self.state().verified = Some(now);
        Ok(())
    }

    /// Removes what is older than the audit is kept.
    async fn clear(&self, now: Moment) -> Result<(), StoreError> {
        // What a daemon marked that was killed before it removed the file.
        let marked = |head: &&Head| head.removed.is_some() && self.directory.join(&head.segment).exists();
        let left: Vec<String> =
            self.heads.list()?.iter().filter(marked).map(|head| head.segment.clone()).collect();
        self.remove(left).await?;
        let Some(keep) = self.config.load().settings.audit.keep else { return Ok(()) };
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let Ok(edge) = now.wall.checked_sub(keep) else { return Ok(()) };
        let old = self.older_than(edge).await?;
        if !old.is_empty() {
            let names = self.mark(old, now.wall).await?;
            tracing::info!(segments = names.len(), "the audit's oldest segments are removed");
            self.remove(names).await?;
        }
        Ok(())
    }

    /// Whole segments, to which nobody writes and in which nothing is newer than `edge`; the oldest first.
    async fn older_than(&self, edge: Timestamp) -> Result<Vec<(Head, Timestamp)>, StoreError> {
        let mut known = self.heads.list()?;
        known.retain(|head| {
            head.removed.is_none()
                && head.problem.is_none()
                && audit::began(&head.segment).is_some_and(|began| began < edge)
        });
        let directory = self.directory.clone();
        let (old, problems) = off_thread(move || {
            let (mut old, mut problems) = (Vec::new(), Vec::new());
            for known in known {
                match Age::of(&directory, &known) {
                    Ok(Age::Whole { head, newest }) if newest < edge => old.push((head, newest)),
                    Ok(Age::Whole { .. } | Age::Held) => {}
                    Err(HeadError::Changed(problem)) => problems.push((known, problem)),
                    Err(HeadError::Io(error)) => {
                        tracing::warn!(segment = known.segment, %error, "a segment of the audit cannot be read");
                    }
                }
                if old.len() == REMOVE_MOST {
                    break;
                }
            }
            Ok((old, problems))
        })
        .await?;
        self.heads.found(problems).await?;
        Ok(old)
    }

    /// Says in store and audit that these are removed, and gives their names.
    async fn mark(&self, old: Vec<(Head, Timestamp)>, at: Timestamp) -> Result<Vec<String>, StoreError> {
        let change = move |store: &rusqlite::Connection| {
            let (mut names, mut records) = (Vec::new(), Vec::new());
            for (head, newest) in &old {
                if heads::remove(store, head, at)? {
                    names.push(head.segment.clone());
                    let Head { segment, seq, hash, .. } = head.clone();
                    let event = Event::Removed { segment, seq, hash, newest: *newest };
                    records.push(Record { at, session: None, principal: None, event });
                }
            }
            Ok((names, records))
        };
        self.journal.change(Weight::Strict, change).await
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), StoreError> {
        let directory = self.directory.clone();
        off_thread(move || audit::remove(&directory, &names)).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steady {
    fn after(former: Option<Self>, now: Moment) -> Self {
        let anew = Self { since: now, last: now };
        let Some(former) = former else { return anew };
        let walked = now.wall.duration_since(former.last.wall);
        let passed = now.boot.saturating_sub(former.last.boot);
        let off = walked - SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        if off.abs() > OFF_MOST { anew } else { Self { last: now, ..former } }
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| StoreError::Failed(error.to_string()))?;
    done.map_err(|error| StoreError::Failed(format!("the audit: {error}")))
}

#[cfg(test)]
mod tests;
