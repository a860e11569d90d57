//! Signals that end this process, and one that must not.

/// Makes a write beyond `ulimit -f` fail as on a full disk, instead of ending this process by SIGXFSZ. Child
/// programs get the default handler again.
pub(crate) fn ignore_file_size_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // If this fails, such a write ends the process as before.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    }
}

/// Receives the signals that end this process, from its creation on: SIGINT, SIGTERM and SIGHUP, or Ctrl-C on
/// other systems.
#[cfg(unix)]
pub(crate) struct TerminationSignals([Option<tokio::signal::unix::Signal>; 3]);

#[cfg(unix)]
impl TerminationSignals {
    /// Starts to listen; the signals no longer end the process.
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self(kinds.map(|kind| signal(kind).ok()))
    }

    /// Returns after a signal since [`Self::listen`].
    pub(crate) async fn recv(&mut self) {
        let [int, term, hup] = &mut self.0;
        tokio::select! {
            () = recv_or_never(int) => {}
            () = recv_or_never(term) => {}
            () = recv_or_never(hup) => {}
        }
    }
}

#[cfg(unix)]
async fn recv_or_never(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        // This signal isn't available, so it never comes.
        None => std::future::pending().await,
    }
}

/// Receives Ctrl-C, from its creation on.
#[cfg(windows)]
pub(crate) struct TerminationSignals(Option<tokio::signal::windows::CtrlC>);

#[cfg(windows)]
impl TerminationSignals {
    /// Starts to listen; Ctrl-C no longer ends the process.
    pub(crate) fn listen() -> Self {
        Self(tokio::signal::windows::ctrl_c().ok())
    }

    /// Returns after a signal since [`Self::listen`].
    pub(crate) async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Returns when this process is asked to end.
pub(crate) async fn wait_for_termination() {
    TerminationSignals::listen().recv().await;
}
