use data_encoding::BASE32_NOPAD;
use portero::audit::{self, Event, Filter};
use portero::clock::Clock as _;

use super::*;
use crate::approval::tests::Bench;
use crate::passphrase::tests::{RIGHT, given, new_one, passphrase_on, set_up};
use crate::passphrase::totp::{SECRET, code};
use crate::passphrase::{FIRST_PAUSE, PassphraseError as Wrong};

const STEP: Duration = Duration::from_secs(30);

/// A phone: it knows the secret and the time.
struct Phone([u8; SECRET]);

impl Phone {
    async fn offered(passphrase: &Passphrase) -> Self {
        let shown = passphrase.offer(given(passphrase, &right())).await.unwrap();
        Self(BASE32_NOPAD.decode(shown.expose().as_bytes()).unwrap().try_into().unwrap())
    }

    fn code(&self, bench: &Bench, steps: i64) -> Option<Secret> {
        let present = bench.clock.now().wall.as_second() / 30;
        Some(Secret::new(code(&self.0, (present + steps).cast_unsigned())))
    }
}

fn right() -> Secret {
    Secret::new(RIGHT)
}

fn typed(code: &str) -> Option<Secret> {
    Some(Secret::new(code))
}

async fn wide(passphrase: &Passphrase, code: Option<Secret>) -> Result<Confirmed, Wrong> {
    passphrase.confirm_wide(given(passphrase, &right()), code, "pid 2").await
}

/// A passphrase and an authenticator whose present code is used.
async fn enrolled() -> (Bench, Passphrase, Phone, Vec<Secret>) {
    let (bench, passphrase) = set_up().await;
    let phone = Phone::offered(&passphrase).await;
    let recovery =
        passphrase.enroll(given(&passphrase, &right()), phone.code(&bench, 0), "pid 7").await.unwrap();
    (bench, passphrase, phone, recovery)
}

/// What the audit says was done, and about what.
fn acts(bench: &Bench) -> Vec<String> {
    let log = audit::read(&bench.directory.path().join("audit"), &Filter::default()).unwrap();
    let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
        Event::Act { act, about, .. } => Some(format!("{act}: {about}")),
        _ => None,
    });
    acts.collect()
}

/// Changes the store as another program would.
async fn meddle(bench: &Bench, sql: &'static str) {
    let change = move |connection: &Connection| Ok(connection.execute_batch(sql)?);
    bench.journal.store().write(Records::None, change).await.unwrap();
}

#[tokio::test]
async fn until_one_is_enrolled_the_passphrase_alone_confirms_what_is_wide() {
    let (_bench, passphrase) = set_up().await;
    assert_eq!(passphrase.enrolled().unwrap(), None);
    assert_eq!(wide(&passphrase, None).await.unwrap().by(), "pid 2");
    let guessed =
        passphrase.confirm_wide(given(&passphrase, &Secret::new("guess")), typed("123456"), "p").await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 4 });
    assert_eq!(
        passphrase.remove(given(&passphrase, &right()), None, "p").await.unwrap_err(),
        Wrong::NotEnrolled
    );
}

#[tokio::test]
async fn it_takes_effect_with_a_first_code_and_tells_since_when() {
    let (bench, passphrase) = set_up().await;
    let none = passphrase.enroll(given(&passphrase, &right()), typed("000000"), "p").await;
    assert_eq!(none.unwrap_err(), Wrong::NotOffered);
    assert!(matches!(
        passphrase.offer(given(&passphrase, &Secret::new("guess"))).await,
        Err(Wrong::Wrong { .. })
    ));
    let phone = Phone::offered(&passphrase).await;
    let far = passphrase.enroll(given(&passphrase, &right()), phone.code(&bench, 5), "p").await;
    assert_eq!(far.unwrap_err(), Wrong::FirstCode);
    let guessed =
        passphrase.enroll(given(&passphrase, &Secret::new("guess")), phone.code(&bench, 0), "p").await;
    assert!(matches!(guessed, Err(Wrong::Wrong { .. })));
    assert!(wide(&passphrase, None).await.is_ok(), "not in force yet");

    let recovery =
        passphrase.enroll(given(&passphrase, &right()), phone.code(&bench, 0), "pid 7").await.unwrap();
    let since = bench.clock.now().wall;
    let told = Enrolled { since, by: "pid 7".to_owned(), recovery: 8, is_outdated: false };
    assert_eq!(passphrase.enrolled().unwrap(), Some(told));
    let mut different: Vec<&str> = recovery.iter().map(Secret::expose).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 8);
    assert_eq!(passphrase.offer(given(&passphrase, &right())).await.unwrap_err(), Wrong::Enrolled(since));
    assert!(acts(&bench).contains(&"totp enroll: the authenticator".to_owned()));
}

