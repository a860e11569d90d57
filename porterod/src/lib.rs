//! The Portero daemon: one per user; it outlives sessions.
//!
//! It keeps tasks, rules and grants, asks people, and runs approved calls through the library's own
//! [`portero::pipeline`]. It also runs the servers that sessions share.
//! The modules are layers in the order below: each imports only from those above it.

#[cfg(test)]
mod crash;

// Some of these tests share files with those that stand outside of this crate.
#[cfg(test)]
extern crate self as porterod;

pub mod boot;

pub mod signals;

mod reserved;

pub mod programs;

pub mod keyring;

pub mod store;

pub mod journal;

pub mod auth;

/// Who may ask over HTTPS with a bearer token.
pub mod access_tokens;

pub mod bot_health;

pub mod https_health;

pub mod sessions;

pub mod overrides;

pub mod approvals;

pub mod secrets;

pub mod http_client;

pub mod oauth;

/// Servers over HTTP.
pub mod http_transport;

pub mod connect;

/// Tokens of an OpenID Connect issuer.
pub mod oidc;

pub mod upstreams;

pub mod login;

pub mod approved_config;

pub mod daemon;

pub mod api;

pub mod remote_sessions;

pub mod presentation;

pub mod telegram;

pub mod https;

pub mod listen;

pub mod app;
