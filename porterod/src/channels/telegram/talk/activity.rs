//! What ran without asking, what failed and what was refused: gathered for a little, and told as one message; in a
//! group as one for each project that has a topic, and one for all others.
//!
//! It follows the audit, where the calls of all processes stand, from the daemon's start on: nothing old is told
//! after a restart. What is told is bounded whatever an agent does, and questions go first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use portero::audit::{Entry, Event, Filter, Follower, Outcome};
use portero::config::{NoticeLevel, Notices};
use portero::names::{Principal, ToolId};
use portero::pipeline::BoxFuture;

use super::super::bot::TopicId;
use super::super::courier::{Courier, Undelivered};
use super::super::screens::activity::{Fate, Told};
use super::Talk;
use crate::pairing::Circle;
use crate::store::cards::Chat;
use crate::store::topics;

/// How many tools one message tells of; the rest is counted. So it fits, however long their names are, also with
/// what a rule says of each.
const TOOLS_MOST: usize = 12;
/// How many calls that a person approved are remembered until they end.
const APPROVED_MOST: usize = 10_000;

/// The topics of projects that have one.
type Topics = HashMap<Principal, TopicId>;

/// What could not be told, and where.
type Untold = (Option<TopicId>, Told);

/// What was gathered.
#[derive(Debug, Default)]
struct Batch {
    /// By where it is told; none is General.
    parts: BTreeMap<Option<TopicId>, Part>,
    /// Calls that a person approved, by segment and number: their card tells what becomes of them.
    approved: HashSet<(String, u64)>,
}

/// What one message tells.
#[derive(Debug, Default)]
struct Part {
    counts: BTreeMap<(Fate, ToolId), u64>,
    /// Calls of tools beyond those that are told by name.
    others: u64,
}

impl Batch {
    fn add(&mut self, entry: &Entry, notices: &Notices, topics: &Topics) {
        let (fate, tool) = match &entry.record.event {
            Event::Intent { call, task: Some(_), .. } => {
                if self.approved.len() < APPROVED_MOST {
                    self.approved.insert((entry.segment.clone(), *call));
                }
                return;
            }
            Event::Outcome { call, tool, outcome, .. } => {
                if self.approved.remove(&(entry.segment.clone(), *call)) {
                    return;
                }
                let fate = match outcome {
                    Outcome::Done | Outcome::Cancelled => Fate::Ran,
                    Outcome::Failed | Outcome::Interrupted | Outcome::Withheld => Fate::Failed,
                };
                (fate, tool)
            }
            Event::Interrupted { segment, call, tool, task } => {
                let approved = self.approved.remove(&(segment.clone(), *call));
                if approved || task.is_some() {
                    return;
                }
                (Fate::Failed, tool)
            }
            Event::Refused { tool, .. } => (Fate::Refused, tool),
            Event::Intent { task: None, .. }
            | Event::Task { .. }
            | Event::Act { .. }
            | Event::Config { .. }
            | Event::Continued { .. }
            | Event::Removed { .. }
            | Event::Process { .. } => return,
        };
        let wanted = match (notices.of(&tool.server), fate) {
            (NoticeLevel::Off, _) | (NoticeLevel::Errors, Fate::Ran) => false,
            (NoticeLevel::Errors, Fate::Refused | Fate::Failed) | (NoticeLevel::All, _) => true,
        };
        if wanted {
            let topic = entry.record.principal.as_ref().and_then(|project| topics.get(project).copied());
            self.parts.entry(topic).or_default().count(fate, tool, 1);
        }
    }

    /// What could not be told is told with what comes.
    fn give_back(&mut self, (topic, told): (Option<TopicId>, Told)) {
        let part = self.parts.entry(topic).or_default();
        part.others += told.others;
        for (fate, tool, count) in told.counts {
            part.count(fate, &tool, count);
        }
    }

    /// What is to be told, and where, if there is anything; then it begins anew.
    fn take(&mut self) -> Vec<(Option<TopicId>, Told)> {
        std::mem::take(&mut self.parts).into_iter().map(|(topic, part)| (topic, part.told())).collect()
    }
}

impl Part {
    fn count(&mut self, fate: Fate, tool: &ToolId, more: u64) {
        let key = (fate, tool.clone());
        if let Some(count) = self.counts.get_mut(&key) {
            *count += more;
        } else if self.counts.len() < TOOLS_MOST {
            self.counts.insert(key, more);
        } else {
            self.others += more;
        }
    }

