use portero::audit::{self, AuditEvent, AuditWriter, RecordFilter};
use portero::clock::TestClock;
use tempfile::TempDir;

use super::*;
use crate::store::Store;

const JANE: ChatUser = ChatUser { user: 501, chat: 501 };
const MALLORY: ChatUser = ChatUser { user: 666, chat: 666 };

struct PairingFixture {
    directory: TempDir,
    clock: Arc<TestClock>,
    pairing: Pairing,
}

impl PairingFixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let pairing = open_pairing(&directory, &clock);
        Self { directory, clock, pairing }
    }

    fn restart(self) -> Self {
        let Self { directory, clock, pairing } = self;
        drop(pairing);
        let pairing = open_pairing(&directory, &clock);
        Self { directory, clock, pairing }
    }

    async fn offer_code(&self) -> String {
        self.pairing.offer_code(&configured_bot(), &"test".into()).await.unwrap().code.expose().to_owned()
    }

    async fn claim_code(&self, person: ChatUser, code: &str) -> ClaimOutcome {
        self.pairing.claim_code(&configured_bot(), code, person).await.unwrap()
    }

    fn person(&self) -> Option<ChatUser> {
        self.pairing.paired_person(&configured_bot()).unwrap()
    }

    fn recorded_acts(&self) -> Vec<String> {
        let log = audit::read_log(&self.directory.path().join("audit"), &RecordFilter::default()).unwrap();
        let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, about, .. } => Some(format!("{act}: {about}")),
            _ => None,
        });
        acts.collect()
    }
}

fn open_pairing(directory: &TempDir, clock: &Arc<TestClock>) -> Pairing {
    let audit = Arc::new(AuditWriter::open(&directory.path().join("audit"), "test", clock.now()).unwrap());
    let store = Store::open(&directory.path().join("portero.db"), None, Box::new(|| Ok(()))).unwrap();
    let journal = Journal::new(store, audit, Arc::default(), Arc::clone(clock) as _);
    Pairing::new(journal, Arc::clone(clock) as _)
}

fn configured_bot() -> ConfiguredBot {
    ConfiguredBot { bot: 4711, api_url: None, admin: None, group: None }
}

#[tokio::test]
async fn whoever_says_the_code_is_paired_for_good() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    assert_eq!(world.claim_code(JANE, &code).await, ClaimOutcome::Paired);
    assert_eq!(world.claim_code(MALLORY, &code).await, ClaimOutcome::NoOpenCode, "it is used up");
    assert_eq!(world.person(), Some(JANE));
    assert_eq!(
        world.recorded_acts(),
        ["telegram pair: a code was shown", "telegram pair: user 501 with bot 4711"]
    );
    assert_eq!(world.restart().person(), Some(JANE));
}

#[tokio::test]
async fn a_code_is_read_as_people_type_it() {
    let world = PairingFixture::new();
    let code = world.offer_code().await.to_lowercase();
    let said = format!("{}-{}-{}", &code[..4], &code[4..8], &code[8..]).replace('0', "o").replace('1', "l");
    assert_eq!(world.claim_code(JANE, &said).await, ClaimOutcome::Paired);
}

#[tokio::test]
async fn each_account_has_five_tries_and_uses_up_nobody_elses() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    assert_eq!(code.len(), 12, "60 bits");
    for stranger in 1_000..1_100 {
        for _ in 0..5 {
            let stranger = ChatUser { user: stranger, chat: stranger };
            assert_eq!(world.claim_code(stranger, "WRONG").await, ClaimOutcome::Wrong);
        }
    }
    for _ in 0..5 {
        assert_eq!(world.claim_code(MALLORY, "WRONG").await, ClaimOutcome::Wrong);
    }
    assert_eq!(world.claim_code(MALLORY, &code).await, ClaimOutcome::Wrong, "Mallory has no tries left");
    for _ in 0..4 {
        assert_eq!(world.claim_code(JANE, "WRONG").await, ClaimOutcome::Wrong);
    }
    assert_eq!(world.claim_code(JANE, &code).await, ClaimOutcome::Paired);
}

#[tokio::test]
async fn a_new_code_gives_new_tries() {
    let world = PairingFixture::new();
    world.offer_code().await;
    for _ in 0..6 {
        world.claim_code(JANE, "WRONG").await;
    }
    let again = world.offer_code().await;
    assert_eq!(world.claim_code(JANE, &again).await, ClaimOutcome::Paired);
}

