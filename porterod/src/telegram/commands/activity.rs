//! What ran without asking, what failed and what was refused: gathered for a little, and told as one message; in a
//! group as one for each project that has a topic, and one for all others.
//!
//! It follows the audit, where the calls of all processes stand, from the daemon's start on: nothing old is told
//! after a restart. What is told is bounded whatever an agent does, and questions go first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use portero::audit::{AuditEvent, AuditFollower, RecordFilter, RecordedOutcome, SegmentRecord};
use portero::config::{NoticeLevel, NoticeSettings};
use portero::names::{Principal, ToolId};
use portero::pipeline::BoxFuture;

use super::super::client::TopicId;
use super::super::sender::{DeliveryError, TelegramSender};
use super::super::views::activity::{ActivitySummary, CallFate};
use super::CommandHandler;
use crate::auth::pairing::AuthorizedChat;
use crate::store::cards::BotChat;
use crate::store::topics;

/// How many tools one message tells of; the rest is counted. So it fits, however long their names are, also with
/// what a rule says of each.
const MAX_NAMED_TOOLS: usize = 12;
/// How many calls that a person approved are remembered until they end.
const MAX_APPROVED_CALLS: usize = 10_000;

/// The topics of projects that have one.
type ProjectTopics = HashMap<Principal, TopicId>;

/// What could not be told, and where.
type UnsentActivity = (Option<TopicId>, ActivitySummary);

/// What was gathered.
#[derive(Debug, Default)]
struct ActivityBatch {
    /// By where it is told; none is General.
    by_topic: BTreeMap<Option<TopicId>, TopicActivity>,
    /// Calls that a person approved, by segment and number: their card tells what becomes of them.
    approved_calls: HashSet<(String, u64)>,
}

/// What one message tells.
#[derive(Debug, Default)]
struct TopicActivity {
    counts: BTreeMap<(CallFate, ToolId), u64>,
    /// Calls of tools beyond those that are told by name.
    unnamed: u64,
}

impl ActivityBatch {
    fn add_entry(&mut self, entry: &SegmentRecord, notices: &NoticeSettings, topics: &ProjectTopics) {
        let (fate, tool) = match &entry.record.event {
            AuditEvent::Intent { call, task: Some(_), .. } => {
                if self.approved_calls.len() < MAX_APPROVED_CALLS {
                    self.approved_calls.insert((entry.segment.clone(), *call));
                }
                return;
            }
            AuditEvent::Outcome { call, tool, outcome, .. } => {
                if self.approved_calls.remove(&(entry.segment.clone(), *call)) {
                    return;
                }
                let fate = match outcome {
                    RecordedOutcome::Done | RecordedOutcome::Cancelled => CallFate::Ran,
                    RecordedOutcome::Failed | RecordedOutcome::Interrupted | RecordedOutcome::Withheld => {
                        CallFate::Failed
                    }
                };
                (fate, tool)
            }
            AuditEvent::Interrupted { segment, call, tool, task } => {
                let approved = self.approved_calls.remove(&(segment.clone(), *call));
                if approved || task.is_some() {
                    return;
                }
                (CallFate::Failed, tool)
            }
            AuditEvent::Refused { tool, .. } => (CallFate::Refused, tool),
            AuditEvent::Intent { task: None, .. }
            | AuditEvent::Task { .. }
            | AuditEvent::Act { .. }
            | AuditEvent::Config { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::Removed { .. }
            | AuditEvent::Process { .. } => return,
        };
        let wanted = match (notices.level_for(&tool.server), fate) {
            (NoticeLevel::Off, _) | (NoticeLevel::Errors, CallFate::Ran) => false,
            (NoticeLevel::Errors, CallFate::Refused | CallFate::Failed) | (NoticeLevel::All, _) => true,
        };
        if wanted {
            let topic = entry.record.principal.as_ref().and_then(|project| topics.get(project).copied());
            self.by_topic.entry(topic).or_default().count_call(fate, tool, 1);
        }
    }

    /// What could not be told is told with what comes.
    fn merge_unsent(&mut self, (topic, told): (Option<TopicId>, ActivitySummary)) {
        let part = self.by_topic.entry(topic).or_default();
        part.unnamed += told.others;
        for (fate, tool, count) in told.counts {
            part.count_call(fate, &tool, count);
        }
    }

    /// What is to be told, and where, if there is anything; then it begins anew.
    fn take_summaries(&mut self) -> Vec<(Option<TopicId>, ActivitySummary)> {
        std::mem::take(&mut self.by_topic)
            .into_iter()
            .map(|(topic, part)| (topic, part.into_summary()))
            .collect()
    }
}

impl TopicActivity {
    fn count_call(&mut self, fate: CallFate, tool: &ToolId, more: u64) {
        let key = (fate, tool.clone());
        if let Some(count) = self.counts.get_mut(&key) {
            *count += more;
        } else if self.counts.len() < MAX_NAMED_TOOLS {
            self.counts.insert(key, more);
        } else {
            self.unnamed += more;
        }
    }

