use portero::audit::{self, Event, Filter, Segment};
use portero::clock::TestClock;
use tempfile::TempDir;

use super::*;
use crate::store::Store;

const JANE: Person = Person { user: 501, chat: 501 };
const MALLORY: Person = Person { user: 666, chat: 666 };

struct World {
    directory: TempDir,
    clock: Arc<TestClock>,
    pairing: Pairing,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let pairing = open(&directory, &clock);
        Self { directory, clock, pairing }
    }

    fn restart(self) -> Self {
        let Self { directory, clock, pairing } = self;
        drop(pairing);
        let pairing = open(&directory, &clock);
        Self { directory, clock, pairing }
    }

    async fn code(&self) -> String {
        self.pairing.offer(&place(), "test").await.unwrap().code.expose().to_owned()
    }

    async fn says(&self, person: Person, code: &str) -> Claim {
        self.pairing.claim(&place(), code, person).await.unwrap()
    }

    fn person(&self) -> Option<Person> {
        self.pairing.person(&place()).unwrap()
    }

    fn acts(&self) -> Vec<String> {
        let log = audit::read(&self.directory.path().join("audit"), &Filter::default()).unwrap();
        let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            Event::Act { act, about, .. } => Some(format!("{act}: {about}")),
            _ => None,
        });
        acts.collect()
    }
}

fn open(directory: &TempDir, clock: &Arc<TestClock>) -> Pairing {
    let audit = Arc::new(Segment::open(&directory.path().join("audit"), "test", clock.now()).unwrap());
    let store = Store::open(&directory.path().join("portero.db"), None, Box::new(|| Ok(()))).unwrap();
    let journal = Journal::new(store, audit, Arc::default(), Arc::clone(clock) as _);
    Pairing::new(journal, Arc::clone(clock) as _)
}

fn place() -> Place {
    Place { bot: 4711, api_url: None, admin: None, group: None }
}

#[tokio::test]
async fn whoever_says_the_code_is_paired_for_good() {
    let world = World::new();
    let code = world.code().await;
    assert_eq!(world.says(JANE, &code).await, Claim::Paired);
    assert_eq!(world.says(MALLORY, &code).await, Claim::Closed, "it is used up");
    assert_eq!(world.person(), Some(JANE));
    assert_eq!(world.acts(), ["telegram pair: a code was shown", "telegram pair: user 501 with bot 4711"]);
    assert_eq!(world.restart().person(), Some(JANE));
}

#[tokio::test]
async fn a_code_is_read_as_people_type_it() {
    let world = World::new();
    let code = world.code().await.to_lowercase();
    let said = format!("{}-{}-{}", &code[..4], &code[4..8], &code[8..]).replace('0', "o").replace('1', "l");
    assert_eq!(world.says(JANE, &said).await, Claim::Paired);
}

#[tokio::test]
async fn each_account_has_five_tries_and_uses_up_nobody_elses() {
    let world = World::new();
    let code = world.code().await;
    assert_eq!(code.len(), 12, "60 bits");
    for stranger in 1_000..1_100 {
        for _ in 0..5 {
            let stranger = Person { user: stranger, chat: stranger };
            assert_eq!(world.says(stranger, "WRONG").await, Claim::Wrong);
        }
    }
    for _ in 0..5 {
        assert_eq!(world.says(MALLORY, "WRONG").await, Claim::Wrong);
    }
    assert_eq!(world.says(MALLORY, &code).await, Claim::Wrong, "Mallory has no tries left");
    for _ in 0..4 {
        assert_eq!(world.says(JANE, "WRONG").await, Claim::Wrong);
    }
    assert_eq!(world.says(JANE, &code).await, Claim::Paired);
}

#[tokio::test]
async fn a_new_code_gives_new_tries() {
    let world = World::new();
    world.code().await;
    for _ in 0..6 {
        world.says(JANE, "WRONG").await;
    }
    let again = world.code().await;
    assert_eq!(world.says(JANE, &again).await, Claim::Paired);
}

