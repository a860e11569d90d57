//! Keeps the configuration that a person confirmed (guarantee A7).
//!
//! The state directory holds one copy of the confirmed files, which sessions read too. The store holds a
//! keyed digest, and a copy with another digest is not trusted. The new copy is synced before the store is
//! written, and renamed after. A matching copy therefore exists wherever the daemon is killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::approved_config::{self as copy, ApprovedConfig, digest_files, seal};
use portero::config::ConfigFiles;
use portero::files;
use portero::ipc::Act;
use portero::names::Actor;
use portero::notice::AlarmKind;
use portero::paths::Paths;
use portero::store_identity::{StoreId, StoreKey};

use crate::journal::{AuditMode, Journal};
use crate::store::buttons::ButtonUse;
use crate::store::{StoreError, overrides, passphrase};

/// The time limit for reading the copy and the seal; each file has its own shorter one.
const DISK_TIMEOUT: Duration = Duration::from_secs(4 * files::READ_TIMEOUT.as_secs());
/// Why no daemon starts on a configuration that another store sealed.
const SEALED_ELSEWHERE: &str =
    "the configuration was sealed by a store in another state directory, or by one that is gone";

/// The confirmed configuration, on disk.
#[derive(Debug)]
pub struct ApprovedConfigStore {
    journal: Arc<Journal>,
    paths: Paths,
    current: ArcSwap<ApprovedConfig>,
    /// The store's key pair.
    store_key: StoreKey,
}

/// Why the confirmed configuration is stored, for the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealReason {
    /// The passphrase was set, so the present files count.
    Seal,
    /// Nothing in the files widens.
    Adopt,
    /// A person confirmed the files.
    Confirm,
}

impl SealReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "config seal",
            Self::Adopt => "config adopt",
            Self::Confirm => Act::CONFIRM_CONFIG_WORD,
        }
    }
}

/// The audit's record of a new confirmed configuration.
#[derive(Debug)]
pub struct SealRequest<'a> {
    /// The reason.
    pub reason: SealReason,
    /// The changes.
    pub about: &'a str,
    /// The person or process behind it.
    pub by: Option<&'a Actor>,
    /// The button that it uses up, if it was a press.
    pub(crate) consumes: Option<ButtonUse>,
}

impl<'a> SealRequest<'a> {
    /// Makes a request without a press.
    #[must_use]
    pub const fn new(act: SealReason, about: &'a str, by: Option<&'a Actor>) -> Self {
        Self { reason: act, about, by, consumes: None }
    }
}

impl ApprovedConfigStore {
    /// Reads the confirmed configuration. If a passphrase is set and nothing was ever sealed, `present` is
    /// sealed as it is.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if another store sealed the configuration. Otherwise when the seal, the store
    /// or the copy can't be read or written.
    pub async fn open(
        journal: Arc<Journal>,
        paths: Paths,
        present: &ConfigFiles,
    ) -> Result<Self, StoreError> {
        let store = journal.store();
        let key = store.read(overrides::binding_key)?;
        let store_key = StoreKey::from_store_key(&key);
        let (sealed, by) = (paths.seal(), store_key.id().clone());
        if !files::read_off_thread(&paths.state, DISK_TIMEOUT, move || seal::accepts_store(&sealed, &by))
            .await??
        {
            return Err(StoreError::Refused(SEALED_ELSEWHERE.to_owned()));
        }
        let known = store.read(overrides::approved_config_digest)?;
        let has_passphrase = store.read(passphrase::load)?.is_some();
        let confirmed = match &known {
            None => ApprovedConfig::Open,
            Some(known) => {
                let (there, present, known) = (paths.clone(), present.clone(), known.clone());
                let find =
                    move || find_approved_files(&there, &present, |files| keyed_digest(&key, files) == known);
                files::read_off_thread(&paths.state, DISK_TIMEOUT, find).await?
            }
        };
        let keeper = Self { journal, paths, current: ArcSwap::from_pointee(confirmed.clone()), store_key };
        // The daemon died between the passphrase and the seal, so it seals now.
        if known.is_none() && has_passphrase {
            let about = "the configuration as it stands";
            keeper.approve_files(present.clone(), SealRequest::new(SealReason::Seal, about, None)).await?;
        } else {
            keeper.repair_copy(&confirmed).await?;
        }
        Ok(keeper)
    }

