use portero::secret::Secret;

use super::*;
use crate::approval::tests::Bench;
use crate::passphrase::Passphrase;
use crate::passphrase::tests::new_one;

fn paths(bench: &Bench) -> Paths {
    let base = bench.directory.path();
    Paths { config: base.join("config"), state: base.to_owned(), runtime: base.join("run") }
}

fn policies(text: &str) -> Files {
    Files { directory: "/config".into(), policies: Some(text.to_owned()), ..Files::default() }
}

async fn open(bench: &Bench, present: &str) -> Arc<Confirmed> {
    let keeper = Keeper::open(bench.journal.clone(), paths(bench), &policies(present)).await.unwrap();
    let confirmed = keeper.confirmed();
    let copy = copy::read_copy(&paths(bench).confirmed(), &paths(bench).store());
    assert_eq!(copy.digest(), confirmed.digest(), "sessions find what the daemon goes by");
    assert!(!next(&paths(bench).confirmed()).exists());
    confirmed
}

/// With `text` confirmed.
async fn sealed(bench: &Bench, text: &str) {
    let keeper = Keeper::open(bench.journal.clone(), paths(bench), &policies(text)).await.unwrap();
    keeper.seal(policies(text), Sealing::new(Act::Confirm, "", Some("pid 1"))).await.unwrap();
    assert_eq!(*keeper.confirmed(), Confirmed::Sealed(policies(text)));
}

fn alarms(bench: &Bench) -> usize {
    let log = portero::audit::read(&bench.directory.path().join("audit"), &portero::audit::Filter::default());
    let is_alarm = |event: &portero::audit::Event| matches!(event, portero::audit::Event::Act { act, .. } if act == "config alarm");
    log.unwrap().entries.iter().filter(|entry| is_alarm(&entry.record.event)).count()
}

#[tokio::test]
async fn nothing_counts_as_confirmed_before_a_passphrase_is_set() {
    let bench = Bench::new();
    assert_eq!(*open(&bench, "a").await, Confirmed::Open);
    assert_eq!(*open(&bench, "b").await, Confirmed::Open);
    assert_eq!(alarms(&bench), 0);
}

#[tokio::test]
async fn a_daemon_that_died_between_the_passphrase_and_the_seal_seals_when_it_starts() {
    let bench = Bench::new();
    let passphrase = Passphrase::new(bench.journal.clone(), bench.clock.clone());
    passphrase.set(None, new_one(&Secret::new("correct horse")), "pid 1").await.unwrap();
    assert_eq!(*open(&bench, "a").await, Confirmed::Sealed(policies("a")));
    assert_eq!(*open(&bench, "b").await, Confirmed::Sealed(policies("a")));
}

#[tokio::test]
async fn killed_before_the_store_knows_of_it_nothing_was_confirmed() {
    let bench = Bench::new();
    sealed(&bench, "a").await;
    copy::write(&next(&paths(&bench).confirmed()), &StoreId::default(), &Confirmed::Sealed(policies("b")))
        .unwrap();
    assert_eq!(*open(&bench, "b").await, Confirmed::Sealed(policies("a")));
    assert_eq!(alarms(&bench), 0);
}

#[tokio::test]
async fn killed_before_the_copy_took_its_place_it_was_confirmed() {
    let bench = Bench::new();
    sealed(&bench, "a").await;
    let path = paths(&bench).confirmed();
    let former = fs::read(&path).unwrap();
    sealed(&bench, "b").await;
    fs::rename(&path, next(&path)).unwrap();
    fs::write(&path, former).unwrap();
    assert_eq!(*open(&bench, "c").await, Confirmed::Sealed(policies("b")));
    assert_eq!(alarms(&bench), 0);
}

#[tokio::test]
async fn a_copy_that_is_not_what_was_confirmed_raises_an_alarm_and_is_not_trusted() {
    let bench = Bench::new();
    sealed(&bench, "a").await;
    let path = paths(&bench).confirmed();
    copy::write(&path, &StoreId::default(), &Confirmed::Sealed(policies("forged"))).unwrap();
    assert_eq!(*open(&bench, "a").await, Confirmed::Sealed(policies("a")), "the files still are it");
    assert_eq!(alarms(&bench), 1);
    for (harm, number) in [(Confirmed::Open, 2), (Confirmed::Sealed(policies("forged")), 3)] {
        copy::write(&path, &StoreId::default(), &harm).unwrap();
        assert!(matches!(*open(&bench, "forged").await, Confirmed::Unknown(_)));
        assert_eq!(alarms(&bench), number);
    }
    assert_eq!(
        *open(&bench, "a").await,
        Confirmed::Sealed(policies("a")),
        "put back as they were, they count"
    );
}

#[tokio::test]
async fn another_directory_with_the_same_texts_was_not_confirmed() {
    let bench = Bench::new();
    sealed(&bench, "a").await;
    fs::remove_file(paths(&bench).confirmed()).unwrap();
    let elsewhere = Files { directory: "/elsewhere".into(), ..policies("a") };
    let keeper = Keeper::open(bench.journal.clone(), paths(&bench), &elsewhere).await.unwrap();
    assert!(matches!(*keeper.confirmed(), Confirmed::Unknown(_)));
}

#[tokio::test]
async fn what_was_confirmed_cannot_be_taken_out_of_the_store() {
    let bench = Bench::new();
    sealed(&bench, "a").await;
    let removed = bench.journal.store().write(crate::store::Records::None, |connection| {
        connection.execute("DELETE FROM confirmed", [])?;
        Ok(())
    });
    assert!(removed.await.is_err());
}

#[tokio::test]
async fn a_configuration_is_sealed_for_the_store_that_confirmed_it_and_no_other() {
    let (bench, other) = (Bench::new(), Bench::new());
    let config = bench.directory.path().join("config");
    fs::create_dir(&config).unwrap();
    sealed(&bench, "a").await;
    let elsewhere = Paths { config: config.clone(), ..paths(&other) };
    let refused = Keeper::open(other.journal.clone(), elsewhere.clone(), &policies("a")).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    let begins_anew = Paths { state: config.join("no-state"), ..elsewhere.clone() };
    assert!(may_begin(&begins_anew).await.is_err());
    // Whoever removes the seal begins anew; where the store is, it is put back.
    fs::remove_file(elsewhere.seal()).unwrap();
    assert!(may_begin(&begins_anew).await.is_ok());
    assert_eq!(*open(&bench, "b").await, Confirmed::Sealed(policies("a")));
    assert!(elsewhere.seal().exists());
}
