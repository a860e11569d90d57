//! The waiting calls that a grant or rule allows: which they are, and how they run at once.

use std::sync::atomic::Ordering;

use portero::names::{Actor, AgentSessionId, SessionId, TaskId};
use portero::policy::{Action, DecisionSource, Grant, GrantLimits, PolicyEntry, PolicyRule};

use super::*;

/// Calls that wait: of two sessions of one project and one of another, of two tools.
struct Waiting {
    fixture: Fixture,
    agents: Vec<(SessionId, AgentSessionId)>,
    first: CallOrigin,
    /// With their names in the tables below.
    tasks: Vec<(&'static str, TaskId)>,
}

fn call_of(tool: &str, text: &str) -> Call {
    let name = tool.split_once('/').unwrap().1;
    let json = format!(r#"{{"name":"{name}","arguments":{{"text":{text:?}}}}}"#);
    Call { tool: tool.parse().unwrap(), params: params(&json), ..call(text) }
}

impl Waiting {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let (first, second, other) =
            (context("/project").origin, context("/project").origin, context("/other").origin);
        let agents = vec![(first.session, "claude-1".parse().unwrap())];
        let mut tasks = Vec::new();
        for (name, tool, origin) in [
            ("send 1", "mail/send", &first),
            ("send 2", "mail/send", &second),
            ("send other", "mail/send", &other),
            ("read 1", "mail/read", &first),
            ("note 1", "notes/write", &first),
        ] {
            let submitted = fixture.approval_queue.submit_call_in(call_of(tool, name), origin, None).await;
            tasks.push((name, submitted.unwrap().id));
        }
        Self { fixture, agents, first, tasks }
    }

    fn overrides(&self, pattern: &str, limits: GrantLimits) -> Overrides {
        let grant = Grant {
            id: 7,
            pattern: pattern.parse().unwrap(),
            made: self.fixture.clock.now(),
            boot_id: "boot".to_owned(),
            millis: 600_000,
            limits,
            used: 0,
        };
        Overrides { grants: vec![grant], boot_id: "boot".to_owned(), ..Overrides::default() }
    }

    fn listed(&self, overrides: Overrides) -> Vec<&'static str> {
        let policy = self.fixture.policy.load().with_overrides(overrides);
        let allowed = self.fixture.approval_queue.list_allowed(&policy, &self.agents).unwrap();
        let is_listed = |id: TaskId| allowed.iter().any(|task| task.id == id);
        self.tasks.iter().filter(|(_, id)| is_listed(*id)).map(|(name, _)| *name).collect()
    }

