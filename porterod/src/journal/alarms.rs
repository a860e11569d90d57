//! Reports events that only the audit shows: a withheld message, a session that never greeted this daemon, or a rule or grant that never applied here. The last two suggest that another process posed as the
//! session's daemon.
//!
//! A session that ended before it could greet is reported only if it needed a daemon: it used a rule or
//! grant, or ignored a rule or pause of this one. Other calls are possible without a daemon, and a process
//! that forged them could just as well greet in the session's name.
//!
//! Alarms that were raised several times within minutes are sent together from here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portero::audit::{self, AuditEvent, AuditFollower, RecordFilter};
use portero::names::ToolId;
use portero::notice::AlarmKind;
use portero::policy::DecisionSource;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;

/// How often the segments are read.
const SCAN_INTERVAL: Duration = Duration::from_secs(10);

/// How long a session may make calls before it greets. It is longer than the pause after which a session that
/// lost the daemon looks for it again.
const GREET_TIMEOUT: Duration = Duration::from_secs(90);
/// The most that one scan adds to a count. A forged record must not keep the daemon busy.
const MAX_COUNTED: u64 = 1_000;
/// How many segments without a greeting are watched at once.
const MAX_UNGREETED: usize = 10_000;

/// By segment: the calls that ran without a question.
type CitedSources = BTreeMap<String, Made>;

/// The calls of one segment.
#[derive(Default)]
struct Made {
    /// The rules and grants that they cite.
    sources: BTreeSet<DecisionSource>,
    tools: BTreeSet<ToolId>,
}

/// A segment with calls and without a greeting.
#[derive(Debug, Clone, Copy)]
struct Ungreeted {
    /// When it was first seen, in time since boot.
    since: Duration,
    /// Whether all of its calls are possible without a daemon.
    could_be_alone: bool,
}

/// What the daemon knows about sessions.
#[derive(Clone)]
pub struct SessionChecks {
    /// Whether a session announced this segment as its own.
    pub is_announced: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Whether a rule or grant with this id has applied since the daemon started.
    pub was_in_force: Arc<dyn Fn(u64) -> bool + Send + Sync>,
    /// Whether a rule that denies or asks, or a pause, applies to this tool now.
    pub is_restricted: Arc<dyn Fn(&ToolId) -> bool + Send + Sync>,
}

/// Follows the segments of sessions from their present ends.
pub struct AlarmWatcher {
    journal: Arc<Journal>,
    session_checks: SessionChecks,
    directory: PathBuf,
    ungreeted: HashMap<String, Ungreeted>,
    /// Segments that were already reported.
    reported: HashSet<String>,
    /// None until the directory could be read.
    follower: Option<AuditFollower>,
}

