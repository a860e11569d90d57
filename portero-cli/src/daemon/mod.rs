//! The daemon from outside: finds, starts, connects to and stops `porterod`.

mod process;
mod start;

use std::path::Path;
use std::time::{Duration, Instant};

use portero::approved_config;
use portero::config;
use portero::files::{self, SymlinkMode};
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::{
    self, Challenge, ConnectError, DisclosedSecret, Hello, IpcClient, PeerProcess, PeerRole, ProbeResult,
    PushMessage, Request, RequestError, SendError, Welcome,
};
use portero::paths::Paths;
use portero::store_identity::Nonce;
use tokio::sync::{Mutex, mpsc};

use crate::failure::{CommandFailure, CommandResult};
use process::{Ending, runs_daemon};

pub(crate) use process::{find_program, terminate_daemon};
pub(crate) use start::{StartError, TiedDaemon, start_daemon};

/// How long a stopping daemon may take; running calls may complete first.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a daemon may take to end, or to answer properly, before it counts as another program.
const SETTLE_GRACE: Duration = Duration::from_secs(2);
/// The first and the longest pause between attempts to connect.
const CONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));

/// A terminal's connection to the daemon.
pub(crate) struct DaemonClient {
    client: IpcClient,
    /// The only push for a terminal is the number to show for a remote confirmation.
    pushes: Mutex<mpsc::Receiver<PushMessage>>,
    pub(crate) welcome: Welcome,
}

/// The first message of a connection.
pub(crate) fn hello(paths: &Paths, peer: PeerRole) -> Hello {
    Hello {
        protocol: ipc::PROTOCOL_VERSION,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        config: paths.config.clone(),
        peer,
        nonce: Nonce::default(),
    }
}

impl DaemonClient {
    /// Connects to the daemon, and starts it first if it isn't running and that is permitted.
    pub(crate) async fn connect_or_start(paths: &Paths, no_start: bool) -> CommandResult<Self> {
        match Self::connect(paths).await {
            Ok(daemon) => Ok(daemon),
            Err(ConnectError::Absent(_)) if !no_start => {
                start_daemon(paths).await.map_err(|error| start_failure(paths, &error))?;
                Self::connect(paths).await.map_err(|error| connect_failure(&paths.socket(), &error))
            }
            Err(error) => Err(connect_failure(&paths.socket(), &error)),
        }
    }

    /// Starts a daemon that ends with this process, and connects to it.
    pub(crate) async fn start_tied_daemon(paths: &Paths) -> CommandResult<(Self, TiedDaemon)> {
        let tied = start::start_tied_daemon(paths).await.map_err(|error| start_failure(paths, &error))?;
        let daemon = Self::connect(paths).await;
        Ok((daemon.map_err(|error| connect_failure(&paths.socket(), &error))?, tied))
    }

    /// Connects to a running daemon.
    pub(crate) async fn connect(paths: &Paths) -> Result<Self, ConnectError> {
        let (client, pushes, welcome) = connect_verified(paths, &hello(paths, PeerRole::Terminal)).await?;
        Ok(Self { client, pushes: Mutex::new(pushes), welcome })
    }

    /// The client, for concurrent requests.
    pub(crate) fn client(&self) -> IpcClient {
        self.client.clone()
    }

    /// Makes a request.
    pub(crate) async fn request<R: Request>(&self, request: R) -> CommandResult<R::Response> {
        Ok(self.request_or_refusal(request).await??)
    }

    /// Makes a request, for a caller that handles a refusal.
    pub(crate) async fn request_or_refusal<R: Request>(
        &self,
        request: R,
    ) -> CommandResult<Result<R::Response, ipc::DaemonFailure>> {
        refusal_or_failure(self.client.request(request).await)
    }

    /// Returns a challenge that proves several requests of this command, each by itself. It holds the derived keys in
    /// place of the typed passphrase.
    pub(crate) async fn derive_challenge(&self, typed: Challenge) -> CommandResult<Challenge> {
        Ok(refusal_or_failure(self.client.derive_challenge(typed).await)??)
    }

    /// Makes a request that waits for a tap on Telegram. `show` gets the number to tap and the seconds that
    /// remain for it.
    pub(crate) async fn request_and_show<R: Request>(
        &self,
        request: R,
        mut show: impl FnMut(&DisclosedSecret, u64) -> CommandResult,
    ) -> CommandResult<Result<R::Response, ipc::DaemonFailure>> {
        let mut pushes = self.pushes.lock().await;
        let asking = self.request_or_refusal(request);
        tokio::pin!(asking);
        loop {
            // The number comes before the answer, so pushes are taken first.
            let push = tokio::select! {
                biased;
                push = pushes.recv() => push,
                answered = &mut asking => return answered,
            };
            match push {
                // If the number can't be shown, no one can tap it. Returning drops the request, which
                // withdraws the question.
                Some(PushMessage::Number { number: _, tap, seconds }) => show(&tap, seconds)?,
                Some(
                    PushMessage::Standing(_)
                    | PushMessage::Config { .. }
                    | PushMessage::Settled { .. }
                    | PushMessage::Progress { .. }
                    | PushMessage::CheckCall(_)
                    | PushMessage::RunCall(_)
                    | PushMessage::Waits(_)
                    | PushMessage::Notification { .. },
                ) => {}
                None => return asking.await,
            }
        }
    }

    /// Stops the daemon, and returns once it has ended.
    pub(crate) async fn stop(self, paths: &Paths) -> CommandResult {
        // The watch begins before the end, because afterwards its pid may belong to another process.
        let process = Ending::watch(self.welcome.pid);
        self.request(StopDaemon).await?;
        drop(self);
        wait_until_gone(paths).await?;
        // The lock is free a moment before the process has ended.
        process.wait(SETTLE_GRACE).await;
        Ok(())
    }
}

