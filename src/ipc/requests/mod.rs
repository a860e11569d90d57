//! All requests to the daemon, one file for each subject. [`sessions`] has the requests of agents' sessions,
//! the others those of a person's terminal.

pub mod approvals;
pub mod audit;
pub mod auth;
pub mod config;
pub mod daemon;
pub mod definitions;
pub mod handover;
pub mod login;
pub mod overrides;
pub mod secrets;
pub mod sessions;
pub mod tokens;
