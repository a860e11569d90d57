//! Remembers how far every segment of the audit has come, so that `portero logs verify` finds what was cut
//! off or removed (guarantee U2).
//!
//! What a session says of its segment is never believed: the file is followed from where it stood before, and
//! what does not fit is kept as a problem, with a record of its own.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portero::audit::{Begin, Ended, Event, Head, HeadError, Record, Unfinished, ended, segments};
use portero::files;
use portero::notice::{Alarm, Notice};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::journal::{Account, Journal, Weight};
use crate::store::{StoreError, heads};

/// How often every segment is looked at: a session of an older release, or one that was killed, says nothing.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long after a session left it is looked whether its process is gone.
const EXIT_GRACE: Duration = Duration::from_millis(300);
/// How long one look may take: the segments may be large, and drives hang.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// The heads of all segments.
#[derive(Debug)]
pub struct Heads {
    journal: Arc<Journal>,
    directory: PathBuf,
    /// Segments whose first record was read: what it says of the one that it goes on after does not change.
    begun: Mutex<HashSet<String>>,
    /// Segments that a session of this daemon's said are its own.
    announced: Mutex<HashSet<String>>,
    /// Held while calls are closed, so that none is twice.
    closing: tokio::sync::Mutex<()>,
    /// Whether calls may have been closed in our own segment without that being known.
    uncertain: AtomicBool,
    left: Notify,
}

/// What a look at one segment found.
type Seen = (Head, Result<Head, String>);
/// Where segments ended, by their names, and which segments said so.
type Ends = (HashMap<String, Head>, Vec<String>);

impl Heads {
    /// Of the segments in `directory`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, directory: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            journal,
            directory,
            begun: Mutex::default(),
            announced: Mutex::default(),
            closing: tokio::sync::Mutex::default(),
            uncertain: AtomicBool::new(false),
            left: Notify::new(),
        })
    }

    pub(crate) const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Where the segments are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Looks at every segment now and from time to time, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "how far the audit has come is not known");
            }
            if let Err(error) = self.close_interrupted().await {
                tracing::warn!(%error, "calls of processes that are gone have no outcome yet");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.left.notified() => tokio::time::sleep(EXIT_GRACE).await,
            }
        }
    }

    /// A session left: perhaps its process is gone.
    pub fn session_left(&self) {
        self.left.notify_one();
    }

    /// Records for each call of a process that is gone, and that has no outcome, that it was interrupted: exactly
    /// once, whenever this daemon or another is killed. Only segments that are not settled are read.
    ///
    /// # Errors
    /// When the audit cannot be read, or nothing could be recorded; then it is tried again with the next look.
    pub async fn close_interrupted(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.closing.lock().await;
        let settled = self.journal.store().read(heads::settled)?;
        let own = self.uncertain.load(Ordering::Relaxed).then(|| self.journal.segment());
        let directory = self.directory.clone();
        let Ended { segments, open } = off_thread(&self.directory, move || {
            ended(&directory, &settled, own.as_deref()).map_err(|error| unread(&error))
        })
        .await?;
        if segments.is_empty() {
            return Ok(());
        }
        let at = self.journal.now().wall;
        let records: Vec<Record> = open.into_iter().map(|left| interrupted(left, at)).collect();
        self.uncertain.store(true, Ordering::Relaxed);
        let closed = self.journal.change(Weight::Strict, move |store| {
            segments.iter().try_for_each(|segment| heads::settle(store, segment))?;
            Ok(((), records.clone()))
        });
        closed.await?;
        self.uncertain.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Every head, as far as it is known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Head>, StoreError> {
        self.journal.store().read(heads::list)
    }

    /// Looks at every segment.
    ///
    /// # Errors
    /// When the directory or the store cannot be read, or the store cannot be written.
    pub async fn look(&self) -> Result<(), StoreError> {
        let known = self.list()?;
        let directory = self.directory.clone();
        let begun = self.begun().clone();
        let (seen, read) = off_thread(&self.directory, move || {
            let names = segments(&directory).map_err(|error| unread(&error))?;
            let (told, read) = ends(&directory, &names, &begun)?;
            let found: HashSet<&str> =
                names.iter().map(String::as_str).chain(told.keys().map(String::as_str)).collect();
            // There may be many thousands, and this is done every half minute.
            let named: HashSet<&str> = known.iter().map(|head| head.segment.as_str()).collect();
            let fresh: Vec<Head> = found.difference(&named).filter_map(|name| Head::first(name)).collect();
            let known = known.into_iter();
            let open = known.filter(|head| head.problem.is_none() && head.removed.is_none());
            let all = open.chain(fresh);
            let looks = all.map(|head| {
                let end = told.get(&head.segment);
                see(&directory, head, end)
            });
            // One that cannot be read is logged, and holds up none of the others.
            let seen: Vec<_> = looks.filter_map(Result::transpose).filter_map(Result::ok).collect();
            Ok((seen, read))
        })
        .await?;
        self.keep(seen).await?;
        self.begun().extend(read);
        Ok(())
    }

    fn begun(&self) -> MutexGuard<'_, HashSet<String>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a session of this daemon's said that this segment is its own.
    #[must_use]
    pub fn is_announced(&self, segment: &str) -> bool {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).contains(segment)
    }

    /// A process says how far its segment has come. From its first word on the segment is missed when it is gone.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when that is no segment's name, and when the store or the file fails.
    pub async fn told(&self, told: Head) -> Result<(), StoreError> {
        let first = Head::first(&told.segment)
            .ok_or_else(|| StoreError::Refused("that is no name of an audit segment".to_owned()))?;
        let segment = told.segment.clone();
        let known = self.journal.store().read(move |store| heads::get(store, &segment))?;
        if known.as_ref().is_some_and(|head| head.removed.is_some()) {
            return Err(StoreError::Refused("that audit segment was removed because it was old".to_owned()));
        }
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).insert(told.segment.clone());
        let directory = self.directory.clone();
        let seen = off_thread(&self.directory, move || {
            Ok(see(&directory, known.unwrap_or(first), Some(&told))?.into_iter().collect())
        });
        self.keep(seen.await?).await
    }

    /// What somebody else found wrong with segments.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn found(&self, problems: Vec<(Head, String)>) -> Result<(), StoreError> {
        self.keep(problems.into_iter().map(|(head, problem)| (head, Err(problem))).collect()).await
    }

    async fn keep(&self, seen: Vec<Seen>) -> Result<(), StoreError> {
        if seen.is_empty() {
            return Ok(());
        }
        let alarms: Vec<Record> = seen
            .iter()
            .map(|(head, now)| {
                let problem = now.as_ref().err().map_or("", String::as_str);
                self.journal.act("alarm", &format!("audit segment {}: {problem}", head.segment), true, None)
            })
            .collect();
        let journal = Arc::clone(&self.journal);
        let kept = self.journal.change_and_tell(Weight::Lenient, move |store| {
            let (mut records, mut notices) = (Vec::new(), Vec::new());
            for ((head, now), alarm) in seen.iter().zip(&alarms) {
                match now {
                    Ok(now) => heads::keep(store, now)?,
                    Err(problem) if heads::fault(store, head, problem)? => {
                        tracing::error!(segment = head.segment, problem, "the audit was changed");
                        records.push(alarm.clone());
                        let about = journal.words(&format!(
                            "the audit was changed: segment {}: {problem}; see `portero logs verify`",
                            head.segment
                        ));
                        notices.push(Notice::Alarm { alarm: Alarm::Audit, about });
                    }
                    Err(_) => {}
                }
            }
            Ok(((), Account::from(records).and(notices)))
        });
        kept.await
    }
}

