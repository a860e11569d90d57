//! A channel that writes down what it tells, killed between any two of its steps.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::RangeInclusive;

use portero::notice::Notice;
use rusqlite::Connection;

use super::*;
use crate::crash::crash_at;
use crate::journal::outbox::Outbox;

const CHANNEL_NAME: &str = "test";

/// Tells everything, a line each, until the daemon ends.
pub(super) async fn run_channel(outbox: Arc<Outbox>, file: PathBuf) {
    outbox.register_channel(CHANNEL_NAME).await.unwrap();
    let mut changes = outbox.subscribe();
    loop {
        for entry in outbox.next_entries(CHANNEL_NAME).unwrap() {
            let Notice::Task { state, .. } = entry.notice else {
                outbox.acknowledge(CHANNEL_NAME, entry.seq).await.unwrap();
                continue;
            };
            crash_at(&format!("taken {state}"));
            let mut told = OpenOptions::new().create(true).append(true).open(&file).unwrap();
            // In one write: the test reads meanwhile.
            told.write_all(format!("{} {state}\n", entry.seq).as_bytes()).unwrap();
            crash_at(&format!("told {state}"));
            outbox.acknowledge(CHANNEL_NAME, entry.seq).await.unwrap();
            crash_at(&format!("acknowledged {state}"));
        }
        if outbox.next_entries(CHANNEL_NAME).unwrap().is_empty() {
            changes.changed().await.unwrap();
        }
    }
}

/// What was told, in its order; the same notice twice stands there twice.
fn told_lines(home: &Home) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(home.path_of("told")).unwrap_or_default();
    let line = |line: &str| {
        let (seq, state) = line.split_once(' ').unwrap();
        (seq.parse().unwrap(), state.to_owned())
    };
    text.lines().map(line).collect()
}

/// Waits until the channel of the daemon that runs now has told everything and acknowledged it: what the one before
/// it told last stands in the file already, and may come again.
async fn wait_until_told(home: &Home) -> Vec<(u64, String)> {
    let since = Instant::now();
    while !is_acknowledged(home) {
        assert!(since.elapsed() < TEST_TIMEOUT, "not everything is told: {:?}", told_lines(home));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    told_lines(home)
}

fn is_acknowledged(home: &Home) -> bool {
    let sql = "SELECT (SELECT acknowledged FROM channels WHERE name = ?1) >= (SELECT max(seq) FROM notices)";
    let store = Connection::open(paths(home.0.path()).store()).unwrap();
    store.busy_timeout(TEST_TIMEOUT).unwrap();
    store.query_row(sql, [CHANNEL_NAME], |row| row.get::<_, Option<bool>>(0)).unwrap() == Some(true)
}

/// Points between a commit and its delivery, in the delivery, and after it, each with how often the notice that
/// the daemon died at is told in the end. What is committed may be told before whoever committed it goes on, and
/// so before the daemon dies.
const CRASH_POINTS: [(&str, RangeInclusive<usize>); 10] = [
    ("committed pending-approval", 1..=2),
    ("taken pending-approval", 1..=1),
    ("told pending-approval", 2..=2),
    ("acknowledged pending-approval", 1..=1),
    ("committed approved", 1..=2),
    ("told approved", 2..=2),
    ("committed executing", 1..=2),
    ("taken completed", 1..=1),
    ("told completed", 2..=2),
    ("acknowledged completed", 1..=1),
];

#[tokio::test]
async fn killed_at_any_point_a_channel_tells_every_change_at_least_once_and_in_order() {
    for (point, times) in CRASH_POINTS {
        let home = Home::new();
        let mut daemon = home.start_daemon_with(Some(point), true);
        let _ = run_scenario(&home).await;
        assert!(daemon.was_killed(), "{point} was not reached");

        let _daemon = home.start_daemon_with(None, true);
        let person = home.connect(PeerRole::Terminal).await;
        let task = wait_until_at_rest(&person).await.unwrap();
        let told = wait_until_told(&home).await;
        let state = point.split_once(' ').unwrap().1;
        let often = told.iter().filter(|(_, told)| told == state).count();
        assert!(times.contains(&often), "{point}: {told:?}");
        assert!(told.is_sorted_by_key(|(seq, _)| *seq), "{point}: {told:?}");
        let mut states: Vec<_> = told.into_iter().map(|(_, state)| state).collect();
        states.dedup();
        let whole = ["pending-approval", "approved", "executing", task.state.as_str()];
        let came = if task.state == TaskState::PendingApproval { &whole[..1] } else { &whole };
        assert_eq!(states, came, "{point}");
    }
}
