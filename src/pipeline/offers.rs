//! Asking servers what they offer: each at most once at a time, whoever needs it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Pipeline;
use crate::names::ServerName;
use crate::server::{List, ServerError};

/// Which offers were asked for in this process, and what came of it.
#[derive(Debug)]
pub struct Offers {
    asked: Mutex<HashMap<ServerName, Asked>>,
    revisions: watch::Sender<Revisions>,
}

/// How often each list changed since the process began; whoever told a client an older number tells it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revisions {
    /// Changes of tools.
    pub tools: u64,
    /// Changes of resources and templates.
    pub resources: u64,
    /// Changes of prompts.
    pub prompts: u64,
    /// Offers that came or failed.
    pub settled: u64,
}

#[derive(Debug, Default)]
struct Asked {
    /// Held while the server is asked.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// How often it was asked to the end.
    times: u64,
    /// What came of the last time.
    last: Option<Result<(), ServerError>>,
    /// Whether somebody already waits to ask anew.
    queued: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self { asked: Mutex::default(), revisions: watch::Sender::new(Revisions::default()) }
    }
}

impl Offers {
    /// Tells of every change from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Revisions> {
        self.revisions.subscribe()
    }

    /// Whether the server itself said in this process what it offers.
    #[must_use]
    pub fn is_fresh(&self, server: &ServerName) -> bool {
        self.with(server, |asked| asked.last == Some(Ok(())))
    }

    /// Why the server could not say what it offers, if that is how the last attempt ended.
    #[must_use]
    pub fn failure(&self, server: &ServerName) -> Option<ServerError> {
        self.with(server, |asked| asked.last.clone()).and_then(Result::err)
    }

    /// Forgets what came of earlier attempts, since the configuration changed.
    pub fn forget(&self) {
        for asked in self.asked.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            asked.last = None;
        }
    }

    fn with<T>(&self, server: &ServerName, look: impl FnOnce(&mut Asked) -> T) -> T {
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        look(all.entry(server.clone()).or_default())
    }

    fn settle(&self, server: &ServerName, outcome: &Result<Vec<List>, ServerError>) {
        self.with(server, |asked| {
            asked.times += 1;
            asked.last = Some(outcome.as_ref().map(|_| ()).map_err(Clone::clone));
        });
        self.revisions.send_modify(|revisions| {
            revisions.settled += 1;
            for list in outcome.iter().flatten() {
                match list {
                    List::Tools => revisions.tools += 1,
                    List::Resources => revisions.resources += 1,
                    List::Prompts => revisions.prompts += 1,
                }
            }
        });
    }
}

/// The one place in a server's queue; given back when dropped, whatever happens.
struct Queued<'a>(&'a Offers, &'a ServerName);

impl<'a> Queued<'a> {
    fn take(offers: &'a Offers, server: &'a ServerName) -> Option<Self> {
        let taken = offers.with(server, |asked| std::mem::replace(&mut asked.queued, true));
        (!taken).then_some(Self(offers, server))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.with(self.1, |asked| asked.queued = false);
    }
}

impl Pipeline {
    /// Asks a server what it offers and puts it into the catalog, unless somebody is doing that right now:
    /// then their outcome is this one's.
    ///
    /// # Errors
    /// When the server cannot be started or does not answer.
    pub async fn fetch(&self, server: &ServerName) -> Result<(), ServerError> {
        let (gate, before) = self.offers.with(server, |asked| (Arc::clone(&asked.gate), asked.times));
        let _alone = gate.lock().await;
        let meanwhile = self.offers.with(server, |asked| (asked.times > before).then(|| asked.last.clone()));
        match meanwhile.flatten() {
            Some(outcome) => outcome,
            None => self.ask_offer(server).await,
        }
    }

    /// Asks a server anew what it offers, since it said that something changed. Many such words in a row are
    /// one question.
    ///
    /// # Errors
    /// When the server cannot be started or does not answer.
    pub async fn refresh(&self, server: &ServerName) -> Result<(), ServerError> {
        let Some(place) = Queued::take(&self.offers, server) else { return Ok(()) };
        let gate = self.offers.with(server, |asked| Arc::clone(&asked.gate));
        let _alone = gate.lock().await;
        drop(place);
        self.ask_offer(server).await
    }

    async fn ask_offer(&self, server: &ServerName) -> Result<(), ServerError> {
        let offer = if self.shared.load().contains(server) {
            self.desk.offer(server).await
        } else {
            self.fleet.offer(server).await
        };
        let outcome = match offer {
            Ok(offer) => Ok(self.catalog.set_offer(server, offer)),
            Err(error) => {
                let reason = self.anonymizer.load().conceal_text(&error.to_string()).into_inner();
                tracing::warn!(%server, reason, "a server does not say what it offers");
                self.catalog.offer_failed(server, reason);
                Err(error)
            }
        };
        self.offers.settle(server, &outcome);
        outcome.map(|_| ())
    }
}
