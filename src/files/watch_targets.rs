//! The places to watch for changes of files that may be links, in directories that may be links.
//!
//! Systems report changes in a directory, but not behind a link in it. So every name on the way to a file is
//! watched: each link, the directory that it leads to, and the file at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A name in a directory. Its change may change what is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchTarget {
    /// The directory, which exists and is no link.
    pub directory: PathBuf,
    /// The name in it.
    pub name: PathBuf,
}

/// The most links on the way to one file; systems follow forty.
const MAX_LINKS_FOLLOWED: usize = 40;

/// All places on the way to these names in `directory`. Of the way to the directory itself, only its own name
/// and its links count.
#[must_use]
pub fn watch_targets(directory: &Path, names: &[&str]) -> BTreeSet<WatchTarget> {
    let mut found = BTreeSet::new();
    let mut links = MAX_LINKS_FOLLOWED;
    let Some(directory) = follow_links(directory, &mut found, &mut links) else { return found };
    for name in names {
        let mut links = MAX_LINKS_FOLLOWED;
        follow_links(&directory.join(name), &mut found, &mut links);
    }
    found
}

/// Resolves a path without links, and adds every link on the way and the end to `found`. `None` if the way
/// ends early; the existing part is then watched.
fn follow_links(path: &Path, found: &mut BTreeSet<WatchTarget>, links: &mut usize) -> Option<PathBuf> {
    let mut real = PathBuf::new();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            match part {
                Component::ParentDir => {
                    real.pop();
                }
                Component::CurDir => {}
                Component::Prefix(_) | Component::RootDir | Component::Normal(_) => real.push(part),
            }
            continue;
        };
        let next = real.join(name);
        let place = WatchTarget { directory: real.clone(), name: name.into() };
        let Ok(is) = fs::symlink_metadata(&next) else {
            // It may appear later, and then there is more to watch.
            found.insert(place);
            return None;
        };
        if is.is_symlink() {
            found.insert(place);
            // Counts down over the whole way, so a circle of links ends.
            *links = links.checked_sub(1)?;
            let target = real.join(fs::read_link(&next).ok()?);
            let rest: PathBuf = parts.collect();
            return follow_links(&target.join(rest), found, links);
        }
        if parts.peek().is_none() {
            found.insert(place);
        }
        real = next;
    }
    Some(real)
}
