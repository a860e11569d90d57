//! One process's children: the part that the rest of Portero sees.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Answer, Event, Follow, Health, Launch, Offer, ServerError};
use crate::config;
use crate::names::ServerName;
use crate::permit::Outgoing;

/// The servers of this process.
#[derive(Debug)]
pub struct Fleet {}

impl Fleet {
    /// A fleet of these servers; starts none.
    #[must_use]
    pub fn new(servers: Vec<config::Server>, launch: Launch) -> (Arc<Self>, mpsc::Receiver<Event>) {
        todo!()
    }

    /// What the server offers: starts it if needed and pages through every list whose capability it declared.
    ///
    /// # Errors
    /// When it cannot be started or does not answer.
    pub async fn offer(&self, server: &ServerName) -> Result<Offer, ServerError> {
        todo!()
    }

    /// Sends a permitted call to its server, starting it if needed, and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer; see [`ServerError`] for what that says about the call's effect.
    pub async fn call(&self, call: Outgoing, follow: Follow) -> Result<Answer, ServerError> {
        todo!()
    }

    /// Tells every server that declares logging, now and after each start, which level to log from.
    pub fn set_log_level(&self, level: &str) {
        todo!()
    }

    /// How each server is, in the order of the configuration.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        todo!()
    }

    /// Takes the servers of a new configuration: those that stay the same go on running, the others end.
    pub fn replace(&self, servers: Vec<config::Server>) {
        todo!()
    }

    /// Ends every server and all its descendants, within 250 ms; nothing starts again.
    pub async fn close(&self) {
        todo!()
    }
}
