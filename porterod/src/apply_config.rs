//! Puts a configuration in force: what narrows at once, what widens once a person confirmed it (guarantee A7).
//!
//! A valid one is swapped in, but for what waits; one with errors is told by `status`, and the last valid one
//! stays in force.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portero::anonymize::Anonymizer;
use portero::approved_config::{self, ApprovedConfig, ConfigChanges, EffectiveConfig, digest_files};
use portero::audit::AuditEvent;
use portero::config::{self, Config, ConfigFiles};
use portero::ipc::{Act, PushMessage};
use portero::names::Actor;
use portero::notice::{ConfigAdoption, Notice};
use portero::policy::Policy;

use crate::approved_config::recent_edits::EditSummary;
use crate::approved_config::{SealReason, SealRequest};
use crate::daemon::{Daemon, EnvironmentLookup};
use crate::store::StoreError;

/// How often it is looked whether edits were gathered for long enough, while there are some.
const GATHERED_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How much of what changed stands in one record.
const MAX_RECORD_BYTES: usize = 4000;

/// A configuration that can be put in force.
pub struct ValidConfig {
    /// What holds.
    pub config: Config,
    /// Its replacements, proven.
    pub anonymizer: Anonymizer,
    /// How the files differ from what was confirmed.
    pub changes: ConfigChanges,
    /// What is worth knowing nevertheless.
    pub warnings: Vec<String>,
}

/// Why a configuration was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmConfigError {
    /// It is not what the person was shown.
    #[error("the configuration changed after it was shown; nothing was confirmed")]
    Changed,
    /// There is nothing to confirm.
    #[error("nothing waits: the configuration is in force as it stands")]
    NothingWaits,
    /// It has errors.
    #[error("the configuration has errors; nothing was confirmed")]
    Invalid,
    /// The files cannot be read.
    #[error("the configuration could not be read: {}", .0.join("; "))]
    Unreadable(Vec<String>),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks what the files say, and finds what of it holds.
///
/// # Errors
/// Every problem, one each.
pub fn check_files(
    confirmed: &ApprovedConfig,
    files: &ConfigFiles,
    environment: &EnvironmentLookup,
) -> Result<ValidConfig, Vec<String>> {
    let lookup = |name: &str| environment(name).and_then(|value| value.into_string().ok());
    match approved_config::effective_config(confirmed, files, &lookup) {
        Ok(EffectiveConfig { config, anonymizer, changes, problems }) => {
            Ok(ValidConfig { config, anonymizer, changes, warnings: describe_problems(&problems) })
        }
        Err(problems) => Err(describe_problems(&problems)),
    }
}

/// Every problem in one line, with its place and what to do.
#[must_use]
pub fn describe_problems(problems: &config::ConfigProblems) -> Vec<String> {
    problems.0.iter().map(describe_problem).collect()
}

fn describe_problem(problem: &config::ConfigProblem) -> String {
    let config::ConfigProblem { file, line, column, message, hint, .. } = problem;
    let place = if *line == 0 { (*file).to_owned() } else { format!("{file}:{line}:{column}") };
    match hint {
        Some(hint) => format!("{place}: {message} ({hint})"),
        None => format!("{place}: {message}"),
    }
}

/// Works by these files from now on, as far as they may hold.
pub async fn apply_files(daemon: &Daemon, files: ConfigFiles) {
    let mut present = daemon.present_files.lock().await;
    match check_files(&daemon.approved_config.current(), &files, &daemon.environment) {
        Ok(valid) => {
            put_in_force(daemon, valid);
            let became = if daemon.config_changes.load().has_pending() {
                ConfigAdoption::Waits
            } else {
                ConfigAdoption::Adopted
            };
            note_edit(daemon, (&present, &files), became).await;
            push_config_to_sessions(daemon);
            *present = files;
        }
        Err(problems) => {
            tracing::warn!(
                problems = problems.len(),
                "the configuration has errors; the last valid one stays"
            );
            daemon.config_valid.store(false, Ordering::Relaxed);
            daemon.config_problems.store(Arc::new(problems));
            note_edit(daemon, (&present, &files), ConfigAdoption::Invalid).await;
        }
    }
}

/// The files cannot be read, which changes nothing but what `status` says.
pub fn note_unreadable(daemon: &Daemon, problems: &config::ConfigProblems) {
    daemon.config_valid.store(false, Ordering::Relaxed);
    daemon.config_problems.store(Arc::new(describe_problems(problems)));
}

/// The files can be read again and say the same as before, so only what is told of them changes.
pub async fn note_readable_again(daemon: &Daemon, files: &ConfigFiles) {
    // Nothing else is put in force meanwhile.
    let _present = daemon.present_files.lock().await;
    let checked = check_files(&daemon.approved_config.current(), files, &daemon.environment);
    daemon.config_valid.store(checked.is_ok(), Ordering::Relaxed);
    let problems = checked.map_or_else(|problems| problems, |valid| valid.warnings);
    daemon.config_problems.store(Arc::new(problems));
    // A session may have met the same files while they could not be read.
    push_config_to_sessions(daemon);
}

