//! The daemon's program: arguments, signals, and one `ready` on stdout.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use portero::approved_config::expected_store;
use portero::audit::SystemDisk;
use portero::clock::SystemClock;
use portero::hardening;
use portero::ipc::{self, DaemonFailure, FailureKind, Hello, PROTOCOL_VERSION, PeerRole, ProbeResult};
use portero::paths::Paths;
use portero::server::{GuardCommand, guard};
use portero::session::stdio;
use portero::store_identity::Nonce;
use porterod::app::{App, AppDeps};
use porterod::boot::boot_id;
use porterod::connect::{ConnectArgs, Connector};
use porterod::keyring::system_keyring;
use porterod::programs::ProgramContext;
use porterod::signals::{SignalGraces, Signals};
use porterod::telegram::supervisor::TelegramTiming;

mod detach;

/// How long to wait for another daemon that is just starting or ending.
const OTHER_DAEMON_TIMEOUT: Duration = Duration::from_secs(15);
/// The first and the longest pause between attempts to start.
const START_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The limits for the end of a client's connection. Claude Code kills its servers half a second after SIGINT.
const CONNECT_GRACES: SignalGraces =
    SignalGraces { hear: Duration::from_millis(300), end: Duration::from_secs(2) };

/// The Portero daemon: keeps tasks, rules and grants, runs what was approved, and serves shared servers.
///
/// `portero` starts it when it is needed; run it by hand to watch it. It prints `ready` once it listens, or
/// `running` if another one already does, and ends on SIGTERM, on Ctrl-C, or by `portero daemon stop`.
#[derive(Debug, Parser)]
#[command(name = "porterod", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<DaemonProgramCommand>,
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

/// What this program does besides. The HTTP stack is in this program only.
#[derive(Debug, Subcommand)]
enum DaemonProgramCommand {
    #[command(hide = true)]
    Connect(ConnectArgs),
}

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    // The guard comes first of all: it needs a process with a single thread.
    if args.by_ref().nth(1).is_some_and(|word| word == guard::SUBCOMMAND) {
        return guard::run(args);
    }
    let environment: Vec<_> = std::env::vars_os().collect();
    let words: Vec<_> = std::env::args_os().collect();
    if let Err(error) = hardening::clear_loader_variables(&environment, &words) {
        print_failure(
            &internal_failure(
                "could not start without the variables by which other code comes into this program",
                &error,
            )
            .with_hint("unset them"),
        );
        return ExitCode::FAILURE;
    }
    let mut args = Args::parse();
    if let Some(DaemonProgramCommand::Connect(args)) = args.command.take() {
        return connect(args);
    }
    let done =
        if args.detach { start_detached(&args) } else { run_daemon(&args).map(|()| ExitCode::SUCCESS) };
    match done {
        Ok(code) => code,
        Err(failure) => {
            print_failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn print_failure(failure: &DaemonFailure) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "error: {failure}");
    if let Some(hint) = &failure.hint {
        let _ = writeln!(stderr, "  hint: {hint}");
    }
}

fn internal_failure(what: &str, error: &dyn std::fmt::Display) -> DaemonFailure {
    DaemonFailure::new(FailureKind::Internal, format!("{what}: {error}"))
}

/// Starts the daemon as a child and exits. So an end of the caller's process tree doesn't end the daemon.
fn start_detached(args: &Args) -> Result<ExitCode, DaemonFailure> {
    let own =
        std::env::current_exe().map_err(|error| internal_failure("could not find this program", &error))?;
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
    let word =
        detach::start_daemon(&mut daemon).map_err(|error| internal_failure("could not start", &error))?;
    match word {
        // The daemon listens, or another one already does.
        Ok(word) => {
            print_status_word(&word);
            Ok(ExitCode::SUCCESS)
        }
        // The child stated the reason on stderr, which it shares with this process.
        Err(Some(code)) => Ok(ExitCode::from(code)),
        Err(None) => Err(internal_failure("could not start", &"it was killed before it listened")),
    }
}

