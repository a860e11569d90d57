//! The Portero daemon: one per user, it lives on when sessions end.
//!
//! It keeps tasks, rules and grants, asks a person, runs what was approved through the library's own
//! [`portero::pipeline`], and serves the servers that sessions share. The modules stand in layers, in the
//! order below: each imports only from those above it.

#[cfg(test)]
mod crash;

pub mod boot;

pub mod signals;

mod reserved;

pub mod store;

pub mod damper;

pub mod journal;

pub mod outbox;

pub mod alarms;

pub mod heads;

pub mod upkeep;

pub mod taps;

pub mod consent;

pub mod passphrase;

pub mod pairing;

pub mod weather;

pub mod confirmed;

pub mod edits;

pub mod rules;

pub mod approval;

pub mod executor;

pub mod subscriptions;

pub mod sessions;

pub mod connections;

pub mod servers;

pub mod daemon;

pub mod configuration;

pub mod api;

pub mod channels;

pub mod reload;

pub mod listen;

pub mod app;
