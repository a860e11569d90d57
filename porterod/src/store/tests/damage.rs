//! Files that are no store any more, or not yet, or somebody else's: always an error that says what to do, never
//! an empty store.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::{Store, StoreError, grant, limited, open_store, overrides, place, store_with_rule};

/// SQLite's page here.
const PAGE_BYTES: usize = 4096;

/// What opening says, which must name the file and what to do.
fn open_error(path: &Path) -> String {
    let error = match open_store(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    };
    assert!(error.to_string().contains(&*path.to_string_lossy()), "it names the file: {error}");
    error.advice().unwrap_or_else(|| panic!("no advice: {error}")).to_owned()
}

/// A change that takes no room.
async fn write_once(store: &Store) {
    let mut kept = store.read(overrides::load_overrides).unwrap();
    kept.overrides.epoch += 1;
    store
        .write(super::Durability::StoreSynced, move |store| overrides::save_overrides(store, &kept))
        .await
        .unwrap();
}

fn sibling_path(path: &Path, ending: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[tokio::test]
async fn a_store_that_ends_at_any_page_or_in_the_middle_of_one_is_damage() {
    let (_directory, path) = place();
    let kept = store_with_rule(&path).await;
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 10 * PAGE_BYTES && whole.len().is_multiple_of(PAGE_BYTES));
    for length in
        (0..whole.len()).step_by(PAGE_BYTES).flat_map(|border| [border, border + 1, border + PAGE_BYTES / 2])
    {
        fs::write(&path, &whole[..length]).unwrap();
        // The last page's second half may hold nothing.
        if length + PAGE_BYTES / 2 == whole.len() && open_store(&path).is_ok() {
            assert_eq!(open_store(&path).unwrap().read(overrides::load_overrides).unwrap(), kept);
            continue;
        }
        assert!(open_error(&path).contains("put back a copy"), "cut at {length}");
        assert_eq!(fs::read(&path).unwrap().len(), length, "it stays as it is for whoever repairs it");
    }
    fs::write(&path, whole).unwrap();
    assert!(open_store(&path).is_ok());
}

#[tokio::test]
async fn an_empty_file_beside_a_log_is_damage_too() {
    let (_directory, path) = place();
    let store = open_store(&path).unwrap();
    write_once(&store).await;
    let log = fs::read(sibling_path(&path, "-wal")).unwrap();
    drop(store);
    fs::write(&path, "").unwrap();
    fs::write(sibling_path(&path, "-wal"), log).unwrap();
    open_error(&path);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

/// What was not yet folded into the file is gone with its log; what the file holds is older, and whole. That
/// nothing weaker comes of it is seen to by the file of denies.
#[tokio::test]
async fn a_store_whose_log_is_gone_is_the_store_before_and_never_empty() {
    let (_directory, path) = place();
    let kept = store_with_rule(&path).await;
    let store = open_store(&path).unwrap();
    write_once(&store).await;
    let (_elsewhere, copy) = place();
    fs::copy(&path, &copy).unwrap();
    assert_eq!(open_store(&copy).unwrap().read(overrides::load_overrides).unwrap(), kept);
}

#[tokio::test]
async fn a_log_of_another_store_makes_no_third_one() {
    let ((_one, path), (_two, other)) = (place(), place());
    let own = store_with_rule(&path).await;
    let theirs = open_store(&other).unwrap();
    write_once(&theirs).await;
    let found = theirs.read(overrides::load_overrides).unwrap();
    fs::copy(sibling_path(&other, "-wal"), sibling_path(&path, "-wal")).unwrap();
    match open_store(&path) {
        Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error}"),
        Ok(store) => {
            let read = store.read(overrides::load_overrides).unwrap();
            assert!(read == own || read == found, "neither one nor the other: {read:?}");
        }
    }
}

#[tokio::test]
async fn a_log_of_rubbish_changes_nothing() {
    let (_directory, path) = place();
    let kept = store_with_rule(&path).await;
    for rubbish in [&b"x"[..], &[0; 40_000], &[0xff; 40_000]] {
        fs::write(sibling_path(&path, "-wal"), rubbish).unwrap();
        assert_eq!(open_store(&path).unwrap().read(overrides::load_overrides).unwrap(), kept);
    }
}

#[test]
fn a_newer_store_says_to_use_the_newer_program() {
    let (_directory, path) = place();
    drop(open_store(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(open_error(&path).contains("newer"));
}

#[test]
fn what_is_no_file_in_the_stores_place_is_left_alone() {
    let (_directory, path) = place();
    fs::create_dir(&path).unwrap();
    open_error(&path);
    assert!(path.is_dir());
    fs::remove_dir(&path).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(path.with_file_name("nowhere"), &path).unwrap();
        open_error(&path);
        assert!(!path.with_file_name("nowhere").exists());
    }
}

#[test]
fn a_directory_that_is_not_there_says_so() {
    let (directory, _) = place();
    let path = directory.path().join("none").join("portero.db");
    open_error(&path);
}

/// Whoever tests as root may read everything: what stands in the way then is a file where a directory must be.
#[cfg(unix)]
#[test]
fn a_store_that_may_not_be_read_is_an_error_and_stays() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, path) = place();
    drop(open_store(&path).unwrap());
    let before = fs::read(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let path = if fs::File::open(&path).is_ok() {
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        file.join("portero.db")
    } else {
        path
    };
    open_error(&path);
    let kept = directory.path().join("portero.db");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), before);
}

