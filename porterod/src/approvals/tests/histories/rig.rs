//! Says words to a daemon and to the model, and compares both after each.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use portero::names::{Actor, TaskId};
use portero::pipeline::CallReply;
use portero::policy::{Action, GrantLimits};
use portero::server::CallOptions;

use super::super::*;
use super::life::{DaemonLife, RecordingServers, make_config, seconds};
use super::model::{GRANT_SECONDS, Model, Outcome};
use super::{Asked, CALLS, Limit, PATTERNS, TOOLS, Word};
use crate::overrides::GrantRequest;

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The daemon, and the model beside it.
pub(super) struct HistoryRig {
    life: DaemonLife,
    servers: Arc<RecordingServers>,
    callers: [CallContext; 2],
    model: Model,
    /// The id of each task of the model.
    ids: Vec<TaskId>,
    /// The number of this boot, and the true time at which it began.
    boot: (u32, i64),
}

impl HistoryRig {
    pub(super) async fn new() -> Self {
        let (fixture, servers) = (Fixture::new(), Arc::<RecordingServers>::default());
        fixture.binding_source.define(0);
        Self {
            life: DaemonLife::start(fixture, &servers, 0, 0).await,
            servers,
            callers: ["/project", "/other"].map(context),
            model: Model::default(),
            ids: Vec::new(),
            boot: (0, 0),
        }
    }

    /// Says one word, and compares everything.
    pub(super) async fn say(&mut self, word: Word) {
        self.pass(1);
        // A call and a yes meet questions whose time is over before a timer has seen them.
        let meets_overdue = matches!(word, Word::Call(_) | Word::Approve(_) | Word::ApproveAndCrash(_));
        if !meets_overdue {
            self.expire_due().await;
        }
        let expected = self.model.expect(word);
        let came = self.apply(word, expected).await;
        let is_stricter = self.model.was_set_back && permits(came) <= permits(expected);
        assert!(
            came == expected || is_stricter,
            "{word:?} gave {came:?}, not {expected:?}: {:#?}",
            self.model
        );
        if meets_overdue {
            self.expire_due().await;
        }
        self.model.start_approved();
        self.compare_tasks(word).await;
        self.compare_runs(word);
    }

    async fn expire_due(&mut self) {
        self.life.expire_due().await;
        self.model.expire_due();
    }

    fn pass(&mut self, by: i64) {
        self.life.fixture.clock.advance(seconds(by));
        self.model.pass(by);
    }

