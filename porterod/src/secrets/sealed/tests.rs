//! The store's side: which key is used when, and what happens while the keyring has none.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::approvals::tests::Fixture;
use crate::keyring::KeyringItem;

/// A keyring in memory, which a test can lock, take away or empty.
#[derive(Default)]
struct FakeKeyring {
    items: Mutex<BTreeMap<String, Secret>>,
    failure: Mutex<Option<KeyringError>>,
    is_absent: Mutex<bool>,
    /// How often it was asked.
    asked: Mutex<usize>,
}

impl FakeKeyring {
    fn answer<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Secret>) -> T) -> Result<T, KeyringError> {
        *lock(&self.asked) += 1;
        match lock(&self.failure).clone() {
            Some(failure) => Err(failure),
            None => Ok(act(&mut lock(&self.items))),
        }
    }

    fn fail(&self, failure: impl Into<Option<KeyringError>>) {
        *lock(&self.failure) = failure.into();
    }

    fn count(&self) -> usize {
        lock(&self.items).len()
    }
}

impl Keyring for FakeKeyring {
    fn find_obstacle(&self) -> Option<String> {
        (*lock(&self.is_absent)).then(|| "none is installed".to_owned())
    }

    fn get<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<Option<Secret>, KeyringError>> {
        Box::pin(async { self.answer(|items| items.get(&item.account).cloned()) })
    }

    fn put<'a>(
        &'a self,
        item: &'a KeyringItem,
        _: &'a str,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(async { self.answer(|items| drop(items.insert(item.account.clone(), value.clone()))) })
    }

    fn delete<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(async { self.answer(|items| drop(items.remove(&item.account))) })
    }
}

/// A store that outlives its daemon, and a keyring that outlives both.
struct Place {
    fixture: Fixture,
    directory: TempDir,
    keyring: Arc<FakeKeyring>,
    setting: Arc<Mutex<KeyringUse>>,
}

impl Place {
    fn new(setting: KeyringUse) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let setting = Arc::new(Mutex::new(setting));
        Self { fixture: Fixture::new(), directory, keyring: Arc::default(), setting }
    }

    /// The credentials as a daemon that has just started has them.
    fn open(&self) -> SealedCredentials {
        let setting = Arc::clone(&self.setting);
        let journal = Arc::clone(&self.fixture.journal);
        SealedCredentials::new(
            journal,
            self.key_file(),
            Arc::clone(&self.keyring) as _,
            Arc::new(move || *lock(&setting)),
        )
    }

    fn set(&self, setting: KeyringUse) {
        *lock(&self.setting) = setting;
    }

    /// Lets the pause after a failed question pass.
    fn pass_pause(&self) {
        self.fixture.clock.advance(Duration::from_secs(3600));
    }

    fn key_file(&self) -> PathBuf {
        self.directory.path().join("credentials.key")
    }
}

fn name(text: &str) -> CredentialName {
    text.parse().unwrap()
}

async fn load(kept: &SealedCredentials, text: &str) -> Option<String> {
    kept.load(&name(text)).await.unwrap().map(|value| value.expose().to_owned())
}

async fn save(kept: &SealedCredentials, text: &str, value: &str) {
    kept.save(&name(text), &Secret::new(value)).await.unwrap();
}

