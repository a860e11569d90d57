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
use super::lists::Bounds;
use super::logs::ServerLog;
use super::process::{self, Process, Spawned};
use super::{Answer, Condition, Follow, Health, Launch, Offer, ServerChange, ServerError};
use crate::call::Method;
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
/// How long the answer to a request of Portero's own that nobody waits for may take.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A caller waits out a pause that is as short as this; before a longer one it is told.
const WORTH_WAITING: Duration = Duration::from_secs(1);

/// What all servers of a fleet share.
pub(super) struct Common {
    pub(super) launch: Launch,
    pub(super) changes: mpsc::Sender<ServerChange>,
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
    /// Whether one that ended at `initialize` was started once more and asked in the modern way.
    tried_discover: bool,
    /// Whether it ever ended by itself after it had been ready.
    ended_before: bool,
    tools: Option<usize>,
}

enum State {
    Idle,
    Starting(watch::Receiver<()>),
    /// `over` tells of the moment when it is not ready any more.
    Ready {
        connection: connection::Shared,
        pid: Option<u32>,
        over: watch::Receiver<()>,
    },
    Failed {
        reason: String,
        until: Duration,
    },
}

/// What to do to get a connection.
enum Step {
    Use(connection::Shared),
    WaitForStart(watch::Receiver<()>),
    WaitForEnd(watch::Receiver<()>),
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
        let life = Life {
            state: State::Idle,
            backoff: Backoff::default(),
            era: None,
            tried_discover: false,
            ended_before: false,
            tools: None,
        };
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
        if outgoing.method() == Method::CallTool {
            self.refuse_unlisted(&connection, outgoing, &follow.cancel).await?;
        }
        let limit = self.config.timeout.unwrap_or(self.common.launch.limits.request);
        calls::call(&connection, outgoing, follow, limit).await
    }

    /// Guarantee P5, for a server that ended and was started again since it was listed.
    async fn refuse_unlisted(
        &self,
        connection: &Connection,
        outgoing: &Outgoing,
        cancel: &CancellationToken,
    ) -> Result<(), ServerError> {
        let params = json::Object::read(outgoing.params().expose()).unwrap_or_default();
        let name = params.text("name").unwrap_or_default();
        let listed = tokio::select! {
            biased;
            listed = connection.lists(&name, self.bounds()) => listed?,
            () = cancel.cancelled() => return Err(ServerError::Cancelled),
        };
        let not_listed = || ServerError::NotListed(self.config.name.clone(), outgoing.tool().tool.clone());
        if listed { Ok(()) } else { Err(not_listed()) }
    }

    fn bounds(&self) -> Bounds {
        let limits = &self.common.launch.limits;
        let page = self.config.timeout.unwrap_or(limits.start).min(limits.start);
        Bounds { page, bytes: limits.message_bytes }
    }

    /// Pages through everything that it offers.
    pub(super) async fn offer(self: &Arc<Self>) -> Result<Offer, ServerError> {
        let connection = self.connection().await?;
        let offer = connection.offer(self.bounds()).await?;
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
                Step::WaitForEnd(mut over) => {
                    // An error is what is waited for here too.
                    let _ = over.changed().await;
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
            State::Ready { connection, over, .. } if connection.is_closed() => {
                return Step::WaitForEnd(over.clone());
            }
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
        let known = self.life().era;
        let refusal = match self.attempt(known).await {
            Attempt::Talks(running, greeting) => return self.serve(*running, greeting, started).await,
            Attempt::Failed(Refusal::Ended, how) if self.may_try_discover(known) => {
                // Some that only speak the modern revision end at `initialize`.
                match self.attempt(Some(Era::Modern)).await {
                    Attempt::Talks(running, greeting) => {
                        return self.serve(*running, greeting, started).await;
                    }
                    Attempt::Failed(..) => how,
                }
            }
            Attempt::Failed(Refusal::Ended, how) | Attempt::Failed(Refusal::Because(how), _) => how,
        };
        self.failed(&refusal, Duration::ZERO);
        drop(started);
    }

    /// Whether a server that ended at the handshake is to be started once more and asked in the modern way.
    fn may_try_discover(&self, known: Option<Era>) -> bool {
        let may = known != Some(Era::Modern) && !self.stop.is_cancelled();
        may && !std::mem::replace(&mut self.life().tried_discover, true)
    }

    /// Starts the process and greets it.
    async fn attempt(&self, known: Option<Era>) -> Attempt {
        self.log.begin();
        let spawned = match process::spawn(&self.config, &self.common.launch) {
            Ok(spawned) => spawned,
            Err(reason) => {
                let refusal = Refusal::Because(reason.clone());
                return Attempt::Failed(refusal, reason);
            }
        };
        let Spawned { mut process, stdin, stdout, stderr } = spawned;
        let connection = Arc::new(self.conversation());
        let talk = Talk::begin(&connection, &self.log, stdin, stdout, stderr);
        let greeted = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Refusal::Ended),
            greeted = handshake::greet(&connection, &self.common.launch, known) => greeted,
        };
        match greeted {
            Ok(greeting) => Attempt::Talks(Box::new(Running { process, connection, talk }), greeting),
            Err(refusal) => {
                let ended = end(&connection, &mut process).await;
                talk.finish(&connection).await;
                Attempt::Failed(refusal, ended)
            }
        }
    }

    /// Keeps a server that talks, until its end.
    async fn serve(&self, running: Running, greeting: handshake::Greeting, started: watch::Sender<()>) {
        let Running { mut process, connection, talk } = running;
        let (ready, over) = watch::channel(());
        let is_again = self.ready(&connection, greeting, process.id(), over);
        drop(started);
        if is_again {
            self.say(ServerChange::Restarted(self.config.name.clone())).await;
        }
        let since = Instant::now();
        let ended = self.watch(&connection, &mut process).await;
        talk.finish(&connection).await;
        self.life().ended_before = true;
        self.failed(&ended, since.elapsed());
        drop(ready);
        self.say(ServerChange::Ended(self.config.name.clone())).await;
    }

    /// Tells the fleet's owner, unless nothing is to start again.
    async fn say(&self, change: ServerChange) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            // An error means that nobody listens to this fleet.
            _ = self.common.changes.send(change) => {}
        }
    }

    fn conversation(&self) -> Connection {
        let ended_before = self.life().ended_before;
        let connection = Connection::new(
            self.config.name.clone(),
            Events::new(
                self.config.name.clone(),
                self.common.changes.clone(),
                Arc::clone(&self.common.hearing),
            ),
            self.log.clone(),
            self.config.roots.as_deref().map(connection::roots),
            self.common.launch.limits.message_bytes,
        );
        if ended_before { connection.again() } else { connection }
    }

    /// Notes that it can be called; true when it had ended by itself before.
    fn ready(
        &self,
        connection: &connection::Shared,
        greeting: handshake::Greeting,
        pid: Option<u32>,
        over: watch::Receiver<()>,
    ) -> bool {
        let greeting = connection.greeting.get_or_init(|| greeting);
        match (greeting.era, self.common.level()) {
            (Era::Legacy, Some(level)) => tell_level(connection, &level),
            (Era::Legacy, None) => {}
            (Era::Modern, _) => connection.subscriptions().open(connection, greeting),
        }
        let mut life = self.life();
        life.era = Some(greeting.era);
        life.state = State::Ready { connection: Arc::clone(connection), pid, over };
        life.ended_before
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

/// What came of starting a process.
enum Attempt {
    /// It answered the handshake.
    Talks(Box<Running>, handshake::Greeting),
    /// It did not, and how it ended.
    Failed(Refusal, String),
}

/// A process that answered the handshake.
struct Running {
    process: Process,
    connection: connection::Shared,
    talk: Talk,
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
