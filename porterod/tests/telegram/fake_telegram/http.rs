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

use super::faults::Fault;
use super::methods::{ApiRefusal, RequestBody, execute_method};
use super::state::ApiCall;
use super::{SharedState, TOKEN};

/// The connection breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the connection breaks off")]
struct BrokenConnection;

type HttpAnswer = Result<Response<Full<Bytes>>, BrokenConnection>;

pub(super) async fn serve(listener: TcpListener, shared: Arc<SharedState>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| handle_request(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // That it breaks off is what some tests want.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn handle_request(shared: Arc<SharedState>, request: Request<Incoming>) -> HttpAnswer {
    let path = request.uri().path().to_owned();
    let content = request.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content = content.unwrap_or_default().to_owned();
    let bytes = request.into_body().collect().await.map_err(|_| BrokenConnection)?.to_bytes();
    let Some((token, method)) = path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) else {
        return Ok(refusal_response(&ApiRefusal::new(404, "Not Found")));
    };
    if shared.lock_state().is_down {
        return Err(BrokenConnection);
    }
    let body = RequestBody::parse_request(&content, &bytes);
    let logged = body.as_ref().map(|body| body.fields.clone()).unwrap_or_default();
    let call = shared.change_state(|state| {
        state.calls.push(ApiCall { method: method.to_owned(), body: logged, at: Instant::now(), code: None });
        state.calls.len() - 1
    });
    let answered = match body {
        _ if token != TOKEN => Ok(refusal_response(&ApiRefusal::new(401, "Unauthorized"))),
        Err(refusal) => Ok(refusal_response(&refusal)),
        Ok(body) => respond_with_faults(&shared, method, &body).await,
    };
    let code = answered.as_ref().ok().map(|answer| answer.status().as_u16());
    shared.change_state(|state| state.calls[call].code = code);
    answered
}

/// Does what is asked, unless the weather forbids.
async fn respond_with_faults(shared: &SharedState, method: &str, body: &RequestBody) -> HttpAnswer {
    let fault =
        shared.change_state(|state| state.faults.get_mut(method).and_then(|faults| faults.pop_front()));
    let refuse = |code, text: &str| Ok(refusal_response(&ApiRefusal::new(code, text)));
    match fault {
        None => respond(shared, method, body).await,
        Some(Fault::RetryAfter(seconds)) => Ok(refusal_response(&ApiRefusal::too_many_requests(seconds))),
        Some(Fault::Server(code)) => Ok(text_response(code, "<html><h1>Bad Gateway</h1></html>")),
        Some(Fault::Unauthorized) => refuse(401, "Unauthorized"),
        Some(Fault::NotFound) => refuse(404, "Not Found"),
        Some(Fault::TooLarge) => refuse(413, "Request Entity Too Large"),
        Some(Fault::Forbidden) => refuse(403, "Forbidden: bot was blocked by the user"),
        Some(Fault::Conflict) => refuse(409, CONFLICT_DESCRIPTION),
        Some(Fault::Bad(text)) => Ok(refusal_response(&ApiRefusal::bad_request(text))),
        Some(Fault::Nonsense) => Ok(text_response(200, "{\"ok\":true,\"result\":[{\"upd")),
        Some(Fault::Drop) => Err(BrokenConnection),
        Some(Fault::DropAfter) => respond(shared, method, body).await.and(Err(BrokenConnection)),
        Some(Fault::Hang) => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

const CONFLICT_DESCRIPTION: &str =
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";

async fn respond(shared: &SharedState, method: &str, body: &RequestBody) -> HttpAnswer {
    if method == "getUpdates" {
        return long_poll(shared, &body.fields).await;
    }
    Ok(match shared.change_state(|state| execute_method(state, method, body)) {
        Ok(result) => json_response(200, &json!({"ok": true, "result": result})),
        Err(refusal) => refusal_response(&refusal),
    })
}

/// Waits for updates as long as it is asked to, and ends when a newer poll begins.
async fn long_poll(shared: &SharedState, asked: &Value) -> HttpAnswer {
    let number = |name: &str| asked[name].as_i64().unwrap_or(0);
    let limit = usize::try_from(number("limit")).ok().filter(|limit| *limit > 0).unwrap_or(100);
    let own = shared.change_state(|state| {
        if let Some(kinds) = asked["allowed_updates"].as_array() {
            state.allowed_kinds =
                Some(kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect());
        }
        if number("offset") < 0 {
            state.complaints.push("a negative offset throws updates away".to_owned());
        }
        state.poll_count += 1;
        state.poll_count
    });
    let waiting = async {
        loop {
            let changed = shared.changed.notified();
            {
                let mut state = shared.lock_state();
                if state.is_down {
                    return Err(BrokenConnection);
                }
                if state.poll_count != own {
                    return Ok(refusal_response(&ApiRefusal::new(409, CONFLICT_DESCRIPTION)));
                }
                let found = state.take_updates(number("offset"), limit);
                if !found.is_empty() {
                    return Ok(json_response(200, &json!({"ok": true, "result": found})));
                }
            }
            changed.await;
        }
    };
    let most = Duration::from_secs(u64::try_from(number("timeout")).unwrap_or(0));
    let nothing = json_response(200, &json!({"ok": true, "result": []}));
    tokio::time::timeout(most, waiting).await.unwrap_or(Ok(nothing))
}

fn refusal_response(refusal: &ApiRefusal) -> Response<Full<Bytes>> {
    let mut body = json!({"ok": false, "error_code": refusal.code, "description": refusal.description});
    if let Some(seconds) = refusal.retry_after {
        body["parameters"] = json!({"retry_after": seconds});
    }
    if let Some(chat) = refusal.migrate_to {
        body["parameters"] = json!({"migrate_to_chat_id": chat});
    }
    json_response(refusal.code, &body)
}

fn json_response(code: u16, body: &Value) -> Response<Full<Bytes>> {
    text_response(code, &body.to_string())
}

fn text_response(code: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::from(body.to_owned())).unwrap()
}
