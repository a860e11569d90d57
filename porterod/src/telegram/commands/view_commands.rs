//! Viewing commands. A long list is fetched page by page, so a page costs the same however long the list is.

use std::io;
use std::path::Path;

use jiff::tz::TimeZone;
use portero::anonymize::Anonymizer;
use portero::audit::{ReadPosition, RecordFilter, ReverseRead, ReverseReader};
use portero::ipc::requests::approvals::ListTasks;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::definitions::{GetDefinitions, ServerDefinitions};
use portero::ipc::requests::overrides::{ExplainDecision, GetOverrides};
use portero::ipc::{DaemonFailure, FailureKind};
use portero::task::{Task, TaskState};

use super::super::command_parser::{COMMANDS, LogQuery, ViewCommand};
use super::super::text::{EscapedText, MAX_MESSAGE_UNITS, StyledText, ToMessages as _, utf16_len};
use super::CommandHandler;
use super::pagination::{PageEnd, PageTrail};
use crate::api;
use crate::auth::pairing::ChatUser;
use crate::presentation::definitions;
use crate::presentation::views::{self, LogPage, TaskListKind};

/// The most tasks on a page: each has up to four entities, and a message may have a hundred.
const MAX_TASKS_PER_PAGE: usize = 20;
/// The most records on a page.
const MAX_RECORDS_PER_PAGE: usize = 50;
/// The most buttons that open another answer. A command opens the rest.
const MAX_LINKS: usize = 20;
/// How many UTF-16 code units of a page may be records; the rest is for the surrounding words.
const MAX_RECORD_UNITS: usize = MAX_MESSAGE_UNITS - 400;

/// An answer, or the wanted part of it.
#[derive(Debug)]
pub(super) struct ViewPage {
    /// Its text.
    pub(super) text: StyledText,
    /// The end of the part, if more follows.
    pub(super) next: Option<PageEnd>,
    /// Buttons that open another command's answer: the label and the command.
    pub(super) links: Vec<(String, String)>,
}

impl From<StyledText> for ViewPage {
    fn from(text: StyledText) -> Self {
        Self { text, next: None, links: Vec::new() }
    }
}

impl CommandHandler {
    /// The answer; for a list, the part after the trail.
    pub(super) async fn answer_view(
        &self,
        look: &ViewCommand,
        person: ChatUser,
        trail: &PageTrail,
    ) -> ViewPage {
        let daemon = &self.daemon;
        let answered = match look {
            ViewCommand::Help => {
                let commands: Vec<_> = COMMANDS.iter().map(|known| (known.name, known.summary)).collect();
                Ok(views::help_text(&commands).into())
            }
            ViewCommand::Whoami => Ok(whoami_text(person).into()),
            ViewCommand::Status => api::request_as(daemon, person, GetStatus)
                .await
                .map(|status| views::status_text(&status, &self.view_context()).into()),
            ViewCommand::Rules => api::request_as(daemon, person, GetOverrides)
                .await
                .map(|standing| views::overrides_text(&standing, &self.view_context()).into()),
            ViewCommand::Tasks(state) => {
                self.task_list_page(person, *state, TaskListKind::Tasks, trail).await
            }
            ViewCommand::Pending => {
                self.task_list_page(person, Some(TaskState::PendingApproval), TaskListKind::Pending, trail)
                    .await
            }
            ViewCommand::Logs(wanted) => self.log_page(wanted, trail).await,
            ViewCommand::Pins => {
                let pins = api::request_as(daemon, person, GetDefinitions { server: None }).await;
                pins.map(|servers| pins_page(&servers))
            }
            ViewCommand::Why(tool) => {
                let request = ExplainDecision { tool: tool.clone(), arguments: None };
                let explained = api::request_as(daemon, person, request).await;
                explained.map(|explanation| views::decision_text(tool, &explanation).into())
            }
        };
        answered.unwrap_or_else(|failure| views::failure_text(&failure).into())
    }

    /// Tasks by state, those that need attention first, and in each state the newest first. A task that
    /// changes its state meanwhile moves to a later state in this order, so turning pages can't miss it.
    async fn task_list_page(
        &self,
        person: ChatUser,
        state: Option<TaskState>,
        list: TaskListKind,
        trail: &PageTrail,
    ) -> Result<ViewPage, DaemonFailure> {
        let shown = match trail.last_end() {
            Some(PageEnd::Task { shown, .. }) => *shown,
            Some(PageEnd::Record(_)) | None => 0,
        };
        let mut found = self.fetch_tasks(person, state, trail.last_end()).await?;
        let more = found.len() > MAX_TASKS_PER_PAGE;
        found.truncate(MAX_TASKS_PER_PAGE);
        let counts = self.daemon.approval_queue.count_by_state().map_err(|error| api::of_store(&error))?;
        let counts: Vec<_> =
            counts.into_iter().filter(|(is, _)| state.is_none_or(|state| state == *is)).collect();
        let view = self.view_context();
        let part = |count: usize| {
            let tasks = &found[..count];
            views::task_list_text(
                list,
                &views::TaskListPart { tasks, shown_before: shown, counts: &counts },
                &view,
            )
        };
        // As many tasks as one message holds, but at least one.
        let (mut count, mut text) = (found.len(), part(found.len()));
        while count > 1 && text.fit_message(MAX_MESSAGE_UNITS).is_none() {
            count -= 1;
            text = part(count);
        }
        let next = match found[..count].last() {
            Some(task) if more || count < found.len() => {
                let shown = shown + u64::try_from(count).unwrap_or(u64::MAX);
                Some(PageEnd::Task { state: task.state, at: task.cursor(), shown })
            }
            Some(_) | None => None,
        };
        Ok(ViewPage { next, ..text.into() })
    }