/// Separates the daemon's refusal, which a caller may handle, from the failure to ask it.
fn refusal_or_failure<T>(answered: Result<T, RequestError>) -> CommandResult<Result<T, ipc::DaemonFailure>> {
    match answered {
        Ok(response) => Ok(Ok(response)),
        Err(RequestError::Refused(failure)) => Ok(Err(failure)),
        Err(error @ RequestError::Closed(_)) => {
            Err(CommandFailure::unreachable("the daemon went away before it answered")
                .caused_by(&error)
                .with_hint("run `portero status` to see whether it acted"))
        }
        Err(error @ RequestError::Unsent(SendError::Closed | SendError::Full)) => {
            Err(CommandFailure::unreachable("the daemon went away before it was asked")
                .caused_by(&error)
                .with_hint("nothing was done; run the command again"))
        }
        Err(error @ RequestError::Unsent(SendError::TooLong(_) | SendError::NotJson(_))) => {
            Err(CommandFailure::refused("the request could not be sent").caused_by(&error))
        }
        Err(error @ RequestError::Unreadable { .. }) => Err(CommandFailure::refused(
            "the daemon gave an answer that does not fit the request",
        )
        .caused_by(&error)
        .with_hint(
            "run `portero daemon stop`, then try again; the two programs may be of different releases",
        )),
    }
}

/// Returns once no daemon holds the lock. The daemon releases it last, after its children and its store are
/// closed.
async fn wait_until_gone(paths: &Paths) -> CommandResult {
    let path = paths.runtime_lock();
    let Ok(lock) = files::open(&path, SymlinkMode::Refuse) else { return Ok(()) };
    // The system wakes those that wait for a lock. A shared lock lets several processes wait at once.
    let gone = files::read_off_thread(&path, STOP_TIMEOUT, move || lock.file().lock_shared()).await;
    if matches!(gone, Ok(Ok(()))) {
        return Ok(());
    }
    Err(CommandFailure::refused(format!(
        "the daemon still runs {} s after it was told to stop",
        STOP_TIMEOUT.as_secs()
    )))
}

/// Connects, and accepts only the daemon's program with the store that the configuration names. From any
/// other process not even a refusal counts.
/// A daemon that is just ending accepts a connection and then drops it, so the attempt is repeated for
/// [`SETTLE_GRACE`].
pub(crate) async fn connect_verified(
    paths: &Paths,
    hello: &Hello,
) -> Result<(IpcClient, mpsc::Receiver<PushMessage>, Welcome), ConnectError> {
    let begin = Instant::now();
    let mut pause = CONNECT_PAUSES.0;
    loop {
        // Read in each round: a daemon that is starting may just be writing its seal.
        let store = approved_config::expected_store(paths);
        match IpcClient::connect(&paths.socket(), hello.clone(), store.as_ref()).await {
            Err(ConnectError::Broken(_)) if begin.elapsed() < SETTLE_GRACE => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(CONNECT_PAUSES.1);
            }
            Ok(connected) if runs_daemon(connected.0.peer_pid()) => return Ok(connected),
            Ok((client, ..)) => return Err(ConnectError::Foreign(PeerProcess::from_pid(client.peer_pid()))),
            Err(ConnectError::OtherStore(process)) if !runs_daemon(process.pid) => {
                return Err(ConnectError::Foreign(process));
            }
            Err(ConnectError::Refused { peer, .. }) if !runs_daemon(peer) => {
                return Err(ConnectError::Foreign(PeerProcess::from_pid(peer)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns whether a daemon runs, without starting one.
pub(crate) async fn probe_daemon(paths: &Paths) -> ProbeResult {
    ProbeResult::from_connect(
        connect_verified(paths, &hello(paths, PeerRole::Terminal)).await.map(|(_, _, welcome)| welcome),
    )
}

/// Why the daemon didn't start; the most common reason is its configuration.
fn start_failure(paths: &Paths, error: &StartError) -> CommandFailure {
    const ACT: &str = "could not start the daemon";
    let valid = config::ConfigFiles::load(&paths.config)
        .is_ok_and(|files| config::read_config(&files, &|name| std::env::var(name).ok()).0.is_some());
    if !valid {
        let what = format!("{ACT}: the configuration in `{}` is not valid", paths.config.display());
        return CommandFailure::usage(what).with_hint("run `portero check`");
    }
    CommandFailure::unreachable(ACT).caused_by(error).with_hint("run `porterod` by hand to see its error")
}

/// The failure of a connection.
pub(crate) fn connect_failure(socket: &Path, error: &ConnectError) -> CommandFailure {
    let failure = |message: &str| CommandFailure::unreachable(message.to_owned()).caused_by(error);
    match error {
        ConnectError::Absent(_) => {
            failure(&format!("the daemon does not run (no answer at {})", socket.display()))
                .with_hint("run `portero daemon start`")
        }
        ConnectError::Refused { failure: refusal, peer: _ } => {
            let failure = CommandFailure::unreachable(refusal.message.clone());
            match &refusal.hint {
                Some(hint) => failure.with_hint(hint.clone()),
                None => failure,
            }
        }
        ConnectError::Foreign(_) => failure(&format!(
            "what listens at {} is not the daemon",
            socket.display()
        ))
        .with_hint(
            "type no passphrase; end that process, and see how it came there. If it is a daemon of another \
                 installation, put its `porterod` beside this program or on PATH",
        ),
        ConnectError::OtherStore(_) => failure(&format!(
            "what listens at {} is not the daemon of this configuration",
            socket.display()
        ))
        .with_hint(
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
