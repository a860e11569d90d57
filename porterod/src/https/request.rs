//! What happens to a request, in this order: host and origin, who asks, rate of the principal, and only then its body
//! and its route. A request that proves nobody counts against the rate of its address, so whoever sends many of them
//! shuts out nobody who can prove who they are, even if both come through the same proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use axum::{Router, body::Bytes};
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use portero::config::{HttpsLimits, HttpsSettings};
use tokio::time::{Instant, timeout};

use super::HttpsRoutes;
use super::body_room::{BodyPermit, BodyRoom};
use super::connection::CredentialEnd;
use super::connection_limits::{ConnectionLimits, client_of};
use super::cors;
use super::host_check::HostCheck;
use super::metrics::{HttpsMetrics, METRICS_CONTENT_TYPE, Refusal, write_metrics};
use super::principal::ClientCertificate;
use super::rate_limit::RateLimit;
use super::response::{RefusedRequest, add_common_headers, json_response, text_response};
use crate::daemon::Daemon;

/// How many bytes all bodies have together: 256 MiB.
const BODY_ROOM_BYTES: u64 = 256 << 20;
/// When there may be room again.
const BODY_ROOM_RETRY: std::time::Duration = std::time::Duration::from_secs(1);
/// Below this path everything is open (RFC 8615).
const WELL_KNOWN: &str = "/.well-known/";

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct ConnectionInfo {
    pub(super) peer: SocketAddr,
    /// The client's certificate, if it showed one that was verified.
    pub(super) certificate: Option<ClientCertificate>,
}

/// Answers the requests of one endpoint.
pub(super) struct RequestHandler {
    daemon: Arc<Daemon>,
    routes: HttpsRoutes,
    hosts: HostCheck,
    limits: HttpsLimits,
    of_address: RateLimit<IpAddr>,
    of_principal: RateLimit<String>,
    body_room: Arc<BodyRoom>,
    metrics: Arc<HttpsMetrics>,
    connections: Arc<ConnectionLimits>,
}

impl RequestHandler {
    pub(super) fn new(
        daemon: &Arc<Daemon>,
        (settings, address): (&HttpsSettings, SocketAddr),
        routes: HttpsRoutes,
        (metrics, connections): (Arc<HttpsMetrics>, Arc<ConnectionLimits>),
    ) -> Self {
        let limits = settings.limits.clone();
        Self {
            daemon: Arc::clone(daemon),
            routes,
            hosts: HostCheck::new(settings, address),
            of_address: RateLimit::per_minute(limits.requests_per_minute_of_address),
            of_principal: RateLimit::per_minute(limits.requests_per_minute),
            body_room: BodyRoom::new(BODY_ROOM_BYTES),
            limits,
            metrics,
            connections,
        }
    }

    /// The response to a request.
    pub(super) async fn answer(&self, request: Request<Incoming>, connection: &ConnectionInfo) -> Response {
        let started = Instant::now();
        let origin = request.headers().get(ORIGIN).cloned();
        let (head, body) = request.into_parts();
        let mut response = match self.hosts.check(&head) {
            Err((status, message)) => {
                self.metrics.count_refusal(Refusal::Host);
                self.refuse_stranger(connection, RefusedRequest::new(status, message)).into_response()
            }
            Ok(()) => {
                let routed = match cors::answer_preflight(&head) {
                    Some(response) => self.count_stranger(connection).map(|()| response),
                    None => self.route(head, body, connection).await,
                };
                let mut response = routed.unwrap_or_else(RefusedRequest::into_response);
                if let Some(origin) = origin {
                    cors::permit_origin(&mut response, origin);
                }
                response
            }
        };
        add_common_headers(&mut response);
        self.metrics.count_response(response.status(), started.elapsed());
        response
    }

    /// Counts a request that proves nobody.
    fn count_stranger(&self, connection: &ConnectionInfo) -> Result<(), RefusedRequest> {
        let now = self.daemon.clock.now().boot;
        self.of_address.take(client_of(connection.peer.ip()), now).map_err(|wait| {
            self.metrics.count_refusal(Refusal::Rate);
            RefusedRequest::new(StatusCode::TOO_MANY_REQUESTS, "too many requests of this address")
                .retry_after(wait)
        })
    }

    /// The refusal of a request that proves nobody; another one if there are too many of them.
    fn refuse_stranger(&self, connection: &ConnectionInfo, refused: RefusedRequest) -> RefusedRequest {
        self.count_stranger(connection).err().unwrap_or(refused)
    }

