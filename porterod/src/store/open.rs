//! Opening, creating and migrating the file.

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
/// Every migration, in order; its number is its place, from one.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001.sql")];
const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;
/// How long an opening waits for another program that holds the store.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a read waits for it: reads hold up the thread that serves.
const READ_TIMEOUT: Duration = Duration::from_millis(50);

/// The writer's connection to a store that is there, whole and up to date.
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
    // SQLite opens for reading what it may not write, and every change would fail later.
    if connection.is_readonly(MAIN_DB)? {
        return Err(StoreError::Failed("it may only be read".to_owned()));
    }
    connection.busy_timeout(OPEN_TIMEOUT)?;
    // A damaged store stays as it is, for whoever repairs it: nothing is folded into it before it is checked.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    check_application(&connection)?;
    check_integrity(&connection)?;
    set_pragmas(&connection)?;
    migrate(&mut connection, MIGRATIONS)?;
    check_schema(&connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(connection)
}

/// SQLite's first bytes (database file format, section 1.3.1), looked at before SQLite may write anything.
fn check_file_header(path: &Path) -> Result<(), StoreError> {
    let mut first = [0; 16];
    // A link to it was made by a person; SQLite follows it too.
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

/// SQLite opens by itself what lies beside the store, and waits for ever on a named pipe there.
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

/// A second connection, which cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(READ_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A store that is gone, while something beside it shows that there was one, must not begin anew empty.
fn check_no_remains(path: &Path, witness: Option<&Path>) -> Result<(), StoreError> {
    let log = sibling_path(path, "-wal");
    let remains = [Some(log.as_path()), witness];
    for remain in remains.into_iter().flatten() {
        if remain.try_exists().map_err(|error| io_error(&error))? {
            return Err(StoreError::corrupt(format!(
                "it is gone, but {} is still there; put the store back, or remove that file too to begin anew \
                 without the rules that people made",
                remain.display()
            )));
        }
    }
    Ok(())
}

/// Makes a whole store beside its place and moves it there, so that no crash leaves half of one.
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

/// Refuses what Portero did not write, before anything is written to it.
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

/// Runs those of the migrations that are missing, all in one transaction.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let from = usize::try_from(read_version(connection)?).unwrap_or(0);
    let Some(missing) = migrations.get(from..).filter(|missing| !missing.is_empty()) else { return Ok(()) };
    let transaction = connection.transaction()?;
    for migration in missing {
        transaction.execute_batch(migration).map_err(|error| match error {
            // The migrations are right: what they meet is not of the version that it says.
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

/// Looks for damage in the pages.
fn check_integrity(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::corrupt(found)) }
}

/// Looks for damage in the schema, once it is up to date (a trigger that is gone would be a guarantee that is
/// gone), and in the rules and grants.
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
