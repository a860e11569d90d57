//! What the client and the session agreed on: revision, introduction, log levels, and the instructions that are due.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use super::logs::Level;
use crate::wire::Revision;

/// What the client speaks, and what it wants and was told.
#[derive(Debug)]
pub(super) struct ProtocolState {
    initialized: Mutex<Option<Revision>>,
    introduced: AtomicBool,
    /// Whether the next result of a tool repeats what the handshake says.
    owes_instructions: AtomicBool,
    /// From which level on the client wants log messages.
    client_level: AtomicU8,
    /// From which level on the servers were told to log.
    server_level: AtomicU8,
}

impl Default for ProtocolState {
    /// A client that names no level gets what a person might need to know.
    fn default() -> Self {
        Self {
            initialized: Mutex::default(),
            introduced: AtomicBool::new(false),
            owes_instructions: AtomicBool::new(false),
            client_level: AtomicU8::new(Level::Info as u8),
            server_level: AtomicU8::new(u8::MAX),
        }
    }
}

impl ProtocolState {
    /// Notes what `initialize` agreed on.
    pub(super) fn initialize(&self, revision: Revision) {
        *self.initialized.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision);
    }

    /// What `initialize` agreed on, if it came.
    fn revision(&self) -> Option<Revision> {
        *self.initialized.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `initialize` came: only then notifications are sent unasked.
    pub(super) fn is_initialized(&self) -> bool {
        self.revision().is_some()
    }

    /// Whether a line may be a batch. Before `initialize` it may: the batch may hold it.
    pub(super) fn accepts_batches(&self) -> bool {
        self.revision().is_none_or(Revision::has_batches)
    }

    /// Notes that the client said who it is.
    pub(super) fn introduce(&self) {
        self.introduced.store(true, Ordering::Relaxed);
    }

    /// Whether the client said who it is.
    pub(super) fn is_introduced(&self) -> bool {
        self.introduced.load(Ordering::Relaxed)
    }

    /// The next result of a tool repeats the instructions, or does no longer.
    pub(super) fn set_owes_instructions(&self, owes: bool) {
        self.owes_instructions.store(owes, Ordering::Relaxed);
    }

    /// Whether the next result of a tool repeats the instructions.
    pub(super) fn owes_instructions(&self) -> bool {
        self.owes_instructions.load(Ordering::Relaxed)
    }

    /// The client wants log messages from this level on, and the servers are told so.
    pub(super) fn set_level(&self, level: Level) {
        self.client_level.store(level as u8, Ordering::Relaxed);
        self.server_level.store(level as u8, Ordering::Relaxed);
    }

    /// A modern request wants log messages from this level on; true when the servers must be told, since they log
    /// less.
    pub(super) fn lower_server_level(&self, level: Level) -> bool {
        (level as u8) < self.server_level.fetch_min(level as u8, Ordering::Relaxed)
    }

    /// From which level on a request wants log messages: a modern one says so itself.
    pub(super) fn request_level(&self, own: Option<Level>, is_modern: bool) -> Option<Level> {
        if is_modern || !self.is_initialized() {
            return own;
        }
        let wanted = self.client_level.load(Ordering::Relaxed);
        Level::ALL.into_iter().find(|level| *level as u8 == wanted)
    }

    /// Whether `logging/setLevel`, or its default, asks for messages of this level.
    pub(super) fn wants_level(&self, level: Level) -> bool {
        self.is_initialized() && level as u8 >= self.client_level.load(Ordering::Relaxed)
    }
}
