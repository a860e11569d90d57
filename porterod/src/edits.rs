//! Edits of the configuration, as people are told of them: the first of its kind at once, those that follow within
//! some minutes together. So an agent that keeps editing floods neither the audit nor a person, and what it did
//! stands there all the same.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portero::config::Files;
use portero::notice::Adoption;
use tokio::sync::Notify;

use crate::damper::Damper;

/// For how long edits that do the same are gathered.
pub const GATHER: Duration = Duration::from_secs(5 * 60);

/// What edits came to, that did the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// How many there were.
    pub edits: u64,
    /// How many of them changed each file.
    pub files: BTreeMap<&'static str, u64>,
    /// What became of them.
    pub became: Adoption,
    /// The digest of the last one's files.
    pub digest: String,
    /// The digest of what was in force with it.
    pub in_force: String,
    /// How it differs from what was confirmed.
    pub about: String,
}

/// Edits of late.
#[derive(Debug)]
pub struct Edits {
    inner: Mutex<Inner>,
    gathers: Notify,
}

#[derive(Debug)]
struct Inner {
    damper: Damper<Adoption, Edited>,
    /// What became of the last.
    last: Option<Adoption>,
}

impl Edited {
    /// One edit.
    #[must_use]
    pub fn once(before: &Files, after: &Files, became: Adoption) -> Self {
        let files = before.differing(after).into_iter().map(|file| (file, 1)).collect();
        let (digest, in_force, about) = (after.digest(), String::new(), String::new());
        Self { edits: 1, files, became, digest, in_force, about }
    }

    fn join(&mut self, later: Self) {
        let mut files = std::mem::take(&mut self.files);
        for (file, count) in &later.files {
            *files.entry(file).or_default() += count;
        }
        *self = Self { edits: self.edits + later.edits, files, ..later };
    }

    /// How many edits of which files, and what the last one is.
    #[must_use]
    pub fn words(&self) -> String {
        if self.edits == 1 {
            return self.about.clone();
        }
        let of: Vec<_> = self.files.iter().map(|(file, count)| format!("{file} {count} times")).collect();
        let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
        let last = if self.about.is_empty() { String::new() } else { format!("; the last: {}", self.about) };
        format!("{} edits one after the other{of}{last}", self.edits)
    }
}

impl Default for Edits {
    fn default() -> Self {
        let inner = Mutex::new(Inner { damper: Damper::new(GATHER), last: None });
        Self { inner, gathers: Notify::new() }
    }
}

impl Edits {
    /// There was an edit. What is to be told now is given back, and gathered else.
    #[must_use]
    pub fn note(&self, edited: Edited, now: Duration) -> Option<Edited> {
        let mut inner = self.lock();
        inner.last = Some(edited.became);
        let told = inner.damper.note(edited.became, edited, now, Edited::join);
        if told.is_none() {
            self.gathers.notify_one();
        }
        told
    }

    /// Returns when something is gathered, or was a moment ago.
    pub async fn gathers(&self) {
        self.gathers.notified().await;
    }

    /// Whether something is gathered.
    #[must_use]
    pub fn has_some(&self) -> bool {
        self.lock().damper.has_some()
    }

    /// What was gathered for long enough.
    #[must_use]
    pub fn due(&self, now: Duration) -> Vec<Edited> {
        self.lock().damper.due(now).into_iter().map(|(_, edited)| edited).collect()
    }

    /// All that was gathered.
    #[must_use]
    pub fn all(&self, now: Duration) -> Vec<Edited> {
        self.lock().damper.all(now).into_iter().map(|(_, edited)| edited).collect()
    }

    /// Whether the last edit became this.
    #[must_use]
    pub fn is_now(&self, became: Adoption) -> bool {
        self.lock().last == Some(became)
    }

    /// A person decided about the configuration: this became of it.
    pub fn decided(&self, became: Adoption) {
        self.lock().last = Some(became);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(policies: &str, mcps: &str) -> Files {
        Files { policies: Some(policies.to_owned()), mcps: Some(mcps.to_owned()), ..Files::default() }
    }

    #[test]
    fn what_was_gathered_says_how_many_edits_of_which_files_there_were() {
        let edits = Edits::default();
        let edit = |before: &Files, after: &Files, about: &str| Edited {
            about: about.to_owned(),
            ..Edited::once(before, after, Adoption::Waits)
        };
        let (a, b, c) = (files("1", "1"), files("2", "1"), files("3", "2"));
        let first = edits.note(edit(&a, &b, "first"), Duration::ZERO).expect("it is told");
        assert_eq!(first.words(), "first");
        assert_eq!(edits.note(edit(&b, &a, "second"), Duration::from_secs(1)), None);
        assert_eq!(edits.note(edit(&a, &c, "third"), Duration::from_secs(2)), None);
        assert!(edits.due(GATHER - Duration::from_secs(1)).is_empty());
        let gathered = edits.due(GATHER).remove(0);
        assert_eq!(
            gathered.words(),
            "2 edits one after the other (mcps.json 1 times, policies.json 2 times); the last: third"
        );
        assert_eq!(gathered.digest, c.digest());
        assert!(edits.is_now(Adoption::Waits) && !edits.is_now(Adoption::Invalid));
    }
}