    async fn apply(&mut self, word: Word, expected: Outcome) -> Outcome {
        let by = "test".into();
        match word {
            Word::Call(asked) => return self.make_call(asked).await,
            Word::Approve(asked) => return self.approve(asked).await,
            Word::ApproveAndCrash(asked) => return self.approve_and_crash(asked, expected).await,
            Word::AskAgain(asked, insists) => return self.ask_again(asked, insists).await,
            Word::Deny(asked, cools) => {
                let Some(at) = self.model.meant_task(asked) else { return Outcome::Refused };
                let denied = match cools {
                    true => self.life.queue.reject(self.ids[at], None, &by).await,
                    false => self.life.queue.reject_without_cooldown(self.ids[at], None, &by).await,
                };
                if denied.is_err() {
                    return Outcome::Refused;
                }
                let denials = self.life.queue.call_denials().unwrap();
                self.life.overrides.add_call_denials(denials).await.unwrap();
                self.model.deny(at, cools);
            }
            Word::Cancel(asked) => {
                let Some(at) = self.model.meant_task(asked) else { return Outcome::Refused };
                let principal = &self.callers[asked.who].origin.principal;
                if self.life.queue.cancel(self.ids[at], principal).await.is_err() {
                    return Outcome::Refused;
                }
                self.model.tasks[at].state = TaskState::Cancelled;
            }
            Word::Grant(pattern, limit, who) => self.grant(pattern, limit, who).await,
            Word::Revoke(at) => {
                if let Some(id) = self.model.pick_grant(at) {
                    // One whose time is over may be gone already.
                    let _ = self.life.overrides.revoke_grants(Some(&[id]), &by).await;
                    self.model.revoke(Some(id));
                }
            }
            Word::RevokeAll => {
                self.life.overrides.revoke_grants(None, &by).await.unwrap();
                self.model.revoke(None);
            }
            Word::Rule(pattern, action) => self.rule(pattern, action).await,
            Word::Unrule(at) => {
                if let Some((id, pattern, action)) = self.model.pick_rule(at) {
                    let act = Act::RemoveRule(id, parse_pattern(pattern), action);
                    let confirmed = Some(Authorization::for_test(act));
                    self.life.overrides.remove_rule(id, confirmed, &by).await.unwrap();
                    self.model.remove_rule(id);
                }
            }
            Word::Pause => {
                self.life.overrides.pause_all(&by).await.unwrap();
                self.model.paused = true;
            }
            Word::Resume => {
                self.life.overrides.resume_all(Authorization::for_test(Act::Resume)).await.unwrap();
                self.life.queue.wake_executor();
                self.model.paused = false;
            }
            Word::Edit(config) => {
                let policy = &self.life.fixture.policy;
                let standing = policy.load().overrides().clone();
                policy.store(Arc::new(Policy::new(make_config(config), standing)));
                self.model.config = config;
            }
            Word::Redefine(version) => {
                self.life.fixture.binding_source.define(version);
                self.model.definition = version;
            }
            Word::Wait(by) => self.pass(by),
            Word::SetClock(by) => {
                let clock = &self.life.fixture.clock;
                clock.set_wall(clock.now().wall + SignedDuration::from_secs(by));
                self.model.set_clock(by);
            }
            Word::Restart { is_reboot } => self.restart(is_reboot).await,
        }
        Outcome::Done
    }

    async fn make_call(&mut self, asked: Asked) -> Outcome {
        let before = self.life.consumed_uses();
        let caller = &self.callers[asked.who];
        let reply = self.life.pipeline.handle_call(make_call(asked), caller, CallOptions::default()).await;
        let after = self.life.consumed_uses();
        let consumed: Vec<u64> =
            after.iter().filter(|(id, used)| before.get(id) != Some(used)).map(|(id, _)| *id).collect();
        let is_run = matches!(reply, CallReply::Result(_) | CallReply::Joined(_));
        assert!(consumed.len() <= usize::from(is_run), "uses {consumed:?} for {reply:?}");
        for id in consumed {
            assert!(self.model.may_consume(asked, id), "a use of grant {id} was needless: {:#?}", self.model);
            self.model.consume(id);
        }
        match reply {
            CallReply::Result(_) => {
                self.model.add_run(asked);
                Outcome::Ran
            }
            CallReply::Joined(task) => {
                let at = self.ids.iter().position(|id| *id == task.id).expect("it waited");
                assert_eq!(Some(at), self.model.waiting_task(asked), "{:#?}", self.model);
                self.model.approve(at);
                self.life.queue.wait_until_final(task.id, None, TEST_TIMEOUT).await.unwrap();
                Outcome::Joined
            }
            CallReply::PendingApproval(task) => self.note_question(asked, task.id),
            CallReply::Refused(_) => Outcome::Refused,
            CallReply::Error(error) => panic!("{error:?}"),
        }
    }

    fn note_question(&mut self, asked: Asked, task: TaskId) -> Outcome {
        let is_new = !self.ids.contains(&task);
        if is_new {
            self.ids.push(task);
            self.model.add_task(asked);
        }
        Outcome::Waits { is_new }
    }