    /// The next tasks, one more than a page holds, which shows whether more follow.
    async fn fetch_tasks(
        &self,
        person: ChatUser,
        state: Option<TaskState>,
        after: Option<&PageEnd>,
    ) -> Result<Vec<Task>, DaemonFailure> {
        let (from, mut place) = match after {
            Some(PageEnd::Task { state, at, .. }) => (Some(*state), Some(*at)),
            Some(PageEnd::Record(_)) | None => (state, None),
        };
        let states = TaskState::ALL.into_iter().skip_while(|state| from.is_some_and(|from| from != *state));
        let mut found: Vec<Task> = Vec::new();
        for wanted in states.filter(|wanted| state.is_none_or(|state| state == *wanted)) {
            // Very long calls need several requests.
            while found.len() <= MAX_TASKS_PER_PAGE {
                let limit = u32::try_from(MAX_TASKS_PER_PAGE + 1 - found.len()).unwrap_or(u32::MAX);
                let request = ListTasks { state: Some(wanted), after: place, limit };
                let tasks = api::request_as(&self.daemon, person, request).await?;
                match tasks.last() {
                    Some(last) => place = Some(last.cursor()),
                    None => break,
                }
                found.extend(tasks);
            }
            place = None;
        }
        Ok(found)
    }

    /// A page of records, in the order of time.
    async fn log_page(&self, wanted: &LogQuery, trail: &PageTrail) -> Result<ViewPage, DaemonFailure> {
        let (directory, now, zone) =
            (self.daemon.audit.directory().to_owned(), self.view_context().now, self.zone.clone());
        let LogQuery { within, server, tool, decided } = wanted.clone();
        let since = within.and_then(|within| now.checked_sub(within).ok());
        let filter = RecordFilter { since, server, tool, decision: decided, ..RecordFilter::default() };
        let after = match trail.last_end() {
            Some(PageEnd::Record(place)) => Some(place.clone()),
            Some(PageEnd::Task { .. }) | None => None,
        };
        let anonymizer = self.daemon.anonymizer.load_full();
        let read = tokio::task::spawn_blocking(move || {
            read_log_page((&directory, filter), after.as_ref(), &zone, &anonymizer)
        });
        let read = read.await;
        let failed = |error: &dyn std::fmt::Display| {
            DaemonFailure::new(FailureKind::Internal, format!("the audit cannot be read: {error}"))
        };
        let stretch = read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        let text = views::log_text(&stretch, trail.page_number(), &self.view_context());
        Ok(ViewPage { next: stretch.next.map(PageEnd::Record), ..text.into() })
    }
}

/// The pinned definitions, with a button for each server of which some wait.
fn pins_page(servers: &[ServerDefinitions]) -> ViewPage {
    let waiting = servers.iter().filter(|server| definitions::waits(server));
    let links = waiting
        .take(MAX_LINKS)
        .map(|ServerDefinitions { server, .. }| (format!("Show {server}"), format!("/pins {server}")));
    ViewPage { text: definitions::pins_text(servers), next: None, links: links.collect() }
}

/// The user's and the chat's numbers.
fn whoami_text(person: ChatUser) -> StyledText {
    let number = |number: i64| EscapedText::line(&number.to_string());
    let text = StyledText::new().literal("Your user: ").code(&number(person.user)).on_new_line();
    text.literal("This chat: ").code(&number(person.chat)).literal("\nPortero listens to you.")
}

/// Reads records backwards from the former page's end, as many as one message holds, but at least one if
/// there is any.
fn read_log_page(
    (directory, filter): (&Path, RecordFilter),
    after: Option<&ReadPosition>,
    zone: &TimeZone,
    anonymizer: &Anonymizer,
) -> io::Result<LogPage> {
    let mut back = ReverseReader::new(directory, filter, after)?;
    let mut stretch = LogPage::default();
    let mut used = 0;
    while stretch.rows.len() < MAX_RECORDS_PER_PAGE {
        let before = back.position();
        match back.read_next()? {
            ReverseRead::Record(entry) => {
                // Today's rules may know values that those of that day didn't.
                let row = anonymizer.conceal_text(&views::record_line(&entry, zone)).into_inner();
                used += row_units(&row);
                if used > MAX_RECORD_UNITS && !stretch.rows.is_empty() {
                    stretch.next = before;
                    break;
                }
                stretch.rows.insert(0, row);
                stretch.next = back.position();
            }
            ReverseRead::BudgetSpent => {
                stretch.next = back.position();
                stretch.searched_back_to = stretch.next.as_ref().map(|place| place.at);
                break;
            }
            ReverseRead::End => {
                stretch.next = None;
                break;
            }
        }
    }
    stretch.unreadable = back.unreadable();
    Ok(stretch)
}

/// The UTF-16 code units of a row.
fn row_units(row: &str) -> usize {
    let mut shown = EscapedText::default();
    shown.push_line("", row);
    utf16_len(shown.as_str()) + 1
}