    fn id(&self, name: &str) -> TaskId {
        self.tasks.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn state(&self, name: &str) -> TaskState {
        self.fixture.approval_queue.find_task(self.id(name), None).unwrap().state
    }

    /// Runs these at once, and gives those that did not with the reason.
    async fn run(&self, names: &[&str]) -> Vec<(TaskId, String)> {
        let tasks = names.iter().map(|name| self.id(name)).collect();
        let by = Actor::terminal("test");
        let timeout = Duration::from_secs(5);
        let run = self.fixture.approval_queue.run_allowed(tasks, &by, &self.agents, timeout).await;
        run.unwrap().left
    }
}

#[tokio::test]
async fn a_grant_allows_the_waiting_calls_of_its_tools_and_of_those_whom_it_is_for() {
    let waiting = Waiting::new().await;
    let none = GrantLimits::default;
    let session = waiting.first.session;
    for (pattern, limits, expected) in [
        ("mail/send", none(), &["send 1", "send 2", "send other"][..]),
        ("mail/*", none(), &["send 1", "send 2", "send other", "read 1"]),
        ("*", none(), &["send 1", "send 2", "send other", "read 1", "note 1"]),
        ("files/*", none(), &[]),
        ("mail/*", GrantLimits { session: Some(session), ..none() }, &["send 1", "read 1"]),
        ("mail/*", GrantLimits { agent_session: "claude-1".parse().ok(), ..none() }, &["send 1", "read 1"]),
        ("mail/*", GrantLimits { agent_session: "claude-2".parse().ok(), ..none() }, &[]),
        ("mail/send", GrantLimits { project: Some(principal("/project")), ..none() }, &["send 1", "send 2"]),
        ("mail/send", GrantLimits { uses: "1".parse().ok(), ..none() }, &["send 1", "send 2", "send other"]),
    ] {
        assert_eq!(
            waiting.listed(waiting.overrides(pattern, limits.clone())),
            expected,
            "{pattern} {limits:?}"
        );
    }
    assert_eq!(waiting.listed(Overrides::default()), [""; 0], "nothing is allowed without it");
}

#[tokio::test]
async fn what_could_not_run_is_not_among_the_calls_that_a_grant_allows() {
    let waiting = Waiting::new().await;
    let all = |waiting: &Waiting| waiting.overrides("mail/*", GrantLimits::default());
    let deny = PolicyRule {
        id: 9,
        pattern: "mail/read".parse().unwrap(),
        action: Action::Deny,
        made: waiting.fixture.clock.now().wall,
    };
    let overrides = Overrides { rules: vec![deny], ..all(&waiting) };
    assert_eq!(waiting.listed(overrides), ["send 1", "send 2", "send other"]);
    waiting.fixture.approval_queue.cancel(waiting.id("send 2"), &principal("/project")).await.unwrap();
    assert_eq!(waiting.listed(all(&waiting)), ["send 1", "send other", "read 1"]);

    // Several people, each time.
    let fixture = Fixture::new();
    fixture.policy.store(Arc::new(votes::policy(&[votes::quorum(2, &[11, 22])])));
    let task = fixture.open_task("hello").await;
    let policy = fixture.policy.load().with_overrides(all(&waiting));
    assert!(fixture.approval_queue.list_allowed(&policy, &[]).unwrap().is_empty());
    let by = Actor::terminal("test");
    let timeout = Duration::from_secs(5);
    let run = fixture.approval_queue.run_allowed(vec![task.id], &by, &[], timeout).await.unwrap();
    assert!(run.approved.is_empty() && run.left[0].1.contains("several people"), "{run:?}");

    // Its process is lost.
    let fixture = Fixture::new();
    let (queue, origin) = (&fixture.approval_queue, context("/project").origin);
    queue.submit_call_in(call("hello"), &origin, Some(session_child())).await.unwrap();
    let policy = fixture.policy.load().with_overrides(all(&waiting));
    assert_eq!(queue.list_allowed(&policy, &[]).unwrap().len(), 1);
    *fixture.children.loss.lock().unwrap() = Some(ChildLoss::SessionEnded);
    assert!(queue.list_allowed(&policy, &[]).unwrap().is_empty());
}

#[tokio::test]
async fn the_calls_that_run_at_once_each_have_a_record_and_the_others_a_reason() {
    let waiting = Waiting::new().await;
    let policy =
        waiting.fixture.policy.load().with_overrides(waiting.overrides("mail/send", GrantLimits::default()));
    waiting.fixture.policy.store(Arc::new(policy));
    waiting.fixture.approval_queue.cancel(waiting.id("send 2"), &principal("/project")).await.unwrap();
    let left = waiting.run(&["send 1", "send 2", "read 1"]).await;
    assert_eq!(left[0], (waiting.id("send 2"), format!("task {} is cancelled", waiting.id("send 2"))));
    assert_eq!(left[1].0, waiting.id("read 1"));
    assert!(left[1].1.contains("needs approval"), "it is not what was granted: {left:?}");
    let states = ["send 1", "read 1", "send other"].map(|name| waiting.state(name));
    assert_eq!(states, [TaskState::Approved, TaskState::PendingApproval, TaskState::PendingApproval]);
    let note = waiting.fixture.approval_queue.find_task(waiting.id("send 1"), None).unwrap().note.unwrap();
    assert_eq!(note.get(), "run with the others: it is allowed by `mail/send` (grant 7)");
    let approved = waiting.fixture.audited_states();
    let approved: Vec<_> = approved.iter().filter(|(state, _)| *state == TaskState::Approved).collect();
    assert_eq!(approved, [&(TaskState::Approved, "test".to_owned())]);
    // A second time nothing is left to run.
    assert_eq!(waiting.run(&["send 1"]).await.len(), 1);
}

#[tokio::test]
async fn of_a_counted_grant_each_call_that_runs_takes_a_use() {
    let waiting = Waiting::new().await;
    let limits = GrantLimits { uses: "2".parse().ok(), ..GrantLimits::default() };
    let policy = waiting.fixture.policy.load().with_overrides(waiting.overrides("mail/send", limits));
    waiting.fixture.policy.store(Arc::new(policy));
    waiting.fixture.uses.left.store(2, Ordering::SeqCst);
    let left = waiting.run(&["send 1", "send 2", "send other"]).await;
    assert_eq!(left, [(waiting.id("send other"), "the grant has no use left".to_owned())]);
    assert_eq!(waiting.state("send other"), TaskState::PendingApproval);
}

#[tokio::test]
async fn what_the_files_allow_by_now_runs_too() {
    let waiting = Waiting::new().await;
    let entry = PolicyEntry {
        pattern: "notes/*".parse().unwrap(),
        action: Action::Allow,
        cases: Vec::new(),
        source: DecisionSource::Config { line: 1, column: 1 },
    };
    let config = ConfigPolicy { entries: vec![entry], ..ConfigPolicy::default() };
    waiting.fixture.policy.store(Arc::new(Policy::new(config, Overrides::default())));
    assert_eq!(waiting.listed(Overrides::default()), ["note 1"]);
    assert!(waiting.run(&["note 1"]).await.is_empty());
}
