//! The last listing of each server, on disk: one file for each server in each directory.
//!
//! Two checkouts of a project may run two versions of a server, so each has its own file. A directory without
//! a file starts with the newest listing of the same server elsewhere, until the server has answered. If there
//! are too many files, the oldest are removed.
//!
//! A file counts only if it is complete, of this format, and of a server that is started in the same way. It
//! holds real values, so it is encrypted and readable for its owner only.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config;
use crate::digest::FieldDigest;
use crate::encrypted_file;
use crate::files;
use crate::names::ServerName;
use crate::server::ServerListing;

/// Raised whenever an older file would be misread.
const FORMAT_VERSION: u32 = 4;
/// How long a session waits for this cache.
const CACHE_TIMEOUT: Duration = Duration::from_secs(1);

/// The most files, and the most bytes of all files.
const MAX_CACHE_FILES: usize = 256;
const MAX_CACHE_BYTES: u64 = 128 << 20;
/// How many digits of a digest are in a file's name.
const NAME_DIGITS: usize = 16;

/// The cache, as seen from the directory of servers without a `cwd` of their own.
#[derive(Debug, Clone)]
pub struct ListingCache {
    folder: PathBuf,
    directory: PathBuf,
}

impl ListingCache {
    /// The listings in `folder`, for servers that run in `directory`.
    #[must_use]
    pub const fn new(folder: PathBuf, directory: PathBuf) -> Self {
        Self { folder, directory }
    }

