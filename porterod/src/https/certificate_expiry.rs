//! When a certificate begins and ends.

use jiff::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The end of the validity of a certificate in DER; none if it isn't one. An end beyond all times that can be told,
/// as of certificates that never end (RFC 5280, section 4.1.2.5), is the last of them.
pub(super) fn certificate_expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(nearest_time(parsed.validity().not_after.timestamp()))
}

/// The begin of the validity of a certificate in DER; none if it isn't one.
pub(super) fn certificate_start(certificate: &[u8]) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(nearest_time(parsed.validity().not_before.timestamp()))
}

fn nearest_time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_never_ends_has_an_end() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let expiry_of = |year| {
            let mut params = rcgen::CertificateParams::default();
            params.not_after = rcgen::date_time_ymd(year, 12, 31);
            certificate_expiry(params.self_signed(&key).expect("a certificate").der())
        };
        assert_eq!(expiry_of(2030), Some("2030-12-31T00:00:00Z".parse().expect("a time")));
        assert_eq!(
            expiry_of(9999),
            Some(Timestamp::from_second(Timestamp::MAX.as_second()).expect("a time"))
        );
        assert_eq!(certificate_expiry(b"none"), None);
    }
}
