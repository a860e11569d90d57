//! A conversation with one child: sends requests and hands each answer to its caller.
//!
//! One task reads, one writes. An answer goes to the caller whose request has its id, and to no other. An
//! answer whose caller has left is dropped. [`RpcClient`] is the half that sends, and this the one that reads.
//!
//! An unusable answer fails the call that it was for at once, as far as that can be told. See
//! `PendingRequests::settle_unclaimed` for an answer that doesn't name its request. Any other line that is
//! no message is noise, such as a banner or a log line, and goes to the server's own log.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::value::RawValue;
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

use super::events::ServerEvents;
use super::handshake::{HandshakeResult, ProtocolEra};
use super::listen::ListenSubscription;
use super::lists::{self, ListFetcher, ListLimits};
use super::logs::ServerLog;
use super::param_headers::{ToolHeaders, header_values, read_param_headers};
use super::pending::RequestOutcome;
use super::rpc_client::RpcClient;
use super::{ListKind, ServerAnswer, ServerError, ServerListing};
use crate::anonymize::Real;
use crate::json::{self, RawJson, RawObject};
use crate::names::{ChildGeneration, ServerName};
use crate::policy::definition_pins::tool_definition_digest;
use crate::secret::Secret;
use crate::sync::lock;
use crate::wire::{self, LineError, LineReader, MalformedMessage, Message, MessageFault, MessageKind, codes};

/// A running conversation.
pub(super) struct Connection {
    pub(super) rpc: RpcClient,
    /// The process at its other end.
    pub(super) generation: ChildGeneration,
    pub(super) events: ServerEvents,
    pub(super) log: ServerLog,
    /// The result of the handshake; empty until it is done.
    pub(super) greeting: OnceLock<HandshakeResult>,
    /// The answer to `roots/list`; none if roots aren't declared.
    pub(super) roots: Option<RawJson>,
    /// The subscription to a modern server's notifications.
    pub(super) subscriptions: ListenSubscription,
    server_requests: RecentServerRequests,
    /// The tools of a server that was restarted after it ended by itself; none for its first start.
    restarted_tools: Option<RestartedTools>,
    /// What the listed tools of a server over HTTP want as headers; none for other servers.
    tool_headers: Option<ListedToolHeaders>,
    /// Why the server could not be reached at the last try, over HTTP.
    unreachable: Mutex<Option<String>>,
    ended: CancellationToken,
}

/// The headers that the tools of a server want, as far as it listed them.
#[derive(Debug, Default)]
struct ListedToolHeaders {
    /// How often the list became outdated.
    changes: AtomicU64,
    /// Of the last list, with [`ListedToolHeaders::changes`] before the server was asked.
    known: Mutex<Option<(u64, ToolHeaders)>>,
    /// Held while the server is asked, so that callers ask once.
    asking: tokio::sync::Mutex<()>,
}

impl ListedToolHeaders {
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn outdate(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn is_current(&self) -> bool {
        lock(&self.known).as_ref().is_some_and(|(changes, _)| *changes == self.changes())
    }
}

/// The tools that a restarted server lists.
#[derive(Debug, Default)]
struct RestartedTools {
    /// How often the server announced a change of its tools.
    changes: AtomicU64,
    /// Its last list. The lock is held while the server is asked, so that callers ask once.
    tools: tokio::sync::Mutex<Option<ListedTools>>,
}

/// The answer to one `tools/list`.
#[derive(Debug)]
struct ListedTools {
    /// [`RestartedTools::changes`] before the server was asked. If it has grown, this list is outdated.
    changes: u64,
    tools: HashMap<String, RawJson>,
}

/// What a restarted server says of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolCheck {
    /// It lists the tool, with the definition that the call was decided on if there is one.
    Fits,
    /// It lists no such tool.
    NotListed,
    /// It defines the tool otherwise.
    Redefined,
}

impl ListedTools {
    fn check_tool(&self, name: &str, definition: Option<&str>) -> ToolCheck {
        let Some(tool) = self.tools.get(name) else { return ToolCheck::NotListed };
        match definition {
            Some(decided) if tool_definition_digest(tool) != decided => ToolCheck::Redefined,
            Some(_) | None => ToolCheck::Fits,
        }
    }
}

