//! The client of the daemon: many concurrent requests on one connection.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use interprocess::local_socket::ConnectOptions;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::challenge::{Challenge, GivenPassphrase};
use super::failure::{DaemonFailure, FailureKind};
use super::frame::{
    FrameError, FrameReader, GREETING_TIMEOUT, MAX_FRAME_BYTES, MAX_GREETING_BYTES, SendError, encode_frame,
};
use super::message_sender::{ConnectionEnd, MessageSender};
use super::messages::{
    FromDaemon, Hello, MAX_OPEN_REQUESTS, PROTOCOL_VERSION, PushMessage, ToDaemon, Welcome,
};
use super::request::{RawRequest, Request, WipedJson, opens_authenticator, proof_input};
use super::requests::auth::GetPassphraseSalt;
use super::requests::sessions::ForwardCall;
use super::{PeerProcess, address, stream};
use crate::anonymize::Fake;
use crate::json::RawJson;
use crate::names::ServerName;
use crate::passphrase::{self, DerivedPassphrase, KdfParams};
use crate::secret::Secret;
use crate::store_identity::{Nonce, StoreId, Transcript};

/// How many pushes may wait for their reader.
const MAX_QUEUED_PUSHES: usize = 256;

/// Receives the concealed `params` of `notifications/progress` for one forwarded call, in order.
pub type ForwardProgressSink = Arc<dyn Fn(Fake<RawJson>) + Send + Sync>;

/// Receives a notification of a shared server: server, method, concealed `params`. A notification that
/// precedes an answer is delivered before that answer. It must not block.
pub type NotificationSink = Arc<dyn Fn(ServerName, &str, Option<Fake<RawJson>>) + Send + Sync>;

/// A connection to the daemon. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct IpcClient {
    shared: Arc<ClientState>,
}

#[derive(Debug)]
struct ClientState {
    /// The listening process, as the system reports it.
    peer: Option<u32>,
    /// What both ends said at the beginning.
    transcript: Transcript,
    outbox: MessageSender,
    questions: Arc<UnansweredRequests>,
    sink: Arc<NotificationSinkSlot>,
    /// Room for as many requests as the daemon accepts. Another one waits.
    room: Semaphore,
    next_number: AtomicU64,
}

/// The sink for notifications, once it is set.
#[derive(Default)]
struct NotificationSinkSlot(OnceLock<NotificationSink>);

impl std::fmt::Debug for NotificationSinkSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotificationSinkSlot").finish_non_exhaustive()
    }
}

/// The requests without a response; `None` once the connection is closed.
#[derive(Default)]
struct UnansweredRequests(Mutex<Option<HashMap<u64, UnansweredRequest>>>);

struct UnansweredRequest {
    respond: oneshot::Sender<Result<WipedJson, DaemonFailure>>,
    progress: Option<ForwardProgressSink>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No process listens.
    #[error("no daemon listens on the socket")]
    Absent(#[source] io::Error),
    /// The listener belongs to another user.
    #[error("the socket belongs to another user; nothing was sent to it")]
    Impostor,
    /// The daemon keeps another store than the configuration names, or can't prove that it keeps that one.
    #[error(
        "{0} listens on the socket and cannot show that it keeps the store which this configuration names; nothing is \
         believed of it"
    )]
    OtherStore(PeerProcess),
    /// The answering process is the user's own, but isn't the daemon's program, or isn't the one that listens.
    #[error("{0} answers on the socket, and is not the daemon; nothing is believed of it")]
    Foreign(PeerProcess),
    /// The daemon refused, for its version or configuration directory.
    #[error("{failure}")]
    Refused {
        /// The reason, in its words.
        failure: DaemonFailure,
        /// The listening process, as the system reports it.
        peer: Option<u32>,
    },
    /// It accepted the connection, but didn't answer like a daemon.
    #[error("the daemon does not answer as expected: {0}")]
    Broken(String),
}

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The daemon refused the request.
    #[error("{0}")]
    Refused(DaemonFailure),
    /// The connection was lost after the request was queued. It is unknown whether the daemon acted.
    #[error("the connection to the daemon is closed: {0}")]
    Closed(String),
    /// The request couldn't be sent, or the connection was already lost. Nothing was sent.
    #[error("{0}")]
    Unsent(SendError),
    /// The response doesn't fit the request. The daemon acted.
    #[error("the daemon's response to {method} can't be read: {why}")]
    Unreadable {
        /// The request's method.
        method: &'static str,
        /// The problem with it.
        why: String,
    },
}

