//! Kept credentials, and a daemon that is killed while their key goes into the system's keyring or out of it.

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::secrets::{ListSecrets, SecretLifetime, SetSecret};
use portero::ipc::{CredentialPlace, CredentialsStatus};
use portero::secret::Secret;

use super::stand_in_keyring::StandInKeyring;
use super::*;

/// The points on the way into the keyring.
const INTO_KEYRING: [&str; 5] = [
    "credential key planned",
    "credential key put",
    "credentials resealed",
    "credentials reseal committed",
    "credentials key file removed",
];
/// The points on the way out of it.
const OUT_OF_KEYRING: [&str; 3] =
    ["credentials resealed", "credentials reseal committed", "credential key deleted"];

const NAMES: [&str; 2] = ["one", "two"];

impl Home {
    fn keyring(&self) -> StandInKeyring {
        StandInKeyring::in_directory(&self.path_of("keyring"))
    }

    fn write_setting(&self, keyring: &Value) {
        let text = json!({"credentials": {"keyring": keyring}}).to_string();
        std::fs::write(self.path_of("config/portero.json"), text).unwrap();
    }

    fn key_file(&self) -> PathBuf {
        paths(self.0.path()).credentials_key()
    }

    /// Keeps secrets with a daemon that ends orderly.
    async fn keep_secrets(&self) {
        let mut daemon = self.start_daemon(None);
        let person = self.connect(PeerRole::Terminal).await;
        for name in NAMES {
            let value = Secret::new(format!("the value of {name}")).into();
            let (name, lifetime) = (name.parse().unwrap(), SecretLifetime::Kept);
            person.request(SetSecret { name, value, lifetime, challenge: None }).await.unwrap();
        }
        let _ = person.request(StopDaemon).await;
        assert!(daemon.wait_for_exit().success());
    }

    /// What a daemon says that has settled everything, and opened each secret.
    async fn settle(&self, place: CredentialPlace, point: &str) -> CredentialsStatus {
        let mut daemon = self.start_daemon(None);
        let person = self.connect(PeerRole::Terminal).await;
        let since = Instant::now();
        let status = loop {
            let Ok(status) = person.request(GetStatus).await else { panic!("{point}: no status") };
            let status = status.credentials.unwrap();
            let is_settled = match place {
                CredentialPlace::Keyring => status.in_store == 0 && !self.key_file().exists(),
                CredentialPlace::Store => status.in_keyring == 0 && self.keyring().values().is_empty(),
            };
            if is_settled {
                break status;
            }
            assert!(since.elapsed() < TEST_TIMEOUT, "{point}: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let Ok(listed) = person.request(ListSecrets).await else { panic!("{point}: no list") };
        assert_eq!(listed.len(), NAMES.len(), "{point}");
        for secret in listed {
            assert_eq!((secret.place, secret.trouble), (Some(place), None), "{point}: {}", secret.name);
        }
        let _ = person.request(StopDaemon).await;
        assert!(daemon.wait_for_exit().success());
        status
    }
}

/// A key opens what it sealed: the next daemon seals everything anew, which it can't without having opened it.
async fn assert_both_open(home: &Home, place: CredentialPlace, point: &str) {
    let (other, setting) = match place {
        CredentialPlace::Keyring => (CredentialPlace::Store, json!(false)),
        CredentialPlace::Store => (CredentialPlace::Keyring, json!("auto")),
    };
    home.write_setting(&setting);
    home.settle(other, point).await;
}

#[tokio::test]
async fn killed_at_any_point_on_the_way_into_the_keyring_no_credential_is_lost() {
    for point in INTO_KEYRING {
        let home = Home::new();
        home.keep_secrets().await;
        assert!(home.key_file().exists());
        home.keyring();
        assert!(home.start_daemon(Some(point)).was_killed(), "{point}");
        home.settle(CredentialPlace::Keyring, point).await;
        assert_eq!(home.keyring().values().len(), 1, "{point}: no key is left over");
        assert_both_open(&home, CredentialPlace::Keyring, point).await;
    }
}

#[tokio::test]
async fn killed_at_any_point_on_the_way_out_of_the_keyring_no_credential_is_lost() {
    for point in OUT_OF_KEYRING {
        let home = Home::new();
        home.keyring();
        home.keep_secrets().await;
        assert!(!home.key_file().exists());
        home.write_setting(&json!(false));
        assert!(home.start_daemon(Some(point)).was_killed(), "{point}");
        home.settle(CredentialPlace::Store, point).await;
        assert_both_open(&home, CredentialPlace::Store, point).await;
    }
}

#[tokio::test]
async fn killed_before_the_first_credential_is_kept_the_keyring_holds_one_key_in_the_end() {
    for point in ["credential key planned", "credential key put"] {
        let home = Home::new();
        home.keyring();
        let mut daemon = home.start_daemon(Some(point));
        let person = home.connect(PeerRole::Terminal).await;
        let (name, value) = ("one".parse().unwrap(), Secret::new("a value").into());
        let set = SetSecret { name, value, lifetime: SecretLifetime::Kept, challenge: None };
        assert!(person.request(set).await.is_err(), "{point}");
        assert!(daemon.was_killed(), "{point}");
        home.keep_secrets().await;
        home.settle(CredentialPlace::Keyring, point).await;
        assert_eq!(home.keyring().values().len(), 1, "{point}");
    }
}
