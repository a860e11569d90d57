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

pub mod debouncer;

pub mod journal;

pub mod outbox;

pub mod alarms;

pub mod checkpoints;

pub mod retention;

pub mod buttons;

pub mod remote_confirmation;

pub mod passphrase;

pub mod pairing;

pub mod bot_health;

pub mod approved_config;

pub mod recent_edits;

pub mod overrides;

pub mod approvals;

pub mod executor;

pub mod subscriptions;

pub mod sessions;

pub mod connections;

pub mod upstreams;

pub mod daemon;

pub mod apply_config;

pub mod api;

pub mod channels;

pub mod reload;

pub mod listen;

pub mod app;
