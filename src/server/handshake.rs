//! The handshake with a server: which revision it speaks, and what it can do.
//!
//! **Over HTTP** `server/discover` comes first (2026-07-28, Streamable HTTP, "Backward Compatibility"). What a server
//! answers tells its era:
//!
//! - a result, or an error that only a modern server knows: it is modern, and `initialize` isn't sent, unless the
//!   answer names no revision that Portero knows but an earlier one that it does;
//! - any other error: it is an earlier one, and is greeted by `initialize`;
//! - a status without such an error, a broken connection, no MCP message: that may come from a proxy. It is greeted by
//!   `initialize`, and asked again at its next start;
//! - no answer for a while: it is greeted by `initialize` beside, and the first answer counts;
//! - it can't be reached, or wants a login: then the other question would meet the same.
//!
//! **On stdio** `initialize` comes first, though the specification recommends the opposite (2026-07-28, stdio, "Backward
//! Compatibility"). Servers on earlier SDKs end at, or stay silent on, whatever comes before `initialize`. A session
//! starts its children anew and knows no earlier answer, so each session would start such a server twice or wait for it.
//! A server that knows both revisions loses nothing that Portero passes on. One that refuses `initialize`, or answers
//! with an unknown revision, is asked by `server/discover`. A server that is silent for a while may just start slowly:
//! it is asked by `server/discover` as well, and its first answer counts. One that ends is started once more by its
//! `Upstream`. No notification is sent before the first answer, because some servers end at that.

use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::envelope::MetaMembers;
use super::rpc_client::{OutgoingRequest, RpcClient};
use super::{LaunchOptions, ServerAnswer, ServerError};
use crate::anonymize::Real;
use crate::json::{self, RawJson, RawObject};
use crate::wire::{Revision, codes, modern};

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
    /// Whether the server said so itself, which then holds for its next start too.
    pub(super) is_era_settled: bool,
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

/// A server that is to be greeted.
pub(super) struct UngreetedServer<'a> {
    pub(super) rpc: &'a RpcClient,
    pub(super) launch: &'a LaunchOptions,
    pub(super) has_roots: bool,
    /// The era of its last start.
    pub(super) known: Option<ProtocolEra>,
    /// Tells whether its host took the last request; only for a server over Streamable HTTP.
    pub(super) http_reached: Option<&'a (dyn Fn() -> bool + Send + Sync)>,
}

/// Greets a server.
pub(super) async fn greet_server(server: UngreetedServer<'_>) -> Result<HandshakeResult, HandshakeError> {
    let UngreetedServer { rpc, launch, has_roots, known, http_reached } = server;
    let host = HandshakeClient { rpc, launch, has_roots };
    match (known, http_reached) {
        (Some(ProtocolEra::Modern) | None, Some(is_reached)) => host.discover_over_http(is_reached).await,
        (Some(ProtocolEra::Modern), None) => match host.discover().await.map_err(not_discovered)? {
            Ok(greeting) => Ok(greeting),
            Err(_) => host.initialize().await?,
        },
        (Some(ProtocolEra::Legacy), _) | (None, None) => match host.initialize_or_discover().await? {
            Ok(greeting) => Ok(greeting),
            Err(refused) => host.discover().await.map_err(not_discovered)?.map_err(|_| refused),
        },
    }
}