impl RestartedTools {
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// The ids of the last requests that the server sent.
#[derive(Debug, Default)]
struct RecentServerRequests(Mutex<VecDeque<Box<str>>>);

/// How many of them are remembered.
const MAX_SERVER_REQUESTS: usize = 64;
/// The longest id that is remembered.
const MAX_ID_BYTES: usize = 256;

impl RecentServerRequests {
    fn record_id(&self, id: &RawValue) {
        if id.get().len() > MAX_ID_BYTES {
            return;
        }
        let mut ids = lock(&self.0);
        if ids.len() == MAX_SERVER_REQUESTS {
            ids.pop_front();
        }
        ids.push_back(id.get().into());
    }

    fn contains(&self, id: &RawValue) -> bool {
        lock(&self.0).iter().any(|known| **known == *id.get())
    }
}

impl Connection {
    pub(super) fn new(
        server: ServerName,
        events: ServerEvents,
        log: ServerLog,
        roots: Option<RawJson>,
        max_message_bytes: usize,
    ) -> Self {
        Self {
            rpc: RpcClient::new(server, max_message_bytes),
            generation: ChildGeneration::fresh(),
            events,
            log,
            greeting: OnceLock::new(),
            roots,
            subscriptions: ListenSubscription::default(),
            server_requests: RecentServerRequests::default(),
            restarted_tools: None,
            tool_headers: None,
            unreachable: Mutex::default(),
            ended: CancellationToken::new(),
        }
    }

    /// Marks the connection as one over HTTP, where a tool's arguments may be wanted as headers too.
    pub(super) fn over_http(self) -> Self {
        Self { tool_headers: Some(ListedToolHeaders::default()), ..self }
    }

    /// Asks a server over HTTP for its tools, unless it listed them since their last change: a call must carry the
    /// headers that its tool wants.
    pub(super) async fn learn_tool_headers(&self, limits: ListLimits) -> Result<(), ServerError> {
        let is_modern = self.greeting.get().is_some_and(|greeting| greeting.era == ProtocolEra::Modern);
        let Some(headers) = self.tool_headers.as_ref().filter(|_| is_modern) else { return Ok(()) };
        if headers.is_current() {
            return Ok(());
        }
        let _asking = headers.asking.lock().await;
        if headers.is_current() {
            return Ok(());
        }
        let changes = headers.changes();
        let tools = self.list_fetcher(limits).fetch_tools().await?;
        self.keep_tool_headers(changes, tools.values());
        Ok(())
    }

    /// Keeps what listed tools want as headers. A tool whose annotations are invalid is left out.
    fn keep_tool_headers<'a>(&self, changes: u64, tools: impl Iterator<Item = &'a RawJson>) {
        let Some(headers) = &self.tool_headers else { return };
        let mut wanted = ToolHeaders::new();
        for tool in tools {
            let name = RawObject::read(tool).unwrap_or_default().get_text("name").map(Cow::into_owned);
            if let (Some(name), Ok(found)) = (name, read_param_headers(tool))
                && !found.is_empty()
            {
                wanted.entry(name).or_insert(found);
            }
        }
        *lock(&headers.known) = Some((changes, wanted));
    }

    /// The headers `Mcp-Param-…` of a call of this tool, by the call's params.
    pub(super) fn param_headers(&self, tool: &str, params: Option<&RawValue>) -> Vec<(String, Secret)> {
        let Some(headers) = &self.tool_headers else { return Vec::new() };
        let known = lock(&headers.known);
        let wanted = known.as_ref().and_then(|(_, tools)| tools.get(tool));
        wanted.map_or_else(Vec::new, |wanted| header_values(wanted, params))
    }

    /// Has the next call ask for the tools again: the server found headers missing (`HeaderMismatch`, 2026-07-28).
    pub(super) fn outdate_tool_headers(&self) {
        if let Some(headers) = &self.tool_headers {
            headers.outdate();
        }
    }

