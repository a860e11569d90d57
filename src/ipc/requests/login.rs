//! Logins at servers over HTTP.

use serde::{Deserialize, Serialize};

use crate::ipc::{Challenge, CredentialPlace, DisclosedSecret, Request, Response};
use crate::names::ServerName;

/// Begin a login. It ends with the first answer, after five minutes, when [`AwaitLogin`] is withdrawn or doesn't follow
/// soon, or when another one begins at the same server.
///
/// It needs a confirmation where a passphrase is set: whose account signs in decides where the calls of agents go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BeginLogin {
    /// The server.
    pub server: ServerName,
    /// The scopes to ask for, in place of those of the configuration or the server; none if empty.
    pub scopes: Vec<String>,
    /// Whether the person signs in on another device, with a code (RFC 8628).
    pub device: bool,
    /// The second factor, where one is set.
    pub challenge: Option<Challenge>,
}

impl Request for BeginLogin {
    const METHOD: &'static str = "login/begin";
    type Response = BegunLogin;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        self.challenge.as_mut()
    }
}

/// A login that waits for a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BegunLogin {
    /// Names it in the other requests. Only this terminal knows it.
    pub login: DisclosedSecret,
    /// How the person signs in.
    pub way: LoginWay,
    /// How long it waits, in seconds.
    pub seconds: u64,
}

impl Response for BegunLogin {}

/// How a person signs in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginWay {
    /// With a browser.
    Browser {
        /// An address on this machine that leads to the server's page. It works once, so it may stand in the
        /// arguments of a browser, which other programs can see.
        start: String,
        /// The server's page itself, for a browser elsewhere. It is an `http` or `https` URL.
        page: DisclosedSecret,
        /// Scheme, host and port of that page.
        origin: String,
    },
    /// On another device.
    Device {
        /// The address of the page.
        page: String,
        /// The code to type there.
        code: DisclosedSecret,
    },
}

/// Wait for the end of a login. The response comes once the server's tokens are kept. Withdrawing it ends the login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AwaitLogin {
    /// The login.
    pub login: DisclosedSecret,
}

impl Request for AwaitLogin {
    const METHOD: &'static str = "login/await";
    type Response = ();
}

/// Give a login the answer that a browser elsewhere got: the address that it was sent to, or the code in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GiveLoginAnswer {
    /// The login.
    pub login: DisclosedSecret,
    /// The answer.
    pub answer: DisclosedSecret,
}

impl Request for GiveLoginAnswer {
    const METHOD: &'static str = "login/answer";
    type Response = ();
}

/// Sign out: revoke a server's tokens where it offers that, and forget them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logout {
    /// The server.
    pub server: ServerName,
}

impl Request for Logout {
    const METHOD: &'static str = "login/logout";
    type Response = LogoutOutcome;
}

/// How a logout ended. In each case nothing is kept any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogoutOutcome {
    /// The server revoked the tokens.
    Revoked,
    /// The tokens weren't revoked, for this reason, so they may stay valid there until they expire.
    NotRevoked(String),
    /// Nothing was kept.
    NotSignedIn,
}

impl Response for LogoutOutcome {}

/// List the servers that a person can sign in to, and those of which a login is kept though their entry is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListLogins;

impl Request for ListLogins {
    const METHOD: &'static str = "login/list";
    type Response = Vec<ServerLogin>;
}

/// A server that a person can sign in to, or sign out of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLogin {
    /// The server.
    pub server: ServerName,
    /// Whether the server wants a login now.
    pub is_needed: bool,
    /// Whether a login is kept though the configuration has none there any more. Only a logout removes it.
    pub is_left_over: bool,
    /// Where the key of its login is, if one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<CredentialPlace>,
    /// Why its login can't be opened now, with the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Response for ServerLogin {}