/// Telegram does not deliver so many in the time that a code holds.
#[tokio::test]
async fn a_code_ends_after_a_million_guesses_of_whomever() {
    let world = World::new();
    let code = world.code().await;
    world.pairing.open().as_mut().unwrap().guesses = MAX_GUESSES - 1;
    assert_eq!(world.says(MALLORY, "WRONG").await, Claim::Wrong);
    assert_eq!(world.says(JANE, &code).await, Claim::Closed);
    assert_eq!(world.person(), None);
}

#[tokio::test]
async fn accounts_beyond_measure_take_no_memory() {
    let world = World::new();
    let code = world.code().await;
    for stranger in 0..i64::try_from(MAX_ACCOUNTS).unwrap() + 10 {
        world.says(Person { user: stranger + 1_000, chat: 0 }, "WRONG").await;
    }
    assert_eq!(world.pairing.open().as_ref().unwrap().tries.len(), MAX_ACCOUNTS);
    assert_eq!(world.says(JANE, &code).await, Claim::Paired);
}

#[tokio::test]
async fn a_code_holds_for_five_minutes_and_no_longer_by_a_clock_that_is_set_back() {
    let world = World::new();
    let code = world.code().await;
    world.clock.advance(CODE_FOR);
    world.clock.set_wall("2026-11-20T12:00:00Z".parse().unwrap());
    assert!(!world.pairing.is_open(&place()));
    assert_eq!(world.says(JANE, &code).await, Claim::Closed);
}

#[tokio::test]
async fn only_the_last_code_holds_and_none_outlives_a_restart() {
    let world = World::new();
    let (first, second) = (world.code().await, world.code().await);
    assert_eq!(world.says(JANE, &first).await, Claim::Wrong);
    let world = world.restart();
    assert_eq!(world.says(JANE, &second).await, Claim::Closed);
}

#[tokio::test]
async fn while_paired_there_is_no_code() {
    let world = World::new();
    let code = world.code().await;
    world.says(JANE, &code).await;
    assert_eq!(world.pairing.offer(&place(), "test").await.unwrap_err(), PairingError::Paired(501));
    assert!(world.pairing.unpair(&Confirmed::by_test()).await.unwrap());
    assert_eq!(world.person(), None);
    assert!(!world.pairing.unpair(&Confirmed::by_test()).await.unwrap());
    let code = world.code().await;
    assert_eq!(world.says(MALLORY, &code).await, Claim::Paired);
    assert_eq!(world.acts()[2], "telegram unpair: the bot");
}

#[tokio::test]
async fn unpairing_ends_a_code_too() {
    let world = World::new();
    let code = world.code().await;
    world.pairing.unpair(&Confirmed::by_test()).await.unwrap();
    assert_eq!(world.says(JANE, &code).await, Claim::Closed);
}

#[tokio::test]
async fn a_pairing_is_with_one_bot_at_one_address() {
    let world = World::new();
    let code = world.code().await;
    world.says(JANE, &code).await;
    let elsewhere = [
        Place { bot: 4712, ..place() },
        Place { api_url: Some("http://localhost:8081".to_owned()), ..place() },
    ];
    for other in elsewhere {
        assert_eq!(world.pairing.person(&other).unwrap(), None, "{other:?}");
        let code = world.pairing.offer(&other, "test").await.unwrap().code;
        let here = world.pairing.claim(&place(), code.expose(), MALLORY).await.unwrap();
        assert_eq!(here, Claim::Closed, "a code is for one bot");
    }
}

#[tokio::test]
async fn whom_the_configuration_names_needs_no_code() {
    let world = World::new();
    let named = Place { admin: Some(501), ..place() };
    assert_eq!(world.pairing.person(&named).unwrap(), Some(JANE));
    assert_eq!(world.pairing.offer(&named, "test").await.unwrap_err(), PairingError::Named(501));
}
