//! The Telegram channel against a fake Telegram, in good and in bad times.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod activity;
mod bot;
mod burst;
mod callbacks;
mod cards;
mod commands;
mod definitions;
#[path = "../daemon/fake_server.rs"]
mod fake_server;
mod fake_telegram;
mod fake_user;
mod fixture;
mod groups;
mod outages;
mod paging;
mod pairing;
mod quorum;
mod remote_prompts;
mod scopes;
mod sender;
mod topics;
mod undeliverable;
mod waiting;
