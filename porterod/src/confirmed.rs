//! Keeps what a person confirmed of the configuration (guarantee A7).
//!
//! The files as confirmed are in one copy in the state directory, which sessions read too; the store holds a
//! keyed digest of it. A copy that does not fit the digest is not trusted. The new copy is on the disk before
//! the store says so, and takes its place after: wherever the daemon is killed, one that fits is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use portero::config::Files;
use portero::confirmed::{self as copy, Confirmed, digest, seal};
use portero::files;
use portero::identity::{StoreId, StoreKey};
use portero::notice::Alarm;
use portero::paths::Paths;

use crate::journal::{Journal, Weight};
use crate::store::{StoreError, confirmed as kept, passphrase, standing};
use crate::taps::Ticket;

/// Why no daemon starts on a configuration that another store sealed.
const SEALED: &str =
    "the configuration was sealed by a store in another state directory, or by one that is gone";

/// What a person confirmed, kept.
#[derive(Debug)]
pub struct Keeper {
    journal: Arc<Journal>,
    paths: Paths,
    confirmed: ArcSwap<Confirmed>,
    /// The key pair of the store.
    store_key: StoreKey,
}

/// Why what was confirmed is kept anew, for the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The passphrase was set: it counts as it stands.
    Seal,
    /// Nothing in it widens.
    Adopt,
    /// A person confirmed it.
    Confirm,
}

impl Act {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "config seal",
            Self::Adopt => "config adopt",
            Self::Confirm => "config confirm",
        }
    }
}

/// What the audit is told when something counts as confirmed from now on.
#[derive(Debug)]
pub struct Sealing<'a> {
    /// Why.
    pub act: Act,
    /// What changed.
    pub about: &'a str,
    /// Who did it.
    pub by: Option<&'a str>,
    /// The button to use up with it, where it was a tap, and which step of what it does that is.
    pub(crate) spends: Option<(Ticket, u8)>,
}

impl<'a> Sealing<'a> {
    /// With no tap.
    #[must_use]
    pub const fn new(act: Act, about: &'a str, by: Option<&'a str>) -> Self {
        Self { act, about, by, spends: None }
    }
}

impl Keeper {
    /// Finds out what was confirmed. Where a passphrase is set and nothing was ever sealed, `present` is, as it
    /// stands.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another store sealed the configuration; else when the store cannot be read or
    /// written, or the copy cannot be written.
    pub async fn open(journal: Arc<Journal>, paths: Paths, present: &Files) -> Result<Self, StoreError> {
        let store = journal.store();
        let key = store.read(standing::binding_key)?;
        let store_key = StoreKey::of_store(&key);
        let (sealed, by) = (paths.seal(), store_key.id().clone());
        if !read_files(&paths, move || seal::opens(&sealed, &by)).await? {
            return Err(StoreError::Refused(SEALED.to_owned()));
        }
        let known = store.read(kept::load)?;
        let has_passphrase = store.read(passphrase::load)?.is_some();
        let confirmed = match &known {
            None => Confirmed::Open,
            Some(known) => {
                let (there, present, known) = (paths.clone(), present.clone(), known.clone());
                let find = move || find(&there, &present, |files| keyed(&key, files) == known);
                read_files(&paths, find).await?
            }
        };
        let keeper = Self { journal, paths, confirmed: ArcSwap::from_pointee(confirmed.clone()), store_key };
        if known.is_none() && has_passphrase {
            let about = "the configuration as it stands";
            keeper.seal(present.clone(), Sealing::new(Act::Seal, about, None)).await?;
        } else {
            keeper.mend(&confirmed).await?;
        }
        Ok(keeper)
    }

    /// What counts as confirmed.
    #[must_use]
    pub fn confirmed(&self) -> Arc<Confirmed> {
        self.confirmed.load_full()
    }

    /// The key pair of the store.
    #[must_use]
    pub const fn store_key(&self) -> &StoreKey {
        &self.store_key
    }

    /// From now on these files count as confirmed.
    ///
    /// # Errors
    /// When it cannot be kept; then what was confirmed before still counts, unless the error says otherwise.
    pub async fn seal(&self, files: Files, sealing: Sealing<'_>) -> Result<(), StoreError> {
        let Sealing { act, about, by, spends } = sealing;
        let confirmed = Confirmed::Sealed(files);
        let Confirmed::Sealed(files) = &confirmed else { return Ok(()) };
        let next = next(&self.paths.confirmed());
        self.write_copy(next.clone(), confirmed.clone()).await?;
        let key = self.journal.store().read(standing::binding_key)?;
        let (digest, now) = (keyed(&key, files), self.journal.now().wall);
        let record = self.journal.act(act.as_str(), self.journal.words(about).get(), true, by);
        let weight = if act == Act::Adopt { Weight::Lenient } else { Weight::Strict };
        let kept = self.journal.change(weight, move |connection| {
            kept::keep(connection, &digest, now)?;
            if let Some((ticket, step)) = &spends {
                ticket.spend(connection, *step)?;
            }
            Ok(((), vec![record.clone()]))
        });
        if let Err(error) = kept.await {
            let _ = fs::remove_file(&next);
            return Err(error);
        }
        self.confirmed.store(Arc::new(confirmed));
        // Until it is in its place sessions go by the former copy, and by nothing while the daemon runs.
        fs::rename(&next, self.paths.confirmed()).map_err(|error| failed(&self.paths.confirmed(), &error))?;
        self.put_seal().await;
        Ok(())
    }

