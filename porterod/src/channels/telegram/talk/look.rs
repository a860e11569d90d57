//! What is only looked at.

use portero::audit::{self, Filter};
use portero::ipc::{Ask, Failure, FailureKind, Reply};
use portero::task::State;

use super::super::screens;
use super::super::text::Message;
use super::Talk;
use super::command::{COMMANDS, Look, Wanted};
use crate::control;
use crate::pairing::Person;

/// How many tasks are listed at most, the newest.
const TASKS_MOST: u32 = 500;
/// How many records are listed at most, the newest.
const RECORDS_MOST: usize = 200;

impl Talk {
    /// The answer, in pages.
    pub(super) async fn look(&self, look: &Look, person: Person) -> Vec<Message> {
        let answered = match look {
            Look::Help => {
                let commands: Vec<_> = COMMANDS.iter().map(|known| (known.name, known.what)).collect();
                Ok(screens::help(&commands))
            }
            Look::Whoami => Ok(screens::whoami(person.user, person.chat)),
            Look::Status => self.asked(person, Ask::Status).await,
            Look::Rules => self.asked(person, Ask::Rules).await,
            Look::Tasks(state) => self.asked(person, Ask::Tasks { state: *state, limit: TASKS_MOST }).await,
            Look::Pending => {
                let state = Some(State::PendingApproval);
                match control::said(&self.daemon, person, Ask::Tasks { state, limit: TASKS_MOST }).await {
                    Ok(Reply::Tasks(tasks)) => Ok(screens::pending(&tasks, &self.view())),
                    Ok(_) => Err(unexpected()),
                    Err(failure) => Err(failure),
                }
            }
            Look::Logs(wanted) => self.logs(wanted).await,
            Look::Why(tool) => {
                match control::said(&self.daemon, person, Ask::Why { tool: tool.clone(), arguments: None })
                    .await
                {
                    Ok(Reply::Why(explanation)) => Ok(screens::why(tool, &explanation)),
                    Ok(_) => Err(unexpected()),
                    Err(failure) => Err(failure),
                }
            }
        };
        answered.unwrap_or_else(|failure| screens::failure(&failure))
    }

    async fn asked(&self, person: Person, ask: Ask) -> Result<Vec<Message>, Failure> {
        let view = self.view();
        match control::said(&self.daemon, person, ask).await? {
            Reply::Status(status) => Ok(screens::status(&status, &view)),
            Reply::Standing(standing) => Ok(screens::rules(&standing, &view)),
            Reply::Tasks(tasks) => Ok(screens::tasks(&tasks, &view)),
            Reply::Task(_)
            | Reply::Called(_)
            | Reply::Listing(_)
            | Reply::Grant(_)
            | Reply::Rule(_)
            | Reply::Changed(_)
            | Reply::Why(_)
            | Reply::Reach(_)
            | Reply::TotpSecret(_)
            | Reply::RecoveryCodes(_)
            | Reply::PairingCode(_)
            | Reply::Heads(_)
            | Reply::Look(_)
            | Reply::News(_)
            | Reply::Config(_)
            | Reply::RealTask(_)
            | Reply::Found(_)
            | Reply::Watched(_) => Err(unexpected()),
        }
    }

    async fn logs(&self, wanted: &Wanted) -> Result<Vec<Message>, Failure> {
        let (directory, view) = (self.daemon.paths.audit(), self.view());
        let Wanted { within, server, tool, decided } = wanted.clone();
        let since = within.and_then(|within| view.now.checked_sub(within).ok());
        let limit = Some(RECORDS_MOST);
        let filter = Filter { since, server, tool, decided, limit, ..Filter::default() };
        let read = tokio::task::spawn_blocking(move || audit::read(&directory, &filter)).await;
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(FailureKind::Internal, format!("the audit cannot be read: {error}"))
        };
        let log = read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        Ok(screens::logs(&log.entries, &view))
    }
}

fn unexpected() -> Failure {
    Failure::new(FailureKind::Internal, "the daemon gave another answer than was asked for")
}