    async fn route(
        &self,
        head: Parts,
        body: Incoming,
        connection: &ConnectionInfo,
    ) -> Result<Response, RefusedRequest> {
        match head.uri.path() {
            "/health" => {
                self.count_stranger(connection)?;
                match head.method {
                    Method::GET | Method::HEAD | Method::POST => {
                        Ok(json_response(StatusCode::OK, r#"{"status":"ok"}"#))
                    }
                    _ => Err(RefusedRequest::method("GET, HEAD, POST")),
                }
            }
            path if path.starts_with(WELL_KNOWN) => {
                self.count_stranger(connection)?;
                Ok(call(&self.routes.well_known, Request::from_parts(head, Body::empty())).await)
            }
            _ => self.route_authenticated(head, body, connection).await,
        }
    }

    async fn route_authenticated(
        &self,
        mut head: Parts,
        body: Incoming,
        connection: &ConnectionInfo,
    ) -> Result<Response, RefusedRequest> {
        let ConnectionInfo { peer, certificate } = connection;
        let principal = self.routes.authenticator.authenticate(&head, *peer, certificate.as_ref()).await;
        let principal = principal.map_err(|challenge| {
            self.metrics.count_refusal(Refusal::Authentication);
            self.refuse_stranger(connection, challenge.into())
        })?;
        let now = self.daemon.clock.now().boot;
        self.of_principal.take(principal.name.clone(), now).map_err(|wait| {
            self.metrics.count_refusal(Refusal::Rate);
            RefusedRequest::new(StatusCode::TOO_MANY_REQUESTS, "too many requests").retry_after(wait)
        })?;
        match head.uri.path() {
            "/ready" => {
                check_get(&head.method)?;
                Ok(self.answer_ready())
            }
            "/metrics" => {
                check_get(&head.method)?;
                let text = write_metrics(&self.daemon, &self.metrics, self.connections.count()).await;
                Ok(text_response(StatusCode::OK, METRICS_CONTENT_TYPE, text))
            }
            _ => {
                let (body, _room) =
                    self.read_body(&principal.name, &head.headers, body).await.inspect_err(|_| {
                        self.metrics.count_refusal(Refusal::Body);
                    })?;
                let ended = principal.validity.clone().wait_for_end(self.daemon.clock.now().wall).boxed();
                let ended = ended.shared();
                head.extensions.insert(principal);
                let answering = call(&self.routes.authenticated, Request::from_parts(head, Body::from(body)));
                tokio::select! {
                    mut response = answering => {
                        response.extensions_mut().insert(CredentialEnd(ended));
                        Ok(response)
                    }
                    () = ended.clone() => Err(RefusedRequest::new(StatusCode::UNAUTHORIZED, "the token has ended")),
                }
            }
        }
    }

    /// Whether calls can be served: the daemon isn't ending, and its store answers.
    fn answer_ready(&self) -> Response {
        let is_ready = !self.daemon.lifecycle.stop_signal().is_cancelled()
            && self.daemon.approval_queue.count_pending().is_ok();
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json_response(status, &serde_json::json!({"ready": is_ready}).to_string())
    }

    /// Reads a whole body of JSON, and keeps its room until the permit is dropped.
    async fn read_body(
        &self,
        principal: &str,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<(Bytes, Option<BodyPermit>), RefusedRequest> {
        if body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        check_json(headers)?;
        let limit = self.limits.max_body_bytes;
        let too_large = || RefusedRequest::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");
        let announced = headers.get(CONTENT_LENGTH).map(|length| {
            length.to_str().ok().and_then(|length| length.parse::<u64>().ok()).unwrap_or(u64::MAX)
        });
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut room =
            self.body_room.take(principal, announced.unwrap_or(limit as u64)).ok_or_else(|| {
                let message = "too many requests are being read";
                RefusedRequest::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(BODY_ROOM_RETRY)
            })?;
        match timeout(self.limits.body_timeout, Limited::new(body, limit).collect()).await {
            Ok(Ok(body)) => {
                let body = body.to_bytes();
                room.shrink_to(body.len() as u64);
                Ok((body, Some(room)))
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(RefusedRequest::new(StatusCode::BAD_REQUEST, "the body ended too early")),
            Err(_) => Err(RefusedRequest::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
        }
    }
}

fn check_get(method: &Method) -> Result<(), RefusedRequest> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(RefusedRequest::method("GET, HEAD")),
    }
}

/// Every body is JSON (MCP, "Streamable HTTP"), and isn't compressed.
fn check_json(headers: &HeaderMap) -> Result<(), RefusedRequest> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = "the body must be application/json";
        return Err(RefusedRequest::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let is_plain = |value: &axum::http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        return Err(RefusedRequest::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must not be compressed",
        ));
    }
    Ok(())
}

async fn call(router: &Router, request: Request<Body>) -> Response {
    match TowerToHyperService::new(router.clone()).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
