//! What holds by what people said last, in the words of the guarantees. Nothing here is shared with what is tested.

use std::collections::BTreeMap;

use portero::policy::Action::{self, Allow, Deny, RequireApproval};
use portero::task::TaskState;

use super::{Asked, CALLS, Limit, PATTERNS, Word};

pub(super) const DECISION_SECONDS: i64 = 30 * 60;
pub(super) const START_SECONDS: i64 = 15 * 60;
pub(super) const COOLDOWN_SECONDS: i64 = 10 * 60;
pub(super) const GRANT_SECONDS: i64 = 12 * 60;

/// For each configuration what it says of `mail/send` and of `notes/add`, and whether that is locked.
const CONFIGURED: [[(Action, bool); 2]; 7] = [
    [(RequireApproval, false), (RequireApproval, false)],
    [(Deny, false), (RequireApproval, false)],
    [(Allow, false), (RequireApproval, false)],
    [(Allow, false), (Deny, false)],
    [(RequireApproval, true), (RequireApproval, false)],
    [(Deny, false), (Deny, false)],
    [(RequireApproval, false), (Allow, true)],
];

/// What came of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The call ran at once.
    Ran,
    /// The identical call that waited ran for both.
    Joined,
    /// A question waits: a new one, or the one that waited already.
    Waits { is_new: bool },
    /// A yes was taken. The call ran, or it waits for the end of a pause.
    Approved { runs: bool },
    /// It was done.
    Done,
    /// Nothing was changed.
    Refused,
}

/// A task as people and the agent should see it.
#[derive(Debug, Clone)]
pub(super) struct ModelTask {
    pub(super) asked: Asked,
    pub(super) state: TaskState,
    /// By the clock of tasks.
    pub(super) expires: i64,
    /// The version of the tool's definition that a person was shown.
    pub(super) definition: usize,
    /// When a person said yes, in true time.
    pub(super) approved: Option<i64>,
}

#[derive(Debug)]
struct ModelGrant {
    id: u64,
    pattern: usize,
    limit: Limit,
    who: usize,
    made: i64,
    /// By the wall clock.
    made_wall: i64,
    boot: u32,
    uses: Option<u32>,
}

#[derive(Debug)]
struct ModelRule {
    id: u64,
    pattern: usize,
    action: Action,
    made: i64,
}

#[derive(Debug, Clone, Copy)]
struct ModelDenial {
    at: i64,
    /// By the clock of tasks.
    at_clock: i64,
    boot: u32,
}

/// What was said, asked and run so far.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The true time, in seconds since the beginning; it goes on over restarts.
    pub(super) now: i64,
    /// How far the wall clock is ahead of it.
    pub(super) ahead: i64,
    /// The true time and the wall clock when the daemon started.
    started: (i64, i64),
    boot: u32,
    /// Whether the wall clock was ever set back. From then on less may hold than was said, and never more.
    pub(super) was_set_back: bool,
    pub(super) paused: bool,
    pub(super) config: usize,
    pub(super) definition: usize,
    rules: Vec<ModelRule>,
    grants: Vec<ModelGrant>,
    /// The last no to exactly this call.
    denied: BTreeMap<Asked, ModelDenial>,
    pub(super) tasks: Vec<ModelTask>,
    /// How often each call ran.
    pub(super) runs: BTreeMap<Asked, usize>,
}

impl Model {
    fn wall(&self) -> i64 {
        self.now + self.ahead
    }

    /// The clock of tasks: it follows the wall clock, and never falls behind the time that passed since the start.
    fn task_clock(&self) -> i64 {
        self.wall().max(self.started.1 + self.now - self.started.0)
    }

    pub(super) fn is_overdue(&self, task: &ModelTask) -> bool {
        !task.state.is_final() && task.state != TaskState::Executing && task.expires <= self.task_clock()
    }

