//! The system's keyring: what is kept with it outlives the daemon, and what it does not give is told and never lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use portero::ipc::requests::daemon::{ExamineServer, GetStatus};
use portero::ipc::requests::login::{AwaitLogin, ListLogins};
use portero::ipc::requests::secrets::{ListSecrets, SecretLifetime};
use portero::ipc::{CredentialPlace, CredentialsStatus};
use portero::secret::Secret;
use porterod::app::{App, AppDeps};
use porterod::keyring::{Keyring, KeyringError, KeyringItem};
use serde_json::json;

use crate::logins::{SignInServer, TOKEN, answer_address, begin, home_with, linear, open};
use crate::secrets::{VALUE, add_vault, files_with, read, set};
use crate::stand_in_keyring::KeyringMode;
use crate::support::*;

const KEPT: SecretLifetime = SecretLifetime::Kept;

async fn credentials(person: &Terminal) -> CredentialsStatus {
    person.request(GetStatus).await.unwrap().credentials.unwrap()
}

/// Waits until everything that is kept has its key there.
async fn wait_for_place(person: &Terminal, place: CredentialPlace) {
    wait_until("everything is sealed there", async || {
        let status = credentials(person).await;
        let elsewhere = match place {
            CredentialPlace::Keyring => status.in_store,
            CredentialPlace::Store => status.in_keyring,
        };
        elsewhere == 0 && status.in_keyring + status.in_store > 0
    })
    .await;
}

/// A home with the server `vault` that gets a kept secret, and a daemon that has it.
async fn start_with_kept_secret(home: &Home) -> App {
    add_vault(home, "${secret:vault.key}");
    let app = home.start().await;
    home.terminal().await.request(set(VALUE, KEPT, None)).await.unwrap();
    app
}

/// What the key beside the store would be; it isn't there while the keyring has it.
fn key_file(home: &Home) -> PathBuf {
    home.paths().credentials_key()
}

/// The key of the only item, in each form in which it could be written somewhere.
fn assert_key_is_nowhere_in(home: &Home, directory: &Path) {
    let [key] = &home.keyring().values()[..] else { panic!("one item") };
    let bytes = data_encoding::BASE64.decode(key.as_bytes()).unwrap();
    assert_eq!(bytes.len(), 32);
    assert_eq!(files_with(directory, key), [""; 0]);
    assert_eq!(files_with(directory, &data_encoding::HEXLOWER.encode(&bytes)), [""; 0]);
    assert_eq!(files_with_bytes(directory, &bytes), [""; 0]);
}