fn run_daemon(args: &Args) -> Result<(), DaemonFailure> {
    let paths = Paths::resolve(args.config.as_deref(), &|name| std::env::var_os(name))
        .map_err(|error| DaemonFailure::new(FailureKind::Configuration, error.to_string()))?;
    if args.detached {
        paths
            .create_directories()
            .map_err(|error| internal_failure("could not prepare the directories", &error))?;
        detach::leave_terminal();
    }
    detach::init_logging(args.detached.then(|| paths.server_logs()).as_deref())
        .map_err(|error| internal_failure("could not open the log", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| internal_failure("could not start", &error))?;
    let served = runtime.block_on(serve_until_stopped(paths, args));
    // A thread that hangs on a drive must not keep the process alive.
    runtime.shutdown_background();
    served
}

async fn serve_until_stopped(paths: Paths, args: &Args) -> Result<(), DaemonFailure> {
    ignore_file_size_signal();
    // Before `ready` is printed, because a reader of that word may send a signal at once.
    let mut signals = Signals::new(SignalGraces::default())
        .map_err(|error| internal_failure("could not listen for signals", &error))?;
    let Some(app) = start_app(&paths, args.detached).await? else { return Ok(()) };
    print_status_word("ready");
    if args.detached {
        detach::let_go(args.tied);
    }
    tokio::select! {
        () = app.wait_for_stop() => {}
        () = signals.next() => tracing::info!("ending, as a signal says"),
        () = wait_for_stdin_end(), if args.tied => tracing::info!("ending, because the process that started this daemon is gone"),
    }
    app.shutdown().await;
    Ok(())
}

/// Makes a write beyond `ulimit -f` fail as on a full disk, instead of ending this process by SIGXFSZ.
/// Programs that are executed from here get the default handler again.
fn ignore_file_size_signal() {
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
async fn wait_for_stdin_end() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread outside the runtime: its end would wait for a blocking read on one of its own.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// Starts the daemon; none if another one already runs and answers.
async fn start_app(paths: &Paths, detached: bool) -> Result<Option<App>, DaemonFailure> {
    let since = Instant::now();
    let mut pause = START_PAUSES.0;
    loop {
        let failure = match App::start(app_deps(paths)?).await {
            Ok(app) => return Ok(Some(app)),
            Err(failure) => failure,
        };
        if !detached || failure.kind != FailureKind::Refused {
            return Err(failure);
        }
        match ipc::probe_daemon(&paths.socket(), terminal_hello(paths), expected_store(paths).as_ref()).await
        {
            ProbeResult::Ready(_) => {
                print_status_word("running");
                return Ok(None);
            }
            ProbeResult::NeedsRestart(reason) => return Err(reason),
            // The other daemon is starting or ending.
            ProbeResult::Unreachable(_) if since.elapsed() < OTHER_DAEMON_TIMEOUT => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(START_PAUSES.1);
            }
            ProbeResult::Unreachable(error) => {
                return Err(internal_failure("another daemon holds the lock but does not answer", &error));
            }
        }
    }
}

fn terminal_hello(paths: &Paths) -> Hello {
    let build = env!("CARGO_PKG_VERSION").to_owned();
    Hello {
        protocol: PROTOCOL_VERSION,
        build,
        config: paths.config.clone(),
        peer: PeerRole::Terminal,
        nonce: Nonce::default(),
    }
}

fn app_deps(paths: &Paths) -> Result<AppDeps, DaemonFailure> {
    let own =
        std::env::current_exe().map_err(|error| internal_failure("could not find this program", &error))?;
    let home = std::env::home_dir().filter(|home| home.is_dir()).unwrap_or_else(|| paths.state.clone());
    let environment: Vec<_> = std::env::vars_os().collect();
    let keyring = system_keyring(ProgramContext::new(home.clone(), &environment));
    Ok(AppDeps {
        paths: paths.clone(),
        home,
        environment,
        clock: Arc::new(SystemClock),
        disk: Arc::new(SystemDisk),
        boot_id: boot_id(),
        guard: Some(GuardCommand { program: own, args: vec![OsString::from(guard::SUBCOMMAND)] }),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        telegram: TelegramTiming::default(),
        keyring,
    })
}

/// Serves an MCP client by a server over HTTP. The exit code is 2 for what the command line or a file has wrong.
fn connect(args: ConnectArgs) -> ExitCode {
    hardening::hide_memory();
    let failed = |failure: DaemonFailure, code| {
        print_failure(&failure);
        ExitCode::from(code)
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(internal_failure("could not start", &error), 1),
    };
    let code = runtime.block_on(async {
        let mut signals = match Signals::new(CONNECT_GRACES) {
            Ok(signals) => signals,
            Err(error) => return failed(internal_failure("could not listen for signals", &error), 1),
        };
        let connector = match Connector::new(args, |name| std::env::var(name).ok()).await {
            Ok(connector) => connector,
            Err(error) => {
                let failure = DaemonFailure::new(FailureKind::Configuration, error.to_string());
                return failed(failure.with_hint(error.hint), 2);
            }
        };
        let served = match stdio() {
            Ok((input, output)) => connector.serve(input, output, signals.next()).await,
            Err(error) => Err(error),
        };
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(internal_failure("the client is gone", &error), 1),
        }
    });
    // A thread that reads standard input must not keep the process alive.
    runtime.shutdown_background();
    code
}

/// Prints the word for the starting process. A failed write is ignored: without a reader the word has no
/// purpose.
fn print_status_word(word: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{word}").and_then(|()| stdout.flush());
}
