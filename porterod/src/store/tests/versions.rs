//! A store of every version that ever was, as that version left it: read by this one, and nothing is lost.
//!
//! `tests/data/store-N.db` is never written again once version N was released. A new migration comes with a new
//! file, which this makes from the one before it: put what a real store would hold into [`ROWS`], then
//! `PORTERO_UPDATE=1 cargo test -p porterod --lib store::tests::versions`.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use super::super::open::MIGRATIONS;
use super::{open_store, overrides, place};
use crate::store::{Durability, tasks};

/// What each version adds to a store that is in use, from version 2 on; its tables are all there then.
const ROWS: &[&str] = &[
    // 2: heads
    "INSERT INTO heads VALUES ('20261120T080000.000000Z-7-00000000.jsonl', 12, printf('%064d', 1), 4711, NULL),
         ('20261120T090000.000000Z-8-00000000.jsonl', 3, printf('%064d', 2), 900, 'it was cut');",
    // 3: a pause
    "UPDATE meta SET paused = NULL;",
    // 4: the outbox
    "INSERT INTO channels VALUES ('telegram', 0);",
    // 5: what a person said no to
    "INSERT INTO denials VALUES ('p', 'digest', 'task', 1700000000000000000);",
    // 6: what was sent
    "INSERT INTO telegram_sent VALUES (1, 2, 'task', 3, 1700000000000000000);",
    // 7: an authenticator
    "INSERT INTO authenticator (only, enrolled, enrolled_by, salt, nonce, sealed, recovery, last_step)
         VALUES (1, 1700000000000000000, 'terminal pid 1', zeroblob(16), zeroblob(24), zeroblob(64), 8, 5);",
    // 8: limited grants
    "UPDATE meta SET epoch = epoch;",
    // 9: segments that were removed
    "INSERT INTO heads VALUES ('20251120T080000.000000Z-7-00000000.jsonl', 5, printf('%064d', 3), 700, NULL, NULL);
     UPDATE heads SET removed = 1700000000000000000 WHERE length = 700;",
    // 10: what an agent has heard of
    "INSERT INTO heard VALUES ('task');",
    // 11: a person on Telegram
    "INSERT INTO telegram_person VALUES (1, 4711, '', 501, 501, 1700000000000000000);
     INSERT INTO telegram_handled VALUES (4711, 1001, 1700000000000000000);",
    // 12: an index
    "UPDATE meta SET epoch = epoch;",
    // 13: which configuration a person confirmed
    "INSERT INTO confirmed VALUES (1, printf('%064d', 4), 1700000000000000000);",
    // 14: cards, lists and buttons there
    "INSERT INTO telegram_buttons VALUES (zeroblob(32), 4711, 501, 501, 'card:task', 'task', '{\"decide\":\"approve\"}',
         1700000000000000000, 0, NULL);
     INSERT INTO telegram_lists (bot, chat, cause, made) VALUES (4711, 501, 'list:task', 1700000000000000000);
     INSERT INTO telegram_cards (bot, chat, task, made, list, alone)
         VALUES (4711, 501, 'task', 1700000000000000000, 'list:task', 0);",
    // 15: where the menu stands
    "INSERT INTO telegram_menus VALUES (4711, 502);",
    // 16: notices with buttons
    "INSERT INTO telegram_notices (bot, chat, cause, made, told)
         VALUES (4711, 501, 'ran:1', 1700000000000000000, '{\"counts\":[[\"ran\",\"a/b\",1]],\"others\":0}');",
    // 17: topics there
    "INSERT INTO telegram_topics VALUES (4711, -1001, '/home/ada/shop', 'shop', 17, 1700000000000000000);",
    // 18: approvals of several people
    "INSERT INTO votes SELECT id, 11, binding, 1700000000000000000 FROM tasks WHERE state = 'pending-approval';",
    // 19: when a press was taken up
    "UPDATE telegram_buttons SET steps = 1, spent_by = 9, spent = 1700000000000000000, spent_boot = 5
         WHERE cause = 'card:task';",
    // 20: what terminals asked to confirm there
    "INSERT INTO telegram_consents (bot, chat, about, made) VALUES (4711, 501, 'resume', 1700000000000000000);
     INSERT INTO telegram_consents (bot, chat, about, made, ended, ended_at)
         VALUES (4711, 501, 'allow a/b', 1700000000000000000, 'refused', 1700000001000000000);",
    // 21: what a group there became
    "INSERT INTO telegram_moves VALUES (4711, -1001, -1009, 1700000000000000000);",
    // 22: a segment in which every call has its outcome
    "UPDATE heads SET settled = 1 WHERE length = 700;",
];