    /// The answer of people's standing words, apart from a pause and from denials of single calls.
    fn standing_action(&self, asked: Asked) -> Action {
        let tool = CALLS[asked.call].tool;
        let (configured, locked) = CONFIGURED[self.config][tool];
        let covering = || self.rules.iter().filter(|rule| covers(rule.pattern, tool));
        // Of two rules the narrower one holds, and of two as narrow ones the stricter.
        let ruled = covering()
            .filter(|rule| rule.action != RequireApproval)
            .max_by_key(|rule| (rule.pattern, rule.action));
        let said = ruled.map_or(configured, |rule| rule.action);
        let asks = covering()
            .filter(|rule| {
                rule.action == RequireApproval && ruled.is_none_or(|ruled| rule.pattern >= ruled.pattern)
            })
            .map(|rule| rule.id)
            .max();
        let action = match (said, asks) {
            (Deny, _) => Deny,
            (Allow, None) => Allow,
            // A grant counts where it is the later word.
            (_, asks) if self.live_grants(asked).any(|grant| asks.is_none_or(|asks| grant.id > asks)) => {
                Allow
            }
            (Allow | RequireApproval, _) => RequireApproval,
        };
        if locked { action.max(configured) } else { action }
    }

    /// The grants that hold for this call.
    fn live_grants(&self, asked: Asked) -> impl Iterator<Item = &ModelGrant> {
        self.grants.iter().filter(move |grant| {
            let by_wall = self.wall() - grant.made_wall;
            covers(grant.pattern, CALLS[asked.call].tool)
                && grant.boot == self.boot
                && self.now - grant.made < GRANT_SECONDS
                && (0..GRANT_SECONDS).contains(&by_wall)
                && grant.uses != Some(0)
                && (grant.limit != Limit::Session && grant.limit != Limit::Project || grant.who == asked.who)
        })
    }

    /// Whether a no to exactly this call holds: it is younger than its cool-down, than `yes`, and than every grant
    /// and allowing rule that holds.
    fn is_denied(&self, asked: Asked, yes: Option<i64>) -> bool {
        let Some(denied) = self.denied.get(&asked).copied() else { return false };
        let allows = |rule: &&ModelRule| rule.action == Allow && covers(rule.pattern, CALLS[asked.call].tool);
        let later = self.rules.iter().filter(allows).map(|rule| rule.made);
        let later = later.chain(self.live_grants(asked).map(|grant| grant.made)).chain(yes).max();
        // A clock that was set back says nothing; the machine knows how long ago that was, until it restarts.
        let by_wall = self.wall() - denied.at_clock;
        let is_young = if by_wall < 0 { denied.boot == self.boot } else { by_wall < COOLDOWN_SECONDS };
        is_young && self.now - denied.at < COOLDOWN_SECONDS && later.is_none_or(|later| later < denied.at)
    }

    /// What a call that is made now gets.
    pub(super) fn action(&self, asked: Asked) -> Action {
        if self.paused || self.is_denied(asked, None) { Deny } else { self.standing_action(asked) }
    }

    fn last_task(&self, asked: Asked, fits: impl Fn(&ModelTask) -> bool) -> Option<usize> {
        self.tasks.iter().rposition(|task| task.asked == asked && fits(task))
    }

    /// The task that a person's word about this call is about: the open one, or else the last.
    pub(super) fn meant_task(&self, asked: Asked) -> Option<usize> {
        let is_open = |task: &ModelTask| !task.state.is_final();
        // Of two open ones the newer is meant, because the older waits for another definition.
        self.last_task(asked, is_open).or_else(|| self.last_task(asked, |_| true))
    }

    /// The last task of this call that ended.
    pub(super) fn ended_task(&self, asked: Asked) -> Option<usize> {
        self.last_task(asked, |task| task.state.is_final())
    }

    /// The identical question that waits.
    pub(super) fn waiting_task(&self, asked: Asked) -> Option<usize> {
        self.last_task(asked, |task| {
            task.state == TaskState::PendingApproval
                && task.definition == self.definition
                && !self.is_overdue(task)
        })
    }