/// Runs `test` as somebody whom modes of files hold, also where everything is tested as root: the thread becomes
/// another user's.
#[cfg(target_os = "linux")]
fn as_common_user(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            }
            test();
        });
        ran.join().unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_may_only_be_read_is_an_error_and_stays() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // The directory, the file.
    for (around, inside) in [(0o777, 0o444), (0o555, 0o444), (0o555, 0o666)] {
        let (directory, path) = place();
        drop(open_store(&path).unwrap());
        let before = fs::read(&path).unwrap();
        mode(&path, inside);
        mode(directory.path(), around);
        as_common_user(|| {
            assert!(open_error(&path).contains("read-only"), "{around:o} {inside:o}");
        });
        mode(directory.path(), 0o700);
        mode(&path, 0o600);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(open_store(&path).is_ok(), "nothing that is left beside it stands in the way");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_is_not_made_in_a_directory_that_may_only_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, path) = place();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    as_common_user(|| assert!(open_error(&path).contains("read-only")));
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_that_cannot_grow_refuses_what_does_not_fit_and_keeps_the_rest() {
    for more in 0..6 {
        let (_directory, path) = place();
        let store: Store = open_store(&path).unwrap();
        let limit = move |store: &Connection| {
            let pages: i64 = store.pragma_query_value(None, "page_count", |row| row.get(0))?;
            Ok(store.execute_batch(&format!("PRAGMA max_page_count = {}", pages + more))?)
        };
        store.write(super::Durability::StoreSynced, limit).await.unwrap();
        let (mut written, mut refused) = (0, None);
        for next in 1..100 {
            let insert = move |store: &Connection| {
                let sql = "INSERT INTO denials VALUES ('p', ?1 || hex(zeroblob(1500)), 'task', 1)";
                Ok(store.execute(sql, [next])?)
            };
            match store.write(super::Durability::StoreSynced, insert).await {
                Ok(_) => written = next,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let refused = refused.expect("it grew all the same");
        assert!(matches!(refused, StoreError::Failed(_)), "{refused}");
        let count = |store: &Connection| {
            Ok(store.query_row("SELECT count(*) FROM denials", [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(store.read(count).unwrap(), written, "what was said to be written is, and nothing else");
        // What needs no more room still works.
        write_once(&store).await;
        store.close();
        let again = open_store(&path).unwrap();
        assert_eq!(again.read(count).unwrap(), written);
        assert_eq!(again.read(overrides::load_overrides).unwrap().overrides.epoch, 1);
    }
}

/// Changes a value into another of its kind, where every value that is a text or an id stays readable.
fn changed_value(column: &str) -> String {
    // A flag can't become anything else.
    if column == "reads_only" {
        return "1 - reads_only".to_owned();
    }
    format!(
        "CASE WHEN typeof({column}) = 'integer' THEN {column} + 1 WHEN {column} = 'deny' THEN 'allow'
         WHEN {column} LIKE '%9%' THEN replace({column}, '9', '8') ELSE {column} || 'x' END"
    )
}

/// A column that is added later and that the digest leaves out fails here.
#[tokio::test]
async fn no_column_of_what_people_said_changes_unnoticed() {
    let (_directory, path) = place();
    let mut kept = store_with_rule(&path).await;
    kept.overrides.epoch += 1;
    kept.overrides.paused = "2026-11-20T08:00:00Z".parse().ok();
    kept.overrides.grants.push(limited(&grant()));
    let store = open_store(&path).unwrap();
    store
        .write(super::Durability::StoreSynced, move |store| overrides::save_overrides(store, &kept))
        .await
        .unwrap();
    drop(store);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("DROP TRIGGER grants_only_used_up; DROP TRIGGER grants_calls_bound").unwrap();
    let mut looked_at = Vec::new();
    for table in ["rules", "grants", "meta"] {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> = connection
            .prepare(&columns)
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        // The key of bindings is a secret of its own, and the other one says that there is one row.
        for column in columns.iter().filter(|column| !matches!(column.as_str(), "only" | "binding_key")) {
            let other = changed_value(column);
            let changed = format!("BEGIN; UPDATE {table} SET {column} = {other}");
            connection.execute_batch(&changed).unwrap();
            let loaded = overrides::load_overrides(&connection);
            assert!(matches!(loaded, Err(StoreError::Corrupt { .. })), "{table}.{column}: {loaded:?}");
            connection.execute_batch("ROLLBACK").unwrap();
            looked_at.push(format!("{table}.{column}"));
        }
    }
    assert!(overrides::load_overrides(&connection).is_ok());
    assert!(looked_at.contains(&"meta.paused".to_owned()) && looked_at.len() >= 18, "{looked_at:?}");
    connection.execute_batch("UPDATE meta SET paused = NULL").unwrap();
    assert!(
        matches!(overrides::load_overrides(&connection), Err(StoreError::Corrupt { .. })),
        "a pause that is gone"
    );
}
