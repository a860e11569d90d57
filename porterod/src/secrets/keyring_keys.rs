//! The keys that the system's keyring holds: asked for once, and then known until the daemon ends.
//!
//! A keyring may be locked, or wait for a person. So no caller waits for it longer than [`ANSWER_TIMEOUT`]; the question
//! goes on meanwhile, and what failed is asked again at growing intervals only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portero::sync::lock;
use tokio::time::{Instant, timeout_at};

use super::seal::{CredentialKey, KeyId};
use crate::journal::Journal;
use crate::keyring::{Keyring, KeyringError};

/// How long a caller waits for the keyring.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause after a question that failed. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The first pause after a key could not be put into the keyring, which may ask a person to unlock it.
const FIRST_PAUSE_AFTER_PUT: Duration = Duration::from_secs(60);
/// The longest pause where the keyring answers and only lacks the key, or is locked.
const LONGEST_PAUSE_WHILE_LOCKED: Duration = Duration::from_secs(60);
/// The longest pause where it doesn't answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// What people read in the keyring's own program.
const ITEM_LABEL: &str = "Portero: the key of its kept credentials";

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyProblem {
    /// The keyring didn't give it.
    Keyring(KeyringError),
    /// The keyring says that it has no such item.
    Missing,
}

/// The keys of this store.
pub(super) struct KeyringKeys {
    keyring: Arc<dyn Keyring>,
    /// It knows the time.
    journal: Arc<Journal>,
    keys: Mutex<BTreeMap<KeyId, KeyState>>,
    /// Held while the keyring is asked, so that a person is asked to unlock it once.
    turn: Arc<tokio::sync::Mutex<()>>,
}

enum KeyState {
    Known(CredentialKey),
    /// `next` is a time since boot.
    Failed {
        problem: KeyProblem,
        pause: Duration,
        next: Duration,
    },
}

impl KeyringKeys {
    pub(super) fn new(keyring: Arc<dyn Keyring>, journal: Arc<Journal>) -> Arc<Self> {
        Arc::new(Self { keyring, journal, keys: Mutex::default(), turn: Arc::default() })
    }

    fn now(&self) -> Duration {
        self.journal.now().boot
    }

    /// What the last question for a key failed with.
    pub(super) fn problem(&self, id: KeyId) -> Option<KeyProblem> {
        match lock(&self.keys).get(&id) {
            Some(KeyState::Failed { problem, .. }) => Some(problem.clone()),
            Some(KeyState::Known(_)) | None => None,
        }
    }

    /// A key that is known already.
    pub(super) fn known(&self, id: KeyId) -> Option<CredentialKey> {
        match lock(&self.keys).get(&id) {
            Some(KeyState::Known(key)) => Some(key.clone()),
            Some(KeyState::Failed { .. }) | None => None,
        }
    }

    /// How long until a question that failed may be asked again.
    pub(super) fn next_attempt_in(&self) -> Option<Duration> {
        let (keys, now) = (lock(&self.keys), self.now());
        let next = keys.values().filter_map(|state| match state {
            // One that could be asked already wasn't wanted.
            KeyState::Failed { next, .. } => next.checked_sub(now).filter(|pause| !pause.is_zero()),
            KeyState::Known(_) => None,
        });
        next.min()
    }

    /// Forgets what is known of a key.
    pub(super) fn forget(&self, id: KeyId) {
        lock(&self.keys).remove(&id);
    }

    /// The key of this id.
    pub(super) async fn fetch(self: &Arc<Self>, id: KeyId) -> Result<CredentialKey, KeyProblem> {
        self.ask(id, Question::Get).await
    }

    /// A new key, which the keyring holds from now on. It must have none of this id, or one that was never used.
    pub(super) async fn create(self: &Arc<Self>, id: KeyId) -> Result<CredentialKey, KeyProblem> {
        self.ask(id, Question::PutNew).await
    }

    /// Removes a key from the keyring.
    pub(super) async fn delete(&self, id: KeyId) -> Result<(), KeyringError> {
        self.forget(id);
        let _turn = self.turn.lock().await;
        self.keyring.delete(&id.item()).await
    }

