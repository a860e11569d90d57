//! Portero: the gateway that a person puts between an AI agent and everything the agent may touch.
//!
//! An agent's request becomes a [`call::Call`]. [`policy`] turns it into an allowed call, a question for a
//! person, or a refusal. Only a [`permit::Permitted`] call reaches a server, only an [`anonymize::Fake`] value
//! reaches the agent, and [`audit`] records everything.
//!
//! This library never touches the terminal, a database or the environment. Its modules are layers, in the
//! order below: each imports only from those above it, and `tests/layers.rs` checks that.

pub mod sync;

pub mod printable;

pub mod digest;
pub mod json;
pub mod names;

pub mod clock;

pub mod files;

pub mod paths;
pub mod secret;

pub mod atomic_file;
pub mod session_key;
pub mod store_identity;

pub mod encrypted_file;

pub mod passphrase;

pub mod hardening;

pub mod pattern;

pub mod access;

pub mod anonymize;

pub mod policy;

pub mod config;

pub mod approved_config;

pub mod call;

pub mod task;

pub mod approval_scope;

pub mod notice;

pub mod permit;

pub mod audit;

pub mod wire;

pub mod server;

pub mod catalog;

pub mod pipeline;

pub mod binding;

pub mod session;

pub mod ipc;
