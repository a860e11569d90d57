//! The life of one connection: how long it may be idle, and how it ends.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::future::{BoxFuture, Shared};
use hyper::body::{Bytes, Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long the open requests of a connection may take once it is asked to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// How many requests of a connection are open: from their heads to the ends of their responses.
#[derive(Debug)]
pub(super) struct OpenRequests(watch::Sender<usize>);

/// One open request; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct OpenRequest(watch::Sender<usize>);

impl Default for OpenRequests {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl OpenRequests {
    pub(super) fn begin(&self) -> OpenRequest {
        self.0.send_modify(|open| *open += 1);
        OpenRequest(self.0.clone())
    }

    /// Returns once none was open for this long.
    async fn wait_until_idle(&self, limit: Duration) {
        let mut open = self.0.subscribe();
        loop {
            // The sender lives as long as `self`, so neither wait can fail.
            let _ = open.wait_for(|open| *open == 0).await;
            if tokio::time::timeout(limit, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// When the credential of a request ends, as an extension of its response.
#[derive(Clone)]
pub(super) struct CredentialEnd(pub(super) Shared<BoxFuture<'static, ()>>);

/// A response whose request is open until its body has ended or is dropped.
pub(super) fn hold_open(mut response: Response, request: OpenRequest) -> Response<OpenBody> {
    let ended = response.extensions_mut().remove::<CredentialEnd>();
    response.map(|body| OpenBody { body, ended, _request: request })
}

/// The body of a response, with its request. It breaks off when the credential ends: a stream could last for ever.
pub(super) struct OpenBody {
    body: Body,
    ended: Option<CredentialEnd>,
    _request: OpenRequest,
}

impl HttpBody for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(CredentialEnd(ended)) = &mut self.ended
            && Pin::new(ended).poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Drives a connection to its end. When it has been idle for too long or `stop` is cancelled, it is asked to end,
/// which lets open requests finish; after [`DRAIN_TIMEOUT`] it is dropped.
pub(super) async fn drive<C: GracefulConnection>(
    connection: C,
    open: &OpenRequests,
    idle_timeout: Duration,
    stop: &CancellationToken,
) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = open.wait_until_idle(idle_timeout) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, connection).await;
}
