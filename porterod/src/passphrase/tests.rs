use portero::names::TaskId;
use portero::passphrase::Derived;
use portero::pattern::Pattern;
use portero::policy::{Action, Limits};
use portero::secret::Secret;

use super::*;
use crate::approval::tests::Bench;
use crate::taps::{Affirmed, Wider};

pub(super) const RIGHT: &str = "correct horse";

pub(super) fn passphrase_on(bench: &Bench) -> Passphrase {
    Passphrase::new(bench.journal.clone(), bench.clock.clone())
}

/// What a terminal gives at which this was typed.
pub(crate) fn given(passphrase: &Passphrase, typed: &Secret) -> Given {
    const ACT: [u8; 32] = [7; 32];
    let salted = passphrase.salted().unwrap().unwrap_or_else(Salted::fresh);
    let derived = Derived::new(typed, &salted).unwrap();
    Given { act: Some(ACT), proof: Some(derived.prove(&ACT)), opens: Some(derived.opens()) }
}

/// What a terminal sends to have this set.
pub(crate) fn new_one(typed: &Secret) -> NewPassphrase {
    let salted = Salted::fresh();
    let derived = Derived::new(typed, &salted).unwrap();
    NewPassphrase { verifier: derived.verifier(salted), opens: derived.opens() }
}

pub(super) async fn set_up() -> (Bench, Passphrase) {
    let bench = Bench::new();
    let passphrase = passphrase_on(&bench);
    passphrase.set(None, new_one(&Secret::new(RIGHT)), "pid 1").await.unwrap();
    (bench, passphrase)
}

async fn try_it(passphrase: &Passphrase, typed: &str) -> Result<Confirmed, PassphraseError> {
    passphrase.confirm(given(passphrase, &Secret::new(typed)), "pid 2").await
}

#[tokio::test]
async fn until_one_is_set_nothing_is_confirmed() {
    let bench = Bench::new();
    let passphrase = passphrase_on(&bench);
    assert_eq!(try_it(&passphrase, "").await.unwrap_err(), PassphraseError::Unset);
    assert_eq!(passphrase.first_set().unwrap(), None);
}

#[tokio::test]
async fn the_right_one_confirms_and_the_first_setting_is_remembered() {
    let (bench, passphrase) = set_up().await;
    assert_eq!(try_it(&passphrase, RIGHT).await.unwrap().by(), "pid 2");
    let old = Some(given(&passphrase, &Secret::new(RIGHT)));
    passphrase.set(old, new_one(&Secret::new("battery staple")), "pid 3").await.unwrap();
    assert!(try_it(&passphrase, "battery staple").await.is_ok());
    assert!(matches!(try_it(&passphrase, RIGHT).await, Err(PassphraseError::Wrong { left: 4 })));
    let first = passphrase.first_set().unwrap().unwrap();
    assert_eq!(first, (bench.clock.now().wall, "pid 1".to_owned()));
}

#[tokio::test]
async fn a_new_one_needs_the_old_one() {
    let (_bench, passphrase) = set_up().await;
    let new = || new_one(&Secret::new("battery staple"));
    assert_eq!(passphrase.set(None, new(), "p").await.unwrap_err(), PassphraseError::Missing);
    let wrong = passphrase.set(Some(given(&passphrase, &Secret::new("guess"))), new(), "p").await;
    assert!(matches!(wrong, Err(PassphraseError::Wrong { .. })));
    let right = given(&passphrase, &Secret::new(RIGHT));
    let mut cheap = new();
    cheap.verifier.salted.memory -= 1;
    let weak = passphrase.set(Some(right.clone()), cheap, "p").await;
    assert_eq!(weak.unwrap_err(), PassphraseError::Weak);
    let none = passphrase.confirm(Given { proof: None, ..right.clone() }, "p").await;
    assert_eq!(none.unwrap_err(), PassphraseError::Missing, "that costs no try");
    let other = passphrase.confirm(Given { act: Some([8; 32]), ..right }, "p").await;
    assert!(matches!(other, Err(PassphraseError::Wrong { left: 3 })), "made for another act: {other:?}");
    assert!(try_it(&passphrase, RIGHT).await.is_ok());
}

#[tokio::test]
async fn a_person_is_told_of_every_pause_and_of_no_single_wrong_try() {
    let (bench, passphrase) = set_up().await;
    for _ in 0..4 {
        try_it(&passphrase, "guess").await.unwrap_err();
    }
    assert!(bench.told().is_empty());
    for told in 1..3 {
        try_it(&passphrase, "guess").await.unwrap_err();
        assert_eq!(bench.told().len(), told);
        try_it(&passphrase, "guess").await.unwrap_err();
        assert_eq!(bench.told().len(), told, "a try during a pause is none");
        bench.clock.advance(2 * told as u32 * FIRST_PAUSE);
    }
    assert!(bench.told()[0].contains("Passphrase"));
}

#[tokio::test]
async fn wrong_tries_lead_to_a_pause_that_doubles_and_survives_a_restart() {
    let (bench, passphrase) = set_up().await;
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(try_it(&passphrase, "guess").await.unwrap_err(), PassphraseError::Wrong { left });
    }
    let paused = PassphraseError::Paused(FIRST_PAUSE);
    assert_eq!(try_it(&passphrase, RIGHT).await.unwrap_err(), paused);
    let after = bench.after_crash();
    assert_eq!(try_it(&passphrase_on(&after), RIGHT).await.unwrap_err(), paused);
    bench.clock.advance(FIRST_PAUSE);
    assert_eq!(try_it(&passphrase, "guess").await.unwrap_err(), PassphraseError::Wrong { left: 0 });
    assert_eq!(try_it(&passphrase, RIGHT).await.unwrap_err(), PassphraseError::Paused(2 * FIRST_PAUSE));
    bench.clock.advance(2 * FIRST_PAUSE);
    assert!(try_it(&passphrase, RIGHT).await.is_ok());
    assert_eq!(try_it(&passphrase, "guess").await.unwrap_err(), PassphraseError::Wrong { left: 4 });
}