    /// Writes a copy, synced, on a thread that may wait for the disk.
    async fn write_copy(&self, path: PathBuf, confirmed: Confirmed) -> Result<(), StoreError> {
        let store = self.store_key.id().clone();
        let written = tokio::task::spawn_blocking(move || {
            copy::write(&path, &store, &confirmed).map_err(|error| failed(&path, &error))
        });
        written.await.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// Ties the configuration to this store. A directory that cannot be written is safe from edits too.
    async fn put_seal(&self) {
        let (path, store) = (self.paths.seal(), self.store_key.id().clone());
        let put = move || match seal::read(&path).is_none_or(|sealed| sealed != store) {
            true => seal::write(&path, &store).map_err(|error| failed(&path, &error)),
            false => Ok(()),
        };
        if let Err(error) = read_files(&self.paths, put).await.and_then(|put| put) {
            tracing::warn!(%error, "the configuration could not be sealed");
        }
    }

    /// Writes the copy where it does not say what counts, and raises an alarm where it should have.
    async fn mend(&self, confirmed: &Confirmed) -> Result<(), StoreError> {
        let path = self.paths.confirmed();
        let (copies, store) = ([path.clone(), next(&path)], self.paths.store());
        let read = move || {
            let [found, coming] = copies.each_ref().map(|path| copy::read_copy(path, &store));
            (found, coming, copy::writer(&copies[0]))
        };
        let (found, coming, writer) = read_files(&self.paths, read).await?;
        if found != *confirmed || writer.as_ref() != Some(self.store_key.id()) {
            self.write_copy(path.clone(), confirmed.clone()).await?;
        }
        let _ = fs::remove_file(next(&path));
        match confirmed {
            Confirmed::Open => return Ok(()),
            Confirmed::Sealed(_) if found == *confirmed || coming == *confirmed => {}
            Confirmed::Sealed(_) => {
                self.alarm("the copy of the confirmed configuration was not what was confirmed; it is again")
                    .await;
            }
            Confirmed::Unknown(reason) => {
                let next = "nothing counts as confirmed; look with `portero config diff`";
                self.alarm(&format!("{reason}: {next}")).await;
            }
        }
        self.put_seal().await;
        Ok(())
    }

    async fn alarm(&self, about: &str) {
        tracing::error!("{about}");
        self.journal.alarm(Alarm::Configuration, about).await;
        // It goes on all the same; a record that cannot be written now follows.
        let _ = self.journal.record_act("config alarm", about, true, None).await;
    }
}

/// Reads files while the runtime goes on. Each of them gives up by itself, so the whole need not do so before.
async fn read_files<T: Send + 'static>(
    paths: &Paths,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let read = files::off_thread(&paths.state, 4 * files::READ_TIMEOUT, read).await;
    read.map_err(|error| StoreError::Failed(error.to_string()))
}

/// Refuses a new store where another one sealed the configuration.
///
/// # Errors
/// What to tell a person.
pub async fn may_begin(paths: &Paths) -> Result<(), String> {
    let (store, sealed) = (paths.store(), paths.seal());
    let refused = read_files(paths, move || !store.exists() && seal::read(&sealed).is_some()).await;
    match refused {
        Ok(false) => Ok(()),
        Ok(true) => Err(SEALED.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Says that nothing can be confirmed yet, where no store was made so far: whoever finds the store finds this beside
/// it. To be called before the store is opened, by the one daemon that serves the directory.
///
/// # Errors
/// When it cannot be written.
pub fn note_new_store(paths: &Paths) -> io::Result<()> {
    if paths.store().exists() || paths.confirmed().exists() {
        return Ok(());
    }
    // The store has no name yet; while nothing is confirmed none is needed.
    copy::write(&paths.confirmed(), &StoreId::default(), &Confirmed::Open)
}

/// The confirmed files: in the copy, in the one that was to take its place, or as they still stand.
fn find(paths: &Paths, present: &Files, fits: impl Fn(&Files) -> bool) -> Confirmed {
    let path = paths.confirmed();
    let read = |path: &Path| match copy::read_copy(path, &paths.store()) {
        Confirmed::Sealed(files) => Some(files),
        Confirmed::Open | Confirmed::Unknown(_) => None,
    };
    let found = [read(&path), read(&next(&path)), Some(present.clone())];
    match found.into_iter().flatten().find(fits) {
        Some(files) => Confirmed::Sealed(files),
        None => Confirmed::Unknown(
            "the copy of the confirmed configuration is missing, or is not what was confirmed".to_owned(),
        ),
    }
}

fn keyed(key: &[u8; 32], files: &Files) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(b"confirmed configuration").update(digest(files).as_bytes());
    hasher.finalize().to_hex().to_string()
}

fn next(path: &Path) -> PathBuf {
    path.with_extension("next.json")
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("`{}` could not be written: {error}", path.display()))
}

#[cfg(test)]
mod tests;
