//! Puts a configuration in force: what narrows at once, what widens once a person confirmed it (guarantee A7).
//!
//! A valid one is swapped in, but for what waits; one with errors is told by `status`, and the last valid one
//! stays in force.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portero::anonymize::Anonymizer;
use portero::audit::Event;
use portero::config::{self, Config, Files};
use portero::confirmed::{self, Changes, Confirmed, InForce, digest};
use portero::ipc::Push;
use portero::notice::{Adoption, Notice};
use portero::policy::Policy;

use crate::confirmed::{Act, Sealing};
use crate::daemon::{Daemon, Environment};
use crate::edits::Edited;
use crate::passphrase::What;
use crate::store::StoreError;

/// How often it is looked whether edits were gathered for long enough, while there are some.
const LOOK: Duration = Duration::from_millis(500);
/// How much of what changed stands in one record.
const ABOUT_MOST: usize = 4000;

/// A configuration that can be put in force.
pub struct Valid {
    /// What holds.
    pub config: Config,
    /// Its replacements, proven.
    pub anonymizer: Anonymizer,
    /// How the files differ from what was confirmed.
    pub changes: Changes,
    /// What is worth knowing nevertheless.
    pub warnings: Vec<String>,
}

/// Why a configuration was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// It is not what the person was shown.
    #[error("the configuration changed after it was shown; nothing was confirmed")]
    Changed,
    /// There is nothing to confirm.
    #[error("nothing waits: the configuration is in force as it stands")]
    Nothing,
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
pub fn check(confirmed: &Confirmed, files: &Files, environment: &Environment) -> Result<Valid, Vec<String>> {
    let lookup = |name: &str| environment(name).and_then(|value| value.into_string().ok());
    match confirmed::in_force(confirmed, files, &lookup) {
        Ok(InForce { config, anonymizer, changes, problems }) => {
            Ok(Valid { config, anonymizer, changes, warnings: describe(&problems) })
        }
        Err(problems) => Err(describe(&problems)),
    }
}

/// Every problem in one line, with its place and what to do.
#[must_use]
pub fn describe(problems: &config::Problems) -> Vec<String> {
    problems.0.iter().map(told).collect()
}

fn told(problem: &config::Problem) -> String {
    let config::Problem { file, line, column, message, hint, .. } = problem;
    let place = if *line == 0 { (*file).to_owned() } else { format!("{file}:{line}:{column}") };
    match hint {
        Some(hint) => format!("{place}: {message} ({hint})"),
        None => format!("{place}: {message}"),
    }
}

/// Works by these files from now on, as far as they may hold.
pub async fn refresh(daemon: &Daemon, files: Files) {
    let mut present = daemon.present.lock().await;
    match check(&daemon.confirmed.confirmed(), &files, &daemon.environment) {
        Ok(valid) => {
            put_in_force(daemon, valid);
            let became = if daemon.changes.load().waits() { Adoption::Waits } else { Adoption::Adopted };
            edited(daemon, (&present, &files), became).await;
            tell_sessions(daemon);
            *present = files;
        }
        Err(problems) => {
            tracing::warn!(
                problems = problems.len(),
                "the configuration has errors; the last valid one stays"
            );
            daemon.valid.store(false, Ordering::Relaxed);
            daemon.problems.store(Arc::new(problems));
            edited(daemon, (&present, &files), Adoption::Invalid).await;
        }
    }
}

/// The files cannot be read, which changes nothing but what `status` says.
pub fn unreadable(daemon: &Daemon, problems: &config::Problems) {
    daemon.valid.store(false, Ordering::Relaxed);
    daemon.problems.store(Arc::new(describe(problems)));
}

/// The files can be read again and say the same as before, so only what is told of them changes.
pub async fn read_again(daemon: &Daemon, files: &Files) {
    // Nothing else is put in force meanwhile.
    let _present = daemon.present.lock().await;
    let checked = check(&daemon.confirmed.confirmed(), files, &daemon.environment);
    daemon.valid.store(checked.is_ok(), Ordering::Relaxed);
    let problems = checked.map_or_else(|problems| problems, |valid| valid.warnings);
    daemon.problems.store(Arc::new(problems));
    // A session may have met the same files while they could not be read.
    tell_sessions(daemon);
}