#[tokio::test]
async fn a_secret_that_was_offered_long_ago_is_not_enrolled() {
    let (bench, passphrase) = set_up().await;
    let phone = Phone::offered(&passphrase).await;
    bench.clock.advance(OFFERED_MOST + STEP);
    let late = passphrase.enroll(given(&passphrase, &right()), phone.code(&bench, 0), "p").await;
    assert_eq!(late.unwrap_err(), Wrong::NotOffered);
}

#[tokio::test]
async fn what_is_wide_needs_both_and_what_is_not_needs_the_passphrase_alone() {
    let (bench, passphrase, phone, _) = enrolled().await;
    assert_eq!(wide(&passphrase, None).await.unwrap_err(), Wrong::CodeMissing);
    assert!(passphrase.confirm(given(&passphrase, &right()), "p").await.is_ok());
    let guessed =
        passphrase.confirm_wide(given(&passphrase, &Secret::new("guess")), phone.code(&bench, 1), "p").await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 4 });
    assert_eq!(wide(&passphrase, phone.code(&bench, 1)).await.unwrap().by(), "pid 2");
}

#[tokio::test]
async fn each_code_counts_once_also_after_a_crash() {
    let (bench, passphrase, phone, _) = enrolled().await;
    let first = wide(&passphrase, phone.code(&bench, 0)).await;
    assert_eq!(first.unwrap_err(), Wrong::CodeUsed, "it enrolled the authenticator");
    assert!(wide(&passphrase, phone.code(&bench, 1)).await.is_ok());
    let after = bench.after_crash();
    for (bench, passphrase) in [(&bench, &passphrase), (&after, &passphrase_on(&after))] {
        for steps in [1, 0, -1] {
            let again = wide(passphrase, phone.code(bench, steps)).await;
            assert_eq!(again.unwrap_err(), Wrong::CodeUsed, "{steps}");
        }
    }
    bench.clock.advance(2 * STEP);
    assert!(wide(&passphrase, phone.code(&bench, 0)).await.is_ok());
}

#[tokio::test]
async fn of_many_at_once_with_one_code_one_is_confirmed() {
    let (bench, passphrase, phone, _) = enrolled().await;
    let tries = (0..4).map(|_| wide(&passphrase, phone.code(&bench, 1)));
    let tries = futures_util::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|tried| tried.is_ok()).count(), 1);
}

