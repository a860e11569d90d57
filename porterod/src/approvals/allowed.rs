//! Waiting tasks whose calls policy allows by now (guarantee A9).
//!
//! An identical call joins such a task, which is then the one run of both. A person runs all of them at once after they made
//! a grant. Neither approval needs an [`Authorization`]: the grant, rule or entry that allows the call had one, and the agent
//! could make the call again at any time.
//!
//! [`Authorization`]: crate::auth::Authorization

use futures_util::future::join_all;
use std::time::Duration;

use portero::call::Call;
use portero::names::{Actor, AgentSessionId, SessionId, TaskId};
use portero::pipeline::{CallContext, JoinedCall, Refusal};
use portero::policy::{Action, Decision, Policy};
use portero::task::{CallOrigin, SessionChild, Task, TaskState};
use rusqlite::Connection;

use super::child::CallPlace;
use super::error::ApprovalError;
use super::queue::{ApprovalQueue, decide_submitted, store_refusal};
use super::transition::transition_record;
use crate::journal::AuditMode;
use crate::store::StoreError;
use crate::store::tasks::{self, TransitionRequest};

/// What came of running several waiting tasks at once.
#[derive(Debug, Default)]
pub struct WaitingRun {
    /// Those that are approved now.
    pub approved: Vec<Task>,
    /// The others, each with the reason.
    pub left: Vec<(TaskId, String)>,
}

/// The session ids of agents' own programs, by the sessions that are connected.
pub type AgentSessions = [(SessionId, AgentSessionId)];

