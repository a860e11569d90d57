mod damage;
mod versions;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portero::clock::Moment;
use portero::names::Principal;
use portero::policy::{Grant, GrantLimits};
use portero::task::TaskState;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Durability, Store, StoreError, checkpoints, overrides, tasks};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portero.db");
    (directory, path)
}

fn open_store(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, None, Box::new(|| Ok(())))
}

/// A store with a rule in it, closed.
async fn store_with_rule(path: &Path) -> overrides::OverridesRecord {
    let store = open_store(path).unwrap();
    let mut kept = store.read(overrides::load_overrides).unwrap();
    kept.overrides.epoch = 1;
    kept.next_id = 2;
    kept.overrides.rules.push(portero::policy::PolicyRule {
        id: 1,
        pattern: "mail/*".parse().unwrap(),
        action: portero::policy::Action::Deny,
        made: "2026-11-20T08:00:00.123456789Z".parse().unwrap(),
    });
    let saved = kept.clone();
    store
        .write(Durability::StoreSynced, move |store| overrides::save_overrides(store, &saved))
        .await
        .unwrap();
    kept
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_the_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, path) = place();
    let _store = open_store(&path).unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn only_what_is_made_again_is_committed_without_a_sync() {
    let (_directory, path) = place();
    let store = open_store(&path).unwrap();
    for records in [
        Durability::Unsynced,
        Durability::StoreSynced,
        Durability::Unsynced,
        Durability::AuditSynced,
        Durability::StoreSynced,
    ] {
        let how = store.write(records, |store| {
            Ok(store.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?)
        });
        let (normal, full) = (1, 2);
        assert_eq!(how.await.unwrap(), if records == Durability::Unsynced { normal } else { full });
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_crash() {
    let (_directory, path) = place();
    let store = open_store(&path).unwrap();
    let mut kept = store.read(overrides::load_overrides).unwrap();
    kept.overrides.epoch = 5;
    let saved = kept.clone();
    store
        .write(Durability::StoreSynced, move |store| overrides::save_overrides(store, &saved))
        .await
        .unwrap();
    let (_elsewhere, copy) = place();
    fs::copy(&path, &copy).unwrap();
    fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    assert_eq!(open_store(&copy).unwrap().read(overrides::load_overrides).unwrap(), kept);
    std::mem::forget(store);
    assert_eq!(open_store(&path).unwrap().read(overrides::load_overrides).unwrap(), kept);
}

#[tokio::test]
async fn a_damaged_store_is_an_error_or_says_the_same_and_is_never_empty() {
    let (_directory, path) = place();
    let kept = store_with_rule(&path).await;
    let good = fs::read(&path).unwrap();
    let (_elsewhere, damaged) = place();
    let mut errors = 0;
    let mut look = |bytes: &[u8], what: String| {
        let _ = fs::remove_file(damaged.with_extension("db-wal"));
        let _ = fs::remove_file(damaged.with_extension("db-shm"));
        fs::write(&damaged, bytes).unwrap();
        match open_store(&damaged) {
            Ok(store) => assert_eq!(store.read(overrides::load_overrides).unwrap(), kept, "{what}"),
            Err(StoreError::Corrupt { path, .. }) => {
                errors += 1;
                assert!(path.ends_with("portero.db"));
            }
            Err(StoreError::Newer { .. }) => errors += 1,
            Err(other) => panic!("{what}: {other}"),
        }
    };
    for length in (0..good.len()).step_by(4099) {
        look(&good[..length], format!("cut at {length}"));
    }
    for place in (0..good.len()).step_by(409).chain(0..100) {
        let mut bytes = good.clone();
        bytes[place] ^= 0x15;
        look(&bytes, format!("changed byte {place}"));
    }
    look(&[b'x'; 4096], "no database".to_owned());
    assert!(errors > 50, "{errors}");
}

#[test]
fn an_empty_file_is_no_store() {
    let (_directory, path) = place();
    fs::write(&path, "").unwrap();
    assert!(matches!(open_store(&path), Err(StoreError::Corrupt { .. })));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "it was not touched");
}

#[test]
fn another_programs_database_is_left_alone() {
    let (_directory, path) = place();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a); PRAGMA user_version = 1")
        .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(open_store(&path), Err(StoreError::Corrupt { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_store_is_left_alone() {
    let (_directory, path) = place();
    drop(open_store(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(open_store(&path), Err(StoreError::Newer { found: 99, .. })));
}

#[test]
fn a_store_that_is_gone_does_not_begin_anew_while_something_remembers_it() {
    let (directory, path) = place();
    let witness = directory.path().join("denies.json");
    fs::write(&witness, "{}").unwrap();
    let opened = Store::open(&path, Some(&witness), Box::new(|| Ok(())));
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })));
    fs::remove_file(&witness).unwrap();
    assert!(Store::open(&path, Some(&witness), Box::new(|| Ok(()))).is_ok());
}

#[test]
fn half_a_store_from_a_crash_while_it_was_made_does_not_matter() {
    let (directory, path) = place();
    fs::write(directory.path().join("portero.db.new"), "half").unwrap();
    assert!(open_store(&path).is_ok());
}

#[test]
fn a_missing_trigger_is_damage() {
    let (_directory, path) = place();
    drop(open_store(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("DROP TRIGGER tasks_transition").unwrap();
    assert!(matches!(open_store(&path), Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn a_change_that_fails_leaves_its_neighbours_alone() {
    let (_directory, path) = place();
    let store = open_store(&path).unwrap();
    let epoch = |to: i64| {
        move |store: &Connection| -> Result<(), StoreError> {
            store.execute("UPDATE meta SET epoch = ?1", [to])?;
            Ok(())
        }
    };
    let fails = |store: &Connection| -> Result<(), StoreError> {
        store.execute("UPDATE meta SET next_id = 77", [])?;
        Err(StoreError::Refused("no".to_owned()))
    };
    let (one, two, three) = tokio::join!(
        store.write(Durability::StoreSynced, epoch(3)),
        store.write(Durability::StoreSynced, fails),
        store.write(Durability::StoreSynced, |store| Ok(
            store.execute("UPDATE meta SET epoch = epoch + 1", [])?
        )),
    );
    assert_eq!((one, two, three), (Ok(()), Err(StoreError::Refused("no".to_owned())), Ok(1)));
    let found: (i64, i64) = store
        .read(move |store| {
            Ok(store
                .query_row("SELECT epoch, next_id FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
        .unwrap();
    assert_eq!(found, (4, 1));
}

#[tokio::test]
async fn without_its_record_a_change_is_undone() {
    let (_directory, path) = place();
    let full = || Err(std::io::Error::other("no space"));
    let store = Store::open(&path, None, Box::new(full)).unwrap();
    let change = |store: &Connection| Ok(store.execute("UPDATE meta SET next_id = 77", [])?);
    assert!(matches!(store.write(Durability::AuditSynced, change).await, Err(StoreError::Audit(_))));
    let next: i64 = store
        .read(move |store| Ok(store.query_row("SELECT next_id FROM meta", [], |row| row.get(0))?))
        .unwrap();
    assert_eq!(next, 1);
    assert_eq!(store.write(Durability::StoreSynced, change).await, Ok(1));
}

/// The condition of the trigger, as [`TaskState::may_become`] has it.
fn allowed_transitions() -> String {
    let lines: Vec<_> = TaskState::ALL
        .into_iter()
        .filter(|state| !state.is_final())
        .map(|from| {
            let next: Vec<_> = TaskState::ALL
                .into_iter()
                .filter(|to| from.can_transition_to(*to))
                .map(|to| format!("'{to}'"))
                .collect();
            format!("(OLD.state = '{from}' AND NEW.state IN ({}))", next.join(", "))
        })
        .collect();
    lines.join("\n    OR ")
}

#[test]
fn the_trigger_and_the_state_machine_say_the_same() {
    let (_directory, path) = place();
    let store = open_store(&path).unwrap();
    let sql: String = store
        .read(move |store| {
            let sql = "SELECT sql FROM sqlite_schema WHERE name = 'tasks_transition'";
            Ok(store.query_row(sql, [], |row| row.get(0))?)
        })
        .unwrap();
    assert!(
        sql.contains(&format!("WHEN NOT (\n    {}\n)", allowed_transitions())),
        "the trigger must read:\n{}",
        allowed_transitions()
    );
}

#[test]
fn no_step_but_those_of_the_state_machine_can_be_stored() {
    let (_directory, path) = place();
    drop(open_store(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            connection.execute_batch("BEGIN").unwrap();
            insert(&connection, "pending-approval").unwrap();
            for state in path_to_state(from) {
                update(&connection, state.as_str()).unwrap();
            }
            assert_eq!(
                update(&connection, to.as_str()).is_ok(),
                from.can_transition_to(to),
                "{from} to {to}"
            );
            connection.execute_batch("ROLLBACK").unwrap();
        }
        connection.execute_batch("BEGIN").unwrap();
        assert_eq!(insert(&connection, from.as_str()).is_ok(), from == TaskState::PendingApproval);
        connection.execute_batch("ROLLBACK").unwrap();
    }
}

fn path_to_state(state: TaskState) -> Vec<TaskState> {
    match state {
        TaskState::PendingApproval => vec![],
        TaskState::Approved | TaskState::Denied | TaskState::Expired | TaskState::Cancelled => vec![state],
        TaskState::Executing => vec![TaskState::Approved, state],
        TaskState::Completed | TaskState::Failed | TaskState::Interrupted => {
            vec![TaskState::Approved, TaskState::Executing, state]
        }
    }
}

fn insert(connection: &Connection, state: &str) -> rusqlite::Result<usize> {
    connection.execute(
        "INSERT INTO tasks (id, state, tool, call, decision, principal, session, client, directory, binding,
             asked, expires, changed)
         VALUES ('x', ?1, 'a/b', '{}', '{}', 'p', 's', 'c', 'd', 'bound', 1, 2, 3)",
        [state],
    )
}

fn update(connection: &Connection, state: &str) -> rusqlite::Result<usize> {
    connection.execute("UPDATE tasks SET state = ?1", [state])
}

#[test]
fn what_a_task_asks_cannot_change_and_an_open_task_cannot_go() {
    let (_directory, path) = place();
    drop(open_store(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    insert(&connection, "pending-approval").unwrap();
    let columns =
        ["id", "tool", "call", "decision", "principal", "session", "client", "directory", "binding"];
    for column in columns {
        let sql = format!("UPDATE tasks SET state = 'approved', {column} = 'other'");
        assert!(connection.execute(&sql, []).is_err(), "{column}");
    }
    assert!(connection.execute("UPDATE tasks SET state = 'approved', asked = 9", []).is_err());
    assert!(connection.execute("DELETE FROM tasks", []).is_err());
    update(&connection, "cancelled").unwrap();
    assert_eq!(connection.execute("DELETE FROM tasks", []).unwrap(), 1);
}

/// `tests/data/store-1.db` was written by version 1 and is never written again; each later version must read
/// it.
#[tokio::test]
async fn a_store_of_version_1_is_read_and_written() {
    let (_directory, path) = place();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-1.db"), &path).unwrap();
    let store = open_store(&path).unwrap();
    let kept = store.read(overrides::load_overrides).unwrap();
    let patterns: Vec<_> = kept.overrides.rules.iter().map(|rule| rule.pattern.to_string()).collect();
    assert_eq!((kept.overrides.epoch, kept.next_id), (3, 4));
    assert_eq!(patterns, ["mail/delete*", "notes/read"]);
    assert_eq!(kept.overrides.grants[0].millis, 24 * 3600 * 1000);
    let passphrase = store.read(super::passphrase::load).unwrap().unwrap();
    assert_eq!(passphrase.first_by, "terminal pid 1");
    let all = tasks::TaskFilter { limit: 100, ..tasks::TaskFilter::default() };
    let mut states: Vec<_> = store
        .read(move |store| tasks::list_tasks(store, &all))
        .unwrap()
        .iter()
        .map(|task| task.state.as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["approved", "completed", "denied", "executing", "pending-approval"]);
    let done = store.read(move |store| tasks::ids_in_state(store, TaskState::Completed)).unwrap()[0];
    let done = store.read(move |store| tasks::get_task(store, done, None)).unwrap().unwrap();
    assert_eq!(done.result.unwrap().get().get(), r#"{"n":1.10}"#);
    let mut next = kept.clone();
    next.overrides.epoch += 1;
    store.write(Durability::StoreSynced, move |store| overrides::save_overrides(store, &next)).await.unwrap();
    let first = store.read(checkpoints::list_checkpoints).unwrap();
    assert_eq!(first.iter().map(|head| head.seq).collect::<Vec<_>>(), [5, 12, 3]);
    let head = first_checkpoint("a.jsonl");
    let kept = head.clone();
    store
        .write(Durability::StoreSynced, move |store| checkpoints::save_checkpoint(store, &kept))
        .await
        .unwrap();
    let heads = [first, vec![head]].concat();
    assert_eq!(store.read(checkpoints::list_checkpoints).unwrap(), heads);
}

#[tokio::test]
async fn a_store_of_version_1_keeps_its_grants_and_takes_limited_ones() {
    let (_directory, path) = place();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-1.db"), &path).unwrap();
    let store = open_store(&path).unwrap();
    let mut kept = store.read(overrides::load_overrides).unwrap();
    assert_eq!((kept.overrides.rules.len(), kept.overrides.grants.len()), (2, 1));
    assert!(kept.overrides.grants[0].limits.is_none() && kept.overrides.grants[0].used == 0);
    kept.overrides.epoch += 1;
    kept.overrides.grants.push(limited(&kept.overrides.grants[0]));
    let saved = kept.clone();
    store
        .write(Durability::StoreSynced, move |store| overrides::save_overrides(store, &saved))
        .await
        .unwrap();
    drop(store);
    assert_eq!(open_store(&path).unwrap().read(overrides::load_overrides).unwrap(), kept);
}

fn grant() -> Grant {
    Grant {
        id: 2,
        pattern: "mail/*".parse().unwrap(),
        made: Moment { wall: "2026-11-20T08:00:00Z".parse().unwrap(), boot: Duration::from_secs(5) },
        boot_id: "boot".to_owned(),
        millis: 1000,
        limits: GrantLimits::default(),
        used: 0,
    }
}

/// A grant with every limit that there is.
fn limited(like: &Grant) -> Grant {
    let limits = GrantLimits {
        session: "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f".parse().ok(),
        agent_session: "claude-1".parse().ok(),
        project: Some(Principal::from_project("/home/me/site".as_ref())),
        uses: NonZeroU32::new(10),
        arguments: serde_json::from_str(r#"{"fixed":[{"pointer":"/to","value":"\"ann\""}]}"#).ok(),
        reads_only: true,
    };
    Grant { id: 90, limits, used: 4, ..like.clone() }
}

#[tokio::test]
async fn every_limit_of_a_grant_is_kept_and_a_changed_one_is_damage() {
    let (_directory, path) = place();
    let mut kept = store_with_rule(&path).await;
    let store = open_store(&path).unwrap();
    kept.overrides.epoch += 1;
    kept.overrides.grants.push(limited(&grant()));
    let saved = kept.clone();
    store
        .write(Durability::StoreSynced, move |store| overrides::save_overrides(store, &saved))
        .await
        .unwrap();
    assert_eq!(store.read(overrides::load_overrides).unwrap(), kept);
    store.write(Durability::StoreSynced, |store| overrides::set_grant_used(store, 90, 5)).await.unwrap();
    assert_eq!(store.read(overrides::load_overrides).unwrap().overrides.grants[0].used, 5);
    for (id, used) in [(90, 5), (90, 4), (7, 1)] {
        let refused = store
            .write(Durability::StoreSynced, move |store| overrides::set_grant_used(store, id, used))
            .await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{id} {used}");
    }
    store.write(Durability::StoreSynced, |store| overrides::set_grant_used(store, 90, 10)).await.unwrap();
    assert!(
        store.write(Durability::StoreSynced, |store| overrides::set_grant_used(store, 90, 11)).await.is_err()
    );
    drop(store);
    // What the trigger does not refuse, the digest finds.
    let connection = Connection::open(&path).unwrap();
    let changes = [
        "session = NULL",
        "agent_session = NULL",
        "project = NULL",
        "uses = 99",
        "used = 3",
        "arguments = NULL",
        "reads_only = 0",
    ];
    for column in changes {
        assert!(connection.execute(&format!("UPDATE grants SET {column}"), []).is_err(), "{column}");
    }
    connection.execute_batch("DROP TRIGGER grants_only_used_up; DROP TRIGGER grants_calls_bound").unwrap();
    for column in changes {
        connection.execute_batch(&format!("BEGIN; UPDATE grants SET {column}")).unwrap();
        let loaded = overrides::load_overrides(&connection);
        assert!(matches!(loaded, Err(StoreError::Corrupt { .. })), "{column}");
        connection.execute_batch("ROLLBACK").unwrap();
    }
}

#[test]
fn a_head_only_grows_and_a_problem_stays() {
    let (_directory, path) = place();
    drop(open_store(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let head =
        |seq| portero::audit::SegmentCheckpoint { seq, length: seq * 100, ..first_checkpoint("a.jsonl") };
    let kept = || checkpoints::get_checkpoint(&connection, "a.jsonl").unwrap().unwrap();
    checkpoints::save_checkpoint(&connection, &head(5)).unwrap();
    checkpoints::save_checkpoint(&connection, &head(4)).unwrap();
    assert_eq!(kept(), head(5));
    for change in ["seq = 4", "length = 1", "segment = 'b.jsonl'"] {
        assert!(connection.execute(&format!("UPDATE checkpoints SET {change}"), []).is_err(), "{change}");
    }
    assert!(checkpoints::record_problem(&connection, &head(5), "it was cut").unwrap());
    assert!(!checkpoints::record_problem(&connection, &head(5), "other").unwrap());
    checkpoints::save_checkpoint(&connection, &head(6)).unwrap();
    assert_eq!((kept().seq, kept().problem.as_deref()), (6, Some("it was cut")));
    assert!(connection.execute("UPDATE checkpoints SET problem = NULL", []).is_err());
}

#[test]
fn a_head_is_marked_as_removed_once_and_only_while_it_has_no_problem() {
    let (_directory, path) = place();
    drop(open_store(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let at = |text: &str| text.parse().unwrap();
    let whole = portero::audit::SegmentCheckpoint { seq: 5, length: 500, ..first_checkpoint("a.jsonl") };
    checkpoints::save_checkpoint(&connection, &whole).unwrap();
    assert!(checkpoints::mark_removed(&connection, &whole, at("2026-11-20T08:00:00Z")).unwrap());
    assert!(!checkpoints::mark_removed(&connection, &whole, at("2026-11-21T08:00:00Z")).unwrap());
    let removed = checkpoints::get_checkpoint(&connection, "a.jsonl").unwrap().unwrap().removed;
    assert_eq!(removed, Some(at("2026-11-20T08:00:00Z")));
    let changes = [
        "removed = NULL",
        "removed = 7",
        "seq = 6",
        "length = 600",
        "problem = 'x'",
        "hash = printf('%064d', 0)",
    ];
    for change in changes {
        assert!(connection.execute(&format!("UPDATE checkpoints SET {change}"), []).is_err(), "{change}");
    }
    let faulty = portero::audit::SegmentCheckpoint { seq: 5, length: 500, ..first_checkpoint("b.jsonl") };
    checkpoints::record_problem(&connection, &faulty, "it was cut").unwrap();
    assert!(!checkpoints::mark_removed(&connection, &faulty, at("2026-11-20T08:00:00Z")).unwrap());
    assert!(connection.execute("UPDATE checkpoints SET removed = 7 WHERE segment = 'b.jsonl'", []).is_err());
    let insert = "INSERT INTO checkpoints (segment, seq, hash, length, problem, removed)
                  SELECT 'c.jsonl', seq, hash, length, problem, removed FROM checkpoints LIMIT 1";
    assert!(connection.execute(insert, []).is_err(), "what was never known was never removed");
    assert!(connection.execute("DELETE FROM checkpoints", []).is_err());
}

fn first_checkpoint(segment: &str) -> portero::audit::SegmentCheckpoint {
    portero::audit::SegmentCheckpoint::before_first(segment).unwrap()
}
