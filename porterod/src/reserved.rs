//! A small file whose space is reserved in advance, so that it can be written while the disk is full.
//!
//! It has two slots, written in turn, so an interrupted write leaves the other slot intact. File systems that
//! write every block to a new place (Btrfs, ZFS) may refuse even this write on a full disk; then the caller
//! gets the error.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use portero::atomic_file;
use portero::files::{self, SymlinkMode};
use portero::sync::lock;

/// A slot's header: number, length and hash of its text.
const HEADER_BYTES: usize = 8 + 4 + 32;

/// A file with reserved space.
#[derive(Debug)]
pub(crate) struct Reserved {
    path: PathBuf,
    slot_bytes: usize,
    /// The number of the next write; none before the file was read.
    next: Mutex<Option<u64>>,
}

/// The content of a slot.
enum Slot<'a> {
    Empty,
    Whole(u64, &'a [u8]),
    /// A write was interrupted, or another program changed the slot.
    Damaged,
}

impl Reserved {
    /// The file at `path`, for texts of up to `slot_bytes`. Nothing is read or created yet.
    pub(crate) const fn new(path: PathBuf, slot_bytes: usize) -> Self {
        Self { path, slot_bytes, next: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text that was written last, if any. A missing file is created at its full size.
    ///
    /// # Errors
    /// If the file can't be read or created, or both slots are damaged.
    pub(crate) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        self.read_last(&mut lock(&self.next))
    }

    /// Replaces the text, and returns once it is on the disk.
    ///
    /// # Errors
    /// If it can't be written or is too long; then the former text stays.
    pub(crate) fn write(&self, text: &[u8]) -> io::Result<()> {
        let (Ok(length), true) = (u32::try_from(text.len()), HEADER_BYTES + text.len() <= self.slot_bytes)
        else {
            return Err(io::Error::other(format!("`{}` has no place for so much", self.path.display())));
        };
        let mut next = lock(&self.next);
        if next.is_none() && self.read_last(&mut next).is_err() {
            // The first read of this file already reported the damage.
            self.make(&mut next)?;
        }
        let number = next.unwrap_or(1);
        let mut slot = [&number.to_le_bytes()[..], &length.to_le_bytes(), &hash(number, text)].concat();
        slot.extend_from_slice(text);
        let file = match files::open_to_overwrite(&self.path) {
            Err(error) if error.is_missing() => {
                self.make(&mut next)?;
                files::open_to_overwrite(&self.path)?
            }
            other => other?,
        };
        let mut file = file.file();
        // The number's parity selects the slot, so a write never touches the slot with the newest text.
        file.seek(SeekFrom::Start((number % 2) * self.slot_bytes as u64))?;
        file.write_all(&slot)?;
        file.sync_data()?;
        // Only after the sync: a failed write is retried in the same slot, and the other slot stays intact.
        *next = Some(number + 1);
        Ok(())
    }

    fn read_last(&self, next: &mut Option<u64>) -> io::Result<Option<Vec<u8>>> {
        let bytes = match files::read(&self.path, 2 * self.slot_bytes as u64, SymlinkMode::Refuse) {
            Err(error) if error.is_missing() => return self.make(next).map(|()| None),
            other => other?,
        };
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is damaged", self.path.display()));
        if bytes.len() != 2 * self.slot_bytes {
            return Err(damaged());
        }
        let (first, second) = bytes.split_at(self.slot_bytes);
        let (number, text) = match (slot(first), slot(second)) {
            (Slot::Whole(one, text), Slot::Whole(other, _)) if one > other => (one, Some(text)),
            (_, Slot::Whole(number, text)) | (Slot::Whole(number, text), _) => (number, Some(text)),
            // The very first write was interrupted, so its caller got no success.
            (Slot::Empty, _) | (_, Slot::Empty) => (0, None),
            (Slot::Damaged, Slot::Damaged) => return Err(damaged()),
        };
        *next = Some(number + 1);
        Ok(text.map(<[u8]>::to_vec))
    }

    fn make(&self, next: &mut Option<u64>) -> io::Result<()> {
        atomic_file::replace(&self.path, &vec![0; 2 * self.slot_bytes])?;
        *next = Some(next.unwrap_or(1));
        Ok(())
    }
}

fn slot(bytes: &[u8]) -> Slot<'_> {
    let parts = || {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let text = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        Some((u64::from_le_bytes(*number), *hash, text))
    };
    match parts() {
        Some((0, ..)) => Slot::Empty,
        Some((number, found, text)) if found == hash(number, text) => Slot::Whole(number, text),
        Some(_) | None => Slot::Damaged,
    }
}

fn hash(number: u64, text: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(&number.to_le_bytes()).update(text).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: usize = 256;

    #[test]
    fn what_was_written_last_is_read_and_the_file_never_grows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserved");
        let reserved = Reserved::new(path.clone(), SLOT);
        assert_eq!(reserved.read().unwrap(), None);
        for text in ["one", "two", "", "a longer one"] {
            reserved.write(text.as_bytes()).unwrap();
            assert_eq!(Reserved::new(path.clone(), SLOT).read().unwrap().as_deref(), Some(text.as_bytes()));
            assert_eq!(
                std::fs::metadata(&path).unwrap().len(),
                2 * SLOT as u64,
                "its space was taken before"
            );
        }
        assert!(reserved.write(&[b'x'; SLOT]).is_err(), "it has no place for that");
        let again = Reserved::new(path, SLOT);
        again.write(b"by the next process").unwrap();
        assert_eq!(again.read().unwrap().as_deref(), Some(&b"by the next process"[..]));
    }

    #[test]
    fn a_write_that_breaks_off_anywhere_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserved");
        let reserved = Reserved::new(path.clone(), SLOT);
        reserved.write(b"first").unwrap();
        reserved.write(b"second").unwrap();
        let before = std::fs::read(&path).unwrap();
        reserved.write(b"third").unwrap();
        let after = std::fs::read(&path).unwrap();
        for cut in 0..=after.len() {
            std::fs::write(&path, [&after[..cut], &before[cut..]].concat()).unwrap();
            let read = Reserved::new(path.clone(), SLOT).read().unwrap().unwrap();
            assert!(read == b"second" || read == b"third", "{cut}: {read:?}");
        }
        std::fs::write(&path, vec![7; 2 * SLOT]).unwrap();
        assert!(Reserved::new(path.clone(), SLOT).read().is_err(), "nothing is made of what is damaged");
        Reserved::new(path.clone(), SLOT).write(b"anew").unwrap();
        assert_eq!(Reserved::new(path, SLOT).read().unwrap().as_deref(), Some(&b"anew"[..]));
    }
}
