//! The claims of a token whose signature is right (RFC 7519, section 4.1).

use std::time::Duration;

use jiff::Timestamp;
use portero::access::AccessScope;
use portero::config::OidcSettings;
use portero::printable::is_invisible;
use serde_json::{Map, Value};

use super::{OidcRefusal, OidcSubject};

/// How far the issuer's clock may be from this one.
pub(super) const CLOCK_LEEWAY: Duration = Duration::from_secs(30);
/// The longest `sub` (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT_LENGTH: usize = 255;
/// What Keycloak says in the claim `typ` of tokens that are no access tokens.
const OTHER_TOKENS: [&str; 4] = ["ID", "Refresh", "Offline", "Logout"];

/// The subject of these claims, and what they permit.
pub(super) fn check(
    payload: &[u8],
    settings: &OidcSettings,
    now: Timestamp,
) -> Result<OidcSubject, OidcRefusal> {
    let invalid = |why| Err(OidcRefusal::Invalid(why));
    let claims: Map<String, Value> = serde_json::from_slice(payload)
        .map_err(|_| OidcRefusal::Invalid("the token's claims are no JSON object"))?;
    if claims.get("iss").and_then(Value::as_str) != Some(settings.issuer.as_str()) {
        return invalid("the token is of another issuer");
    }
    if !has_audience(claims.get("aud"), &settings.audiences) {
        return invalid("the token is for another audience");
    }
    if claims.get("typ").and_then(Value::as_str).is_some_and(|kind| OTHER_TOKENS.contains(&kind)) {
        return invalid("the token is no access token");
    }
    let (now, leeway) = (seconds(now), CLOCK_LEEWAY.as_secs_f64());
    let Some(expires) = claims.get("exp").and_then(Value::as_f64) else {
        return invalid("the token does not say when it ends");
    };
    if now >= expires + leeway {
        return invalid("the token has expired");
    }
    for (name, why) in [("nbf", "the token is not valid yet"), ("iat", "the token was issued in the future")]
    {
        // A time of another type must not pass for a missing one.
        let Some(time) = claims.get(name) else { continue };
        if !time.as_f64().is_some_and(|time| time <= now + leeway) {
            return invalid(why);
        }
    }
    let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| is_subject(subject));
    let Some(subject) = subject else { return invalid("the token names no usable subject") };
    let scope = permitted(&claims, settings).ok_or(OidcRefusal::NoAccess)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time beyond the range saturates, and the next line bounds it"
    )]
    let expires = Timestamp::from_second(expires as i64).unwrap_or(Timestamp::MAX);
    Ok(OidcSubject { subject: subject.to_owned(), scope, expires })
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this era are exact in an f64")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

fn has_audience(claim: Option<&Value>, audiences: &[String]) -> bool {
    let is_ours =
        |value: &Value| value.as_str().is_some_and(|name| audiences.iter().any(|ours| ours == name));
    match claim {
        Some(Value::Array(several)) => several.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    }
}

/// A subject is shown to people and stands in the audit.
fn is_subject(subject: &str) -> bool {
    !subject.is_empty() && subject.len() <= MAX_SUBJECT_LENGTH && !subject.chars().any(is_invisible)
}

/// What the table of the configuration permits to these claims; none without a match.
fn permitted(claims: &Map<String, Value>, settings: &OidcSettings) -> Option<AccessScope> {
    let matching = settings.claims.iter().filter(|grant| {
        find(claims, &grant.path).is_some_and(|claim| holds(&grant.path, claim, &grant.value))
    });
    matching.fold(None, |permitted: Option<AccessScope>, grant| match permitted {
        None => Some(grant.scope.clone()),
        // A scope is bounded: what doesn't fit any more is not permitted.
        Some(permitted) => Some(permitted.union(&grant.scope).unwrap_or(permitted)),
    })
}

/// The claim with this name, or else at this path: names of objects inside one another, separated by dots. A name may
/// hold dots itself, such as `https://example.com/groups`.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        let mut names = path.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    })
}

/// Whether a claim has this value, or holds it: in an array, or separated by spaces where the claim is a `scope`
/// (RFC 8693, section 4.2).
fn holds(path: &str, claim: &Value, wanted: &str) -> bool {
    match claim {
        Value::String(text) if matches!(path, "scope" | "scp") => text.split(' ').any(|one| one == wanted),
        Value::String(text) => text == wanted,
        Value::Array(several) => several.iter().any(|one| one.as_str() == Some(wanted)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => false,
    }
}