const INITIALIZE_METHOD: &str = "initialize";
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
        let result = self.ask_server(INITIALIZE_METHOD, Some(&params), None).await;
        let result = match result.map_err(|error| unanswered(INITIALIZE_METHOD, error))? {
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

    /// Asks by `server/discover`, and greets by `initialize` where that is not known, or stays without an answer.
    async fn discover_over_http(
        &self,
        is_reached: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<HandshakeResult, HandshakeError> {
        let mut discover = std::pin::pin!(self.discover());
        let silence = self.launch.limits.start_timeout / SILENCE_DIVISOR;
        let Ok(discovered) = tokio::time::timeout(silence, &mut discover).await else {
            return self.initialize_beside(discover).await;
        };
        match discovered {
            Ok(Ok(greeting)) => Ok(greeting),
            Ok(Err(DiscoverRefusal::NoCommonRevision(refused))) => Err(refused),
            Ok(Err(DiscoverRefusal::Legacy | DiscoverRefusal::NamedLatest)) => self.initialize().await?,
            Err(error) if is_final(&error, is_reached) => Err(not_discovered(error)),
            // A proxy may have said it, so the next start asks again.
            Err(_) => {
                let greeting = self.initialize().await??;
                Ok(HandshakeResult { is_era_settled: false, ..greeting })
            }
        }
    }

    /// Sends `initialize` while `server/discover` is without an answer. A server may hold a request that it doesn't know
    /// open for ever.
    async fn initialize_beside(
        &self,
        mut discover: std::pin::Pin<&mut impl Future<Output = Discovered>>,
    ) -> Result<HandshakeResult, HandshakeError> {
        let mut initialize = std::pin::pin!(self.initialize());
        tokio::select! {
            biased;
            discovered = &mut discover => match discovered {
                Ok(Ok(greeting)) => Ok(greeting),
                Ok(Err(_)) | Err(_) => initialize.await?,
            },
            greeted = &mut initialize => match greeted? {
                Ok(greeting) => Ok(greeting),
                Err(refused) => match discover.await {
                    Ok(Ok(greeting)) => Ok(greeting),
                    Ok(Err(_)) | Err(_) => Err(refused),
                },
            },
        }
    }

    async fn discover(&self) -> Discovered {
        match self.ask_discover().await? {
            // A client selects a supported revision and asks again (2026-07-28, Versioning); here it is the same one.
            Err(DiscoverRefusal::NamedLatest) => self.ask_discover().await,
            discovered => Ok(discovered),
        }
    }

    async fn ask_discover(&self) -> Discovered {
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
            ServerAnswer::Error(error) => return Ok(Err(self.read_discover_error(&error))),
        };
        // Members that can't be read make it a server that answers whatever it is asked.
        let object = RawObject::read(&result).unwrap_or_default();
        let versions = read_versions(object.get("supportedVersions"));
        if versions.iter().any(|version| version == Revision::LATEST.as_str()) {
            return Ok(Ok(parse_handshake(ProtocolEra::Modern, &object, Some(members))));
        }
        Ok(Err(refusal_of_versions(&versions)))
    }

    async fn ask_server(
        &self,
        method: &str,
        params: Option<&RawValue>,
        era: Option<&str>,
    ) -> Result<ServerAnswer, ServerError> {
        let never = CancellationToken::new();
        let asked = self.rpc.send_request(OutgoingRequest {
            method,
            params,
            meta: MetaMembers::of_revision(era),
            progress: None,
            timeout: self.launch.limits.start_timeout,
            cancel: &never,
        });
        asked.await
    }

    fn implementation(&self) -> Implementation<'_> {
        Implementation { name: &self.launch.client.0, version: &self.launch.client.1 }
    }

    fn capabilities(&self) -> ClientCapabilities {
        ClientCapabilities { roots: self.has_roots.then_some(RootsCapability { list_changed: false }) }
    }

    /// What an error says of the server's era. The codes are those that "Backward Compatibility" names.
    fn read_discover_error(&self, error: &Real<RawJson>) -> DiscoverRefusal {
        let object = RawObject::read(error.expose()).unwrap_or_default();
        let code = object.get("code").and_then(|code| code.get().parse().ok());
        match code {
            Some(codes::UNSUPPORTED_PROTOCOL_VERSION) => {
                let data = object.get("data").and_then(|data| RawObject::read(data).ok());
                refusal_of_versions(&read_versions(data.unwrap_or_default().get("supported")))
            }
            Some(codes::HEADER_MISMATCH | codes::MISSING_CLIENT_CAPABILITY) => {
                DiscoverRefusal::NoCommonRevision(self.error_from_answer(error))
            }
            Some(_) | None => DiscoverRefusal::Legacy,
        }
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

/// The outcome of `server/discover`. The outer error is a request without an answer.
type Discovered = Result<Result<HandshakeResult, DiscoverRefusal>, ServerError>;

/// An answer to `server/discover` with which the server isn't greeted.
#[derive(Debug)]
enum DiscoverRefusal {
    /// Its server is to be greeted by `initialize`.
    Legacy,
    /// Its server is modern, and can't be spoken to.
    NoCommonRevision(HandshakeError),
    /// Its server refused [`Revision::LATEST`], and named it as one that it supports.
    NamedLatest,
}

/// The refusal of a server that speaks these revisions.
fn refusal_of_versions(versions: &[String]) -> DiscoverRefusal {
    if versions.iter().any(|version| version == Revision::LATEST.as_str()) {
        return DiscoverRefusal::NamedLatest;
    }
    let is_earlier =
        |version: &String| version.parse::<Revision>().is_ok_and(|revision| !revision.is_modern());
    // One that names none is no modern server.
    if versions.is_empty() || versions.iter().any(is_earlier) {
        return DiscoverRefusal::Legacy;
    }
    DiscoverRefusal::NoCommonRevision(HandshakeError::refused(
        "it speaks no revision of MCP that Portero knows",
    ))
}

fn read_versions(versions: Option<&RawValue>) -> Vec<String> {
    versions.and_then(|versions| serde_json::from_str(versions.get()).ok()).unwrap_or_default()
}

/// Whether `initialize` would meet the same failure as `server/discover`.
fn is_final(error: &ServerError, is_reached: &(dyn Fn() -> bool + Send + Sync)) -> bool {
    match error {
        ServerError::LoginNeeded(..) | ServerError::Stopped(_) | ServerError::StartFailed(..) => true,
        ServerError::NotReached(..) => !is_reached(),
        ServerError::Timeout(..)
        | ServerError::TooLong(..)
        | ServerError::Malformed(..)
        | ServerError::RequestFailed(..)
        | ServerError::SessionEnded(_)
        | ServerError::Cancelled
        | ServerError::Unknown(_)
        | ServerError::NotListed(..)
        | ServerError::Redefined(..)
        | ServerError::OtherProcess(_)
        | ServerError::Reported(..) => false,
    }
}

fn not_discovered(error: ServerError) -> HandshakeError {
    unanswered(modern::DISCOVER_METHOD, error)
}

/// Why a question of the handshake got no answer.
fn unanswered(method: &str, error: ServerError) -> HandshakeError {
    match error {
        ServerError::Timeout(_, seconds) => {
            HandshakeError::Refused(format!("it did not answer `{method}` within {seconds} s"))
        }
        ServerError::TooLong(_, most) => {
            HandshakeError::Refused(format!("it answered `{method}` with more than {most} bytes"))
        }
        ServerError::Malformed(_, why) => {
            HandshakeError::Refused(format!("it answered `{method}` with what is no MCP message: {why}"))
        }
        ServerError::NotReached(_, why) | ServerError::RequestFailed(_, why) => HandshakeError::Refused(why),
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
    }
}

fn parse_handshake(era: ProtocolEra, object: &RawObject<'_>, members: Option<String>) -> HandshakeResult {
    HandshakeResult {
        era,
        is_era_settled: true,
        capabilities: object.get("capabilities").map(ToOwned::to_owned),
        instructions: object.get_text("instructions").map(std::borrow::Cow::into_owned),
        meta_members: members,
    }
}