    fn into_summary(self) -> ActivitySummary {
        let counts = self.counts.into_iter();
        ActivitySummary {
            counts: counts.map(|((fate, tool), count)| (fate, tool, count)).collect(),
            others: self.unnamed,
        }
    }
}

/// What is read from, and what was gathered.
struct ActivityWatch {
    follower: AuditFollower,
    batch: ActivityBatch,
}

impl ActivityWatch {
    /// Gathers what was written since; what cannot be read now is read later.
    fn read_new_entries(mut self, notices: &NoticeSettings, topics: &ProjectTopics) -> Self {
        let Self { follower, batch } = &mut self;
        if let Err(error) = follower.visit_new(|entry| batch.add_entry(&entry, notices, topics)) {
            tracing::warn!(%error, "what ran cannot be told");
        }
        self
    }
}

impl CommandHandler {
    /// Tells what runs, until the daemon is to end. The composition root spawns it.
    pub async fn run_activity(self) {
        let stop = self.daemon.stop.clone();
        stop.run_until_cancelled(self.follow_activity()).await;
    }

    async fn follow_activity(&self) {
        let directory = self.daemon.paths.audit();
        let begun =
            tokio::task::spawn_blocking(move || AuditFollower::new(&directory, RecordFilter::default()))
                .await;
        let follower = match begun.map_err(std::io::Error::other).and_then(|begun| begun) {
            Ok(follower) => follower,
            Err(error) => return tracing::error!(%error, "what runs is not told"),
        };
        let mut watch = ActivityWatch { follower, batch: ActivityBatch::default() };
        let mut under_way = None::<BoxFuture<'static, Vec<UnsentActivity>>>;
        loop {
            let telegram = self.daemon.config.load().settings.telegram.clone();
            let notices = telegram.map(|telegram| telegram.notices).unwrap_or_default();
            tokio::time::sleep(notices.interval).await;
            let looked = {
                let (notices, topics) = (notices.clone(), self.project_topics());
                tokio::task::spawn_blocking(move || watch.read_new_entries(&notices, &topics)).await
            };
            // It only fails when it panicked.
            let Ok(looked) = looked else { return };

            watch = looked;
            let Some((courier, circle)) = self.link.borrow().clone() else {
                watch.batch = ActivityBatch::default();
                continue;
            };
            if let Some(sending) = &mut under_way {
                let Ok(untold) = tokio::time::timeout(Duration::ZERO, sending).await else {
                    // What comes meanwhile is told with the next message.
                    continue;
                };
                untold.into_iter().for_each(|untold| watch.batch.merge_unsent(untold));
            }
            under_way = None;
            let now = self.daemon.clock.now().wall;
            if notices.quiet.as_ref().is_some_and(|quiet| quiet.contains(now, &self.zone)) {
                continue;
            }
            under_way = self.send_summaries(watch.batch.take_summaries(), &courier, &circle).await;
        }
    }