#[test]
fn a_name_says_whose_the_credential_is() {
    for text in ["oauth/linear", "secret/github.token"] {
        assert_eq!(name(text).to_string(), text);
    }
    for bad in ["linear", "oauth/", "secret/a b", "other/x", "oauth/a/b"] {
        assert!(bad.parse::<CredentialName>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn what_is_kept_reads_back_until_it_is_replaced_or_forgotten() {
    for setting in [KeyringUse::Off, KeyringUse::Auto, KeyringUse::Required] {
        let place = Place::new(setting);
        let kept = place.open();
        assert_eq!(load(&kept, "oauth/linear").await, None);
        save(&kept, "oauth/linear", "first").await;
        save(&kept, "secret/github", "other").await;
        save(&kept, "oauth/linear", "second").await;
        assert_eq!(load(&kept, "oauth/linear").await.as_deref(), Some("second"));
        let names: Vec<_> = kept.list().await.unwrap().into_iter().map(|kept| kept.name).collect();
        assert_eq!(names, [name("oauth/linear"), name("secret/github")]);

        assert_eq!(kept.forget(&name("oauth/linear")).await, Ok(true));
        assert_eq!(kept.forget(&name("oauth/linear")).await, Ok(false));
        assert_eq!(load(&kept, "oauth/linear").await, None);
        assert_eq!(load(&place.open(), "secret/github").await.as_deref(), Some("other"), "after a restart");
    }
}

#[tokio::test]
async fn the_store_shows_no_value_and_none_opens_under_another_name_or_key() {
    let place = Place::new(KeyringUse::Off);
    let (kept, store) = (place.open(), place.fixture.journal.store());
    save(&kept, "oauth/linear", "a very plain value").await;
    let (row, key) = store.read(|store| credentials::load(store, "oauth/linear")).unwrap().unwrap();
    assert!(!row.text.windows(5).any(|part| part == b"plain"));

    let now = place.fixture.journal.now().wall;
    let swap = move |store: &_| credentials::save(store, "oauth/other", (&row, key), now);
    store.write(Durability::StoreSynced, swap).await.unwrap();
    assert_eq!(kept.load(&name("oauth/other")).await, Err(KeepError::Damaged(name("oauth/other"))));

    fs::remove_file(place.key_file()).unwrap();
    assert_eq!(kept.load(&name("oauth/linear")).await, Err(KeepError::Damaged(name("oauth/linear"))));
    save(&kept, "oauth/linear", "set again").await;
    assert_eq!(load(&kept, "oauth/linear").await.as_deref(), Some("set again"));
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_file_is_readable_for_this_user_only() {
    let place = Place::new(KeyringUse::Off);
    save(&place.open(), "oauth/linear", "value").await;
    let key = fs::metadata(place.key_file()).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&key) & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_the_former_value_stays() {
    let place = Place::new(KeyringUse::Auto);
    let kept = place.open();
    save(&kept, "oauth/linear", "value").await;
    let long = Secret::new("x".repeat(super::super::kept::MAX_CREDENTIAL_BYTES + 1));
    assert_eq!(kept.save(&name("oauth/linear"), &long).await, Err(KeepError::TooLong));
    assert_eq!(load(&kept, "oauth/linear").await.as_deref(), Some("value"));
}

#[tokio::test]
async fn with_a_keyring_no_key_is_in_the_state_directory_and_the_keyring_is_asked_once() {
    let place = Place::new(KeyringUse::Auto);
    let kept = place.open();
    assert!(kept.settle().await.unwrap());
    assert_eq!(*lock(&place.keyring.asked), 0, "nothing is kept, so there is nothing to ask for");
    save(&kept, "oauth/linear", "value").await;
    assert!(kept.settle().await.unwrap());
    assert!(!place.key_file().exists());
    assert_eq!((place.keyring.count(), *lock(&place.keyring.asked)), (1, 2), "put, and read again");
    for round in 0..20 {
        save(&kept, "oauth/linear", &format!("refreshed {round}")).await;
        assert!(load(&kept, "oauth/linear").await.is_some());
    }
    assert_eq!(*lock(&place.keyring.asked), 2);
    assert_eq!(kept.list().await.unwrap()[0].place, CredentialPlace::Keyring);
    let status = kept.status().unwrap();
    assert_eq!((status.place, status.in_keyring, status.in_store), (CredentialPlace::Keyring, 1, 0));
    assert_eq!((status.problem, status.reason), (None, None));
}

#[tokio::test]
async fn without_a_keyring_credentials_are_sealed_in_the_store_and_nothing_is_amiss() {
    let place = Place::new(KeyringUse::Auto);
    *lock(&place.keyring.is_absent) = true;
    let kept = place.open();
    save(&kept, "oauth/linear", "value").await;
    assert!(!kept.settle().await.unwrap());
    assert_eq!(*lock(&place.keyring.asked), 0);
    let status = kept.status().unwrap();
    assert_eq!((status.place, status.in_store, status.problem), (CredentialPlace::Store, 1, None));
    assert!(status.reason.unwrap().contains("none is installed"));
    assert_eq!(load(&place.open(), "oauth/linear").await.as_deref(), Some("value"));
}

#[tokio::test]
async fn a_keyring_that_appears_gets_the_key_of_everything_and_the_key_file_goes() {
    let place = Place::new(KeyringUse::Auto);
    *lock(&place.keyring.is_absent) = true;
    let kept = place.open();
    save(&kept, "oauth/linear", "one").await;
    save(&kept, "secret/github", "two").await;
    let since = kept.list().await.unwrap()[0].since;
    *lock(&place.keyring.is_absent) = false;
    assert!(kept.settle().await.unwrap());
    assert!(!place.key_file().exists());
    for kept in [&kept, &place.open()] {
        assert_eq!(load(kept, "oauth/linear").await.as_deref(), Some("one"));
        assert_eq!(load(kept, "secret/github").await.as_deref(), Some("two"));
    }
    let listed = kept.list().await.unwrap();
    assert!(listed.iter().all(|kept| kept.place == CredentialPlace::Keyring), "{listed:?}");
    assert_eq!(listed[0].since, since);
}

#[tokio::test]
async fn once_the_setting_is_off_everything_is_sealed_in_the_store_and_the_keyring_is_left_empty() {
    let place = Place::new(KeyringUse::Auto);
    let kept = place.open();
    save(&kept, "oauth/linear", "one").await;
    place.set(KeyringUse::Off);
    // A keyring that is locked at that moment only delays it.
    let started = place.open();
    place.keyring.fail(KeyringError::Locked);
    assert!(!started.settle().await.unwrap());
    let status = started.status().unwrap();
    assert!(status.problem.unwrap().contains("locked"));
    assert_eq!((status.in_keyring, status.unreadable.len()), (1, 1));
    place.keyring.fail(None);
    place.pass_pause();
    assert!(started.settle().await.unwrap());
    assert_eq!(place.keyring.count(), 0);
    assert_eq!(load(&started, "oauth/linear").await.as_deref(), Some("one"));
    assert_eq!(load(&place.open(), "oauth/linear").await.as_deref(), Some("one"), "after a restart");
    assert_eq!(started.status().unwrap().in_store, 1);
    assert!(started.journal.store().read(credentials::list_keys).unwrap().is_empty());

    place.set(KeyringUse::Auto);
    assert!(started.settle().await.unwrap());
    assert!(!place.key_file().exists() && place.keyring.count() == 1, "and back");
    assert_eq!(load(&place.open(), "oauth/linear").await.as_deref(), Some("one"));
}

#[tokio::test]
async fn while_the_keyring_is_locked_nothing_is_lost_or_overwritten_and_it_is_asked_ever_more_rarely() {
    let place = Place::new(KeyringUse::Auto);
    save(&place.open(), "oauth/linear", "one").await;
    for failure in [
        KeyringError::Locked,
        KeyringError::TimedOut,
        KeyringError::Away("no bus".to_owned()),
        KeyringError::Failed("somehow".to_owned()),
    ] {
        let kept = place.open();
        place.keyring.fail(failure.clone());
        let locked = || KeepError::Locked { name: name("oauth/linear"), problem: failure.clone() };
        let before = *lock(&place.keyring.asked);
        for _ in 0..50 {
            assert_eq!(kept.load(&name("oauth/linear")).await, Err(locked()));
            assert!(!kept.settle().await.unwrap());
        }
        let asked = *lock(&place.keyring.asked) - before;
        assert!(asked <= 1, "{asked} times at one moment");
        // What a person gives meanwhile is kept, and moves once that is possible.
        save(&kept, "secret/github", "two").await;
        assert_eq!(load(&kept, "secret/github").await.as_deref(), Some("two"));
        let status = kept.status().unwrap();
        assert_eq!((status.in_keyring, status.in_store), (1, 1));
        assert_eq!(status.unreadable[0].name, "oauth/linear");
        assert_eq!((status.problem, status.place), (Some(failure.to_string()), CredentialPlace::Store));

        place.keyring.fail(None);
        place.pass_pause();
        assert_eq!(load(&kept, "oauth/linear").await.as_deref(), Some("one"));
        assert!(kept.settle().await.unwrap());
        assert_eq!(kept.status().unwrap().in_keyring, 2);
        assert_eq!(place.keyring.count(), 1, "no second key was made");
        kept.forget(&name("secret/github")).await.unwrap();
    }
}

#[tokio::test]
async fn an_item_that_someone_removed_takes_its_credentials_with_it_until_it_is_back() {
    let place = Place::new(KeyringUse::Auto);
    save(&place.open(), "oauth/linear", "one").await;
    save(&place.open(), "secret/github", "two").await;
    let removed = std::mem::take(&mut *lock(&place.keyring.items));
    let kept = place.open();
    let missing = |text: &str| KeepError::KeyMissing { name: name(text) };
    assert_eq!(kept.load(&name("oauth/linear")).await, Err(missing("oauth/linear")));
    let listed = kept.list().await.unwrap();
    let troubles: Vec<_> = listed.iter().map(|kept| kept.trouble.clone().unwrap()).collect();
    assert!(troubles[0].contains("run `portero login linear`"), "{troubles:?}");
    assert!(troubles[1].contains("run `portero secret set github --keep`"), "{troubles:?}");

    save(&kept, "secret/github", "given again").await;
    assert_eq!(load(&place.open(), "secret/github").await.as_deref(), Some("given again"));
    assert_eq!(kept.load(&name("oauth/linear")).await, Err(missing("oauth/linear")));
    lock(&place.keyring.items).extend(removed);
    let kept = place.open();
    assert_eq!(load(&kept, "oauth/linear").await.as_deref(), Some("one"), "it is back, and nothing is lost");
    assert_eq!(load(&kept, "secret/github").await.as_deref(), Some("given again"));
    assert!(kept.settle().await.unwrap());
    assert_eq!(place.keyring.count(), 1, "all are under the latest key, and the other one is removed");
    assert_eq!(load(&place.open(), "oauth/linear").await.as_deref(), Some("one"));
}

#[tokio::test]
async fn where_the_keyring_is_required_nothing_is_kept_without_it() {
    let place = Place::new(KeyringUse::Required);
    for (failure, is_absent) in [(Some(KeyringError::Locked), false), (None, true)] {
        place.keyring.fail(failure);
        *lock(&place.keyring.is_absent) = is_absent;
        let kept = place.open();
        let refused = kept.save(&name("oauth/linear"), &Secret::new("value")).await;
        assert!(matches!(refused, Err(KeepError::NoKeyring { .. })), "{refused:?}");
        assert!(!place.key_file().exists());
        let status = kept.status().unwrap();
        assert_eq!(status.place, CredentialPlace::Keyring);
        assert!(status.problem.is_some() && status.hint.is_some());
    }
    // What was kept before it was required can still be read.
    place.set(KeyringUse::Off);
    save(&place.open(), "oauth/linear", "value").await;
    place.set(KeyringUse::Required);
    assert_eq!(load(&place.open(), "oauth/linear").await.as_deref(), Some("value"));
}

#[tokio::test]
async fn an_item_that_holds_no_key_or_another_one_opens_nothing_and_stays() {
    let place = Place::new(KeyringUse::Auto);
    save(&place.open(), "oauth/linear", "one").await;
    let good = lock(&place.keyring.items).clone();
    let account = good.keys().next().unwrap().clone();
    let put = |text: Secret| drop(lock(&place.keyring.items).insert(account.clone(), text));
    put(Secret::new("no key at all"));
    let kept = place.open();
    let refused = kept.load(&name("oauth/linear")).await;
    assert!(
        matches!(&refused, Err(KeepError::Locked { problem: KeyringError::Failed(_), .. })),
        "{refused:?}"
    );
    save(&kept, "secret/github", "two").await;
    assert_eq!(lock(&place.keyring.items)[&account], Secret::new("no key at all"));

    put(CredentialKey::fresh().to_text());
    let kept = place.open();
    assert_eq!(kept.load(&name("oauth/linear")).await, Err(KeepError::Damaged(name("oauth/linear"))));
    assert!(kept.settle().await.unwrap());
    lock(&place.keyring.items).extend(good);
    assert_eq!(load(&place.open(), "oauth/linear").await.as_deref(), Some("one"));
}