fn files_with_bytes(directory: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_with_bytes(&entry.path(), bytes));
        } else if fs::read(entry.path()).is_ok_and(|text| text.windows(bytes.len()).any(|part| part == bytes))
        {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_login_and_a_kept_secret_outlive_the_daemon_and_neither_they_nor_the_key_show_anywhere() {
    let server = SignInServer::start().await;
    let home = home_with(&server);
    home.keyring();
    add_vault(&home, "${secret:vault.key}");
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    person.request(set(VALUE, KEPT, Some(challenge()))).await.unwrap();
    let begun = begin(&person, Some(challenge())).await.unwrap();
    let answer = answer_address(&begun, "c");
    let (ended, _) = tokio::join!(person.request(AwaitLogin { login: begun.login.clone() }), open(&answer));
    ended.unwrap();
    app.shutdown().await;

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let answer = read(&session, "vault").await.unwrap();
    assert!(answer.contains("***REDACTED***") && !answer.contains(VALUE), "{answer}");
    assert_eq!(home.record("vault")[0]["secret"], VALUE);
    wait_until("the server takes the login", async || {
        let examined = ExamineServer { server: linear() };
        person.request(examined).await.is_ok_and(|found| found.tools == 1)
    })
    .await;
    let status = credentials(&person).await;
    assert_eq!((status.place, status.in_keyring, status.in_store), (CredentialPlace::Keyring, 2, 0));
    assert_eq!((status.problem, status.unreadable), (None, Vec::new()));
    assert_eq!(person.request(ListSecrets).await.unwrap()[0].place, Some(CredentialPlace::Keyring));
    assert_eq!(person.request(ListLogins).await.unwrap()[0].place, Some(CredentialPlace::Keyring));
    assert!(!key_file(&home).exists());
    app.shutdown().await;

    for directory in ["state", "run", "config"] {
        let directory = home.path_of(directory);
        for text in [VALUE, TOKEN, "a-refresh-token-0123456789"] {
            assert_eq!(files_with(&directory, text), [""; 0]);
        }
        assert_key_is_nowhere_in(&home, &directory);
    }
    // The stand-in wrote down what every process can see of it.
    let (calls, [key]) = (home.keyring().calls(), &home.keyring().values()[..]) else { panic!("one item") };
    assert!(calls.contains("secret-tool store --label=") && calls.contains("secret-tool search "), "{calls}");
    for text in [VALUE, TOKEN, key] {
        assert!(!calls.contains(text), "{calls}");
    }
}

#[tokio::test]
async fn a_keyring_that_is_locked_or_hangs_at_the_start_is_told_and_gives_the_key_once_it_is_open() {
    for mode in [KeyringMode::Locked, KeyringMode::Hangs, KeyringMode::Away, KeyringMode::Fails] {
        let home = Home::new();
        home.keyring();
        start_with_kept_secret(&home).await.shutdown().await;
        home.keyring().set_mode(mode);
        let app = home.start().await;
        let (person, session) = (home.terminal().await, home.session("project").await);
        assert!(read(&session, "common").await.is_ok(), "{mode:?}: others work");
        let refused = read(&session, "vault").await.unwrap_err();
        assert!(
            refused.message.contains("the kept credential `secret/vault.key` can't be opened"),
            "{refused}"
        );
        wait_until("it is told", async || {
            let status = credentials(&person).await;
            status.problem.is_some() && status.unreadable.iter().any(|kept| kept.name == "secret/vault.key")
        })
        .await;
        let listed = person.request(ListSecrets).await.unwrap();
        assert!(listed[0].trouble.as_ref().is_some_and(|trouble| trouble.contains("can't be opened")));
        assert!(!format!("{listed:?}{refused:?}").contains("attribute.service"), "its words are its own");

        home.keyring().set_mode(KeyringMode::Open);
        wait_until("it is read by itself", async || {
            home.clock.advance(Duration::from_secs(600));
            read(&session, "vault").await.is_ok_and(|answer| answer.contains("***REDACTED***"))
        })
        .await;
        let status = credentials(&person).await;
        assert_eq!((status.in_keyring, status.problem), (1, None), "{mode:?}");
        assert_eq!(home.keyring().values().len(), 1, "{mode:?}: it was not written again");
        app.shutdown().await;
    }
}

/// A keyring that never answers, not even with a failure.
struct SilentKeyring;

impl Keyring for SilentKeyring {
    fn find_obstacle(&self) -> Option<String> {
        None
    }

    fn get<'a>(&'a self, _: &'a KeyringItem) -> BoxFuture<'a, Result<Option<Secret>, KeyringError>> {
        Box::pin(std::future::pending())
    }

    fn put<'a>(
        &'a self,
        _: &'a KeyringItem,
        _: &'a str,
        _: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(std::future::pending())
    }

    fn delete<'a>(&'a self, _: &'a KeyringItem) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_keyring_that_never_answers_holds_up_no_start_no_call_no_secret_and_no_end() {
    let home = Home::new();
    home.keyring();
    start_with_kept_secret(&home).await.shutdown().await;
    let app = App::start(AppDeps { keyring: Arc::new(SilentKeyring), ..home.app_deps() }).await.unwrap();
    let (person, session) = (home.terminal().await, home.session("project").await);
    assert!(read(&session, "common").await.is_ok(), "others work");
    let refused = read(&session, "vault").await.unwrap_err();
    assert!(refused.message.contains("the system's keyring did not answer"), "{refused}");
    person.request(set("given-meanwhile", KEPT, None)).await.unwrap();
    assert_eq!(person.request(ListSecrets).await.unwrap()[0].place, Some(CredentialPlace::Store));
    assert!(read(&session, "vault").await.is_ok());
    assert_eq!(home.record("vault").last().unwrap()["secret"], "given-meanwhile");
    app.shutdown().await;
}

