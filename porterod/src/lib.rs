//! The Portero daemon: one per user; it outlives sessions.
//!
//! It keeps tasks, rules and grants, asks people, and runs approved calls through the library's own
//! [`portero::pipeline`]. It also runs the servers that sessions share.
//! The modules are layers in the order below: each imports only from those above it.

#[cfg(test)]
mod crash;

pub mod boot;

pub mod signals;

mod reserved;

pub mod store;

pub mod journal;

pub mod auth;

pub mod bot_health;

pub mod sessions;

pub mod overrides;

pub mod approvals;

pub mod upstreams;

pub mod approved_config;

pub mod daemon;

pub mod api;

pub mod presentation;

pub mod telegram;

pub mod listen;

pub mod app;
