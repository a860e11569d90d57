//! The first words with a child: which revision it speaks, and what it can do.
//!
//! `initialize` comes first, since most servers know it and some are silent on anything else. A server that
//! refuses it, or answers with a revision that Portero does not know, is asked in the modern way. One that is
//! silent for a while is asked so beside it, since it may be starting slowly: what it answers first counts. One
//! that ends is started once more by its `Member`. Nothing that wants no answer goes out before the first answer
//! came: some servers end at that.

use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Request};
use super::envelope::Meta;
use super::{Answer, Launch, ServerError};
use crate::anonymize::Real;
use crate::json::{self, Object, RawJson};
use crate::wire::{Revision, modern};

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// With `initialize`, up to 2025-11-25.
    Legacy,
    /// Statelessly, from 2026-07-28.
    Modern,
}

/// What the handshake brought.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) era: Era,
    pub(super) capabilities: Option<RawJson>,
    pub(super) instructions: Option<String>,
    /// What every modern request says in its `_meta`, as members without braces.
    members: Option<String>,
}

impl Greeting {
    /// The members of `_meta` that every request needs; with the log level, if one is wanted.
    pub(super) fn members(&self, level: Option<&str>) -> Option<std::borrow::Cow<'_, str>> {
        let members = self.members.as_deref()?;
        Some(match level {
            Some(level) => format!("{members},\"{}\":{}", modern::LOG_LEVEL, json::raw(level).get()).into(),
            None => members.into(),
        })
    }

    /// Whether the server declared a capability.
    pub(super) fn declares(&self, capability: &str) -> bool {
        self.capability(capability).is_some()
    }

    /// Whether it declared that a list of its changes.
    fn announces(&self, capability: &str) -> bool {
        let value =
            self.capability(capability).and_then(|value| Object::read(value).ok()?.get("listChanged"));
        value.is_some_and(|value| value.get() == "true")
    }

    fn capability(&self, name: &str) -> Option<&RawValue> {
        let value = Object::read(self.capabilities.as_deref()?).ok()?.get(name)?;
        (value.get() != "null" && value.get() != "false").then_some(value)
    }

    /// What to listen for on a modern server.
    pub(super) fn filter(&self) -> modern::Filter {
        modern::Filter {
            tools_list_changed: self.announces("tools"),
            prompts_list_changed: self.announces("prompts"),
            resources_list_changed: self.announces("resources"),
            resource_subscriptions: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct Client<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize, Default)]
struct Capabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    roots: Option<RootsCapability>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RootsCapability {
    list_changed: bool,
}

/// Why there is no conversation.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The process ended first.
    Ended,
    /// In words; the server's own among them are concealed.
    Because(String),
}

impl Refusal {
    fn because(why: &str) -> Self {
        Self::Because(why.to_owned())
    }
}

/// Greets a server; `known` is how it was spoken to last time.
pub(super) async fn greet(
    connection: &Connection,
    launch: &Launch,
    known: Option<Era>,
) -> Result<Greeting, Refusal> {
    let host = Host { connection, launch };
    match known {
        Some(Era::Modern) => match host.discover().await? {
            Ok(greeting) => Ok(greeting),
            Err(_) => host.initialize().await?,
        },
        Some(Era::Legacy) | None => match host.initialize_or_discover().await? {
            Ok(greeting) => Ok(greeting),
            Err(refused) => host.discover().await?.map_err(|_| refused),
        },
    }
}

/// What part of the time for a start a server may be silent before it is asked in the modern way too.
const SILENCE_DIVISOR: u32 = 3;

struct Host<'a> {
    connection: &'a Connection,
    launch: &'a Launch,
}