impl AlarmWatcher {
    /// A watcher of the segments in `directory`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, known: SessionChecks, directory: &Path) -> Self {
        let (follower, directory) = (follow_segments(directory), directory.to_owned());
        Self {
            journal,
            session_checks: known,
            directory,
            ungreeted: HashMap::new(),
            reported: HashSet::new(),
            follower,
        }
    }

    /// Scans at intervals until `stop`. The composition root spawns it.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.journal.flush_alarms(true).await,
                () = tokio::time::sleep(SCAN_INTERVAL) => self.scan_segments().await,
            }
        }
    }

    /// Scans what was written since the last scan, and raises the alarms.
    pub async fn scan_segments(&mut self) {
        let (follower, directory) = (self.follower.take(), self.directory.clone());
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || {
            let mut follower = follower.or_else(|| follow_segments(&directory))?;
            let (mut withheld, mut calls) = (BTreeMap::new(), CitedSources::new());
            let read = follower.visit_new(|entry| {
                if let AuditEvent::Withheld { count, .. } = &entry.record.event {
                    *withheld.entry(describe_withheld(&entry.record.event)).or_insert(0) += count;
                }
                if journal.is_own_segment(&entry.segment) {
                    return;
                }
                if let AuditEvent::Intent { tool, reason, task: None, .. } = entry.record.event {
                    let made = calls.entry(entry.segment).or_default();
                    made.sources.extend(DecisionSource::parse_from_text(&reason));
                    made.tools.insert(tool);
                }
            });
            Some((follower, withheld, calls, read))
        });
        let Ok(Some((follower, withheld, calls, read))) = read.await else { return };
        self.follower = Some(follower);
        for (about, count) in withheld {
            self.report_withheld(&about, count).await;
        }
        self.alarm_unknown_sessions(calls).await;
        if let Err(error) = read {
            tracing::warn!(%error, "what sessions withheld is not known");
        }
        self.journal.flush_alarms(false).await;
    }

    /// Raises one alarm for all findings of a scan, so that many forged segments don't flood the person.
    async fn alarm_unknown_sessions(&mut self, calls: CitedSources) {
        let (mut cite, now) = (Vec::new(), self.journal.now().boot);
        for (segment, Made { sources, tools }) in calls {
            let could_be_alone =
                sources.is_empty() && !tools.iter().any(|tool| (self.session_checks.is_restricted)(tool));
            for source in sources {
                let (DecisionSource::Rule(id) | DecisionSource::Grant(id)) = source else { continue };
                if !(self.session_checks.was_in_force)(id)
                    && self.reported.insert(format!("{segment}: {source}"))
                {
                    cite.push(format!("segment {segment} cites {source}"));
                }
            }
            // Beyond the limit new segments aren't watched; those already watched keep their time.
            if self.ungreeted.len() < MAX_UNGREETED {
                let first = Ungreeted { since: now, could_be_alone: true };
                self.ungreeted.entry(segment).or_insert(first).could_be_alone &= could_be_alone;
            }
        }
        // A greeting that comes within the timeout ends the watch without an alarm.
        self.ungreeted.retain(|segment, _| !(self.session_checks.is_announced)(segment));
        let late =
            self.ungreeted.extract_if(|_, seen| now.saturating_sub(seen.since) >= GREET_TIMEOUT).collect();
        let strange = self.without_ended(late).await.into_iter();
        let strange = strange.filter(|segment| self.reported.insert(segment.clone()));
        let strange: Vec<String> = strange.map(|segment| format!("segment {segment}")).collect();
        self.raise_alarm("calls ran by rules or grants that were never in force here", &cite).await;
        self.raise_alarm("a session makes calls and never greeted this daemon", &strange).await;
    }

    /// Removes the segments of sessions that ended before they could greet and needed no daemon.
    async fn without_ended(&self, mut late: Vec<(String, Ungreeted)>) -> Vec<String> {
        let directory = self.directory.clone();
        let is_open = move |segment: &str| {
            // If that can't be determined, the segment is reported.
            audit::is_open(&directory, segment).unwrap_or(true)
        };
        let looked = tokio::task::spawn_blocking(move || {
            late.retain(|(segment, seen)| !seen.could_be_alone || is_open(segment));
            late.into_iter().map(|(segment, _)| segment).collect()
        });
        looked.await.unwrap_or_default()
    }

    async fn raise_alarm(&self, what: &str, found: &[String]) {
        let [first, others @ ..] = found else { return };
        let more = if others.is_empty() { String::new() } else { format!(", and {} more", others.len()) };
        let about = format!(
            "{what}: {first}{more}; a session may have believed another process in the daemon's place: see `portero \
             logs`, and PORTERO_RUNTIME_DIR and PORTERO_STATE_DIR of your agent"
        );
        tracing::error!("{about}");
        self.journal.raise_alarm(AlarmKind::Audit, &about).await;
        // The notice doesn't depend on the record; a record that can't be written now is written later.
        let _ = self.journal.record_act("alarm", &about, true, None).await;
    }

    async fn report_withheld(&self, about: &str, count: u64) {
        for _ in 0..count.min(MAX_COUNTED) {
            self.journal.raise_alarm(AlarmKind::Withheld, about).await;
        }
    }
}

/// What was withheld: the kind of message, whose it was, and the rule. The value is in none of it.
fn describe_withheld(event: &AuditEvent) -> String {
    let AuditEvent::Withheld { channel, server, tool, what, .. } = event else { return String::new() };
    let (whose, see) = match (tool, server) {
        (Some(tool), _) => (format!(" of {tool}"), format!("; see `portero logs --tool {tool}`")),
        (None, Some(server)) => {
            (format!(" of `{server}`"), format!("; see `portero logs --server {server}`"))
        }
        (None, None) => (String::new(), String::new()),
    };
    format!("{}{whose} was withheld, because it held {what}{see}", channel.describe())
}

fn follow_segments(directory: &Path) -> Option<AuditFollower> {
    AuditFollower::new(directory, RecordFilter::default())
        .inspect_err(|error| tracing::warn!(%error, "what sessions withhold is not known"))
        .ok()
}

#[cfg(test)]
mod tests {
    use portero::audit::{AuditRecord, AuditWriter, RecordedOutcome, WithheldChannel};
    use portero::clock::Clock as _;

    use super::*;
    use crate::approvals::tests::Fixture;
    use crate::journal::ALARM_GATHER_INTERVAL;

    fn outcome(fixture: &Fixture, outcome: RecordedOutcome) -> AuditRecord {
        let event = AuditEvent::Outcome { call: 1, tool: "mail/read".parse().unwrap(), outcome, micros: 1 };
        AuditRecord { at: fixture.clock.now().wall, session: None, principal: None, address: None, event }
    }