/// Days by which the wall clock jumps once there is a pause.
const JUMPS: [i64; 4] = [-20_000, -3, 0, 3];

#[tokio::test]
async fn no_jump_of_the_wall_clock_makes_a_pause_longer_than_it_is() {
    for days in JUMPS {
        for restarted in [false, true] {
            let (bench, passphrase) = set_up().await;
            for _ in 0..FREE_TRIES {
                try_it(&passphrase, "guess").await.unwrap_err();
            }
            let passphrase = if restarted { passphrase_on(&bench) } else { passphrase };
            bench.clock.set_wall(bench.clock.now().wall + jiff::SignedDuration::from_hours(24 * days));
            if days <= 0 {
                let paused = PassphraseError::Paused(FIRST_PAUSE);
                assert_eq!(try_it(&passphrase, RIGHT).await.unwrap_err(), paused, "{days} days");
            }
            bench.clock.advance(FIRST_PAUSE);
            assert!(try_it(&passphrase, RIGHT).await.is_ok(), "{days} days, restarted: {restarted}");
        }
    }
}

#[tokio::test]
async fn many_tries_at_once_are_no_more_than_one_after_another() {
    let (_bench, passphrase) = set_up().await;
    let tries = futures_util::future::join_all((0..20).map(|_| try_it(&passphrase, "guess"))).await;
    let wrong = tries.iter().filter(|tried| matches!(tried, Err(PassphraseError::Wrong { .. }))).count();
    assert_eq!(wrong, 5);
}

#[tokio::test]
async fn the_first_one_is_set_by_one_of_many() {
    let bench = Bench::new();
    let passphrase = passphrase_on(&bench);
    let setting =
        (0..10).map(|n| passphrase.set(None, new_one(&Secret::new(format!("passphrase {n}"))), "p"));
    let set = futures_util::future::join_all(setting).await;
    assert_eq!(set.iter().filter(|set| set.is_ok()).count(), 1);
}

#[tokio::test]
async fn the_hash_of_an_early_version_is_replaced_and_its_passphrase_and_tries_stay() {
    let (bench, passphrase) = set_up().await;
    try_it(&passphrase, "guess").await.unwrap_err();
    let salted = Salted { salt: data_encoding::HEXLOWER.encode(b"0123456789abcdef"), ..Salted::fresh() };
    let salted_cost = (salted.memory, salted.rounds);
    let verifier = Derived::new(&Secret::new(RIGHT), &salted).unwrap().verifier(salted);
    let cost = argon2::Params::new(salted_cost.0, salted_cost.1, 1, Some(32)).unwrap();
    let mut hash = [0; 32];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cost)
        .hash_password_into(RIGHT.as_bytes(), b"0123456789abcdef", &mut hash)
        .unwrap();
    let encoded = |bytes: &[u8]| data_encoding::BASE64_NOPAD.encode(bytes);
    let text = format!("$argon2id$v=19$m=19456,t=2,p=1${}${}", encoded(b"0123456789abcdef"), encoded(&hash));
    let change =
        move |connection: &Connection| Ok(connection.execute("UPDATE passphrase SET hash = ?1", [text])?);
    bench.journal.store().write(Records::None, change).await.unwrap();
    passphrase.upgrade().await.unwrap();
    let kept = bench.journal.store().read(kept::load).unwrap().unwrap();
    assert_eq!((kept.text, kept.failed), (verifier.to_text(), 1));
    assert!(try_it(&passphrase, RIGHT).await.is_ok());
}

#[test]
fn a_button_below_what_would_change_confirms_that_and_nothing_else() {
    let pattern: Pattern = "github/*".parse().unwrap();
    let other: Pattern = "*".parse().unwrap();
    let (hour, none) = (Duration::from_secs(3600), Limits::default());
    let once = Limits { uses: "1".parse().ok(), ..Limits::default() };
    let acts = [
        (Wider::Grant(pattern.clone(), 3_600_000, none.clone()), What::Grant(&pattern, hour, &none)),
        (Wider::Allow(pattern.clone()), What::Allow(&pattern)),
        (Wider::Unrule(3, pattern.clone(), Action::Deny), What::Unrule(3, &pattern)),
        (Wider::Resume, What::Resume),
    ];
    let call = What::Call(TaskId::fresh());
    let others = [
        call,
        What::Grant(&pattern, 2 * hour, &none),
        What::Grant(&other, hour, &none),
        What::Grant(&pattern, hour, &once),
        What::Allow(&other),
        What::Unrule(4, &pattern),
        What::Unrule(3, &other),
        What::Other(Width::One),
    ];
    for (index, (wider, _)) in acts.iter().enumerate() {
        let confirmed = Confirmed::of_affirmed(Affirmed::test(wider.clone()));
        for (at, (_, what)) in acts.iter().enumerate() {
            assert_eq!(confirmed.covers(what), at == index, "{wider:?} and {what:?}");
        }
        assert!(others.iter().all(|what| !confirmed.covers(what)), "{wider:?}");
    }
}