/// The state of the socket.
#[derive(Debug)]
pub enum ProbeResult {
    /// A daemon that we can talk to listens.
    Ready(Welcome),
    /// A daemon of another version or configuration directory listens.
    NeedsRestart(DaemonFailure),
    /// No daemon listens.
    Unreachable(ConnectError),
}

impl IpcClient {
    /// Connects, introduces this program, and waits for the daemon's welcome. If `store` is named, the daemon
    /// must prove that it keeps that store. Pushes arrive through the receiver, and if it isn't emptied the
    /// connection closes. Notifications go to the sink of [`IpcClient::set_notification_sink`].
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        socket: &Path,
        hello: Hello,
        store: Option<&StoreId>,
    ) -> Result<(Self, mpsc::Receiver<PushMessage>, Welcome), ConnectError> {
        let hello = Hello { nonce: Nonce::fresh(), ..hello };
        let greeting = greet_daemon(socket, &hello);
        let (mut frames, write, welcome, peer) = tokio::time::timeout(GREETING_TIMEOUT, greeting)
            .await
            .unwrap_or_else(|_| Err(ConnectError::Broken("it took too long".to_owned())))?;
        let transcript = welcome.transcript(&hello);
        // Checked before anything else is sent or believed.
        if !proves_store(&welcome, &transcript, peer, store) {
            return Err(ConnectError::OtherStore(PeerProcess::from_pid(peer)));
        }
        frames.set_max_length(MAX_FRAME_BYTES);
        let outbox = MessageSender::start(write, ConnectionEnd::default());
        let open = Arc::new(UnansweredRequests(Mutex::new(Some(HashMap::new()))));
        let (push, pushes) = mpsc::channel(MAX_QUEUED_PUSHES);
        let hearing = Arc::<NotificationSinkSlot>::default();
        let reader = ClientReader {
            open: Arc::clone(&open),
            hearing: Arc::clone(&hearing),
            closing: outbox.connection_end().clone(),
            push,
        };
        tokio::spawn(reader.read_frames(frames));
        let shared = Arc::new(ClientState {
            peer,
            transcript,
            outbox,
            questions: open,
            sink: hearing,
            room: Semaphore::new(MAX_OPEN_REQUESTS),
            next_number: AtomicU64::new(1),
        });
        Ok((Self { shared }, pushes, welcome))
    }

    /// Sets the sink for notifications of shared servers. Earlier ones are lost, and the first sink stays.
    pub fn set_notification_sink(&self, sink: NotificationSink) {
        let _ = self.shared.sink.0.set(sink);
    }

    /// Sends a request, with a proof in place of a typed passphrase. Dropping the future withdraws the
    /// request.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request<R: Request>(&self, request: R) -> Result<R::Response, RequestError> {
        let mut request = request;
        self.prove_passphrase(&mut request).await?;
        self.send_request(&request, None).await
    }

    /// Lets the daemon run a call. All progress reaches `progress` before the response. Dropping the future
    /// withdraws the request, which cancels the call.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn forward(
        &self,
        call: &ForwardCall,
        progress: Option<ForwardProgressSink>,
    ) -> Result<<ForwardCall as Request>::Response, RequestError> {
        self.send_request(call, progress).await
    }

    /// Replaces a typed passphrase by a proof. The derivation takes a while and runs on another thread.
    async fn prove_passphrase<R: Request>(&self, request: &mut R) -> Result<(), RequestError> {
        if let Some(new) = request.new_passphrase_mut()
            && let Some(typed) = new.typed_passphrase()
        {
            if typed.expose().chars().count() < passphrase::MIN_PASSPHRASE_LENGTH {
                let short = format!(
                    "the passphrase must have at least {} characters",
                    passphrase::MIN_PASSPHRASE_LENGTH
                );
                return Err(RequestError::Refused(DaemonFailure::new(FailureKind::Invalid, short)));
            }
            let salted = KdfParams::fresh();
            let derived = derive_in_background(typed, salted.clone()).await?;
            let key = derived.key_for(&salted).ok_or_else(underivable)?;
            new.set_verifier(key.verifier(salted.clone()), key.sealing_key());
        }
        let Some(given) = request.challenge_mut().and_then(|challenge| challenge.given_passphrase()) else {
            return Ok(());
        };
        // No passphrase is set, or this is no terminal. The daemon refuses the request itself then, and
        // records that.
        let Some(salted) = self.fetch_kdf_params().await? else { return Ok(()) };
        let derived = match given {
            GivenPassphrase::Typed(typed) => derive_in_background(typed, salted.clone()).await?,
            GivenPassphrase::Derived(derived) => derived,
        };
        let Some(key) = derived.key_for(&salted) else {
            let changed = "another approval passphrase was set since this one was typed";
            return Err(RequestError::Refused(DaemonFailure::new(FailureKind::Challenge, changed)));
        };
        let unsaid = |error: serde_json::Error| RequestError::Unsent(SendError::NotJson(error.to_string()));
        let input = proof_input(request, &self.shared.transcript).map_err(unsaid)?;
        let opens = opens_authenticator(request).then(|| key.sealing_key());
        if let Some(challenge) = request.challenge_mut() {
            challenge.set_proof(key.sign_act(&input), opens);
        }
        Ok(())
    }

    /// Returns a challenge that proves several requests one by one. It holds the derived keys in place of the passphrase
    /// of `typed`. Each clone proves the request that it is part of, and no other. `typed` itself is returned where no
    /// passphrase is set: the daemon refuses it then.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn derive_challenge(&self, typed: Challenge) -> Result<Challenge, RequestError> {
        let Some(passphrase) = typed.typed_passphrase() else { return Ok(typed) };
        let Some(salted) = self.fetch_kdf_params().await? else { return Ok(typed) };
        let mut derived = Challenge::with_derived(derive_in_background(passphrase, salted).await?);
        derived.code.clone_from(&typed.code);
        Ok(derived)
    }

    /// How the daemon has the passphrase derived; none where it asks for no proof.
    async fn fetch_kdf_params(&self) -> Result<Option<KdfParams>, RequestError> {
        let salted = match self.send_request(&GetPassphraseSalt, None).await {
            Ok(Some(salted)) => salted,
            Ok(None) | Err(RequestError::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A false daemon could ask for a cheap derivation, to guess the passphrase from the proof.
        if !salted.is_acceptable() {
            let weak = "the daemon would have the passphrase derived with less work than protects it; nothing was sent";
            return Err(RequestError::Refused(DaemonFailure::new(FailureKind::Challenge, weak)));
        }
        Ok(Some(salted))
    }

    async fn send_request<R: Request>(
        &self,
        request: &R,
        progress: Option<ForwardProgressSink>,
    ) -> Result<R::Response, RequestError> {
        let ClientState { outbox, questions: open, room, next_number: next, .. } = &*self.shared;
        let room = tokio::select! {
            room = room.acquire() => room,
            _ = outbox.connection_end().wait_until_closed() => return Err(RequestError::Unsent(SendError::Closed)),
        };
        // The semaphore is never closed. The permit is returned after a withdrawal was queued.
        let _room = room.map_err(|_| self.closed_error())?;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let (respond, response) = oneshot::channel();
        if !open.add(number, UnansweredRequest { respond, progress }) {
            return Err(RequestError::Unsent(SendError::Closed));
        }
        // If a send is dropped halfway, the request may be queued. So the withdrawal is armed before it.
        let mut withdrawal = QuestionWithdrawal { number, open, outbox, sent: true };
        let message = match WipedJson::new(request) {
            Ok(params) => {
                ToDaemon::Request { number, request: RawRequest { method: R::METHOD.to_owned(), params } }
            }
            Err(error) => {
                withdrawal.sent = false;
                return Err(RequestError::Unsent(SendError::NotJson(error.to_string())));
            }
        };
        match outbox.send(&message).await {
            Ok(()) => {}
            // A message that couldn't be queued never leaves.
            Err(error) => {
                withdrawal.sent = false;
                return Err(RequestError::Unsent(error));
            }
        }
        match response.await {
            Ok(Ok(response)) => serde_json::from_str(response.get())
                .map_err(|error| RequestError::Unreadable { method: R::METHOD, why: error.to_string() }),
            Ok(Err(failure)) => Err(RequestError::Refused(failure)),
            Err(_) => Err(self.closed_error()),
        }
    }

    /// Tells the daemon that this session now decides by this epoch.
    ///
    /// # Errors
    /// [`RequestError::Closed`]
    pub async fn report_epoch(&self, epoch: u64) -> Result<(), RequestError> {
        self.shared.outbox.send(&ToDaemon::Follows { epoch }).await.map_err(|_| self.closed_error())
    }

    /// The listening process, as the system reports it and not as it claims.
    #[must_use]
    pub fn peer_pid(&self) -> Option<u32> {
        self.shared.peer
    }

    /// Returns the reason once the connection is closed.
    pub async fn wait_until_closed(&self) -> String {
        self.shared.outbox.connection_end().wait_until_closed().await
    }

    /// Whether the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.outbox.connection_end().is_closed()
    }

    fn closed_error(&self) -> RequestError {
        RequestError::Closed(self.shared.outbox.connection_end().reason())
    }
}

