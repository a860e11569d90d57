//! The way to `porterod`: find it, start it, connect to it, stop it.

mod end;
mod ending;
mod find;
mod start;
mod trust;

use std::path::Path;
use std::time::{Duration, Instant};

use portero::config;
use portero::confirmed;
use portero::files::{self, Links};
use portero::identity::Nonce;
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::{
    self, AskError, Client, ConnectError, Disclosed, Hello, Peer, Probe, Process, Push, Request, SendError,
    Welcome,
};
use portero::paths::Paths;
use tokio::sync::{Mutex, mpsc};

use crate::failure::{Failure, Outcome};
use ending::Ending;

pub(crate) use end::end;
pub(crate) use find::find;
pub(crate) use start::{StartError, Tied, start};

/// How long a daemon that was told to stop may take; calls that are with a server may finish first.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How long what listens may behave as no daemon does before it is taken for something else.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// The first pause before it is connected to again, and the longest.
const CONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));

/// A terminal's connection to the daemon.
pub(crate) struct Daemon {
    client: Client,
    /// A terminal subscribes to nothing; it is told a number to show.
    pushes: Mutex<mpsc::Receiver<Push>>,
    pub(crate) welcome: Welcome,
}

/// What a terminal says first.
pub(crate) fn hello(paths: &Paths, peer: Peer) -> Hello {
    Hello {
        protocol: ipc::PROTOCOL,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        config: paths.config.clone(),
        peer,
        nonce: Nonce::default(),
    }
}

impl Daemon {
    /// Connects, and starts the daemon first where it does not run and that is allowed.
    pub(crate) async fn reach(paths: &Paths, no_start: bool) -> Outcome<Self> {
        match Self::connect(paths).await {
            Ok(daemon) => Ok(daemon),
            Err(ConnectError::Absent(_)) if !no_start => {
                start(paths).await.map_err(|error| not_started(paths, &error))?;
                Self::connect(paths).await.map_err(|error| unreachable(&paths.socket(), &error))
            }
            Err(error) => Err(unreachable(&paths.socket(), &error)),
        }
    }

    /// Starts a daemon that does not outlive this process, and connects to it.
    pub(crate) async fn tied(paths: &Paths) -> Outcome<(Self, Tied)> {
        let tied = start::start_tied(paths).await.map_err(|error| not_started(paths, &error))?;
        let daemon = Self::connect(paths).await;
        Ok((daemon.map_err(|error| unreachable(&paths.socket(), &error))?, tied))
    }

    /// Connects, if it runs.
    pub(crate) async fn connect(paths: &Paths) -> Result<Self, ConnectError> {
        let (client, pushes, welcome) = connect(paths, &hello(paths, Peer::Terminal)).await?;
        Ok(Self { client, pushes: Mutex::new(pushes), welcome })
    }

    /// The connection, for many requests at once.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Makes a request.
    pub(crate) async fn request<R: Request>(&self, request: R) -> Outcome<R::Response> {
        Ok(self.request_or_refusal(request).await??)
    }

    /// Makes a request, for a caller that does something about a refusal.
    pub(crate) async fn request_or_refusal<R: Request>(
        &self,
        request: R,
    ) -> Outcome<Result<R::Response, ipc::Failure>> {
        match self.client.request(request).await {
            Ok(response) => Ok(Ok(response)),
            Err(AskError::Refused(failure)) => Ok(Err(failure)),
            Err(error @ AskError::Closed(_)) => {
                Err(Failure::unreachable("the daemon went away before it answered")
                    .because(&error)
                    .hint("look with `portero status` whether it acted"))
            }
            Err(error @ AskError::Unsent(SendError::Closed | SendError::Full)) => {
                Err(Failure::unreachable("the daemon went away before it was asked")
                    .because(&error)
                    .hint("nothing was done: run it again"))
            }
            Err(error @ AskError::Unsent(SendError::TooLong(_) | SendError::NoJson(_))) => {
                Err(Failure::refused("the request could not be sent").because(&error))
            }
            Err(error @ AskError::Unreadable { .. }) => Err(Failure::refused(
                "the daemon gave an answer that does not fit the request",
            )
            .because(&error)
            .hint(
                "run `portero daemon stop`, then try again; the two programs may be of different releases",
            )),
        }
    }

    /// Makes a request that waits for a tap on Telegram; `show` puts the number there that the person is to tap,
    /// which it has so many seconds for.
    pub(crate) async fn request_and_show<R: Request>(
        &self,
        request: R,
        mut show: impl FnMut(&Disclosed, u64) -> Outcome,
    ) -> Outcome<Result<R::Response, ipc::Failure>> {
        let mut pushes = self.pushes.lock().await;
        let asking = self.request_or_refusal(request);
        tokio::pin!(asking);
        loop {
            let push = tokio::select! {
                biased;
                push = pushes.recv() => push,
                answered = &mut asking => return answered,
            };
            match push {
                // Without a number nothing can be tapped: the question is taken back.
                Some(Push::Number { number: _, tap, seconds }) => show(&tap, seconds)?,
                Some(
                    Push::Standing(_)
                    | Push::Config { .. }
                    | Push::Settled { .. }
                    | Push::Progress { .. }
                    | Push::Notification { .. },
                ) => {}
                None => return asking.await,
            }
        }
    }

