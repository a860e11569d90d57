//! A store of every version that ever was, as that version left it: read by this one, and nothing is lost.
//!
//! `tests/data/store-N.db` is never written again once version N was released. A new migration comes with a new
//! file, which this makes from the one before it: put what the new tables and columns of a store in use hold into
//! `tests/data/store-N.sql`, then `PORTERO_UPDATE=1 cargo test -p porterod --lib store::tests::versions`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portero::clock::Moment;
use portero::policy::{Action, Grant, GrantLimits, Overrides, PolicyRule};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use super::super::open::{APPLICATION_ID, MIGRATIONS, migrate};
use super::{StoreError, grant, open_store, overrides, place};
use crate::store::overrides::OverridesRecord;
use crate::store::{Durability, tasks};

fn data_file(version: usize, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/store-{version}.{extension}"))
}

/// A copy of the store of a version.
fn copy_version(version: usize) -> (TempDir, PathBuf) {
    let (directory, path) = place();
    fs::copy(data_file(version, "db"), &path).unwrap();
    (directory, path)
}

#[test]
fn every_version_has_its_store() {
    for version in 1..=MIGRATIONS.len() {
        let file = data_file(version, "db");
        if !file.exists() && std::env::var_os("PORTERO_UPDATE").is_some() {
            make_version(version);
        }
        assert!(
            file.exists(),
            "migration {version} has no {}; put what it adds to a store in use into `store-{version}.sql` beside \
             it, and run this with PORTERO_UPDATE=1",
            file.display()
        );
        assert_eq!(user_version(&file), version);
    }
}

fn user_version(path: &Path) -> usize {
    let found = Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0));
    usize::try_from(found.map(|found: i64| found).unwrap()).unwrap()
}

/// The store of the version before, brought up by one migration, in use. The first one begins empty.
fn make_version(version: usize) {
    let (_directory, path) = if version == 1 { place() } else { copy_version(version - 1) };
    let mut connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    migrate(&mut connection, &MIGRATIONS[..version]).unwrap();
    if version == 1 {
        overrides::save_overrides(&connection, &first_overrides()).unwrap();
    }
    if version == 4 {
        let mut limited = overrides::load_overrides(&connection).unwrap();
        limited.overrides.epoch += 1;
        limited.overrides.grants[0].limits = limits_of_version_4();
        overrides::save_overrides(&connection, &limited).unwrap();
    }
    connection.execute_batch(&fs::read_to_string(data_file(version, "sql")).unwrap()).unwrap();
    connection.pragma_update(None, "journal_mode", "delete").unwrap();
    connection.execute_batch("VACUUM").unwrap();
    connection.close().unwrap();
    fs::copy(path, data_file(version, "db")).unwrap();
}

/// The rules and grants of version 1.
fn first_overrides() -> OverridesRecord {
    let at = "2026-11-20T08:00:00Z".parse().unwrap();
    let rule =
        |id, pattern: &str, action| PolicyRule { id, pattern: pattern.parse().unwrap(), action, made: at };
    let made = Moment { wall: at, boot: Duration::from_secs(24 * 3600) };
    let pattern = "mail/send".parse().unwrap();
    let overrides = Overrides {
        epoch: 3,
        rules: vec![rule(1, "mail/delete*", Action::Deny), rule(2, "notes/read", Action::Allow)],
        grants: vec![Grant { id: 3, pattern, made, millis: 24 * 3600 * 1000, ..grant() }],
        ..Overrides::default()
    };
    OverridesRecord { overrides, next_id: 4 }
}

/// The limits that a grant can have since version 4.
fn limits_of_version_4() -> GrantLimits {
    let fixed = r#"{"arguments":{"fixed":[{"pointer":"/to","value":"\"ann\""}]},"reads_only":true}"#;
    serde_json::from_str(fixed).unwrap()
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
        let limits = if version < 4 { GrantLimits::default() } else { limits_of_version_4() };
        assert_eq!(kept.overrides.grants[0].limits, limits, "version {version}");
        let all = tasks::TaskFilter { limit: 100, ..tasks::TaskFilter::default() };
        assert_eq!(
            store.read(move |store| tasks::list_tasks(store, &all)).unwrap().len(),
            5 + usize::from(version >= 3),
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
fn a_migration_that_fails_leaves_the_store_as_it_was_and_the_next_one_loses_nothing() {
    let (_directory, path) = copy_version(1);
    let before = fs::read(&path).unwrap();
    let migrate_further = |sql: &'static str| {
        let migrations: Vec<&str> = MIGRATIONS[..1].iter().copied().chain([sql]).collect();
        migrate(&mut Connection::open(&path).unwrap(), &migrations)
    };
    let failed = migrate_further("CREATE TABLE later (id INTEGER) STRICT; CREATE TABLE tasks (in_the_way);");
    assert!(matches!(failed, Err(StoreError::Corrupt { .. })), "{failed:?}");
    assert_eq!(user_version(&path), 1);
    assert_eq!(fs::read(&path).unwrap(), before);

    let tables = contents(&Connection::open(&path).unwrap(), None);
    migrate_further("CREATE TABLE later (id INTEGER) STRICT; ALTER TABLE tasks ADD COLUMN later INTEGER;")
        .unwrap();
    assert_eq!(user_version(&path), 2);
    assert_eq!(contents(&Connection::open(&path).unwrap(), Some(&tables)), tables);
}