async fn derive_in_background(
    typed: Secret,
    salted: KdfParams,
) -> Result<Arc<DerivedPassphrase>, RequestError> {
    let derived = tokio::task::spawn_blocking(move || DerivedPassphrase::new(&typed, salted)).await;
    derived.ok().flatten().map(Arc::new).ok_or_else(underivable)
}

fn underivable() -> RequestError {
    RequestError::Refused(DaemonFailure::new(FailureKind::Internal, "the passphrase could not be derived"))
}

impl Drop for ClientState {
    fn drop(&mut self) {
        self.outbox.connection_end().close("it is no longer needed");
    }
}

/// Checks what listens on the socket, and hangs up.
pub async fn probe_daemon(socket: &Path, hello: Hello, store: Option<&StoreId>) -> ProbeResult {
    ProbeResult::from_connect(IpcClient::connect(socket, hello, store).await.map(|(_, _, welcome)| welcome))
}

impl ProbeResult {
    /// The result of an attempt to connect.
    #[must_use]
    pub fn from_connect(connected: Result<Welcome, ConnectError>) -> Self {
        match connected {
            Ok(welcome) => Self::Ready(welcome),
            Err(ConnectError::Refused { failure, peer: _ }) => Self::NeedsRestart(failure),
            Err(error) => Self::Unreachable(error),
        }
    }
}

