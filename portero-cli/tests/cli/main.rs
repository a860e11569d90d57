//! The real binaries: help, exit codes, output, the terminal, the trial, and an agent's session.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(target_os = "linux")]
mod adversary;
mod agent;
#[cfg(unix)]
mod asking;
mod audit;
mod check;
mod config;
mod connection_flood;
mod crash;
mod daemon;
mod daemon_connection;
mod denials;
mod fake_daemon;
#[allow(unused_imports, reason = "a part of it is used here")]
#[path = "../../../porterod/tests/telegram/fake_telegram/mod.rs"]
mod fake_telegram;
mod generated;
mod grants;
mod help;
mod instances;
#[cfg(unix)]
mod limits;
mod logging;
mod pending_watch;
#[cfg(unix)]
mod pins;
mod policy;
#[path = "../support/porterod.rs"]
mod porterod;
mod quorum;
mod recovery;
mod session;
mod settings;
mod skew;
mod soak;
mod telegram;
mod telegram_confirmation;
mod terminal;
mod test_support;
mod totp;
mod trial;
