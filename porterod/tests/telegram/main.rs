//! The Telegram channel against a stand-in for Telegram, in good and in bad weather.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bot;
mod courier;
mod pairing;
mod standin;
mod weather;
mod world;
