//! Being told to end.

/// Resolves when this process is told to end: SIGINT, SIGTERM or SIGHUP; Ctrl-C elsewhere.
#[cfg(unix)]
pub(crate) async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).ok();
    let (mut int, mut term, mut hup) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    tokio::select! {
        () = wait(&mut int) => {}
        () = wait(&mut term) => {}
        () = wait(&mut hup) => {}
    }
}

#[cfg(unix)]
async fn wait(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        // Not available: this one never comes.
        None => std::future::pending().await,
    }
}

/// Resolves when this process is told to end.
#[cfg(not(unix))]
pub(crate) async fn told_to_end() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