/// Whether the daemon signed this very handshake with the expected store's key. A relayed signature names
/// another process than the one that listens.
fn proves_store(
    welcome: &Welcome,
    transcript: &Transcript,
    peer: Option<u32>,
    store: Option<&StoreId>,
) -> bool {
    store.is_none_or(|store| *store == welcome.store)
        && peer.is_none_or(|peer| peer == welcome.pid)
        && welcome.protocol == PROTOCOL_VERSION
        && welcome.store.verify_signature(transcript, &welcome.signature)
}

type ClientHandshake = (FrameReader<stream::PeerReader>, stream::PeerWriter, Welcome, Option<u32>);

async fn greet_daemon(socket: &Path, hello: &Hello) -> Result<ClientHandshake, ConnectError> {
    let broken = |error: &dyn std::fmt::Display| ConnectError::Broken(error.to_string());
    let name = address::socket_name(socket).map_err(|error| broken(&error))?;
    let stream =
        ConnectOptions::new().name(name).connect_tokio().await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectError::Absent(error),
            _ => broken(&error),
        })?;
    let Some(peer) = stream::same_user_peer(&stream).ok().flatten() else {
        return Err(ConnectError::Impostor);
    };
    let (read, mut write) = stream::split_stream(stream, peer).map_err(|error| broken(&error))?;
    let peer = peer.pid;
    let mut frames = FrameReader::new(read, MAX_GREETING_BYTES);
    let hello = encode_frame(hello).map_err(|error| ConnectError::Broken(format!("{error:?}")))?;
    let sent = write.write_all(&hello).await;
    // A busy daemon refuses before it reads. Its answer tells more than our failed write.
    let answer = match frames.next_frame().await {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            return Err(broken(&sent.err().map_or("it hung up".to_owned(), |error| error.to_string())));
        }
        Err(FrameError::Foreign(writer)) => {
            return Err(ConnectError::Foreign(PeerProcess::from_pid(Some(writer))));
        }
        Err(error) => return Err(broken(&error)),
    };
    match serde_json::from_slice::<Result<Welcome, DaemonFailure>>(answer.as_ref()) {
        Ok(Ok(welcome)) => Ok((frames, write, welcome, peer)),
        Ok(Err(failure)) => Err(ConnectError::Refused { failure, peer }),
        Err(_) => Err(ConnectError::Refused {
            failure: DaemonFailure::new(
                FailureKind::Version,
                "the daemon speaks another protocol than this program",
            )
            .with_hint("restart it: portero daemon stop, then run this again"),
            peer,
        }),
    }
}