/// An edit was looked at. What narrows is kept and recorded as it comes; anything else that comes again and again is
/// told and recorded together with what it follows.
async fn note_edit(daemon: &Daemon, (before, files): (&ConfigFiles, &ConfigFiles), became: ConfigAdoption) {
    let changes = daemon.config_changes.load_full();
    let about = match became {
        ConfigAdoption::Waits | ConfigAdoption::Adopted => {
            daemon.journal.conceal_text(&describe_config_changes(&changes)).into_inner()
        }
        ConfigAdoption::Invalid | ConfigAdoption::Refused => String::new(),
    };
    let in_force = daemon.config.load().digest.clone();
    let edited = EditSummary { about, in_force, ..EditSummary::single_edit(before, files, became) };
    let told = daemon.recent_edits.note_edit(edited, daemon.clock.now().boot);
    if became == ConfigAdoption::Adopted && differs_from_approved(daemon) {
        daemon.record_event(AuditEvent::Config { digest: daemon.config.load().digest.clone(), valid: true });
        adopt_config(daemon, files, &describe_config_changes(&changes)).await;
    }
    if let Some(told) = told {
        report_edits(daemon, files, &told).await;
    }
}

/// Whether what is in force differs in anything from what was confirmed, or nothing ever was.
fn differs_from_approved(daemon: &Daemon) -> bool {
    let sealed = matches!(&*daemon.approved_config.current(), ApprovedConfig::Sealed(_));
    !sealed || **daemon.config_changes.load() != ConfigChanges::default()
}

/// Records edits that did the same, and tells people of them where that is how it still stands.
async fn report_edits(daemon: &Daemon, present: &ConfigFiles, edited: &EditSummary) {
    let record = async |act: &str| {
        // What waits is not in force in any case; a record that cannot be written now follows.
        let _ = daemon.journal.record_act(act, &edited.describe(), true, None).await;
    };
    let event = |valid| AuditEvent::Config { digest: edited.in_force.clone(), valid };
    match edited.became {
        ConfigAdoption::Waits => {
            tracing::warn!(
                edits = edited.edits,
                "changes of the configuration wait for `portero config confirm`"
            );
            daemon.record_event(event(true));
            record("config waits").await;
        }
        ConfigAdoption::Invalid | ConfigAdoption::Refused => {
            daemon.record_event(event(false));
            if edited.edits > 1 {
                record("config invalid").await;
            }
        }
        ConfigAdoption::Adopted => {
            if edited.edits > 1 {
                record("config edited").await;
            }
            // One that matters was recorded as it came.
            if daemon.recent_edits.last_became(ConfigAdoption::Adopted) && !differs_from_approved(daemon) {
                daemon.record_event(event(true));
                adopt_config(daemon, present, &edited.about).await;
            }
        }
    }
    if daemon.recent_edits.last_became(edited.became) {
        let EditSummary { digest, became, edits, .. } = edited.clone();
        daemon.journal.add_notice(Notice::Config { digest, became, edits }).await;
    }
}

/// Tells of edits once they were gathered for a while, until the daemon is to end; then of the rest.
pub async fn run_edit_reports(daemon: Arc<Daemon>) {
    let telling = async {
        loop {
            daemon.recent_edits.wait_for_gathered().await;
            while daemon.recent_edits.has_gathered() {
                tokio::time::sleep(GATHERED_CHECK_INTERVAL).await;
                let present = daemon.present_files.lock().await;
                for edited in daemon.recent_edits.take_due(daemon.clock.now().boot) {
                    report_edits(&daemon, &present, &edited).await;
                }
            }
        }
    };
    daemon.stop.run_until_cancelled(telling).await;
    let present = daemon.present_files.lock().await;
    report_all_edits(&daemon, &present).await;
}

async fn report_all_edits(daemon: &Daemon, present: &ConfigFiles) {
    for edited in daemon.recent_edits.take_all(daemon.clock.now().boot) {
        report_edits(daemon, present, &edited).await;
    }
}

/// What is in force at the start and differs from what was confirmed is kept as confirmed where nothing in it widens;
/// else people are told that it waits.
pub async fn settle_at_start(daemon: &Daemon, files: &ConfigFiles) {
    let changes = daemon.config_changes.load_full();
    if changes.has_pending() {
        note_edit(daemon, (files, files), ConfigAdoption::Waits).await;
    } else {
        adopt_config(daemon, files, &describe_config_changes(&changes)).await;
    }
}

/// What is in force counts as confirmed, since nothing in it widens.
async fn adopt_config(daemon: &Daemon, files: &ConfigFiles, about: &str) {
    if matches!(&*daemon.approved_config.current(), ApprovedConfig::Sealed(known) if known != files) {
        let sealed = daemon
            .approved_config
            .approve_files(files.clone(), SealRequest::new(SealReason::Adopt, about, None))
            .await;
        if let Err(error) = sealed {
            // What narrows holds all the same, and is found to do so again.
            tracing::error!(%error, "the configuration in force could not be kept");
        }
    }
}

