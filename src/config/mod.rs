//! The configuration directory becomes one valid [`Config`], or every problem in it at once.

pub mod duration;
mod types;

pub use types::{
    Approvals, Config, Files, Limits, Problem, Problems, Server, Settings, Severity, Skipped, Telegram,
};

/// Checks what the files say. `env` looks up an environment variable; it wins over `.env`.
///
/// The configuration is there if and only if no problem is an [`Severity::Error`].
pub fn read(files: &Files, env: &dyn Fn(&str) -> Option<String>) -> (Option<Config>, Problems) {
    let _ = (files, env);
    todo!()
}