    /// The configuration that counts as confirmed.
    #[must_use]
    pub fn current(&self) -> Arc<ApprovedConfig> {
        self.current.load_full()
    }

    /// The store's key pair.
    #[must_use]
    pub const fn store_key(&self) -> &StoreKey {
        &self.store_key
    }

    /// Stores these files as the confirmed ones.
    ///
    /// # Errors
    /// When the files can't be stored. The former ones then still count, unless the error says otherwise.
    pub async fn approve_files(
        &self,
        files: ConfigFiles,
        sealing: SealRequest<'_>,
    ) -> Result<(), StoreError> {
        let SealRequest { reason: act, about, by, consumes } = sealing;
        let confirmed = ApprovedConfig::Sealed(files);
        let ApprovedConfig::Sealed(files) = &confirmed else { return Ok(()) };
        let next = next_copy_path(&self.paths.approved_config());
        self.write_copy(next.clone(), confirmed.clone()).await?;
        let key = self.journal.store().read(overrides::binding_key)?;
        let (digest, now) = (keyed_digest(&key, files), self.journal.now().wall);
        let record = self.journal.act_record(act.as_str(), self.journal.conceal_text(about).get(), true, by);
        // A narrowing change must not wait for a full disk; a widening one needs its record first.
        let weight = if act == SealReason::Adopt { AuditMode::BestEffort } else { AuditMode::Required };
        let kept = self.journal.change(weight, move |connection| {
            overrides::save_approved_config_digest(connection, &digest, now)?;
            if let Some(button) = &consumes {
                button.consume(connection)?;
            }
            Ok(((), vec![record.clone()]))
        });
        if let Err(error) = kept.await {
            let _ = fs::remove_file(&next);
            return Err(error);
        }
        self.current.store(Arc::new(confirmed));
        // Until the rename a session uses the former copy, and none while the daemon runs.
        fs::rename(&next, self.paths.approved_config())
            .map_err(|error| write_error(&self.paths.approved_config(), &error))?;
        self.write_seal().await;
        Ok(())
    }