#[tokio::test]
async fn wrong_codes_lead_to_the_pause_and_the_passphrase_alone_does_not_end_it() {
    let (bench, passphrase, phone, _) = enrolled().await;
    for left in [4, 3, 2, 1, 0] {
        let guessed = wide(&passphrase, phone.code(&bench, 7)).await;
        assert_eq!(guessed.unwrap_err(), Wrong::CodeWrong { left });
        if left > 0 {
            assert!(
                passphrase.confirm(given(&passphrase, &right()), "p").await.is_ok(),
                "that ends only its own count"
            );
        }
    }
    assert_eq!(bench.told().len(), 1, "a person is told of the pause");
    let paused = Wrong::Paused(FIRST_PAUSE);
    assert_eq!(wide(&passphrase, phone.code(&bench, 1)).await.unwrap_err(), paused);
    let after = bench.after_crash();
    assert_eq!(wide(&passphrase_on(&after), phone.code(&after, 1)).await.unwrap_err(), paused);
    bench.clock.advance(FIRST_PAUSE);
    assert_eq!(wide(&passphrase, typed("no code")).await.unwrap_err(), Wrong::CodeWrong { left: 0 });
    bench.clock.advance(2 * FIRST_PAUSE);
    assert!(wide(&passphrase, phone.code(&bench, 0)).await.is_ok());
    let guessed = wide(&passphrase, phone.code(&bench, 7)).await;
    assert_eq!(guessed.unwrap_err(), Wrong::CodeWrong { left: 4 });
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_makes_no_pause_of_codes_longer_than_it_is() {
    for hours in [1, 24 * 20_000] {
        let (bench, passphrase, phone, recovery) = enrolled().await;
        for _ in 0..5 {
            wide(&passphrase, phone.code(&bench, 7)).await.unwrap_err();
        }
        bench.clock.set_wall(bench.clock.now().wall - jiff::SignedDuration::from_hours(hours));
        let code = || Some(recovery[0].clone());
        assert_eq!(wide(&passphrase, code()).await.unwrap_err(), Wrong::Paused(FIRST_PAUSE));
        bench.clock.advance(FIRST_PAUSE);
        // A code of the app would be one of a step before the last that was used.
        assert_eq!(wide(&passphrase, phone.code(&bench, 0)).await.unwrap_err(), Wrong::CodeUsed);
        bench.clock.advance(4 * FIRST_PAUSE);
        assert!(wide(&passphrase, code()).await.is_ok(), "{hours} hours");
    }
}

#[tokio::test]
async fn a_right_passphrase_with_a_wrong_code_does_not_end_the_count_of_passphrases() {
    let (bench, passphrase, phone, _) = enrolled().await;
    assert!(passphrase.confirm(given(&passphrase, &Secret::new("guess")), "p").await.is_err());
    assert_eq!(wide(&passphrase, phone.code(&bench, 7)).await.unwrap_err(), Wrong::CodeWrong { left: 3 });
    let guessed = passphrase.confirm(given(&passphrase, &Secret::new("guess")), "p").await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 2 });
}

#[tokio::test]
async fn a_recovery_code_stands_in_once_however_it_is_spelled() {
    let (bench, passphrase, _, recovery) = enrolled().await;
    let spelled = recovery[2].expose().to_uppercase().replace('-', " ");
    assert!(wide(&passphrase, typed(&spelled)).await.is_ok());
    assert_eq!(passphrase.enrolled().unwrap().unwrap().recovery, 7);
    assert!(acts(&bench).contains(&"totp recovery: a recovery code; 7 are left".to_owned()));
    let after = bench.after_crash();
    let again = wide(&passphrase_on(&after), Some(recovery[2].clone())).await;
    assert!(matches!(again, Err(Wrong::CodeWrong { .. })));
    passphrase.remove(given(&passphrase, &right()), Some(recovery[0].clone()), "p").await.unwrap();
    assert!(wide(&passphrase, None).await.is_ok());
}

#[tokio::test]
async fn removing_it_needs_both() {
    let (bench, passphrase, phone, _) = enrolled().await;
    assert_eq!(
        passphrase.remove(given(&passphrase, &right()), None, "p").await.unwrap_err(),
        Wrong::CodeMissing
    );
    let wrong = passphrase.remove(given(&passphrase, &right()), phone.code(&bench, 9), "p").await;
    assert!(matches!(wrong, Err(Wrong::CodeWrong { .. })));
    assert!(passphrase.enrolled().unwrap().is_some());
    passphrase.remove(given(&passphrase, &right()), phone.code(&bench, 1), "p").await.unwrap();
    assert_eq!(passphrase.enrolled().unwrap(), None);
    assert!(acts(&bench).contains(&"totp remove: the authenticator".to_owned()));
}

#[tokio::test]
async fn a_new_passphrase_keeps_the_authenticator_and_seals_it_anew() {
    let (bench, passphrase, phone, recovery) = enrolled().await;
    let before = bench.journal.store().read(codes::load).unwrap().unwrap().sealed;
    let new = || Secret::new("battery staple");
    passphrase.set(Some(given(&passphrase, &right())), new_one(&new()), "p").await.unwrap();
    let after = bench.journal.store().read(codes::load).unwrap().unwrap().sealed;
    assert!(before.salt != after.salt && before.nonce != after.nonce && before.text != after.text);
    assert!(matches!(wide(&passphrase, phone.code(&bench, 1)).await, Err(Wrong::Wrong { .. })));
    assert!(passphrase.confirm_wide(given(&passphrase, &new()), phone.code(&bench, 1), "p").await.is_ok());
    assert!(
        passphrase.confirm_wide(given(&passphrase, &new()), Some(recovery[7].clone()), "p").await.is_ok()
    );
}

