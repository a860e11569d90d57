//! Edits of the configuration, as people learn of them: the first of its kind at once, later ones together.
//! An agent that keeps editing therefore floods neither the audit nor a person, and every edit is still
//! counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use portero::config::ConfigFiles;
use portero::notice::ConfigAdoption;
use portero::sync::lock;
use tokio::sync::Notify;

use crate::journal::debouncer::Debouncer;

/// The time for which edits with the same effect are gathered.
pub const GATHER_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Several edits with the same effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditSummary {
    /// The number of edits.
    pub edits: u64,
    /// The number of edits of each file.
    pub files: BTreeMap<&'static str, u64>,
    /// Their effect.
    pub became: ConfigAdoption,
    /// The digest of the last edit's files.
    pub digest: String,
    /// The digest of the configuration that applied with it.
    pub in_force: String,
    /// The difference from the confirmed configuration.
    pub about: String,
}

/// The recent edits.
#[derive(Debug)]
pub struct RecentEdits {
    inner: Mutex<RecentEditsState>,
    gathers: Notify,
}

#[derive(Debug)]
struct RecentEditsState {
    debouncer: Debouncer<ConfigAdoption, EditSummary>,
    /// The effect of the last edit.
    last: Option<ConfigAdoption>,
}

impl EditSummary {
    /// The summary of one edit.
    #[must_use]
    pub fn single_edit(before: &ConfigFiles, after: &ConfigFiles, became: ConfigAdoption) -> Self {
        let files = before.changed_files(after).into_iter().map(|file| (file, 1)).collect();
        let (digest, in_force, about) = (after.digest(), String::new(), String::new());
        Self { edits: 1, files, became, digest, in_force, about }
    }

    fn merge_later(&mut self, later: Self) {
        let mut files = std::mem::take(&mut self.files);
        for (file, count) in &later.files {
            *files.entry(file).or_default() += count;
        }
        *self = Self { edits: self.edits + later.edits, files, ..later };
    }

    /// Describes the number of edits for each file, and the last edit's changes.
    #[must_use]
    pub fn describe(&self) -> String {
        if self.edits == 1 {
            return self.about.clone();
        }
        let of: Vec<_> = self.files.iter().map(|(file, count)| format!("{file} {count} times")).collect();
        let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
        let last = if self.about.is_empty() { String::new() } else { format!("; the last: {}", self.about) };
        format!("{} edits one after the other{of}{last}", self.edits)
    }
}

impl Default for RecentEdits {
    fn default() -> Self {
        let inner = Mutex::new(RecentEditsState { debouncer: Debouncer::new(GATHER_INTERVAL), last: None });
        Self { inner, gathers: Notify::new() }
    }
}

impl RecentEdits {
    /// Notes an edit. Returns the summary that people should learn now; `None` if the edit is gathered.
    #[must_use]
    pub fn note_edit(&self, edited: EditSummary, now: Duration) -> Option<EditSummary> {
        let mut inner = self.lock_state();
        inner.last = Some(edited.became);
        let told = inner.debouncer.admit(edited.became, edited, now, EditSummary::merge_later);
        if told.is_none() {
            self.gathers.notify_one();
        }
        told
    }

    /// Returns when an edit is gathered, or was a moment ago.
    pub async fn wait_for_gathered(&self) {
        self.gathers.notified().await;
    }

    /// Whether an edit is gathered.
    #[must_use]
    pub fn has_gathered(&self) -> bool {
        self.lock_state().debouncer.has_gathered()
    }

    /// Takes the summaries that were gathered for long enough.
    #[must_use]
    pub fn take_due(&self, now: Duration) -> Vec<EditSummary> {
        self.lock_state().debouncer.take_due(now).into_iter().map(|(_, edited)| edited).collect()
    }

    /// Takes all gathered summaries.
    #[must_use]
    pub fn take_all(&self, now: Duration) -> Vec<EditSummary> {
        self.lock_state().debouncer.take_all(now).into_iter().map(|(_, edited)| edited).collect()
    }

    /// Whether the last edit had this effect.
    #[must_use]
    pub fn last_became(&self, became: ConfigAdoption) -> bool {
        self.lock_state().last == Some(became)
    }

    /// Notes the effect of a person's decision about the configuration.
    pub fn note_decision(&self, became: ConfigAdoption) {
        self.lock_state().last = Some(became);
    }

    fn lock_state(&self) -> MutexGuard<'_, RecentEditsState> {
        lock(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(policies: &str, mcps: &str) -> ConfigFiles {
        ConfigFiles {
            policies: Some(policies.to_owned()),
            mcps: Some(mcps.to_owned()),
            ..ConfigFiles::default()
        }
    }

    #[test]
    fn what_was_gathered_says_how_many_edits_of_which_files_there_were() {
        let edits = RecentEdits::default();
        let edit = |before: &ConfigFiles, after: &ConfigFiles, about: &str| EditSummary {
            about: about.to_owned(),
            ..EditSummary::single_edit(before, after, ConfigAdoption::Waits)
        };
        let (a, b, c) = (files("1", "1"), files("2", "1"), files("3", "2"));
        let first = edits.note_edit(edit(&a, &b, "first"), Duration::ZERO).expect("it is told");
        assert_eq!(first.describe(), "first");
        assert_eq!(edits.note_edit(edit(&b, &a, "second"), Duration::from_secs(1)), None);
        assert_eq!(edits.note_edit(edit(&a, &c, "third"), Duration::from_secs(2)), None);
        assert!(edits.take_due(GATHER_INTERVAL - Duration::from_secs(1)).is_empty());
        let gathered = edits.take_due(GATHER_INTERVAL).remove(0);
        assert_eq!(
            gathered.describe(),
            "2 edits one after the other (mcps.json 1 times, policies.json 2 times); the last: third"
        );
        assert_eq!(gathered.digest, c.digest());
        assert!(edits.last_became(ConfigAdoption::Waits) && !edits.last_became(ConfigAdoption::Invalid));
    }
}
