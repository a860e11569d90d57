//! Fetches servers' listings: each server is asked at most once at a time, for all callers together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::Pipeline;
use crate::names::ServerName;
use crate::server::{ListKind, ServerError, ServerListing};
use crate::sync::lock;

/// The listings that were fetched in this process, and their outcomes.
#[derive(Debug)]
pub struct ListingFetches {
    states: Mutex<HashMap<ServerName, FetchState>>,
    versions: watch::Sender<ListVersions>,
}

/// How often each list changed since the process began. A client that knows an older number must be notified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListVersions {
    /// Changes of tools.
    pub tools: u64,
    /// Changes of resources and templates.
    pub resources: u64,
    /// Changes of prompts.
    pub prompts: u64,
    /// Listings that were fetched, or failed.
    pub fetches: u64,
}

#[derive(Debug, Default)]
struct FetchState {
    /// Held while the server is asked.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// How many fetches were completed.
    completed: u64,
    /// The outcome of the last fetch.
    last: Option<Result<(), ServerError>>,
    /// Whether a caller already waits to fetch again.
    queued: bool,
    /// How often the server announced a change, or ended.
    announcements: u64,
    /// How many of them the last listing covers, because it was fetched after them.
    covered: u64,
}

impl Default for ListingFetches {
    fn default() -> Self {
        Self { states: Mutex::default(), versions: watch::Sender::new(ListVersions::default()) }
    }
}

impl ListingFetches {
    /// Receives every change from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<ListVersions> {
        self.versions.subscribe()
    }

    /// Whether the server itself has answered in this process, and since its last announcement.
    #[must_use]
    pub fn is_fresh(&self, server: &ServerName) -> bool {
        self.with_server(server, |asked| asked.last == Some(Ok(())) && asked.covered >= asked.announcements)
    }

    /// How often the server announced a change. Read before it is asked, for [`Pipeline::adopt_listing`].
    #[must_use]
    pub fn announcements(&self, server: &ServerName) -> u64 {
        self.with_server(server, |asked| asked.announcements)
    }

    /// The server announced a change or ended, so its present listing is outdated.
    pub fn mark_outdated(&self, server: &ServerName) {
        self.with_server(server, |asked| asked.announcements += 1);
    }

    /// Why the last fetch failed, if it did.
    #[must_use]
    pub fn last_failure(&self, server: &ServerName) -> Option<ServerError> {
        self.with_server(server, |asked| asked.last.clone()).and_then(Result::err)
    }

    /// Forgets earlier outcomes, because the configuration changed.
    pub fn forget_outcomes(&self) {
        for asked in lock(&self.states).values_mut() {
            asked.last = None;
        }
    }

    fn with_server<T>(&self, server: &ServerName, look: impl FnOnce(&mut FetchState) -> T) -> T {
        let mut all = lock(&self.states);
        look(all.entry(server.clone()).or_default())
    }

    fn record_fetch(
        &self,
        server: &ServerName,
        outcome: &Result<Vec<ListKind>, ServerError>,
        announcements: u64,
    ) {
        self.with_server(server, |asked| {
            asked.completed += 1;
            asked.covered = asked.covered.max(announcements);
            asked.last = Some(outcome.as_ref().map(|_| ()).map_err(Clone::clone));
        });
        self.versions.send_modify(|revisions| {
            revisions.fetches += 1;
            for list in outcome.iter().flatten() {
                match list {
                    ListKind::Tools => revisions.tools += 1,
                    ListKind::Resources => revisions.resources += 1,
                    ListKind::Prompts => revisions.prompts += 1,
                }
            }
        });
    }
}

/// The one place in a server's queue. Dropping it frees the place.
struct QueuedRefresh<'a>(&'a ListingFetches, &'a ServerName);

impl<'a> QueuedRefresh<'a> {
    fn try_queue(offers: &'a ListingFetches, server: &'a ServerName) -> Option<Self> {
        let taken = offers.with_server(server, |asked| std::mem::replace(&mut asked.queued, true));
        (!taken).then_some(Self(offers, server))
    }
}

impl Drop for QueuedRefresh<'_> {
    fn drop(&mut self) {
        self.0.with_server(self.1, |asked| asked.queued = false);
    }
}

impl Pipeline {
    /// Fetches a server's listing into the catalog. If another caller is doing that, its outcome is returned.
    ///
    /// # Errors
    /// If the server can't be started or doesn't answer.
    pub async fn fetch_listing(&self, server: &ServerName) -> Result<(), ServerError> {
        let (gate, before) =
            self.listing_fetches.with_server(server, |asked| (Arc::clone(&asked.gate), asked.completed));
        let _alone = gate.lock().await;
        // A fetch that completed while we waited for the gate began after this call, or was already under way.
        // Either way its outcome serves.
        let meanwhile = self
            .listing_fetches
            .with_server(server, |asked| (asked.completed > before).then(|| asked.last.clone()));
        match meanwhile.flatten() {
            Some(outcome) => outcome,
            None => self.request_listing(server).await,
        }
    }

    /// Fetches a server's listing again, because it announced a change. Many announcements in a row cause one
    /// fetch.
    ///
    /// # Errors
    /// If the server can't be started or doesn't answer.
    pub async fn refresh_listing(&self, server: &ServerName) -> Result<(), ServerError> {
        // From the announcement on, no call is decided by the former listing.
        self.listing_fetches.mark_outdated(server);
        let Some(place) = QueuedRefresh::try_queue(&self.listing_fetches, server) else { return Ok(()) };
        let gate = self.listing_fetches.with_server(server, |asked| Arc::clone(&asked.gate));
        let _alone = gate.lock().await;
        // Freed before the fetch, so that a change announced during it queues another one.
        drop(place);
        self.request_listing(server).await
    }

    async fn request_listing(&self, server: &ServerName) -> Result<(), ServerError> {
        let announcements = self.listing_fetches.announcements(server);
        let offer = if self.shared_names.load().contains(server) {
            self.shared_servers.fetch_listing(server).await
        } else {
            self.servers.fetch_listing(server).await
        };
        match offer {
            Ok(offer) => {
                self.adopt_listing(server, offer, announcements);
                Ok(())
            }
            Err(error) => {
                let reason = self.anonymizer.load().conceal_text(&error.describe_for_listing()).into_inner();
                tracing::warn!(%server, reason, "a server does not say what it offers");
                self.catalog.record_listing_failure(server, reason);
                self.listing_fetches.record_fetch(server, &Err(error.clone()), announcements);
                Err(error)
            }
        }
    }

    /// Stores a listing that was fetched, reports its definitions, and returns which lists changed. `announcements` are
    /// those of before it was fetched.
    pub fn adopt_listing(
        &self,
        server: &ServerName,
        listing: ServerListing,
        announcements: u64,
    ) -> Vec<ListKind> {
        let changes = self.catalog.set_listing(server, listing);
        // Before the listing counts as fresh, so that its first sight is known to the calls that waited for it.
        self.note_definitions(server);
        self.listing_fetches.record_fetch(server, &Ok(changes.clone()), announcements);
        changes
    }
}
