//! One login while it waits for its answer.

use std::sync::Arc;
use std::time::Duration;

use portero::names::ServerName;
use portero::secret::Secret;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::loopback::BrowserEvent;
use super::{LoginError, OUTCOME_KEPT_FOR, UNATTENDED_TIMEOUT};
use crate::oauth::{DeviceLogin, LoginAnswer, OAuth};

/// What a login waits for.
pub(super) enum WaitedAnswer {
    /// A browser's answer with this `state`, here or pasted.
    Browser {
        /// What the answer must repeat.
        state: Secret,
        /// What a browser does here.
        browser: mpsc::Receiver<BrowserEvent>,
    },
    /// That the person signed in on another device.
    Device(Box<DeviceLogin>),
}

impl WaitedAnswer {
    pub(super) fn state(&self) -> Option<Secret> {
        match self {
            Self::Browser { state, .. } => Some(state.clone()),
            Self::Device(_) => None,
        }
    }
}

/// One login.
pub(super) struct RunningLogin {
    server: ServerName,
    pasted: mpsc::Sender<LoginAnswer>,
    /// What an answer must repeat; none on another device, where nothing is pasted.
    state: Option<Secret>,
    stop: CancellationToken,
    /// Cancelled once a terminal waits for its end.
    attended: CancellationToken,
    outcome: watch::Sender<Option<Outcome>>,
}

/// How a login ended, and when.
struct Outcome {
    ended: Result<(), LoginError>,
    at: Instant,
}

impl RunningLogin {
    pub(super) fn new(server: ServerName, pasted: mpsc::Sender<LoginAnswer>, state: Option<Secret>) -> Self {
        let (stop, attended) = (CancellationToken::new(), CancellationToken::new());
        Self { server, pasted, state, stop, attended, outcome: watch::Sender::new(None) }
    }

    pub(super) const fn server(&self) -> &ServerName {
        &self.server
    }

    /// Waits for the answer, and exchanges it for tokens.
    pub(super) async fn take_answer(
        &self,
        oauth: &Arc<OAuth>,
        limit: Duration,
        waited: WaitedAnswer,
        mut pasted: mpsc::Receiver<LoginAnswer>,
    ) -> Result<(), LoginError> {
        let answer = match waited {
            WaitedAnswer::Browser { mut browser, .. } => {
                let answer = async {
                    tokio::select! {
                        event = browser.recv() => match event {
                            Some(BrowserEvent::Answered(query)) => {
                                LoginAnswer::parse(query.expose()).ok_or(LoginError::NoAnswer)
                            }
                            Some(BrowserEvent::StartedTwice) => Err(LoginError::StartedTwice),
                            None => Err(LoginError::Over),
                        },
                        pasted = pasted.recv() => pasted.ok_or(LoginError::Over),
                    }
                };
                tokio::select! {
                    biased;
                    why = self.given_up(limit, UNATTENDED_TIMEOUT) => Err(why),
                    answer = answer => answer,
                }
            }
            WaitedAnswer::Device(device) => {
                return oauth
                    .finish_device(*device, self.given_up(limit, UNATTENDED_TIMEOUT))
                    .await
                    .map(drop);
            }
        };
        // From here on it isn't ended any more: the answer counts once, also if the terminal is gone.
        oauth.finish_login(answer?).await.map(drop).map_err(LoginError::from)
    }

