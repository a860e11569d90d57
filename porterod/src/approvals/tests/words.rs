//! Random histories of what people say about calls, against a model of the last word on each.

use portero::policy::Action;
use proptest::prelude::*;

use super::*;
use crate::overrides::{GrantRequest, OverrideStore};

const COOLDOWN: i64 = 10 * 60;
const GRANT_SECONDS: i64 = 15 * 60;

/// One of two calls of the same tool, or both.
#[derive(Debug, Clone, Copy)]
enum Word {
    Deny(usize),
    Grant,
    Revoke,
    Allow,
    Unrule,
    Call(usize),
    Wait(i64),
    Restart,
}

fn words() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => (0_usize..2).prop_map(Word::Deny),
        2 => Just(Word::Grant),
        1 => Just(Word::Revoke),
        2 => Just(Word::Allow),
        1 => Just(Word::Unrule),
        3 => (0_usize..2).prop_map(Word::Call),
        3 => (1_i64..700).prop_map(Word::Wait),
        1 => Just(Word::Restart),
    ]
}

/// What the person said, with the second in which they said it.
#[derive(Debug, Default)]
struct LastWords {
    now: i64,
    denied: [Option<i64>; 2],
    /// Whether an identical call waits, which a repetition finds whatever was said before.
    waits: [bool; 2],
    grants: Vec<i64>,
    rules: Vec<i64>,
}

impl LastWords {
    fn live_grants(&self) -> impl Iterator<Item = i64> + '_ {
        self.grants.iter().copied().filter(|made| self.now - made < GRANT_SECONDS)
    }

    /// Whether the daemon opens no task for this call.
    fn is_refused(&self, call: usize) -> bool {
        self.expected_action(call) == Action::Deny && !self.waits[call]
    }

    /// A denial holds until its end, unless a yes that still holds came later.
    fn expected_action(&self, call: usize) -> Action {
        let last_yes = self.live_grants().chain(self.rules.iter().copied()).max();
        let denied = self.denied[call].filter(|denied| self.now - denied < COOLDOWN);
        match (denied, last_yes) {
            (Some(denied), yes) if yes.is_none_or(|yes| yes < denied) => Action::Deny,
            (_, Some(_)) => Action::Allow,
            (_, None) => Action::RequireApproval,
        }
    }
}

struct WordsFixture {
    bench: Fixture,
    overrides: Arc<OverrideStore>,
    model: LastWords,
}

impl WordsFixture {
    async fn new() -> Self {
        let bench = Fixture::new();
        let overrides = crate::overrides::tests::open_store(&bench).await;
        Self { bench, overrides, model: LastWords::default() }
    }

    /// What every process decides, and what the daemon answers to a call that asks.
    async fn check(&self) {
        for which in 0..2 {
            let context = context("/project");
            let (call, now) = (call(&which.to_string()), self.bench.clock.now());
            let decided = call.decide(&self.bench.policy.load(), Some(context.origin.asker()), now);
            assert_eq!(decided.action, self.model.expected_action(which), "{which} {:?}", self.model);
        }
    }

    async fn ask(&self, which: usize) -> Result<Task, Refusal> {
        self.bench.approval_queue.submit_call(call(&which.to_string()), &context("/project")).await
    }

    async fn apply_denials(&self) {
        let denials = self.bench.approval_queue.call_denials().unwrap();
        self.overrides.add_call_denials(denials).await.unwrap();
    }

    async fn say(&mut self, word: Word) {
        self.pass(1);
        match word {
            Word::Deny(which) => {
                let refused = self.model.is_refused(which);
                let asked = self.ask(which).await;
                assert_eq!(asked.is_err(), refused, "{asked:?} {:?}", self.model);
                if let Ok(task) = asked {
                    self.bench.approval_queue.reject(task.id, None, &"test".into()).await.unwrap();
                    self.apply_denials().await;
                    self.model.denied[which] = Some(self.model.now);
                    self.model.waits[which] = false;
                }
            }
            Word::Grant => {
                let wanted = GrantRequest {
                    pattern: "mail/*".parse().unwrap(),
                    duration: Duration::from_secs(GRANT_SECONDS.unsigned_abs()),
                    limits: portero::policy::GrantLimits::default(),
                };
                let longest = wanted.duration;
                let confirmed = Authorization::for_test(wanted.act());
                self.overrides.make_grant(wanted, longest, confirmed).await.unwrap();
                self.model.grants.push(self.model.now);
            }
            Word::Revoke => {
                self.overrides.revoke_grants(None, &"test".into()).await.unwrap();
                self.model.grants.clear();
            }
            Word::Allow => {
                let pattern: portero::pattern::Pattern = "mail/send".parse().unwrap();
                let confirmed = Authorization::for_test(Act::Allow(pattern.clone()));
                self.overrides.add_allow_rule(pattern, confirmed).await.unwrap();
                self.model.rules.push(self.model.now);
            }
            Word::Unrule => {
                for rule in self.overrides.overrides().rules {
                    self.overrides.remove_rule(rule.id, None, &"test".into()).await.unwrap();
                }
                self.model.rules.clear();
            }
            Word::Call(which) => {
                // A call that asks opens a task, which the next denial finds.
                let asked = self.ask(which).await;
                assert_eq!(asked.is_err(), self.model.is_refused(which), "{asked:?} {:?}", self.model);
                self.model.waits[which] |= asked.is_ok();
            }
            Word::Wait(seconds) => self.pass(seconds),
            Word::Restart => self.restart().await,
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.bench.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
        self.model.now += seconds;
    }

    async fn restart(&mut self) {
        let after = self.bench.after_crash();
        after.clock.advance(Duration::from_secs(self.model.now.unsigned_abs()));
        self.overrides = crate::overrides::tests::open_store(&after).await;
        self.bench = after;
        self.apply_denials().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_later_of_two_words_about_a_call_holds_in_every_history(history in prop::collection::vec(words(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut table = WordsFixture::new().await;
            for word in history {
                table.say(word).await;
                table.check().await;
            }
        });
    }
}

#[tokio::test]
async fn a_denial_that_came_before_a_crash_is_known_to_every_session_after_it() {
    let mut table = WordsFixture::new().await;
    table.say(Word::Grant).await;
    // Denied, and killed before any session was told.
    table.pass(1);
    let task = table.bench.open_task("0").await;
    table.bench.approval_queue.reject(task.id, None, &"test".into()).await.unwrap();
    table.model.denied[0] = Some(table.model.now);
    table.restart().await;
    table.check().await;
    let file = table.bench.directory.path().join("denies.json");
    let offline = portero::policy::offline_denies::read(&file, &file).unwrap();
    assert_eq!(offline.denials.list.len(), 1, "also to those without a daemon");
}

#[tokio::test]
async fn an_identical_call_that_was_denied_after_the_approval_does_not_run() {
    let mut table = WordsFixture::new().await;
    let approved = table.bench.approve_task("0").await;
    table.pass(1);
    // The same call from another directory of the project: another binding, and so another task.
    let mut elsewhere = context("/project");
    elsewhere.origin.directory = PathBuf::from("/project/sub");
    let twin = table.bench.approval_queue.submit_call(call("0"), &elsewhere).await.unwrap();
    assert_ne!(twin.id, approved.id);
    table.bench.approval_queue.reject(twin.id, None, &"test".into()).await.unwrap();
    table.apply_denials().await;
    let decided = approved.decide_approved(&table.bench.policy.load(), table.bench.clock.now());
    assert_eq!(decided.action, Action::Deny);
}
