//! Secrets by reference: the server gets the value, everyone else its name.

use std::fs;
use std::path::Path;
use std::time::Duration;

use portero::ipc::requests::secrets::{ClearSecrets, ListSecrets, SecretLifetime, SetSecret};
use portero::ipc::requests::sessions::ForwardCall;
use portero::ipc::{Challenge, DaemonFailure, FailureKind, ForwardedCall};
use portero::secret::Secret;
use serde_json::{Value, json};

use crate::fake_server::{RECORD_VARIABLE, ROLE_VARIABLE, SECRET_VARIABLE};
use crate::support::*;

pub(crate) const VALUE: &str = "s3cret-value-of-the-vault";

/// Adds the server `vault`, which is given what `reference` stands for.
pub(crate) fn add_vault(home: &Home, reference: &str) {
    let path = home.path_of("config").join("mcps.json");
    let mut servers: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut vault = json!({
        "command": std::env::current_exe().unwrap(),
        "args": ["--exact", "fake_server::fake_server", "--nocapture", "-q"],
        "env": {
            ROLE_VARIABLE: "1",
            RECORD_VARIABLE: home.path_of("vault.record"),
            SECRET_VARIABLE: reference,
        },
    });
    // In either shape of the file.
    match servers.get_mut("mcps").and_then(Value::as_array_mut) {
        Some(list) => {
            vault["name"] = json!("vault");
            list.push(vault);
        }
        None => servers["mcpServers"]["vault"] = vault,
    }
    home.write("mcps.json", &servers);
}

pub(crate) async fn read(session: &Session, server: &str) -> Result<String, DaemonFailure> {
    let (call, client) = call(&format!("{server}/read"), "x");
    match session.request(ForwardCall { call, client, progress: false, log_level: None }).await? {
        ForwardedCall::Result(result) => Ok(result.get().get().to_owned()),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn set(value: &str, lifetime: SecretLifetime, challenge: Option<Challenge>) -> SetSecret {
    SetSecret { name: "vault.key".parse().unwrap(), value: Secret::new(value).into(), lifetime, challenge }
}

const UNTIL_THE_END: SecretLifetime = SecretLifetime::InMemory(None);

/// Every file below the directory that holds the text.
pub(crate) fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        // The daemon replaces some files meanwhile, and the one before is gone.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let bytes = match fs::read(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.unwrap(),
            };
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn a_missing_secret_fails_its_own_server_in_words_and_a_set_one_reaches_that_server_only() {
    let home = Home::new();
    add_vault(&home, "${secret:vault.key}");
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let refused = read(&session, "vault").await.unwrap_err();
    let words = "the secret `vault.key` is not set; ask your user to run `portero secret set vault.key`";
    assert!(refused.message.contains(words), "{refused}");
    assert!(read(&session, "common").await.is_ok(), "another server works");

    person.request(set(VALUE, UNTIL_THE_END, None)).await.unwrap();
    let answer = read(&session, "vault").await.unwrap();
    assert!(answer.contains("***REDACTED***") && !answer.contains(VALUE), "{answer}");
    assert_eq!(home.record("vault")[0]["secret"], VALUE, "the server has it");

    let listed = person.request(ListSecrets).await.unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].is_kept, listed[0].expires), ("vault.key", false, None));
    assert!(!format!("{listed:?}").contains(VALUE));
    assert_eq!(files_with(&home.path_of("state"), VALUE), [""; 0]);

    assert_eq!(person.request(ClearSecrets { name: None }).await, Ok(1));
    assert!(
        read(&session, "vault").await.unwrap_err().message.contains(words),
        "the running server has ended"
    );
    app.shutdown().await;
}

#[tokio::test]
async fn an_edit_that_shows_a_secret_in_use_as_a_fake_ends_its_server() {
    let home = Home::new();
    add_vault(&home, "${secret:vault.key}");
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    person.request(set(VALUE, UNTIL_THE_END, None)).await.unwrap();
    assert!(read(&session, "vault").await.unwrap().contains("***REDACTED***"));
    let rule = json!({"fake": format!("the {VALUE}"), "real": "Erika Mustermann", "bidirectional": true});
    home.write("replacements.json", &json!({"replacements": [rule]}));
    wait_until("its server has ended, and doesn't start again", async || {
        let words = "its secret is part of a fake in replacements.json";
        read(&session, "vault").await.is_err_and(|refused| refused.message.contains(words))
    })
    .await;
    assert!(read(&session, "common").await.is_ok(), "the others go on");
    app.shutdown().await;
}

#[tokio::test]
async fn a_kept_secret_outlives_the_daemon_and_the_disk_shows_it_nowhere() {
    let home = Home::new();
    add_vault(&home, "${secret:vault.key}");
    let app = home.start().await;
    home.terminal().await.request(set(VALUE, SecretLifetime::Kept, None)).await.unwrap();
    app.shutdown().await;
    assert_eq!(files_with(&home.path_of("state"), VALUE), [""; 0]);

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let answer = read(&session, "vault").await.unwrap();
    assert!(answer.contains("***REDACTED***") && !answer.contains(VALUE), "{answer}");
    assert!(person.request(ListSecrets).await.unwrap()[0].is_kept);
    // One in memory takes its place for good.
    person.request(set("another-value-here", UNTIL_THE_END, None)).await.unwrap();
    assert!(!person.request(ListSecrets).await.unwrap()[0].is_kept);
    read(&session, "vault").await.unwrap();
    assert_eq!(home.record("vault").last().unwrap()["secret"], "another-value-here");
    app.shutdown().await;
}

