//! The real programs against the real world: MCP servers from npm and PyPI, the official Python SDK, the real
//! Claude Code with a scripted model. The peers come from the package registries by themselves.

#![cfg(unix)]

mod agent;
mod approvals;
#[path = "../support/background_telegram.rs"]
mod background_telegram;
mod claude;
mod crash;
mod day;
#[expect(clippy::unwrap_used, reason = "a test may panic")]
#[allow(unused_imports, reason = "a part of it is used here")]
#[path = "../../../porterod/tests/telegram/fake_telegram/mod.rs"]
mod fake_telegram;
mod https;
mod issuers;
mod logins;
mod peers;
#[path = "../support/porterod.rs"]
mod porterod;
mod regressions;
mod remote;
mod sdk;
mod servers;
mod test_support;
