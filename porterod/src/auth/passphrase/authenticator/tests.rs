use data_encoding::BASE32_NOPAD;
use portero::audit::{self, AuditEvent, RecordFilter};
use portero::clock::Clock as _;

use super::*;
use crate::approvals::tests::Fixture;
use crate::auth::Authorization;
use crate::auth::passphrase::tests::{RIGHT_PASSPHRASE, given, new_passphrase, open_checker, set_up};
use crate::auth::passphrase::totp::{SECRET_LENGTH, code_at_step};
use crate::auth::passphrase::{MIN_PAUSE, PassphraseError as Wrong};

const STEP: Duration = Duration::from_secs(30);

/// A phone: it knows the secret and the time.
struct FakeAuthenticator([u8; SECRET_LENGTH]);

impl FakeAuthenticator {
    async fn from_offer(passphrase: &PassphraseChecker) -> Self {
        let shown = passphrase.offer_totp(given(passphrase, &right_passphrase())).await.unwrap();
        Self(BASE32_NOPAD.decode(shown.expose().as_bytes()).unwrap().try_into().unwrap())
    }

    fn code_at_step(&self, fixture: &Fixture, steps: i64) -> Option<Secret> {
        let present = fixture.clock.now().wall.as_second() / 30;
        Some(Secret::new(code_at_step(&self.0, (present + steps).cast_unsigned())))
    }
}

fn right_passphrase() -> Secret {
    Secret::new(RIGHT_PASSPHRASE)
}

fn typed_code(code: &str) -> Option<Secret> {
    Some(Secret::new(code))
}

async fn authorize_high_risk(
    passphrase: &PassphraseChecker,
    code: Option<Secret>,
) -> Result<Authorization, Wrong> {
    passphrase.authorize(given(passphrase, &right_passphrase()), code, &Act::Resume, &"pid 2".into()).await
}

/// A passphrase and an authenticator whose present code is used.
async fn enroll_authenticator() -> (Fixture, PassphraseChecker, FakeAuthenticator, Vec<Secret>) {
    let (fixture, passphrase) = set_up().await;
    let phone = FakeAuthenticator::from_offer(&passphrase).await;
    let recovery = passphrase
        .enroll_totp(
            given(&passphrase, &right_passphrase()),
            phone.code_at_step(&fixture, 0),
            &"pid 7".into(),
        )
        .await
        .unwrap();
    (fixture, passphrase, phone, recovery)
}

/// What the audit says was done, and about what.
fn recorded_acts(fixture: &Fixture) -> Vec<String> {
    let log = audit::read_log(&fixture.directory.path().join("audit"), &RecordFilter::default()).unwrap();
    let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
        AuditEvent::Act { act, about, .. } => Some(format!("{act}: {about}")),
        _ => None,
    });
    acts.collect()
}

/// Changes the store as another program would.
async fn tamper(fixture: &Fixture, sql: &'static str) {
    let change = move |connection: &Connection| Ok(connection.execute_batch(sql)?);
    fixture.journal.store().write(Durability::StoreSynced, change).await.unwrap();
}

#[tokio::test]
async fn until_one_is_enrolled_the_passphrase_alone_confirms_what_is_wide() {
    let (_bench, passphrase) = set_up().await;
    assert_eq!(passphrase.enrolled_totp().unwrap(), None);
    assert_eq!(authorize_high_risk(&passphrase, None).await.unwrap().actor(), &Actor::terminal("pid 2"));
    let guessed = passphrase
        .authorize(given(&passphrase, &Secret::new("guess")), typed_code("123456"), &Act::Resume, &"p".into())
        .await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 4 });
    assert_eq!(
        passphrase.remove_totp(given(&passphrase, &right_passphrase()), None, &"p".into()).await.unwrap_err(),
        Wrong::NotEnrolled
    );
}

