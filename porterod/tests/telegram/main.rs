//! The Telegram channel against a stand-in for Telegram, in good and in bad weather.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod activity;
mod asked;
mod bot;
mod burst;
mod courier;
mod deciding;
#[path = "../daemon/fake_server.rs"]
mod fake_server;
mod groups;
mod hands;
mod paging;
mod pairing;
mod refused;
mod several;
mod showing;
mod standin;
mod talk;
mod topics;
mod weather;
mod world;
