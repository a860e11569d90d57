//! One server and its life: started when it is needed, watched, ended, and started again after a pause.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backoff::Backoff;
use super::calls;
use super::connection::{self, Connection};
use super::events::{Events, Hearing};
use super::handshake::{self, Era, Refusal};
use super::lists::{self, Bounds};
use super::logs::ServerLog;
use super::process::{self, Process, Spawned};
use super::{Answer, Condition, Follow, Health, Launch, ListChange, Offer, ServerError};
use crate::config::Server;
use crate::json;
use crate::permit::Outgoing;
use crate::wire;

/// How long a child has to end by itself after its stdin closed.
const TO_LEAVE: Duration = Duration::from_millis(60);
/// How long the guard has, once told, until it is killed itself.
const TO_BE_ENDED: Duration = Duration::from_millis(170);
/// How long a child may live on after it closed its stdout.
const TO_FOLLOW: Duration = Duration::from_millis(500);
/// What a child wrote before it ended is read for at most this long.
const TO_READ_ON: Duration = Duration::from_millis(200);
/// How soon to look again at a server that just ended.
const TO_SETTLE: Duration = Duration::from_millis(2);
/// How long the answer to a request of Portero's own that nobody waits for may take.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A caller waits out a pause that is as short as this; before a longer one it is told.
const WORTH_WAITING: Duration = Duration::from_secs(1);

/// What all servers of a fleet share.
pub(super) struct Common {
    pub(super) launch: Launch,
    pub(super) changes: mpsc::Sender<ListChange>,
    /// Where everything else goes that servers say unasked.
    pub(super) hearing: Hearing,
    /// The tasks that end processes; the fleet waits for them when it closes.
    pub(super) tasks: TaskTracker,
    pub(super) level: Mutex<Option<Arc<str>>>,
}

impl Common {
    pub(super) fn level(&self) -> Option<Arc<str>> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One server of the configuration.
pub(super) struct Member {
    pub(super) config: Server,
    common: Arc<Common>,
    log: ServerLog,
    /// Cancelled when it must end and not start again.
    stop: CancellationToken,
    life: Mutex<Life>,
}

struct Life {
    state: State,
    backoff: Backoff,
    /// How it was spoken to last time.
    era: Option<Era>,
    tools: Option<usize>,
}

enum State {
    Idle,
    Starting(watch::Receiver<()>),
    Ready { connection: connection::Shared, pid: Option<u32> },
    Failed { reason: String, until: Duration },
}

/// What to do to get a connection.
enum Step {
    Use(connection::Shared),
    WaitForStart(watch::Receiver<()>),
    Pause(Duration),
    Start(watch::Sender<()>),
    GiveUp(String),
}

impl Member {
    pub(super) fn new(config: Server, common: Arc<Common>) -> Arc<Self> {
        let launch = &common.launch;
        let log = ServerLog::new(
            &launch.logs,
            &config.name,
            launch.limits.server_log_bytes,
            Arc::clone(&launch.anonymizer),
            Arc::clone(&launch.clock),
        );
        let life = Life { state: State::Idle, backoff: Backoff::default(), era: None, tools: None };
        Arc::new(Self { config, common, log, stop: CancellationToken::new(), life: Mutex::new(life) })
    }

    /// Sends a call and waits for its answer.
    pub(super) async fn call(
        self: &Arc<Self>,
        outgoing: &Outgoing,
        follow: Follow,
    ) -> Result<Answer, ServerError> {
        let connection = tokio::select! {
            biased;
            connection = self.connection() => connection?,
            () = follow.cancel.cancelled() => return Err(ServerError::Cancelled),
        };
        let limit = self.config.timeout.unwrap_or(self.common.launch.limits.request);
        calls::call(&connection, outgoing, follow, limit).await
    }

    /// Pages through everything that it offers.
    pub(super) async fn offer(self: &Arc<Self>) -> Result<Offer, ServerError> {
        let connection = self.connection().await?;
        let limits = &self.common.launch.limits;
        let page = self.config.timeout.unwrap_or(limits.start).min(limits.start);
        let offer = lists::offer(&connection, Bounds { page, bytes: limits.message_bytes }).await?;
        self.life().tools = Some(offer.tools.len());
        Ok(offer)
    }

