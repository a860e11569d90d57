//! Logins at servers over HTTP.

use std::sync::Arc;

use portero::config::{OAuthGrant, ServerConfig};
use portero::ipc::requests::login::{
    AwaitLogin, BeginLogin, BegunLogin, GiveLoginAnswer, ListLogins, LoginWay, Logout, LogoutOutcome,
    ServerLogin,
};
use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::ServerName;
use portero::secret::Secret;

use super::attempt::Attempt;
use super::{PersonCaller, PersonRequest, failure};
use crate::daemon::Daemon;
use crate::login::{LoginError, WaitingLogin, WaitingWay};
use crate::oauth::{OAuthError, OAuthServer};

impl PersonRequest for BeginLogin {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Login(self.server.clone())).into())
    }

    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<BegunLogin, DaemonFailure> {
        let mut server = find_server(daemon, &self.server)?;
        // The account that signs in is the one that agents' calls use. Without a passphrase nothing is protected yet.
        if daemon.passphrase.first_set().map_err(|error| failure::of_store(&error))?.is_some() {
            let missing = || DaemonFailure::new(FailureKind::Challenge, "this needs the approval passphrase");
            let challenge = self.challenge.ok_or_else(missing)?;
            caller.confirmation(challenge).authorize(daemon, caller.by, &Act::Login(self.server)).await?;
        }
        if !self.scopes.is_empty() {
            server = server.with_scopes(self.scopes);
        }
        let begun = if self.device || server.settings().grant == OAuthGrant::DeviceCode {
            daemon.logins.begin_with_device(server, caller.by).await
        } else {
            daemon.logins.begin_with_browser(server, caller.by).await
        };
        let WaitingLogin { id, way, limit } = begun.map_err(|error| of_login(&error))?;
        let way = match way {
            WaitingWay::Browser { start, page, origin } => {
                LoginWay::Browser { start, page: page.into(), origin }
            }
            WaitingWay::Device { page, code } => LoginWay::Device { page, code: code.into() },
        };
        Ok(BegunLogin { login: id.into(), way, seconds: limit.as_secs() })
    }
}

impl PersonRequest for AwaitLogin {
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), DaemonFailure> {
        let id = Secret::new(self.login.expose());
        tokio::select! {
            // In this order: a wait that has begun ends the login when it is dropped.
            biased;
            ended = daemon.logins.wait(&id) => ended.map_err(|error| of_login(&error)),
            () = caller.withdrawn.cancelled() => Err(of_login(&LoginError::Over)),
        }
    }
}

impl PersonRequest for GiveLoginAnswer {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<(), DaemonFailure> {
        let (id, answer) = (Secret::new(self.login.expose()), Secret::new(self.answer.expose()));
        daemon.logins.give_answer(&id, &answer).await.map_err(|error| of_login(&error))
    }
}

impl PersonRequest for Logout {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::Logout(self.server.clone())).into())
    }

    /// Signs out, whatever the server's entry says now: what is kept under its name must be removable. It needs no
    /// confirmation, because it narrows.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> Result<LogoutOutcome, DaemonFailure> {
        let of_login = |error| of_login(&error);
        let config = daemon.config.current();
        let entry = config.servers.iter().find(|server| server.name == self.server);
        let server = entry.and_then(find_login);
        if server.is_none()
            && !daemon.logins.kept_logins().await.map_err(of_login)?.contains_key(&self.server)
        {
            find_server(daemon, &self.server)?;
        }
        daemon.logins.logout(&self.server, server.as_ref(), caller.by).await.map_err(of_login)
    }
}

impl PersonRequest for ListLogins {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Vec<ServerLogin>, DaemonFailure> {
        let kept = daemon.logins.kept_logins().await.map_err(|error| of_login(&error))?;
        let (config, needed) = (daemon.config.current(), daemon.upstreams.logins_needed());
        let servers = config.servers.iter().filter(|server| takes_person(server).is_some());
        let list = servers.map(|server| ServerLogin {
            server: server.name.clone(),
            is_needed: needed.iter().any(|(name, _)| *name == server.name),
            is_left_over: false,
            place: None,
            trouble: None,
        });
        let has_login = |name: &ServerName| {
            let entry = config.servers.iter().find(|server| server.name == *name);
            entry.is_some_and(|entry| find_login(entry).is_some())
        };
        let left_over = kept.keys().filter(|name| !has_login(name)).cloned();
        let list = list.chain(left_over.map(|server| ServerLogin {
            server,
            is_needed: false,
            is_left_over: true,
            place: None,
            trouble: None,
        }));
        let with_place = list.map(|login| match kept.get(&login.server) {
            Some(kept) => ServerLogin { place: Some(kept.place), trouble: kept.trouble.clone(), ..login },
            None => login,
        });
        Ok(with_place.collect())
    }
}

/// The server, if a person can sign in to it.
fn find_server(daemon: &Daemon, name: &ServerName) -> Result<OAuthServer, DaemonFailure> {
    let config = daemon.config.current();
    let Some(server) = config.servers.iter().find(|server| server.name == *name) else {
        let words = format!("there is no server `{name}` in force");
        return Err(DaemonFailure::new(FailureKind::NotFound, words)
            .with_hint("`portero login` lists those that can be signed in to"));
    };
    takes_person(server).ok_or_else(|| {
        let words = match server.as_http() {
            None => "is a program, and its credentials are in its `env`",
            Some(_) => "gets its credential from its entry in mcps.json",
        };
        DaemonFailure::new(FailureKind::Refused, format!("`{name}` {words}, so no person signs in at it"))
            .with_hint("`portero login` lists the servers that can be signed in to")
    })
}

/// The server's login, if it has one.
fn find_login(server: &ServerConfig) -> Option<OAuthServer> {
    OAuthServer::new(&server.name, server.as_http()?)
}

/// The server's login, if a person signs in at it. With client credentials the client is signed in by itself.
fn takes_person(server: &ServerConfig) -> Option<OAuthServer> {
    let server = find_login(server)?;
    (server.settings().grant != OAuthGrant::ClientCredentials).then_some(server)
}

fn of_login(error: &LoginError) -> DaemonFailure {
    let failure = |kind| DaemonFailure::new(kind, error.to_string());
    match error {
        LoginError::PortTaken(_) => failure(FailureKind::Refused)
            .with_hint("end the program that uses it, or sign in with `--no-browser` from there"),
        LoginError::NoPort(_) => failure(FailureKind::Internal),
        LoginError::TooMany | LoginError::Over | LoginError::TimedOut(_) => failure(FailureKind::Refused),
        LoginError::StartedTwice => failure(FailureKind::Refused).with_hint(
            "begin it again; if that goes on, sign in with `--no-browser` and look at what runs here",
        ),
        LoginError::NoAnswer => failure(FailureKind::Invalid),
        LoginError::OAuth(error) => of_oauth(error),
    }
}

fn of_oauth(error: &OAuthError) -> DaemonFailure {
    let kind = match error {
        OAuthError::LoginNeeded(_)
        | OAuthError::Metadata(_)
        | OAuthError::Refused { .. }
        | OAuthError::Configuration(_)
        | OAuthError::UnknownLogin
        | OAuthError::OtherIssuer => FailureKind::Refused,
        OAuthError::Unavailable(_) => FailureKind::Server,
        OAuthError::Storage(_) => FailureKind::Storage,
    };
    DaemonFailure::new(kind, error.to_string())
}
