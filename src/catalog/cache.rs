//! What each server offered last, on disk: one file a server.
//!
//! A file is believed only if it is whole, of this format, and of a server that is started in the same way;
//! anything else is as if there were none. It holds real values, so it is its owner's alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config;
use crate::names::ServerName;
use crate::server::Offer;

/// Raised whenever an older file would be misread.
const FORMAT: u32 = 1;

/// The first line of a file; the offer is the second.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    /// The [`digest`] of the server's configuration.
    config: String,
    /// The digest of the second line.
    check: String,
}

/// Tells apart servers that are started in different ways, so that a changed one is not shown with the old
/// one's lists. The values of its variables are not part of it.
pub(super) fn digest(server: &config::Server) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("portero catalog: how a server is started");
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(server.name.as_str());
    add(&server.command);
    add(&server.args.len().to_string());
    for argument in &server.args {
        add(argument.expose());
    }
    for variable in server.env.keys() {
        add(variable);
    }
    add(&server.cwd.as_deref().unwrap_or(Path::new("")).to_string_lossy());
    hasher.finalize().to_hex().to_string()
}

/// The offer as it was written, if there is one to believe.
pub(super) fn read(directory: &Path, server: &ServerName, digest: &str) -> Option<String> {
    let text = fs::read_to_string(file(directory, server)).ok()?;
    let (header, offer) = text.split_once('\n')?;
    let header: Header = serde_json::from_str(header).ok()?;
    let whole = header.format == FORMAT
        && header.config == digest
        && header.check == *blake3::hash(offer.as_bytes()).to_hex();
    whole.then(|| offer.to_owned())
}

/// Writes an offer, whole or not at all.
pub(super) fn write(directory: &Path, server: &ServerName, digest: &str, offer: &Offer) -> io::Result<()> {
    create(directory)?;
    let offer = serde_json::to_string(offer)?;
    let header = Header {
        format: FORMAT,
        config: digest.to_owned(),
        check: blake3::hash(offer.as_bytes()).to_hex().to_string(),
    };
    // On unix a temporary file is its owner's alone from the start.
    let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
    temporary.write_all(&serde_json::to_vec(&header)?)?;
    temporary.write_all(b"\n")?;
    temporary.write_all(offer.as_bytes())?;
    temporary.persist(file(directory, server))?;
    Ok(())
}

#[cfg(unix)]
fn create(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn create(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// The name has something before it because Windows reserves words such as `con`.
fn file(directory: &Path, server: &ServerName) -> PathBuf {
    directory.join(format!("server-{server}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::server;

    fn offer() -> Offer {
        let tool = crate::json::parse_raw(r#"{"name":"x","n":1.10}"#.to_owned()).expect("JSON");
        Offer { instructions: Some("hi\nthere".to_owned()), tools: vec![tool], ..Offer::default() }
    }

    #[test]
    fn an_offer_reads_back_byte_for_byte() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("state/catalog");
        let github = server("github");
        write(&inside, &github.name, "d", &offer()).expect("written");
        let text = read(&inside, &github.name, "d").expect("cached");
        let back: Offer = serde_json::from_str(&text).expect("an offer");
        assert_eq!(back.tools[0].get(), r#"{"name":"x","n":1.10}"#);
        assert_eq!(back.instructions.as_deref(), Some("hi\nthere"));
        assert_eq!(fs::read_dir(&inside).expect("listed").count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_is_damaged_or_of_another_start_is_no_cache() {
        let directory = tempfile::tempdir().expect("a directory");
        let github = server("github");
        let path = file(directory.path(), &github.name);
        let cached = || read(directory.path(), &github.name, "d").is_some();
        write(directory.path(), &github.name, "d", &offer()).expect("written");
        assert!(cached());
        assert!(read(directory.path(), &github.name, "e").is_none());
        assert!(read(directory.path(), &server("gitlab").name, "d").is_none());
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

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("catalog");
        write(&inside, &server("github").name, "d", &offer()).expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&inside), 0o700);
        assert_eq!(mode(&file(&inside, &server("github").name)), 0o600);
    }

    #[test]
    fn the_digest_tells_servers_apart_by_how_they_start() {
        let base = server("github");
        let mut others = vec![base.clone(); 4];
        others[0].command = "other".to_owned();
        others[1].args.push(crate::secret::Secret::new("-y"));
        others[2].env.insert("TOKEN".to_owned(), crate::secret::Secret::new("t"));
        others[3].cwd = Some("/x".into());
        for other in &others {
            assert_ne!(digest(other), digest(&base));
        }
        let mut same = others[2].clone();
        same.env.insert("TOKEN".to_owned(), crate::secret::Secret::new("u"));
        same.categories.push("code".to_owned());
        assert_eq!(digest(&same), digest(&others[2]));
    }
}