    /// Removes the unencrypted files of an earlier release.
    pub(super) fn remove_unencrypted(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Distinguishes the listings of one server in one directory from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheKey {
    /// A digest of how it is started.
    launch_digest: String,
    /// A digest of where it runs.
    directory_digest: String,
}

impl CacheKey {
    /// The key of a server, as `cache` sees it.
    pub(super) fn new(server: &config::ServerConfig, cache: Option<&ListingCache>) -> Self {
        let directory = cache.map(|cache| cache.directory.as_path());
        let cwd = server.as_stdio().and_then(|server| server.cwd.as_deref());
        let own = cwd.or(directory).map(|path| path.as_os_str().as_encoded_bytes());
        // A server of the user's runs in the daemon, for every directory.
        let directory = own.filter(|_| server.instance != config::ServerInstance::User || cwd.is_some());
        let place = FieldDigest::new("portero catalog place v1").optional("directory", directory);
        Self { launch_digest: launch_digest(server), directory_digest: place.to_hex() }
    }

    fn file_name(&self, server: &ServerName) -> String {
        format!("{}{}.cache", self.prefix(server), &self.directory_digest[..NAME_DIGITS])
    }

    /// The common beginning of this server's file names, wherever it runs. `server-` is there because Windows
    /// reserves names such as `con`.
    fn prefix(&self, server: &ServerName) -> String {
        format!("server-{server}-{}-", &self.launch_digest[..NAME_DIGITS])
    }
}

/// The first line of a file. The listing is the second.
#[derive(Serialize, Deserialize)]
struct CacheHeader {
    format: u32,
    /// The [`launch_digest`] of the server.
    config: String,
    /// The digest of the second line.
    check: String,
}

/// A digest of how a server is started, so that a changed server isn't shown with its old lists. The values of
/// its variables aren't part of it.
pub(super) fn launch_digest(server: &config::ServerConfig) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("portero catalog: how a server is started");
    let mut add = |text: &str| {
        // Each text with its length. Otherwise two different lists of arguments could give the same bytes.
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(server.name.as_str());
    match &server.transport {
        config::ServerTransport::Stdio(server) => {
            add(&server.command);
            add(&server.args.len().to_string());
            for argument in &server.args {
                add(argument.expose());
            }
            for variable in server.env.keys() {
                add(variable);
            }
            add(&server.cwd.as_deref().unwrap_or(Path::new("")).to_string_lossy());
        }
        config::ServerTransport::Http(server) => {
            add("http");
            add(server.url.expose().as_str());
            for header in server.headers.keys() {
                add(header);
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The last listing of a server in this directory, or else its newest one elsewhere.
pub(super) fn read_listing(cache: &ListingCache, server: &ServerName, key: &CacheKey) -> Option<String> {
    let own = read_verified(&cache.folder, &key.file_name(server), server, key);
    own.or_else(|| read_listings(&cache.folder, server, key).into_iter().next())
}

/// A server's listings in all directories, the newest first.
pub(super) fn read_listings(folder: &Path, server: &ServerName, key: &CacheKey) -> Vec<String> {
    let prefix = key.prefix(server);
    let files = newest_first(folder).into_iter().filter(|file| file.name.starts_with(&prefix));
    files.filter_map(|file| read_verified(folder, &file.name, server, key)).collect()
}

fn read_verified(folder: &Path, name: &str, server: &ServerName, key: &CacheKey) -> Option<String> {
    let (path, purpose) = (folder.join(name), encryption_purpose(server));
    let read = files::read_with_timeout(folder, CACHE_TIMEOUT, move || encrypted_file::read(&path, &purpose));
    let text = read.ok()?.ok()?;
    let (header, offer) = std::str::from_utf8(&text).ok()?.split_once('\n')?;
    let header: CacheHeader = serde_json::from_str(header).ok()?;
    // The name holds only part of the digests, so the full ones are compared here.
    let whole = header.format == FORMAT_VERSION
        && header.config == key.launch_digest
        && header.check == *blake3::hash(offer.as_bytes()).to_hex();
    whole.then(|| offer.to_owned())
}

/// Writes a listing, completely or not at all, and removes the oldest files if there are too many.
pub(super) fn write_listing(
    cache: &ListingCache,
    server: &ServerName,
    key: &CacheKey,
    offer: &ServerListing,
) -> io::Result<()> {
    let offer = serde_json::to_string(offer)?;
    let header = CacheHeader {
        format: FORMAT_VERSION,
        config: key.launch_digest.clone(),
        check: blake3::hash(offer.as_bytes()).to_hex().to_string(),
    };
    let text = Zeroizing::new(format!("{}\n{offer}", serde_json::to_string(&header)?));
    let (folder, path, purpose) =
        (cache.folder.clone(), cache.folder.join(key.file_name(server)), encryption_purpose(server));
    let written = files::read_with_timeout(&cache.folder, CACHE_TIMEOUT, move || {
        create_directory(&folder)?;
        // On Unix, a temporary file is private from the start. Several sessions may write at once.
        let mut temporary = tempfile::NamedTempFile::new_in(&folder)?;
        temporary.write_all(&encrypted_file::encrypt(&path, &purpose, text.as_bytes())?)?;
        temporary.persist(path)?;
        remove_oldest(&folder, (MAX_CACHE_FILES, MAX_CACHE_BYTES));
        Ok(())
    });
    written?
}

/// Binds the encryption to the server, so that another server's file can't take its place.
fn encryption_purpose(server: &ServerName) -> String {
    format!("what the server {server} offers")
}

/// A file of the cache.
struct CacheFile {
    name: String,
    length: u64,
    written: SystemTime,
}

/// The files of the cache, the newest first, and by name within the same moment.
fn newest_first(folder: &Path) -> Vec<CacheFile> {
    let known = |entry: fs::DirEntry| {
        let (name, metadata) = (entry.file_name().into_string().ok()?, entry.metadata().ok()?);
        let (length, written) = (metadata.len(), metadata.modified().ok()?);
        (metadata.is_file() && name.starts_with("server-")).then_some(CacheFile { name, length, written })
    };
    let mut files: Vec<CacheFile> =
        fs::read_dir(folder).into_iter().flatten().flatten().filter_map(known).collect();
    files.sort_by(|one, other| other.written.cmp(&one.written).then_with(|| one.name.cmp(&other.name)));
    files
}

/// Removes the oldest files over the limits. The newest stays whatever its size, because it was written just
/// now.
fn remove_oldest(folder: &Path, (max_files, max_bytes): (usize, u64)) {
    let mut bytes = 0;
    for (at, file) in newest_first(folder).into_iter().enumerate() {
        // Removed files count too: what follows is older still, and goes as well.
        bytes += file.length;
        if at > 0 && (at >= max_files || bytes > max_bytes) {
            // A file that can't be removed is only one too many.
            let _ = fs::remove_file(folder.join(file.name));
        }
    }
}

#[cfg(unix)]
fn create_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn create_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{server_config, stdio_of};

    fn offer() -> ServerListing {
        let tool = crate::json::parse_raw(r#"{"name":"x","n":1.10}"#.to_owned()).expect("JSON");
        ServerListing {
            instructions: Some("hi\nthere".to_owned()),
            tools: vec![tool],
            ..ServerListing::default()
        }
    }

    /// A cache in `folder`, and the key of a server in it.
    fn keyed(folder: &Path, directory: &str, name: &str) -> (ListingCache, config::ServerConfig, CacheKey) {
        let cache = ListingCache::new(folder.to_owned(), directory.into());
        let server = server_config(name);
        let key = CacheKey::new(&server, Some(&cache));
        (cache, server, key)
    }

    fn offering(name: &str) -> ServerListing {
        let tool = crate::json::parse_raw(format!(r#"{{"name":"{name}"}}"#)).expect("JSON");
        ServerListing { tools: vec![tool], ..ServerListing::default() }
    }

    #[test]
    fn an_offer_reads_back_byte_for_byte() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("state/catalog");
        let (cache, github, key) = keyed(&inside, "/project", "github");
        write_listing(&cache, &github.name, &key, &offer()).expect("written");
        let text = read_listing(&cache, &github.name, &key).expect("cached");
        let back: ServerListing = serde_json::from_str(&text).expect("an offer");
        assert_eq!(back.tools[0].get(), r#"{"name":"x","n":1.10}"#);
        assert_eq!(back.instructions.as_deref(), Some("hi\nthere"));
        assert_eq!(newest_first(&inside).len(), 1, "no temporary file stays");
    }

    #[test]
    fn what_is_damaged_or_of_another_start_is_no_cache() {
        let directory = tempfile::tempdir().expect("a directory");
        let (cache, github, key) = keyed(directory.path(), "/project", "github");
        let path = directory.path().join(key.file_name(&github.name));
        let cached = || read_listing(&cache, &github.name, &key).is_some();
        write_listing(&cache, &github.name, &key, &offer()).expect("written");
        assert!(cached());
        let mut started_otherwise = github.clone();
        stdio_of(&mut started_otherwise).command = "other".to_owned();
        let other = CacheKey::new(&started_otherwise, Some(&cache));
        assert!(read_listing(&cache, &github.name, &other).is_none());
        let (_, gitlab, of_gitlab) = keyed(directory.path(), "/project", "gitlab");
        assert!(read_listing(&cache, &gitlab.name, &of_gitlab).is_none());
        let whole = fs::read(&path).expect("read");
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).expect("written");
            assert!(!cached(), "cut at {end}");
        }
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x81;
            fs::write(&path, damaged).expect("written");
            assert!(!cached(), "damaged at {at}");
        }
    }

    #[test]
    fn each_directory_has_its_own_and_begins_with_the_newest_of_the_others() {
        let folder = tempfile::tempdir().expect("a directory");
        let at = |directory: &str| keyed(folder.path(), directory, "github");
        let reads = |directory: &str| {
            let (cache, github, key) = at(directory);
            read_listing(&cache, &github.name, &key)
        };
        let mut moment = SystemTime::UNIX_EPOCH;
        for directory in ["/old", "/new"] {
            let (cache, github, key) = at(directory);
            write_listing(&cache, &github.name, &key, &offering(&directory[1..])).expect("written");
            moment += Duration::from_secs(60);
            let file = fs::File::options().append(true).open(folder.path().join(key.file_name(&github.name)));
            file.expect("open").set_modified(moment).expect("set");
        }
        assert!(reads("/old").expect("cached").contains("\"old\""));
        assert!(reads("/new").expect("cached").contains("\"new\""));
        assert!(reads("/third").expect("cached").contains("\"new\""), "the newest is a beginning");
        let (_, github, key) = at("/third");
        assert_eq!(read_listings(folder.path(), &github.name, &key).len(), 2);
        let for_user = config::ServerConfig { instance: config::ServerInstance::User, ..github.clone() };
        let keys = ["/old", "/new"].map(|directory| CacheKey::new(&for_user, Some(&at(directory).0)));
        assert_eq!(keys[0], keys[1], "one of the user's runs in the daemon, for every directory");
    }

    #[test]
    fn of_many_files_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("something-else"), "x").expect("written");
        for number in 0..5_u64 {
            let path = folder.path().join(format!("server-{number}.json"));
            fs::write(&path, "0123456789").expect("written");
            let file = fs::File::options().append(true).open(&path).expect("open");
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
            file.set_modified(moment).expect("set");
        }
        let left = || {
            let names: Vec<String> = newest_first(folder.path()).into_iter().map(|file| file.name).collect();
            names.join(" ")
        };
        remove_oldest(folder.path(), (3, 1000));
        assert_eq!(left(), "server-4.json server-3.json server-2.json");
        remove_oldest(folder.path(), (3, 25));
        assert_eq!(left(), "server-4.json server-3.json");
        remove_oldest(folder.path(), (3, 1));
        assert_eq!(left(), "server-4.json", "the one that was written last stays");
        assert!(folder.path().join("something-else").exists());
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("catalog");
        let (cache, github, key) = keyed(&inside, "/project", "github");
        write_listing(&cache, &github.name, &key, &offer()).expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&inside), 0o700);
        assert_eq!(mode(&inside.join(key.file_name(&github.name))), 0o600);
    }

    #[test]
    fn the_digest_tells_servers_apart_by_how_they_start() {
        let base = server_config("github");
        let mut others = vec![base.clone(); 4];
        stdio_of(&mut others[0]).command = "other".to_owned();
        stdio_of(&mut others[1]).args.push(crate::secret::Secret::new("-y"));
        stdio_of(&mut others[2]).env.insert("TOKEN".to_owned(), crate::secret::Secret::new("t"));
        stdio_of(&mut others[3]).cwd = Some("/x".into());
        for other in &others {
            assert_ne!(launch_digest(other), launch_digest(&base));
        }
        let mut same = others[2].clone();
        stdio_of(&mut same).env.insert("TOKEN".to_owned(), crate::secret::Secret::new("u"));
        same.categories.push("code".to_owned());
        assert_eq!(launch_digest(&same), launch_digest(&others[2]));
    }
}
