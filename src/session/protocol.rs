//! The agreement between client and session: revision, introduction and log levels.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::server::LogLevel;
use crate::wire::Revision;

/// The error for a client that names an unknown level.
pub const UNKNOWN_LEVEL_MESSAGE: &str =
    "`level` must be debug, info, notice, warning, error, critical, alert or emergency";

/// The state of the protocol with one client.
#[derive(Debug)]
pub(super) struct ProtocolState {
    initialized: Mutex<Option<Revision>>,
    introduced: AtomicBool,
    /// The lowest level of log messages that the client wants.
    client_level: AtomicU8,
    /// The lowest level at which the servers were told to log.
    server_level: AtomicU8,
}

impl Default for ProtocolState {
    /// A client that names no level gets `info` and above.
    fn default() -> Self {
        Self {
            initialized: Mutex::default(),
            introduced: AtomicBool::new(false),
            client_level: AtomicU8::new(LogLevel::Info as u8),
            server_level: AtomicU8::new(u8::MAX),
        }
    }
}

impl ProtocolState {
    /// Records the revision that `initialize` agreed on.
    pub(super) fn initialize(&self, revision: Revision) {
        *self.initialized.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision);
    }

    /// The revision that `initialize` agreed on, if it came.
    fn revision(&self) -> Option<Revision> {
        *self.initialized.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `initialize` came. Only then are notifications sent unasked.
    pub(super) fn is_initialized(&self) -> bool {
        self.revision().is_some()
    }

    /// Whether a line may be a batch. Before `initialize` it may, because the batch may hold it.
    pub(super) fn accepts_batches(&self) -> bool {
        self.revision().is_none_or(Revision::has_batches)
    }

    /// Records that the client introduced itself.
    pub(super) fn introduce(&self) {
        self.introduced.store(true, Ordering::Relaxed);
    }

    /// Whether the client introduced itself.
    pub(super) fn is_introduced(&self) -> bool {
        self.introduced.load(Ordering::Relaxed)
    }

    /// Sets the level that the client wants, which is also the servers' level.
    pub(super) fn set_level(&self, level: LogLevel) {
        self.client_level.store(level as u8, Ordering::Relaxed);
        self.server_level.store(level as u8, Ordering::Relaxed);
    }

    /// Lowers the servers' level for a modern request. Returns true if they log less so far and must be told.
    pub(super) fn lower_server_level(&self, level: LogLevel) -> bool {
        // `fetch_min` decides and stores in one step, so of two requests at once only the lower one tells the
        // servers.
        (level as u8) < self.server_level.fetch_min(level as u8, Ordering::Relaxed)
    }

    /// The lowest level that a request wants. A modern request names it itself.
    pub(super) fn request_level(&self, own: Option<LogLevel>, is_modern: bool) -> Option<LogLevel> {
        if is_modern || !self.is_initialized() {
            return own;
        }
        let wanted = self.client_level.load(Ordering::Relaxed);
        LogLevel::ALL.into_iter().find(|level| *level as u8 == wanted)
    }

    /// Whether `logging/setLevel`, or the default, admits messages of this level.
    pub(super) fn wants_level(&self, level: LogLevel) -> bool {
        self.is_initialized() && level as u8 >= self.client_level.load(Ordering::Relaxed)
    }
}