#[tokio::test]
async fn where_kept_secrets_cannot_be_listed_clearing_all_still_clears_those_that_are_used() {
    let home = Home::new();
    add_vault(&home, "${secret:vault.key}");
    let app = home.start().await;
    home.terminal().await.request(set(VALUE, SecretLifetime::Kept, None)).await.unwrap();
    app.shutdown().await;
    let store = rusqlite::Connection::open(home.paths().store()).unwrap();
    let damaged = "INSERT INTO credentials (name, nonce, sealed, kept) VALUES ('no right name', zeroblob(24), x'00', 1)";
    store.execute(damaged, []).unwrap();
    store.close().unwrap();

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let other = SetSecret { name: "in.memory".parse().unwrap(), ..set("x", UNTIL_THE_END, None) };
    person.request(other).await.unwrap();
    read(&session, "vault").await.unwrap();
    let failed = person.request(ClearSecrets { name: None }).await;
    assert!(
        failed.as_ref().is_err_and(|failed| failed.message.contains("a credential has no right name")),
        "{failed:?}"
    );
    assert!(read(&session, "vault").await.unwrap_err().message.contains("`vault.key` is not set"));
    app.shutdown().await;
}

#[tokio::test]
async fn a_secret_is_forgotten_after_its_time_whatever_the_wall_clock_says() {
    let home = Home::new();
    add_vault(&home, "${secret:vault.key}");
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let minute = SecretLifetime::InMemory(Some(Duration::from_secs(60)));
    person.request(set(VALUE, minute, None)).await.unwrap();
    home.clock.advance(Duration::from_secs(59));
    assert_eq!(person.request(ListSecrets).await.unwrap().len(), 1);
    home.clock.set_wall("2026-11-20T11:00:00Z".parse().unwrap());
    home.clock.advance(Duration::from_secs(1));
    assert!(person.request(ListSecrets).await.unwrap().is_empty());
    assert!(read(&session, "vault").await.unwrap_err().message.contains("is not set"));
    app.shutdown().await;
}

#[tokio::test]
async fn once_a_passphrase_is_set_a_secret_is_set_with_it_only_and_never_by_a_session() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    for wrong in [None, Some(Challenge::new("guessed, and wrong")), Some(Challenge::on_telegram())] {
        let refused = person.request(set(VALUE, UNTIL_THE_END, wrong)).await;
        assert!(is_kind(&refused, FailureKind::Challenge), "{refused:?}");
    }
    let by_session = session.request(set(VALUE, UNTIL_THE_END, Some(challenge()))).await;
    assert!(is_kind(&by_session, FailureKind::Invalid));
    assert!(is_kind(&session.request(ListSecrets).await, FailureKind::Invalid));
    assert!(person.request(ListSecrets).await.unwrap().is_empty());
    person.request(set(VALUE, UNTIL_THE_END, Some(challenge()))).await.unwrap();
    assert_eq!(person.request(ListSecrets).await.unwrap().len(), 1);
    app.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_may_read_or_change_gives_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let file = home.path_of("key");
    fs::write(&file, format!("  {VALUE}  \nnot this\n")).unwrap();
    let allow = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    add_vault(&home, &format!("${{file:{}}}", file.display()));
    let app = home.start().await;
    let session = home.session("project").await;
    for mode in [0o644, 0o620] {
        allow(mode);
        let refused = read(&session, "vault").await.unwrap_err();
        let words = "may be read or changed by other users; run `chmod 600`";
        assert!(refused.message.contains(words), "{mode:o}: {refused}");
    }
    allow(0o600);
    let answer = read(&session, "vault").await.unwrap();
    assert!(!answer.contains(VALUE), "{answer}");
    assert_eq!(home.record("vault")[0]["secret"], VALUE, "the first line, trimmed");
    app.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_programs_output_is_the_secret_and_its_failure_shows_its_name_alone() {
    let home = Home::new();
    let file = home.path_of("output");
    add_vault(&home, &format!("${{exec:cat '{}'}}", file.display()));
    let app = home.start().await;
    let session = home.session("project").await;
    let refused = read(&session, "vault").await.unwrap_err();
    assert!(refused.message.contains("`cat`, which should print its secret, failed"), "{refused}");
    assert!(!refused.message.contains("output"), "{refused}");
    fs::write(&file, format!("{VALUE}\n")).unwrap();
    let answer = read(&session, "vault").await.unwrap();
    assert!(answer.contains("***REDACTED***") && !answer.contains(VALUE), "{answer}");
    assert_eq!(home.record("vault")[0]["secret"], VALUE);
    app.shutdown().await;
}
