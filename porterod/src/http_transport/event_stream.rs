//! Reads a stream of server-sent events, with a limit for each event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use sse_stream::{Sse, SseByteStream};

/// The shortest pause before a stream is opened again, whatever the server asks for. With none it would be opened
/// thousands of times a second while the server is away.
const MIN_RETRY: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
/// The longest pause that a server may ask for.
const MAX_RETRY: Duration = Duration::from_secs(30);
/// The pause if it asks for none.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

/// The events of one response.
pub(super) struct EventStream {
    events: std::pin::Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
    /// The bytes that came since the last event.
    unread: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// Where a broken stream goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamPosition {
    /// The id of the last event that had one.
    pub(super) last_event_id: Option<String>,
    /// The pause that the server asked for.
    retry: Option<Duration>,
}

/// The next thing of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamItem {
    /// An event: its type if it has one, and its data.
    Event(Option<String>, String),
    /// An event is longer than allowed.
    TooLong,
    /// The stream ended or broke.
    End,
}

impl StreamPosition {
    /// The pause before the stream is opened again, after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let first = self.retry.unwrap_or(DEFAULT_RETRY);
        first.saturating_mul(1 << failures.min(5)).min(MAX_RETRY)
    }
}

/// Whether a response is a stream of events.
pub(super) fn is_event_stream(response: &Response) -> bool {
    let content = response.headers().get(CONTENT_TYPE).and_then(|content| content.to_str().ok());
    content.is_some_and(|content| media_type(content).eq_ignore_ascii_case("text/event-stream"))
}

/// The media type without its parameters.
pub(super) fn media_type(content: &str) -> &str {
    content.split(';').next().unwrap_or_default().trim()
}

impl EventStream {
    /// The events of `response`, each of at most `max_bytes`.
    pub(super) fn new(response: Response, max_bytes: usize) -> Self {
        let unread = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&unread);
        // The parser keeps an event until it is whole. So the bytes are counted before it gets them.
        let chunks = stream::unfold(Some(response), move |response| {
            let counter = Arc::clone(&counter);
            async move {
                let mut response = response?;
                match response.chunk().await {
                    Ok(Some(chunk)) => {
                        let unread = counter.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
                        if unread > max_bytes {
                            return Some((Err(std::io::Error::other("too long")), None));
                        }
                        Some((Ok(chunk), Some(response)))
                    }
                    Ok(None) => None,
                    Err(_) => Some((Err(std::io::Error::other("broken")), None)),
                }
            }
        });
        Self { events: Box::pin(SseByteStream::new(Box::pin(chunks))), unread, max_bytes }
    }

    /// The next event with data, and the position after it.
    pub(super) async fn next_item(&mut self, position: &mut StreamPosition) -> StreamItem {
        loop {
            let Some(Ok(Sse { event, data, id, retry })) = self.events.next().await else {
                let unread = self.unread.load(Ordering::Relaxed);
                return if unread > self.max_bytes { StreamItem::TooLong } else { StreamItem::End };
            };
            self.unread.store(0, Ordering::Relaxed);
            if let Some(id) = id {
                // An empty id forgets the position (HTML standard, 9.2.6).
                // One that is no value of a header can't be asked for again.
                let is_usable =
                    |id: &String| !id.is_empty() && HeaderValue::from_bytes(id.as_bytes()).is_ok();
                position.last_event_id = Some(id).filter(is_usable);
            }
            if let Some(retry) = retry {
                position.retry = Some(Duration::from_millis(retry).clamp(MIN_RETRY, MAX_RETRY));
            }
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                return StreamItem::Event(event, data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The position after a stream with this text.
    async fn position_after(text: &'static str) -> StreamPosition {
        let response = hyper::Response::builder().body(text).expect("a response");
        let mut position = StreamPosition::default();
        let mut stream = EventStream::new(Response::from(response), 1_000);
        while stream.next_item(&mut position).await != StreamItem::End {}
        position
    }

    #[tokio::test]
    async fn a_server_that_asks_for_no_pause_gets_one_that_doubles() {
        let position = position_after("retry: 0\ndata: x\n\n").await;
        assert_eq!(position.pause(0), MIN_RETRY);
        assert_eq!(position.pause(3), MIN_RETRY * 8);
        let position = position_after("retry: 86400000\ndata: x\n\n").await;
        assert_eq!(position.pause(0), MAX_RETRY);
    }

    #[tokio::test]
    async fn a_position_that_no_header_can_name_is_none() {
        let id_after = async |text| position_after(text).await.last_event_id;
        assert_eq!(id_after("id: e1\ndata: x\n\n").await.as_deref(), Some("e1"));
        assert_eq!(id_after("id: é\ndata: x\n\n").await.as_deref(), Some("é"));
        assert_eq!(id_after("id: e1\ndata: x\n\nid: a\u{1}b\ndata: y\n\n").await, None);
    }
}