    /// Leaves out the tools of a modern server over HTTP whose `x-mcp-header` is invalid, as the specification
    /// demands.
    fn drop_invalid_tools(&self, tools: &mut Vec<RawJson>) {
        let is_modern = self.greeting.get().is_some_and(|greeting| greeting.era == ProtocolEra::Modern);
        if self.tool_headers.is_none() || !is_modern {
            return;
        }
        tools.retain(|tool| {
            let Err(why) = read_param_headers(tool) else { return true };
            let name = RawObject::read(tool).unwrap_or_default().get_text("name").map(Cow::into_owned);
            let name = name.unwrap_or_default();
            self.log.log_line(&format!("(portero: the tool {name:?} is left out: {why})"));
            false
        });
    }

    /// Marks the connection as that of a restarted server, which may now be another version.
    pub(super) fn after_restart(self) -> Self {
        Self { restarted_tools: Some(RestartedTools::default()), ..self }
    }

    /// Whether the server may be called by this tool name, with the definition that the call was decided on. A restarted
    /// server is asked which tools it lists now, and again after each change that it announces. The listing of the
    /// ended process doesn't count.
    pub(super) async fn check_tool(
        &self,
        name: &str,
        definition: Option<&str>,
        limits: ListLimits,
    ) -> Result<ToolCheck, ServerError> {
        let Some(relisted) = &self.restarted_tools else { return Ok(ToolCheck::Fits) };
        let mut tools = relisted.tools.lock().await;
        // Read before the server is asked: a change that arrives in between makes the new list outdated, and
        // the next caller asks again.
        let changes = relisted.changes();
        if let Some(listed) = tools.as_ref().filter(|listed| listed.changes == changes) {
            return Ok(listed.check_tool(name, definition));
        }
        let listed = ListedTools { changes, tools: self.list_fetcher(limits).fetch_tools().await? };
        let check = listed.check_tool(name, definition);
        *tools = Some(listed);
        Ok(check)
    }

    /// Everything that the server offers. From now on [`Self::check_tool`] goes by these tools.
    pub(super) async fn fetch_listing(&self, limits: ListLimits) -> Result<ServerListing, ServerError> {
        let changes = self.restarted_tools.as_ref().map(RestartedTools::changes);
        let header_changes = self.tool_headers.as_ref().map(ListedToolHeaders::changes);
        let mut listing = self.list_fetcher(limits).fetch_listing().await?;
        self.drop_invalid_tools(&mut listing.tools);
        if let Some(changes) = header_changes {
            self.keep_tool_headers(changes, listing.tools.iter());
        }
        if let (Some(relisted), Some(changes)) = (&self.restarted_tools, changes) {
            let tools = lists::listed_tools(&listing.tools);
            *relisted.tools.lock().await = Some(ListedTools { changes, tools });
        }
        Ok(listing)
    }