    /// A person looks whether it would run, and says yes.
    async fn try_approve(&mut self, at: usize) -> bool {
        let (queue, id) = (&self.life.queue, self.ids[at]);
        let task = queue.find_task(id, None).unwrap();
        if queue.check_runnable(&task, false, TEST_TIMEOUT).await.is_err() {
            return false;
        }
        let approved = queue.approve(id, Authorization::for_test(Act::Approve(id))).await;
        assert!(approved.is_ok(), "it was looked at: {approved:?}");
        self.model.approve(at);
        true
    }

    async fn approve(&mut self, asked: Asked) -> Outcome {
        let Some(at) = self.model.meant_task(asked) else { return Outcome::Refused };
        if !self.try_approve(at).await {
            return Outcome::Refused;
        }
        if self.model.paused {
            return Outcome::Approved { runs: false };
        }
        let ended = self.life.queue.wait_until_final(self.ids[at], None, TEST_TIMEOUT).await.unwrap();
        Outcome::Approved { runs: ended.state == TaskState::Completed }
    }

    async fn approve_and_crash(&mut self, asked: Asked, expected: Outcome) -> Outcome {
        if expected != (Outcome::Approved { runs: true }) {
            let came = self.approve(asked).await;
            self.restart(false).await;
            return came;
        }
        let at = self.model.meant_task(asked).expect("it is expected to run");
        self.servers.holds.store(true, Ordering::SeqCst);
        let mut received = self.servers.received.subscribe();
        let count = received.borrow_and_update().len();
        let runs = self.try_approve(at).await;
        if runs {
            let running = received.wait_for(|received| received.len() > count);
            drop(tokio::time::timeout(TEST_TIMEOUT, running).await.expect("it runs"));
            self.model.tasks[at].state = TaskState::Executing;
            self.model.add_run(asked);
        }
        self.servers.holds.store(false, Ordering::SeqCst);
        self.restart(false).await;
        if runs { expected } else { Outcome::Refused }
    }

    async fn ask_again(&mut self, asked: Asked, insists: bool) -> Outcome {
        let Some(at) = self.model.ended_task(asked) else { return Outcome::Refused };
        let (queue, id) = (&self.life.queue, self.ids[at]);
        let ended = queue.find_task(id, None).unwrap();
        let proof = insists.then(|| Authorization::for_test(Act::Repeat(id)));
        match queue.repeat_task(&ended, ended.call.clone(), &"test".into(), proof).await {
            Ok(task) => self.note_question(asked, task.id),
            Err(_) => Outcome::Refused,
        }
    }

    async fn grant(&mut self, pattern: usize, limit: Limit, who: usize) {
        let CallOrigin { session, principal, .. } = &self.callers[who].origin;
        let none = GrantLimits::default();
        let limits = match limit {
            Limit::None => none,
            Limit::Session => GrantLimits { session: Some(*session), ..none },
            Limit::Project => GrantLimits { project: Some(principal.clone()), ..none },
            Limit::Uses(uses) => GrantLimits { uses: u32::from(uses).try_into().ok(), ..none },
        };
        let duration = seconds(GRANT_SECONDS);
        let wanted = GrantRequest { pattern: parse_pattern(pattern), duration, limits };
        let confirmed = Authorization::for_test(wanted.act());
        let grant = self.life.overrides.make_grant(wanted, duration, confirmed).await.unwrap();
        self.model.add_grant(grant.id, (pattern, limit, who));
    }

    async fn rule(&mut self, pattern: usize, action: Action) {
        let (overrides, by, text) = (&self.life.overrides, "test".into(), parse_pattern(pattern));
        let made = match action {
            Action::Allow => {
                let confirmed = Authorization::for_test(Act::Allow(text.clone()));
                overrides.add_allow_rule(text, confirmed).await
            }
            Action::RequireApproval => overrides.add_ask_rule(text, &by).await,
            Action::Deny => overrides.add_deny_rule(text, &by).await,
        };
        self.model.add_rule(made.unwrap().id, pattern, action);
    }

