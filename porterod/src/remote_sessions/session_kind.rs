//! How long a session of an agent over HTTPS goes on.

/// Whether a session goes on after the request that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// It goes on.
    Lasting,
    /// It serves one request and watches nothing.
    SingleRequest,
    /// It serves one `subscriptions/listen`.
    Listening,
}