    fn withheld(fixture: &Fixture, channel: WithheldChannel, tool: Option<&str>) -> AuditRecord {
        let event = AuditEvent::Withheld {
            channel,
            server: Some("mail".parse().unwrap()),
            tool: tool.map(|tool| tool.parse().unwrap()),
            what: "the real value of replacement 2 (name)".to_owned(),
            count: 1,
        };
        AuditRecord { at: fixture.clock.now().wall, session: None, principal: None, address: None, event }
    }

    /// No rule, no grant, no session.
    fn no_session_known() -> SessionChecks {
        SessionChecks {
            is_announced: Arc::new(|_| false),
            was_in_force: Arc::new(|_| false),
            is_restricted: Arc::new(|_| false),
        }
    }

    fn intent(fixture: &Fixture, reason: &str) -> AuditRecord {
        let (tool, reason) = ("mail/send".parse().unwrap(), reason.to_owned());
        let event = AuditEvent::Intent { call: 1, tool, reason, task: None, arguments: None };
        AuditRecord { at: fixture.clock.now().wall, session: None, principal: None, address: None, event }
    }

    #[tokio::test]
    async fn a_session_that_makes_calls_and_never_greets_is_told_of_once_and_one_that_greets_late_is_not() {
        let fixture = Fixture::new();
        let directory = fixture.directory.path().join("audit");
        let open = |name: &str| AuditWriter::open(&directory, name, fixture.clock.now()).unwrap();
        let early = open("before the daemon");
        early.append(&intent(&fixture, "allowed by `a/b` (policies.json)")).unwrap();
        let announced: Arc<std::sync::Mutex<HashSet<String>>> = Arc::default();
        let asked = Arc::clone(&announced);
        let is_announced = Arc::new(move |segment: &str| asked.lock().unwrap().contains(segment));
        let known = SessionChecks { is_announced, ..no_session_known() };
        let mut alarms = AlarmWatcher::new(Arc::clone(&fixture.journal), known, &directory);
        let (silent, late, idle) = (open("silent"), open("late"), open("idle"));
        for session in [&silent, &late] {
            session.append(&intent(&fixture, "allowed by `a/b` (policies.json)")).unwrap();
        }
        alarms.scan_segments().await;
        assert!(fixture.notice_texts().is_empty(), "it has some time: {:?}", fixture.notice_texts());
        announced.lock().unwrap().insert(late.checkpoint().segment);
        fixture.clock.advance(GREET_TIMEOUT);
        alarms.scan_segments().await;
        assert_eq!(fixture.notice_texts().len(), 1, "{:?}", fixture.notice_texts());
        let told = &fixture.notice_texts()[0];
        assert!(told.contains("never greeted") && told.contains(&silent.checkpoint().segment), "{told}");
        for other in [early, late, idle] {
            assert!(!told.contains(&other.checkpoint().segment), "{told}");
        }
        silent.append(&intent(&fixture, "allowed by `a/b` (policies.json)")).unwrap();
        fixture.clock.advance(2 * GREET_TIMEOUT);
        alarms.scan_segments().await;
        alarms.scan_segments().await;
        assert_eq!(fixture.notice_texts().len(), 1, "once: {:?}", fixture.notice_texts());
    }

    #[tokio::test]
    async fn a_session_that_ends_before_it_greets_is_told_of_only_where_it_needed_a_daemon() {
        let fixture = Fixture::new();
        let directory = fixture.directory.path().join("audit");
        let open = |name: &str| AuditWriter::open(&directory, name, fixture.clock.now()).unwrap();
        let by_file = intent(&fixture, "allowed by `a/b` (policies.json)");
        let by_rule = intent(&fixture, "allowed by `a/b` (rule 3)");
        for (record, restricted, told) in [(&by_file, false, 0), (&by_file, true, 1), (&by_rule, false, 1)] {
            let known = SessionChecks {
                was_in_force: Arc::new(|_| true),
                is_restricted: Arc::new(move |_| restricted),
                ..no_session_known()
            };
            let mut alarms = AlarmWatcher::new(Arc::clone(&fixture.journal), known, &directory);
            let before = fixture.notice_texts().len();
            let ends = open("ends");
            ends.append(record).unwrap();
            drop(ends);
            alarms.scan_segments().await;
            fixture.clock.advance(GREET_TIMEOUT);
            alarms.scan_segments().await;
            assert_eq!(fixture.notice_texts().len() - before, told, "{record:?}, restricted: {restricted}");
        }
    }

