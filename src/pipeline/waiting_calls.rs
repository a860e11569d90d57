//! The calls that wait for a person, so that an identical one that is allowed by now joins its task (guarantee A9).
//!
//! What is known here is a hint: the daemon's store decides whether the task still waits ([`Approvals::join_call`](super::Approvals::join_call)).

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;

use crate::call::Call;
use crate::names::{Principal, TaskId, ToolId};
use crate::sync::lock;
use crate::task::Task;

/// How many calls are remembered. Far fewer may wait at once.
const MAX_WAITING_CALLS: usize = 10_000;

/// The calls of this process that wait for a person, by their fingerprints.
#[derive(Debug)]
pub struct WaitingCalls {
    /// How many there are. While it is zero, as nearly always, a call pays for one look at it.
    count: AtomicUsize,
    /// The key of the fingerprints, which never leave this process.
    key: [u8; 32],
    by_tool: Mutex<HashMap<ToolId, Vec<WaitingCall>>>,
}

#[derive(Debug)]
struct WaitingCall {
    task: TaskId,
    principal: Principal,
    fingerprint: String,
    /// The end of the task's wait, as it was when the call was noted.
    expires: Timestamp,
}

impl Default for WaitingCalls {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), key: rand::random(), by_tool: Mutex::default() }
    }
}

impl WaitingCalls {
    /// Notes a task that waits, or that was approved and has not started. A call whose JSON has no canonical form
    /// is left out; it could not be asked about either.
    pub fn note_task(&self, task: &Task, now: Timestamp) {
        let Ok(fingerprint) = task.call.identity().fingerprint(&self.key) else { return };
        let (principal, expires) = (task.origin.principal.clone(), task.expires);
        let waiting = WaitingCall { task: task.id, principal, fingerprint, expires };
        let mut by_tool = lock(&self.by_tool);
        // A missed end of a task must not fill the memory.
        by_tool
            .values_mut()
            .for_each(|calls| calls.retain(|call| call.expires > now && call.task != task.id));
        by_tool.retain(|_, calls| !calls.is_empty());
        if by_tool.values().map(Vec::len).sum::<usize>() < MAX_WAITING_CALLS {
            by_tool.entry(task.call.tool.clone()).or_default().push(waiting);
        }
        self.update_count(&by_tool);
    }

    /// Forgets a task that ended.
    pub fn forget_task(&self, task: TaskId) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut by_tool = lock(&self.by_tool);
        by_tool.values_mut().for_each(|calls| calls.retain(|call| call.task != task));
        by_tool.retain(|_, calls| !calls.is_empty());
        self.update_count(&by_tool);
    }

    /// The task of this project with the identical call; none if none is known to wait. A fingerprint is computed only if
    /// a call of the same tool waits.
    #[must_use]
    pub fn find_task(&self, call: &Call, principal: &Principal, now: Timestamp) -> Option<TaskId> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let by_tool = lock(&self.by_tool);
        let mut of_project = by_tool
            .get(&call.tool)?
            .iter()
            .filter(|waiting| waiting.principal == *principal && waiting.expires > now)
            .peekable();
        of_project.peek()?;
        let fingerprint = call.identity().fingerprint(&self.key).ok()?;
        of_project.find(|waiting| waiting.fingerprint == fingerprint).map(|waiting| waiting.task)
    }

    fn update_count(&self, by_tool: &HashMap<ToolId, Vec<WaitingCall>>) {
        self.count.store(by_tool.values().map(Vec::len).sum(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::call::Method;
    use crate::pipeline::test_support::{Fixture, FixtureSetup, make_task};
    use crate::task::TaskState;

    #[test]
    fn only_the_identical_call_of_the_same_project_is_found_while_it_waits() {
        let fixture = Fixture::new(FixtureSetup::default());
        let call = |tool: &str, arguments: &str| {
            let (_, name) = tool.split_once('/').unwrap();
            fixture.make_call(tool, &format!(r#"{{"name":"{name}","arguments":{arguments}}}"#))
        };
        let waiting = WaitingCalls::default();
        let task = make_task(
            call("mail/send", r#"{"to":"a","n":1.0}"#),
            fixture.origin(),
            TaskState::PendingApproval,
        );
        let (principal, now) = (task.origin.principal.clone(), task.expires - Duration::from_secs(1));
        let find = |call: &Call| waiting.find_task(call, &principal, now);
        assert_eq!(find(&task.call), None);
        waiting.note_task(&task, now);
        waiting.note_task(&task, now);
        assert_eq!(find(&task.call), Some(task.id));
        assert_eq!(
            find(&call("mail/send", r#"{ "n": 1.0, "to": "a" }"#)),
            Some(task.id),
            "spelled otherwise"
        );
        for other in [
            call("mail/send", r#"{"to":"b","n":1.0}"#),
            call("mail/read", r#"{"to":"a","n":1.0}"#),
            Call { method: Method::ReadResource, ..task.call.clone() },
        ] {
            assert_eq!(find(&other), None, "{other:?}");
        }
        let elsewhere = Principal::from_project("/elsewhere".as_ref());
        assert_eq!(waiting.find_task(&task.call, &elsewhere, now), None);
        assert_eq!(waiting.find_task(&task.call, &principal, task.expires), None, "its wait is over");
        waiting.forget_task(TaskId::fresh());
        assert_eq!(find(&task.call), Some(task.id));
        waiting.forget_task(task.id);
        assert_eq!(find(&task.call), None);
        assert_eq!(waiting.count.load(Ordering::Relaxed), 0);
    }
}
