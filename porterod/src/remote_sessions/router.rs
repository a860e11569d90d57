//! Routes what a session writes to the streams of its client: an answer to the stream of its request, progress to the
//! stream of its call, everything else to the session's own stream.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use portero::json::{RawJson, RawObject};
use portero::sync::lock;
use portero::wire::{self, IdKey, Message, MessageFault, MessageKind, modern};
use serde_json::value::RawValue;
use tokio::io::AsyncWrite;

use super::event_stream::{EventStream, StreamLimits};

/// The most requests of one session without an answer.
pub const MAX_OPEN_REQUESTS: usize = 256;
/// The ended streams that a session keeps for a client that lost its connection.
const MAX_ENDED_STREAMS: usize = 16;
/// The most bytes of these.
const MAX_ENDED_BYTES: usize = 1 << 20;
/// The number of the session's own stream.
const OWN_STREAM: u64 = 0;

/// The streams of one session.
#[derive(Debug)]
pub(super) struct Router {
    /// What belongs to no request.
    own: Arc<EventStream>,
    /// Whether the session goes on after its first request. Otherwise all that it says belongs to that request.
    is_lasting: bool,
    limits: StreamLimits,
    table: Mutex<StreamTable>,
}

#[derive(Debug, Default)]
struct StreamTable {
    last_number: u64,
    /// The streams of requests without an answer.
    requests: HashMap<IdKey, OpenRequest>,
    /// The streams that have not ended, or ended lately.
    streams: HashMap<u64, Arc<EventStream>>,
    /// Those that ended, in this order.
    ended: VecDeque<u64>,
    is_closed: bool,
}

#[derive(Debug)]
struct OpenRequest {
    stream: Arc<EventStream>,
    progress_token: Option<IdKey>,
}

/// A request of the client, as the router needs it.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// Its id.
    pub id: IdKey,
    /// The token of its progress.
    pub progress_token: Option<IdKey>,
}

/// Why requests are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Another open request has the same id.
    #[error("a request with this id is still open")]
    IdInUse,
    /// Too many are open.
    #[error("too many requests are open; wait for answers first")]
    TooMany,
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

impl Router {
    pub(super) fn new(is_lasting: bool, limits: StreamLimits) -> Arc<Self> {
        let own = EventStream::new(OWN_STREAM, 0, limits);
        Arc::new(Self { own, is_lasting, limits, table: Mutex::default() })
    }

    /// The stream of what belongs to no request.
    pub(super) const fn own_stream(&self) -> &Arc<EventStream> {
        &self.own
    }

    /// The stream with this number, if it is open or ended lately.
    pub(super) fn stream(&self, number: u64) -> Option<Arc<EventStream>> {
        match number {
            OWN_STREAM => Some(Arc::clone(&self.own)),
            _ => lock(&self.table).streams.get(&number).cloned(),
        }
    }

    /// Opens the stream for the answers to these requests.
    pub(super) fn open_stream(&self, requests: &[RequestKey]) -> Result<Arc<EventStream>, NotTaken> {
        let mut table = lock(&self.table);
        if table.is_closed {
            return Err(NotTaken::Ended);
        }
        if table.requests.len() + requests.len() > MAX_OPEN_REQUESTS {
            return Err(NotTaken::TooMany);
        }
        let is_twice = |at: usize| requests[..at].iter().any(|before| before.id == requests[at].id);
        if (0..requests.len()).any(|at| table.requests.contains_key(&requests[at].id) || is_twice(at)) {
            return Err(NotTaken::IdInUse);
        }
        table.last_number += 1;
        let number = table.last_number;
        let stream = EventStream::new(number, requests.len(), self.limits);
        for RequestKey { id, progress_token } in requests.iter().cloned() {
            let open = OpenRequest { stream: Arc::clone(&stream), progress_token };
            table.requests.insert(id, open);
        }
        table.streams.insert(number, Arc::clone(&stream));
        Ok(stream)
    }

    /// Notes that the client cancelled a request, which then gets no answer.
    pub(super) fn cancel_request(&self, id: &IdKey) {
        let mut table = lock(&self.table);
        if let Some(open) = table.requests.remove(id) {
            open.stream.forget_answer();
            table.note_ended(&open.stream);
        }
    }