#[tokio::test]
async fn it_takes_effect_with_a_first_code_and_tells_since_when() {
    let (fixture, passphrase) = set_up().await;
    let none = passphrase
        .enroll_totp(given(&passphrase, &right_passphrase()), typed_code("000000"), &"p".into())
        .await;
    assert_eq!(none.unwrap_err(), Wrong::NotOffered);
    assert!(matches!(
        passphrase.offer_totp(given(&passphrase, &Secret::new("guess"))).await,
        Err(Wrong::Wrong { .. })
    ));
    let phone = FakeAuthenticator::from_offer(&passphrase).await;
    let far = passphrase
        .enroll_totp(given(&passphrase, &right_passphrase()), phone.code_at_step(&fixture, 5), &"p".into())
        .await;
    assert_eq!(far.unwrap_err(), Wrong::WrongFirstCode);
    let guessed = passphrase
        .enroll_totp(given(&passphrase, &Secret::new("guess")), phone.code_at_step(&fixture, 0), &"p".into())
        .await;
    assert!(matches!(guessed, Err(Wrong::Wrong { .. })));
    assert!(authorize_high_risk(&passphrase, None).await.is_ok(), "not in force yet");

    let recovery = passphrase
        .enroll_totp(
            given(&passphrase, &right_passphrase()),
            phone.code_at_step(&fixture, 0),
            &"pid 7".into(),
        )
        .await
        .unwrap();
    let since = fixture.clock.now().wall;
    let told = EnrolledTotp { since, by: "pid 7".to_owned(), recovery: 8, is_outdated: false };
    assert_eq!(passphrase.enrolled_totp().unwrap(), Some(told));
    let mut different: Vec<&str> = recovery.iter().map(Secret::expose).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 8);
    assert_eq!(
        passphrase.offer_totp(given(&passphrase, &right_passphrase())).await.unwrap_err(),
        Wrong::Enrolled(since)
    );
    assert!(recorded_acts(&fixture).contains(&"totp enroll: the authenticator".to_owned()));
}

#[tokio::test]
async fn a_secret_that_was_offered_long_ago_is_not_enrolled() {
    let (fixture, passphrase) = set_up().await;
    let phone = FakeAuthenticator::from_offer(&passphrase).await;
    fixture.clock.advance(OFFER_TIMEOUT + STEP);
    let late = passphrase
        .enroll_totp(given(&passphrase, &right_passphrase()), phone.code_at_step(&fixture, 0), &"p".into())
        .await;
    assert_eq!(late.unwrap_err(), Wrong::NotOffered);
}

#[tokio::test]
async fn what_is_wide_needs_both_and_what_is_not_needs_the_passphrase_alone() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    assert_eq!(authorize_high_risk(&passphrase, None).await.unwrap_err(), Wrong::CodeMissing);
    assert!(
        passphrase
            .authorize(given(&passphrase, &right_passphrase()), None, &Act::Pause, &"p".into())
            .await
            .is_ok()
    );
    let guessed = passphrase
        .authorize(
            given(&passphrase, &Secret::new("guess")),
            phone.code_at_step(&fixture, 1),
            &Act::Resume,
            &"p".into(),
        )
        .await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 4 });
    assert_eq!(
        authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 1)).await.unwrap().actor(),
        &Actor::terminal("pid 2")
    );
}

#[tokio::test]
async fn each_code_counts_once_also_after_a_crash() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    let first = authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 0)).await;
    assert_eq!(first.unwrap_err(), Wrong::CodeUsed, "it enrolled the authenticator");
    assert!(authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 1)).await.is_ok());
    let after = fixture.after_crash();
    for (fixture, passphrase) in [(&fixture, &passphrase), (&after, &open_checker(&after))] {
        for steps in [1, 0, -1] {
            let again = authorize_high_risk(passphrase, phone.code_at_step(fixture, steps)).await;
            assert_eq!(again.unwrap_err(), Wrong::CodeUsed, "{steps}");
        }
    }
    fixture.clock.advance(2 * STEP);
    assert!(authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 0)).await.is_ok());
}

