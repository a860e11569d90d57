//! The handshake with a child: which revision it speaks, and what it can do.
//!
//! `initialize` comes first, because most servers know it and some stay silent on anything else. A server that
//! refuses it, or answers with an unknown revision, is asked by `server/discover`. A server that is silent for
//! a while may just start slowly: it is asked by `server/discover` as well, and its first answer counts. One
//! that ends is started once more by its `Upstream`. No notification is sent before the first answer, because
//! some servers end at that.

use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::envelope::MetaMembers;
use super::rpc_client::{OutgoingRequest, RpcClient};
use super::{LaunchOptions, ServerAnswer, ServerError};
use crate::anonymize::Real;
use crate::json::{self, RawJson, RawObject};
use crate::wire::{Revision, modern};

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProtocolEra {
    /// With `initialize`, up to 2025-11-25.
    Legacy,
    /// Statelessly, from 2026-07-28.
    Modern,
}

/// The result of the handshake.
#[derive(Debug)]
pub(super) struct HandshakeResult {
    pub(super) era: ProtocolEra,
    pub(super) capabilities: Option<RawJson>,
    pub(super) instructions: Option<String>,
    /// The members of every modern request's `_meta`, without braces.
    meta_members: Option<String>,
}

impl HandshakeResult {
    /// The `_meta` members that every request needs, with the log level if one is wanted.
    pub(super) fn meta_members(&self, level: Option<&str>) -> Option<std::borrow::Cow<'_, str>> {
        let members = self.meta_members.as_deref()?;
        Some(match level {
            Some(level) => {
                format!("{members},\"{}\":{}", modern::LOG_LEVEL, json::serialize_raw(level).get()).into()
            }
            None => members.into(),
        })
    }

    /// Whether the server declared a capability.
    pub(super) fn declares(&self, capability: &str) -> bool {
        self.capability(capability).is_some()
    }

    /// Whether the server declared `listChanged` for a capability.
    fn declares_list_changed(&self, capability: &str) -> bool {
        let value =
            self.capability(capability).and_then(|value| RawObject::read(value).ok()?.get("listChanged"));
        value.is_some_and(|value| value.get() == "true")
    }

    fn capability(&self, name: &str) -> Option<&RawValue> {
        let value = RawObject::read(self.capabilities.as_deref()?).ok()?.get(name)?;
        (value.get() != "null" && value.get() != "false").then_some(value)
    }

    /// What to listen for on a modern server.
    pub(super) fn listen_filter(&self) -> modern::SubscriptionFilter {
        modern::SubscriptionFilter {
            tools_list_changed: self.declares_list_changed("tools"),
            prompts_list_changed: self.declares_list_changed("prompts"),
            resources_list_changed: self.declares_list_changed("resources"),
            resource_subscriptions: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct Implementation<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize, Default)]
struct ClientCapabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    roots: Option<RootsCapability>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RootsCapability {
    list_changed: bool,
}

/// Why the handshake failed.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// The process ended before it.
    ProcessEnded,
    /// The reason in words. The server's own text in it is concealed.
    Refused(String),
    /// It wants a login or another credential, with the next step.
    LoginNeeded(String),
}

impl HandshakeError {
    fn refused(why: &str) -> Self {
        Self::Refused(why.to_owned())
    }
}

/// Greets a server. `known` is the era of its last start.
pub(super) async fn greet_server(
    rpc: &RpcClient,
    launch: &LaunchOptions,
    has_roots: bool,
    known: Option<ProtocolEra>,
) -> Result<HandshakeResult, HandshakeError> {
    let host = HandshakeClient { rpc, launch, has_roots };
    match known {
        Some(ProtocolEra::Modern) => match host.discover().await? {
            Ok(greeting) => Ok(greeting),
            Err(_) => host.initialize().await?,
        },
        Some(ProtocolEra::Legacy) | None => match host.initialize_or_discover().await? {
            Ok(greeting) => Ok(greeting),
            Err(refused) => host.discover().await?.map_err(|_| refused),
        },
    }
}

/// The fraction of the start timeout that a server may be silent before `server/discover` is tried too.
const SILENCE_DIVISOR: u32 = 3;
/// The most characters of a server's own words on why it refused the handshake.
const MAX_REFUSAL_CHARS: usize = 300;

struct HandshakeClient<'a> {
    rpc: &'a RpcClient,
    launch: &'a LaunchOptions,
    has_roots: bool,
}

