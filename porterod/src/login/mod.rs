//! Logins at servers over HTTP: how a person signs in and out, and who is told when a login is due.
//!
//! What happens at a server and its issuer is [`crate::oauth`]'s. Here a login is begun, its one answer is waited
//! for, and the end is recorded. A login may end at any time without harm: what was kept before stays until new
//! tokens are there.

mod loopback;
mod needs;
mod running;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use portero::ipc::Act;
use portero::ipc::requests::login::LogoutOutcome;
use portero::names::{Actor, ServerName};
use portero::notice::{LoginChange, Notice};
use portero::secret::Secret;
use portero::sync::lock;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use self::loopback::{ExpectedLogin, Loopback};
pub use self::needs::LoginNeeds;
use self::running::{RunningLogin, WaitedAnswer};
use crate::journal::Journal;
pub use crate::oauth::LOGIN_TIMEOUT;
use crate::oauth::{DeviceStart, Logout, OAuth, OAuthError, OAuthServer};
use crate::secrets::kept::KeptCredential;
use crate::upstreams::DaemonUpstreams;

/// How many logins may wait at once.
const MAX_RUNNING: usize = 16;
/// How long a login goes on without a terminal that waits for it.
const UNATTENDED_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the outcome of a login can be asked for. An answer may come before its terminal asks.
const OUTCOME_KEPT_FOR: Duration = Duration::from_secs(60);

/// Why a login failed or didn't begin. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The port that the client was registered with is in use.
    #[error("port {0}, to which the browser would bring the answer, is in use")]
    PortTaken(u16),
    /// Nothing can listen.
    #[error("nothing can listen on this machine for the browser's answer: {0}")]
    NoPort(String),
    /// Too many logins wait.
    #[error("{MAX_RUNNING} logins wait already; finish one, or wait a few minutes")]
    TooMany,
    /// There is no such login, or it is over.
    #[error("this login is over; begin it again")]
    Over,
    /// No answer came in time.
    #[error("no answer came within {}", format_limit(*.0))]
    TimedOut(Duration),
    /// The start address was opened twice.
    #[error("the address was opened twice, so another program may have opened it: the login was ended")]
    StartedTwice,
    /// The pasted text holds no answer.
    #[error("that is no answer of this login: paste the whole address that the browser shows at the end")]
    NoAnswer,
    /// The server or its issuer.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
}

