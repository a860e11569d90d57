//! What the references of a server's entry stand for.
//!
//! Looked up when the server is started or reached, blanked before it is used, and remembered for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portero::clock::Clock;
use portero::config::{HttpServer, ServerAuth, ServerTransport};
use portero::names::{SecretName, ServerName};
use portero::pipeline::BoxFuture;
use portero::secret::{Secret, SecretReference};
use portero::server::{ReferenceResolver, ServerListing};
use portero::sync::lock;

use super::kept::KeepError;
use super::lookup::{self, LookupContext, LookupError};
use super::named::NamedSecrets;
use super::redaction::{RedactionConflict, Redactions, SecretSource};
use crate::keyring::Keyring;

/// How many looked-up values are remembered.
const MAX_REMEMBERED: usize = 256;
/// How long each is.
const REMEMBERED_FOR: Duration = Duration::from_secs(10 * 60);

/// Why the references of a server couldn't be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A secret isn't set. The agent reads this, so it names the person's command.
    #[error("the secret `{0}` is not set; ask your user to run `portero secret set {0}`")]
    Unset(SecretName),
    /// A kept one can't be read.
    #[error(transparent)]
    Kept(#[from] KeepError),
    /// A file, program or keyring gave none.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Its value can't be blanked.
    #[error(transparent)]
    Conflict(#[from] RedactionConflict),
    /// It doesn't fit where it stands.
    #[error("its secret does not fit into its `url`")]
    Address,
}

/// Resolves the references of the daemon's servers.
pub struct SecretReferences {
    named: Arc<NamedSecrets>,
    redactions: Arc<Redactions>,
    context: LookupContext,
    keyring: Arc<dyn Keyring>,
    clock: Arc<dyn Clock>,
    remembered: Mutex<HashMap<SecretReference, Arc<RememberedValue>>>,
}

/// A value with the time at which it was looked up. The lock is held meanwhile, so that a program runs once.
type RememberedValue = tokio::sync::Mutex<Option<(Secret, Duration)>>;

impl SecretReferences {
    /// Resolves references in these surroundings.
    #[must_use]
    pub fn new(
        named: Arc<NamedSecrets>,
        redactions: Arc<Redactions>,
        (context, keyring): (LookupContext, Arc<dyn Keyring>),
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { named, redactions, context, keyring, clock, remembered: Mutex::default() }
    }

    /// The server's entry with each reference replaced by its value, which is blanked from now on.
    ///
    /// # Errors
    /// If one gives no value. No error holds a value.
    pub async fn resolve_transport(
        &self,
        server: &ServerName,
        transport: &ServerTransport,
    ) -> Result<ServerTransport, ResolveError> {
        let mut values = BTreeMap::new();
        for reference in transport.references() {
            let value = self.look_up(&reference).await?;
            values.insert(reference, value);
        }
        let resolved =
            transport.resolved(&|reference| values.get(reference).cloned()).ok_or(ResolveError::Address)?;
        let mut secrets: Vec<Secret> = values.into_values().collect();
        if let ServerTransport::Http(HttpServer { auth: ServerAuth::Static(auth), .. }) = &resolved {
            secrets.extend(auth.secrets());
        }
        self.redactions.add(server, SecretSource::Entry, &secrets)?;
        Ok(resolved)
    }

    async fn look_up(&self, reference: &SecretReference) -> Result<Secret, ResolveError> {
        if let SecretReference::Secret(name) = reference {
            return self.named.load(name).await?.ok_or_else(|| ResolveError::Unset(name.clone()));
        }
        let slot = self.slot(reference);
        let mut remembered = slot.lock().await;
        let now = self.clock.now().boot;
        if let Some((value, at)) = &*remembered
            && now.saturating_sub(*at) < REMEMBERED_FOR
        {
            return Ok(value.clone());
        }
        *remembered = None;
        let value = match reference {
            SecretReference::File(path) => lookup::read_file(&self.context, path).await?,
            SecretReference::Exec(words) => lookup::run_command(&self.context, words).await?,
            SecretReference::Keyring { service, account } => {
                lookup::read_keyring(&*self.keyring, service, account).await?
            }
            SecretReference::Secret(name) => return Err(ResolveError::Unset(name.clone())),
        };
        *remembered = Some((value.clone(), now));
        Ok(value)
    }

    fn slot(&self, reference: &SecretReference) -> Arc<RememberedValue> {
        let mut remembered = lock(&self.remembered);
        if remembered.len() >= MAX_REMEMBERED && !remembered.contains_key(reference) {
            // Those that are being looked up are still held elsewhere, and only looked up once more.
            remembered.clear();
        }
        Arc::clone(remembered.entry(reference.clone()).or_default())
    }
}

impl ReferenceResolver for SecretReferences {
    fn resolve<'a>(
        &'a self,
        server: &'a ServerName,
        transport: &'a ServerTransport,
    ) -> BoxFuture<'a, Result<ServerTransport, String>> {
        Box::pin(
            async move { self.resolve_transport(server, transport).await.map_err(|error| error.to_string()) },
        )
    }

    fn forget(&self, transport: &ServerTransport) {
        let mut remembered = lock(&self.remembered);
        for reference in transport.references() {
            remembered.remove(&reference);
        }
    }

    fn blank_listing(&self, server: &ServerName, listing: ServerListing) -> Option<ServerListing> {
        self.redactions.blank_listing(server, listing)
    }
}