impl HandshakeClient<'_> {
    /// The outer error ends the handshake. The inner one means that the server doesn't speak this way.
    async fn initialize(&self) -> Result<Result<HandshakeResult, HandshakeError>, HandshakeError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct InitializeParams<'a> {
            protocol_version: &'static str,
            capabilities: ClientCapabilities,
            client_info: Implementation<'a>,
        }
        let params = json::serialize_raw(&InitializeParams {
            protocol_version: Revision::LATEST_LEGACY.as_str(),
            capabilities: self.capabilities(),
            client_info: self.implementation(),
        });
        let result = match self.ask_server("initialize", Some(&params), None).await? {
            ServerAnswer::Result(result) => result.into_exposed(),
            ServerAnswer::Error(error) => return Ok(Err(self.error_from_answer(&error))),
        };
        let object = RawObject::read(&result)
            .map_err(|_| HandshakeError::refused("its answer to `initialize` is no object"))?;
        let version = object.get_text("protocolVersion").unwrap_or_default();
        match version.parse::<Revision>() {
            Ok(revision) if !revision.is_modern() => {}
            Ok(_) | Err(_) => {
                return Ok(Err(HandshakeError::refused(
                    "it speaks a revision of MCP that Portero does not know",
                )));
            }
        }
        self.rpc.send_notification("notifications/initialized", None);
        Ok(Ok(parse_handshake(ProtocolEra::Legacy, &object, None)))
    }

    /// Sends `initialize`, and also `server/discover` if the server is silent.
    async fn initialize_or_discover(
        &self,
    ) -> Result<Result<HandshakeResult, HandshakeError>, HandshakeError> {
        let mut initialize = std::pin::pin!(self.initialize());
        let silence = self.launch.limits.start_timeout / SILENCE_DIVISOR;
        if let Ok(greeted) = tokio::time::timeout(silence, &mut initialize).await {
            return greeted;
        }
        // Both requests wait at once, and `initialize` wins a tie: a server that answers it may not know the
        // other.
        tokio::select! {
            biased;
            greeted = &mut initialize => greeted,
            discovered = self.discover() => match discovered {
                Ok(Ok(greeting)) => Ok(Ok(greeting)),
                // It may know only `initialize`, and be about to answer it.
                Ok(Err(_)) | Err(_) => initialize.await,
            },
        }
    }

    async fn discover(&self) -> Result<Result<HandshakeResult, HandshakeError>, HandshakeError> {
        let info = json::serialize_raw(&self.implementation());
        let capabilities = json::serialize_raw(&self.capabilities());
        let members = format!(
            "\"{}\":\"{}\",\"{}\":{},\"{}\":{}",
            modern::PROTOCOL_VERSION,
            Revision::LATEST,
            modern::CLIENT_INFO,
            info.get(),
            modern::CLIENT_CAPABILITIES,
            capabilities.get(),
        );
        let result = match self.ask_server(modern::DISCOVER_METHOD, None, Some(&members)).await? {
            ServerAnswer::Result(result) => result.into_exposed(),
            ServerAnswer::Error(error) => return Ok(Err(self.error_from_answer(&error))),
        };
        let object = RawObject::read(&result)
            .map_err(|_| HandshakeError::refused("its answer to `server/discover` is no object"))?;
        let versions: Vec<String> = object
            .get("supportedVersions")
            .and_then(|versions| serde_json::from_str(versions.get()).ok())
            .unwrap_or_default();
        if !versions.iter().any(|version| version == Revision::LATEST.as_str()) {
            return Ok(Err(HandshakeError::refused("it speaks no revision of MCP that Portero knows")));
        }
        Ok(Ok(parse_handshake(ProtocolEra::Modern, &object, Some(members))))
    }

    async fn ask_server(
        &self,
        method: &str,
        params: Option<&RawValue>,
        era: Option<&str>,
    ) -> Result<ServerAnswer, HandshakeError> {
        let never = CancellationToken::new();
        let asked = self.rpc.send_request(OutgoingRequest {
            method,
            params,
            meta: MetaMembers::of_revision(era),
            progress: None,
            timeout: self.launch.limits.start_timeout,
            cancel: &never,
        });
        asked.await.map_err(|error| match error {
            ServerError::Timeout(_, seconds) => {
                HandshakeError::Refused(format!("it did not answer `{method}` within {seconds} s"))
            }
            ServerError::TooLong(_, most) => {
                HandshakeError::Refused(format!("it answered `{method}` with more than {most} bytes"))
            }
            ServerError::Malformed(_, why) => {
                HandshakeError::Refused(format!("it answered `{method}` with what is no MCP message: {why}"))
            }
            ServerError::NotReached(_, why) | ServerError::RequestFailed(_, why) => {
                HandshakeError::Refused(why)
            }
            ServerError::LoginNeeded(_, why) => HandshakeError::LoginNeeded(why),
            ServerError::Stopped(_)
            | ServerError::SessionEnded(_)
            | ServerError::Cancelled
            | ServerError::Unknown(_)
            | ServerError::NotListed(..)
            | ServerError::Redefined(..)
            | ServerError::OtherProcess(_)
            | ServerError::Reported(..)
            | ServerError::StartFailed(..) => HandshakeError::ProcessEnded,
        })
    }

    fn implementation(&self) -> Implementation<'_> {
        Implementation { name: &self.launch.client.0, version: &self.launch.client.1 }
    }

    fn capabilities(&self) -> ClientCapabilities {
        ClientCapabilities { roots: self.has_roots.then_some(RootsCapability { list_changed: false }) }
    }

    fn error_from_answer(&self, error: &Real<RawJson>) -> HandshakeError {
        let object = RawObject::read(error.expose()).unwrap_or_default();
        let message = object.get_text("message").unwrap_or_default();
        // Before it is concealed: a control within a value would hide it.
        let message: String = message.chars().filter(|letter| !letter.is_control()).collect();
        let message = self.launch.anonymizer.load().conceal_excerpt(&message, MAX_REFUSAL_CHARS).into_inner();
        HandshakeError::Refused(format!("it refused the handshake: {message}"))
    }
}

fn parse_handshake(era: ProtocolEra, object: &RawObject<'_>, members: Option<String>) -> HandshakeResult {
    HandshakeResult {
        era,
        capabilities: object.get("capabilities").map(ToOwned::to_owned),
        instructions: object.get_text("instructions").map(std::borrow::Cow::into_owned),
        meta_members: members,
    }
}
