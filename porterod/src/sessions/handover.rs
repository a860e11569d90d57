//! Approved calls on their way to the session that has the server's process, and back.
//!
//! A permit is handed to one connection, once. Its outcome is taken from that connection alone, once. A connection that
//! ends before is the end of its handovers.

use std::collections::HashMap;

use portero::ipc::{CallCheck, FromDaemon, PermitOutcome, PushMessage};
use portero::names::{ChildGeneration, PermitNonce, ServerName, TaskId};
use portero::permit::{CallPermit, PermitProblem};
use portero::pipeline::BoxFuture;
use portero::sync::lock;
use portero::task::{ChildLoss, SessionChild, Task};
use tokio::sync::{oneshot, watch};

use super::{SeatTable, SessionSeat, Sessions};

/// How a handover ended.
#[derive(Debug)]
pub enum HandoverEnd {
    /// The permit was not handed over.
    NotHanded(ChildLoss),
    /// It was, and the connection broke before the outcome came: whether the call ran is unknown.
    Lost,
    /// The session's report.
    Reported(PermitOutcome),
}

/// Reaches the processes that sessions run.
pub trait SessionChildren: Send + Sync {
    /// Whether the process in which a call was asked for can be called.
    ///
    /// # Errors
    /// Why not.
    fn find_child(&self, server: &ServerName, child: &SessionChild) -> Result<(), ChildLoss>;

    /// Asks the session whether the call would run there now. Without end: the caller limits it.
    fn check_call<'a>(
        &'a self,
        task: &'a Task,
        child: &'a SessionChild,
    ) -> BoxFuture<'a, Result<(), PermitProblem>>;

    /// Hands a permit over, once, and waits for the outcome. Dropping the future takes the permit back as far as that
    /// is possible: no outcome is taken any more.
    fn hand_over<'a>(&'a self, child: &'a SessionChild, permit: CallPermit) -> BoxFuture<'a, HandoverEnd>;
}

/// The handovers and checks that are under way.
#[derive(Debug, Default)]
pub(super) struct HandoverTable {
    permits: HashMap<TaskId, OpenPermit>,
    checks: HashMap<u64, OpenCheck>,
    last_check: u64,
}

/// A permit whose outcome is not known yet.
#[derive(Debug)]
struct OpenPermit {
    /// The connection that has it.
    seat: u64,
    nonce: PermitNonce,
    outcome: oneshot::Sender<PermitOutcome>,
}

#[derive(Debug)]
struct OpenCheck {
    seat: u64,
    answer: oneshot::Sender<Option<PermitProblem>>,
}

/// The processes of one session.
#[derive(Debug)]
pub(super) struct HeldChildren {
    /// What the session's key makes its holder.
    holder: String,
    children: HashMap<ServerName, ChildGeneration>,
}

/// A connection said that it is of another session than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this connection showed another session's key before")]
pub struct OtherHolder;

/// An outcome was reported that this connection was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this connection was not handed this permit, or its outcome is known already")]
pub struct NotHanded;

impl HandoverTable {
    /// A connection ended: what it was asked has no answer.
    pub(super) fn forget_seat(&mut self, seat: u64) {
        self.permits.retain(|_, permit| permit.seat != seat);
        self.checks.retain(|_, check| check.seat != seat);
    }
}

/// The last connection of the process with this key, and what it runs of the server.
fn find_holder<'a>(
    table: &'a SeatTable,
    server: &ServerName,
    child: &SessionChild,
) -> Result<(u64, &'a super::ConnectedSession), ChildLoss> {
    let of_holder = table
        .seats
        .iter()
        .filter(|(_, seat)| seat.held.as_ref().is_some_and(|held| held.holder == child.holder));
    // A connection that broke may linger until its requests ended.
    let (number, seat) = of_holder.max_by_key(|(number, _)| **number).ok_or(ChildLoss::SessionEnded)?;
    let generation = seat.held.as_ref().and_then(|held| held.children.get(server));
    match generation == Some(&child.generation) {
        true => Ok((*number, seat)),
        false => Err(ChildLoss::ServerRestarted),
    }
}

impl Sessions {
    /// Tells whenever the processes of a session changed, or a session left.
    #[must_use]
    pub fn subscribe_children(&self) -> watch::Receiver<u64> {
        self.child_changes.subscribe()
    }

    /// Tells the session in whose process this task is to run that it waits. A session that is not connected is told when
    /// it connects again.
    pub fn tell_holder(&self, task: &Task) {
        let Some(child) = &task.child else { return };
        let table = self.lock_seats();
        if let Ok((_, session)) = find_holder(&table, &task.call.tool.server, child) {
            // A session that misses it makes an identical call beside the task, as an unknown one.
            let _ = session.outbox.try_send(&FromDaemon::Push(PushMessage::Waits(Box::new(task.clone()))));
        }
    }

    pub(super) fn note_child_change(&self) {
        self.child_changes.send_modify(|count| *count += 1);
    }
}

impl SessionSeat {
    /// Notes which processes the session has.
    ///
    /// # Errors
    /// [`OtherHolder`]: a connection is of one session.
    pub fn hold_children(
        &self,
        holder: String,
        children: Vec<(ServerName, ChildGeneration)>,
    ) -> Result<(), OtherHolder> {
        {
            let mut table = self.sessions.lock_seats();
            let Some(seat) = table.seats.get_mut(&self.number) else { return Ok(()) };
            if seat.held.as_ref().is_some_and(|held| held.holder != holder) {
                return Err(OtherHolder);
            }
            seat.held = Some(HeldChildren { holder, children: children.into_iter().collect() });
        }
        self.sessions.note_child_change();
        Ok(())
    }

