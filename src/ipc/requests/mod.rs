//! Every request to the daemon, a file a subject. [`sessions`] holds what an agent's session asks; the others hold
//! what a person's terminal asks.

pub mod approvals;
pub mod audit;
pub mod auth;
pub mod config;
pub mod daemon;
pub mod overrides;
pub mod sessions;