#[tokio::test]
async fn of_many_at_once_with_one_code_one_is_confirmed() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    let tries = (0..4).map(|_| authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 1)));
    let tries = futures_util::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|tried| tried.is_ok()).count(), 1);
}

#[tokio::test]
async fn wrong_codes_lead_to_the_pause_and_the_passphrase_alone_does_not_end_it() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    for left in [4, 3, 2, 1, 0] {
        let guessed = authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 7)).await;
        assert_eq!(guessed.unwrap_err(), Wrong::CodeWrong { left });
        if left > 0 {
            assert!(
                passphrase
                    .authorize(given(&passphrase, &right_passphrase()), None, &Act::Pause, &"p".into())
                    .await
                    .is_ok(),
                "that ends only its own count"
            );
        }
    }
    assert_eq!(fixture.notice_texts().len(), 1, "a person is told of the pause");
    let paused = Wrong::Paused(MIN_PAUSE);
    assert_eq!(authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 1)).await.unwrap_err(), paused);
    let after = fixture.after_crash();
    assert_eq!(
        authorize_high_risk(&open_checker(&after), phone.code_at_step(&after, 1)).await.unwrap_err(),
        paused
    );
    fixture.clock.advance(MIN_PAUSE);
    assert_eq!(
        authorize_high_risk(&passphrase, typed_code("no code")).await.unwrap_err(),
        Wrong::CodeWrong { left: 0 }
    );
    fixture.clock.advance(2 * MIN_PAUSE);
    assert!(authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 0)).await.is_ok());
    let guessed = authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 7)).await;
    assert_eq!(guessed.unwrap_err(), Wrong::CodeWrong { left: 4 });
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_makes_no_pause_of_codes_longer_than_it_is() {
    for hours in [1, 24 * 20_000] {
        let (fixture, passphrase, phone, recovery) = enroll_authenticator().await;
        for _ in 0..5 {
            authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 7)).await.unwrap_err();
        }
        fixture.clock.set_wall(fixture.clock.now().wall - jiff::SignedDuration::from_hours(hours));
        let code = || Some(recovery[0].clone());
        assert_eq!(authorize_high_risk(&passphrase, code()).await.unwrap_err(), Wrong::Paused(MIN_PAUSE));
        fixture.clock.advance(MIN_PAUSE);
        // A code of the app would be one of a step before the last that was used.
        assert_eq!(
            authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 0)).await.unwrap_err(),
            Wrong::CodeUsed
        );
        fixture.clock.advance(4 * MIN_PAUSE);
        assert!(authorize_high_risk(&passphrase, code()).await.is_ok(), "{hours} hours");
    }
}

#[tokio::test]
async fn a_right_passphrase_with_a_wrong_code_does_not_end_the_count_of_passphrases() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    assert!(
        passphrase
            .authorize(given(&passphrase, &Secret::new("guess")), None, &Act::Pause, &"p".into())
            .await
            .is_err()
    );
    assert_eq!(
        authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 7)).await.unwrap_err(),
        Wrong::CodeWrong { left: 3 }
    );
    let guessed =
        passphrase.authorize(given(&passphrase, &Secret::new("guess")), None, &Act::Pause, &"p".into()).await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 2 });
}

#[tokio::test]
async fn a_recovery_code_stands_in_once_however_it_is_spelled() {
    let (fixture, passphrase, _, recovery) = enroll_authenticator().await;
    let spelled = recovery[2].expose().to_uppercase().replace('-', " ");
    assert!(authorize_high_risk(&passphrase, typed_code(&spelled)).await.is_ok());
    assert_eq!(passphrase.enrolled_totp().unwrap().unwrap().recovery, 7);
    assert!(recorded_acts(&fixture).contains(&"totp recovery: a recovery code; 7 are left".to_owned()));
    let after = fixture.after_crash();
    let again = authorize_high_risk(&open_checker(&after), Some(recovery[2].clone())).await;
    assert!(matches!(again, Err(Wrong::CodeWrong { .. })));
    passphrase
        .remove_totp(given(&passphrase, &right_passphrase()), Some(recovery[0].clone()), &"p".into())
        .await
        .unwrap();
    assert!(authorize_high_risk(&passphrase, None).await.is_ok());
}

