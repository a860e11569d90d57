//! The requests of the client that are still open.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

use crate::server::LogLevel;
use crate::sync::lock;
use crate::wire::IdKey;

/// The requests without an answer so far.
#[derive(Default)]
pub(super) struct InFlight(Mutex<HashMap<IdKey, InFlightRequest>>);

pub(super) struct InFlightRequest {
    pub(super) cancel: CancellationToken,
    /// The level of log messages that a modern request wants.
    pub(super) log_level: Option<LogLevel>,
}

/// The most requests that may be open at once.
const MAX_OPEN_REQUESTS: usize = 4096;

/// Why a request isn't accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestRejection {
    /// An open request has the same id.
    SameId,
    /// Too many requests are open.
    TooMany,
}

impl InFlight {
    /// Registers a request, unless its id is in use or too many are open.
    pub(super) fn register(&self, key: IdKey, flight: InFlightRequest) -> Result<(), RequestRejection> {
        let mut flights = self.lock_requests();
        if flights.contains_key(&key) {
            return Err(RequestRejection::SameId);
        }
        if flights.len() >= MAX_OPEN_REQUESTS {
            return Err(RequestRejection::TooMany);
        }
        flights.insert(key, flight);
        Ok(())
    }

    /// Removes a request that was answered or dropped.
    pub(super) fn close(&self, key: &IdKey) {
        self.lock_requests().remove(key);
    }

    /// Cancels a request if it is still open.
    pub(super) fn cancel_request(&self, key: &IdKey) {
        if let Some(flight) = self.lock_requests().get(key) {
            flight.cancel.cancel();
        }
    }

    /// The lowest level that an open modern request wants.
    pub(super) fn lowest_log_level(&self) -> Option<LogLevel> {
        self.lock_requests().values().filter_map(|flight| flight.log_level).min()
    }

    fn lock_requests(&self) -> MutexGuard<'_, HashMap<IdKey, InFlightRequest>> {
        lock(&self.0)
    }
}

impl RequestRejection {
    /// The error for the client.
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::SameId => "a request with this id is still open",
            Self::TooMany => "too many requests are open; wait for answers first",
        }
    }
}