/// An edit was looked at. What narrows is kept and recorded as it comes; anything else that comes again and again is
/// told and recorded together with what it follows.
async fn edited(daemon: &Daemon, (before, files): (&Files, &Files), became: Adoption) {
    let changes = daemon.changes.load_full();
    let about = match became {
        Adoption::Waits | Adoption::Adopted => daemon.journal.words(&in_words(&changes)).into_inner(),
        Adoption::Invalid | Adoption::Refused => String::new(),
    };
    let in_force = daemon.config.load().digest.clone();
    let edited = Edited { about, in_force, ..Edited::once(before, files, became) };
    let told = daemon.edits.note(edited, daemon.clock.now().boot);
    if became == Adoption::Adopted && matters(daemon) {
        daemon.record(Event::Config { digest: daemon.config.load().digest.clone(), valid: true });
        keep(daemon, files, &in_words(&changes)).await;
    }
    if let Some(told) = told {
        tell_edits(daemon, files, &told).await;
    }
}

/// Whether what is in force differs in anything from what was confirmed, or nothing ever was.
fn matters(daemon: &Daemon) -> bool {
    let sealed = matches!(&*daemon.confirmed.confirmed(), Confirmed::Sealed(_));
    !sealed || **daemon.changes.load() != Changes::default()
}

/// Records edits that did the same, and tells people of them where that is how it still stands.
async fn tell_edits(daemon: &Daemon, present: &Files, edited: &Edited) {
    let record = async |act: &str| {
        // What waits is not in force in any case; a record that cannot be written now follows.
        let _ = daemon.journal.record_act(act, &edited.words(), true, None).await;
    };
    let event = |valid| Event::Config { digest: edited.in_force.clone(), valid };
    match edited.became {
        Adoption::Waits => {
            tracing::warn!(
                edits = edited.edits,
                "changes of the configuration wait for `portero config confirm`"
            );
            daemon.record(event(true));
            record("config waits").await;
        }
        Adoption::Invalid | Adoption::Refused => {
            daemon.record(event(false));
            if edited.edits > 1 {
                record("config invalid").await;
            }
        }
        Adoption::Adopted => {
            if edited.edits > 1 {
                record("config edited").await;
            }
            // One that matters was recorded as it came.
            if daemon.edits.is_now(Adoption::Adopted) && !matters(daemon) {
                daemon.record(event(true));
                keep(daemon, present, &edited.about).await;
            }
        }
    }
    if daemon.edits.is_now(edited.became) {
        let Edited { digest, became, edits, .. } = edited.clone();
        daemon.journal.tell(Notice::Config { digest, became, edits }).await;
    }
}

/// Tells of edits once they were gathered for a while, until the daemon is to end; then of the rest.
pub async fn tell_gathered(daemon: Arc<Daemon>) {
    let telling = async {
        loop {
            daemon.edits.gathers().await;
            while daemon.edits.has_some() {
                tokio::time::sleep(LOOK).await;
                let present = daemon.present.lock().await;
                for edited in daemon.edits.due(daemon.clock.now().boot) {
                    tell_edits(&daemon, &present, &edited).await;
                }
            }
        }
    };
    daemon.stop.run_until_cancelled(telling).await;
    let present = daemon.present.lock().await;
    tell_all(&daemon, &present).await;
}

async fn tell_all(daemon: &Daemon, present: &Files) {
    for edited in daemon.edits.all(daemon.clock.now().boot) {
        tell_edits(daemon, present, &edited).await;
    }
}

/// What is in force at the start and differs from what was confirmed is kept as confirmed where nothing in it widens;
/// else people are told that it waits.
pub async fn settle(daemon: &Daemon, files: &Files) {
    let changes = daemon.changes.load_full();
    if changes.waits() {
        edited(daemon, (files, files), Adoption::Waits).await;
    } else {
        keep(daemon, files, &in_words(&changes)).await;
    }
}

