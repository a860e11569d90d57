//! The real binaries: help, exit codes, output, the terminal, the trial, and an agent's session.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(target_os = "linux")]
mod adversary;
mod agent;
mod audit;
mod check;
mod config;
mod crash;
mod crowd;
mod daemon;
mod generated;
mod grants;
mod help;
mod impostor;
#[cfg(unix)]
mod limits;
mod link;
mod logging;
mod mending;
mod phone;
mod policy;
#[path = "../support/porterod.rs"]
mod porterod;
mod quorum;
mod session;
mod settings;
mod skew;
mod soak;
#[allow(unused_imports, reason = "a part of it is used here")]
#[path = "../../../porterod/tests/telegram/standin/mod.rs"]
mod standin;
mod telegram;
mod terminal;
mod totp;
mod trial;
mod watch;
mod world;
