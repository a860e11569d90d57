//! A conversation with one child: requests out, answers to whom they belong.
//!
//! One task reads, one writes. An answer goes to the caller whose request has its id, and to nobody else;
//! what has no caller any more is dropped. Ids are ours and are never used twice in a conversation.
//!
//! An answer that cannot be used fails the call that it was for, at once, as far as that can be told; see
//! [`Pending::settle_unclaimed`] for one that does not name its request. Everything else that is no message is
//! noise, such as a banner or a line of a log, and goes to the server's own log.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::AsyncRead;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::Subscriptions;
use super::envelope::{self, Meta};
use super::events::Events;
use super::handshake::Greeting;
use super::lists::{self, Bounds};
use super::logs::ServerLog;
use super::outbox::Outbox;
use super::pending::{Outcome, Pending};
use super::{Answer, List, Offer, ProgressSink, ServerError};
use crate::anonymize::Real;
use crate::json::{self, Object, RawJson};
use crate::names::ServerName;
use crate::wire::{self, Fault, Kind, LineError, Lines, Malformed, Message, codes};

/// A running conversation.
pub(super) struct Connection {
    pub(super) server: ServerName,
    pub(super) outbox: Outbox,
    pub(super) events: Events,
    pub(super) log: ServerLog,
    /// What the handshake brought; empty until it is done.
    pub(super) greeting: OnceLock<Greeting>,
    /// The answer to `roots/list`; none when roots are not declared.
    pub(super) roots: Option<RawJson>,
    message_most: usize,
    next: AtomicU64,
    pub(super) pending: Pending,
    subscriptions: Subscriptions,
    server_requests: ServerRequests,
    /// What a server lists that was started again after it had ended by itself; none for the first start.
    relisted: Option<Relisted>,
    ended: CancellationToken,
}

/// Which tools a server lists that was started again.
#[derive(Debug, Default)]
struct Relisted {
    /// How often the server said that its tools changed.
    changes: AtomicU64,
    /// What it listed last. The lock is held while it is asked, so that callers ask once.
    tools: tokio::sync::Mutex<Option<ListedTools>>,
}

/// The answer to one `tools/list`.
#[derive(Debug)]
struct ListedTools {
    /// [`Relisted::changes`] before the server was asked: after one more, this is out of date.
    changes: u64,
    names: HashSet<String>,
}

impl Relisted {
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// The ids of the last requests of the server's own.
#[derive(Debug, Default)]
struct ServerRequests(Mutex<VecDeque<Box<str>>>);

/// How many of them are remembered.
const MAX_SERVER_REQUESTS: usize = 64;
/// How long an id may be that is remembered.
const MAX_ID_BYTES: usize = 256;

impl ServerRequests {
    fn note(&self, id: &RawValue) {
        if id.get().len() > MAX_ID_BYTES {
            return;
        }
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() == MAX_SERVER_REQUESTS {
            ids.pop_front();
        }
        ids.push_back(id.get().into());
    }

    fn contains(&self, id: &RawValue) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| **known == *id.get())
    }
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// An object without `_meta`.
    pub(super) params: Option<&'a RawValue>,
    pub(super) meta: Meta<'a>,
    pub(super) progress: Option<ProgressSink>,
    /// How long the server may be silent about it: progress starts the time anew.
    pub(super) limit: Duration,
    /// Cancelled when the caller does not want the answer any more.
    pub(super) cancel: &'a CancellationToken,
}

impl Connection {
    pub(super) fn new(
        server: ServerName,
        events: Events,
        log: ServerLog,
        roots: Option<RawJson>,
        message_most: usize,
    ) -> Self {
        Self {
            server,
            outbox: Outbox::default(),
            events,
            log,
            greeting: OnceLock::new(),
            roots,
            message_most,
            next: AtomicU64::new(1),
            pending: Pending::default(),
            subscriptions: Subscriptions::default(),
            server_requests: ServerRequests::default(),
            relisted: None,
            ended: CancellationToken::new(),
        }
    }

