//! Limits the connections, so that no process can crowd out a person's terminal.
//!
//! Sessions, terminals and connections before their greeting have separate limits. At a limit, one connection
//! of that kind is closed to make room: from the largest family first, then an idle one, then the one idle
//! for longest.
//! A family is the connections of one process, or of all processes with one parent, so that a program gains
//! nothing by forking.
//! A terminal that greeted or asked something other than a watch within a minute isn't idle, because a person
//! may be at its prompt. If all are busy, the largest family loses one.
//! A session is closed only if its family has at least `MIN_LARGE_FAMILY` connections.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use portero::ipc::{DaemonFailure, FailureKind, PeerProcess};
use portero::sync::lock;
use tokio_util::sync::CancellationToken;

/// The most connections before their greeting.
pub const MAX_GREETING: usize = 64;
/// The most connected sessions.
pub const MAX_SESSIONS: usize = 192;
/// The most connected terminals.
pub const MAX_TERMINALS: usize = 64;
/// The most connections of one process.
pub const MAX_PER_PROCESS: usize = 32;
/// From this size on a family may lose a connection that is busy or a session.
const MIN_LARGE_FAMILY: usize = 8;

/// How long a terminal counts as busy after its last request or greeting.
const PROMPT_GRACE: Duration = Duration::from_secs(60);

/// The kind of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionRole {
    /// Before its greeting.
    Greeting,
    /// An agent's session.
    Session,
    /// A person's terminal.
    Terminal,
}

/// The open connections.
#[derive(Debug, Default)]
pub struct Connections(Mutex<ConnectionTable>);

#[derive(Debug, Default)]
struct ConnectionTable {
    next: u64,
    open: BTreeMap<u64, OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    role: ConnectionRole,
    process: PeerProcess,
    /// How many of its requests have no response yet.
    questions: usize,
    /// How many of these are watches.
    watches: usize,
    /// Until when a person may be at its prompt.
    busy_until: Option<Instant>,
    /// A counter that rises whenever a connection becomes idle, so the lowest value is idle for longest.
    idle_since: u64,
    evicted: CancellationToken,
}

/// A connection's place in the table; dropping it removes the connection.
#[derive(Debug)]
pub struct ConnectionSlot {
    connections: Arc<Connections>,
    number: u64,
    evicted: CancellationToken,
}

impl Connections {
    /// Adds a connection before its greeting.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] if its process already has [`MAX_PER_PROCESS`] connections.
    pub fn accept_connection(
        self: &Arc<Self>,
        process: &PeerProcess,
    ) -> Result<ConnectionSlot, DaemonFailure> {
        let mut inner = self.lock_table();
        if let Some(pid) = process.pid {
            let own = inner.open.values().filter(|entry| entry.process.pid == Some(pid)).count();
            if own >= MAX_PER_PROCESS {
                return Err(refused_failure(format!(
                    "{process} has {own} connections open already, and no more may be"
                )));
            }
        }
        inner.make_room(ConnectionRole::Greeting)?;
        let number = inner.next_number();
        let evicted = CancellationToken::new();
        let entry = OpenConnection {
            role: ConnectionRole::Greeting,
            process: process.clone(),
            questions: 0,
            watches: 0,
            busy_until: None,
            idle_since: number,
            evicted: evicted.clone(),
        };
        inner.open.insert(number, entry);
        Ok(ConnectionSlot { connections: Arc::clone(self), number, evicted })
    }

    fn lock_table(&self) -> MutexGuard<'_, ConnectionTable> {
        lock(&self.0)
    }
}

impl ConnectionTable {
    fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Makes room for one more connection of this role.
    fn make_room(&mut self, role: ConnectionRole) -> Result<(), DaemonFailure> {
        let max = match role {
            ConnectionRole::Greeting => MAX_GREETING,
            ConnectionRole::Session => MAX_SESSIONS,
            ConnectionRole::Terminal => MAX_TERMINALS,
        };
        let count = self.open.values().filter(|entry| entry.role == role).count();
        if count < max {
            return Ok(());
        }
        let families =
            ProcessFamilies::count_connections(self.open.values().filter(|entry| entry.role == role));
        let may_go = |entry: &OpenConnection| {
            role != ConnectionRole::Session || families.family_size(&entry.process) >= MIN_LARGE_FAMILY
        };
        let going = self.open.iter().filter(|(_, entry)| entry.role == role && may_go(entry));
        let now = Instant::now();
        // In small families only idleness counts. In a large family the process with most connections comes
        // first, because a person's shell may have started that family too.
        let rank = |entry: &OpenConnection| {
            let (size, own) = (families.family_size(&entry.process), families.process_size(&entry.process));
            let is_prompting = entry.busy_until.is_some_and(|until| now < until);
            let (large, busy) = (size >= MIN_LARGE_FAMILY, is_prompting || entry.questions > 0);
            let (size, own) = if large || busy { (size, own) } else { (0, 0) };
            let (only_watches, largest) = (entry.watches == entry.questions, Reverse((size, own)));
            // Smallest first, so the order of the fields is the precedence. `false` sorts before `true`: a
            // large family goes before a small one, and in a small one an idle connection before a busy one.
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
            None => Err(self.crowded_failure(role, count)),
        }
    }

