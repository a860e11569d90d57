//! Who may ask over HTTPS by a token of an issuer or by a certificate. Another issuer or authority, and whatever lets
//! someone reach more, widens.

use super::{ConfigChanges, SETTINGS_FILE};
use crate::config::{CertificateGrant, CertificateMatch, ClaimGrant, ClientCertificates, OidcSettings};

pub(super) fn compare_oidc(
    confirmed: Option<&OidcSettings>,
    changed: Option<&OidcSettings>,
    changes: &mut ConfigChanges,
) {
    let mut note = |widens: bool, words: String| changes.push_change(widens, SETTINGS_FILE, words);
    let (was, is) = match (confirmed, changed) {
        (None, None) => return,
        (Some(was), None) => {
            return note(false, format!("https.oidc: tokens of `{}` count no more", was.issuer));
        }
        (None, Some(is)) => (None, is),
        (Some(was), Some(is)) => (Some(was), is),
    };
    let OidcSettings { issuer, audiences, algorithms, jwks_url, ca_file, claims } = is;
    if was.is_none_or(|was| was.issuer != *issuer) {
        note(true, format!("https.oidc: tokens of `{issuer}` count"));
    }
    if was.is_some_and(|was| was.jwks_url != *jwks_url) {
        note(true, "https.oidc.jwksUrl: the issuer's keys are read elsewhere".to_owned());
    }
    if was.is_some_and(|was| was.ca_file != *ca_file) {
        let from = ca_file.as_ref().map_or("the usual ones".into(), |file| format!("`{}`", file.display()));
        note(true, format!("https.oidc.caFile: the issuer is known by the authorities of {from}"));
    }
    let known = was.map_or(&[][..], |was| was.audiences.as_slice());
    for audience in audiences.iter().filter(|audience| !known.contains(audience)) {
        note(true, format!("https.oidc.audience: tokens for `{audience}` count"));
    }
    for audience in known.iter().filter(|audience| !audiences.contains(audience)) {
        note(false, format!("https.oidc.audience: tokens for `{audience}` count no more"));
    }
    let known = was.map_or(&[][..], |was| was.algorithms.as_slice());
    for algorithm in algorithms.iter().filter(|algorithm| !known.contains(algorithm)) {
        note(true, format!("https.oidc.algorithms: {} counts", algorithm.name()));
    }
    for algorithm in known.iter().filter(|algorithm| !algorithms.contains(algorithm)) {
        note(false, format!("https.oidc.algorithms: {} counts no more", algorithm.name()));
    }
    let known = was.map_or(&[][..], |was| was.claims.as_slice());
    let describe =
        |ClaimGrant { path, value, scope }: &ClaimGrant| format!("`{path}` with `{value}`: {scope}");
    for grant in claims.iter().filter(|grant| !known.contains(grant)) {
        note(true, format!("https.oidc.claims: {}", describe(grant)));
    }
    for grant in known.iter().filter(|grant| !claims.contains(grant)) {
        note(false, format!("https.oidc.claims: no more {}", describe(grant)));
    }
}

/// What both accept. Another issuer, or other keys, leave nothing until they are confirmed.
pub(super) fn effective_oidc(
    confirmed: Option<&OidcSettings>,
    changed: Option<&OidcSettings>,
) -> Option<OidcSettings> {
    let (known, edited) = confirmed.zip(changed)?;
    let keys = |is: &OidcSettings| (is.issuer.clone(), is.jwks_url.clone(), is.ca_file.clone());
    if keys(known) != keys(edited) {
        return None;
    }
    let both = OidcSettings {
        issuer: known.issuer.clone(),
        audiences: intersect(&known.audiences, &edited.audiences),
        algorithms: intersect(&known.algorithms, &edited.algorithms),
        jwks_url: known.jwks_url.clone(),
        ca_file: known.ca_file.clone(),
        claims: intersect(&known.claims, &edited.claims),
    };
    let is_usable = !both.audiences.is_empty() && !both.algorithms.is_empty() && !both.claims.is_empty();
    is_usable.then_some(both)
}

pub(super) fn compare_certificates(
    confirmed: Option<&ClientCertificates>,
    changed: Option<&ClientCertificates>,
    changes: &mut ConfigChanges,
) {
    let mut note = |widens: bool, words: String| changes.push_change(widens, SETTINGS_FILE, words);
    let what = "https.clientCertificates";
    let (was, is) = match (confirmed, changed) {
        (None, None) => return,
        (Some(_), None) => return note(false, format!("{what}: certificates count no more")),
        (was, Some(is)) => (was, is),
    };
    let ClientCertificates { ca_file, clients } = is;
    if was.is_none_or(|was| was.ca_file != *ca_file) {
        note(true, format!("{what}.caFile: the authorities of `{}` count", ca_file.display()));
    }
    let known = was.map_or(&[][..], |was| was.clients.as_slice());
    for client in clients.iter().filter(|client| !known.contains(client)) {
        note(true, format!("{what}: {}", describe_client(client)));
    }
    for client in known.iter().filter(|client| !clients.contains(client)) {
        note(false, format!("{what}: no more {}", describe_client(client)));
    }
}

/// What both let in. Another authority lets no one in until it is confirmed.
pub(super) fn effective_certificates(
    confirmed: Option<&ClientCertificates>,
    changed: Option<&ClientCertificates>,
) -> Option<ClientCertificates> {
    let (known, edited) = confirmed.zip(changed)?;
    let clients = intersect(&known.clients, &edited.clients);
    (known.ca_file == edited.ca_file && !clients.is_empty())
        .then(|| ClientCertificates { ca_file: known.ca_file.clone(), clients })
}

fn describe_client(CertificateGrant { name, certificate, scope }: &CertificateGrant) -> String {
    match certificate {
        CertificateMatch::Sha256(_) => format!("`{name}`, by a fingerprint: {scope}"),
        CertificateMatch::CommonName(common) => format!("`{name}`, by the common name `{common}`: {scope}"),
    }
}

fn intersect<T: Clone + PartialEq>(known: &[T], edited: &[T]) -> Vec<T> {
    known.iter().filter(|one| edited.contains(one)).cloned().collect()
}