fn interrupted(left: Unfinished, at: jiff::Timestamp) -> Record {
    let Unfinished { segment, call, tool, session, principal, task } = left;
    Record { at, session, principal, event: Event::Interrupted { segment, call, tool, task } }
}

/// Where segments ended, as those say that go on after them, and which were read for that.
fn ends(directory: &Path, names: &[String], begun: &HashSet<String>) -> Result<Ends, StoreError> {
    let (mut told, mut read) = (HashMap::new(), Vec::new());
    for name in names.iter().filter(|name| !begun.contains(*name)) {
        let former = match Begin::of(directory, name) {
            Ok(Begin::After(former)) => Some(former),
            Ok(Begin::Anew) => None,
            Ok(Begin::Unwritten) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::warn!(segment = name, %error, "a segment of the audit cannot be read");
                continue;
            }
        };
        read.push(name.clone());
        // Where the disk failed the end may be lost.
        if let Some(former) = former.filter(|former| !former.fault) {
            told.insert(former.name.clone(), former.head());
        }
    }
    Ok((told, read))
}

/// What became of a segment; none when nothing did.
fn see(directory: &Path, head: Head, told: Option<&Head>) -> Result<Option<Seen>, StoreError> {
    match head.advance(directory, told) {
        Ok(now) if now.seq == head.seq => Ok(None),
        Ok(now) => Ok(Some((head, Ok(now)))),
        Err(HeadError::Changed(problem)) => Ok(Some((head, Err(problem)))),
        Err(HeadError::Io(error)) => {
            tracing::warn!(segment = head.segment, %error, "a segment of the audit cannot be read");
            Err(unread(&error))
        }
    }
}

fn unread(error: &std::io::Error) -> StoreError {
    StoreError::Failed(format!("the audit cannot be read: {error}"))
}

async fn off_thread<T: Send + 'static>(
    directory: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = files::off_thread(directory, LOOK_TIMEOUT, work).await;
    done.map_err(|error| StoreError::Failed(format!("the audit cannot be read: {error}")))?
}

#[cfg(test)]
mod tests;