    /// The refusal, which names the process with the most connections.
    fn crowded_failure(&self, role: ConnectionRole, count: usize) -> DaemonFailure {
        let what = match role {
            ConnectionRole::Greeting => "connections that say nothing",
            ConnectionRole::Session => "sessions",
            ConnectionRole::Terminal => "terminals",
        };
        let of_role = || self.open.values().filter(|entry| entry.role == role);
        let families = ProcessFamilies::count_connections(of_role());
        let largest = of_role().max_by_key(|entry| families.family_size(&entry.process));
        let most = largest.map(|entry| {
            let (own, size) = (families.process_size(&entry.process), families.family_size(&entry.process));
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
        refused_failure(format!("{count} {what} are connected already{}", most.unwrap_or_default()))
    }
}

fn refused_failure(message: String) -> DaemonFailure {
    DaemonFailure::new(FailureKind::Refused, message)
        .with_hint("end that process, or sessions that are no longer used")
}

/// The number of connections by process and by parent process.
struct ProcessFamilies {
    of_process: HashMap<u32, usize>,
    of_parent: HashMap<u32, usize>,
}

impl ProcessFamilies {
    fn count_connections<'a>(entries: impl Iterator<Item = &'a OpenConnection>) -> Self {
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

    fn process_size(&self, process: &PeerProcess) -> usize {
        process.pid.and_then(|pid| self.of_process.get(&pid)).copied().unwrap_or(1)
    }

    fn family_size(&self, process: &PeerProcess) -> usize {
        let kin = process.parent.and_then(|parent| self.of_parent.get(&parent)).copied().unwrap_or(1);
        self.process_size(process).max(kin)
    }
}

impl ConnectionSlot {
    /// Notes the role from the greeting.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] if there is no room for this role; the message names the process with the
    /// most.
    pub fn assign_role(&self, role: ConnectionRole) -> Result<(), DaemonFailure> {
        let mut inner = self.connections.lock_table();
        inner.make_room(role)?;
        let idle_since = inner.next_number();
        let Some(entry) = inner.open.get_mut(&self.number) else {
            return Err(refused_failure("too many are connected, and this place was needed".to_owned()));
        };
        (entry.role, entry.idle_since) = (role, idle_since);
        entry.busy_until = (role == ConnectionRole::Terminal).then(|| Instant::now() + PROMPT_GRACE);
        Ok(())
    }

    /// Notes an open request, which may be a watch.
    pub fn begin_question(&self, is_watch: bool) {
        if let Some(entry) = self.connections.lock_table().open.get_mut(&self.number) {
            entry.questions += 1;
            entry.watches += usize::from(is_watch);
            if !is_watch && entry.role == ConnectionRole::Terminal {
                entry.busy_until = Some(Instant::now() + PROMPT_GRACE);
            }
        }
    }

    /// Notes that a request got its response.
    pub fn end_question(&self, is_watch: bool) {
        let mut inner = self.connections.lock_table();
        let now = inner.next_number();
        if let Some(entry) = inner.open.get_mut(&self.number) {
            entry.questions = entry.questions.saturating_sub(1);
            entry.watches = entry.watches.saturating_sub(usize::from(is_watch));
            entry.idle_since = now;
        }
    }

    /// Returns once this connection was chosen to make room.
    pub async fn wait_for_eviction(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.lock_table().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32) -> PeerProcess {
        PeerProcess { pid: Some(pid), parent: Some(parent), programs: vec![format!("program{pid}")] }
    }

    fn is_evicted(slot: &ConnectionSlot) -> bool {
        slot.evicted.is_cancelled()
    }

    fn greeted(
        connections: &Arc<Connections>,
        process: &PeerProcess,
        role: ConnectionRole,
    ) -> Result<ConnectionSlot, DaemonFailure> {
        let slot = connections.accept_connection(process)?;
        slot.assign_role(role)?;
        Ok(slot)
    }

    #[test]
    fn one_process_has_so_many_and_is_named_when_it_wants_more() {
        let connections = Arc::new(Connections::default());
        let all: Vec<_> =
            (0..MAX_PER_PROCESS).map(|_| connections.accept_connection(&process(7, 1)).unwrap()).collect();
        let refused = connections.accept_connection(&process(7, 1)).unwrap_err();
        assert!(refused.message.contains("program7 (pid 7)") && refused.message.contains("32"), "{refused}");
        assert!(connections.accept_connection(&process(8, 2)).is_ok());
        drop(all);
        assert!(connections.accept_connection(&process(7, 1)).is_ok(), "those that left leave room");
    }

    #[test]
    fn of_the_silent_the_one_of_the_largest_family_goes_and_the_newcomer_is_heard() {
        let connections = Arc::new(Connections::default());
        let alone = connections.accept_connection(&process(5, 4)).unwrap();
        let forked = (0..200).map(|n| connections.accept_connection(&process(100 + n, 99)).unwrap());
        let forked: Vec<_> = forked.collect();
        assert!(!is_evicted(&alone), "it waits longest, but it is one of few");
        assert_eq!(forked.iter().filter(|slot| !is_evicted(slot)).count(), MAX_GREETING - 1);
        assert!(!is_evicted(forked.last().unwrap()), "the last one is heard");
        assert!(
            connections
                .accept_connection(&process(6, 4))
                .unwrap()
                .assign_role(ConnectionRole::Terminal)
                .is_ok()
        );
    }

    #[test]
    fn a_terminal_stays_though_its_shell_started_the_process_that_has_most() {
        let connections = Arc::new(Connections::default());
        let terminal = connections.accept_connection(&process(5, 4)).unwrap();
        let crowd = (0..MAX_PER_PROCESS).map(|_| connections.accept_connection(&process(6, 4)).unwrap());
        let crowd: Vec<_> = crowd.collect();
        let others = (0..40).map(|n| connections.accept_connection(&process(100 + n, 99)).unwrap());
        let others: Vec<_> = others.collect();
        assert!(terminal.assign_role(ConnectionRole::Terminal).is_ok() && !is_evicted(&terminal));
        assert!(crowd.iter().chain(&others).any(is_evicted));
    }

    #[test]
    fn terminals_that_ask_nothing_make_room_and_so_do_those_of_a_large_family() {
        let connections = Arc::new(Connections::default());
        let typing = greeted(&connections, &process(5, 4), ConnectionRole::Terminal).unwrap();
        let busy = (0..MAX_TERMINALS as u32).map(|n| {
            let slot = greeted(&connections, &process(100 + n, 99), ConnectionRole::Terminal).unwrap();
            slot.begin_question(true);
            slot
        });
        let busy: Vec<_> = busy.collect();
        let person = greeted(&connections, &process(6, 4), ConnectionRole::Terminal).unwrap();
        assert!(!is_evicted(&typing) && !is_evicted(&person), "a person at a prompt stays");
        assert_eq!(busy.iter().filter(|slot| is_evicted(slot)).count(), 2);
    }

    #[test]
    fn small_families_that_all_watch_make_room_and_keep_no_person_at_a_prompt_out() {
        let connections = Arc::new(Connections::default());
        let person = greeted(&connections, &process(5, 4), ConnectionRole::Terminal).unwrap();
        person.begin_question(false);
        person.end_question(false);
        let crowd = |n: u32| {
            let slot =
                greeted(&connections, &process(1000 + n / 7, 100 + n / 7), ConnectionRole::Terminal).unwrap();
            slot.begin_question(true);
            slot
        };
        let watching: Vec<_> = (0..70).map(crowd).collect();
        assert_eq!(watching.iter().filter(|slot| !is_evicted(slot)).count(), MAX_TERMINALS - 1);
        let another = greeted(&connections, &process(6, 3), ConnectionRole::Terminal).unwrap();
        let churn: Vec<_> = (70..210).map(crowd).collect();
        assert!(!is_evicted(&person), "it is idle the longest, and at a prompt");
        assert!(!is_evicted(&another) && churn.iter().any(is_evicted));
    }

    #[test]
    fn sessions_have_places_of_their_own_and_none_goes_that_is_one_of_few() {
        let connections = Arc::new(Connections::default());
        let sessions = 0..MAX_SESSIONS as u32;
        let sessions = sessions
            .map(|n| greeted(&connections, &process(1000 + n, 500 + n), ConnectionRole::Session).unwrap());
        let sessions: Vec<_> = sessions.collect();
        let refused = greeted(&connections, &process(7, 6), ConnectionRole::Session).unwrap_err();
        assert!(refused.message.contains("192 sessions"), "{refused}");
        assert!(sessions.iter().all(|slot| !is_evicted(slot)));
        assert!(greeted(&connections, &process(7, 6), ConnectionRole::Terminal).is_ok());
    }

    #[test]
    fn where_sessions_are_full_those_of_a_large_family_go_and_the_refusal_names_the_largest() {
        let connections = Arc::new(Connections::default());
        let own = greeted(&connections, &process(5, 4), ConnectionRole::Session).unwrap();
        let many =
            (0..300).map(|n| greeted(&connections, &process(100 + n, 99), ConnectionRole::Session).unwrap());
        let many: Vec<_> = many.collect();
        assert!(!is_evicted(&own));
        assert_eq!(many.iter().filter(|slot| !is_evicted(slot)).count(), MAX_SESSIONS - 1);

        let connections = Arc::new(Connections::default());
        let family = |n: u32| process(1000 + n, 10 + n / (MIN_LARGE_FAMILY as u32 - 1));
        let few = (0..MAX_SESSIONS as u32)
            .map(|n| greeted(&connections, &family(n), ConnectionRole::Session).unwrap());
        let _few: Vec<_> = few.collect();
        let refused = greeted(&connections, &process(7, 6), ConnectionRole::Session).unwrap_err().message;
        assert!(refused.contains("most of them, 7, were started by process"), "{refused}");
    }
}