#[tokio::test]
async fn the_store_holds_neither_the_secret_nor_a_recovery_code() {
    let (bench, _passphrase, phone, recovery) = enrolled().await;
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(bench.directory.path()).unwrap() {
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
        let (bench, passphrase, phone, recovery) = enrolled().await;
        meddle(&bench, sql).await;
        assert_eq!(wide(&passphrase, phone.code(&bench, 1)).await.unwrap_err(), Wrong::Sealed, "{sql}");
        let with_recovery = wide(&passphrase, Some(recovery[0].clone())).await;
        assert_eq!(with_recovery.unwrap_err(), Wrong::Sealed);
        let other = passphrase
            .set(Some(given(&passphrase, &right())), new_one(&Secret::new("battery staple")), "p")
            .await;
        assert_eq!(other.unwrap_err(), Wrong::Sealed, "the passphrase stays too");
        assert!(passphrase.confirm(given(&passphrase, &right()), "p").await.is_ok());
        assert!(
            passphrase.remove(given(&passphrase, &right()), Some(recovery[0].clone()), "p").await.is_err()
        );
    }
}

#[tokio::test]
async fn one_that_an_earlier_build_sealed_confirms_nothing_and_is_removed_with_the_passphrase_alone() {
    let (bench, passphrase, phone, recovery) = enrolled().await;
    // As an earlier build left it: without the mark of the present way.
    meddle(&bench, "UPDATE authenticator SET sealed = substr(sealed, 16)").await;
    assert!(passphrase.enrolled().unwrap().unwrap().is_outdated);
    for code in [None, phone.code(&bench, 1), Some(recovery[0].clone())] {
        assert_eq!(wide(&passphrase, code).await.unwrap_err(), Wrong::Outdated);
    }
    let new = new_one(&Secret::new("battery staple"));
    let other = passphrase.set(Some(given(&passphrase, &right())), new, "p").await;
    assert_eq!(other.unwrap_err(), Wrong::Outdated, "the passphrase stays too");
    assert!(passphrase.confirm(given(&passphrase, &right()), "p").await.is_ok());
    let guessed = passphrase.remove(given(&passphrase, &Secret::new("guess")), None, "p").await;
    assert_eq!(guessed.unwrap_err(), Wrong::Wrong { left: 4 });
    passphrase.remove(given(&passphrase, &right()), None, "p").await.unwrap();
    assert_eq!(passphrase.enrolled().unwrap(), None);
    assert!(acts(&bench).contains(&"totp remove: the authenticator of an earlier version".to_owned()));
    Phone::offered(&passphrase).await;
}

#[tokio::test]
async fn a_wrong_key_from_a_terminal_does_not_make_an_authenticator_look_like_one_of_an_earlier_build() {
    let (bench, passphrase, phone, _) = enrolled().await;
    let mut wrong_key = given(&passphrase, &right());
    wrong_key.opens = given(&passphrase, &Secret::new("another")).opens;
    let removed = passphrase.remove(wrong_key, phone.code(&bench, 1), "p").await;
    assert_eq!(removed.unwrap_err(), Wrong::Sealed);
    assert!(passphrase.enrolled().unwrap().is_some());
}

#[tokio::test]
async fn a_passphrase_that_was_set_in_place_of_one_that_is_gone_opens_nothing() {
    let (bench, passphrase, phone, _) = enrolled().await;
    meddle(&bench, "DELETE FROM passphrase").await;
    passphrase.set(None, new_one(&Secret::new("battery staple")), "p").await.unwrap();
    let other = passphrase
        .confirm_wide(given(&passphrase, &Secret::new("battery staple")), phone.code(&bench, 1), "p")
        .await;
    assert_eq!(other.unwrap_err(), Wrong::Sealed);
}

#[tokio::test]
async fn a_used_code_stays_used_in_the_store() {
    let (bench, _passphrase, _, _) = enrolled().await;
    for sql in ["SET last_step = 0", "SET recovery = 9", "SET enrolled_by = 'me'"] {
        let change = move |connection: &Connection| {
            Ok(connection.execute_batch(&format!("UPDATE authenticator {sql}"))?)
        };
        let changed = bench.journal.store().write(Records::None, change).await;
        assert!(changed.unwrap_err().to_string().contains("stays used"), "{sql}");
    }
}