/// What is in force counts as confirmed, since nothing in it widens.
async fn keep(daemon: &Daemon, files: &Files, about: &str) {
    if matches!(&*daemon.confirmed.confirmed(), Confirmed::Sealed(known) if known != files) {
        let sealed = daemon.confirmed.seal(files.clone(), Sealing::new(Act::Adopt, about, None)).await;
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
pub async fn seal(daemon: &Daemon, by: &str) -> Result<(), StoreError> {
    let present = daemon.present.lock().await;
    if *daemon.confirmed.confirmed() == Confirmed::Open {
        let about = "the configuration as it stands";
        daemon.confirmed.seal(present.clone(), Sealing::new(Act::Seal, about, Some(by))).await?;
        tell_sessions(daemon);
    }
    Ok(())
}

/// The files as they are now, and what tells their difference from what was confirmed from any other.
///
/// # Errors
/// When they cannot be read.
pub async fn look(daemon: &Daemon) -> Result<(Files, String), ConfirmError> {
    let files = Files::load_off_thread(&daemon.paths.config).await;
    let files = files.map_err(|problems| ConfirmError::Unreadable(describe(&problems)))?;
    let pair = format!("{} {}", daemon.confirmed.confirmed().digest(), digest(&files));
    Ok((files, blake3::hash(pair.as_bytes()).to_hex().to_string()))
}

/// Puts the files in force as they were shown. The proof is that of a person who saw it.
///
/// # Errors
/// See [`ConfirmError`]; then nothing was confirmed.
pub async fn confirm(
    daemon: &Daemon,
    shown: &str,
    proof: crate::passphrase::Confirmed,
) -> Result<u64, ConfirmError> {
    if !proof.covers(&What::Configuration(shown)) {
        return Err(ConfirmError::Changed);
    }
    let mut present = daemon.present.lock().await;
    let (files, now) = look(daemon).await?;
    if now != shown {
        return Err(ConfirmError::Changed);
    }
    let changes = waiting(daemon, &files)?;
    // What led here stands in the audit before it is confirmed.
    tell_all(daemon, &files).await;
    let about = in_words(&changes);
    let sealing = Sealing { spends: proof.spends(), ..Sealing::new(Act::Confirm, &about, Some(proof.by())) };
    daemon.confirmed.seal(files.clone(), sealing).await?;
    let valid = check(&daemon.confirmed.confirmed(), &files, &daemon.environment);
    put_in_force(daemon, valid.map_err(|_| ConfirmError::Invalid)?);
    daemon.record(Event::Config { digest: daemon.config.load().digest.clone(), valid: true });
    tell_sessions(daemon);
    daemon.edits.decided(Adoption::Adopted);
    let (digest, became) = (files.digest(), Adoption::Adopted);
    daemon.journal.tell(Notice::Config { digest, became, edits: 1 }).await;
    *present = files;
    Ok(changes.widens.len() as u64)
}

/// What of these files waits.
///
/// # Errors
/// [`ConfirmError::Nothing`] and [`ConfirmError::Invalid`].
pub fn waiting(daemon: &Daemon, files: &Files) -> Result<Changes, ConfirmError> {
    let valid = check(&daemon.confirmed.confirmed(), files, &daemon.environment);
    let changes = valid.map_err(|_| ConfirmError::Invalid)?.changes;
    if changes.waits() { Ok(changes) } else { Err(ConfirmError::Nothing) }
}

/// Puts a configuration in force here; sessions are told after.
fn put_in_force(daemon: &Daemon, Valid { config, anonymizer, changes, warnings }: Valid) {
    config.log_skipped();
    daemon.anonymizer.store(Arc::new(anonymizer));
    daemon.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.standing().clone()));
    daemon.audit.continue_after(config.settings.audit.segment_bytes);
    daemon.approvals.store(Arc::new(config.settings.approvals.clone()));
    daemon.config.store(Arc::new(config));
    daemon.changes.store(Arc::new(changes));
    daemon.valid.store(true, Ordering::Relaxed);
    daemon.problems.store(Arc::new(warnings));
    daemon.servers.reload();
    daemon.reloaded.send_replace(());
    tracing::info!("the configuration was read anew");
}

fn tell_sessions(daemon: &Daemon) {
    let confirmed = daemon.confirmed.confirmed().digest();
    daemon.sessions.tell_all(&Push::Config { confirmed });
}

/// What changed, for one record.
fn in_words(changes: &Changes) -> String {
    let all = [("waits: ", &changes.widens), ("in force: ", &changes.narrows)];
    let mut words = String::new();
    for (what, change) in all.iter().flat_map(|(what, some)| some.iter().map(move |change| (what, change))) {
        if words.len() > ABOUT_MOST {
            words.push_str("; and more");
            break;
        }
        let start = if words.is_empty() { "" } else { "; " };
        words.push_str(&format!("{start}{what}{}: {}", change.file, change.words));
    }
    if words.is_empty() { "nothing that matters".to_owned() } else { words }
}