/// What is in force counts as confirmed, if nothing did until now: the passphrase was just set by `by`.
///
/// # Errors
/// When it cannot be kept.
pub async fn seal_present_config(daemon: &Daemon, by: &Actor) -> Result<(), StoreError> {
    let present = daemon.present_files.lock().await;
    if *daemon.approved_config.current() == ApprovedConfig::Open {
        let about = "the configuration as it stands";
        daemon
            .approved_config
            .approve_files(present.clone(), SealRequest::new(SealReason::Seal, about, Some(by)))
            .await?;
        push_config_to_sessions(daemon);
    }
    Ok(())
}

/// The files as they are now, and what tells their difference from what was confirmed from any other.
///
/// # Errors
/// When they cannot be read.
pub async fn load_present_files(daemon: &Daemon) -> Result<(ConfigFiles, String), ConfirmConfigError> {
    let files = ConfigFiles::load_off_thread(&daemon.paths.config).await;
    let files = files.map_err(|problems| ConfirmConfigError::Unreadable(describe_problems(&problems)))?;
    let pair = format!("{} {}", daemon.approved_config.current().digest(), digest_files(&files));
    Ok((files, blake3::hash(pair.as_bytes()).to_hex().to_string()))
}

/// Puts the files in force as they were shown. The proof is that of a person who saw it.
///
/// # Errors
/// See [`ConfirmConfigError`]; then nothing was confirmed.
pub async fn confirm_config(
    daemon: &Daemon,
    shown: &str,
    proof: crate::auth::passphrase::Authorization,
) -> Result<u64, ConfirmConfigError> {
    if !proof.covers(&Act::ConfirmConfig(shown.to_owned())) {
        return Err(ConfirmConfigError::Changed);
    }
    let mut present = daemon.present_files.lock().await;
    let (files, now) = load_present_files(daemon).await?;
    if now != shown {
        return Err(ConfirmConfigError::Changed);
    }
    let changes = waiting_changes(daemon, &files)?;
    // What led here stands in the audit before it is confirmed.
    report_all_edits(daemon, &files).await;
    let about = describe_config_changes(&changes);
    let sealing = SealRequest {
        consumes: proof.consumes(),
        ..SealRequest::new(SealReason::Confirm, &about, Some(proof.by()))
    };
    daemon.approved_config.approve_files(files.clone(), sealing).await?;
    let valid = check_files(&daemon.approved_config.current(), &files, &daemon.environment);
    put_in_force(daemon, valid.map_err(|_| ConfirmConfigError::Invalid)?);
    daemon.record_event(AuditEvent::Config { digest: daemon.config.load().digest.clone(), valid: true });
    push_config_to_sessions(daemon);
    daemon.recent_edits.note_decision(ConfigAdoption::Adopted);
    let (digest, became) = (files.digest(), ConfigAdoption::Adopted);
    daemon.journal.add_notice(Notice::Config { digest, became, edits: 1 }).await;
    *present = files;
    Ok(changes.widens.len() as u64)
}

/// What of these files waits.
///
/// # Errors
/// [`ConfirmConfigError::NothingWaits`] and [`ConfirmConfigError::Invalid`].
pub fn waiting_changes(daemon: &Daemon, files: &ConfigFiles) -> Result<ConfigChanges, ConfirmConfigError> {
    let valid = check_files(&daemon.approved_config.current(), files, &daemon.environment);
    let changes = valid.map_err(|_| ConfirmConfigError::Invalid)?.changes;
    if changes.has_pending() { Ok(changes) } else { Err(ConfirmConfigError::NothingWaits) }
}

/// Puts a configuration in force here; sessions are told after.
fn put_in_force(daemon: &Daemon, ValidConfig { config, anonymizer, changes, warnings }: ValidConfig) {
    config.log_skipped();
    daemon.anonymizer.store(Arc::new(anonymizer));
    daemon.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.overrides().clone()));
    daemon.audit.set_max_segment_bytes(config.settings.audit.max_segment_bytes);
    daemon.approval_settings.store(Arc::new(config.settings.approvals.clone()));
    daemon.config.store(Arc::new(config));
    daemon.config_changes.store(Arc::new(changes));
    daemon.config_valid.store(true, Ordering::Relaxed);
    daemon.config_problems.store(Arc::new(warnings));
    daemon.upstreams.apply_config();
    daemon.reloaded.send_replace(());
    tracing::info!("the configuration was read anew");
}

fn push_config_to_sessions(daemon: &Daemon) {
    let confirmed = daemon.approved_config.current().digest();
    daemon.sessions.push_to_all(&PushMessage::Config { confirmed });
}

/// What changed, for one record.
fn describe_config_changes(changes: &ConfigChanges) -> String {
    let all = [("waits: ", &changes.widens), ("in force: ", &changes.narrows)];
    let mut words = String::new();
    for (what, change) in all.iter().flat_map(|(what, some)| some.iter().map(move |change| (what, change))) {
        if words.len() > MAX_RECORD_BYTES {
            words.push_str("; and more");
            break;
        }
        let start = if words.is_empty() { "" } else { "; " };
        words.push_str(&format!("{start}{what}{}: {}", change.file, change.words));
    }
    if words.is_empty() { "nothing that matters".to_owned() } else { words }
}