    /// Forgets an ended stream, because its client has all of it.
    pub(super) fn forget_stream(&self, number: u64) {
        let mut table = lock(&self.table);
        table.streams.remove(&number);
        table.ended.retain(|ended| *ended != number);
    }

    /// Whether requests wait for their answers.
    pub(super) fn has_open_requests(&self) -> bool {
        !lock(&self.table).requests.is_empty()
    }

    /// Ends all streams.
    pub(super) fn close(&self) {
        let mut table = lock(&self.table);
        table.is_closed = true;
        table.requests.clear();
        table.ended.clear();
        for (_, stream) in table.streams.drain() {
            stream.end();
        }
        drop(table);
        self.own.end();
    }

    fn route_line(&self, line: &[u8]) {
        match Message::parse(line).map(Message::into_kind) {
            Ok(MessageKind::Response { id, .. }) => self.route_answer(line, [id].into_iter()),
            Ok(MessageKind::Notification { method, params }) => {
                let stream = self.stream_of_notification(&method, params);
                stream.as_ref().unwrap_or(&self.own).push_notification(line);
            }
            // Portero sends the client no requests.
            Ok(MessageKind::Request { .. }) => tracing::error!("a session wrote a request"),
            Err(malformed) if malformed.fault == MessageFault::Batch => {
                let answers = wire::parse_batch(line).unwrap_or_default();
                let ids: Vec<RawJson> = answers
                    .iter()
                    .filter_map(|answer| Some(RawObject::read(answer).ok()?.get("id")?.to_owned()))
                    .collect();
                self.route_answer(line, ids.iter().map(|id| &**id));
            }
            Err(malformed) => tracing::error!(%malformed, "a session wrote something that is no message"),
        }
    }

    /// Passes an answer, or a batch of them, to the stream of their requests.
    fn route_answer<'a>(&self, line: &[u8], ids: impl Iterator<Item = &'a RawValue>) {
        let mut table = lock(&self.table);
        let answered: Vec<OpenRequest> =
            ids.filter_map(|id| table.requests.remove(&IdKey::from_raw(id)?)).collect();
        // None is left where the client cancelled the request meanwhile.
        let Some(first) = answered.first() else { return };
        first.stream.push_answer(line, answered.len());
        table.note_ended(&first.stream);
    }

    /// The stream of a request that a notification belongs to.
    fn stream_of_notification(&self, method: &str, params: Option<&RawValue>) -> Option<Arc<EventStream>> {
        let params = RawObject::read(params?).ok()?;
        let table = lock(&self.table);
        if method == "notifications/progress" {
            let token = IdKey::from_raw(params.get("progressToken")?)?;
            let open = table.requests.values().find(|open| open.progress_token.as_ref() == Some(&token))?;
            return Some(Arc::clone(&open.stream));
        }
        if !self.is_lasting {
            // A log message goes before the answer on the stream of its request (2026-07-28, Logging).
            return table.requests.values().next().map(|open| Arc::clone(&open.stream));
        }
        let meta = RawObject::read(params.get("_meta")?).ok()?;
        let listen = IdKey::from_raw(meta.get(modern::SUBSCRIPTION_ID)?)?;
        table.requests.get(&listen).map(|open| Arc::clone(&open.stream))
    }
}

impl StreamTable {
    /// Keeps a stream that ended for a client that lost its connection, and forgets older ones.
    fn note_ended(&mut self, stream: &EventStream) {
        if !stream.is_ended() || !self.streams.contains_key(&stream.number()) {
            return;
        }
        self.ended.push_back(stream.number());
        let kept = |table: &Self| -> usize {
            table
                .ended
                .iter()
                .filter_map(|number| table.streams.get(number))
                .map(|one| one.kept_bytes())
                .sum()
        };
        // The newest stays whatever its size: its client is about to read it.
        while self.ended.len() > 1 && (self.ended.len() > MAX_ENDED_STREAMS || kept(self) > MAX_ENDED_BYTES) {
            if let Some(oldest) = self.ended.pop_front() {
                self.streams.remove(&oldest);
            }
        }
    }
}

