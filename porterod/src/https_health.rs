//! How the HTTPS endpoint fares, for `portero status`.

use std::net::SocketAddr;
use std::sync::Mutex;

use portero::config::ClosedHttps;
use portero::ipc::{HttpsCertificate, HttpsStatus};
use portero::sync::lock;

/// The known state of the endpoint. It writes it, and requests read it.
#[derive(Debug, Default)]
pub struct HttpsHealth(Mutex<HttpsStatus>);

impl HttpsHealth {
    /// The present state.
    #[must_use]
    pub fn status(&self) -> HttpsStatus {
        lock(&self.0).clone()
    }

    /// Notes that none is open: none is wanted, or it may not open for this reason.
    pub(crate) fn set_closed(&self, closed: Option<&ClosedHttps>) {
        *lock(&self.0) = match closed {
            None => HttpsStatus::Off,
            Some(ClosedHttps { reason, hint }) => {
                tracing::warn!(reason, "HTTPS stays closed");
                HttpsStatus::Closed { reason: reason.clone(), hint: hint.clone() }
            }
        };
    }

    /// Notes that it could not be opened. A new problem is logged once.
    pub(crate) fn set_failed(&self, listen: SocketAddr, problem: String) {
        let failed = HttpsStatus::Failed { listen, problem };
        let mut status = lock(&self.0);
        if *status != failed {
            tracing::error!(%listen, ?failed, "HTTPS can't be served");
            *status = failed;
        }
    }

    /// Notes that it is served here.
    pub(crate) fn set_serving(&self, address: SocketAddr, certificate: Option<HttpsCertificate>) {
        *lock(&self.0) = HttpsStatus::Serving { address, certificate, problem: None };
    }

    /// Notes that new connections get another certificate.
    pub(crate) fn set_certificate(&self, replaced: HttpsCertificate) {
        if let HttpsStatus::Serving { certificate, problem, .. } = &mut *lock(&self.0) {
            tracing::info!(sha256 = replaced.sha256, "HTTPS has another certificate");
            (*certificate, *problem) = (Some(replaced), None);
        }
    }

    /// Notes whether a changed certificate can't be used. A new problem is logged once.
    pub(crate) fn set_certificate_problem(&self, found: Option<String>) {
        if let HttpsStatus::Serving { problem, .. } = &mut *lock(&self.0)
            && *problem != found
        {
            if let Some(words) = &found {
                tracing::error!(problem = words, "the changed certificate of HTTPS is not used");
            }
            *problem = found;
        }
    }
}
