//! Who may be connected at a time, so that no process takes the place of a person's terminal.
//!
//! Sessions, terminals and connections that have not said who they are have places of their own. Where one kind
//! is full, a connection has to go: of the largest family first, then the idle, then the one that is idle the
//! longest. A family is what one process opened, or the processes that one parent started, so that a program
//! gains nothing by forking. A terminal that said or asked something but a watch a moment ago counts as not idle: a
//! person may be at a prompt there. Where all are busy, the largest family loses one all the same. A session goes only
//! where its family is `LARGE_FAMILY` or more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portero::ipc::{Failure, FailureKind, Process};
use tokio_util::sync::CancellationToken;

/// How many connections may be open that have not said who they are.
pub const MAX_GREETING: usize = 64;
/// How many sessions may be connected.
pub const MAX_SESSIONS: usize = 192;
/// How many terminals may be connected.
pub const MAX_TERMINALS: usize = 64;
/// How many connections one process may have open.
pub const MAX_PER_PROCESS: usize = 32;
/// From how many connections on a family may lose one that is not idle, or that is a session.
const LARGE_FAMILY: usize = 8;

/// How long a terminal counts as busy after its last question or greeting.
const PROMPT_TIME: Duration = Duration::from_secs(60);

/// What a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has not said who it is.
    Greeting,
    /// An agent's session.
    Session,
    /// A person's terminal.
    Terminal,
}

/// The connections that are open.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    role: Role,
    process: Process,
    /// How many of its questions have no answer yet.
    questions: usize,
    /// How many of these only watch.
    watches: usize,
    /// Until when a person may be at a prompt of it.
    busy_until: Option<Instant>,
    /// Counts up whenever any connection becomes idle, so the lowest is idle the longest.
    idle_since: u64,
    evicted: CancellationToken,
}

/// One connection's place; dropping it leaves.
#[derive(Debug)]
pub struct Slot {
    connections: Arc<Connections>,
    number: u64,
    evicted: CancellationToken,
}

impl Connections {
    /// Takes in a connection that has said nothing yet.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] where its process has [`MAX_PER_PROCESS`] already.
    pub fn accept(self: &Arc<Self>, process: &Process) -> Result<Slot, Failure> {
        let mut inner = self.lock();
        if let Some(pid) = process.pid {
            let own = inner.open.values().filter(|entry| entry.process.pid == Some(pid)).count();
            if own >= MAX_PER_PROCESS {
                return Err(refused(format!(
                    "{process} has {own} connections open already, and no more may be"
                )));
            }
        }
        inner.make_room(Role::Greeting)?;
        let number = inner.tick();
        let evicted = CancellationToken::new();
        let entry = Entry {
            role: Role::Greeting,
            process: process.clone(),
            questions: 0,
            watches: 0,
            busy_until: None,
            idle_since: number,
            evicted: evicted.clone(),
        };
        inner.open.insert(number, entry);
        Ok(Slot { connections: Arc::clone(self), number, evicted })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sees that one more of this role has a place.
    fn make_room(&mut self, role: Role) -> Result<(), Failure> {
        let max = match role {
            Role::Greeting => MAX_GREETING,
            Role::Session => MAX_SESSIONS,
            Role::Terminal => MAX_TERMINALS,
        };
        let count = self.open.values().filter(|entry| entry.role == role).count();
        if count < max {
            return Ok(());
        }
        let families = Families::of(self.open.values().filter(|entry| entry.role == role));
        let may_go = |entry: &Entry| role != Role::Session || families.size(&entry.process) >= LARGE_FAMILY;
        let going = self.open.iter().filter(|(_, entry)| entry.role == role && may_go(entry));
        let now = Instant::now();
        // Idle ones of small families are alike: there only idleness counts. In a large one the process that has most
        // comes first, because a person's shell may have started that one too.
        let rank = |entry: &Entry| {
            let (size, own) = (families.size(&entry.process), families.own(&entry.process));
            let is_prompting = entry.busy_until.is_some_and(|until| now < until);
            let (large, busy) = (size >= LARGE_FAMILY, is_prompting || entry.questions > 0);
            let (size, own) = if large || busy { (size, own) } else { (0, 0) };
            let (only_watches, largest) = (entry.watches == entry.questions, Reverse((size, own)));
            (!large, !large && busy, largest, is_prompting, !only_watches, busy, entry.idle_since)
        };
        let chosen = going.min_by_key(|(_, entry)| rank(entry)).map(|(number, _)| *number);
        let entry = chosen.and_then(|number| self.open.remove(&number));
        match entry {
            Some(entry) => {
                tracing::warn!(process = %entry.process, ?role, "a connection was closed to make room");
                entry.evicted.cancel();
                Ok(())
            }
            None => Err(self.crowded(role, count)),
        }
    }

    /// Why there is no room, with the process that holds most of it.
    fn crowded(&self, role: Role, count: usize) -> Failure {
        let what = match role {
            Role::Greeting => "connections that say nothing",
            Role::Session => "sessions",
            Role::Terminal => "terminals",
        };
        let of_role = || self.open.values().filter(|entry| entry.role == role);
        let families = Families::of(of_role());
        let largest = of_role().max_by_key(|entry| families.size(&entry.process));
        let most = largest.map(|entry| {
            let (own, size) = (families.own(&entry.process), families.size(&entry.process));
            match entry.process.parent {
                Some(parent) if size > own => {
                    format!(
                        "; most of them, {size}, were started by process {parent}, one as {}",
                        entry.process
                    )
                }
                _ => format!("; {} has most of them, {size}", entry.process),
            }
        });
        refused(format!("{count} {what} are connected already{}", most.unwrap_or_default()))
    }
}

fn refused(message: String) -> Failure {
    Failure::new(FailureKind::Refused, message)
        .with_hint("end that process, or sessions that are no longer used")
}

/// How many connections each process has, and the processes that one parent started.
struct Families {
    of_process: HashMap<u32, usize>,
    of_parent: HashMap<u32, usize>,
}

impl Families {
    fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut families = Self { of_process: HashMap::new(), of_parent: HashMap::new() };
        for entry in entries {
            if let Some(pid) = entry.process.pid {
                *families.of_process.entry(pid).or_default() += 1;
            }
            if let Some(parent) = entry.process.parent {
                *families.of_parent.entry(parent).or_default() += 1;
            }
        }
        families
    }

