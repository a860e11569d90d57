//! News that the next result of a tool carries: changed instructions, and tasks that ended meanwhile. Each once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::AgentTasks;
use super::instructions::Instructions;
use crate::names::TaskId;
use crate::sync::lock;
use crate::task::UnseenTasks;

/// How many ended tasks wait to be told. The others are found with `portero/list_tasks`.
const MAX_ENDED_TASKS: usize = 1_000;

/// Gathers the news of a session.
pub(super) struct ResultNews {
    tasks: Arc<dyn AgentTasks>,
    instructions: Arc<Instructions>,
    /// Whether a task ended that no result told. Without one, a result takes no lock for it.
    has_ended_tasks: AtomicBool,
    ended: Mutex<EndedTasks>,
}

#[derive(Default)]
struct EndedTasks {
    /// The daemon said that these ended.
    reported: Vec<TaskId>,
    /// Those that are this session's to tell.
    claimed: Option<UnseenTasks>,
    /// A request of the agent waits for these, so its answer tells of them.
    awaited: HashSet<TaskId>,
}

/// A task that a request waits for, until this is dropped.
pub(super) struct AwaitedTask<'a>(&'a ResultNews, TaskId);

impl Drop for AwaitedTask<'_> {
    fn drop(&mut self) {
        lock(&self.0.ended).awaited.remove(&self.1);
    }
}

impl ResultNews {
    pub(super) fn new(tasks: Arc<dyn AgentTasks>, instructions: Arc<Instructions>) -> Self {
        Self { tasks, instructions, has_ended_tasks: AtomicBool::new(false), ended: Mutex::default() }
    }

    /// Notes that a task ended.
    pub(super) fn task_ended(&self, task: TaskId) {
        let mut ended = lock(&self.ended);
        if ended.reported.len() < MAX_ENDED_TASKS && !ended.awaited.contains(&task) {
            ended.reported.push(task);
            self.has_ended_tasks.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that a request waits for a task.
    pub(super) fn await_task(&self, task: TaskId) -> AwaitedTask<'_> {
        lock(&self.ended).awaited.insert(task);
        AwaitedTask(self, task)
    }

    /// Forgets the ended tasks that weren't claimed: a new daemon doesn't know which of them another session told.
    pub(super) fn forget_reported(&self) {
        lock(&self.ended).reported.clear();
    }

    /// Claims the tasks that ended since the last result, so that this one tells them and no other session does. The
    /// daemon is asked only if some did.
    pub(super) async fn claim_ended_tasks(&self) {
        if !self.has_ended_tasks.load(Ordering::Relaxed) {
            return;
        }
        let reported = std::mem::take(&mut lock(&self.ended).reported);
        if reported.is_empty() {
            return;
        }
        let fresh = self.tasks.claim_news(reported).await;
        let mut ended = lock(&self.ended);
        if fresh.count > 0 {
            let earlier = ended.claimed.take().unwrap_or_default();
            let mut last = fresh.last;
            last.extend(earlier.last);
            last.truncate(UnseenTasks::MAX_LISTED);
            ended.claimed = Some(UnseenTasks { count: fresh.count + earlier.count, last });
        }
        let is_due = ended.claimed.is_some() || !ended.reported.is_empty();
        self.has_ended_tasks.store(is_due, Ordering::Relaxed);
    }

    /// The texts that a result must tell now. Once it does, call [`ResultNews::mark_told`].
    pub(super) fn due_texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if self.instructions.is_due() {
            texts.push(format!(
                "Portero's configuration changed while this session ran. This holds from now on:\n{}",
                self.instructions.compose(&UnseenTasks::default())
            ));
        }
        if self.has_ended_tasks.load(Ordering::Relaxed)
            && let Some(claimed) = &lock(&self.ended).claimed
        {
            texts.push(self.instructions.describe_unseen_tasks(claimed));
        }
        texts
    }

    /// Notes that a result told what was due.
    pub(super) fn mark_told(&self) {
        self.instructions.set_due(false);
        let mut ended = lock(&self.ended);
        ended.claimed = None;
        self.has_ended_tasks.store(!ended.reported.is_empty(), Ordering::Relaxed);
    }
}
