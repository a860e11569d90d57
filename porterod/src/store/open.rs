//! Opens, creates and migrates the store's file.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portero::files::{self, SymlinkMode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::{StoreError, overrides};

/// "Port" in ASCII: SQLite's `application_id` of a store.
pub(super) const APPLICATION_ID: i64 = 0x506f_7274;
/// All migrations in order; a migration's number is its position, counted from one.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001.sql"),
    include_str!("../../migrations/0002.sql"),
    include_str!("../../migrations/0003.sql"),
    include_str!("../../migrations/0004.sql"),
    include_str!("../../migrations/0005.sql"),
    include_str!("../../migrations/0006.sql"),
    include_str!("../../migrations/0007.sql"),
];
const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;
/// How long opening waits for another program that holds the store.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a read waits for it; reads block the runtime's thread.
const READ_TIMEOUT: Duration = Duration::from_millis(50);

/// Opens the writer's connection to a store that is complete and up to date.
pub(super) fn open_writer(path: &Path, witness: Option<&Path>) -> Result<Connection, StoreError> {
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => return Err(StoreError::corrupt("the file is empty")),
        Ok(found) if !found.is_file() => return Err(StoreError::corrupt("it is no file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(StoreError::corrupt("it is a link to something that is not there"));
            }
            check_no_remains(path, witness)?;
            create_store(path)?;
        }
        Err(error) => return Err(io_error(&error)),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    check_file_header(path)?;
    refuse_odd_companions(path)?;
    let mut connection = Connection::open_with_flags(path, flags)?;
    // SQLite silently opens a write-protected file for reading only; then every change would fail later.
    if connection.is_readonly(MAIN_DB)? {
        return Err(StoreError::Failed("it may only be read".to_owned()));
    }
    connection.busy_timeout(OPEN_TIMEOUT)?;
    // A damaged store must stay unchanged for its repair, so nothing is folded into it before the checks.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // The order: origin, damage, settings, migrations, schema. Nothing is written before the first two
    // succeed.
    check_application(&connection)?;
    check_integrity(&connection)?;
    set_pragmas(&connection)?;
    migrate(&mut connection, MIGRATIONS)?;
    check_schema(&connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(connection)
}

/// Checks SQLite's magic bytes (database file format, section 1.3.1) before SQLite can write anything.
fn check_file_header(path: &Path) -> Result<(), StoreError> {
    let mut first = [0; 16];
    // A person may have put a link here, which SQLite follows as well.
    let read = files::open(path, SymlinkMode::Follow).map_err(io::Error::from);
    match read.and_then(|mut file| file.read_exact(&mut first)) {
        Ok(()) if first == *b"SQLite format 3\0" => Ok(()),
        Ok(()) => Err(StoreError::corrupt("file is not a database")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(StoreError::corrupt("file is not a database"))
        }
        Err(error) => Err(io_error(&error)),
    }
}

/// SQLite itself opens the files beside the store, and would wait for ever on a named pipe there.
fn refuse_odd_companions(path: &Path) -> Result<(), StoreError> {
    for suffix in ["-journal", "-wal", "-shm"] {
        match files::open(&sibling_path(path, suffix), SymlinkMode::Follow) {
            Ok(_) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(io_error(&io::Error::from(error))),
        }
    }
    Ok(())
}

/// Opens a second connection, which can't write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(READ_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A missing store must not be replaced by an empty one while its companions show that it existed.
fn check_no_remains(path: &Path, witness: Option<&Path>) -> Result<(), StoreError> {
    let log = sibling_path(path, "-wal");
    let remains = [Some(log.as_path()), witness];
    for remain in remains.into_iter().flatten() {
        if remain.try_exists().map_err(|error| io_error(&error))? {
            return Err(StoreError::corrupt(format!(
                "it is gone, but {} is still there; put the store back, or remove that file too to start over \
                 without the rules that people made",
                remain.display()
            )));
        }
    }
    Ok(())
}

/// Creates a complete store under another name and renames it, so that a crash leaves no partial one.
fn create_store(path: &Path) -> Result<(), StoreError> {
    let new = sibling_path(path, ".new");
    for leftover in [new.clone(), sibling_path(&new, "-journal"), sibling_path(&new, "-wal")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&error)),
            _ => {}
        }
    }
    files::create_new(&new).map_err(|error| io_error(&error))?;
    let mut connection = Connection::open(&new)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&mut connection, MIGRATIONS)?;
    connection.close().map_err(|(_, error)| error)?;
    let written = files::open_for_sync(&new).map_err(io::Error::from);
    written.and_then(|file| file.file().sync_all()).map_err(|error| io_error(&error))?;
    fs::rename(&new, path).map_err(|error| io_error(&error))?;
    match path.parent() {
        Some(directory) => files::sync_directory(directory).map_err(|error| io_error(&error)),
        None => Ok(()),
    }
}

/// Refuses a foreign or newer file before anything is written to it.
fn check_application(connection: &Connection) -> Result<(), StoreError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(StoreError::corrupt("another program made it"));
    }
    let found = read_version(connection)?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer { path: String::new(), found, known: SCHEMA_VERSION });
    }
    if found < 1 { Err(StoreError::corrupt("it has no version")) } else { Ok(()) }
}

fn read_version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn set_pragmas(connection: &Connection) -> Result<(), StoreError> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Failed(format!("SQLite keeps its journal as {mode} here, not as wal")));
    }
    for (pragma, on) in [("foreign_keys", true), ("recursive_triggers", true), ("trusted_schema", false)] {
        connection.pragma_update(None, pragma, on)?;
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    Ok(())
}

/// Runs the missing migrations in one transaction.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let from = usize::try_from(read_version(connection)?).unwrap_or(0);
    let Some(missing) = migrations.get(from..).filter(|missing| !missing.is_empty()) else { return Ok(()) };
    let transaction = connection.transaction()?;
    for migration in missing {
        transaction.execute_batch(migration).map_err(|error| match error {
            // The migrations are tested, so an SQL error means that the file isn't of its stated version.
            rusqlite::Error::SqlInputError { msg, .. } => {
                StoreError::corrupt(format!("its version is not what it holds: {msg}"))
            }
            error => error.into(),
        })?;
    }
    if from == 0 {
        overrides::insert_initial(&transaction, &rand::random::<[u8; 32]>())?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    Ok(transaction.commit()?)
}

/// Checks the pages for damage.
fn check_integrity(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::corrupt(found)) }
}

/// Compares the migrated schema with a fresh one, because a missing trigger would be a lost guarantee. Also
/// checks that rules and grants are readable.
fn check_schema(connection: &Connection) -> Result<(), StoreError> {
    let mut fresh = Connection::open_in_memory()?;
    migrate(&mut fresh, MIGRATIONS)?;
    if read_schema(connection)? != read_schema(&fresh)? {
        return Err(StoreError::corrupt("its tables or triggers are not Portero's"));
    }
    overrides::load_overrides(connection)?;
    Ok(())
}

fn read_schema(connection: &Connection) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let mut statement = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn sibling_path(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn io_error(error: &io::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}