#[tokio::test]
async fn a_slow_keyring_is_waited_for_and_one_of_garbage_is_not_believed() {
    let home = Home::new();
    home.keyring().set_mode(KeyringMode::Slow);
    start_with_kept_secret(&home).await.shutdown().await;
    let app = home.start().await;
    let session = home.session("project").await;
    wait_until("it is read", async || {
        home.clock.advance(Duration::from_secs(600));
        read(&session, "vault").await.is_ok()
    })
    .await;
    let person = home.terminal().await;
    wait_for_place(&person, CredentialPlace::Keyring).await;
    app.shutdown().await;

    home.keyring().set_mode(KeyringMode::Garbage);
    let app = home.start().await;
    let session = home.session("project").await;
    let refused = read(&session, "vault").await.unwrap_err();
    assert!(refused.message.contains("printed what is no item"), "{refused}");
    app.shutdown().await;
}

#[tokio::test]
async fn an_item_that_was_removed_leaves_a_login_and_a_secret_to_be_given_again() {
    let server = SignInServer::start().await;
    let home = home_with(&server);
    home.keyring();
    add_vault(&home, "${secret:vault.key}");
    let app = home.start().await;
    let person = home.terminal().await;
    person.request(set(VALUE, KEPT, None)).await.unwrap();
    let begun = begin(&person, None).await.unwrap();
    let answer = answer_address(&begun, "c");
    let (ended, _) = tokio::join!(person.request(AwaitLogin { login: begun.login.clone() }), open(&answer));
    ended.unwrap();
    app.shutdown().await;
    home.keyring().remove_all();

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let refused = read(&session, "vault").await.unwrap_err();
    let words = "run `portero secret set vault.key --keep` to give it again";
    assert!(refused.message.contains(words), "{refused}");
    wait_until("the server wants a login", async || {
        let examined = ExamineServer { server: linear() };
        let _ = person.request(examined).await;
        person.request(ListLogins).await.unwrap()[0].is_needed
    })
    .await;
    let trouble = person.request(ListLogins).await.unwrap()[0].trouble.clone().unwrap();
    assert!(trouble.contains("run `portero login linear`"), "{trouble}");
    let listed = person.request(ListSecrets).await.unwrap();
    assert!(listed[0].trouble.as_ref().is_some_and(|trouble| trouble.contains(words)), "{listed:?}");

    person.request(set("given-again-here", KEPT, None)).await.unwrap();
    wait_until("it is used", async || read(&session, "vault").await.is_ok()).await;
    assert_eq!(home.record("vault").last().unwrap()["secret"], "given-again-here");
    assert_eq!(credentials(&person).await.unreadable.len(), 1, "the login alone");
    app.shutdown().await;
}

