//! The Keychain on macOS and the Credential Manager on Windows, by their own interfaces.

use std::sync::Arc;

use ::keyring::{Entry, Error};
use futures_util::future::BoxFuture;
use portero::secret::Secret;
use tokio::sync::Semaphore;

use super::{KEYRING_TIMEOUT, Keyring, KeyringError, KeyringItem};

/// The system's keyring.
///
/// Its calls block, and may ask a person first. So each runs on a thread of its own, one at a time: after a time limit the
/// thread goes on waiting for the person, who is asked once and not at each try.
pub struct NativeKeyring {
    thread: Arc<Semaphore>,
}

impl Default for NativeKeyring {
    fn default() -> Self {
        Self { thread: Arc::new(Semaphore::new(1)) }
    }
}

impl NativeKeyring {
    async fn run<T: Send + 'static>(
        &self,
        item: &KeyringItem,
        act: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, KeyringError> {
        let KeyringItem { service, account } = item.clone();
        let running = async {
            let place = Arc::clone(&self.thread).acquire_owned().await;
            let acting = tokio::task::spawn_blocking(move || {
                let _place = place;
                act(&Entry::new(&service, &account)?)
            });
            acting.await.map_err(|_| KeyringError::Failed("its interface failed".to_owned()))
        };
        let ended = tokio::time::timeout(KEYRING_TIMEOUT, running).await;
        ended.map_err(|_| KeyringError::TimedOut)??.map_err(|error| describe(&error))
    }
}

impl Keyring for NativeKeyring {
    fn find_obstacle(&self) -> Option<String> {
        None
    }

    fn get<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<Option<Secret>, KeyringError>> {
        Box::pin(self.run(item, |entry| match entry.get_password() {
            Ok(value) => Ok(Some(Secret::new(value))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        }))
    }

    fn put<'a>(
        &'a self,
        item: &'a KeyringItem,
        _: &'a str,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeyringError>> {
        let value = value.clone();
        Box::pin(self.run(item, move |entry| entry.set_password(value.expose())))
    }

    fn delete<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(self.run(item, |entry| match entry.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(error),
        }))
    }
}

/// The error without the value that some of them hold.
fn describe(error: &Error) -> KeyringError {
    match error {
        Error::NoStorageAccess(_) => KeyringError::Locked,
        Error::BadEncoding(_) => KeyringError::Failed("its item is no text".to_owned()),
        Error::TooLong(what, most) => {
            KeyringError::Failed(format!("the {what} has more than {most} characters"))
        }
        Error::Ambiguous(_) => KeyringError::Failed("it has several such items".to_owned()),
        Error::PlatformFailure(_) => KeyringError::Failed("it refused".to_owned()),
        _ => KeyringError::Failed("for an unknown reason".to_owned()),
    }
}