    /// The same for a server that ended by itself before: it may be another version now.
    pub(super) fn again(self) -> Self {
        Self { relisted: Some(Relisted::default()), ..self }
    }

    /// Whether the server may be called by this tool name. One that was started again is asked which tools it
    /// lists now, and anew after each change that it announces; what was known before is of the process that
    /// ended.
    pub(super) async fn lists(&self, name: &str, bounds: Bounds) -> Result<bool, ServerError> {
        let Some(relisted) = &self.relisted else { return Ok(true) };
        let mut tools = relisted.tools.lock().await;
        let changes = relisted.changes();
        if let Some(listed) = tools.as_ref().filter(|listed| listed.changes == changes) {
            return Ok(listed.names.contains(name));
        }
        let names = lists::tool_names(self, bounds).await?;
        let is_listed = names.contains(name);
        *tools = Some(ListedTools { changes, names });
        Ok(is_listed)
    }

    /// Everything that the server offers. Its tools are those that [`Self::lists`] goes by from now on.
    pub(super) async fn offer(&self, bounds: Bounds) -> Result<Offer, ServerError> {
        let Some(relisted) = &self.relisted else { return lists::offer(self, bounds).await };
        let changes = relisted.changes();
        let offer = lists::offer(self, bounds).await?;
        let names = lists::names(&offer.tools);
        *relisted.tools.lock().await = Some(ListedTools { changes, names });
        Ok(offer)
    }

