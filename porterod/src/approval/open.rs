//! Opening a task: the one that waits already, the limits, and what a person said no to a moment ago.

use std::time::Duration;

use jiff::Timestamp;
use portero::audit::{Event, Record};
use portero::call::Call;
use portero::config::Approvals;
use portero::ipc::Width;
use portero::names::{TaskId, ToolId};
use portero::pipeline::Refusal;
use portero::policy::{Action, Decision};
use portero::task::{Origin, State, Task};
use rusqlite::Connection;

use super::desk::{Desk, later, refusal};
use super::fingerprint;
use crate::journal::{Weight, about_task};
use crate::passphrase::{Confirmed, What};
use crate::store::denials::{self, Denial};
use crate::store::tasks::{self, Step, Stepped};
use crate::store::{StoreError, standing};

/// With so many calls that wait, a project leaves the last quarter of what may wait in all to others.
const ENOUGH: u64 = 5;

/// That a person wants to be asked again at once.
pub(crate) const AGAIN: What<'_> = What::Other(Width::One);

/// What a new task is held against.
struct Gate {
    settings: Approvals,
    fingerprint: String,
    now: Timestamp,
}

impl Desk {
    /// Opens a task, or gives the identical one that waits.
    pub(super) async fn open(&self, call: Call, origin: Origin, decision: Decision) -> Result<Task, Refusal> {
        let (gate, task) = self.prepare(call, origin, decision).await?;
        self.put(task, "agent", move |store, task| {
            gate.cool_down(store, task)?;
            gate.limits(store, task)
        })
        .await
    }

    /// Asks anew what a task asked that has ended, with a task of the same principal that waits for a person as
    /// any other. `call` is its call, concealed by the rules of today. What a person said no to a moment ago asks
    /// them only where it is they who want that: `proof` is of them.
    ///
    /// # Errors
    /// [`Refusal::Declined`] where the task is still open or was taken back by the agent, [`Refusal::Denied`]
    /// where policy denies the call now, and as every call.
    pub async fn again(
        &self,
        ended: &Task,
        call: Call,
        by: &str,
        proof: Option<&Confirmed>,
    ) -> Result<Task, Refusal> {
        let id = ended.id;
        match ended.state {
            State::Completed | State::Failed | State::Interrupted | State::Expired | State::Denied => {}
            State::PendingApproval | State::Approved | State::Executing => {
                return Err(Refusal::Declined(format!("task {id} is {}: it has not ended", ended.state)));
            }
            State::Cancelled => {
                return Err(Refusal::Declined(format!("task {id} is cancelled: the agent took it back")));
            }
        }
        let (asker, now) = (Some(ended.origin.asker()), self.parts.clock.now());
        let decision = self.parts.policy.load().decide(&call.tool, call.arguments(), asker, now);
        if decision.action == Action::Deny {
            return Err(Refusal::Denied(decision));
        }
        let (gate, task) = self.prepare(call, ended.origin.clone(), decision).await?;
        let task = Task { repeats: Some(id), ..task };
        let insists = proof.is_some_and(|proof| proof.covers(&AGAIN));
        self.put(task, by, move |store, task| {
            if !insists {
                gate.cool_down(store, task)?;
            }
            gate.limit_in_all(store)
        })
        .await
    }