    /// Gives what is known of a key, or asks the keyring.
    async fn ask(self: &Arc<Self>, id: KeyId, question: Question) -> Result<CredentialKey, KeyProblem> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let no_answer = || KeyProblem::Keyring(KeyringError::TimedOut);
        let turn =
            timeout_at(deadline, Arc::clone(&self.turn).lock_owned()).await.map_err(|_| no_answer())?;
        if let Some(known) = self.recall(id, question) {
            return known;
        }
        let keys = Arc::clone(self);
        // A task of its own, which the keyring's own time limit ends: a caller that gives up must not take back a key that
        // the keyring has just taken.
        let asking = tokio::spawn(async move {
            let _turn = turn;
            let answer = match question {
                Question::Get => keys.get(id).await,
                Question::PutNew => keys.put_new(id).await,
            };
            keys.note(id, question, &answer);
            answer
        });
        let answer = timeout_at(deadline, asking).await.map_err(|_| no_answer())?;
        answer.unwrap_or_else(|_| Err(no_answer()))
    }

    /// What is known without a question. A key that is missing may be put there at once.
    fn recall(&self, id: KeyId, question: Question) -> Option<Result<CredentialKey, KeyProblem>> {
        match lock(&self.keys).get(&id)? {
            KeyState::Known(key) => Some(Ok(key.clone())),
            KeyState::Failed { problem: KeyProblem::Missing, .. } if question == Question::PutNew => None,
            KeyState::Failed { problem, next, .. } => (self.now() < *next).then(|| Err(problem.clone())),
        }
    }

    async fn get(&self, id: KeyId) -> Result<CredentialKey, KeyProblem> {
        let found = self.keyring.get(&id.item()).await.map_err(KeyProblem::Keyring)?;
        let text = found.ok_or(KeyProblem::Missing)?;
        CredentialKey::from_text(&text).ok_or_else(|| {
            KeyProblem::Keyring(KeyringError::Failed("its item of Portero's holds no key".to_owned()))
        })
    }

    /// A key counts only once the keyring has given it back.
    async fn put_new(&self, id: KeyId) -> Result<CredentialKey, KeyProblem> {
        let text = CredentialKey::fresh().to_text();
        self.keyring.put(&id.item(), ITEM_LABEL, &text).await.map_err(KeyProblem::Keyring)?;
        #[cfg(test)]
        crate::crash::crash_at("credential key put");
        match self.get(id).await? {
            key if key.to_text() == text => Ok(key),
            _ => {
                Err(KeyProblem::Keyring(KeyringError::Failed("it did not keep what it was given".to_owned())))
            }
        }
    }

    fn note(&self, id: KeyId, question: Question, answer: &Result<CredentialKey, KeyProblem>) {
        let mut keys = lock(&self.keys);
        let problem = match answer {
            Ok(key) => {
                keys.insert(id, KeyState::Known(key.clone()));
                return;
            }
            Err(problem) => problem.clone(),
        };
        let first = match question {
            Question::Get => FIRST_PAUSE,
            Question::PutNew => FIRST_PAUSE_AFTER_PUT,
        };
        let longest = match problem {
            KeyProblem::Missing | KeyProblem::Keyring(KeyringError::Locked) => LONGEST_PAUSE_WHILE_LOCKED,
            KeyProblem::Keyring(_) => LONGEST_PAUSE,
        };
        let pause = match keys.get(&id) {
            Some(KeyState::Failed { pause, .. }) => (*pause * 2).clamp(first, longest),
            Some(KeyState::Known(_)) | None => {
                tracing::warn!(problem = %describe(&problem), "a key of kept credentials is not there");
                first
            }
        };
        keys.insert(id, KeyState::Failed { problem, pause, next: self.now() + pause });
    }
}

/// What the keyring is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Get,
    PutNew,
}

fn describe(problem: &KeyProblem) -> String {
    match problem {
        KeyProblem::Keyring(error) => error.to_string(),
        KeyProblem::Missing => "the system's keyring does not have it".to_owned(),
    }
}
