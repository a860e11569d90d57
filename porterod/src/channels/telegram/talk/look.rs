//! What is only looked at. A list that is as long as what is kept is fetched page by page: a page costs the same
//! however much is behind it.

use portero::audit::Filter;
use portero::ipc::requests::approvals::ListTasks;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{ExplainDecision, GetOverrides};
use portero::ipc::{Failure, FailureKind};
use portero::task::{State, Task};

use super::super::screens::{self, List};
use super::super::text::{MESSAGE_MOST, Message};
use super::command::{COMMANDS, Look, Wanted};
use super::trail::{Place, Trail};
use super::{Talk, records};
use crate::api;
use crate::pairing::Person;

/// How many tasks stand on a page at most: each has up to four entities, and a message has a hundred.
const TASKS_MOST: usize = 20;
/// An answer, or the part of it that was asked for.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its pages.
    pub(super) pages: Vec<Message>,
    /// Where the part ends, if more follows.
    pub(super) next: Option<Place>,
}

impl From<Vec<Message>> for Answer {
    fn from(pages: Vec<Message>) -> Self {
        Self { pages, next: None }
    }
}

impl Talk {
    /// The answer; of a list the part that follows on the trail.
    pub(super) async fn look(&self, look: &Look, person: Person, trail: &Trail) -> Answer {
        let daemon = &self.daemon;
        let answered = match look {
            Look::Help => {
                let commands: Vec<_> = COMMANDS.iter().map(|known| (known.name, known.what)).collect();
                Ok(screens::help(&commands).into())
            }
            Look::Whoami => Ok(screens::whoami(person.user, person.chat).into()),
            Look::Status => api::request_as(daemon, person, GetStatus)
                .await
                .map(|status| screens::status(&status, &self.view()).into()),
            Look::Rules => api::request_as(daemon, person, GetOverrides)
                .await
                .map(|standing| screens::rules(&standing, &self.view()).into()),
            Look::Tasks(state) => self.tasks(person, *state, List::Tasks, trail).await,
            Look::Pending => self.tasks(person, Some(State::PendingApproval), List::Pending, trail).await,
            Look::Logs(wanted) => self.logs(wanted, trail).await,
            Look::Why(tool) => {
                let request = ExplainDecision { tool: tool.clone(), arguments: None };
                let explained = api::request_as(daemon, person, request).await;
                explained.map(|explanation| screens::why(tool, &explanation).into())
            }
        };
        answered.unwrap_or_else(|failure| screens::failure(&failure).into())
    }

    /// Tasks by their state, those that want something first, and in each state the newest first. Whatever state a
    /// task comes into while somebody turns pages is a later one: it is not missed.
    async fn tasks(
        &self,
        person: Person,
        state: Option<State>,
        list: List,
        trail: &Trail,
    ) -> Result<Answer, Failure> {
        let shown = match trail.last() {
            Some(Place::Task { shown, .. }) => *shown,
            Some(Place::Record(_)) | None => 0,
        };
        let mut found = self.some(person, state, trail.last()).await?;
        let more = found.len() > TASKS_MOST;
        found.truncate(TASKS_MOST);
        let counts = self.daemon.desk.counts().map_err(|error| api::of_store(&error))?;
        let counts: Vec<_> =
            counts.into_iter().filter(|(is, _)| state.is_none_or(|state| state == *is)).collect();
        let view = self.view();
        let part = |count: usize| {
            let tasks = &found[..count];
            screens::part(list, &screens::Part { tasks, shown, counts: &counts }, &view)
        };
        // As many as one message holds; never none.
        let (mut count, mut text) = (found.len(), part(found.len()));
        while count > 1 && text.message(MESSAGE_MOST).is_none() {
            count -= 1;
            text = part(count);
        }
        let next = match found[..count].last() {
            Some(task) if more || count < found.len() => {
                let shown = shown + u64::try_from(count).unwrap_or(u64::MAX);
                Some(Place::Task { state: task.state, at: task.place(), shown })
            }
            Some(_) | None => None,
        };
        Ok(Answer { pages: text.pages(), next })
    }

    /// The next of them, one more than a page holds.
    async fn some(
        &self,
        person: Person,
        state: Option<State>,
        after: Option<&Place>,
    ) -> Result<Vec<Task>, Failure> {
        let (from, mut place) = match after {
            Some(Place::Task { state, at, .. }) => (Some(*state), Some(*at)),
            Some(Place::Record(_)) | None => (state, None),
        };
        let states = State::ALL.into_iter().skip_while(|state| from.is_some_and(|from| from != *state));
        let mut found: Vec<Task> = Vec::new();
        for wanted in states.filter(|wanted| state.is_none_or(|state| state == *wanted)) {
            // Very long calls come in several answers.
            while found.len() <= TASKS_MOST {
                let limit = u32::try_from(TASKS_MOST + 1 - found.len()).unwrap_or(u32::MAX);
                let request = ListTasks { state: Some(wanted), after: place, limit };
                let tasks = api::request_as(&self.daemon, person, request).await?;
                match tasks.last() {
                    Some(last) => place = Some(last.place()),
                    None => break,
                }
                found.extend(tasks);
            }
            place = None;
        }
        Ok(found)
    }

    /// Records, those of a page in the order of time.
    async fn logs(&self, wanted: &Wanted, trail: &Trail) -> Result<Answer, Failure> {
        let (directory, now, zone) = (self.daemon.paths.audit(), self.view().now, self.zone.clone());
        let Wanted { within, server, tool, decided } = wanted.clone();
        let since = within.and_then(|within| now.checked_sub(within).ok());
        let filter = Filter { since, server, tool, decided, ..Filter::default() };
        let after = match trail.last() {
            Some(Place::Record(place)) => Some(place.clone()),
            Some(Place::Task { .. }) | None => None,
        };
        let anonymizer = self.daemon.anonymizer.load_full();
        let read = tokio::task::spawn_blocking(move || {
            records::read((&directory, filter), after.as_ref(), &zone, &anonymizer)
        });
        let read = read.await;
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(FailureKind::Internal, format!("the audit cannot be read: {error}"))
        };
        let stretch = read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        let pages = screens::logs(&stretch, trail.number(), &self.view());
        Ok(Answer { pages, next: stretch.next.map(Place::Record) })
    }
}
