//! Records edits and tells people of them. A narrowing edit is recorded at once; repeated ones of another
//! kind are gathered.

use std::sync::Arc;
use std::time::Duration;

use portero::approved_config::{ApprovedConfig, ConfigChanges};
use portero::audit::AuditEvent;
use portero::config::ConfigFiles;
use portero::notice::{ConfigAdoption, Notice};
use tokio_util::sync::CancellationToken;

use super::recent_edits::EditSummary;
use super::{LiveConfig, describe_config_changes};

/// How often gathered edits are checked for their age.
const GATHERED_CHECK_INTERVAL: Duration = Duration::from_millis(500);

impl LiveConfig {
    /// Reports gathered edits when they are due, until `stop`; then it reports the rest.
    pub async fn run_edit_reports(self: Arc<Self>, stop: CancellationToken) {
        let reporting = async {
            loop {
                self.recent_edits.wait_for_gathered().await;
                while self.recent_edits.has_gathered() {
                    tokio::time::sleep(GATHERED_CHECK_INTERVAL).await;
                    let present = self.present_files.lock().await;
                    for edited in self.recent_edits.take_due(self.deps.journal.now().boot) {
                        self.report_edits(&present, &edited).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(reporting).await;
        let present = self.present_files.lock().await;
        self.report_all_edits(&present).await;
    }

    /// Notes an edit from the first files to the second. A narrowing one is stored and recorded at once.
    pub(super) async fn note_edit(
        &self,
        (before, files): (&ConfigFiles, &ConfigFiles),
        became: ConfigAdoption,
    ) {
        let changes = self.changes();
        let about = match became {
            ConfigAdoption::Waits | ConfigAdoption::Adopted => {
                self.deps.journal.conceal_text(&describe_config_changes(&changes)).into_inner()
            }
            ConfigAdoption::Invalid | ConfigAdoption::Refused => String::new(),
        };
        let in_force = self.current().digest.clone();
        let edited = EditSummary { about, in_force, ..EditSummary::single_edit(before, files, became) };
        let due = self.recent_edits.note_edit(edited, self.deps.journal.now().boot);
        if became == ConfigAdoption::Adopted && self.differs_from_approved() {
            self.record_config();
            self.adopt(files, &describe_config_changes(&changes)).await;
        }
        if let Some(due) = due {
            self.report_edits(files, &due).await;
        }
    }

    /// Reports every gathered edit now.
    pub(super) async fn report_all_edits(&self, present: &ConfigFiles) {
        for edited in self.recent_edits.take_all(self.deps.journal.now().boot) {
            self.report_edits(present, &edited).await;
        }
    }

    /// Records edits with the same effect, and tells people unless a later edit had another effect.
    async fn report_edits(&self, present: &ConfigFiles, edited: &EditSummary) {
        let journal = &self.deps.journal;
        let record = async |act: &str| {
            // A waiting change does not apply in any case. A record that can't be written now is written
            // later.
            let _ = journal.record_act(act, &edited.describe(), true, None).await;
        };
        let event = |valid| AuditEvent::Config { digest: edited.in_force.clone(), valid };
        match edited.became {
            ConfigAdoption::Waits => {
                tracing::warn!(
                    edits = edited.edits,
                    "changes of the configuration wait for `portero config confirm`"
                );
                journal.record_event(event(true));
                record("config waits").await;
            }
            ConfigAdoption::Invalid | ConfigAdoption::Refused => {
                journal.record_event(event(false));
                if edited.edits > 1 {
                    record("config invalid").await;
                }
            }
            ConfigAdoption::Adopted => {
                if edited.edits > 1 {
                    record("config edited").await;
                }
                // An edit that differs from the confirmed files was recorded when it came.
                if self.recent_edits.last_became(ConfigAdoption::Adopted) && !self.differs_from_approved() {
                    journal.record_event(event(true));
                    self.adopt(present, &edited.about).await;
                }
            }
        }
        // An older effect would tell people the wrong present state.
        if self.recent_edits.last_became(edited.became) {
            let EditSummary { digest, became, edits, .. } = edited.clone();
            journal.add_notice(Notice::Config { digest, became, edits }).await;
        }
    }

    /// Whether the applied configuration differs from the confirmed one, or none was ever confirmed.
    fn differs_from_approved(&self) -> bool {
        let sealed = matches!(&*self.approved.current(), ApprovedConfig::Sealed(_));
        !sealed || **self.changes.load() != ConfigChanges::default()
    }
}