impl Host<'_> {
    /// The outer error ends the handshake; the inner one only says that it is not done this way.
    async fn initialize(&self) -> Result<Result<Greeting, Refusal>, Refusal> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialize<'a> {
            protocol_version: &'static str,
            capabilities: Capabilities,
            client_info: Client<'a>,
        }
        let params = json::raw(&Initialize {
            protocol_version: Revision::LATEST_LEGACY.as_str(),
            capabilities: self.capabilities(),
            client_info: self.client(),
        });
        let result = match self.ask("initialize", Some(&params), None).await? {
            Answer::Result(result) => result.into_exposed(),
            Answer::Error(error) => return Ok(Err(self.refused(&error))),
        };
        let object =
            Object::read(&result).map_err(|_| Refusal::because("its answer to `initialize` is no object"))?;
        let version = object.text("protocolVersion").unwrap_or_default();
        match version.parse::<Revision>() {
            Ok(revision) if !revision.is_modern() => {}
            Ok(_) | Err(_) => {
                return Ok(Err(Refusal::because("it speaks a revision of MCP that Portero does not know")));
            }
        }
        self.connection.notify("notifications/initialized", None);
        Ok(Ok(greeting(Era::Legacy, &object, None)))
    }

    /// `initialize`, and beside it `server/discover` for a server that is silent about it.
    async fn initialize_or_discover(&self) -> Result<Result<Greeting, Refusal>, Refusal> {
        let mut initialize = std::pin::pin!(self.initialize());
        let silence = self.launch.limits.start / SILENCE_DIVISOR;
        if let Ok(greeted) = tokio::time::timeout(silence, &mut initialize).await {
            return greeted;
        }
        tokio::select! {
            biased;
            greeted = &mut initialize => greeted,
            discovered = self.discover() => match discovered {
                Ok(Ok(greeting)) => Ok(Ok(greeting)),
                // It may know `initialize` only, and be about to answer it.
                Ok(Err(_)) | Err(_) => initialize.await,
            },
        }
    }

    async fn discover(&self) -> Result<Result<Greeting, Refusal>, Refusal> {
        let info = json::raw(&self.client());
        let capabilities = json::raw(&self.capabilities());
        let members = format!(
            "\"{}\":\"{}\",\"{}\":{},\"{}\":{}",
            modern::PROTOCOL_VERSION,
            Revision::LATEST,
            modern::CLIENT_INFO,
            info.get(),
            modern::CLIENT_CAPABILITIES,
            capabilities.get(),
        );
        let result = match self.ask(modern::DISCOVER, None, Some(&members)).await? {
            Answer::Result(result) => result.into_exposed(),
            Answer::Error(error) => return Ok(Err(self.refused(&error))),
        };
        let object = Object::read(&result)
            .map_err(|_| Refusal::because("its answer to `server/discover` is no object"))?;
        let versions: Vec<String> = object
            .get("supportedVersions")
            .and_then(|versions| serde_json::from_str(versions.get()).ok())
            .unwrap_or_default();
        if !versions.iter().any(|version| version == Revision::LATEST.as_str()) {
            return Ok(Err(Refusal::because("it speaks no revision of MCP that Portero knows")));
        }
        Ok(Ok(greeting(Era::Modern, &object, Some(members))))
    }

    async fn ask(
        &self,
        method: &str,
        params: Option<&RawValue>,
        era: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let never = CancellationToken::new();
        let asked = self.connection.request(Request {
            method,
            params,
            meta: Meta { client: None, era, token: None },
            progress: None,
            limit: self.launch.limits.start,
            cancel: &never,
        });
        asked.await.map_err(|error| match error {
            ServerError::Timeout(_, seconds) => {
                Refusal::Because(format!("it did not answer `{method}` within {seconds} s"))
            }
            ServerError::TooLong(_, most) => {
                Refusal::Because(format!("it answered `{method}` with more than {most} bytes"))
            }
            ServerError::Malformed(_, why) => {
                Refusal::Because(format!("it answered `{method}` with what is no MCP message: {why}"))
            }
            ServerError::Gone(_)
            | ServerError::Cancelled
            | ServerError::Unknown(_)
            | ServerError::NotListed(..)
            | ServerError::Start(..) => Refusal::Ended,
        })
    }

    fn client(&self) -> Client<'_> {
        Client { name: &self.launch.client.0, version: &self.launch.client.1 }
    }

    fn capabilities(&self) -> Capabilities {
        let roots = self.connection.roots.as_ref().map(|_| RootsCapability { list_changed: false });
        Capabilities { roots }
    }

    fn refused(&self, error: &Real<RawJson>) -> Refusal {
        let object = Object::read(error.expose()).unwrap_or_default();
        let message = object.text("message").unwrap_or_default();
        let message: String = message.chars().filter(|letter| !letter.is_control()).take(300).collect();
        let message = self.launch.anonymizer.load().conceal_text(&message).into_inner();
        Refusal::Because(format!("it refused the handshake: {message}"))
    }
}

fn greeting(era: Era, object: &Object<'_>, members: Option<String>) -> Greeting {
    Greeting {
        era,
        capabilities: object.get("capabilities").map(ToOwned::to_owned),
        instructions: object.text("instructions").map(std::borrow::Cow::into_owned),
        members,
    }
}