    /// Tells the daemon to stop, and returns once nobody listens any more.
    pub(crate) async fn stop(self, paths: &Paths) -> Outcome {
        // Before it ends, when its number may become another process's.
        let process = Ending::of(self.welcome.pid);
        self.request(StopDaemon).await?;
        drop(self);
        gone(paths).await?;
        // The process itself ends a moment later.
        process.ended(SETTLE_WITHIN).await;
        Ok(())
    }
}

/// Returns once no daemon holds the lock: it lets go of it last, when its children and its store are closed.
async fn gone(paths: &Paths) -> Outcome {
    let path = paths.lock();
    let Ok(lock) = files::open(&path, Links::Refuse) else { return Ok(()) };
    // The system wakes what waits for a lock. Shared, so that several may wait.
    let gone = files::off_thread(&path, STOP_WITHIN, move || lock.file().lock_shared()).await;
    if matches!(gone, Ok(Ok(()))) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the daemon still runs {} s after it was told to stop",
        STOP_WITHIN.as_secs()
    )))
}

/// Connects, and believes nothing of a process that is not the daemon's program, a refusal neither, nor of a daemon that
/// cannot show that it keeps the store which the configuration names. A daemon that ends or is killed just now still
/// takes a connection and then drops it: then this looks again for a moment.
pub(crate) async fn connect(
    paths: &Paths,
    hello: &Hello,
) -> Result<(Client, mpsc::Receiver<Push>, Welcome), ConnectError> {
    let begin = Instant::now();
    let mut pause = CONNECT_PAUSES.0;
    loop {
        let store = confirmed::expected_store(paths);
        match Client::connect(&paths.socket(), hello.clone(), store.as_ref()).await {
            Err(ConnectError::Broken(_)) if begin.elapsed() < SETTLE_WITHIN => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(CONNECT_PAUSES.1);
            }
            Ok(connected) if trust::runs_daemon(connected.0.peer()) => return Ok(connected),
            Ok((client, ..)) => return Err(ConnectError::Foreign(Process::of(client.peer()))),
            Err(ConnectError::OtherStore(process)) if !trust::runs_daemon(process.pid) => {
                return Err(ConnectError::Foreign(process));
            }
            Err(ConnectError::Refused { peer, .. }) if !trust::runs_daemon(peer) => {
                return Err(ConnectError::Foreign(Process::of(peer)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Looks whether a daemon runs, without starting one.
pub(crate) async fn probe(paths: &Paths) -> Probe {
    Probe::of(connect(paths, &hello(paths, Peer::Terminal)).await.map(|(_, _, welcome)| welcome))
}

/// Why the daemon did not start: most often its configuration.
fn not_started(paths: &Paths, error: &StartError) -> Failure {
    const ACT: &str = "could not start the daemon";
    let valid = config::Files::load(&paths.config)
        .is_ok_and(|files| config::read(&files, &|name| std::env::var(name).ok()).0.is_some());
    if !valid {
        let what = format!("{ACT}: the configuration in `{}` is not valid", paths.config.display());
        return Failure::usage(what).hint("run `portero check`");
    }
    Failure::unreachable(ACT).because(error).hint("run `porterod` by hand to see what it says")
}

/// Why there is no connection, as a failure.
pub(crate) fn unreachable(socket: &Path, error: &ConnectError) -> Failure {
    let failure = |message: &str| Failure::unreachable(message.to_owned()).because(error);
    match error {
        ConnectError::Absent(_) => {
            failure(&format!("the daemon does not run (no answer at {})", socket.display()))
                .hint("run `portero daemon start`")
        }
        ConnectError::Refused { failure: refusal, peer: _ } => {
            let failure = Failure::unreachable(refusal.message.clone());
            match &refusal.hint {
                Some(hint) => failure.hint(hint.clone()),
                None => failure,
            }
        }
        ConnectError::Foreign(_) => failure(&format!(
            "what listens at {} is not the daemon",
            socket.display()
        ))
        .hint(
            "type no passphrase; end that process, and see how it came there. If it is a daemon of another \
                 installation, put its `porterod` beside this program or on PATH",
        ),
        ConnectError::OtherStore(_) => failure(&format!(
            "what listens at {} is not the daemon of this configuration",
            socket.display()
        ))
        .hint(
            "type no passphrase. Unset PORTERO_STATE_DIR and PORTERO_RUNTIME_DIR where they name other directories than \
             those in which the configuration was sealed, and end that process where it is none of yours. If it is the daemon \
             that you know, look whether something else lies in the place of `portero.seal` beside the configuration, or of \
             `confirmed.json` in the state directory, and move it away",
        ),
        ConnectError::Impostor | ConnectError::Broken(_) => {
            failure(&format!("what listens at {} is no daemon of yours", socket.display()))
        }
    }
}