    #[tokio::test]
    async fn a_call_by_a_rule_or_grant_that_never_was_raises_an_alarm() {
        let fixture = Fixture::new();
        let directory = fixture.directory.path().join("audit");
        let was_in_force = Arc::new(|id| id == 3);
        let known = SessionChecks { is_announced: Arc::new(|_| true), was_in_force, ..no_session_known() };
        let mut alarms = AlarmWatcher::new(Arc::clone(&fixture.journal), known, &directory);
        let session = AuditWriter::open(&directory, "session", fixture.clock.now()).unwrap();
        for known in
            ["allowed by `a/b` (rule 3)", "allowed by `a/b` (grant 3)", "allowed by `*` (policies.json:2:4)"]
        {
            session.append(&intent(&fixture, known)).unwrap();
        }
        alarms.scan_segments().await;
        assert!(fixture.notice_texts().is_empty(), "{:?}", fixture.notice_texts());
        for forged in ["allowed by `*` (rule 9)", "allowed by `*` (rule 9)", "allowed by `*` (grant 8)"] {
            session.append(&intent(&fixture, forged)).unwrap();
        }
        alarms.scan_segments().await;
        assert_eq!(fixture.notice_texts().len(), 1, "one for all: {:?}", fixture.notice_texts());
        assert!(
            fixture.notice_texts()[0].contains("cites rule 9, and 1 more"),
            "{:?}",
            fixture.notice_texts()
        );
    }

    #[tokio::test]
    async fn people_are_told_once_of_what_a_session_withheld_and_of_nothing_else() {
        let fixture = Fixture::new();
        let directory = fixture.directory.path().join("audit");
        let session = AuditWriter::open(&directory, "session", fixture.clock.now()).unwrap();
        let answer = || withheld(&fixture, WithheldChannel::Answer, Some("mail/read"));
        session.append(&answer()).unwrap();
        let mut alarms = AlarmWatcher::new(Arc::clone(&fixture.journal), no_session_known(), &directory);
        alarms.scan_segments().await;
        assert!(fixture.notice_texts().is_empty(), "what was before is not told");
        session.append(&outcome(&fixture, RecordedOutcome::Failed)).unwrap();
        session.append(&answer()).unwrap();
        alarms.scan_segments().await;
        alarms.scan_segments().await;
        assert_eq!(fixture.notice_texts().len(), 1, "{:?}", fixture.notice_texts());
        let told = &fixture.notice_texts()[0];
        assert!(told.contains("an answer of mail/read") && told.contains("replacement 2 (name)"), "{told}");
        for _ in 0..50 {
            session.append(&answer()).unwrap();
        }
        alarms.scan_segments().await;
        assert_eq!(
            fixture.notice_texts().len(),
            1,
            "what says the same is counted: {:?}",
            fixture.notice_texts()
        );
        fixture.clock.advance(ALARM_GATHER_INTERVAL);
        alarms.scan_segments().await;
        assert_eq!(fixture.notice_texts().len(), 2);
        assert!(
            fixture.notice_texts()[1].contains("mail/read")
                && fixture.notice_texts()[1].contains("(50 times)")
        );
        fixture.clock.advance(2 * ALARM_GATHER_INTERVAL);
        alarms.scan_segments().await;
        let later = AuditWriter::open(&directory, "another", fixture.clock.now()).unwrap();
        later.append(&answer()).unwrap();
        alarms.scan_segments().await;
        assert_eq!(fixture.notice_texts().len(), 3, "a session that came later is followed too");
    }

    #[tokio::test]
    async fn every_kind_of_withheld_message_is_told_with_its_server_and_also_the_daemons_own() {
        let fixture = Fixture::new();
        let directory = fixture.directory.path().join("audit");
        let session = AuditWriter::open(&directory, "session", fixture.clock.now()).unwrap();
        let mut alarms = AlarmWatcher::new(Arc::clone(&fixture.journal), no_session_known(), &directory);
        alarms.scan_segments().await;
        for (channel, tool) in [
            (WithheldChannel::Arguments, Some("mail/send")),
            (WithheldChannel::Log, None),
            (WithheldChannel::ResourceUpdate, None),
        ] {
            session.append(&withheld(&fixture, channel, tool)).unwrap();
        }
        let progress = withheld(&fixture, WithheldChannel::Progress, Some("mail/read"));
        fixture.journal.record(progress).await.unwrap();
        alarms.scan_segments().await;
        let told = fixture.notice_texts().join("\n");
        for part in [
            "the arguments of a call of mail/send",
            "a log message of `mail`",
            "an update of a resource of `mail`",
            "progress of a call of mail/read",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(told.matches("replacement 2 (name)").count(), 4, "{told}");
    }
}
