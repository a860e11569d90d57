//! Messages that a person gets without having asked.

pub mod activity;
pub mod audit_head;
pub mod batch;
pub mod news;
