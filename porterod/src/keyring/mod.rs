//! The keyring of the operating system: the Secret Service on Linux, the Keychain on macOS, the Credential Manager on
//! Windows.
//!
//! Nothing here waits longer than [`KEYRING_TIMEOUT`], also where the keyring asks a person first. "There is no such
//! item" is a keyring's own answer; whatever else went wrong is an error. So a keyring that is only locked is never
//! taken for an empty one.

#[cfg(any(target_os = "macos", windows))]
mod native;
#[cfg(all(unix, not(target_os = "macos")))]
mod secret_service;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use portero::secret::Secret;

use crate::programs::ProgramContext;

#[cfg(any(target_os = "macos", windows))]
pub use self::native::NativeKeyring;
#[cfg(all(unix, not(target_os = "macos")))]
pub use self::secret_service::SecretService;

/// How long a keyring may take for one answer.
pub const KEYRING_TIMEOUT: Duration = Duration::from_secs(10);

/// The name of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringItem {
    /// The service that it is for.
    pub service: String,
    /// The account there.
    pub account: String,
}

/// Why a keyring gave no answer. No variant holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is none that can be asked.
    #[error("there is no keyring here: {0}")]
    Away(String),
    /// It has the item, and gives it only once a person has unlocked it.
    #[error("the system's keyring is locked")]
    Locked,
    /// It took too long.
    #[error("the system's keyring did not answer; it may be locked, and ask you to unlock it")]
    TimedOut,
    /// It refused, or said what makes no sense.
    #[error("the system's keyring failed: {0}")]
    Failed(String),
}

impl KeyringError {
    /// The next step.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Away(_) => {
                "run Portero in a session with a keyring, or set `credentials.keyring` to \"auto\" or false"
            }
            Self::Locked | Self::TimedOut => {
                "unlock it, as by signing in to your desktop; Portero tries again by itself"
            }
            Self::Failed(_) => "see whether other programs can use it; Portero tries again by itself",
        }
    }
}

/// A keyring of the operating system.
pub trait Keyring: Send + Sync {
    /// Why there is none that could be asked; none if there seems to be one. It looks without asking the keyring.
    fn find_obstacle(&self) -> Option<String>;

    /// The value of an item; none if the keyring says that there is none.
    fn get<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<Option<Secret>, KeyringError>>;

    /// Stores a value, which must be one line, and replaces an earlier one. People see `label` in the keyring's own program.
    fn put<'a>(
        &'a self,
        item: &'a KeyringItem,
        label: &'a str,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeyringError>>;

    /// Removes an item, if there is one.
    fn delete<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<(), KeyringError>>;
}

/// The keyring of this system.
#[must_use]
pub fn system_keyring(programs: ProgramContext) -> Arc<dyn Keyring> {
    #[cfg(any(target_os = "macos", windows))]
    {
        let _ = programs;
        Arc::new(NativeKeyring::default())
    }
    #[cfg(all(unix, not(target_os = "macos")))]
    Arc::new(SecretService::of_system(programs))
}

/// A system without a keyring.
pub struct NoKeyring;

impl NoKeyring {
    const OBSTACLE: &str = "this daemon uses none";
}

impl Keyring for NoKeyring {
    fn find_obstacle(&self) -> Option<String> {
        Some(Self::OBSTACLE.to_owned())
    }

    fn get<'a>(&'a self, _: &'a KeyringItem) -> BoxFuture<'a, Result<Option<Secret>, KeyringError>> {
        Box::pin(async { Err(KeyringError::Away(Self::OBSTACLE.to_owned())) })
    }

    fn put<'a>(
        &'a self,
        _: &'a KeyringItem,
        _: &'a str,
        _: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(async { Err(KeyringError::Away(Self::OBSTACLE.to_owned())) })
    }

    fn delete<'a>(&'a self, _: &'a KeyringItem) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(async { Err(KeyringError::Away(Self::OBSTACLE.to_owned())) })
    }
}
