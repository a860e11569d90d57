//! A person sees the waiting changes and confirms them: exactly the files that were shown, or none.

use std::cmp::Reverse;

use portero::anonymize::{Anonymizer, ReplacementRule};
use portero::approved_config::{ApprovedConfig, ConfigChanges, digest_files};
use portero::config::{self, ConfigFiles};
use portero::ipc::{Act, UnconfirmedConfig};
use portero::names::ToolId;
use portero::notice::{ConfigAdoption, Notice};
use portero::policy::{Action, Policy};

use super::check::describe_problems;
use super::store::{SealReason, SealRequest};
use super::{LiveConfig, describe_config_changes};
use crate::auth::Authorization;
use crate::overrides::ChangedReplacements;
use crate::store::StoreError;

/// Why a configuration was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmConfigError {
    /// The files are not those that the person was shown.
    #[error("the configuration changed after it was shown; nothing was confirmed")]
    Changed,
    /// No change waits.
    #[error("nothing waits: the configuration is in force as it stands")]
    NothingWaits,
    /// The files have errors.
    #[error("the configuration has errors; nothing was confirmed")]
    Invalid,
    /// The files can't be read.
    #[error("the configuration could not be read: {}", .0.join("; "))]
    Unreadable(Vec<String>),
    /// The confirmation could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LiveConfig {
    /// Compares the files with the confirmed ones, and lists the tools that they would loosen.
    ///
    /// # Errors
    /// [`ConfirmConfigError::Unreadable`] and [`ConfirmConfigError::Invalid`].
    pub async fn compare(&self) -> Result<UnconfirmedConfig, ConfirmConfigError> {
        let (files, shown) = self.load_files().await?;
        let changes = self.check(&files).await.map_err(|_| ConfirmConfigError::Invalid)?.changes;
        let note = match &*self.approved.current() {
            ApprovedConfig::Sealed(_) => None,
            ApprovedConfig::Open => {
                Some("no approval passphrase is set, so the files count as they stand".to_owned())
            }
            ApprovedConfig::Unknown(reason) => Some(format!("{reason}, so nothing counts as confirmed")),
        };
        let tools = if changes.has_pending() { self.loosened_tools(&files) } else { Vec::new() };
        Ok(UnconfirmedConfig { note, changes, tools, shown })
    }

    /// Checks whether these shown files could be confirmed now, so that a confirmation in vain costs no try.
    ///
    /// # Errors
    /// Why the confirmation would fail.
    pub async fn check_shown(&self, shown: &str) -> Result<(), ConfirmConfigError> {
        let (files, now) = self.load_files().await?;
        if now != shown {
            return Err(ConfirmConfigError::Changed);
        }
        self.waiting_changes(&files).await.map(drop)
    }

    /// Confirms and applies the files that the person was shown; returns the number of widening changes.
    ///
    /// # Errors
    /// See [`ConfirmConfigError`]; nothing was confirmed then.
    pub async fn confirm(&self, shown: &str, proof: Authorization) -> Result<u64, ConfirmConfigError> {
        if !proof.covers(&Act::ConfirmConfig(shown.to_owned())) {
            return Err(ConfirmConfigError::Changed);
        }
        // Held to the end, so the files that are compared are the files that are applied.
        let mut present = self.present_files.lock().await;
        let (files, now) = self.load_files().await?;
        if now != shown {
            return Err(ConfirmConfigError::Changed);
        }
        let changes = self.waiting_changes(&files).await?;
        let (former, while_waiting) = (self.confirmed_rules(), self.deps.redactions.current());
        // The audit lists the edits before their confirmation.
        self.report_all_edits(&files).await;
        let about = describe_config_changes(&changes);
        let sealing = SealRequest {
            consumes: proof.button().cloned(),
            ..SealRequest::new(SealReason::Confirm, &about, Some(proof.actor()))
        };
        self.approved.approve_files(files.clone(), sealing).await?;
        // Checked again, because the part that applies depends on the confirmed files.
        self.put_in_force(self.check(&files).await.map_err(|_| ConfirmConfigError::Invalid)?);
        // Before the sessions conceal by the confirmed rules: then their definitions are pinned already.
        self.carry_definitions_over(former, &while_waiting).await;
        self.record_config();
        self.push_to_sessions();
        self.recent_edits.note_decision(ConfigAdoption::Adopted);
        let (digest, became) = (files.digest(), ConfigAdoption::Adopted);
        self.deps.journal.add_notice(Notice::Config { digest, became, edits: 1 }).await;
        *present = files;
        Ok(changes.widens.len() as u64)
    }

    /// The replacements of the configuration that is confirmed now; none if it isn't known.
    fn confirmed_rules(&self) -> Option<Vec<ReplacementRule>> {
        match &*self.approved.current() {
            ApprovedConfig::Sealed(files) => {
                Some(config::read_config(files, &|name: &str| self.variable(name)).0?.replacements)
            }
            ApprovedConfig::Open | ApprovedConfig::Unknown(_) => None,
        }
    }

    /// Carries the pins over if the person confirmed other replacements. Where that fails, the tools concerned ask.
    async fn carry_definitions_over(&self, former: Option<Vec<ReplacementRule>>, waiting: &Anonymizer) {
        let Some(former) = former else { return };
        if self.confirmed_rules().is_some_and(|now| conceal_alike(&former, &now)) {
            return;
        }
        let Ok(former) = Anonymizer::new(&former) else { return };
        let present = self.deps.redactions.current();
        let replacements = ChangedReplacements { former: &former, waiting, present: &present };
        if let Err(error) = self.deps.overrides.carry_definitions_over(replacements).await {
            tracing::error!(%error, "the pins of definitions don't go by the confirmed replacements");
        }
    }

    /// Loads the files, with a digest over them and the confirmed ones. That digest identifies the preview.
    async fn load_files(&self) -> Result<(ConfigFiles, String), ConfirmConfigError> {
        let files = ConfigFiles::load_off_thread(self.directory()).await;
        let files = files.map_err(|problems| ConfirmConfigError::Unreadable(describe_problems(&problems)))?;
        let pair = format!("{} {}", self.approved_digest(), digest_files(&files));
        Ok((files, blake3::hash(pair.as_bytes()).to_hex().to_string()))
    }

    async fn waiting_changes(&self, files: &ConfigFiles) -> Result<ConfigChanges, ConfirmConfigError> {
        let changes = self.check(files).await.map_err(|_| ConfirmConfigError::Invalid)?.changes;
        if changes.has_pending() { Ok(changes) } else { Err(ConfirmConfigError::NothingWaits) }
    }

    /// Lists the known tools that these files would loosen, each with its action now and then; denied ones
    /// first.
    fn loosened_tools(&self, files: &ConfigFiles) -> Vec<(ToolId, Action, Action)> {
        let Some(config) = config::read_config(files, &|name: &str| self.variable(name)).0 else {
            return Vec::new();
        };
        let now = self.deps.journal.now();
        let present = self.deps.policy.load();
        let wanted = Policy::new(config.policy, present.overrides().clone());
        let known = self.deps.upstreams.known_tools().into_iter();
        let mut tools: Vec<_> = known
            .map(|tool| {
                let action = present.expected_action(&tool, None, now);
                let would_be = wanted.expected_action(&tool, None, now);
                (tool, action, would_be)
            })
            .filter(|(_, action, would_be)| would_be < action)
            .collect();
        tools.sort_by_key(|(tool, action, would_be)| (Reverse(*action), *would_be, tool.to_string()));
        tools
    }
}

/// Whether two lists of rules conceal and reveal the same texts.
fn conceal_alike(former: &[ReplacementRule], now: &[ReplacementRule]) -> bool {
    let is_same = |(former, now): (&ReplacementRule, &ReplacementRule)| {
        let ReplacementRule { fake, real, direction, case_sensitive, matching: _, label: _, servers: _ } =
            former;
        (fake, real, direction, case_sensitive) == (&now.fake, &now.real, &now.direction, &now.case_sensitive)
            && former.match_mode() == now.match_mode()
    };
    former.len() == now.len() && former.iter().zip(now).all(is_same)
}