impl ApprovalQueue {
    /// The waiting tasks that would run now if they were approved, and whose calls `policy` allows.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn list_allowed(&self, policy: &Policy, agents: &AgentSessions) -> Result<Vec<Task>, StoreError> {
        let mut waiting = self.open_tasks(&[TaskState::PendingApproval])?;
        waiting.retain(|task| {
            let task = self.rejections.apply_to_task(task.clone());
            task.state == TaskState::PendingApproval
                && self.find_obstacle(policy, &task, agents).is_none()
                && self.check_config_unchanged(&task).is_ok()
                && self.place_of(&task).is_ok()
        });
        Ok(waiting)
    }

    /// Approves those of the tasks whose calls policy allows, in one change. `timeout` is the time that a server has to list
    /// its tools.
    ///
    /// # Errors
    /// When nothing could be stored.
    pub async fn run_allowed(
        &self,
        tasks: Vec<TaskId>,
        by: &Actor,
        agents: &AgentSessions,
        timeout: Duration,
    ) -> Result<WaitingRun, StoreError> {
        let mut run = WaitingRun::default();
        let prepared = tasks.iter().map(|task| self.prepare_allowed(*task, agents, timeout));
        let mut steps = Vec::new();
        for (id, prepared) in tasks.iter().zip(join_all(prepared).await) {
            match prepared {
                Ok((task, decision)) if self.consume_use(&decision, &task.call, &task.origin).await => {
                    let note =
                        self.deps.journal.conceal_text(&format!("run with the others: it is {decision}"));
                    steps.push(TransitionRequest { note: Some(note), ..self.approval_transition(*id, None) });
                }
                Ok(_) => run.left.push((*id, "the grant has no use left".to_owned())),
                Err(why) => run.left.push((*id, why)),
            }
        }
        let actor = by.clone();
        let change = move |store: &Connection| {
            let (mut made, mut records) = (Vec::new(), Vec::new());
            for step in &steps {
                let stepped = tasks::transition(store, step)?;
                records.extend(transition_record(&stepped, &actor, step.note.as_ref()));
                made.push((step.id, stepped));
            }
            Ok((made, records))
        };
        for (id, stepped) in self.deps.journal.change(AuditMode::Required, change).await? {
            match self.finish_transition(id, stepped) {
                Ok(task) => run.approved.push(task),
                Err(error) => run.left.push((id, error.to_string())),
            }
        }
        self.announce_approval();
        Ok(run)
    }

    /// The task with the decision that lets it run, or the reason why it doesn't.
    async fn prepare_allowed(
        &self,
        id: TaskId,
        agents: &AgentSessions,
        timeout: Duration,
    ) -> Result<(Task, Decision), String> {
        let task = self.find_task(id, None).map_err(|error| error.to_string())?;
        self.check_runnable(&task, false, timeout).await.map_err(|error| error.to_string())?;
        let policy = self.deps.policy.load_full();
        match self.find_obstacle(&policy, &task, agents) {
            Some(why) => Err(why),
            None => {
                let origin = with_agent_session(&task.origin, agents);
                let decision = self.decide_waiting(&policy, &task.call, &origin);
                Ok((Task { origin, ..task }, decision))
            }
        }
    }

    /// Why `policy` alone doesn't let a waiting call run.
    fn find_obstacle(&self, policy: &Policy, task: &Task, agents: &AgentSessions) -> Option<String> {
        if !policy.quorums(&task.call.tool).is_empty() {
            return Some("it takes several people".to_owned());
        }
        let decision = self.decide_waiting(policy, &task.call, &with_agent_session(&task.origin, agents));
        (decision.action != Action::Allow).then(|| decision.to_string())
    }

    /// Lets the waiting task run for an identical call of `origin`, if policy allows that call.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if policy denies the call, and if the task can't be read or changed. The call must not be made
    /// then: the task may run.
    pub async fn join_call_in(
        &self,
        task: TaskId,
        call: Call,
        origin: &CallOrigin,
        child: Option<SessionChild>,
    ) -> Result<JoinedCall, Refusal> {
        let joined = self.try_join((task, call), origin, child).await;
        if matches!(joined, Ok(JoinedCall::Ended)) {
            self.waiting.forget_task(task);
        }
        joined
    }

    async fn try_join(
        &self,
        (named, call): (TaskId, Call),
        origin: &CallOrigin,
        child: Option<SessionChild>,
    ) -> Result<JoinedCall, Refusal> {
        let decision = self.decide_waiting(&self.deps.policy.load(), &call, origin);
        if decision.action == Action::Deny {
            return Err(Refusal::Denied(decision));
        }
        let place = if child.is_some() { CallPlace::Session } else { CallPlace::Daemon };
        let binding = self.current_binding(&call, &origin.directory, child.as_ref(), place).await?;
        let Some(task) = self.find_identical(named, origin, &binding)? else { return Ok(JoinedCall::Ended) };
        match task.state {
            TaskState::Approved | TaskState::Executing => return Ok(JoinedCall::Runs(Box::new(task))),
            TaskState::PendingApproval => {}
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Denied
            | TaskState::Expired
            | TaskState::Cancelled
            | TaskState::Interrupted => return Ok(JoinedCall::Ended),
        }
        let is_allowed = decision.action == Action::Allow && self.quorums(&task.call.tool).is_empty();
        if !is_allowed || !self.consume_use(&decision, &task.call, origin).await {
            return Ok(JoinedCall::Waits(Box::new(task)));
        }
        let by = Actor::Session { session: origin.session, principal: origin.principal.clone() };
        let note = format!("the same call came again and is {decision}");
        let step = TransitionRequest {
            note: Some(self.deps.journal.conceal_text(&note)),
            ..self.approval_transition(task.id, None)
        };
        match self.transition_task(step, &by, AuditMode::Required).await {
            Ok(approved) => {
                self.announce_approval();
                Ok(JoinedCall::Runs(Box::new(approved)))
            }
            // Another approval, or a denial, came first. It is looked at once more.
            Err(ApprovalError::WrongState(..) | ApprovalError::NotFound(_)) => {
                Ok(match self.find_identical(named, origin, &binding)? {
                    Some(task) if matches!(task.state, TaskState::Approved | TaskState::Executing) => {
                        JoinedCall::Runs(Box::new(task))
                    }
                    Some(_) | None => JoinedCall::Ended,
                })
            }
            Err(ApprovalError::Store(error)) => Err(store_refusal(error)),
            Err(error) => Err(Refusal::Declined(error.to_string())),
        }
    }

    /// Policy's decision on a call that waits, as if it were made now.
    fn decide_waiting(&self, policy: &Policy, call: &Call, origin: &CallOrigin) -> Decision {
        let (asker, now) = (origin.asker(), self.deps.clock.now());
        let decision = call.decide(policy, Some(asker), now);
        match decision.action {
            Action::Deny => decision,
            Action::Allow | Action::RequireApproval => decide_submitted(policy, call, Some(asker), now),
        }
    }

    /// The identical task of this project that waits, else the named one if it is identical.
    fn find_identical(
        &self,
        named: TaskId,
        origin: &CallOrigin,
        binding: &str,
    ) -> Result<Option<Task>, Refusal> {
        let (principal, wanted) = (origin.principal.clone(), binding.to_owned());
        let store = self.deps.journal.store();
        let twin = store.read(move |store| tasks::find_duplicate(store, &principal, &wanted));
        let twin = twin.map_err(store_refusal)?.map(|twin| self.rejections.apply_to_task(twin));
        let waits =
            |task: &Task| task.state == TaskState::PendingApproval && !tasks::is_expired(task, self.now());
        if let Some(twin) = twin.filter(waits) {
            return Ok(Some(twin));
        }
        match self.find_task(named, Some(&origin.principal)) {
            Ok(task) => {
                Ok(Some(task).filter(|task| task.binding == binding && !is_overdue(task, self.now())))
            }
            Err(ApprovalError::NotFound(_)) => Ok(None),
            Err(ApprovalError::Store(error)) => Err(store_refusal(error)),
            Err(error) => Err(Refusal::Declined(error.to_string())),
        }
    }

    /// Consumes the use of a counted grant, if the decision rests on one. Returns false if there is none left.
    async fn consume_use(&self, decision: &Decision, call: &Call, origin: &CallOrigin) -> bool {
        let Some(grant) = self.deps.policy.load().consumed_grant(decision) else { return true };
        let context = CallContext { origin: origin.clone(), task: None };
        self.deps.grant_uses.consume_use(grant, call, &context).await
    }

    /// The waiting tasks whose calls are to run in a process of this session.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn waiting_of_holder(&self, holder: &str) -> Result<Vec<Task>, StoreError> {
        let mut waiting = self.open_tasks(&[TaskState::PendingApproval])?;
        waiting.retain(|task| task.child.as_ref().is_some_and(|child| child.holder == holder));
        Ok(waiting)
    }

    /// The tasks in these states, as the store has them.
    fn open_tasks(&self, states: &'static [TaskState]) -> Result<Vec<Task>, StoreError> {
        self.deps.journal.store().read(move |store| {
            let mut open = Vec::new();
            for state in states {
                for id in tasks::ids_in_state(store, *state)? {
                    open.extend(tasks::get_task(store, id, None)?);
                }
            }
            Ok(open)
        })
    }

    /// Remembers the calls that wait, as the store has them. Called at the start, before any session is served.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn restore_waiting_calls(&self) -> Result<(), StoreError> {
        let open = self.open_tasks(&[TaskState::PendingApproval, TaskState::Approved])?;
        open.iter()
            .filter(|task| task.child.is_none())
            .for_each(|task| self.waiting.note_task(task, self.now()));
        Ok(())
    }
}

/// The origin with the id of the agent's own session, which isn't stored, so that a grant for that session counts.
fn with_agent_session(origin: &CallOrigin, agents: &AgentSessions) -> CallOrigin {
    let agent = agents.iter().find(|(session, _)| *session == origin.session).map(|(_, agent)| agent.clone());
    CallOrigin { agent_session: agent, ..origin.clone() }
}

/// Whether an open task is over although the timer hasn't noticed.
fn is_overdue(task: &Task, now: jiff::Timestamp) -> bool {
    task.state.can_transition_to(TaskState::Expired) && tasks::is_expired(task, now)
}