#[tokio::test]
async fn removing_it_needs_both() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    assert_eq!(
        passphrase.remove_totp(given(&passphrase, &right_passphrase()), None, &"p".into()).await.unwrap_err(),
        Wrong::CodeMissing
    );
    let wrong = passphrase
        .remove_totp(given(&passphrase, &right_passphrase()), phone.code_at_step(&fixture, 9), &"p".into())
        .await;
    assert!(matches!(wrong, Err(Wrong::CodeWrong { .. })));
    assert!(passphrase.enrolled_totp().unwrap().is_some());
    passphrase
        .remove_totp(given(&passphrase, &right_passphrase()), phone.code_at_step(&fixture, 1), &"p".into())
        .await
        .unwrap();
    assert_eq!(passphrase.enrolled_totp().unwrap(), None);
    assert!(recorded_acts(&fixture).contains(&"totp remove: the authenticator".to_owned()));
}

#[tokio::test]
async fn a_new_passphrase_keeps_the_authenticator_and_seals_it_anew() {
    let (fixture, passphrase, phone, recovery) = enroll_authenticator().await;
    let before = fixture.journal.store().read(codes::load).unwrap().unwrap().sealed;
    let new = || Secret::new("battery staple");
    passphrase
        .set_passphrase(Some(given(&passphrase, &right_passphrase())), new_passphrase(&new()), &"p".into())
        .await
        .unwrap();
    let after = fixture.journal.store().read(codes::load).unwrap().unwrap().sealed;
    assert!(before.salt != after.salt && before.nonce != after.nonce && before.text != after.text);
    assert!(matches!(
        authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 1)).await,
        Err(Wrong::Wrong { .. })
    ));
    assert!(
        passphrase
            .authorize(given(&passphrase, &new()), phone.code_at_step(&fixture, 1), &Act::Resume, &"p".into())
            .await
            .is_ok()
    );
    assert!(
        passphrase
            .authorize(given(&passphrase, &new()), Some(recovery[7].clone()), &Act::Resume, &"p".into())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_store_holds_neither_the_secret_nor_a_recovery_code() {
    let (fixture, _passphrase, phone, recovery) = enroll_authenticator().await;
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(fixture.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            kept.extend(std::fs::read(path).unwrap());
        }
    }
    let holds = |text: &[u8]| kept.windows(text.len()).any(|window| window == text);
    assert!(holds(b"argon2id"), "the store itself was read");
    assert!(!holds(&phone.0) && !holds(BASE32_NOPAD.encode(&phone.0).as_bytes()));
    for code in recovery {
        assert!(!holds(code.expose().as_bytes()) && !holds(code.expose().replace('-', "").as_bytes()));
    }
}

