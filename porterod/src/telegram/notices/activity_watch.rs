//! Reports calls that ran without a question, failed or were refused. They are gathered for an interval and
//! sent as one message. A group gets one message for each project with a topic, and one for all others.
//!
//! It follows the audit, which has the calls of all processes, from the daemon's start on; so a restart
//! repeats nothing. Questions are sent first.

use std::collections::HashMap;
use std::time::Duration;

use portero::audit::{AuditFollower, RecordFilter};
use portero::config::NoticeSettings;
use portero::names::Principal;
use portero::pipeline::BoxFuture;

use super::super::chat_link::ChatLink;
use super::super::client::TopicId;
use super::NoticeSender;
use crate::presentation::notices::activity::ActivitySummary;
use crate::presentation::notices::batch::ActivityBatch;
use crate::store::topics;

/// The topics of projects.
type ProjectTopics = HashMap<Principal, TopicId>;

/// A summary that could not be sent, with its topic; none is General.
type UnsentActivity = (Option<TopicId>, ActivitySummary);

/// The reader of the audit, and the counts so far.
struct ActivityWatch {
    follower: AuditFollower,
    batch: ActivityBatch<Option<TopicId>>,
}

impl ActivityWatch {
    /// Counts new records; unreadable ones are read later.
    fn read_new_entries(mut self, notices: &NoticeSettings, topics: &ProjectTopics) -> Self {
        let Self { follower, batch } = &mut self;
        let topic_of = |project: Option<&Principal>| project.and_then(|project| topics.get(project).copied());
        if let Err(error) = follower.visit_new(|entry| batch.add_entry(&entry, notices, topic_of)) {
            tracing::warn!(%error, "what ran cannot be told");
        }
        self
    }
}

impl NoticeSender {
    /// Reports activity until the daemon ends. The composition root spawns it.
    pub async fn run_activity(self) {
        let stop = self.daemon.lifecycle.stop_signal().clone();
        stop.run_until_cancelled(self.follow_activity()).await;
    }

    async fn follow_activity(&self) {
        let directory = self.daemon.audit.directory().to_owned();
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
            let telegram = self.daemon.config.current().settings.telegram.clone();
            let notices = telegram.map(|telegram| telegram.notices).unwrap_or_default();
            tokio::time::sleep(notices.interval).await;
            let looked = {
                let (notices, topics) = (notices.clone(), self.project_topics());
                tokio::task::spawn_blocking(move || watch.read_new_entries(&notices, &topics)).await
            };
            // This fails only if the task panicked.
            let Ok(looked) = looked else { return };

            watch = looked;
            let Some(link) = self.link.borrow().clone() else {
                watch.batch = ActivityBatch::default();
                continue;
            };
            if let Some(sending) = &mut under_way {
                let Ok(untold) = tokio::time::timeout(Duration::ZERO, sending).await else {
                    // A message is still being sent, so new activity goes into the next one.
                    continue;
                };
                for (topic, told) in untold {
                    watch.batch.merge_unsent(topic, told);
                }
            }
            let due = watch.batch.take_due(&notices, self.daemon.clock.now().wall, &self.zone);
            under_way = self.send_summaries(due, &link).await;
        }
    }

    /// Sends all summaries, and returns a future of those that could not be sent.
    async fn send_summaries(
        &self,
        all: Vec<UnsentActivity>,
        link: &ChatLink,
    ) -> Option<BoxFuture<'static, Vec<UnsentActivity>>> {
        let mut sending = Vec::new();
        for (topic, told) in all {
            let sent = self.send_notice(&told, link, topic).await;
            sending.extend(sent.map(|sent| (sent, (topic, told))));
        }
        if sending.is_empty() {
            return None;
        }
        Some(Box::pin(async move {
            let mut untold = Vec::new();
            for (sent, told) in sending {
                // Telegram's refusals are permanent, so the summary is dropped; `status` counts it.
                if sent.await.is_err_and(|error| error.is_transient()) {
                    untold.push(told);
                }
            }
            untold
        }))
    }

    /// The topics of the group. If they can't be read, everything goes to General.
    fn project_topics(&self) -> ProjectTopics {
        let group = self.link.borrow().as_ref().filter(|link| link.owner.is_none()).map(|link| link.bot_chat);
        let Some(at) = group else { return ProjectTopics::new() };
        match self.daemon.journal.store().read(move |store| topics::list_topics(store, at)) {
            Ok(all) => all.into_iter().map(|(project, topic)| (project, TopicId(topic))).collect(),
            Err(error) => {
                tracing::warn!(%error, "the notice of a call that ran goes to General");
                ProjectTopics::new()
            }
        }
    }
}