#[tokio::test]
async fn the_setting_moves_the_key_out_of_the_keyring_and_back_while_the_daemon_runs() {
    let home = Home::new();
    home.keyring();
    let app = start_with_kept_secret(&home).await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    wait_for_place(&person, CredentialPlace::Keyring).await;
    for (setting, place) in [(json!(false), CredentialPlace::Store), (json!(true), CredentialPlace::Keyring)]
    {
        home.write("portero.json", &json!({"credentials": {"keyring": setting}}));
        wait_for_place(&person, place).await;
        let is_in_keyring = place == CredentialPlace::Keyring;
        wait_until("the former key is gone", async || {
            home.keyring().values().len() == usize::from(is_in_keyring)
                && key_file(&home).exists() != is_in_keyring
        })
        .await;
        assert!(read(&session, "vault").await.is_ok());
        assert_eq!(person.request(ListSecrets).await.unwrap()[0].place, Some(place));
    }
    app.shutdown().await;
    let app = home.start().await;
    assert!(read(&home.session("project").await, "vault").await.is_ok());
    app.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_needed_no_more_stays_in_a_locked_keyring_until_it_can_be_removed() {
    let home = Home::new();
    home.keyring();
    let app = start_with_kept_secret(&home).await;
    let person = home.terminal().await;
    home.keyring().set_mode(KeyringMode::Locked);
    home.write("portero.json", &json!({"credentials": {"keyring": false}}));
    wait_for_place(&person, CredentialPlace::Store).await;
    app.shutdown().await;
    assert_eq!(home.keyring().values().len(), 1);

    home.keyring().set_mode(KeyringMode::Open);
    let app = home.start().await;
    wait_until("the item is removed", async || home.keyring().values().is_empty()).await;
    assert!(read(&home.session("project").await, "vault").await.is_ok());
    app.shutdown().await;
}

#[tokio::test]
async fn a_keyring_that_appears_takes_over_what_was_kept_without_it() {
    let home = Home::new();
    start_with_kept_secret(&home).await.shutdown().await;
    assert!(key_file(&home).exists());
    home.keyring();
    let app = home.start().await;
    let person = home.terminal().await;
    wait_for_place(&person, CredentialPlace::Keyring).await;
    wait_until("the key beside the store is gone", async || !key_file(&home).exists()).await;
    assert_key_is_nowhere_in(&home, &home.path_of("state"));
    assert!(read(&home.session("project").await, "vault").await.is_ok());
    app.shutdown().await;
}

#[tokio::test]
async fn where_the_keyring_is_required_and_locked_a_secret_is_refused_with_the_next_step() {
    let home = Home::new();
    home.keyring().set_mode(KeyringMode::Locked);
    home.write("portero.json", &json!({"credentials": {"keyring": true}}));
    let app = home.start().await;
    let person = home.terminal().await;
    let refused = person.request(set(VALUE, KEPT, None)).await.unwrap_err();
    assert!(
        refused.message.contains("nothing can be kept") && refused.message.contains("unlock it"),
        "{refused}"
    );
    assert!(person.request(ListSecrets).await.unwrap().is_empty());
    assert!(!key_file(&home).exists());
    app.shutdown().await;
}

#[tokio::test]
async fn a_reference_to_an_item_gets_its_value_and_never_one_of_porteros_own() {
    let home = Home::new();
    let keyring = home.keyring();
    keyring.put("a.example", "maria", VALUE).await;
    add_vault(&home, "${keyring:a.example/maria}");
    let app = home.start().await;
    let session = home.session("project").await;
    let answer = read(&session, "vault").await.unwrap();
    assert!(answer.contains("***REDACTED***") && !answer.contains(VALUE), "{answer}");
    assert_eq!(home.record("vault")[0]["secret"], VALUE);
    assert!(!keyring.calls().contains(VALUE) && !keyring.calls().contains(" lookup "), "{}", keyring.calls());
    app.shutdown().await;

    for (mode, reference, words) in [
        (KeyringMode::Open, "${keyring:a.example/other}", "the system's keyring has no such item"),
        (KeyringMode::Locked, "${keyring:a.example/maria}", "the system's keyring is locked; unlock it"),
        (KeyringMode::Away, "${keyring:a.example/maria}", "there is no keyring here"),
        (KeyringMode::Open, "${keyring:portero/credentials-00}", "names a key of Portero's own"),
    ] {
        let home = Home::new();
        home.keyring().put("a.example", "maria", VALUE).await;
        home.keyring().put("portero", "credentials-00", VALUE).await;
        home.keyring().set_mode(mode);
        add_vault(&home, reference);
        let app = home.start().await;
        let refused = read(&home.session("project").await, "vault").await.unwrap_err();
        assert!(refused.message.contains(words) && !refused.message.contains("maria"), "{refused}");
        app.shutdown().await;
    }
}
