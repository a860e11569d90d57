//! When a person is told something without having asked, and what.

pub mod activity;
pub mod audit_head;
pub mod batch;
pub mod news;
