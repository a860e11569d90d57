//! Access tokens: who may ask over HTTPS.

use std::sync::Arc;
use std::time::Duration;

use portero::access::AccessToken;
use portero::ipc::requests::tokens::{CreateToken, ListTokens, RevokeToken};
use portero::ipc::{Act, CreatedToken, DaemonFailure};

use super::attempt::Attempt;
use super::{PersonCaller, PersonRequest, failure};
use crate::daemon::Daemon;

impl PersonRequest for CreateToken {
    fn attempt(&self) -> Option<Attempt> {
        let Self { name, scope, millis, .. } = self;
        Some((&Act::CreateToken(name.clone(), scope.clone(), *millis)).into())
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<CreatedToken, DaemonFailure> {
        let Self { name, scope, millis, challenge } = self;
        // Checked before the challenge, so that a name that is taken costs no try.
        let available = daemon.access_tokens.check_available(&name, millis.map(Duration::from_millis));
        available.map_err(|error| failure::of_access_tokens(&error))?;
        let act = Act::CreateToken(name.clone(), scope.clone(), millis);
        let confirmed = caller.confirmation(challenge).authorize(daemon, caller.by, &act).await?;
        let created = daemon.access_tokens.create((name, scope, millis), confirmed).await;
        let (secret, token) = created.map_err(|error| failure::of_access_tokens(&error))?;
        Ok(CreatedToken { secret: secret.into(), token })
    }
}

impl PersonRequest for ListTokens {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Vec<AccessToken>, DaemonFailure> {
        Ok(daemon.access_tokens.list())
    }
}

impl PersonRequest for RevokeToken {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::RevokeToken(self.name.clone())).into())
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<AccessToken, DaemonFailure> {
        let revoked = daemon.access_tokens.revoke(&self.name, caller.by).await;
        revoked.map_err(|error| failure::of_access_tokens(&error))
    }
}