    /// Until when this call of a task's principal is refused without asking, since a person said no to it a moment
    /// ago; none where it may ask.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn cools(&self, ended: &Task, call: &Call) -> Result<Option<Timestamp>, Refusal> {
        let store = self.parts.journal.store();
        let key = store.read(standing::binding_key).map_err(refusal)?;
        let fingerprint = fingerprint(&key, call)?;
        let principal = ended.origin.principal.clone();
        let found = store.read(move |store| denials::find(store, &principal, &fingerprint));
        let (now, lasts) = (self.now(), self.parts.settings.load().cool_down);
        Ok(found.map_err(refusal)?.and_then(|denial| until(&denial, now, lasts)))
    }

    /// Puts a task on disk if `may` lets it, or gives the identical one that waits.
    async fn put(
        &self,
        task: Task,
        by: &str,
        may: impl Fn(&Connection, &Task) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Result<Task, Refusal> {
        let (id, now, by) = (task.id, task.asked, by.to_owned());
        let opened = self.parts.journal.change(Weight::Strict, move |store| {
            let mut records = Vec::new();
            if let Some(twin) = tasks::twin(store, &task.origin.principal, &task.binding)? {
                if !tasks::is_over(&twin, now) {
                    return Ok((twin, records));
                }
                let expiry = Step::new(twin.id, &[], State::Expired, now);
                if let Stepped::Expired(gone) = tasks::step(store, &expiry)? {
                    records.push(about_task(&gone, "expiry", None));
                }
            }
            may(store, &task)?;
            tasks::insert(store, &task)?;
            records.push(about_task(&task, &by, None));
            Ok((task.clone(), records))
        });
        let task = opened.await.map_err(refusal)?;
        if task.id == id {
            // A twin may have expired.
            self.wake();
            self.opened.notify_one();
        }
        Ok(task)
    }

    /// A task that is not on disk yet.
    async fn prepare(&self, call: Call, origin: Origin, decision: Decision) -> Result<(Gate, Task), Refusal> {
        let binding = self.binding(&call, &origin.directory).await?;
        let key = self.parts.journal.store().read(standing::binding_key).map_err(refusal)?;
        let fingerprint = fingerprint(&key, &call)?;
        let settings = (**self.parts.settings.load()).clone();
        let now = self.now();
        let task = Task {
            id: TaskId::fresh(),
            state: State::PendingApproval,
            call,
            decision,
            origin,
            binding,
            asked: now,
            expires: later(now, settings.pending),
            changed: now,
            note: None,
            result: None,
            error: None,
            repeats: None,
            repeated: None,
            votes: Vec::new(),
            quorums: Vec::new(),
        };
        Ok((Gate { settings, fingerprint, now }, task))
    }

    /// Writes down that no task was opened. It is not in any case; a record that cannot be written follows.
    pub(super) fn note_refusal(&self, tool: ToolId, origin: &Origin, refusal: &Refusal) {
        let record = Record {
            at: self.now(),
            session: Some(origin.session),
            principal: Some(origin.principal.clone()),
            event: Event::Refused { tool, reason: refusal.to_string() },
        };
        self.parts.journal.note(record);
    }
}

impl Gate {
    /// Whether a person said no to the same call a moment ago. On a clock that was set back to before that, the
    /// moment is over.
    fn cool_down(&self, store: &Connection, task: &Task) -> Result<(), StoreError> {
        let Some(denial) = denials::find(store, &task.origin.principal, &self.fingerprint)? else {
            return Ok(());
        };
        match until(&denial, self.now, self.settings.cool_down) {
            Some(until) => Err(StoreError::Refused(cooling(&denial, until))),
            None => Ok(()),
        }
    }

    /// Whether a person has enough to decide already. The identical call that waits does not count twice.
    fn limits(&self, store: &Connection, task: &Task) -> Result<(), StoreError> {
        let waiting = tasks::waiting(store, task.origin.session, &task.origin.principal)?;
        let Approvals { pending_most, pending_most_of_project, pending_most_in_all, .. } = self.settings;
        let in_all = u64::from(pending_most_in_all);
        if waiting.session >= u64::from(pending_most) {
            full("of this session", waiting.session)
        } else if waiting.principal >= u64::from(pending_most_of_project) {
            full("of this project", waiting.principal)
        } else if waiting.all >= in_all - in_all / 4 && waiting.principal >= ENOUGH {
            full("of all projects, with several of this one,", waiting.all)
        } else {
            self.limit_in_all(store)
        }
    }

    fn limit_in_all(&self, store: &Connection) -> Result<(), StoreError> {
        match tasks::all_waiting(store)? {
            waiting if waiting >= u64::from(self.settings.pending_most_in_all) => {
                full("of all projects", waiting)
            }
            _ => Ok(()),
        }
    }
}

fn full(whose: &str, most: u64) -> Result<(), StoreError> {
    Err(StoreError::Refused(format!(
        "{most} calls {whose} wait for a person already, and no more may. This one did not run and does not wait. \
         Go on with other work until some are decided, or take some back with portero/cancel_task"
    )))
}

/// Notes that a person said no to this task's call.
pub(super) fn cool(store: &Connection, task: &Task) -> Result<(), StoreError> {
    let key = standing::binding_key(store)?;
    match fingerprint(&key, &task.call) {
        Ok(fingerprint) => denials::note(store, task, &fingerprint),
        // It was read when the task was opened; a no holds even so.
        Err(_) => Ok(()),
    }
}

/// Until when a no holds that was said a moment ago.
fn until(denial: &Denial, now: Timestamp, lasts: Duration) -> Option<Timestamp> {
    let until = later(denial.at, lasts);
    (denial.at <= now && now < until).then_some(until)
}

fn cooling(denial: &Denial, until: Timestamp) -> String {
    let second = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let reason = denial.reason.as_ref().map(|reason| format!(", and said: {}", reason.get()));
    format!(
        "a person said no to exactly this call at {}, task {}{}. Until {} it is refused without asking them \
         again. Do not try to reach the same effect another way; tell the user that it was refused",
        second(denial.at),
        denial.task,
        reason.unwrap_or_default(),
        second(until)
    )
}
