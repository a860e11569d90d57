//! Requests and answers, long polls, and faults.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::methods::{Body, Refusal, carry_out};
use super::state::Call;
use super::weather::Fault;
use super::{Shared, TOKEN};

/// The connection breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the connection breaks off")]
struct Broken;

type Answer = Result<Response<Full<Bytes>>, Broken>;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // That it breaks off is what some tests want.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let content = request.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content = content.unwrap_or_default().to_owned();
    let bytes = request.into_body().collect().await.map_err(|_| Broken)?.to_bytes();
    let Some((token, method)) = path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) else {
        return Ok(refused(&Refusal::new(404, "Not Found")));
    };
    if shared.state().down {
        return Err(Broken);
    }
    let body = Body::read(&content, &bytes);
    let logged = body.as_ref().map(|body| body.fields.clone()).unwrap_or_default();
    let call = shared.change(|state| {
        state.calls.push(Call { method: method.to_owned(), body: logged, at: Instant::now(), code: None });
        state.calls.len() - 1
    });
    let answered = match body {
        _ if token != TOKEN => Ok(refused(&Refusal::new(401, "Unauthorized"))),
        Err(refusal) => Ok(refused(&refusal)),
        Ok(body) => weathered(&shared, method, &body).await,
    };
    let code = answered.as_ref().ok().map(|answer| answer.status().as_u16());
    shared.change(|state| state.calls[call].code = code);
    answered
}

/// Does what is asked, unless the weather forbids.
async fn weathered(shared: &Shared, method: &str, body: &Body) -> Answer {
    let fault = shared.change(|state| state.faults.get_mut(method).and_then(|faults| faults.pop_front()));
    let refuse = |code, text: &str| Ok(refused(&Refusal::new(code, text)));
    match fault {
        None => clear(shared, method, body).await,
        Some(Fault::RetryAfter(seconds)) => Ok(refused(&Refusal::flood(seconds))),
        Some(Fault::Server(code)) => Ok(page(code, "<html><h1>Bad Gateway</h1></html>")),
        Some(Fault::Unauthorized) => refuse(401, "Unauthorized"),
        Some(Fault::NotFound) => refuse(404, "Not Found"),
        Some(Fault::TooLarge) => refuse(413, "Request Entity Too Large"),
        Some(Fault::Forbidden) => refuse(403, "Forbidden: bot was blocked by the user"),
        Some(Fault::Conflict) => refuse(409, CONFLICT),
        Some(Fault::Bad(text)) => Ok(refused(&Refusal::bad(text))),
        Some(Fault::Nonsense) => Ok(page(200, "{\"ok\":true,\"result\":[{\"upd")),
        Some(Fault::Drop) => Err(Broken),
        Some(Fault::DropAfter) => clear(shared, method, body).await.and(Err(Broken)),
        Some(Fault::Hang) => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

const CONFLICT: &str =
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";

async fn clear(shared: &Shared, method: &str, body: &Body) -> Answer {
    if method == "getUpdates" {
        return poll(shared, &body.fields).await;
    }
    Ok(match shared.change(|state| carry_out(state, method, body)) {
        Ok(result) => envelope(200, &json!({"ok": true, "result": result})),
        Err(refusal) => refused(&refusal),
    })
}

/// Waits for updates as long as it is asked to, and ends when a newer poll begins.
async fn poll(shared: &Shared, asked: &Value) -> Answer {
    let number = |name: &str| asked[name].as_i64().unwrap_or(0);
    let limit = usize::try_from(number("limit")).ok().filter(|limit| *limit > 0).unwrap_or(100);
    let own = shared.change(|state| {
        if let Some(kinds) = asked["allowed_updates"].as_array() {
            state.allowed = Some(kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect());
        }
        if number("offset") < 0 {
            state.complaints.push("a negative offset throws updates away".to_owned());
        }
        state.polls += 1;
        state.polls
    });
    let waiting = async {
        loop {
            let changed = shared.changed.notified();
            {
                let mut state = shared.state();
                if state.down {
                    return Err(Broken);
                }
                if state.polls != own {
                    return Ok(refused(&Refusal::new(409, CONFLICT)));
                }
                let found = state.poll(number("offset"), limit);
                if !found.is_empty() {
                    return Ok(envelope(200, &json!({"ok": true, "result": found})));
                }
            }
            changed.await;
        }
    };
    let most = Duration::from_secs(u64::try_from(number("timeout")).unwrap_or(0));
    let nothing = envelope(200, &json!({"ok": true, "result": []}));
    tokio::time::timeout(most, waiting).await.unwrap_or(Ok(nothing))
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut body = json!({"ok": false, "error_code": refusal.code, "description": refusal.description});
    if let Some(seconds) = refusal.retry_after {
        body["parameters"] = json!({"retry_after": seconds});
    }
    if let Some(chat) = refusal.migrate_to {
        body["parameters"] = json!({"migrate_to_chat_id": chat});
    }
    envelope(refusal.code, &body)
}

fn envelope(code: u16, body: &Value) -> Response<Full<Bytes>> {
    page(code, &body.to_string())
}

fn page(code: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::from(body.to_owned())).unwrap()
}