    /// The holder of the key that this connection showed.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        let table = self.sessions.lock_seats();
        table.seats.get(&self.number)?.held.as_ref().map(|held| held.holder.clone())
    }

    /// Takes the answer to a check.
    ///
    /// # Errors
    /// [`NotHanded`] where this connection was not asked.
    pub fn report_check(&self, number: u64, problem: Option<PermitProblem>) -> Result<(), NotHanded> {
        let mut table = lock(&self.sessions.handovers);
        if table.checks.get(&number).is_none_or(|check| check.seat != self.number) {
            return Err(NotHanded);
        }
        if let Some(check) = table.checks.remove(&number) {
            // An error means that it is not waited for any more.
            let _ = check.answer.send(problem);
        }
        Ok(())
    }

    /// Takes the outcome of a permit, once.
    ///
    /// # Errors
    /// [`NotHanded`] where this connection does not have it.
    pub fn report_outcome(
        &self,
        task: TaskId,
        nonce: PermitNonce,
        outcome: PermitOutcome,
    ) -> Result<(), NotHanded> {
        let mut table = lock(&self.sessions.handovers);
        let is_its = |permit: &OpenPermit| permit.seat == self.number && permit.nonce == nonce;
        if !table.permits.get(&task).is_some_and(is_its) {
            return Err(NotHanded);
        }
        let permit = table.permits.remove(&task).ok_or(NotHanded)?;
        permit.outcome.send(outcome).map_err(|_| NotHanded)
    }
}

impl SessionChildren for Sessions {
    fn find_child(&self, server: &ServerName, child: &SessionChild) -> Result<(), ChildLoss> {
        find_holder(&self.lock_seats(), server, child).map(drop)
    }

    fn check_call<'a>(
        &'a self,
        task: &'a Task,
        child: &'a SessionChild,
    ) -> BoxFuture<'a, Result<(), PermitProblem>> {
        Box::pin(async move {
            let answered = match self.send_check(task, child) {
                Ok(answered) => answered,
                Err(ChildLoss::ServerRestarted) => return Err(PermitProblem::Restarted),
                Err(loss @ ChildLoss::SessionEnded) => {
                    return Err(PermitProblem::Unavailable(loss.to_string()));
                }
            };
            match answered.await {
                Ok(None) => Ok(()),
                Ok(Some(problem)) => Err(problem),
                Err(_) => Err(PermitProblem::Unavailable(ChildLoss::SessionEnded.to_string())),
            }
        })
    }

    fn hand_over<'a>(&'a self, child: &'a SessionChild, permit: CallPermit) -> BoxFuture<'a, HandoverEnd> {
        Box::pin(async move {
            let task = permit.task();
            let outcome = match self.send_permit(child, permit) {
                Ok(outcome) => outcome,
                Err(loss) => return HandoverEnd::NotHanded(loss),
            };
            let _open = OpenHandover { sessions: self, task };
            #[cfg(test)]
            crate::crash::crash_at("permit sent");
            match outcome.await {
                Ok(outcome) => HandoverEnd::Reported(outcome),
                Err(_) => HandoverEnd::Lost,
            }
        })
    }
}

/// Forgets the permit when its outcome is not waited for any more.
struct OpenHandover<'a> {
    sessions: &'a Sessions,
    task: TaskId,
}

impl Drop for OpenHandover<'_> {
    fn drop(&mut self) {
        lock(&self.sessions.handovers).permits.remove(&self.task);
    }
}

impl Sessions {
    fn send_check(
        &self,
        task: &Task,
        child: &SessionChild,
    ) -> Result<oneshot::Receiver<Option<PermitProblem>>, ChildLoss> {
        let table = self.lock_seats();
        let (seat, session) = find_holder(&table, &task.call.tool.server, child)?;
        let (answer, answered) = oneshot::channel();
        let number = {
            let mut handovers = lock(&self.handovers);
            handovers.checks.retain(|_, check| !check.answer.is_closed());
            handovers.last_check += 1;
            let number = handovers.last_check;
            handovers.checks.insert(number, OpenCheck { seat, answer });
            number
        };
        let check = CallCheck { number, call: task.call.clone(), ground: child.ground.clone() };
        let push = FromDaemon::Push(PushMessage::CheckCall(Box::new(check)));
        session.outbox.try_send(&push).map_err(|_| ChildLoss::SessionEnded)?;
        Ok(answered)
    }

    fn send_permit(
        &self,
        child: &SessionChild,
        permit: CallPermit,
    ) -> Result<oneshot::Receiver<PermitOutcome>, ChildLoss> {
        // Held until the permit is noted: a connection that ends after that takes its permits with it.
        let table = self.lock_seats();
        let (seat, session) = find_holder(&table, permit.server(), child)?;
        let (outcome, reported) = oneshot::channel();
        let (task, nonce) = (permit.task(), permit.nonce());
        lock(&self.handovers).permits.insert(task, OpenPermit { seat, nonce, outcome });
        let push = FromDaemon::Push(PushMessage::RunCall(Box::new(permit)));
        session.outbox.try_send(&push).map_err(|_| {
            lock(&self.handovers).permits.remove(&task);
            ChildLoss::SessionEnded
        })?;
        Ok(reported)
    }
}