    /// Returns once it is ended, why: by its terminal or by a later login, because nobody waits for it, or at its limit.
    async fn given_up(&self, limit: Duration, unattended: Duration) -> LoginError {
        let unattended = async {
            tokio::select! {
                biased;
                () = self.attended.cancelled() => std::future::pending().await,
                () = tokio::time::sleep(unattended) => {}
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => LoginError::Over,
            () = unattended => LoginError::Over,
            () = tokio::time::sleep(limit) => LoginError::TimedOut(limit),
        }
    }

    /// Takes what a person pasted.
    pub(super) async fn give_answer(&self, text: &Secret) -> Result<(), LoginError> {
        if self.is_settled() {
            return Err(LoginError::Over);
        }
        let expected = self.state.as_ref().ok_or(LoginError::NoAnswer)?;
        let answer = read_answer(text, expected).ok_or(LoginError::NoAnswer)?;
        self.pasted.send(answer).await.map_err(|_| LoginError::Over)
    }

    /// Returns how it ended, once it has.
    pub(super) async fn outcome(&self) -> Result<(), LoginError> {
        let mut outcome = self.outcome.subscribe();
        // The sender lives as long as the login.
        let ended = outcome.wait_for(Option::is_some).await.ok();
        ended.and_then(|outcome| Some(outcome.as_ref()?.ended.clone())).unwrap_or(Err(LoginError::Over))
    }

    pub(super) fn settle(&self, ended: Result<(), LoginError>) {
        self.outcome.send_replace(Some(Outcome { ended, at: Instant::now() }));
    }

    /// Whether it is over.
    pub(super) fn is_settled(&self) -> bool {
        self.outcome.borrow().is_some()
    }

    /// Whether it has been over for so long that nobody asks for its outcome any more.
    pub(super) fn is_forgotten(&self) -> bool {
        self.outcome.borrow().as_ref().is_some_and(|outcome| outcome.at.elapsed() >= OUTCOME_KEPT_FOR)
    }

    /// Ends it, unless it has its answer.
    pub(super) fn end(&self) {
        self.stop.cancel();
    }

    /// Notes that a terminal waits for its end. It ends when the guard is dropped; after its end that does nothing.
    pub(super) fn attend(&self) -> DropGuard {
        self.attended.cancel();
        self.stop.clone().drop_guard()
    }
}

/// Reads what a person pasted: the address that the browser was sent to, its query, or the code alone. A code without
/// its `state` is taken, because the person saw where it came from, and it counts for this login's PKCE only.
fn read_answer(text: &Secret, expected: &Secret) -> Option<LoginAnswer> {
    let text = text.expose().trim();
    let is_address = ["http:", "https:", "code=", "error=", "state="].iter().any(|part| text.contains(part));
    let is_code = !text.is_empty() && !is_address && !text.contains(char::is_whitespace);
    let answer = if is_code {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("code", text)
            .append_pair("state", expected.expose())
            .finish();
        LoginAnswer::parse(Secret::new(query).expose())
    } else {
        LoginAnswer::parse(text)
    };
    answer.filter(|answer| answer.state() == expected.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_login_ends_early_only_if_no_terminal_waits_for_it() {
        const NO_TIME: Duration = Duration::ZERO;
        const LONG: Duration = Duration::from_secs(86_400);
        let login = || {
            let (pasted, _) = mpsc::channel(1);
            RunningLogin::new("linear".parse().expect("a name"), pasted, None)
        };
        assert_eq!(login().given_up(LONG, NO_TIME).await, LoginError::Over);
        let attended = login();
        let ends = attended.attend();
        assert_eq!(attended.given_up(NO_TIME, NO_TIME).await, LoginError::TimedOut(NO_TIME));
        drop(ends);
        assert_eq!(attended.given_up(LONG, LONG).await, LoginError::Over);
    }

    #[test]
    fn a_pasted_answer_is_an_address_a_query_or_a_code_of_this_login() {
        let read = |text: &str| read_answer(&Secret::new(text), &Secret::new("s1")).is_some();
        for answer in [
            "http://127.0.0.1:4711/callback?code=c&state=s1",
            "  http://127.0.0.1:4711/callback?code=c&state=s1&iss=https%3A%2F%2Fissuer.example\n",
            "code=c&state=s1",
            "error=access_denied&state=s1",
            "SplxlOBeZQQYbYS6WxSbIA",
            "4/0AVMBsJh_m==",
        ] {
            assert!(read(answer), "{answer}");
        }
        for other in [
            "",
            "http://127.0.0.1:4711/callback?code=c&state=other",
            "code=c",
            "code=c&state=s1&state=s1",
            "http://127.0.0.1:4711/callback",
            "no, thanks",
            "https://issuer.example/login",
        ] {
            assert!(!read(other), "{other}");
        }
    }
}