    /// What should come of a word.
    pub(super) fn expect(&self, word: Word) -> Outcome {
        let waits = |asked| Outcome::Waits { is_new: self.waiting_task(asked).is_none() };
        match word {
            Word::Call(asked) => match self.action(asked) {
                Allow if self.waiting_task(asked).is_some() => Outcome::Joined,
                Allow => Outcome::Ran,
                RequireApproval => waits(asked),
                Deny => Outcome::Refused,
            },
            Word::Approve(asked) | Word::ApproveAndCrash(asked) => match self.meant_task(asked) {
                Some(at) if self.would_run(&self.tasks[at]) => Outcome::Approved { runs: !self.paused },
                Some(_) | None => Outcome::Refused,
            },
            Word::Deny(asked, _) | Word::Cancel(asked) => match self.meant_task(asked) {
                Some(at) if !self.tasks[at].state.is_final() => Outcome::Done,
                Some(_) | None => Outcome::Refused,
            },
            Word::AskAgain(asked, insists) => {
                let Some(at) = self.ended_task(asked) else { return Outcome::Refused };
                let stops = self.paused
                    || self.standing_action(asked) == Deny
                    || self.tasks[at].state == TaskState::Cancelled
                    || self.waiting_task(asked).is_none() && !insists && self.is_denied(asked, None);
                if stops { Outcome::Refused } else { waits(asked) }
            }
            Word::Grant(..)
            | Word::Revoke(_)
            | Word::RevokeAll
            | Word::Unrule(_)
            | Word::Rule(..)
            | Word::Pause
            | Word::Resume
            | Word::Edit(_)
            | Word::Redefine(_)
            | Word::Wait(_)
            | Word::SetClock(_)
            | Word::Restart { .. } => Outcome::Done,
        }
    }

    /// Whether a yes to this task would make its call run, once no pause keeps it. That is told before the yes is
    /// taken.
    fn would_run(&self, task: &ModelTask) -> bool {
        task.state == TaskState::PendingApproval
            && !self.is_overdue(task)
            && task.definition == self.definition
            && self.standing_action(task.asked) != Deny
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += seconds;
    }

    pub(super) fn set_clock(&mut self, seconds: i64) {
        self.ahead += seconds;
        self.was_set_back |= seconds < 0;
    }

    pub(super) fn add_run(&mut self, asked: Asked) {
        *self.runs.entry(asked).or_default() += 1;
    }

    pub(super) fn add_task(&mut self, asked: Asked) {
        self.tasks.push(ModelTask {
            asked,
            state: TaskState::PendingApproval,
            expires: self.task_clock() + DECISION_SECONDS,
            definition: self.definition,
            approved: None,
        });
    }

    /// A yes to this task. It runs at once unless everything is paused.
    pub(super) fn approve(&mut self, at: usize) {
        let expires = self.task_clock() + START_SECONDS;
        let task = &mut self.tasks[at];
        (task.state, task.expires, task.approved) = (TaskState::Approved, expires, Some(self.now));
    }

    pub(super) fn deny(&mut self, at: usize, cools: bool) {
        self.tasks[at].state = TaskState::Denied;
        if cools {
            let denial = ModelDenial { at: self.now, at_clock: self.task_clock(), boot: self.boot };
            self.denied.insert(self.tasks[at].asked, denial);
        }
    }

    /// What becomes of the approved tasks as soon as they may start.
    pub(super) fn start_approved(&mut self) {
        if self.paused {
            return;
        }
        for at in 0..self.tasks.len() {
            let task = &self.tasks[at];
            if task.state != TaskState::Approved {
                continue;
            }
            let asked = task.asked;
            let state = match () {
                () if self.is_overdue(task) => TaskState::Expired,
                () if self.standing_action(asked) == Deny || self.is_denied(asked, task.approved) => {
                    TaskState::Denied
                }
                () if task.definition != self.definition => TaskState::Failed,
                () => TaskState::Completed,
            };
            self.tasks[at].state = state;
            if state == TaskState::Completed {
                self.add_run(asked);
            }
        }
    }