fn format_limit(limit: Duration) -> String {
    match limit.as_secs() {
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

/// A login that waits for a person.
pub struct WaitingLogin {
    /// Names it.
    pub id: Secret,
    /// How the person signs in.
    pub way: WaitingWay,
    /// How long it waits.
    pub limit: Duration,
}

/// How the person signs in.
pub enum WaitingWay {
    /// With a browser.
    Browser {
        /// An address on this machine that leads to the page, once.
        start: String,
        /// The page.
        page: Secret,
        /// Scheme, host and port of the page.
        origin: String,
    },
    /// On another device.
    Device {
        /// The page.
        page: String,
        /// The code to type there.
        code: Secret,
    },
}

/// The logins at all servers.
pub struct Logins {
    /// Where tokens come from.
    oauth: Arc<OAuth>,
    /// The servers that are called with them.
    upstreams: Arc<DaemonUpstreams>,
    /// Where logins are recorded and reported.
    journal: Arc<Journal>,
    needs: Arc<LoginNeeds>,
    running: Mutex<BTreeMap<String, Arc<RunningLogin>>>,
    /// The tasks of the running logins.
    tasks: TaskTracker,
}

impl Logins {
    /// Logins with the tokens of `oauth`, for these servers. None runs yet.
    #[must_use]
    pub fn new(oauth: Arc<OAuth>, upstreams: &Arc<DaemonUpstreams>, journal: &Arc<Journal>) -> Arc<Self> {
        let (upstreams, journal) = (Arc::clone(upstreams), Arc::clone(journal));
        let (needs, running, tasks) = (Arc::default(), Mutex::default(), TaskTracker::new());
        Arc::new(Self { oauth, upstreams, journal, needs, running, tasks })
    }

    /// The servers of which people know that they want a login.
    #[must_use]
    pub const fn needs(&self) -> &Arc<LoginNeeds> {
        &self.needs
    }

    /// Begins a login with a browser, in the name of `by`.
    ///
    /// # Errors
    /// If it can't begin.
    pub async fn begin_with_browser(
        self: &Arc<Self>,
        server: OAuthServer,
        by: &Actor,
    ) -> Result<WaitingLogin, LoginError> {
        self.require_room()?;
        let port = server.settings().callback_port;
        let loopback = Loopback::bind(port).await.map_err(|error| match port {
            Some(port) if error.kind() == std::io::ErrorKind::AddrInUse => LoginError::PortTaken(port),
            Some(_) | None => LoginError::NoPort(error.to_string()),
        })?;
        let begun = self.oauth.begin_login(&server, &loopback.redirect_uri()).await?;
        let origin = begun.authorization_url.origin().ascii_serialization();
        let (page, state) = (Secret::new(begun.authorization_url), Secret::new(begun.state));
        let (start, browser) = loopback.serve(ExpectedLogin { page: page.clone(), state: state.clone() });
        let id = self.run(server.name(), by, LOGIN_TIMEOUT, WaitedAnswer::Browser { state, browser })?;
        Ok(WaitingLogin { id, way: WaitingWay::Browser { start, page, origin }, limit: LOGIN_TIMEOUT })
    }

    /// Begins a login on another device, in the name of `by`.
    ///
    /// # Errors
    /// If it can't begin; some issuers don't offer it.
    pub async fn begin_with_device(
        self: &Arc<Self>,
        server: OAuthServer,
        by: &Actor,
    ) -> Result<WaitingLogin, LoginError> {
        self.require_room()?;
        let begun = self.oauth.begin_device(&server).await?;
        let DeviceStart { user_code, verification_uri, expires_in, login, .. } = begun;
        let way = WaitingWay::Device { page: verification_uri.to_string(), code: Secret::new(user_code) };
        let limit = expires_in.min(LOGIN_TIMEOUT);
        let id = self.run(server.name(), by, limit, WaitedAnswer::Device(Box::new(login)))?;
        Ok(WaitingLogin { id, way, limit })
    }

    /// Waits for the end of a login. Dropping the future ends the login.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn wait(&self, id: &Secret) -> Result<(), LoginError> {
        let login = self.find(id)?;
        let ends = login.attend();
        let outcome = login.outcome().await;
        drop(ends);
        outcome
    }

    /// Gives a login the answer that a person pasted.
    ///
    /// # Errors
    /// If it is no answer, or the login is over. A text that is no answer doesn't end the login.
    pub async fn give_answer(&self, id: &Secret, pasted: &Secret) -> Result<(), LoginError> {
        self.find(id)?.give_answer(pasted).await
    }

    /// Signs out of a server, in the name of `by`: its tokens are revoked where it offers that, and forgotten. `server` is
    /// none if its entry is gone, or takes no login any more.
    ///
    /// # Errors
    /// If they can't be forgotten.
    pub async fn logout(
        &self,
        name: &ServerName,
        server: Option<&OAuthServer>,
        by: &Actor,
    ) -> Result<LogoutOutcome, LoginError> {
        let ended = self.oauth.logout(name, server).await?;
        let outcome = match ended {
            Logout::NotLoggedIn => return Ok(LogoutOutcome::NotSignedIn),
            Logout::Revoked => LogoutOutcome::Revoked,
            Logout::Forgotten(why) => LogoutOutcome::NotRevoked(why),
        };
        self.report(&Act::Logout(name.clone()), name, LoginChange::SignedOut, by).await;
        Ok(outcome)
    }

    /// The servers of which a login is kept, and how.
    ///
    /// # Errors
    /// If they can't be listed.
    pub async fn kept_logins(&self) -> Result<BTreeMap<ServerName, KeptCredential>, LoginError> {
        Ok(self.oauth.kept_logins().await?)
    }

    /// Ends every login, and returns once each has stopped.
    pub async fn close(&self) {
        for login in lock(&self.running).values() {
            login.end();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Early, because the issuer is asked next. [`Self::run`] decides.
    fn require_room(&self) -> Result<(), LoginError> {
        let open = lock(&self.running).values().filter(|login| !login.is_settled()).count();
        if open < MAX_RUNNING { Ok(()) } else { Err(LoginError::TooMany) }
    }

    fn find(&self, id: &Secret) -> Result<Arc<RunningLogin>, LoginError> {
        // The ids are 128 random bits, so how long the search takes tells nothing of use.
        lock(&self.running).get(id.expose()).cloned().ok_or(LoginError::Over)
    }

    /// Waits for the answer in a task of its own: what was answered counts also if the terminal is gone by then.
    fn run(
        self: &Arc<Self>,
        server: &ServerName,
        by: &Actor,
        limit: Duration,
        waited: WaitedAnswer,
    ) -> Result<Secret, LoginError> {
        let id = BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>());
        let (pasted, answers) = mpsc::channel(1);
        let login = Arc::new(RunningLogin::new(server.clone(), pasted, waited.state()));
        {
            let mut running = lock(&self.running);
            running.retain(|_, login| !login.is_forgotten());
            // The later login counts, and the former one's page leads nowhere any more.
            running.values().filter(|other| *other.server() == *server).for_each(|other| other.end());
            if running.values().filter(|login| !login.is_settled()).count() >= MAX_RUNNING {
                return Err(LoginError::TooMany);
            }
            running.insert(id.clone(), Arc::clone(&login));
        }
        let (logins, by, server) = (Arc::clone(self), by.clone(), server.clone());
        self.tasks.spawn(async move {
            let outcome = login.take_answer(&logins.oauth, limit, waited, answers).await;
            let act = Act::Login(server.clone());
            match &outcome {
                Ok(()) => logins.report(&act, &server, LoginChange::SignedIn, &by).await,
                Err(error) => {
                    let about = format!("{server}: {error}");
                    // The login failed in any case. A record that can't be written now is written later.
                    let _ = logins.journal.record_act(act.word(), &about, false, Some(&by)).await;
                }
            }
            login.settle(outcome);
        });
        Ok(Secret::new(id))
    }

    /// Records and reports what changed, and lets the server be called with what is kept now.
    async fn report(&self, act: &Act, server: &ServerName, became: LoginChange, by: &Actor) {
        let journal = &self.journal;
        // It is done in any case. A record that can't be written now is written later.
        let _ = journal.record_act(act.word(), &act.about(), true, Some(by)).await;
        self.needs.forget(server);
        journal.add_notice(Notice::Login { server: server.clone(), became }).await;
        self.upstreams.renew(server);
    }
}
