use portero::secret::Secret;

use super::*;
use crate::approvals::tests::Fixture;
use crate::auth::passphrase::PassphraseChecker;
use crate::auth::passphrase::tests::new_passphrase;

fn paths(fixture: &Fixture) -> Paths {
    let base = fixture.directory.path();
    Paths { config: base.join("config"), state: base.to_owned(), runtime: base.join("run") }
}

fn policies(text: &str) -> ConfigFiles {
    ConfigFiles { directory: "/config".into(), policies: Some(text.to_owned()), ..ConfigFiles::default() }
}

async fn open_confirmed(fixture: &Fixture, present: &str) -> Arc<ApprovedConfig> {
    let keeper =
        ApprovedConfigStore::open(fixture.journal.clone(), paths(fixture), &policies(present)).await.unwrap();
    let confirmed = keeper.current();
    let copy = copy::read_copy(&paths(fixture).approved_config(), &paths(fixture).store());
    assert_eq!(copy.digest(), confirmed.digest(), "sessions find what the daemon goes by");
    assert!(!next_copy_path(&paths(fixture).approved_config()).exists());
    confirmed
}

/// With `text` confirmed.
async fn seal_policies(fixture: &Fixture, text: &str) {
    let keeper =
        ApprovedConfigStore::open(fixture.journal.clone(), paths(fixture), &policies(text)).await.unwrap();
    keeper
        .approve_files(policies(text), SealRequest::new(SealReason::Confirm, "", Some(&"pid 1".into())))
        .await
        .unwrap();
    assert_eq!(*keeper.current(), ApprovedConfig::Sealed(policies(text)));
}

fn count_alarms(fixture: &Fixture) -> usize {
    let log = portero::audit::read_log(
        &fixture.directory.path().join("audit"),
        &portero::audit::RecordFilter::default(),
    );
    let is_alarm = |event: &portero::audit::AuditEvent| matches!(event, portero::audit::AuditEvent::Act { act, .. } if act == "config alarm");
    log.unwrap().entries.iter().filter(|entry| is_alarm(&entry.record.event)).count()
}

#[tokio::test]
async fn nothing_counts_as_confirmed_before_a_passphrase_is_set() {
    let fixture = Fixture::new();
    assert_eq!(*open_confirmed(&fixture, "a").await, ApprovedConfig::Open);
    assert_eq!(*open_confirmed(&fixture, "b").await, ApprovedConfig::Open);
    assert_eq!(count_alarms(&fixture), 0);
}

#[tokio::test]
async fn a_daemon_that_died_between_the_passphrase_and_the_seal_seals_when_it_starts() {
    let fixture = Fixture::new();
    let passphrase = PassphraseChecker::new(fixture.journal.clone(), fixture.clock.clone());
    passphrase
        .set_passphrase(None, new_passphrase(&Secret::new("correct horse")), &"pid 1".into())
        .await
        .unwrap();
    assert_eq!(*open_confirmed(&fixture, "a").await, ApprovedConfig::Sealed(policies("a")));
    assert_eq!(*open_confirmed(&fixture, "b").await, ApprovedConfig::Sealed(policies("a")));
}

#[tokio::test]
async fn killed_before_the_store_knows_of_it_nothing_was_confirmed() {
    let fixture = Fixture::new();
    seal_policies(&fixture, "a").await;
    copy::write_copy(
        &next_copy_path(&paths(&fixture).approved_config()),
        &StoreId::default(),
        &ApprovedConfig::Sealed(policies("b")),
    )
    .unwrap();
    assert_eq!(*open_confirmed(&fixture, "b").await, ApprovedConfig::Sealed(policies("a")));
    assert_eq!(count_alarms(&fixture), 0);
}

#[tokio::test]
async fn killed_before_the_copy_took_its_place_it_was_confirmed() {
    let fixture = Fixture::new();
    seal_policies(&fixture, "a").await;
    let path = paths(&fixture).approved_config();
    let former = fs::read(&path).unwrap();
    seal_policies(&fixture, "b").await;
    fs::rename(&path, next_copy_path(&path)).unwrap();
    fs::write(&path, former).unwrap();
    assert_eq!(*open_confirmed(&fixture, "c").await, ApprovedConfig::Sealed(policies("b")));
    assert_eq!(count_alarms(&fixture), 0);
}

