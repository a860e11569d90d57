//! Who asks from another machine, and the seam at which that is found out.

use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use portero::pattern::Pattern;
use rustls::pki_types::CertificateDer;

use super::certificate_expiry::certificate_expiry;
use crate::remote_sessions::Validity;

/// One who authenticated over HTTPS.
#[derive(Debug, Clone)]
pub struct RemotePrincipal {
    /// The name, as audit and cards show it.
    pub name: String,
    /// The tools and operations that it may reach: those that one of these covers. Policy decides about them as
    /// for any other agent.
    pub tools: Vec<Pattern>,
    /// Where the request came from.
    pub address: SocketAddr,
    /// How long its credential is valid.
    pub validity: Validity,
}

/// A client's certificate, whose chain was verified in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    certificate: CertificateDer<'static>,
    expires: Option<Timestamp>,
}

impl ClientCertificate {
    /// The first certificate of a verified chain.
    #[must_use]
    pub fn new(certificate: CertificateDer<'static>) -> Self {
        let expires = certificate_expiry(&certificate);
        Self { certificate, expires }
    }

    /// When it ends; none if that can't be read.
    #[must_use]
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The certificate in DER (X.509).
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.certificate
    }
}

/// Why a request is refused before its body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The status: 401 without a valid credential, 403 where it is not enough, 503 where it can't be checked now
    /// (RFC 9110).
    pub status: StatusCode,
    /// The header `WWW-Authenticate`, which a 401 must have (RFC 9110, section 11.6.1).
    pub www_authenticate: Option<HeaderValue>,
    /// What the client is told. It says nothing of which credential would be right.
    pub message: &'static str,
}

/// Tells who asks.
pub trait Authenticator: Send + Sync {
    /// The principal of a request, by its head and the connection it came on alone.
    ///
    /// Secrets are compared in constant time (guarantee T1).
    fn authenticate<'a>(
        &'a self,
        request: &'a Parts,
        address: SocketAddr,
        certificate: Option<&'a ClientCertificate>,
    ) -> BoxFuture<'a, Result<RemotePrincipal, Challenge>>;
}
