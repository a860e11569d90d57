//! A scripted HTTP server on loopback that remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use portero::sync::lock;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinHandle, JoinSet};

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    /// The message's method; empty for another body.
    pub(crate) fn rpc_method(&self) -> String {
        self.message()["method"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn message(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The response to this request, with the result given.
    pub(crate) fn result(&self, result: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.message()["id"])
    }
}

/// What is answered.
pub(crate) enum Reply {
    /// A whole body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// Events, after which the stream ends.
    Events(Vec<String>),
    /// Events, after which the stream stays open.
    EventsThenOpen(Vec<String>),
    /// An event, and then what arrives here.
    Live(String, UnboundedReceiver<String>),
    /// Nothing, for ever.
    Never,
}

impl Reply {
    pub(crate) fn json(body: String) -> Self {
        Self::Whole(200, vec![("content-type", "application/json".to_owned())], body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), String::new())
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server. It ends with the runtime of its test.
pub(crate) struct FakeHttp {
    pub(crate) origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Arc<Handler>,
    accepting: JoinHandle<()>,
}

impl FakeHttp {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let (seen, handler): (Arc<Mutex<Vec<Seen>>>, Arc<Handler>) = (Arc::default(), Arc::new(handler));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&seen), Arc::clone(&handler)));
        Self { origin, seen, handler, accepting }
    }

    /// Ends it with all its connections. The socket keeps its port, and refuses connections until it listens.
    pub(crate) async fn stop(&mut self) -> TcpSocket {
        self.accepting.abort();
        // It was aborted.
        let _ = (&mut self.accepting).await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("set");
        let address = self.origin.trim_start_matches("http://").parse().expect("an address");
        socket.bind(address).expect("the port is free");
        socket
    }

    /// Begins again at its port.
    pub(crate) fn start_again(&mut self, socket: TcpSocket) {
        let listener = socket.listen(16).expect("it listens");
        self.accepting = tokio::spawn(accept(listener, Arc::clone(&self.seen), Arc::clone(&self.handler)));
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// What it was asked, as HTTP method and message.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen()
            .iter()
            .map(|seen| format!("{} {}", seen.method, seen.rpc_method()).trim().to_owned())
            .collect()
    }

    /// Waits until a request of this HTTP method and message came.
    pub(crate) async fn wait_for(&self, asked: &str) {
        let wait = async {
            while !self.asked().iter().any(|one| one == asked) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "`{asked}` never came: {:?}", self.asked());
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>, handler: Arc<Handler>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
        let service = service_fn(move |request| answer(request, Arc::clone(&seen), Arc::clone(&handler)));
        let served = hyper::server::conn::http1::Builder::new();
        connections.spawn(served.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Arc<Handler>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let came = Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let reply = handler(&came);
    lock(&seen).push(came);
    let events = |events: Vec<String>| stream::iter(events).map(|event| Ok(Frame::data(Bytes::from(event))));
    let streamed = |body| {
        let response = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
        response.body(body).expect("a response")
    };
    Ok(match reply {
        Reply::Whole(status, headers, body) => {
            let response = Response::builder().status(status);
            let response =
                headers.into_iter().fold(response, |response, (name, value)| response.header(name, value));
            response.body(Full::new(Bytes::from(body)).boxed()).expect("a response")
        }
        Reply::Events(sent) => streamed(BodyExt::boxed(StreamBody::new(events(sent)))),
        Reply::EventsThenOpen(sent) => {
            streamed(BodyExt::boxed(StreamBody::new(events(sent).chain(stream::pending()))))
        }
        Reply::Live(first, later) => {
            let later = stream::unfold(later, |mut later| async move {
                let event = later.recv().await?;
                Some((Ok(Frame::data(Bytes::from(event))), later))
            });
            streamed(BodyExt::boxed(StreamBody::new(events(vec![first]).chain(later))))
        }
        Reply::Never => std::future::pending().await,
    })
}

/// An event with a message.
pub(crate) fn event(message: &str) -> String {
    format!("event: message\ndata: {message}\n\n")
}