#[tokio::test]
async fn what_was_changed_in_the_store_confirms_nothing() {
    for sql in [
        "UPDATE authenticator SET sealed = substr(sealed, 1, 60)",
        "UPDATE authenticator SET nonce = zeroblob(24)",
        "UPDATE authenticator SET salt = zeroblob(16)",
        // As if it had been enrolled at another time.
        "DROP TRIGGER authenticator_forward;
         UPDATE authenticator SET enrolled = enrolled - 1",
    ] {
        let (fixture, passphrase, phone, recovery) = enroll_authenticator().await;
        tamper(&fixture, sql).await;
        assert_eq!(
            authorize_high_risk(&passphrase, phone.code_at_step(&fixture, 1)).await.unwrap_err(),
            Wrong::CannotUnseal,
            "{sql}"
        );
        let with_recovery = authorize_high_risk(&passphrase, Some(recovery[0].clone())).await;
        assert_eq!(with_recovery.unwrap_err(), Wrong::CannotUnseal);
        let other = passphrase
            .set_passphrase(
                Some(given(&passphrase, &right_passphrase())),
                new_passphrase(&Secret::new("battery staple")),
                &"p".into(),
            )
            .await;
        assert_eq!(other.unwrap_err(), Wrong::CannotUnseal, "the passphrase stays too");
        assert!(
            passphrase
                .authorize(given(&passphrase, &right_passphrase()), None, &Act::Pause, &"p".into())
                .await
                .is_ok()
        );
        assert!(
            passphrase
                .remove_totp(given(&passphrase, &right_passphrase()), Some(recovery[0].clone()), &"p".into())
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn one_that_an_earlier_build_sealed_confirms_nothing_and_is_removed_with_the_passphrase_alone() {
    let (fixture, passphrase, phone, recovery) = enroll_authenticator().await;
    // As an earlier build left it: without the mark of the present way.
    tamper(&fixture, "UPDATE authenticator SET sealed = substr(sealed, 16)").await;
    assert!(passphrase.enrolled_totp().unwrap().unwrap().is_outdated);
    for code in [None, phone.code_at_step(&fixture, 1), Some(recovery[0].clone())] {
        assert_eq!(authorize_high_risk(&passphrase, code).await.unwrap_err(), Wrong::Outdated);
    }
    let new = new_passphrase(&Secret::new("battery staple"));
    let other =
        passphrase.set_passphrase(Some(given(&passphrase, &right_passphrase())), new, &"p".into()).await;
    assert_eq!(other.unwrap_err(), Wrong::Outdated, "the passphrase stays too");
    assert!(
        passphrase
            .authorize(given(&passphrase, &right_passphrase()), None, &Act::Pause, &"p".into())
            .await
            .is_ok()
    );
    let guessed = passphrase.remove_totp(given(&passphrase, &Secret::new("guess")), None, &"p".into()).await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 4 });
    passphrase.remove_totp(given(&passphrase, &right_passphrase()), None, &"p".into()).await.unwrap();
    assert_eq!(passphrase.enrolled_totp().unwrap(), None);
    assert!(
        recorded_acts(&fixture).contains(&"totp remove: the authenticator of an earlier version".to_owned())
    );
    FakeAuthenticator::from_offer(&passphrase).await;
}

#[tokio::test]
async fn a_wrong_key_from_a_terminal_does_not_make_an_authenticator_look_like_one_of_an_earlier_build() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    let mut wrong_key = given(&passphrase, &right_passphrase());
    wrong_key.opens = given(&passphrase, &Secret::new("another")).opens;
    let removed = passphrase.remove_totp(wrong_key, phone.code_at_step(&fixture, 1), &"p".into()).await;
    assert_eq!(removed.unwrap_err(), Wrong::CannotUnseal);
    assert!(passphrase.enrolled_totp().unwrap().is_some());
}

#[tokio::test]
async fn a_passphrase_that_was_set_in_place_of_one_that_is_gone_opens_nothing() {
    let (fixture, passphrase, phone, _) = enroll_authenticator().await;
    tamper(&fixture, "DELETE FROM passphrase").await;
    passphrase
        .set_passphrase(None, new_passphrase(&Secret::new("battery staple")), &"p".into())
        .await
        .unwrap();
    let other = passphrase
        .authorize(
            given(&passphrase, &Secret::new("battery staple")),
            phone.code_at_step(&fixture, 1),
            &Act::Resume,
            &"p".into(),
        )
        .await;
    assert_eq!(other.unwrap_err(), Wrong::CannotUnseal);
}

#[tokio::test]
async fn a_used_code_stays_used_in_the_store() {
    let (fixture, _passphrase, _, _) = enroll_authenticator().await;
    for sql in ["SET last_step = 0", "SET recovery = 9", "SET enrolled_by = 'me'"] {
        let change = move |connection: &Connection| {
            Ok(connection.execute_batch(&format!("UPDATE authenticator {sql}"))?)
        };
        let changed = fixture.journal.store().write(Durability::StoreSynced, change).await;
        assert!(changed.unwrap_err().to_string().contains("stays used"), "{sql}");
    }
}