    /// Tells all of it, and gives what to wait for until it is told, or what of it could not be.
    async fn send_summaries(
        &self,
        all: Vec<(Option<TopicId>, ActivitySummary)>,
        courier: &TelegramSender,
        circle: &AuthorizedChat,
    ) -> Option<BoxFuture<'static, Vec<UnsentActivity>>> {
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
                    Ok(_) | Err(DeliveryError::Refused(_)) => {}
                    Err(DeliveryError::Unreachable | DeliveryError::Dropped | DeliveryError::Closed) => {
                        untold.push(told)
                    }
                }
            }
            untold
        }))
    }

    /// The topics of the group; where they cannot be read, all is told in General.
    fn project_topics(&self) -> ProjectTopics {
        let link = self.link.borrow().as_ref().map(|(courier, circle)| (courier.bot_id().0, circle.clone()));
        let Some((bot, AuthorizedChat::Group(group))) = link else { return ProjectTopics::new() };
        let at = BotChat { bot, chat: group.chat };
        match self.daemon.journal.store().read(move |store| topics::list_topics(store, at)) {
            Ok(all) => all.into_iter().map(|(project, topic)| (project, TopicId(topic))).collect(),
            Err(error) => {
                tracing::warn!(%error, "what ran is told in General");
                ProjectTopics::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portero::names::MAX_SERVER_NAME_LENGTH;
    use serde_json::{Value, json};

    use super::super::super::text::MAX_MESSAGE_UNITS;
    use super::super::super::views::activity::{RulesByTool, ToolRules};
    use super::*;

    fn entry_of(event: &Value) -> SegmentRecord {
        let record = json!({"at": "2026-11-20T12:00:00Z", "event": event});
        serde_json::from_value(json!({"segment": "s", "seq": 1, "record": record})).unwrap()
    }

    fn ended_call(tool: &str, call: u64, outcome: &str) -> SegmentRecord {
        entry_of(&json!({"outcome": {"call": call, "tool": tool, "outcome": outcome, "micros": 5}}))
    }

    fn refused_call(tool: &str) -> SegmentRecord {
        entry_of(&json!({"refused": {"tool": tool, "reason": "denied"}}))
    }

    fn summary_text(entries: &[SegmentRecord], notices: &NoticeSettings) -> Option<String> {
        let mut batch = ActivityBatch::default();
        entries.iter().for_each(|entry| batch.add_entry(entry, notices, &ProjectTopics::new()));
        batch.take_summaries().pop().map(|(_, told)| told.message_text(&RulesByTool::new()).plain_text())
    }

    #[test]
    fn each_project_with_a_topic_is_told_there_and_all_others_in_one_message() {
        let of = |project: &str, mut entry: SegmentRecord| {
            entry.record.principal = Some(Principal::from_project(std::path::Path::new(project)));
            entry
        };
        let shop = Principal::from_project(std::path::Path::new("/shop"));
        let topics = ProjectTopics::from([(shop, TopicId(17))]);
        let mut batch = ActivityBatch::default();
        for entry in [
            of("/shop", ended_call("a/b", 1, "done")),
            of("/blog", ended_call("a/b", 2, "done")),
            of("/notes", refused_call("a/c")),
            ended_call("d/e", 3, "done"),
        ] {
            batch.add_entry(&entry, &NoticeSettings::default(), &topics);
        }
        let told = batch.take_summaries().into_iter();
        let told: Vec<_> =
            told.map(|(topic, told)| (topic, told.message_text(&RulesByTool::new()).plain_text())).collect();
        let others = "Refused\n1 × a/c\nRan without asking\n1 × a/b\n1 × d/e".to_owned();
        let own = "Ran without asking\n1 × a/b".to_owned();
        assert_eq!(told, [(None, others), (Some(TopicId(17)), own)]);
    }

    #[test]
    fn calls_are_grouped_with_what_went_wrong_first() {
        let all = [
            ended_call("a/b", 1, "done"),
            refused_call("a/x"),
            ended_call("a/b", 2, "done"),
            ended_call("a/c", 3, "failed"),
        ];
        let text = summary_text(&all, &NoticeSettings::default()).unwrap();
        assert_eq!(text, "Refused\n1 × a/x\nFailed\n1 × a/c\nRan without asking\n2 × a/b");
        assert_eq!(summary_text(&[], &NoticeSettings::default()), None);
    }

    #[test]
    fn what_a_person_approved_is_told_by_its_card_alone() {
        let task = "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f";
        let intent =
            entry_of(&json!({"intent": {"call": 1, "tool": "a/b", "reason": "approved", "task": task}}));
        assert_eq!(summary_text(&[intent, ended_call("a/b", 1, "done")], &NoticeSettings::default()), None);
    }

    #[test]
    fn each_server_has_its_level() {
        let all = [
            ended_call("a/b", 1, "done"),
            ended_call("c/d", 2, "done"),
            refused_call("c/d"),
            refused_call("e/f"),
        ];
        let servers = [("c".parse().unwrap(), NoticeLevel::Errors), ("e".parse().unwrap(), NoticeLevel::Off)];
        let notices = NoticeSettings { servers: servers.into(), ..NoticeSettings::default() };
        assert_eq!(summary_text(&all, &notices).unwrap(), "Refused\n1 × c/d\nRan without asking\n1 × a/b");
        assert_eq!(
            summary_text(&all, &NoticeSettings { level: NoticeLevel::Off, ..NoticeSettings::default() }),
            None
        );
    }

    #[test]
    fn a_flood_is_one_short_message() {
        let all: Vec<SegmentRecord> = (0..5_000)
            .map(|n| refused_call(&format!("{}/{n:0>128}", "s".repeat(MAX_SERVER_NAME_LENGTH))))
            .collect();
        let mut batch = ActivityBatch::default();
        all.iter()
            .for_each(|entry| batch.add_entry(entry, &NoticeSettings::default(), &ProjectTopics::new()));
        let (_, told) = batch.take_summaries().pop().unwrap();
        let ruled = ToolRules { denying_rule: Some(u64::MAX), ..ToolRules::default() };
        let stands: RulesByTool = told.counts.iter().map(|(_, tool, _)| (tool.clone(), ruled)).collect();
        let message = told.message_text(&stands).fit_message(MAX_MESSAGE_UNITS).expect("it fits");
        assert!(message.text.ends_with("and of other tools: 4988"), "{}", message.text);
        let list = told.tool_list_text(0, &stands).fit_message(MAX_MESSAGE_UNITS).expect("its pages fit");
        assert!(list.text.len() < message.text.len());
        assert!(batch.take_summaries().is_empty(), "it begins anew");
    }
}
