//! The real binaries: help, exit codes, output, the terminal, the trial, and an agent's session.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(target_os = "linux")]
mod adversary;
mod agent;
mod anonymize;
#[cfg(unix)]
mod approve;
#[cfg(unix)]
mod asking;
mod asking_page;
mod audit;
#[cfg(unix)]
#[path = "../support/background_telegram.rs"]
mod background_telegram;
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
mod https;
mod instances;
mod joining;
#[cfg(unix)]
mod limits;
mod logging;
mod mcp_http;
mod pending_watch;
#[cfg(unix)]
mod pins;
mod policy;
#[path = "../support/porterod.rs"]
mod porterod;
mod quorum;
mod recovery;
#[cfg(unix)]
mod remember;
#[cfg(target_os = "linux")]
mod secrets;
mod session;
mod settings;
mod skew;
mod soak;
mod telegram;
mod telegram_confirmation;
mod terminal;
mod test_support;
mod tokens;
mod totp;
mod trial;
mod waiting_calls;