    /// Tells a running server the log level.
    pub(super) fn tell_level(&self, level: &str) {
        if let State::Ready { connection, .. } = &self.life().state {
            tell_level(connection, level);
        }
    }

    pub(super) fn health(&self) -> Health {
        let life = self.life();
        let (condition, pid) = match &life.state {
            State::Idle => (Condition::Idle, None),
            State::Starting(_) => (Condition::Starting, None),
            State::Ready { pid, .. } => (Condition::Ready, *pid),
            State::Failed { reason, .. } => (Condition::Failed(reason.clone()), None),
        };
        Health { server: self.config.name.clone(), condition, pid, tools: life.tools }
    }

    /// Ends it for good. Its task does the work.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// The running conversation; starts the server if there is none. However many ask, one start happens.
    async fn connection(self: &Arc<Self>) -> Result<connection::Shared, ServerError> {
        let mut saw_start = false;
        loop {
            match self.next_step(saw_start) {
                Step::Use(connection) => return Ok(connection),
                // An error means that the start is over, which is what is waited for.
                Step::WaitForStart(mut started) => {
                    saw_start |= started.changed().await.is_err();
                }
                Step::Pause(pause) => tokio::time::sleep(pause).await,
                Step::Start(started) => {
                    let member = Arc::clone(self);
                    self.common.tasks.spawn(async move { Box::pin(member.live(started)).await });
                }
                Step::GiveUp(reason) => return Err(ServerError::Start(self.config.name.clone(), reason)),
            }
        }
    }

    /// A caller that saw a start fail is told; one that comes later waits out a short pause.
    fn next_step(&self, saw_start: bool) -> Step {
        if self.stop.is_cancelled() {
            return Step::GiveUp("it is being ended".to_owned());
        }
        let mut life = self.life();
        match &life.state {
            State::Ready { connection, .. } if connection.is_closed() => return Step::Pause(TO_SETTLE),
            State::Ready { connection, .. } => return Step::Use(Arc::clone(connection)),
            State::Starting(started) => return Step::WaitForStart(started.clone()),
            State::Idle => {}
            State::Failed { reason, .. } if saw_start => return Step::GiveUp(reason.clone()),
            State::Failed { reason, until } => {
                let pause = until.saturating_sub(self.common.launch.clock.now().boot);
                if pause > WORTH_WAITING {
                    return Step::GiveUp(format!("{reason}; it is tried again in {} s", pause.as_secs() + 1));
                }
                if !pause.is_zero() {
                    return Step::Pause(pause);
                }
            }
        }
        let (done, started) = watch::channel(());
        life.state = State::Starting(started);
        Step::Start(done)
    }

