//! The daemon itself: its status, and its end.

use std::sync::Arc;

use jiff::Timestamp;
use portero::ipc::requests::daemon::{ExamineServer, GetStatus, ServerExamination, StopDaemon};
use portero::ipc::{
    Act, DaemonFailure, DaemonStatus, EnrolledAuthenticator, FailureKind, TelegramGroup, TelegramPerson,
    TelegramStatus,
};
use portero::names::{TaskId, ToolId};
use portero::server::ServerError;
use portero::task::TaskState;

use super::attempt::Attempt;
use super::{PersonCaller, PersonRequest, confirmation, failure, overrides, shown};
use crate::approvals::TaskFilter;
use crate::auth::pairing::AuthorizedChat;
use crate::auth::passphrase::EnrolledTotp;
use crate::bot_health::SendingState;
use crate::daemon::Daemon;
use crate::sessions::InstanceScope;

const MOVED: &str = "it became a supergroup, and is followed there";

/// How many waiting tasks the status looks at, latest first.
const GATHERING_MOST: u32 = 200;

impl PersonRequest for GetStatus {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Box<DaemonStatus>, DaemonFailure> {
        status(daemon).await.map(Box::new)
    }
}

impl PersonRequest for ExamineServer {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<ServerExamination, DaemonFailure> {
        let upstreams = &daemon.upstreams;
        // A program with references is one of a project's; whether it starts doesn't depend on which.
        let scope = upstreams.scope_of(&self.server, daemon.config.directory());
        let scope = scope.unwrap_or(InstanceScope::User);
        let listing = upstreams.scope_listing(&scope, &self.server).await.map_err(|error| {
            let conceal = |text: &str| daemon.anonymizer.load().conceal_text(text).into_inner();
            match &error {
                ServerError::LoginNeeded(_, step) => {
                    DaemonFailure::new(FailureKind::Server, "it wants a login").with_hint(conceal(step))
                }
                _ => DaemonFailure::new(FailureKind::Server, conceal(&error.to_string())),
            }
        })?;
        let omitted = upstreams.describe_omitted_entries();
        Ok(ServerExamination {
            tools: listing.tools.len(),
            resources: listing.resources.len() + listing.templates.len(),
            prompts: listing.prompts.len(),
            omitted: omitted.into_iter().find(|(server, _)| *server == self.server).map(|(_, words)| words),
        })
    }
}

impl PersonRequest for StopDaemon {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::StopDaemon).into())
    }

    /// Records the end. The connection's loop stops the daemon once this response is on its way.
    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<(), DaemonFailure> {
        let act = Act::StopDaemon;
        // The daemon ends in any case, even if the record can't be written.
        let _ = daemon.journal.record_act(act.word(), &act.about(), true, Some(caller.by)).await;
        Ok(())
    }
}

async fn status(daemon: &Arc<Daemon>) -> Result<DaemonStatus, DaemonFailure> {
    let (counts, counts_lack) = daemon.audit.counts().await;
    let (config, files) = (daemon.config.current(), daemon.config.files_check());
    let (https_clients, https_clients_omitted) = daemon.sessions.list_https_clients();
    Ok(DaemonStatus {
        build: daemon.lifecycle.build().to_owned(),
        pid: std::process::id(),
        started: daemon.lifecycle.started(),
        config: config.directory.clone(),
        config_problems: files.problems.clone(),
        config_valid: files.is_valid,
        config_waits: daemon.config.changes().widens.len(),
        skipped: config
            .skipped
            .iter()
            .map(|skipped| (skipped.server.clone(), skipped.reason.clone()))
            .collect(),
        left_out: daemon.upstreams.describe_omitted_entries(),
        servers: daemon.upstreams.health(),
        sessions: daemon.sessions.list_sessions(),
        agent_sessions: daemon.sessions.agent_sessions(),
        grant_most: u64::try_from(config.settings.approvals.max_grant_duration.as_millis())
            .unwrap_or(u64::MAX),
        remember: u64::try_from(config.settings.approvals.remember.as_millis()).unwrap_or(0),
        pending: daemon.approval_queue.count_pending().map_err(|error| failure::of_store(&error))?,
        gathering: gathering(daemon)?,
        standing: daemon.overrides.overrides(),
        passphrase: daemon.passphrase.first_set().map_err(|error| failure::of_store(&error))?,
        totp: daemon.passphrase.enrolled_totp().map_err(|error| failure::of_store(&error))?.map(|enrolled| {
            let EnrolledTotp { since, by, recovery, is_outdated } = enrolled;
            EnrolledAuthenticator { since, by, recovery, is_outdated }
        }),
        credentials: Some(daemon.credentials.status().map_err(|error| failure::of_store(&error))?),
        telegram: telegram(daemon).await?,
        https: daemon.https.status(),
        https_clients,
        https_clients_omitted,
        counts,
        counts_lack,
        audit: Some(daemon.audit.status().await.map_err(|error| failure::of_store(&error))?),
        alarms: alarms(daemon)?,
        unsaved: overrides::unsaved(daemon),
    })
}

fn alarms(daemon: &Daemon) -> Result<Vec<(Timestamp, String)>, DaemonFailure> {
    let alarms = daemon.outbox.alarms().map_err(|error| failure::of_store(&error))?;
    Ok(alarms.into_iter().map(|(at, about)| (at, about.into_inner())).collect())
}

/// The progress of the tasks that need several people.
fn gathering(daemon: &Daemon) -> Result<Vec<(TaskId, ToolId, String)>, DaemonFailure> {
    let which = TaskFilter {
        state: Some(TaskState::PendingApproval),
        limit: GATHERING_MOST,
        ..TaskFilter::default()
    };
    let tasks = daemon.approval_queue.list_tasks(&which).map_err(|error| failure::of_store(&error))?;
    let tasks = shown::tasks(daemon, tasks).into_iter();
    Ok(tasks.filter_map(|task| Some((task.id, task.call.tool.clone(), task.quorum_progress()?))).collect())
}

async fn telegram(daemon: &Daemon) -> Result<TelegramStatus, DaemonFailure> {
    let seen = daemon.bot_health.state();
    let circle = match &seen.bot {
        Some(place) => daemon.pairing.authorized_chat(place).map_err(|error| failure::of_store(&error))?,
        None => None,
    };
    let configured = seen.bot.as_ref().is_some_and(|place| place.admin.is_some());
    let (person, group) = match circle {
        None => (None, None),
        Some(AuthorizedChat::Private(person)) => {
            (Some(TelegramPerson { user: person.user, configured }), None)
        }
        Some(AuthorizedChat::Group(group)) => {
            let configured = seen.bot.as_ref().and_then(|place| place.group.as_ref());
            // The person should write the new number into the file, so the status names it.
            let has_moved = configured.is_some_and(|configured| configured.chat != group.chat);
            let trouble = seen.group_trouble.or_else(|| {
                let chat = group.chat;
                has_moved.then(|| format!("{MOVED}: write {chat} as `telegram.chat` into portero.json"))
            });
            (None, Some(TelegramGroup { chat: group.chat, deciders: group.deciders, trouble }))
        }
    };
    let SendingState { waiting, trouble: sending_trouble, refused } = daemon.bot_health.sending_state();
    Ok(TelegramStatus {
        state: seen.state,
        bot: seen.username,
        person,
        group,
        last_poll: seen.last_poll,
        last_trouble: seen.last_trouble,
        waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        sending_trouble,
        confirms: confirmation::telegram_confirms(daemon).await?,
        refused,
        given_up: seen.given_up,
    })
}