/// The end of a session's output: each line goes to its stream.
pub(super) struct RouterWriter {
    router: Arc<Router>,
    /// The beginning of a line whose end is still to come.
    unfinished: Vec<u8>,
}

impl RouterWriter {
    pub(super) const fn new(router: Arc<Router>) -> Self {
        Self { router, unfinished: Vec::new() }
    }
}

impl AsyncWrite for RouterWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(end) = piece.strip_suffix(b"\n") else {
                self.unfinished.extend_from_slice(piece);
                break;
            };
            if self.unfinished.is_empty() {
                self.router.route_line(end);
            } else {
                let mut line = std::mem::take(&mut self.unfinished);
                line.extend_from_slice(end);
                self.router.route_line(&line);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn key(text: &str) -> IdKey {
        IdKey::from_raw(&portero::json::parse_raw(text.to_owned()).unwrap()).unwrap()
    }

    fn request(id: &str, token: Option<&str>) -> RequestKey {
        RequestKey { id: key(id), progress_token: token.map(key) }
    }

    async fn texts(stream: &Arc<EventStream>) -> Vec<String> {
        stream.end();
        let (mut reader, mut texts) = (stream.read_after(Some(0)), Vec::new());
        while let Some(event) = reader.next_event().await {
            texts.push(String::from_utf8_lossy(&event.message).into_owned());
        }
        texts
    }

    #[tokio::test]
    async fn each_line_reaches_its_stream_in_whatever_pieces_it_is_written() {
        let router = Router::new(true, StreamLimits::default());
        let one = router.open_stream(&[request("1", Some("\"t\""))]).unwrap();
        let two = router.open_stream(&[request("\"1\"", None), request("2", None)]).unwrap();
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#;
        let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        let (first, batch) = (
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"[{"jsonrpc":"2.0","id":"1","result":{}},{"jsonrpc":"2.0","id":2,"result":{}}]"#,
        );
        let lines = format!("{progress}\n{changed}\n{first}\n{batch}\n");
        let mut writer = RouterWriter::new(Arc::clone(&router));
        for piece in lines.as_bytes().chunks(7) {
            writer.write_all(piece).await.unwrap();
        }
        assert!(one.is_ended() && two.is_ended() && !router.has_open_requests());
        assert_eq!(texts(&one).await, [progress, first]);
        assert_eq!(texts(&two).await, [batch]);
        assert_eq!(texts(router.own_stream()).await, [changed]);
    }

    #[tokio::test]
    async fn all_that_a_single_request_brings_comes_on_its_stream() {
        let router = Router::new(false, StreamLimits::default());
        let stream = router.open_stream(&[request("1", None)]).unwrap();
        let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        for line in [log, answer, log] {
            router.route_line(line.as_bytes());
        }
        assert_eq!(texts(&stream).await, [log, answer]);
    }

    #[test]
    fn an_id_is_open_once() {
        let router = Router::new(true, StreamLimits::default());
        let one = router.open_stream(&[request("1", None)]).unwrap();
        assert_eq!(router.open_stream(&[request("1", None)]).err(), Some(NotTaken::IdInUse));
        let twice = [request("2", None), request("2", None)];
        assert_eq!(router.open_stream(&twice).err(), Some(NotTaken::IdInUse));
        router.cancel_request(&key("1"));
        assert!(one.is_ended(), "no answer comes");
        assert!(router.open_stream(&[request("1", None)]).is_ok());
        let many: Vec<_> = (10..).take(MAX_OPEN_REQUESTS).map(|id| request(&id.to_string(), None)).collect();
        assert_eq!(router.open_stream(&many).err(), Some(NotTaken::TooMany));
        router.close();
        assert_eq!(router.open_stream(&[request("9", None)]).err(), Some(NotTaken::Ended));
    }

    #[test]
    fn few_ended_streams_are_kept() {
        let router = Router::new(true, StreamLimits::default());
        for id in 1..=100_u64 {
            router.open_stream(&[request(&id.to_string(), None)]).unwrap();
            router.route_line(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).as_bytes());
        }
        assert!(router.stream(100).is_some() && router.stream(85).is_some());
        assert!(router.stream(84).is_none());
        router.forget_stream(100);
        assert!(router.stream(100).is_none());
    }
}