    /// One life, from the start to the end of the process.
    async fn live(self: Arc<Self>, started: watch::Sender<()>) {
        self.log.begin();
        let spawned = match process::spawn(&self.config, &self.common.launch) {
            Ok(spawned) => spawned,
            Err(reason) => return self.failed(&reason, Duration::ZERO),
        };
        let Spawned { mut process, stdin, stdout, stderr } = spawned;
        let connection = Arc::new(self.conversation());
        let talk = Talk::begin(&connection, &self.log, stdin, stdout, stderr);
        let known = self.life().era;
        let greeted = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Refusal::Ended),
            greeted = handshake::greet(&connection, &self.common.launch, known) => greeted,
        };
        match greeted {
            Ok(greeting) => {
                self.ready(&connection, greeting, process.id());
                drop(started);
                let since = Instant::now();
                let ended = self.watch(&connection, &mut process).await;
                talk.finish(&connection).await;
                self.failed(&ended, since.elapsed());
            }
            Err(refusal) => {
                let ended = end(&connection, &mut process).await;
                talk.finish(&connection).await;
                let why = match refusal {
                    Refusal::Ended => ended,
                    Refusal::Because(why) => why,
                };
                self.failed(&why, Duration::ZERO);
                drop(started);
            }
        }
    }

    fn conversation(&self) -> Connection {
        Connection::new(
            self.config.name.clone(),
            Events::new(
                self.config.name.clone(),
                self.common.changes.clone(),
                Arc::clone(&self.common.hearing),
            ),
            self.log.clone(),
            self.config.roots.as_deref().map(connection::roots),
            self.common.launch.limits.message_bytes,
        )
    }

    fn ready(&self, connection: &connection::Shared, greeting: handshake::Greeting, pid: Option<u32>) {
        let greeting = connection.greeting.get_or_init(|| greeting);
        match (greeting.era, self.common.level()) {
            (Era::Legacy, Some(level)) => tell_level(connection, &level),
            (Era::Legacy, None) => {}
            (Era::Modern, _) => connection.subscriptions().open(connection, greeting),
        }
        let mut life = self.life();
        life.era = Some(greeting.era);
        life.state = State::Ready { connection: Arc::clone(connection), pid };
    }

    /// Waits for the end of a running server, or brings it about; says how it ended.
    async fn watch(&self, connection: &Connection, process: &mut Process) -> String {
        tokio::select! {
            biased;
            ended = process.ended() => return ended,
            () = self.stop.cancelled() => {}
            () = connection.closed() => {
                // It said all that it will ever say; most end by themselves now.
                if let Ok(ended) = tokio::time::timeout(TO_FOLLOW, process.ended()).await {
                    return ended;
                }
            }
        }
        end(connection, process).await
    }

    /// Notes why it does not run, and until when it is left alone.
    fn failed(&self, how: &str, ran: Duration) {
        if self.stop.is_cancelled() {
            self.life().state = State::Idle;
            return;
        }
        let reason = self.log.last().map_or_else(|| how.to_owned(), |last| format!("{how}: {last}"));
        tracing::warn!(server = %self.config.name, reason, "a server does not run");
        let mut life = self.life();
        let pause = life.backoff.pause(ran);
        let until = self.common.launch.clock.now().boot + pause;
        life.state = State::Failed { reason, until };
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks that carry one conversation.
struct Talk {
    reading: tokio::task::JoinHandle<()>,
    others: [tokio::task::JoinHandle<()>; 3],
    stderr: tokio::task::JoinHandle<()>,
}

impl Talk {
    fn begin(
        connection: &connection::Shared,
        log: &ServerLog,
        stdin: tokio::process::ChildStdin,
        stdout: tokio::process::ChildStdout,
        stderr: tokio::process::ChildStderr,
    ) -> Self {
        let [reader, writer, announcer, watcher] = std::array::from_fn(|_| Arc::clone(connection));
        Self {
            reading: tokio::spawn(async move { reader.read(stdout).await }),
            others: [
                tokio::spawn(async move { writer.outbox.write_to(stdin).await }),
                tokio::spawn(async move { announcer.events.announce().await }),
                tokio::spawn(async move { watcher.pending.watch().await }),
            ],
            stderr: tokio::spawn(log.clone().follow(stderr)),
        }
    }

    /// After the process ended: reads what it still said, then fails whoever waits.
    async fn finish(self, connection: &Connection) {
        let Self { mut reading, others, mut stderr } = self;
        let rest = async { (&mut reading).await.and((&mut stderr).await) };
        if tokio::time::timeout(TO_READ_ON, rest).await.is_err() {
            reading.abort();
            stderr.abort();
        }
        connection.close();
        for task in others {
            task.abort();
        }
    }
}

/// Ends a process: closes its stdin, then has its family ended, then kills what is left.
async fn end(connection: &Connection, process: &mut Process) -> String {
    connection.close();
    if let Ok(ended) = tokio::time::timeout(TO_LEAVE, process.ended()).await {
        return ended;
    }
    process.terminate();
    if let Ok(ended) = tokio::time::timeout(TO_BE_ENDED, process.ended()).await {
        return ended;
    }
    process.kill();
    process.ended().await
}

/// Sends `logging/setLevel` to a server that has it; nobody waits for the answer.
fn tell_level(connection: &Connection, level: &str) {
    let wants =
        connection.greeting.get().is_some_and(|told| told.era == Era::Legacy && told.declares("logging"));
    if wants {
        let level = json::raw(level);
        let params = json::raw(&json::Object::default().with("level", &level));
        let id = connection.fresh_id();
        connection.pending.open_unread(id, UNREAD_TIMEOUT);
        connection.outbox.push_if_room(|out| wire::write_request(out, id, "logging/setLevel", Some(&params)));
    }
}
