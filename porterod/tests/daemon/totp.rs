//! An authenticator over the socket: what is wide needs its codes, what is not needs the passphrase alone.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use portero::clock::Clock as _;
use portero::ipc::requests::auth::{EnrollTotp, OfferTotp, RemoveTotp};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{CreateGrant, CreateRule, RemoveRule};
use portero::ipc::{Challenge, DaemonFailure, DisclosedSecret, EnrolledAuthenticator, FailureKind};
use portero::policy::Action;
use sha1::Sha1;

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);
const STEP: Duration = Duration::from_secs(30);

/// A phone that was given this secret (RFC 4226, section 5.3; RFC 6238).
struct FakeAuthenticator(Vec<u8>);

impl FakeAuthenticator {
    fn code(&self, home: &Home) -> String {
        let step = home.clock.now().wall.as_second() / 30;
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).unwrap();
        mac.update(&step.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        let offset = usize::from(hash[19] & 0x0f);
        let four: [u8; 4] = hash[offset..offset + 4].try_into().unwrap();
        format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
    }

    /// The passphrase, and the code of a step that was not there yet.
    fn passphrase_and_code(&self, home: &Home) -> Challenge {
        home.clock.advance(STEP);
        with_code(&self.code(home))
    }
}

fn with_code(code: &str) -> Challenge {
    let mut both = challenge();
    both.code = Some(code.to_owned());
    both
}

async fn enroll(home: &Home, person: &Terminal) -> (FakeAuthenticator, Vec<DisclosedSecret>) {
    let offered = person.request(OfferTotp { challenge: challenge() }).await;
    let Ok(secret) = offered else { panic!("{offered:?}") };
    let phone = FakeAuthenticator(BASE32_NOPAD.decode(secret.expose().as_bytes()).unwrap());
    let enrolled = person.request(EnrollTotp { challenge: with_code(&phone.code(home)) }).await;
    let Ok(codes) = enrolled else { panic!("{enrolled:?}") };
    (phone, codes)
}

fn grant(pattern: &str, lasts: Duration, challenge: Challenge) -> CreateGrant {
    let millis = u64::try_from(lasts.as_millis()).unwrap();
    CreateGrant {
        pattern: pattern.parse().unwrap(),
        millis,
        limits: portero::policy::GrantLimits::default(),
        run_waiting: Vec::new(),
        challenge,
    }
}

fn allow(pattern: &str, challenge: Challenge) -> CreateRule {
    CreateRule {
        pattern: pattern.parse().unwrap(),
        action: Action::Allow,
        run_waiting: Vec::new(),
        challenge: Some(challenge),
    }
}

async fn status_of(person: &Terminal) -> Option<EnrolledAuthenticator> {
    let Ok(status) = person.request(GetStatus).await else { panic!("status") };
    status.totp
}

fn fails_with<T>(result: &Result<T, DaemonFailure>, words: &str) -> bool {
    result.as_ref().is_err_and(|failure| {
        failure.kind == FailureKind::Challenge && failure.message.contains(words) && failure.hint.is_some()
    })
}

#[tokio::test]
async fn what_is_wide_needs_a_code_and_what_is_not_needs_none() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    let deny = |pattern: &'static str| async { person.rule(pattern, Action::Deny).await };
    let Ok(many) = deny("notes/*").await else { panic!("denied") };
    let Ok(one) = deny("common/send").await else { panic!("denied") };
    let (phone, _) = enroll(&home, &person).await;

    for request in [
        AnyRequest::of(grant("notes/*", STEP, challenge())),
        AnyRequest::of(grant("notes/send", HOUR + STEP, challenge())),
        AnyRequest::of(allow("notes/send", challenge())),
        AnyRequest::of(RemoveRule { id: many.id, challenge: Some(challenge()) }),
        AnyRequest::of(RemoveTotp { challenge: challenge() }),
    ] {
        let act = request.words.clone();
        assert!(fails_with(&request.send(&person.0).await, "needs a code"), "{act}");
    }
    person
        .request(RemoveRule { id: many.id, challenge: Some(phone.passphrase_and_code(&home)) })
        .await
        .unwrap();
    person.request(RemoveRule { id: one.id, challenge: Some(challenge()) }).await.unwrap();
    person.request(grant("notes/send", HOUR, challenge())).await.unwrap();
    person.approve(&task).await.unwrap();

    person.request(grant("notes/*", STEP, phone.passphrase_and_code(&home))).await.unwrap();
    let again = person.request(grant("notes/*", STEP, with_code(&phone.code(&home)))).await;
    assert!(fails_with(&again, "used before"), "{again:?}");
    let wrong = person.request(allow("notes/send", with_code("no code"))).await;
    assert!(fails_with(&wrong, "not the code of now"), "{wrong:?}");
    person.request(allow("notes/send", phone.passphrase_and_code(&home))).await.unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn it_outlives_the_daemon_and_goes_with_a_recovery_code() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    assert_eq!(status_of(&person).await, None);
    let (phone, recovery) = enroll(&home, &person).await;
    let used = with_code(&phone.code(&home));
    app.shutdown().await;

    let app = home.start().await;
    let person = home.terminal().await;
    let told = status_of(&person).await.unwrap();
    assert_eq!((told.since, told.recovery), (home.clock.now().wall, 8));
    assert!(told.by.contains(&std::process::id().to_string()), "{told:?}");
    assert!(fails_with(&person.request(grant("notes/*", STEP, used)).await, "used before"));
    let second = person.request(OfferTotp { challenge: challenge() }).await;
    assert!(is_kind(&second, FailureKind::Refused), "{second:?}");

    person.request(RemoveTotp { challenge: with_code(recovery[0].expose()) }).await.unwrap();
    assert_eq!(status_of(&person).await, None);
    person.request(grant("notes/*", STEP, challenge())).await.unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn a_session_reaches_none_of_it() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let (phone, recovery) = enroll(&home, &person).await;
    for request in [
        AnyRequest::of(OfferTotp { challenge: challenge() }),
        AnyRequest::of(EnrollTotp { challenge: phone.passphrase_and_code(&home) }),
        AnyRequest::of(RemoveTotp { challenge: with_code(recovery[0].expose()) }),
    ] {
        let act = request.words.clone();
        assert!(is_kind(&request.send(&session.client).await, FailureKind::Invalid), "{act}");
    }
    assert_eq!(status_of(&person).await.unwrap().recovery, 8);
    app.shutdown().await;
}
