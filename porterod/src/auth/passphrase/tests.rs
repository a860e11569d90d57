use portero::names::TaskId;
use portero::passphrase::PassphraseKey;
use portero::pattern::Pattern;
use portero::policy::{Action, GrantLimits};
use portero::secret::Secret;

use super::*;
use crate::approvals::tests::Fixture;
use crate::auth::buttons::{ButtonPress, ShownWidening};

pub(super) const RIGHT_PASSPHRASE: &str = "correct horse";

pub(super) fn open_checker(fixture: &Fixture) -> PassphraseChecker {
    PassphraseChecker::new(fixture.journal.clone(), fixture.clock.clone())
}

/// What a terminal gives at which this was typed.
pub(crate) fn given(passphrase: &PassphraseChecker, typed: &Secret) -> GivenProof {
    const ACT: [u8; 32] = [7; 32];
    let salted = passphrase.kdf_params().unwrap().unwrap_or_else(KdfParams::fresh);
    let derived = PassphraseKey::new(typed, &salted).unwrap();
    GivenProof { act: Some(ACT), proof: Some(derived.sign_act(&ACT)), opens: Some(derived.sealing_key()) }
}

/// What a terminal sends to have this set.
pub(crate) fn new_passphrase(typed: &Secret) -> NewPassphrase {
    let salted = KdfParams::fresh();
    let derived = PassphraseKey::new(typed, &salted).unwrap();
    NewPassphrase { verifier: derived.verifier(salted), opens: derived.sealing_key() }
}

pub(super) async fn set_up() -> (Fixture, PassphraseChecker) {
    let fixture = Fixture::new();
    let passphrase = open_checker(&fixture);
    passphrase
        .set_passphrase(None, new_passphrase(&Secret::new(RIGHT_PASSPHRASE)), &"pid 1".into())
        .await
        .unwrap();
    (fixture, passphrase)
}

async fn try_passphrase(
    passphrase: &PassphraseChecker,
    typed: &str,
) -> Result<Authorization, PassphraseError> {
    passphrase.authorize(given(passphrase, &Secret::new(typed)), None, &Act::Pause, &"pid 2".into()).await
}

#[tokio::test]
async fn until_one_is_set_nothing_is_confirmed() {
    let fixture = Fixture::new();
    let passphrase = open_checker(&fixture);
    assert_eq!(try_passphrase(&passphrase, "").await.unwrap_err(), PassphraseError::Unset);
    assert_eq!(passphrase.first_set().unwrap(), None);
}

#[tokio::test]
async fn the_right_one_confirms_and_the_first_setting_is_remembered() {
    let (fixture, passphrase) = set_up().await;
    assert_eq!(
        try_passphrase(&passphrase, RIGHT_PASSPHRASE).await.unwrap().actor(),
        &Actor::terminal("pid 2")
    );
    let old = Some(given(&passphrase, &Secret::new(RIGHT_PASSPHRASE)));
    passphrase
        .set_passphrase(old, new_passphrase(&Secret::new("battery staple")), &"pid 3".into())
        .await
        .unwrap();
    assert!(try_passphrase(&passphrase, "battery staple").await.is_ok());
    assert!(matches!(
        try_passphrase(&passphrase, RIGHT_PASSPHRASE).await,
        Err(PassphraseError::Wrong { left: 4 })
    ));
    let first = passphrase.first_set().unwrap().unwrap();
    assert_eq!(first, (fixture.clock.now().wall, "pid 1".to_owned()));
}

#[tokio::test]
async fn a_new_one_needs_the_old_one() {
    let (_bench, passphrase) = set_up().await;
    let new = || new_passphrase(&Secret::new("battery staple"));
    assert_eq!(
        passphrase.set_passphrase(None, new(), &"p".into()).await.unwrap_err(),
        PassphraseError::Missing
    );
    let wrong =
        passphrase.set_passphrase(Some(given(&passphrase, &Secret::new("guess"))), new(), &"p".into()).await;
    assert!(matches!(wrong, Err(PassphraseError::Wrong { .. })));
    let right = given(&passphrase, &Secret::new(RIGHT_PASSPHRASE));
    let mut cheap = new();
    cheap.verifier.salted.memory -= 1;
    let weak = passphrase.set_passphrase(Some(right.clone()), cheap, &"p".into()).await;
    assert_eq!(weak.unwrap_err(), PassphraseError::WeakDerivation);
    let none = passphrase
        .authorize(GivenProof { proof: None, ..right.clone() }, None, &Act::Pause, &"p".into())
        .await;
    assert_eq!(none.unwrap_err(), PassphraseError::Missing, "that costs no try");
    let other = passphrase
        .authorize(GivenProof { act: Some([8; 32]), ..right }, None, &Act::Pause, &"p".into())
        .await;
    assert!(matches!(other, Err(PassphraseError::Wrong { left: 3 })), "made for another act: {other:?}");
    assert!(try_passphrase(&passphrase, RIGHT_PASSPHRASE).await.is_ok());
}

#[tokio::test]
async fn a_person_is_told_of_every_pause_and_of_no_single_wrong_try() {
    let (fixture, passphrase) = set_up().await;
    for _ in 0..4 {
        try_passphrase(&passphrase, "guess").await.unwrap_err();
    }
    assert!(fixture.notice_texts().is_empty());
    for told in 1..3 {
        try_passphrase(&passphrase, "guess").await.unwrap_err();
        assert_eq!(fixture.notice_texts().len(), told);
        try_passphrase(&passphrase, "guess").await.unwrap_err();
        assert_eq!(fixture.notice_texts().len(), told, "a try during a pause is none");
        fixture.clock.advance(2 * told as u32 * MIN_PAUSE);
    }
    assert!(fixture.notice_texts()[0].contains("Passphrase"));
}

