//! The secrets that a person sets by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use portero::ipc::requests::secrets::{ClearSecrets, ListSecrets, NamedSecret, SecretLifetime, SetSecret};
use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::SecretName;
use portero::secret::{Secret, SecretReference};

use super::attempt::Attempt;
use super::confirmation::typed;
use super::{PersonCaller, PersonRequest, failure};
use crate::daemon::Daemon;
use crate::secrets::kept::KeepError;
use crate::secrets::named;

impl PersonRequest for SetSecret {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::SetSecret(self.name.clone())).into())
    }

    /// Sets a secret. With another one a server would act for someone else, so an agent must not be able to.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), DaemonFailure> {
        let act = Act::SetSecret(self.name.clone());
        let value = checked_value(self.value.expose())?;
        // Without a passphrase nothing is protected yet.
        if daemon.passphrase.first_set().map_err(|error| failure::of_store(&error))?.is_some() {
            let missing = || DaemonFailure::new(FailureKind::Challenge, "this needs the approval passphrase");
            let challenge = typed(self.challenge.ok_or_else(missing)?)?;
            caller.confirmation(challenge).authorize(daemon, caller.by, &act).await?;
        }
        // The record comes first: a secret that is in use without one would be unaccounted for.
        let recorded = daemon.journal.record_act(act.word(), &act.about(), true, Some(caller.by)).await;
        recorded.map_err(|error| failure::of_store(&error))?;
        let lifetime = match self.lifetime {
            SecretLifetime::InMemory(limit) => named::SecretLifetime::InMemory(limit),
            SecretLifetime::Kept => named::SecretLifetime::Kept,
        };
        let set = daemon.secrets.set(self.name.clone(), value, lifetime).await;
        set.map_err(|error| refusal(&error))?;
        daemon.upstreams.restart_with(&SecretReference::Secret(self.name));
        Ok(())
    }
}

/// A value that can be used: a line of text, without the line end that a pipe may have left.
fn checked_value(text: &str) -> Result<Secret, DaemonFailure> {
    if text.trim().is_empty() || text.contains('\0') {
        return Err(DaemonFailure::new(
            FailureKind::Invalid,
            "a secret must not be empty or hold a NUL character",
        ));
    }
    Ok(Secret::new(text))
}

impl PersonRequest for ListSecrets {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Vec<NamedSecret>, DaemonFailure> {
        let secrets = daemon.secrets.list().await.map_err(|error| refusal(&error))?;
        let shown = secrets.into_iter().map(|secret| {
            let named::NamedSecret { name, kept, since, expires } = secret;
            let (place, trouble) = kept.map_or((None, None), |kept| (Some(kept.place), kept.trouble));
            NamedSecret { name, is_kept: place.is_some(), place, trouble, since, expires }
        });
        Ok(shown.collect())
    }
}

impl PersonRequest for ClearSecrets {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::ClearSecrets(self.name.clone())).into())
    }

    /// Clears secrets, and ends the servers that use them.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, DaemonFailure> {
        let act = Act::ClearSecrets(self.name.clone());
        let (names, listed) = match self.name {
            Some(name) => (BTreeSet::from([name]), Ok(())),
            None => all_names(daemon).await,
        };
        let restart = |name| daemon.upstreams.restart_with(&SecretReference::Secret(name));
        let (cleared, failed) = daemon.secrets.clear(names.into_iter().collect(), restart).await;
        let failed = failed.and(listed);
        // It narrows, so it counts also where the record can't be written now; the journal writes it later.
        let done = failed.is_ok() || cleared > 0;
        let _ = daemon.journal.record_act(act.word(), &act.about(), done, Some(caller.by)).await;
        failed.map_err(|error| refusal(&error))?;
        Ok(cleared)
    }
}

/// All names that are set. If they can't be listed, at least those that servers use, with the reason.
async fn all_names(daemon: &Daemon) -> (BTreeSet<SecretName>, Result<(), KeepError>) {
    let (mut names, listed) = daemon.secrets.names().await;
    if listed.is_err() {
        let config = daemon.config.current();
        let references = config.servers.iter().flat_map(|server| server.transport.references());
        names.extend(references.filter_map(|reference| match reference {
            SecretReference::Secret(name) => Some(name),
            SecretReference::File(_) | SecretReference::Exec(_) | SecretReference::Keyring { .. } => None,
        }));
    }
    (names, listed)
}

fn refusal(error: &KeepError) -> DaemonFailure {
    match error {
        KeepError::Store(error) => failure::of_store(error),
        KeepError::Key { .. } | KeepError::Damaged(_) => {
            DaemonFailure::new(FailureKind::Internal, error.to_string())
        }
        KeepError::Locked { .. }
        | KeepError::KeyMissing { .. }
        | KeepError::NoKeyring { .. }
        | KeepError::TooLong
        | KeepError::TooMany => DaemonFailure::new(FailureKind::Refused, error.to_string()),
    }
}
