//! Handles the signals that end the daemon, on a thread of their own.
//!
//! A signal ends the process within a bounded time even if the runtime's thread is blocked: by the runtime if
//! it answers, otherwise by force.

use std::time::Duration;

/// The time limits of an end by a signal.
#[derive(Debug, Clone, Copy)]
pub struct SignalGraces {
    /// Until the runtime confirms the signal.
    pub hear: Duration,
    /// From the confirmation until the process has ended.
    pub end: Duration,
}

impl Default for SignalGraces {
    /// The second limit is longer than the longest regular end.
    fn default() -> Self {
        Self { hear: Duration::from_secs(5), end: Duration::from_secs(40) }
    }
}

#[cfg(unix)]
pub use unix::Signals;
#[cfg(windows)]
pub use windows::Signals;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::thread;
    use std::time::Duration;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator;
    use tokio::sync::oneshot;

    use super::SignalGraces;

    /// How long the last log line may take, since a hanging thread may hold the log's lock.
    const LAST_WORD_TIMEOUT: Duration = Duration::from_millis(200);

    /// Tells the runtime about the first signal.
    pub struct Signals {
        told: oneshot::Receiver<()>,
        heard: Option<mpsc::Sender<()>>,
    }

    impl Signals {
        /// Takes over the signals, which no longer end the process by themselves.
        ///
        /// # Errors
        /// If the system doesn't permit it.
        pub fn new(graces: SignalGraces) -> io::Result<Self> {
            let mut signals = iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
            let (tell, told) = oneshot::channel();
            let (heard, hears) = mpsc::channel();
            thread::Builder::new().name("signals".to_owned()).spawn(move || {
                let Some(signal) = signals.forever().next() else { return };
                let _ = tell.send(());
                // A dropped receiver means that the runtime is ending right now, so the process ends too.
                let hung = matches!(hears.recv_timeout(graces.hear), Err(RecvTimeoutError::Timeout));
                if !hung {
                    thread::sleep(graces.end);
                }
                end_by_force(signal);
            })?;
            Ok(Self { told, heard: Some(heard) })
        }

        /// Returns at the first signal.
        pub async fn next(&mut self) {
            if (&mut self.told).await.is_err() {
                // The thread listens as long as the process lives, so this isn't reached while it runs.
                std::future::pending::<()>().await;
            }
            if let Some(heard) = self.heard.take() {
                let _ = heard.send(());
            }
        }
    }

    /// Ends the process as the signal's default handler would. Children are tied to this process and end with
    /// it.
    fn end_by_force(signal: i32) {
        let (said, word) = mpsc::channel();
        // On another thread, because a hanging writer could hold the log's lock and block this one.
        thread::spawn(move || {
            tracing::error!("the daemon did not end by itself within its time, so it is ended by force");
            let _ = said.send(());
        });
        let _ = word.recv_timeout(LAST_WORD_TIMEOUT);
        let _ = signal_hook::low_level::emulate_default_handler(signal);
        signal_hook::low_level::exit(1);
    }
}

#[cfg(windows)]
mod windows {
    use std::io;

    use super::SignalGraces;

    /// Tells the runtime about Ctrl-C; `portero daemon stop` ends a process that doesn't answer.
    pub struct Signals(tokio::signal::windows::CtrlC);

    impl Signals {
        /// Takes over Ctrl-C, which no longer ends the process by itself.
        ///
        /// # Errors
        /// If the system doesn't permit it.
        pub fn new(_: SignalGraces) -> io::Result<Self> {
            tokio::signal::windows::ctrl_c().map(Self)
        }

        /// Returns at the first signal.
        pub async fn next(&mut self) {
            self.0.recv().await;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// What the process that [`role`] runs in is to do with a signal.
    const ROLE: &str = "PORTERO_TEST_SIGNALS";
    const SOON: Duration = Duration::from_secs(20);

    /// Not a test by itself: what the others start, in a process of its own.
    #[test]
    fn role() {
        let Ok(role) = std::env::var(ROLE) else { return };
        let graces = SignalGraces { hear: Duration::from_millis(300), end: Duration::from_millis(300) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut signals = Signals::new(graces).expect("signals");
            writeln!(std::io::stderr(), "ready").expect("a pipe");
            match role.as_str() {
                "stuck" => std::thread::sleep(SOON * 2),
                "slow" => {
                    signals.next().await;
                    std::thread::sleep(SOON * 2);
                }
                _ => signals.next().await,
            }
        });
        runtime.shutdown_background();
    }

    fn start(role: &str) -> Child {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "signals::tests::role", "--nocapture", "-q"])
            .env(ROLE, role)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("ready"))));
        child
    }

    /// Sends the signal, and gives what ended the process.
    fn signalled(role: &str, signal: Signal) -> Option<i32> {
        let mut child = start(role);
        let begun = Instant::now();
        kill_process(Pid::from_child(&child), signal).expect("sent");
        let status = child.wait().expect("it ended");
        assert!(begun.elapsed() < SOON, "{role}: {:?}", begun.elapsed());
        status.signal()
    }

    #[test]
    fn a_signal_ends_the_process_also_where_the_runtimes_thread_is_stuck() {
        for signal in [Signal::TERM, Signal::INT] {
            assert_eq!(signalled("stuck", signal), Some(signal.as_raw()), "it never hears of it");
            assert_eq!(signalled("slow", signal), Some(signal.as_raw()), "its end takes too long");
            assert_eq!(signalled("well", signal), None, "it ends by itself");
        }
    }
}