#[tokio::test]
async fn wrong_tries_lead_to_a_pause_that_doubles_and_survives_a_restart() {
    let (fixture, passphrase) = set_up().await;
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(try_passphrase(&passphrase, "guess").await.unwrap_err(), PassphraseError::Wrong { left });
    }
    let paused = PassphraseError::Paused(MIN_PAUSE);
    assert_eq!(try_passphrase(&passphrase, RIGHT_PASSPHRASE).await.unwrap_err(), paused);
    let after = fixture.after_crash();
    assert_eq!(try_passphrase(&open_checker(&after), RIGHT_PASSPHRASE).await.unwrap_err(), paused);
    fixture.clock.advance(MIN_PAUSE);
    assert_eq!(try_passphrase(&passphrase, "guess").await.unwrap_err(), PassphraseError::Wrong { left: 0 });
    assert_eq!(
        try_passphrase(&passphrase, RIGHT_PASSPHRASE).await.unwrap_err(),
        PassphraseError::Paused(2 * MIN_PAUSE)
    );
    fixture.clock.advance(2 * MIN_PAUSE);
    assert!(try_passphrase(&passphrase, RIGHT_PASSPHRASE).await.is_ok());
    assert_eq!(try_passphrase(&passphrase, "guess").await.unwrap_err(), PassphraseError::Wrong { left: 4 });
}

/// Days by which the wall clock jumps once there is a pause.
const CLOCK_JUMPS: [i64; 4] = [-20_000, -3, 0, 3];

#[tokio::test]
async fn no_jump_of_the_wall_clock_makes_a_pause_longer_than_it_is() {
    for days in CLOCK_JUMPS {
        for restarted in [false, true] {
            let (fixture, passphrase) = set_up().await;
            for _ in 0..MAX_FREE_TRIES {
                try_passphrase(&passphrase, "guess").await.unwrap_err();
            }
            let passphrase = if restarted { open_checker(&fixture) } else { passphrase };
            fixture.clock.set_wall(fixture.clock.now().wall + jiff::SignedDuration::from_hours(24 * days));
            if days <= 0 {
                let paused = PassphraseError::Paused(MIN_PAUSE);
                assert_eq!(
                    try_passphrase(&passphrase, RIGHT_PASSPHRASE).await.unwrap_err(),
                    paused,
                    "{days} days"
                );
            }
            fixture.clock.advance(MIN_PAUSE);
            assert!(
                try_passphrase(&passphrase, RIGHT_PASSPHRASE).await.is_ok(),
                "{days} days, restarted: {restarted}"
            );
        }
    }
}

#[tokio::test]
async fn many_tries_at_once_are_no_more_than_one_after_another() {
    let (_bench, passphrase) = set_up().await;
    let tries = futures_util::future::join_all((0..20).map(|_| try_passphrase(&passphrase, "guess"))).await;
    let wrong = tries.iter().filter(|tried| matches!(tried, Err(PassphraseError::Wrong { .. }))).count();
    assert_eq!(wrong, 5);
}

#[tokio::test]
async fn the_first_one_is_set_by_one_of_many() {
    let fixture = Fixture::new();
    let passphrase = open_checker(&fixture);
    let by = Actor::terminal("p");
    let setting = (0..10).map(|n| {
        passphrase.set_passphrase(None, new_passphrase(&Secret::new(format!("passphrase {n}"))), &by)
    });
    let set = futures_util::future::join_all(setting).await;
    assert_eq!(set.iter().filter(|set| set.is_ok()).count(), 1);
}

#[test]
fn a_button_below_what_would_change_confirms_that_and_nothing_else() {
    let pattern: Pattern = "github/*".parse().unwrap();
    let other: Pattern = "*".parse().unwrap();
    let (hour, none) = (Duration::from_secs(3600), GrantLimits::default());
    let once = GrantLimits { uses: "1".parse().ok(), ..GrantLimits::default() };
    let acts = [
        Act::grant(&pattern, hour, &none),
        Act::Allow(pattern.clone()),
        Act::RemoveRule(3, pattern.clone(), Action::Deny),
        Act::Resume,
    ];
    let task = TaskId::fresh();
    let others = [
        Act::Approve(task),
        Act::grant(&pattern, 2 * hour, &none),
        Act::grant(&other, hour, &none),
        Act::grant(&pattern, hour, &once),
        Act::Allow(other.clone()),
        Act::RemoveRule(4, pattern.clone(), Action::Deny),
        Act::RemoveRule(3, other.clone(), Action::Deny),
        Act::Repeat(task),
    ];
    for (index, wider) in acts.iter().enumerate() {
        let widening = ShownWidening { what: wider.clone(), seen: String::new() };
        let confirmed = ButtonPress::for_test(widening).authorize();
        for (at, what) in acts.iter().enumerate() {
            assert_eq!(confirmed.covers(what), at == index, "{wider:?} and {what:?}");
        }
        assert!(others.iter().all(|what| !confirmed.covers(what)), "{wider:?}");
    }
}