    fn own(&self, process: &Process) -> usize {
        process.pid.and_then(|pid| self.of_process.get(&pid)).copied().unwrap_or(1)
    }

    fn size(&self, process: &Process) -> usize {
        let kin = process.parent.and_then(|parent| self.of_parent.get(&parent)).copied().unwrap_or(1);
        self.own(process).max(kin)
    }
}

impl Slot {
    /// It said who it is.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] where there is no place for such a one; the message names who holds most.
    pub fn greeted(&self, role: Role) -> Result<(), Failure> {
        let mut inner = self.connections.lock();
        inner.make_room(role)?;
        let idle_since = inner.tick();
        let Some(entry) = inner.open.get_mut(&self.number) else {
            return Err(refused("too many are connected, and this place was needed".to_owned()));
        };
        (entry.role, entry.idle_since) = (role, idle_since);
        entry.busy_until = (role == Role::Terminal).then(|| Instant::now() + PROMPT_TIME);
        Ok(())
    }

    /// It asked a question, which may be one that stays open to watch.
    pub fn asked(&self, is_watch: bool) {
        if let Some(entry) = self.connections.lock().open.get_mut(&self.number) {
            entry.questions += 1;
            entry.watches += usize::from(is_watch);
            if !is_watch && entry.role == Role::Terminal {
                entry.busy_until = Some(Instant::now() + PROMPT_TIME);
            }
        }
    }

    /// One of its questions has its answer.
    pub fn answered(&self, is_watch: bool) {
        let mut inner = self.connections.lock();
        let now = inner.tick();
        if let Some(entry) = inner.open.get_mut(&self.number) {
            entry.questions = entry.questions.saturating_sub(1);
            entry.watches = entry.watches.saturating_sub(usize::from(is_watch));
            entry.idle_since = now;
        }
    }

