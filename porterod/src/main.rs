//! The daemon's program: arguments, signals, and one `ready` on stdout.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use portero::audit::RealDisk;
use portero::clock::SystemClock;
use portero::confirmed::expected_store;
use portero::hardening;
use portero::identity::Nonce;
use portero::ipc::{self, Failure, FailureKind, Hello, PROTOCOL, Peer, Probe};
use portero::paths::Paths;
use portero::server::{Guard, guard};
use porterod::app::{App, Parts};
use porterod::boot::boot_id;
use porterod::channels::telegram::link::Tuning;
use porterod::signals::{Graces, Signals};

mod detach;

/// How long to wait for a daemon that is just starting or ending.
const OTHER_DAEMON: Duration = Duration::from_secs(15);
/// The first pause before it is started again beside it, and the longest.
const START_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The Portero daemon: keeps tasks, rules and grants, runs what was approved, and serves shared servers.
///
/// `portero` starts it when it is needed; run it by hand to watch it. It prints `ready` once it listens, or
/// `running` if another one already does, and ends on SIGTERM, on Ctrl-C, or by `portero daemon stop`.
#[derive(Debug, Parser)]
#[command(name = "porterod", version)]
struct Args {
    /// The configuration directory [default: PORTERO_CONFIG_DIR, else the platform's].
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// Start the daemon apart from this process and its terminal, logging to a file in the state directory,
    /// and return once it listens.
    #[arg(long)]
    detach: bool,
    /// What `--detach` starts: the daemon itself.
    #[arg(long, hide = true, conflicts_with = "detach")]
    detached: bool,
    /// End when standard input ends: whoever started this is gone then.
    #[arg(long, hide = true)]
    tied: bool,
}

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    // A guard must be nothing else first: it wants a process with one thread.
    if args.by_ref().nth(1).is_some_and(|word| word == guard::WORD) {
        return guard::run(args);
    }
    let environment: Vec<_> = std::env::vars_os().collect();
    let words: Vec<_> = std::env::args_os().collect();
    if let Err(error) = hardening::clear_loader_variables(&environment, &words) {
        complain(
            &internal(
                "could not start without the variables by which other code comes into this program",
                &error,
            )
            .with_hint("unset them"),
        );
        return ExitCode::FAILURE;
    }
    let args = Args::parse();
    let done = if args.detach { start_apart(&args) } else { run(&args).map(|()| ExitCode::SUCCESS) };
    match done {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure);
            ExitCode::FAILURE
        }
    }
}

fn complain(failure: &Failure) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "error: {failure}");
    if let Some(hint) = &failure.hint {
        let _ = writeln!(stderr, "  hint: {hint}");
    }
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Internal, format!("{what}: {error}"))
}

/// Starts the daemon as a child that this process then leaves behind, so that whoever ends the tree of
/// processes of the one that asked does not end the daemon.
fn start_apart(args: &Args) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe().map_err(|error| internal("could not find this program", &error))?;
    let mut daemon = Command::new(own);
    daemon.arg("--detached");
    if let Some(config) = &args.config {
        daemon.arg("--config").arg(config);
    }
    if args.tied {
        daemon.arg("--tied").stdin(Stdio::inherit());
    } else {
        daemon.stdin(Stdio::null());
    }
    let word = detach::start(&mut daemon).map_err(|error| internal("could not start", &error))?;
    match word {
        // It listens, or another one does.
        Ok(word) => {
            say(&word);
            Ok(ExitCode::SUCCESS)
        }
        // It has said why on stderr, which is this process's too.
        Err(Some(code)) => Ok(ExitCode::from(code)),
        Err(None) => Err(internal("could not start", &"it was killed before it listened")),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::resolve(args.config.as_deref(), &|name| std::env::var_os(name))
        .map_err(|error| Failure::new(FailureKind::Configuration, error.to_string()))?;
    if args.detached {
        paths.create().map_err(|error| internal("could not prepare the directories", &error))?;
        detach::leave_terminal();
    }
    detach::log(args.detached.then(|| paths.server_logs()).as_deref())
        .map_err(|error| internal("could not open the log", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| internal("could not start", &error))?;
    let served = runtime.block_on(serve(paths, args));
    // A thread that hangs on a drive must not keep the process.
    runtime.shutdown_background();
    served
}

async fn serve(paths: Paths, args: &Args) -> Result<(), Failure> {
    outlive_file_limits();
    // Before anybody is told that it is ready: whoever waits for that may end it at once.
    let mut signals =
        Signals::new(Graces::default()).map_err(|error| internal("could not listen for signals", &error))?;
    let Some(app) = start(&paths, args.detached).await? else { return Ok(()) };
    say("ready");
    if args.detached {
        detach::let_go(args.tied);
    }
    tokio::select! {
        () = app.stopped() => {}
        () = signals.next() => tracing::info!("ending, as a signal says"),
        () = end_of_input(), if args.tied => tracing::info!("ending, since whoever started this is gone"),
    }
    app.shutdown().await;
    Ok(())
}

/// From now on a write beyond `ulimit -f` fails as on a full disk, instead of ending this process: the system sends
/// SIGXFSZ, and here is somebody who hears it. What is executed from here begins with the default again.
fn outlive_file_limits() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let heard = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
        if let Err(error) = heard {
            tracing::warn!(%error, "a write beyond `ulimit -f` would end this process");
        }
    }
}

/// Returns at the end of standard input.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime would wait for one of its own to return from reading.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// Starts the daemon; none if another one runs already and that is well.
async fn start(paths: &Paths, detached: bool) -> Result<Option<App>, Failure> {
    let since = Instant::now();
    let mut pause = START_PAUSES.0;
    loop {
        let failure = match App::start(parts(paths)?).await {
            Ok(app) => return Ok(Some(app)),
            Err(failure) => failure,
        };
        if !detached || failure.kind != FailureKind::Refused {
            return Err(failure);
        }
        match ipc::probe(&paths.socket(), hello(paths), expected_store(paths).as_ref()).await {
            Probe::Ready(_) => {
                say("running");
                return Ok(None);
            }
            Probe::NeedsRestart(reason) => return Err(reason),
            // It starts or ends just now.
            Probe::Unreachable(_) if since.elapsed() < OTHER_DAEMON => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(START_PAUSES.1);
            }
            Probe::Unreachable(error) => {
                return Err(internal("another daemon holds the lock but does not answer", &error));
            }
        }
    }
}

fn hello(paths: &Paths) -> Hello {
    let build = env!("CARGO_PKG_VERSION").to_owned();
    Hello {
        protocol: PROTOCOL,
        build,
        config: paths.config.clone(),
        peer: Peer::Terminal,
        nonce: Nonce::default(),
    }
}

fn parts(paths: &Paths) -> Result<Parts, Failure> {
    let own = std::env::current_exe().map_err(|error| internal("could not find this program", &error))?;
    let home = std::env::home_dir().filter(|home| home.is_dir()).unwrap_or_else(|| paths.state.clone());
    Ok(Parts {
        paths: paths.clone(),
        home,
        environment: std::env::vars_os().collect(),
        clock: Arc::new(SystemClock),
        disk: Arc::new(RealDisk),
        boot_id: boot_id(),
        guard: Some(Guard { program: own, args: vec![OsString::from(guard::WORD)] }),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        telegram: Tuning::default(),
    })
}

/// Tells whoever started this; nobody listening is no harm.
fn say(word: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{word}").and_then(|()| stdout.flush());
}
