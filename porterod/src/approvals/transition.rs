//! The one step that every change of a task is made of, with its record in the audit.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use portero::anonymize::Fake;
use portero::audit::AuditRecord;
use portero::binding::fingerprint;
use portero::names::Actor;
use portero::task::Task;
use rusqlite::Connection;

use crate::journal::{AuditMode, Journal, task_record};
use crate::store::tasks::{self, Transition, TransitionRequest};
use crate::store::{StoreError, denials, overrides};

/// Stores a transition with its record.
pub(super) async fn store_transition(
    journal: Arc<Journal>,
    step: TransitionRequest,
    by: Actor,
    weight: AuditMode,
) -> Result<Transition, StoreError> {
    let change = move |store: &Connection| {
        let stepped = tasks::transition(store, &step)?;
        if let (Transition::Done(task), true) = (&stepped, step.deny_cooldown) {
            record_denial(store, task)?;
        }
        let record = transition_record(&stepped, &by, step.note.as_ref());
        Ok((stepped, record.into_iter().collect()))
    };
    journal.change(weight, change).await
}

/// The record of a transition by `by`, or of the expiry that was found instead; none if nothing changed.
pub(super) fn transition_record(
    stepped: &Transition,
    by: &Actor,
    note: Option<&Fake<String>>,
) -> Option<AuditRecord> {
    match stepped {
        Transition::Done(task) => Some(task_record(task, by, note)),
        Transition::Expired(task) => Some(task_record(task, &Actor::Expiry, None)),
        Transition::WrongState(_) | Transition::NotFound => None,
    }
}

/// Stores the denial of this task's call, which starts its cool-down.
pub(super) fn record_denial(store: &Connection, task: &Task) -> Result<(), StoreError> {
    let key = overrides::binding_key(store)?;
    match fingerprint(&key, &task.call) {
        Ok(fingerprint) => denials::record_denial(store, task, &fingerprint),
        // The call was valid when the task was opened. If it can't be read now, the denial still applies,
        // without a cool-down.
        Err(_) => Ok(()),
    }
}

/// The time `by` after `from`, or the latest possible time on overflow.
pub(super) fn deadline_after(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}
