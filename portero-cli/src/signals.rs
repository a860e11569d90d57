//! Signals: those that end this process, and one that must not.

/// From now on a write beyond `ulimit -f` fails as on a full disk. Without a handler, SIGXFSZ would end this process.
/// Child programs begin with the default again.
pub(crate) fn ignore_file_size_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Where it fails, such a write ends this process as before.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    }
}

/// Receives the signals that end this process, from when it is made: SIGINT, SIGTERM and SIGHUP; elsewhere Ctrl-C.
#[cfg(unix)]
pub(crate) struct TerminationSignals([Option<tokio::signal::unix::Signal>; 3]);

#[cfg(unix)]
impl TerminationSignals {
    /// Listens from now on; the signals do not end the process any more.
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self(kinds.map(|kind| signal(kind).ok()))
    }

    /// Resolves when a signal came since [`Self::listen`].
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
        // Not available: this one never comes.
        None => std::future::pending().await,
    }
}

/// Receives Ctrl-C, from when it is made.
#[cfg(windows)]
pub(crate) struct TerminationSignals(Option<tokio::signal::windows::CtrlC>);

#[cfg(windows)]
impl TerminationSignals {
    /// Listens from now on; Ctrl-C does not end the process any more.
    pub(crate) fn listen() -> Self {
        Self(tokio::signal::windows::ctrl_c().ok())
    }

    /// Resolves when a signal came since [`Self::listen`].
    pub(crate) async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Resolves when this process is told to end.
pub(crate) async fn wait_for_termination() {
    TerminationSignals::listen().recv().await;
}