    /// What a modern server is listened to for.
    pub(super) const fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Whether nothing more comes from the child.
    pub(super) fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until nothing more comes from the child.
    pub(super) async fn closed(&self) {
        self.ended.cancelled().await;
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn request(&self, request: Request<'_>) -> Result<Answer, ServerError> {
        let Request { method, params, mut meta, progress, limit, cancel } = request;
        let late_at = Instant::now() + limit;
        let timed_out = || ServerError::Timeout(self.server.clone(), limit.as_secs());
        if !self.outbox.has_room() {
            tokio::select! {
                biased;
                () = self.outbox.room() => {}
                () = cancel.cancelled() => return Err(ServerError::Cancelled),
                () = tokio::time::sleep_until(late_at) => return Err(timed_out()),
            }
        }
        let id = self.fresh_id();
        meta.token = progress.is_some().then_some(id);
        let Some(answered) = self.pending.open(id, progress, limit, late_at) else {
            let reason = "it ended before the call reached it".to_owned();
            return Err(ServerError::Start(self.server.clone(), reason));
        };
        let _open = Open { connection: self, id };
        self.outbox.push(|out| envelope::write_request(out, id, method, params, meta));
        tokio::select! {
            biased;
            outcome = answered => match outcome {
                Ok(Outcome::Answer(answer)) => Ok(answer),
                Ok(Outcome::Malformed(why)) => Err(ServerError::Malformed(self.server.clone(), why)),
                Ok(Outcome::TooLong) => Err(ServerError::TooLong(self.server.clone(), self.message_most)),
                Ok(Outcome::Late) => Err(timed_out()),
                Err(_) => Err(ServerError::Gone(self.server.clone())),
            },
            () = cancel.cancelled() => Err(ServerError::Cancelled),
        }
    }

    /// An id that no other request of this conversation has.
    pub(super) fn fresh_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes back a request whose answer nobody wants.
    pub(super) fn cancel(&self, id: u64) {
        let params = json::parse_raw(format!(r#"{{"requestId":{id}}}"#)).expect("a number is JSON");
        self.notify("notifications/cancelled", Some(&params));
    }

    /// Sends a notification.
    pub(super) fn notify(&self, method: &str, params: Option<&RawValue>) {
        self.pending.note_notification(self.next.load(Ordering::Relaxed));
        self.outbox.push_if_room(|out| wire::write_notification(out, method, params));
    }

    /// Reads stdout to its end; then every open request fails.
    pub(super) async fn read(&self, stdout: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(stdout, self.message_most);
        loop {
            match lines.next().await {
                Ok(Some(line)) => self.take(line),
                Err(LineError::TooLong { head, tail, .. }) => self.take_too_long(&head, &tail),
                Ok(None) | Err(LineError::Read(_)) => break,
            }
        }
        self.close();
    }

    /// Fails every open request and takes no more.
    pub(super) fn close(&self) {
        self.outbox.close();
        self.pending.close();
        self.ended.cancel();
    }

    fn take(&self, line: &[u8]) {
        match Message::parse(line) {
            Ok(message) => self.sort(message.into_kind()),
            Err(Malformed { fault: Fault::NotUtf8, .. }) => {
                // Clients take such a line as well; most of it is readable.
                match Message::parse(wire::read_text(line).as_bytes()) {
                    Ok(message) => self.sort(message.into_kind()),
                    Err(_) => self.salvage(line, Fault::NotUtf8),
                }
            }
            Err(Malformed { fault: Fault::Batch, .. }) => {
                for message in wire::batch(line).unwrap_or_default() {
                    match Message::of(message) {
                        Ok(message) => self.sort(message.into_kind()),
                        Err(malformed) => self.salvage(message.get().as_bytes(), malformed.fault),
                    }
                }
            }
            Err(malformed) => self.salvage(line, malformed.fault),
        }
    }

    /// Fails the calls that a line was meant to answer.
    fn salvage(&self, line: &[u8], fault: Fault) {
        self.log.junk(line, &fault);
        // Some servers answer a notification that they do not know. That says nothing of any call.
        if wire::is_answer_to_none(line) && self.pending.take_notification() {
            return;
        }
        let found = wire::salvage(line);
        let why =
            if found.len() > 1 { "two messages stand on one line".to_owned() } else { fault.to_string() };
        for answer in found.iter().filter(|message| message.is_response) {
            self.settle_malformed(answer.id().as_deref(), why.clone());
        }
    }

    /// Fails the call whose answer cannot be used. A number that no open request has is that of an answer which
    /// came too late; anything else was meant for one of them.
    fn settle_malformed(&self, id: Option<&RawValue>, why: String) {
        match id.and_then(wire::id_number) {
            Some(id) => self.pending.settle(id, || Outcome::Malformed(why)),
            None => self.pending.settle_unclaimed(why),
        }
    }

    /// Fails the request whose answer cannot be read; all of them when it cannot be told whose it is.
    fn take_too_long(&self, head: &[u8], tail: &[u8]) {
        match wire::id_of_too_long(head, tail).as_deref().and_then(wire::id_number) {
            Some(id) => self.pending.settle(id, || Outcome::TooLong),
            None => self.pending.settle_all_too_long(),
        }
        self.log.junk(b"", &format_args!("a message of more than {} bytes", self.message_most));
    }

    fn sort(&self, message: Kind<'_>) {
        match message {
            Kind::Response { id, outcome } => self.settle(id, outcome),
            Kind::Notification { method, params } => self.notified(&method, params),
            Kind::Request { id, method, .. } => self.answer(id, &method),
        }
    }

    fn settle(&self, id: &RawValue, outcome: Result<&RawValue, &RawValue>) {
        // The first is by far the most frequent.
        let number = id.get().parse().ok().or_else(|| wire::id_number(id));
        let usable = wire::usable(outcome);
        let (Some(number), Ok(())) = (number, usable) else {
            let why = usable.err().unwrap_or("its `id` is that of no request");
            self.log.junk(b"", &why);
            return self.settle_malformed(Some(id), why.to_owned());
        };
        self.pending.settle(number, || {
            Outcome::Answer(match outcome {
                Ok(result) => Answer::Result(Real::from_server(result.to_owned())),
                Err(error) => Answer::Error(Real::from_server(error.to_owned())),
            })
        });
    }

    fn notified(&self, method: &str, params: Option<&RawValue>) {
        let own = || params.map_or_else(|| json::raw(&Object::default()), ToOwned::to_owned);
        match method {
            "notifications/progress" => self.progressed(params),
            "notifications/cancelled" => self.cancelled(params),
            "notifications/message" => {
                self.events.log(|| Real::from_server(own()));
            }
            "notifications/resources/updated" => {
                self.events.updated(Real::from_server(own()));
            }
            "notifications/tools/list_changed" => {
                if let Some(relisted) = &self.relisted {
                    relisted.changes.fetch_add(1, Ordering::AcqRel);
                }
                self.events.changed(List::Tools);
            }
            "notifications/resources/list_changed" => self.events.changed(List::Resources),
            "notifications/prompts/list_changed" => self.events.changed(List::Prompts),
            _ => {}
        }
    }

    /// Reports progress before the answer that may stand on the next line.
    fn progressed(&self, params: Option<&RawValue>) {
        let Some(params) = params else { return };
        let token =
            Object::read(params).ok().and_then(|object| object.get("progressToken")?.get().parse().ok());
        let sink = token.and_then(|token: u64| self.pending.heard_of(token));
        if let Some(sink) = sink {
            sink(Real::from_server(params.to_owned()));
        }
    }

    /// A server that takes back a request of ours will not answer it. One that takes back its own, which by
    /// chance has the same number, has had its answer long ago.
    fn cancelled(&self, params: Option<&RawValue>) {
        let id = params.and_then(|params| Object::read(params).ok()?.get("requestId"));
        let Some(id) = id.filter(|id| !self.server_requests.contains(id)) else { return };
        if let Some(id) = wire::id_number(id) {
            self.pending.settle(id, || Outcome::Malformed("it cancelled the request".to_owned()));
        }
    }

    /// Answers what a child asks. Portero declares no capability but roots, so there is nothing else to ask.
    fn answer(&self, id: &RawValue, method: &str) {
        self.server_requests.note(id);
        let roots = self.roots.as_deref().filter(|_| method == "roots/list");
        self.outbox.push_if_room(|out| match (method, roots) {
            ("ping", _) => wire::write_result(out, id, &json::raw(&Object::default())),
            (_, Some(roots)) => wire::write_result(out, id, roots),
            (_, None) => {
                let error = wire::error(codes::METHOD_NOT_FOUND, "this client does not offer that", None);
                wire::write_error(out, id, &error);
            }
        });
    }
}

/// An open request. When its caller leaves before the answer, the server is told.
struct Open<'a> {
    connection: &'a Connection,
    id: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.connection.pending.leave(self.id) {
            self.connection.cancel(self.id);
        }
    }
}

/// What `roots/list` is answered with.
pub(super) fn roots(paths: &[std::path::PathBuf]) -> RawJson {
    #[derive(serde::Serialize)]
    struct Roots {
        roots: Vec<Root>,
    }
    #[derive(serde::Serialize)]
    struct Root {
        uri: String,
    }
    json::raw(&Roots { roots: paths.iter().map(|path| Root { uri: file_uri(path) }).collect() })
}

/// A path as a `file:` URI (RFC 8089).
fn file_uri(path: &std::path::Path) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEEP: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');
    let path = path.to_string_lossy();
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.into_owned() };
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("file://{slash}{}", utf8_percent_encode(&path, KEEP))
}

/// Shares a connection between its tasks and its callers.
pub(super) type Shared = Arc<Connection>;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn roots_are_file_uris() {
        let roots = roots(&["/home/a b".into(), "/tmp/ü".into()]);
        assert_eq!(roots.get(), r#"{"roots":[{"uri":"file:///home/a%20b"},{"uri":"file:///tmp/%C3%BC"}]}"#);
    }
}