fn data_file(version: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/store-{version}.db"))
}

/// A copy of the store of a version.
fn copy_version(version: usize) -> (TempDir, PathBuf) {
    let (directory, path) = place();
    fs::copy(data_file(version), &path).unwrap();
    (directory, path)
}

#[test]
fn every_version_has_its_store() {
    for version in 1..=MIGRATIONS.len() {
        if !data_file(version).exists() && std::env::var_os("PORTERO_UPDATE").is_some() {
            make_version(version);
        }
        assert!(
            data_file(version).exists(),
            "migration {version} has no {}; add what such a store holds to `ROWS`, and run this with \
             PORTERO_UPDATE=1",
            data_file(version).display()
        );
        let found: i64 = Connection::open(data_file(version))
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(usize::try_from(found).unwrap(), version);
    }
}

/// The store of the version before, brought up by one migration, in use.
fn make_version(version: usize) {
    let (_directory, path) = copy_version(version - 1);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(MIGRATIONS[version - 1]).unwrap();
    connection.execute_batch(ROWS.get(version - 2).copied().unwrap_or_default()).unwrap();
    connection.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
    connection.pragma_update(None, "journal_mode", "delete").unwrap();
    connection.execute_batch("VACUUM").unwrap();
    connection.close().unwrap();
    fs::copy(path, data_file(version)).unwrap();
}

#[tokio::test]
async fn a_store_of_every_version_is_brought_up_to_date_and_loses_nothing() {
    for version in 1..=MIGRATIONS.len() {
        let (_directory, path) = copy_version(version);
        let before = contents(&Connection::open(&path).unwrap(), None);
        assert!(before.len() >= 5, "version {version}: {before:?}");
        let store = open_store(&path).unwrap_or_else(|error| panic!("version {version}: {error}"));
        let kept = store.read(overrides::load_overrides).unwrap();
        assert_eq!((kept.overrides.rules.len(), kept.overrides.grants.len()), (2, 1), "version {version}");
        let all = tasks::TaskFilter { limit: 100, ..tasks::TaskFilter::default() };
        assert_eq!(
            store.read(move |store| tasks::list_tasks(store, &all)).unwrap().len(),
            5,
            "version {version}"
        );
        let mut next = kept.clone();
        next.overrides.epoch += 1;
        store
            .write(Durability::StoreSynced, move |store| overrides::save_overrides(store, &next))
            .await
            .unwrap();
        let mut last = kept;
        last.overrides.epoch += 1;
        assert_eq!(store.read(overrides::load_overrides).unwrap(), last, "version {version}");
        store.close();

        let (_directory, path) = copy_version(version);
        open_store(&path).unwrap().close();
        let after = contents(&Connection::open(&path).unwrap(), Some(&before));
        assert_eq!(before, after, "version {version}");
        open_store(&path).unwrap_or_else(|error| panic!("version {version}, opened again: {error}"));
    }
}

/// A table: its name, its columns, its rows.
type Table = (String, Vec<String>, Vec<Vec<Value>>);

/// Every table with its rows; only the columns that `like` has, where it is given.
fn contents(connection: &Connection, like: Option<&[Table]>) -> Vec<Table> {
    let shapes: Vec<(String, Vec<String>)> = match like {
        Some(tables) => tables.iter().map(|(name, columns, _)| (name.clone(), columns.clone())).collect(),
        None => names(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .into_iter()
            .filter(|name| !name.starts_with("sqlite_"))
            .map(|name| {
                let columns = names(connection, &format!("SELECT name FROM pragma_table_info('{name}')"));
                (name, columns)
            })
            .collect(),
    };
    shapes
        .into_iter()
        .map(|(name, columns)| {
            let rows = rows(connection, &name, &columns);
            (name, columns, rows)
        })
        .collect()
}

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn rows(connection: &Connection, table: &str, columns: &[String]) -> Vec<Vec<Value>> {
    let list = columns.join(", ");
    let mut statement = connection.prepare(&format!("SELECT {list} FROM {table} ORDER BY {list}")).unwrap();
    let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|column| row.get(column)).collect();
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_migration_that_fails_leaves_the_store_as_it_was() {
    let (_directory, path) = copy_version(1);
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE heads (in_the_way)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(open_store(&path).is_err());
    let version: i64 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    assert_eq!(fs::read(&path).unwrap().len(), before.len());
}