    /// Writes a copy and syncs it, on a thread that may wait for the disk.
    async fn write_copy(&self, path: PathBuf, confirmed: ApprovedConfig) -> Result<(), StoreError> {
        let store = self.store_key.id().clone();
        let written = tokio::task::spawn_blocking(move || {
            copy::write_copy(&path, &store, &confirmed).map_err(|error| write_error(&path, &error))
        });
        written.await.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// Ties the configuration to this store. A failure is only logged: a directory that can't be written is
    /// safe from edits.
    async fn write_seal(&self) {
        let (path, store) = (self.paths.seal(), self.store_key.id().clone());
        let put = move || match seal::read(&path) {
            Ok(Some(sealed)) if sealed == store => Ok(()),
            _ => seal::write(&path, &store).map_err(|error| write_error(&path, &error)),
        };
        if let Err(error) = files::read_off_thread(&self.paths.state, DISK_TIMEOUT, put)
            .await
            .map_err(StoreError::from)
            .flatten()
        {
            tracing::warn!(%error, "the configuration could not be sealed");
        }
    }

    /// Writes the copy if it differs from the confirmed configuration, and raises an alarm if it should not
    /// have.
    async fn repair_copy(&self, confirmed: &ApprovedConfig) -> Result<(), StoreError> {
        let path = self.paths.approved_config();
        let (copies, store) = ([path.clone(), next_copy_path(&path)], self.paths.store());
        let read = move || {
            let [found, coming] = copies.each_ref().map(|path| copy::read_copy(path, &store));
            (found, coming, copy::copy_writer(&copies[0]))
        };
        let (found, coming, writer) = files::read_off_thread(&self.paths.state, DISK_TIMEOUT, read).await?;
        if found != *confirmed || writer.as_ref() != Some(self.store_key.id()) {
            self.write_copy(path.clone(), confirmed.clone()).await?;
        }
        let _ = fs::remove_file(next_copy_path(&path));
        match confirmed {
            ApprovedConfig::Open => return Ok(()),
            ApprovedConfig::Sealed(_) if found == *confirmed || coming == *confirmed => {}
            ApprovedConfig::Sealed(_) => {
                self.raise_alarm(
                    "the copy of the confirmed configuration was not what was confirmed; it is again",
                )
                .await;
            }
            ApprovedConfig::Unknown(reason) => {
                let next = "nothing counts as confirmed; look with `portero config diff`";
                self.raise_alarm(&format!("{reason}: {next}")).await;
            }
        }
        self.write_seal().await;
        Ok(())
    }

    async fn raise_alarm(&self, about: &str) {
        tracing::error!("{about}");
        self.journal.raise_alarm(AlarmKind::Configuration, about).await;
        // The daemon goes on. A record that can't be written now is written later.
        let _ = self.journal.record_act("config alarm", about, true, None).await;
    }
}

/// Refuses a new store if another one sealed the configuration.
///
/// # Errors
/// [`StoreError::Refused`] in that case; otherwise when the seal can't be read.
pub async fn check_may_start(paths: &Paths) -> Result<(), StoreError> {
    let (store, seal) = (paths.store(), paths.seal());
    let read = move || if store.exists() { Ok(None) } else { seal::read(&seal) };
    match files::read_off_thread(&paths.state, DISK_TIMEOUT, read).await?? {
        None => Ok(()),
        Some(_) => Err(StoreError::Refused(SEALED_ELSEWHERE.to_owned())),
    }
}

/// Writes an empty copy if no store exists yet, so a process that finds the store finds a copy beside it. The
/// one daemon of the directory calls this before it opens the store.
///
/// # Errors
/// When the mark can't be written.
pub fn mark_new_store(paths: &Paths) -> io::Result<()> {
    if paths.store().exists() || paths.approved_config().exists() {
        return Ok(());
    }
    // The store has no name yet, and needs none while nothing is confirmed.
    copy::write_copy(&paths.approved_config(), &StoreId::default(), &ApprovedConfig::Open)
}

/// Finds the confirmed files in the copy, in the copy that was to replace it, or in the present files.
fn find_approved_files(
    paths: &Paths,
    present: &ConfigFiles,
    fits: impl Fn(&ConfigFiles) -> bool,
) -> ApprovedConfig {
    let path = paths.approved_config();
    let read = |path: &Path| match copy::read_copy(path, &paths.store()) {
        ApprovedConfig::Sealed(files) => Some(files),
        ApprovedConfig::Open | ApprovedConfig::Unknown(_) => None,
    };
    // A kill between store and rename leaves the right files in the second copy.
    let found = [read(&path), read(&next_copy_path(&path)), Some(present.clone())];
    match found.into_iter().flatten().find(fits) {
        Some(files) => ApprovedConfig::Sealed(files),
        None => ApprovedConfig::Unknown(
            "the copy of the confirmed configuration is missing, or is not what was confirmed".to_owned(),
        ),
    }
}

fn keyed_digest(key: &[u8; 32], files: &ConfigFiles) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(b"confirmed configuration").update(digest_files(files).as_bytes());
    hasher.finalize().to_hex().to_string()
}

fn next_copy_path(path: &Path) -> PathBuf {
    path.with_extension("next.json")
}

fn write_error(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("`{}` could not be written: {error}", path.display()))
}

#[cfg(test)]
mod tests;