    /// The daemon is killed, and started on what the disk holds.
    async fn restart(&mut self, is_reboot: bool) {
        self.life.executing.abort();
        let now = self.life.fixture.clock.now();
        let after = self.life.fixture.after_crash();
        if is_reboot {
            self.boot = (self.boot.0 + 1, self.model.now);
        }
        after.clock.advance(seconds(self.model.now - self.boot.1));
        after.clock.set_wall(now.wall);
        after.binding_source.define(self.model.definition);
        self.life = DaemonLife::start(after, &self.servers, self.model.config, self.boot.0).await;
        self.model.restart(is_reboot);
        self.model.expire_due();
    }

    async fn compare_tasks(&mut self, word: Word) {
        for at in 0..self.ids.len() {
            let (id, expected) = (self.ids[at], self.model.tasks[at].state);
            if expected.is_final() && !self.life.state(id).is_final() {
                self.life.queue.wait_until_final(id, None, TEST_TIMEOUT).await.unwrap();
            }
            let came = self.life.state(id);
            if came == expected {
                continue;
            }
            let never_ran = matches!(came, TaskState::Denied | TaskState::Expired | TaskState::Failed);
            assert!(
                self.model.was_set_back && never_ran && expected != TaskState::Interrupted,
                "after {word:?} task {at} is {came}, not {expected}: {:#?}",
                self.model
            );
            self.model.note_stricter(at, came);
        }
    }

    fn compare_runs(&self, word: Word) {
        let received = self.servers.received.borrow();
        for (call, sample) in CALLS.iter().enumerate() {
            let came = received.iter().filter(|params| params.contains(sample.text)).count();
            let expected: usize = (0..2)
                .map(|who| self.model.runs.get(&Asked { who, call }).copied().unwrap_or_default())
                .sum();
            assert_eq!(came, expected, "after {word:?} call {call} ran: {:#?}", self.model);
        }
    }

    /// Nothing runs any more, and people were told of everything that a yes came to.
    pub(super) async fn finish(self) {
        let Self { life, model, ids, .. } = self;
        life.executing.abort();
        let NoticesAfter::Entries(told) = life.fixture.outbox.entries_after(0).unwrap() else {
            panic!("removed")
        };
        for (id, task) in ids.into_iter().zip(&model.tasks) {
            let last = told.iter().rev().find_map(|entry| match &entry.notice {
                Notice::Task { task, state, by, note, .. } if *task == id => Some((*state, by, note)),
                _ => None,
            });
            let (state, by, note) = last.expect("people were told of each question");
            let came = life.state(id);
            assert_eq!(state, came, "people were told something else of task {id}");
            let says_why = match came {
                TaskState::Failed | TaskState::Interrupted => note.is_some(),
                // The person or the clock is the reason, or the note says which rule.
                TaskState::Denied => *by != Actor::Daemon || note.is_some(),
                TaskState::PendingApproval
                | TaskState::Approved
                | TaskState::Executing
                | TaskState::Completed
                | TaskState::Expired
                | TaskState::Cancelled => true,
            };
            assert!(says_why, "{task:?} became {came} without a reason");
        }
    }
}

/// How much an outcome lets happen.
const fn permits(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Refused => 0,
        Outcome::Waits { .. } | Outcome::Approved { runs: false } | Outcome::Done => 1,
        Outcome::Ran | Outcome::Joined | Outcome::Approved { runs: true } => 2,
    }
}

fn parse_pattern(pattern: usize) -> portero::pattern::Pattern {
    PATTERNS[pattern].0.parse().unwrap()
}

fn make_call(asked: Asked) -> Call {
    let sample = &CALLS[asked.call];
    let tool: portero::names::ToolId = TOOLS[sample.tool].parse().unwrap();
    let (name, text) = (tool.tool.as_str(), sample.text);
    let json = format!(r#"{{"name":{name:?},"arguments":{{"text":{text:?}}}}}"#);
    Call { params: params(&json), tool, method: Method::CallTool, meta: None }
}