    fn told(self) -> Told {
        let counts = self.counts.into_iter();
        Told {
            counts: counts.map(|((fate, tool), count)| (fate, tool, count)).collect(),
            others: self.others,
        }
    }
}

/// What is read from, and what was gathered.
struct Watch {
    follower: Follower,
    batch: Batch,
}

impl Watch {
    /// Gathers what was written since; what cannot be read now is read later.
    fn look(mut self, notices: &Notices, topics: &Topics) -> Self {
        let Self { follower, batch } = &mut self;
        if let Err(error) = follower.visit(|entry| batch.add(&entry, notices, topics)) {
            tracing::warn!(%error, "what ran cannot be told");
        }
        self
    }
}

impl Talk {
    /// Tells what runs, until the daemon is to end. The composition root spawns it.
    pub async fn tell_activity(self) {
        let stop = self.daemon.stop.clone();
        stop.run_until_cancelled(self.follow_activity()).await;
    }

    async fn follow_activity(&self) {
        let directory = self.daemon.paths.audit();
        let begun = tokio::task::spawn_blocking(move || Follower::new(&directory, Filter::default())).await;
        let follower = match begun.map_err(std::io::Error::other).and_then(|begun| begun) {
            Ok(follower) => follower,
            Err(error) => return tracing::error!(%error, "what runs is not told"),
        };
        let mut watch = Watch { follower, batch: Batch::default() };
        let mut under_way = None::<BoxFuture<'static, Vec<Untold>>>;
        loop {
            let telegram = self.daemon.config.load().settings.telegram.clone();
            let notices = telegram.map(|telegram| telegram.notices).unwrap_or_default();
            tokio::time::sleep(notices.every).await;
            let looked = {
                let (notices, topics) = (notices.clone(), self.topics());
                tokio::task::spawn_blocking(move || watch.look(&notices, &topics)).await
            };
            // It only fails when it panicked.
            let Ok(looked) = looked else { return };

            watch = looked;
            let Some((courier, circle)) = self.link.borrow().clone() else {
                watch.batch = Batch::default();
                continue;
            };
            if let Some(sending) = &mut under_way {
                let Ok(untold) = tokio::time::timeout(Duration::ZERO, sending).await else {
                    // What comes meanwhile is told with the next message.
                    continue;
                };
                untold.into_iter().for_each(|untold| watch.batch.give_back(untold));
            }
            under_way = None;
            let now = self.daemon.clock.now().wall;
            if notices.quiet.as_ref().is_some_and(|quiet| quiet.holds(now, &self.zone)) {
                continue;
            }
            under_way = self.tell(watch.batch.take(), &courier, &circle).await;
        }
    }