/// Telegram does not deliver so many in the time that a code holds.
#[tokio::test]
async fn a_code_ends_after_a_million_guesses_of_whomever() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    world.pairing.lock_open().as_mut().unwrap().guesses = MAX_GUESSES - 1;
    assert_eq!(world.claim_code(MALLORY, "WRONG").await, ClaimOutcome::Wrong);
    assert_eq!(world.claim_code(JANE, &code).await, ClaimOutcome::NoOpenCode);
    assert_eq!(world.person(), None);
}

#[tokio::test]
async fn accounts_beyond_measure_take_no_memory() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    for stranger in 0..i64::try_from(MAX_ACCOUNTS).unwrap() + 10 {
        world.claim_code(ChatUser { user: stranger + 1_000, chat: 0 }, "WRONG").await;
    }
    assert_eq!(world.pairing.lock_open().as_ref().unwrap().tries.len(), MAX_ACCOUNTS);
    assert_eq!(world.claim_code(JANE, &code).await, ClaimOutcome::Paired);
}

#[tokio::test]
async fn a_code_holds_for_five_minutes_and_no_longer_by_a_clock_that_is_set_back() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    world.clock.advance(CODE_TIMEOUT);
    world.clock.set_wall("2026-11-20T12:00:00Z".parse().unwrap());
    assert!(!world.pairing.is_code_open(&configured_bot()));
    assert_eq!(world.claim_code(JANE, &code).await, ClaimOutcome::NoOpenCode);
}

#[tokio::test]
async fn only_the_last_code_holds_and_none_outlives_a_restart() {
    let world = PairingFixture::new();
    let (first, second) = (world.offer_code().await, world.offer_code().await);
    assert_eq!(world.claim_code(JANE, &first).await, ClaimOutcome::Wrong);
    let world = world.restart();
    assert_eq!(world.claim_code(JANE, &second).await, ClaimOutcome::NoOpenCode);
}

#[tokio::test]
async fn while_paired_there_is_no_code() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    world.claim_code(JANE, &code).await;
    assert_eq!(
        world.pairing.offer_code(&configured_bot(), &"test".into()).await.unwrap_err(),
        PairingError::Paired(501)
    );
    assert!(world.pairing.unpair(Authorization::for_test(Act::Unpair)).await.unwrap());
    assert_eq!(world.person(), None);
    assert!(!world.pairing.unpair(Authorization::for_test(Act::Unpair)).await.unwrap());
    let code = world.offer_code().await;
    assert_eq!(world.claim_code(MALLORY, &code).await, ClaimOutcome::Paired);
    assert_eq!(world.recorded_acts()[2], "telegram unpair: the bot");
}

#[tokio::test]
async fn unpairing_ends_a_code_too() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    world.pairing.unpair(Authorization::for_test(Act::Unpair)).await.unwrap();
    assert_eq!(world.claim_code(JANE, &code).await, ClaimOutcome::NoOpenCode);
}

#[tokio::test]
async fn a_pairing_is_with_one_bot_at_one_address() {
    let world = PairingFixture::new();
    let code = world.offer_code().await;
    world.claim_code(JANE, &code).await;
    let elsewhere = [
        ConfiguredBot { bot: 4712, ..configured_bot() },
        ConfiguredBot { api_url: Some("http://localhost:8081".to_owned()), ..configured_bot() },
    ];
    for other in elsewhere {
        assert_eq!(world.pairing.paired_person(&other).unwrap(), None, "{other:?}");
        let code = world.pairing.offer_code(&other, &"test".into()).await.unwrap().code;
        let here = world.pairing.claim_code(&configured_bot(), code.expose(), MALLORY).await.unwrap();
        assert_eq!(here, ClaimOutcome::NoOpenCode, "a code is for one bot");
    }
}

#[tokio::test]
async fn whom_the_configuration_names_needs_no_code() {
    let world = PairingFixture::new();
    let named = ConfiguredBot { admin: Some(501), ..configured_bot() };
    assert_eq!(world.pairing.paired_person(&named).unwrap(), Some(JANE));
    assert_eq!(
        world.pairing.offer_code(&named, &"test".into()).await.unwrap_err(),
        PairingError::NamedInConfig(501)
    );
}
