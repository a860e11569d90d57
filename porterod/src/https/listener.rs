//! Accepts connections, within the limits, and serves HTTP on them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service as HttpService;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portero::config::{HttpsLimits, HttpsSettings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::HttpsRoutes;
use super::connection::{OpenBody, OpenRequests, drive, hold_open};
use super::connection_limits::{ConnectionLimits, ConnectionPermit};
use super::descriptors::permit_connections;
use super::metrics::{HttpsMetrics, Refusal};
use super::principal::ClientCertificate;
use super::request::{ConnectionInfo, RequestHandler};
use super::tls::{HTTP_2, Refresh, TlsIdentity};
use super::write_timeout::WriteTimeout;
use crate::daemon::Daemon;

/// How long to wait after a failed `accept`: nothing tells when a descriptor is free again.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a write may wait for a peer that reads nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most header fields of a request.
const MAX_HEADERS: usize = 100;
/// The most requests that are open at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 128;
/// How often a silent peer of HTTP/2 is asked whether it is there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The smallest buffer that hyper takes.
const MIN_BUFFER_BYTES: usize = 8 << 10;

/// One endpoint.
pub(super) struct Listener {
    daemon: Arc<Daemon>,
    limits: HttpsLimits,
    tls: Option<TlsIdentity>,
    connections: Arc<ConnectionLimits>,
    handler: RequestHandler,
    metrics: Arc<HttpsMetrics>,
}

impl Listener {
    pub(super) fn new(
        daemon: &Arc<Daemon>,
        (settings, address): (&HttpsSettings, SocketAddr),
        tls: Option<TlsIdentity>,
        routes: HttpsRoutes,
        metrics: Arc<HttpsMetrics>,
    ) -> Arc<Self> {
        let connections = Arc::<ConnectionLimits>::default();
        Arc::new(Self {
            daemon: Arc::clone(daemon),
            limits: HttpsLimits {
                max_connections: permit_connections(settings.limits.max_connections),
                ..settings.limits.clone()
            },
            tls,
            handler: RequestHandler::new(
                daemon,
                (settings, address),
                routes,
                (Arc::clone(&metrics), Arc::clone(&connections)),
            ),
            connections,
            metrics,
        })
    }

    /// Accepts until `stop`. What was accepted ends soon after.
    pub(super) async fn accept_until(self: Arc<Self>, socket: TcpListener, stop: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(permit) = self.connections.open(peer.ip(), &self.limits) else {
                        // Without a word: a response would cost a handshake, which is what a flood is after.
                        self.metrics.count_refusal(Refusal::Connections);
                        continue;
                    };
                    let (listener, stop) = (Arc::clone(&self), stop.clone());
                    self.daemon.lifecycle.spawn(async move {
                        listener.serve_connection(stream, peer, permit, &stop).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection over HTTPS");
                    tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
                }
            }
        }
    }

    async fn serve_connection(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _permit: ConnectionPermit,
        stop: &CancellationToken,
    ) {
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
        let stream = WriteTimeout::new(stream, WRITE_TIMEOUT);
        let Some(tls) = &self.tls else {
            return self.serve_http1(stream, ConnectionInfo { peer, certificate: None }, stop).await;
        };
        match tls.refresh().await {
            Refresh::Unchanged => self.daemon.https.set_certificate_problem(None),
            Refresh::Busy => {}
            Refresh::Replaced(certificate) => self.daemon.https.set_certificate(certificate),
            Refresh::Broken(problem) => self.daemon.https.set_certificate_problem(Some(problem)),
        }
        let handshake = TlsAcceptor::from(tls.server_config()).accept(stream);
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => handshake,
            () = stop.cancelled() => return,
        };
        let Ok(Ok(stream)) = handshake else {
            return self.metrics.count_refusal(Refusal::Handshake);
        };
        let session = stream.get_ref().1;
        let leaf = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = leaf.map(|leaf| ClientCertificate::new(leaf.clone().into_owned()));
        let is_http2 = session.alpn_protocol() == Some(HTTP_2);
        let info = ConnectionInfo { peer, certificate };
        if is_http2 {
            self.serve_http2(stream, info, stop).await;
        } else {
            self.serve_http1(stream, info, stop).await;
        }
    }

    fn service(self: &Arc<Self>, info: ConnectionInfo) -> ConnectionService {
        ConnectionService { listener: Arc::clone(self), info: Arc::new(info), open: Arc::default() }
    }

    async fn serve_http1<S>(self: &Arc<Self>, stream: S, info: ConnectionInfo, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.service(info);
        let open = Arc::clone(&service.open);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(self.limits.max_header_bytes.max(MIN_BUFFER_BYTES))
            .serve_connection(TokioIo::new(stream), service);
        drive(connection, &open, self.limits.idle_timeout, stop).await;
    }

    async fn serve_http2<S>(self: &Arc<Self>, stream: S, info: ConnectionInfo, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.service(info);
        let open = Arc::clone(&service.open);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(self.limits.max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        drive(connection, &open, self.limits.idle_timeout, stop).await;
    }
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct ConnectionService {
    listener: Arc<Listener>,
    info: Arc<ConnectionInfo>,
    open: Arc<OpenRequests>,
}

impl HttpService<Request<Incoming>> for ConnectionService {
    type Response = Response<OpenBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<OpenBody>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (service, held) = (self.clone(), self.open.begin());
        let answer = async move {
            let response = service.listener.handler.answer(request, &service.info).await;
            Ok(hold_open(response, held))
        };
        answer.boxed()
    }
}