    /// Takes over that a task came to less than was said, which a clock that was set back may bring about.
    pub(super) fn note_stricter(&mut self, at: usize, state: TaskState) {
        let task = &mut self.tasks[at];
        if task.state == TaskState::Completed {
            let runs = self.runs.get_mut(&task.asked).expect("it was counted");
            *runs -= 1;
        }
        task.state = state;
    }

    pub(super) fn expire_due(&mut self) {
        for at in 0..self.tasks.len() {
            if self.is_overdue(&self.tasks[at]) {
                self.tasks[at].state = TaskState::Expired;
            }
        }
    }

    pub(super) fn add_grant(&mut self, id: u64, (pattern, limit, who): (usize, Limit, usize)) {
        let uses = match limit {
            Limit::Uses(uses) => Some(u32::from(uses)),
            Limit::None | Limit::Session | Limit::Project => None,
        };
        let (made, made_wall, boot) = (self.now, self.wall(), self.boot);
        self.grants.push(ModelGrant { id, pattern, limit, who, made, made_wall, boot, uses });
    }

    /// The id of one of the grants; none if there is none.
    pub(super) fn pick_grant(&self, at: usize) -> Option<u64> {
        Some(self.grants.get(at.checked_rem(self.grants.len())?)?.id)
    }

    /// Ends this grant, or all.
    pub(super) fn revoke(&mut self, id: Option<u64>) {
        self.grants.retain(|grant| id.is_some_and(|id| grant.id != id));
    }

    /// A use of one of the grants was consumed for this call. Returns whether one that counts its uses had to be: no
    /// other word lets the call run.
    pub(super) fn may_consume(&self, asked: Asked, id: u64) -> bool {
        let without_counted = Self {
            rules: self.rules.iter().map(|rule| ModelRule { ..*rule }).collect(),
            grants: self
                .grants
                .iter()
                .filter(|grant| grant.uses.is_none())
                .map(|grant| ModelGrant { ..*grant })
                .collect(),
            denied: self.denied.clone(),
            tasks: Vec::new(),
            runs: BTreeMap::new(),
            ..*self
        };
        without_counted.standing_action(asked) != Allow
            && self.live_grants(asked).any(|grant| grant.id == id && grant.uses.is_some())
    }

    pub(super) fn consume(&mut self, id: u64) {
        for grant in self.grants.iter_mut().filter(|grant| grant.id == id) {
            grant.uses = grant.uses.map(|uses| uses - 1);
        }
    }

    pub(super) fn add_rule(&mut self, id: u64, pattern: usize, action: Action) {
        if action == Allow {
            // One that allows takes the place of those that ask about the same.
            self.rules.retain(|rule| rule.action != RequireApproval || rule.pattern != pattern);
        }
        self.rules.push(ModelRule { id, pattern, action, made: self.now });
    }

    /// One of the rules: its id, pattern and action; none if there is none.
    pub(super) fn pick_rule(&self, at: usize) -> Option<(u64, usize, Action)> {
        let ModelRule { id, pattern, action, .. } = self.rules.get(at.checked_rem(self.rules.len())?)?;
        Some((*id, *pattern, *action))
    }

    pub(super) fn remove_rule(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
    }

    /// A daemon starts anew, in the same boot of the machine or after another.
    pub(super) fn restart(&mut self, is_reboot: bool) {
        self.started = (self.now, self.wall());
        self.boot += u32::from(is_reboot);
        for task in &mut self.tasks {
            if task.state == TaskState::Executing {
                task.state = TaskState::Interrupted;
            }
        }
    }
}

/// Whether a pattern covers a tool. The patterns are in order from the widest to the narrowest.
fn covers(pattern: usize, tool: usize) -> bool {
    PATTERNS[pattern].1[tool]
}
