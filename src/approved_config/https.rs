//! `https` in `portero.json`: who may reach the endpoint. Opening it, or opening it further, widens.

use super::https_access::{compare_certificates, compare_oidc, effective_certificates, effective_oidc};
use super::{ConfigChanges, SETTINGS_FILE};
use crate::config::duration::format_duration;
use crate::config::{HttpsEncryption, HttpsLimits, HttpsSettings};

pub(super) fn compare_https(
    confirmed: Option<&HttpsSettings>,
    changed: Option<&HttpsSettings>,
    changes: &mut ConfigChanges,
) {
    compare_endpoint(confirmed, changed, changes);
    // An endpoint that is gone lets no one in, which is said already.
    if changed.is_some() {
        let oidc = |https: Option<&'_ HttpsSettings>| https.and_then(|https| https.oidc.clone());
        compare_oidc(oidc(confirmed).as_ref(), oidc(changed).as_ref(), changes);
        let known =
            |https: Option<&'_ HttpsSettings>| https.and_then(|https| https.client_certificates.clone());
        compare_certificates(known(confirmed).as_ref(), known(changed).as_ref(), changes);
    }
}

fn compare_endpoint(
    confirmed: Option<&HttpsSettings>,
    changed: Option<&HttpsSettings>,
    changes: &mut ConfigChanges,
) {
    let mut note = |widens: bool, words: String| changes.push_change(widens, SETTINGS_FILE, words);
    let (was, is) = match (confirmed, changed) {
        (None, None) => return,
        (Some(_), None) => return note(false, "https is closed".to_owned()),
        (None, Some(new)) => {
            note(true, format!("https opens at {}, {}", new.listen, describe_encryption(&new.encryption)));
            for host in &new.hosts {
                note(true, format!("https.hosts: `{host}` may be named"));
            }
            for origin in &new.origins {
                note(true, format!("https.origins: pages of `{origin}` may call"));
            }
            return;
        }
        (Some(was), Some(is)) => (was, is),
    };
    let HttpsSettings {
        listen,
        encryption,
        hosts,
        origins,
        limits,
        bearer_token,
        oidc: _,
        client_certificates: _,
    } = is;
    if was.listen != *listen {
        note(true, format!("https.listen {} → {listen}", was.listen));
    }
    if was.encryption != *encryption {
        let (was, is) = (describe_encryption(&was.encryption), describe_encryption(encryption));
        note(true, format!("https: {was} → {is}"));
    }
    for (what, may, was, is) in
        [("hosts", "be named", &was.hosts, hosts), ("origins", "call", &was.origins, origins)]
    {
        for name in is.iter().filter(|name| !was.contains(name)) {
            note(true, format!("https.{what}: `{name}` may {may}"));
        }
        for name in was.iter().filter(|name| !is.contains(name)) {
            note(false, format!("https.{what}: `{name}` may no longer {may}"));
        }
    }
    match (&was.bearer_token, bearer_token) {
        (was, is) if was == is => {}
        (_, Some(_)) => note(true, "the token of https is another one".to_owned()),
        (_, None) => note(false, "the token of https is gone".to_owned()),
    }
    compare_limits(&was.limits, limits, &mut note);
}

/// A removed endpoint is gone. Of a changed one, what was taken away no longer counts; the rest stays as confirmed.
pub(super) fn effective_https(
    confirmed: Option<&HttpsSettings>,
    changed: Option<&HttpsSettings>,
) -> Option<HttpsSettings> {
    let (known, edited) = confirmed.zip(changed)?;
    let intersect = |known: &[String], edited: &[String]| {
        known.iter().filter(|name| edited.contains(name)).cloned().collect()
    };
    Some(HttpsSettings {
        listen: known.listen,
        encryption: known.encryption.clone(),
        hosts: intersect(&known.hosts, &edited.hosts),
        origins: intersect(&known.origins, &edited.origins),
        limits: stricter_limits(&known.limits, &edited.limits),
        // A token that was replaced is void, and the new one waits.
        bearer_token: known.bearer_token.clone().filter(|known| edited.bearer_token.as_ref() == Some(known)),
        oidc: effective_oidc(known.oidc.as_ref(), edited.oidc.as_ref()),
        client_certificates: effective_certificates(
            known.client_certificates.as_ref(),
            edited.client_certificates.as_ref(),
        ),
    })
}

fn stricter_limits(known: &HttpsLimits, edited: &HttpsLimits) -> HttpsLimits {
    let HttpsLimits {
        max_body_bytes,
        max_header_bytes,
        requests_per_minute,
        requests_per_minute_of_address,
        max_connections,
        max_connections_of_address,
        header_timeout,
        body_timeout,
        idle_timeout,
    } = edited;
    HttpsLimits {
        max_body_bytes: known.max_body_bytes.min(*max_body_bytes),
        max_header_bytes: known.max_header_bytes.min(*max_header_bytes),
        requests_per_minute: known.requests_per_minute.min(*requests_per_minute),
        requests_per_minute_of_address: known
            .requests_per_minute_of_address
            .min(*requests_per_minute_of_address),
        max_connections: known.max_connections.min(*max_connections),
        max_connections_of_address: known.max_connections_of_address.min(*max_connections_of_address),
        header_timeout: known.header_timeout.min(*header_timeout),
        body_timeout: known.body_timeout.min(*body_timeout),
        idle_timeout: known.idle_timeout.min(*idle_timeout),
    }
}

fn compare_limits(was: &HttpsLimits, is: &HttpsLimits, note: &mut impl FnMut(bool, String)) {
    let HttpsLimits {
        max_body_bytes,
        max_header_bytes,
        requests_per_minute,
        requests_per_minute_of_address,
        max_connections,
        max_connections_of_address,
        header_timeout,
        body_timeout,
        idle_timeout,
    } = is;
    let (of_address, connections_of_address) =
        (was.requests_per_minute_of_address, was.max_connections_of_address);
    for (name, was, is) in [
        ("bodyBytes", was.max_body_bytes as u64, *max_body_bytes as u64),
        ("headerBytes", was.max_header_bytes as u64, *max_header_bytes as u64),
        ("requestsPerMinute", was.requests_per_minute.into(), (*requests_per_minute).into()),
        ("requestsPerMinuteOfAddress", of_address.into(), (*requests_per_minute_of_address).into()),
        ("connections", was.max_connections.into(), (*max_connections).into()),
        ("connectionsOfAddress", connections_of_address.into(), (*max_connections_of_address).into()),
    ] {
        if was != is {
            note(is > was, format!("https.limits.{name} {was} → {is}"));
        }
    }
    for (name, was, is) in [
        ("header", was.header_timeout, *header_timeout),
        ("body", was.body_timeout, *body_timeout),
        ("idle", was.idle_timeout, *idle_timeout),
    ] {
        if was != is {
            let words = format!("https.limits.{name} {} → {}", format_duration(was), format_duration(is));
            note(is > was, words);
        }
    }
}

fn describe_encryption(encryption: &HttpsEncryption) -> String {
    match encryption {
        HttpsEncryption::Files { certificate, key } => {
            format!("with the certificate `{}` and the key `{}`", certificate.display(), key.display())
        }
        HttpsEncryption::SelfSigned => "with a certificate that Portero makes".to_owned(),
        HttpsEncryption::Plain => "without encryption".to_owned(),
    }
}