    fn list_fetcher(&self, limits: ListLimits) -> ListFetcher<'_> {
        ListFetcher { rpc: &self.rpc, handshake: self.greeting.get(), events: &self.events, limits }
    }

    /// Notes whether the server could be reached at the last try: none, or why not.
    pub(super) fn note_reached(&self, unreachable: Option<String>) {
        *lock(&self.unreachable) = unreachable;
    }

    /// Why the server could not be reached at the last try; none if it was.
    pub(super) fn unreachable(&self) -> Option<String> {
        lock(&self.unreachable).clone()
    }

    /// Whether nothing more comes from the child.
    pub(super) fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until nothing more comes from the child.
    pub(super) async fn wait_until_closed(&self) {
        self.ended.cancelled().await;
    }

    /// Reads stdout to its end, then fails every open request.
    pub(super) async fn read_stdout(&self, stdout: impl AsyncRead + Unpin) {
        let mut lines = LineReader::new(stdout, self.rpc.max_message_bytes);
        loop {
            match lines.next_line().await {
                Ok(Some(line)) => self.handle_line(line),
                Err(LineError::TooLong { head, tail, .. }) => self.handle_too_long(&head, &tail),
                Ok(None) | Err(LineError::Read(_)) => break,
            }
        }
        self.close();
    }

    /// Fails every open request and accepts no more.
    pub(super) fn close(&self) {
        self.rpc.close();
        self.ended.cancel();
    }

    /// Takes one line of the server: a message, or noise.
    pub(super) fn handle_line(&self, line: &[u8]) {
        match Message::parse(line) {
            Ok(message) => self.dispatch_message(message.into_kind()),
            Err(MalformedMessage { fault: MessageFault::NotUtf8, .. }) => {
                // Read leniently, like other clients do, because most of the line is usable.
                match Message::parse(wire::decode_text(line).as_bytes()) {
                    Ok(message) => self.dispatch_message(message.into_kind()),
                    Err(_) => self.fail_salvaged(line, MessageFault::NotUtf8),
                }
            }
            Err(MalformedMessage { fault: MessageFault::Batch, .. }) => {
                for message in wire::parse_batch(line).unwrap_or_default() {
                    match Message::from_value(message) {
                        Ok(message) => self.dispatch_message(message.into_kind()),
                        Err(malformed) => self.fail_salvaged(message.get().as_bytes(), malformed.fault),
                    }
                }
            }
            Err(malformed) => self.fail_salvaged(line, malformed.fault),
        }
    }

    /// Fails the calls that an unreadable line was meant to answer.
    fn fail_salvaged(&self, line: &[u8], fault: MessageFault) {
        self.log.log_junk(line, &fault);
        // Some servers answer a notification that they don't know. Such an answer says nothing about any call.
        if wire::is_response_without_id(line) && self.rpc.pending.take_notification() {
            return;
        }
        let found = wire::salvage_messages(line);
        let why = if found.len() > 1 { "two messages are on one line".to_owned() } else { fault.to_string() };
        for answer in found.iter().filter(|message| message.is_response) {
            self.settle_malformed(answer.id().as_deref(), why.clone());
        }
    }

    /// Fails the call whose answer is unusable. A number without an open request is a late answer and is
    /// dropped. An answer with any other id, or none, was meant for one of the open requests.
    fn settle_malformed(&self, id: Option<&RawValue>, why: String) {
        match id.and_then(wire::id_as_u64) {
            Some(id) => self.rpc.pending.settle_request(id, || RequestOutcome::Malformed(why)),
            None => self.rpc.pending.settle_unclaimed(why),
        }
    }

    /// Fails the request whose answer is too long; all open ones if the answer's id can't be found.
    fn handle_too_long(&self, head: &[u8], tail: &[u8]) {
        match wire::salvage_overlong_id(head, tail).as_deref().and_then(wire::id_as_u64) {
            Some(id) => self.rpc.pending.settle_request(id, || RequestOutcome::TooLong),
            None => self.rpc.pending.settle_all_too_long(),
        }
        self.log.log_junk(b"", &format_args!("a message of more than {} bytes", self.rpc.max_message_bytes));
    }

    fn dispatch_message(&self, message: MessageKind<'_>) {
        match message {
            MessageKind::Response { id, outcome } => self.handle_response(id, outcome),
            MessageKind::Notification { method, params } => self.handle_notification(&method, params),
            MessageKind::Request { id, method, .. } => self.answer_server_request(id, &method),
        }
    }

    fn handle_response(&self, id: &RawValue, outcome: Result<&RawValue, &RawValue>) {
        // A plain number is by far the most frequent, and parses fastest.
        let number = id.get().parse().ok().or_else(|| wire::id_as_u64(id));
        let usable = wire::check_outcome(outcome);
        let (Some(number), Ok(())) = (number, usable) else {
            let why = usable.err().unwrap_or("its `id` is that of no request");
            self.log.log_junk(b"", &why);
            return self.settle_malformed(Some(id), why.to_owned());
        };
        self.rpc.pending.settle_request(number, || {
            RequestOutcome::Answer(match outcome {
                Ok(result) => ServerAnswer::Result(Real::from_server(result.to_owned())),
                Err(error) => ServerAnswer::Error(Real::from_server(error.to_owned())),
            })
        });
    }

    fn handle_notification(&self, method: &str, params: Option<&RawValue>) {
        let own = || params.map_or_else(|| json::serialize_raw(&RawObject::default()), ToOwned::to_owned);
        match method {
            "notifications/progress" => self.handle_progress(params),
            "notifications/cancelled" => self.handle_cancelled(params),
            "notifications/message" => {
                self.events.forward_log(|| Real::from_server(own()));
            }
            "notifications/resources/updated" => {
                self.events.forward_update(Real::from_server(own()));
            }
            // Counted before it is announced, so that the cached list is outdated by the time the owner asks.
            "notifications/tools/list_changed" => {
                if let Some(relisted) = &self.restarted_tools {
                    relisted.changes.fetch_add(1, Ordering::AcqRel);
                }
                self.outdate_tool_headers();
                self.events.record_list_change(ListKind::Tools);
            }
            "notifications/resources/list_changed" => self.events.record_list_change(ListKind::Resources),
            "notifications/prompts/list_changed" => self.events.record_list_change(ListKind::Prompts),
            _ => {}
        }
    }

    /// Reports progress. It happens here, in the reading task, so that progress precedes an answer on the next
    /// line.
    fn handle_progress(&self, params: Option<&RawValue>) {
        let Some(params) = params else { return };
        let token =
            RawObject::read(params).ok().and_then(|object| object.get("progressToken")?.get().parse().ok());
        let sink = token.and_then(|token: u64| self.rpc.pending.extend_deadline(token));
        if let Some(sink) = sink {
            sink(Real::from_server(params.to_owned()));
        }
    }

    /// A server that cancels our request won't answer it. But an id of the server's own requests may be meant,
    /// which by chance is the same number; those were answered at once.
    fn handle_cancelled(&self, params: Option<&RawValue>) {
        let id = params.and_then(|params| RawObject::read(params).ok()?.get("requestId"));
        let Some(id) = id.filter(|id| !self.server_requests.contains(id)) else { return };
        if let Some(id) = wire::id_as_u64(id) {
            self.rpc
                .pending
                .settle_request(id, || RequestOutcome::Malformed("it cancelled the request".to_owned()));
        }
    }

    /// Answers a request of the child. Portero declares only roots, so it serves `ping` and `roots/list`.
    fn answer_server_request(&self, id: &RawValue, method: &str) {
        self.server_requests.record_id(id);
        let roots = self.roots.as_deref().filter(|_| method == "roots/list");
        self.rpc.stdin_queue.push_if_room(|out| match (method, roots) {
            ("ping", _) => wire::write_result(out, id, &json::serialize_raw(&RawObject::default())),
            (_, Some(roots)) => wire::write_result(out, id, roots),
            (_, None) => {
                let error = wire::answer_error_object(
                    codes::METHOD_NOT_FOUND,
                    "this client does not offer that",
                    None,
                );
                wire::write_error(out, id, &error);
            }
        });
    }
}

/// The answer to `roots/list`.
pub(super) fn roots_result(paths: &[std::path::PathBuf]) -> RawJson {
    #[derive(serde::Serialize)]
    struct RootsResult {
        roots: Vec<Root>,
    }
    #[derive(serde::Serialize)]
    struct Root {
        uri: String,
    }
    json::serialize_raw(&RootsResult {
        roots: paths.iter().map(|path| Root { uri: file_uri(path) }).collect(),
    })
}

/// A path as a `file:` URI (RFC 8089).
fn file_uri(path: &std::path::Path) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const UNESCAPED_IN_URI: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');
    let path = path.to_string_lossy();
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.into_owned() };
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("file://{slash}{}", utf8_percent_encode(&path, UNESCAPED_IN_URI))
}

/// Shares a connection between its tasks and its callers.
pub(super) type SharedConnection = Arc<Connection>;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn roots_are_file_uris() {
        let roots = roots_result(&["/home/a b".into(), "/tmp/ü".into()]);
        assert_eq!(roots.get(), r#"{"roots":[{"uri":"file:///home/a%20b"},{"uri":"file:///tmp/%C3%BC"}]}"#);
    }
}