#[tokio::test]
async fn a_copy_that_is_not_what_was_confirmed_raises_an_alarm_and_is_not_trusted() {
    let fixture = Fixture::new();
    seal_policies(&fixture, "a").await;
    let path = paths(&fixture).approved_config();
    copy::write_copy(&path, &StoreId::default(), &ApprovedConfig::Sealed(policies("forged"))).unwrap();
    assert_eq!(
        *open_confirmed(&fixture, "a").await,
        ApprovedConfig::Sealed(policies("a")),
        "the files still are it"
    );
    assert_eq!(count_alarms(&fixture), 1);
    for (harm, number) in [(ApprovedConfig::Open, 2), (ApprovedConfig::Sealed(policies("forged")), 3)] {
        copy::write_copy(&path, &StoreId::default(), &harm).unwrap();
        assert!(matches!(*open_confirmed(&fixture, "forged").await, ApprovedConfig::Unknown(_)));
        assert_eq!(count_alarms(&fixture), number);
    }
    assert_eq!(
        *open_confirmed(&fixture, "a").await,
        ApprovedConfig::Sealed(policies("a")),
        "put back as they were, they count"
    );
}

#[tokio::test]
async fn another_directory_with_the_same_texts_was_not_confirmed() {
    let fixture = Fixture::new();
    seal_policies(&fixture, "a").await;
    fs::remove_file(paths(&fixture).approved_config()).unwrap();
    let elsewhere = ConfigFiles { directory: "/elsewhere".into(), ..policies("a") };
    let keeper =
        ApprovedConfigStore::open(fixture.journal.clone(), paths(&fixture), &elsewhere).await.unwrap();
    assert!(matches!(*keeper.current(), ApprovedConfig::Unknown(_)));
}

#[tokio::test]
async fn what_was_confirmed_cannot_be_taken_out_of_the_store() {
    let fixture = Fixture::new();
    seal_policies(&fixture, "a").await;
    let removed = fixture.journal.store().write(crate::store::Durability::StoreSynced, |connection| {
        connection.execute("DELETE FROM approved_config", [])?;
        Ok(())
    });
    assert!(removed.await.is_err());
}

#[tokio::test]
async fn a_configuration_is_sealed_for_the_store_that_confirmed_it_and_no_other() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let config = fixture.directory.path().join("config");
    fs::create_dir(&config).unwrap();
    seal_policies(&fixture, "a").await;
    let elsewhere = Paths { config: config.clone(), ..paths(&other) };
    let refused = ApprovedConfigStore::open(other.journal.clone(), elsewhere.clone(), &policies("a")).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    let begins_anew = Paths { state: config.join("no-state"), ..elsewhere.clone() };
    assert!(matches!(check_may_start(&begins_anew).await, Err(StoreError::Refused(_))));
    let sealed = fs::read(elsewhere.seal()).unwrap();
    fs::remove_file(elsewhere.seal()).unwrap();
    fs::create_dir(elsewhere.seal()).unwrap();
    let unreadable =
        ApprovedConfigStore::open(other.journal.clone(), elsewhere.clone(), &policies("a")).await;
    for error in [unreadable.map(drop).unwrap_err(), check_may_start(&begins_anew).await.unwrap_err()] {
        assert!(error.to_string().starts_with("portero.seal cannot be read: "), "{error}");
        assert!(error.advice().unwrap().contains("move it away"), "{error}");
    }
    fs::remove_dir(elsewhere.seal()).unwrap();
    fs::write(elsewhere.seal(), sealed).unwrap();
    // Whoever removes the seal begins anew; where the store is, it is put back.
    fs::remove_file(elsewhere.seal()).unwrap();
    assert!(check_may_start(&begins_anew).await.is_ok());
    assert_eq!(*open_confirmed(&fixture, "b").await, ApprovedConfig::Sealed(policies("a")));
    assert!(elsewhere.seal().exists());
}