    /// Tells all of it, and gives what to wait for until it is told, or what of it could not be.
    async fn tell(
        &self,
        all: Vec<(Option<TopicId>, Told)>,
        courier: &Courier,
        circle: &Circle,
    ) -> Option<BoxFuture<'static, Vec<Untold>>> {
        let mut sending = Vec::new();
        for (topic, told) in all {
            let sent = self.send_notice(&told, (courier, circle), topic).await;
            sending.extend(sent.map(|sent| (sent, (topic, told))));
        }
        if sending.is_empty() {
            return None;
        }
        Some(Box::pin(async move {
            let mut untold = Vec::new();
            for (sent, told) in sending {
                match sent.await {
                    // What Telegram refuses, it refuses always; `status` counts it.
                    Ok(_) | Err(Undelivered::Refused(_)) => {}
                    Err(Undelivered::Unreachable | Undelivered::Dropped | Undelivered::Closed) => {
                        untold.push(told)
                    }
                }
            }
            untold
        }))
    }

    /// The topics of the group; where they cannot be read, all is told in General.
    fn topics(&self) -> Topics {
        let link = self.link.borrow().as_ref().map(|(courier, circle)| (courier.bot().0, circle.clone()));
        let Some((bot, Circle::Group(group))) = link else { return Topics::new() };
        let at = Chat { bot, chat: group.chat };
        match self.daemon.journal.store().read(move |store| topics::all(store, at)) {
            Ok(all) => all.into_iter().map(|(project, topic)| (project, TopicId(topic))).collect(),
            Err(error) => {
                tracing::warn!(%error, "what ran is told in General");
                Topics::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portero::names::SERVER_NAME_MOST;
    use serde_json::{Value, json};

    use super::super::super::screens::activity::{Stand, Stands};
    use super::super::super::text::MESSAGE_MOST;
    use super::*;

    fn entry(event: &Value) -> Entry {
        let record = json!({"at": "2026-11-20T12:00:00Z", "event": event});
        serde_json::from_value(json!({"segment": "s", "seq": 1, "record": record})).unwrap()
    }

    fn ended(tool: &str, call: u64, outcome: &str) -> Entry {
        entry(&json!({"outcome": {"call": call, "tool": tool, "outcome": outcome, "micros": 5}}))
    }

    fn refused(tool: &str) -> Entry {
        entry(&json!({"refused": {"tool": tool, "reason": "denied"}}))
    }

    fn told(entries: &[Entry], notices: &Notices) -> Option<String> {
        let mut batch = Batch::default();
        entries.iter().for_each(|entry| batch.add(entry, notices, &Topics::new()));
        batch.take().pop().map(|(_, told)| told.text(&Stands::new()).plain())
    }

    #[test]
    fn each_project_with_a_topic_is_told_there_and_all_others_in_one_message() {
        let of = |project: &str, mut entry: Entry| {
            entry.record.principal = Some(Principal::of_project(std::path::Path::new(project)));
            entry
        };
        let shop = Principal::of_project(std::path::Path::new("/shop"));
        let topics = Topics::from([(shop, TopicId(17))]);
        let mut batch = Batch::default();
        for entry in [
            of("/shop", ended("a/b", 1, "done")),
            of("/blog", ended("a/b", 2, "done")),
            of("/notes", refused("a/c")),
            ended("d/e", 3, "done"),
        ] {
            batch.add(&entry, &Notices::default(), &topics);
        }
        let told = batch.take().into_iter();
        let told: Vec<_> = told.map(|(topic, told)| (topic, told.text(&Stands::new()).plain())).collect();
        let others = "Refused\n1 × a/c\nRan without asking\n1 × a/b\n1 × d/e".to_owned();
        let own = "Ran without asking\n1 × a/b".to_owned();
        assert_eq!(told, [(None, others), (Some(TopicId(17)), own)]);
    }

    #[test]
    fn calls_are_grouped_with_what_went_wrong_first() {
        let all =
            [ended("a/b", 1, "done"), refused("a/x"), ended("a/b", 2, "done"), ended("a/c", 3, "failed")];
        let text = told(&all, &Notices::default()).unwrap();
        assert_eq!(text, "Refused\n1 × a/x\nFailed\n1 × a/c\nRan without asking\n2 × a/b");
        assert_eq!(told(&[], &Notices::default()), None);
    }

    #[test]
    fn what_a_person_approved_is_told_by_its_card_alone() {
        let task = "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f";
        let intent =
            entry(&json!({"intent": {"call": 1, "tool": "a/b", "reason": "approved", "task": task}}));
        assert_eq!(told(&[intent, ended("a/b", 1, "done")], &Notices::default()), None);
    }

    #[test]
    fn each_server_has_its_level() {
        let all = [ended("a/b", 1, "done"), ended("c/d", 2, "done"), refused("c/d"), refused("e/f")];
        let servers = [("c".parse().unwrap(), NoticeLevel::Errors), ("e".parse().unwrap(), NoticeLevel::Off)];
        let notices = Notices { servers: servers.into(), ..Notices::default() };
        assert_eq!(told(&all, &notices).unwrap(), "Refused\n1 × c/d\nRan without asking\n1 × a/b");
        assert_eq!(told(&all, &Notices { level: NoticeLevel::Off, ..Notices::default() }), None);
    }

    #[test]
    fn a_flood_is_one_short_message() {
        let all: Vec<Entry> =
            (0..5_000).map(|n| refused(&format!("{}/{n:0>128}", "s".repeat(SERVER_NAME_MOST)))).collect();
        let mut batch = Batch::default();
        all.iter().for_each(|entry| batch.add(entry, &Notices::default(), &Topics::new()));
        let (_, told) = batch.take().pop().unwrap();
        let ruled = Stand { denies: Some(u64::MAX), ..Stand::default() };
        let stands: Stands = told.counts.iter().map(|(_, tool, _)| (tool.clone(), ruled)).collect();
        let message = told.text(&stands).message(MESSAGE_MOST).expect("it fits");
        assert!(message.text.ends_with("and of other tools: 4988"), "{}", message.text);
        let list = told.list(0, &stands).message(MESSAGE_MOST).expect("its pages fit");
        assert!(list.text.len() < message.text.len());
        assert!(batch.take().is_empty(), "it begins anew");
    }
}