    /// Returns once it has to go.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32) -> Process {
        Process { pid: Some(pid), parent: Some(parent), programs: vec![format!("program{pid}")] }
    }

    fn is_evicted(slot: &Slot) -> bool {
        slot.evicted.is_cancelled()
    }

    fn greeted(connections: &Arc<Connections>, process: &Process, role: Role) -> Result<Slot, Failure> {
        let slot = connections.accept(process)?;
        slot.greeted(role)?;
        Ok(slot)
    }

    #[test]
    fn one_process_has_so_many_and_is_named_when_it_wants_more() {
        let connections = Arc::new(Connections::default());
        let all: Vec<_> = (0..MAX_PER_PROCESS).map(|_| connections.accept(&process(7, 1)).unwrap()).collect();
        let refused = connections.accept(&process(7, 1)).unwrap_err();
        assert!(refused.message.contains("program7 (pid 7)") && refused.message.contains("32"), "{refused}");
        assert!(connections.accept(&process(8, 2)).is_ok());
        drop(all);
        assert!(connections.accept(&process(7, 1)).is_ok(), "those that left leave room");
    }

    #[test]
    fn of_the_silent_the_one_of_the_largest_family_goes_and_the_newcomer_is_heard() {
        let connections = Arc::new(Connections::default());
        let alone = connections.accept(&process(5, 4)).unwrap();
        let forked = (0..200).map(|n| connections.accept(&process(100 + n, 99)).unwrap());
        let forked: Vec<_> = forked.collect();
        assert!(!is_evicted(&alone), "it waits longest, but it is one of few");
        assert_eq!(forked.iter().filter(|slot| !is_evicted(slot)).count(), MAX_GREETING - 1);
        assert!(!is_evicted(forked.last().unwrap()), "the last one is heard");
        assert!(connections.accept(&process(6, 4)).unwrap().greeted(Role::Terminal).is_ok());
    }

    #[test]
    fn a_terminal_stays_though_its_shell_started_the_process_that_has_most() {
        let connections = Arc::new(Connections::default());
        let terminal = connections.accept(&process(5, 4)).unwrap();
        let crowd = (0..MAX_PER_PROCESS).map(|_| connections.accept(&process(6, 4)).unwrap());
        let crowd: Vec<_> = crowd.collect();
        let others = (0..40).map(|n| connections.accept(&process(100 + n, 99)).unwrap());
        let others: Vec<_> = others.collect();
        assert!(terminal.greeted(Role::Terminal).is_ok() && !is_evicted(&terminal));
        assert!(crowd.iter().chain(&others).any(is_evicted));
    }

    #[test]
    fn terminals_that_ask_nothing_make_room_and_so_do_those_of_a_large_family() {
        let connections = Arc::new(Connections::default());
        let typing = greeted(&connections, &process(5, 4), Role::Terminal).unwrap();
        let busy = (0..MAX_TERMINALS as u32).map(|n| {
            let slot = greeted(&connections, &process(100 + n, 99), Role::Terminal).unwrap();
            slot.asked(true);
            slot
        });
        let busy: Vec<_> = busy.collect();
        let person = greeted(&connections, &process(6, 4), Role::Terminal).unwrap();
        assert!(!is_evicted(&typing) && !is_evicted(&person), "a person at a prompt stays");
        assert_eq!(busy.iter().filter(|slot| is_evicted(slot)).count(), 2);
    }

    #[test]
    fn small_families_that_all_watch_make_room_and_keep_no_person_at_a_prompt_out() {
        let connections = Arc::new(Connections::default());
        let person = greeted(&connections, &process(5, 4), Role::Terminal).unwrap();
        person.asked(false);
        person.answered(false);
        let crowd = |n: u32| {
            let slot = greeted(&connections, &process(1000 + n / 7, 100 + n / 7), Role::Terminal).unwrap();
            slot.asked(true);
            slot
        };
        let watching: Vec<_> = (0..70).map(crowd).collect();
        assert_eq!(watching.iter().filter(|slot| !is_evicted(slot)).count(), MAX_TERMINALS - 1);
        let another = greeted(&connections, &process(6, 3), Role::Terminal).unwrap();
        let churn: Vec<_> = (70..210).map(crowd).collect();
        assert!(!is_evicted(&person), "it is idle the longest, and at a prompt");
        assert!(!is_evicted(&another) && churn.iter().any(is_evicted));
    }

    #[test]
    fn sessions_have_places_of_their_own_and_none_goes_that_is_one_of_few() {
        let connections = Arc::new(Connections::default());
        let sessions = 0..MAX_SESSIONS as u32;
        let sessions =
            sessions.map(|n| greeted(&connections, &process(1000 + n, 500 + n), Role::Session).unwrap());
        let sessions: Vec<_> = sessions.collect();
        let refused = greeted(&connections, &process(7, 6), Role::Session).unwrap_err();
        assert!(refused.message.contains("192 sessions"), "{refused}");
        assert!(sessions.iter().all(|slot| !is_evicted(slot)));
        assert!(greeted(&connections, &process(7, 6), Role::Terminal).is_ok());
    }

    #[test]
    fn where_sessions_are_full_those_of_a_large_family_go_and_the_refusal_names_the_largest() {
        let connections = Arc::new(Connections::default());
        let own = greeted(&connections, &process(5, 4), Role::Session).unwrap();
        let many = (0..300).map(|n| greeted(&connections, &process(100 + n, 99), Role::Session).unwrap());
        let many: Vec<_> = many.collect();
        assert!(!is_evicted(&own));
        assert_eq!(many.iter().filter(|slot| !is_evicted(slot)).count(), MAX_SESSIONS - 1);

        let connections = Arc::new(Connections::default());
        let family = |n: u32| process(1000 + n, 10 + n / (LARGE_FAMILY as u32 - 1));
        let few = (0..MAX_SESSIONS as u32).map(|n| greeted(&connections, &family(n), Role::Session).unwrap());
        let _few: Vec<_> = few.collect();
        let refused = greeted(&connections, &process(7, 6), Role::Session).unwrap_err().message;
        assert!(refused.contains("most of them, 7, were started by process"), "{refused}");
    }
}