impl UnansweredRequests {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, UnansweredRequest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request. Returns false if the connection is closed.
    fn add(&self, number: u64, request: UnansweredRequest) -> bool {
        match &mut *self.lock() {
            Some(open) => {
                open.insert(number, request);
                true
            }
            None => false,
        }
    }

    fn take(&self, number: u64) -> Option<UnansweredRequest> {
        self.lock().as_mut()?.remove(&number)
    }

    fn progress(&self, number: u64) -> Option<ForwardProgressSink> {
        self.lock().as_ref()?.get(&number)?.progress.clone()
    }

    fn close(&self) {
        self.lock().take();
    }
}

impl std::fmt::Debug for UnansweredRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnansweredRequests").finish_non_exhaustive()
    }
}

/// Withdraws a request if its future is dropped before the answer.
struct QuestionWithdrawal<'a> {
    number: u64,
    open: &'a UnansweredRequests,
    outbox: &'a MessageSender,
    sent: bool,
}

impl Drop for QuestionWithdrawal<'_> {
    fn drop(&mut self) {
        let unanswered = self.open.take(self.number).is_some();
        if unanswered && self.sent {
            let withdraw = ToDaemon::Withdraw { number: self.number };
            // A full queue would lose the withdrawal, and the daemon would go on with a call that no caller
            // waits for.
            if self.outbox.try_send(&withdraw) == Err(SendError::Full) {
                self.outbox.connection_end().close("the daemon does not read fast enough");
            }
        }
    }
}

/// Hands each message of the daemon to its request or reader.
struct ClientReader {
    open: Arc<UnansweredRequests>,
    hearing: Arc<NotificationSinkSlot>,
    closing: ConnectionEnd,
    push: mpsc::Sender<PushMessage>,
}

impl ClientReader {
    async fn read_frames(self, mut frames: FrameReader<stream::PeerReader>) {
        let reason = loop {
            let read = tokio::select! {
                read = frames.next_frame() => read,
                reason = self.closing.wait_until_closed() => break reason,
            };
            let frame = match read {
                Ok(Some(frame)) => frame,
                Ok(None) => break "the daemon hung up".to_owned(),
                Err(error) => break error.to_string(),
            };
            let message = match serde_json::from_slice(frame.as_ref()) {
                Ok(message) => message,
                Err(error) => break format!("the daemon sent what is no message: {error}"),
            };
            if let Err(reason) = self.handle_message(message) {
                break reason;
            }
        };
        self.closing.close(reason);
        // The reason is set first, because callers read it when their channel closes.
        self.open.close();
    }

    fn handle_message(&self, message: FromDaemon) -> Result<(), String> {
        match message {
            FromDaemon::Response { number, result } => {
                // The caller may have dropped its future; then the response has no reader.
                if let Some(request) = self.open.take(number) {
                    let _ = request.respond.send(result);
                }
            }
            FromDaemon::Push(PushMessage::Progress { number, params }) => {
                if let Some(progress) = self.open.progress(number) {
                    progress(params);
                }
            }
            FromDaemon::Push(PushMessage::Notification { server, method, params }) => {
                if let Some(hear) = self.hearing.0.get() {
                    hear(server, &method, params);
                }
            }
            FromDaemon::Push(push) => match self.push.try_send(push) {
                Err(mpsc::error::TrySendError::Full(_)) => {
                    return Err("the daemon's pushes were not followed".to_owned());
                }
                // A caller that dropped the receiver doesn't want pushes.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            },
            FromDaemon::Closing(failure) => return Err(failure.message),
        }
        Ok(())
    }
}
