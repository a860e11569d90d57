//! The configuration directory becomes one valid [`Config`], or every problem in it at once.

mod types;

pub use types::{Approvals, Config, Files, Limits, Problem, Problems, Server, Settings, Severity, Skipped};
