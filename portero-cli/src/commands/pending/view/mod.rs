//! The full-screen view of the waiting calls, to read, approve and reject them.
//!
//! [`state`] holds the state, [`keys`] and [`updates`] change it, and [`layout`] and [`draw`] make a frame of
//! it; none of them knows a terminal. [`screen`] is the terminal, and this module connects them with the daemon.
//! The view uses the terminal device, whatever stdin and stdout are.

mod draw;
mod keys;
mod layout;
mod screen;
mod state;
#[cfg(test)]
mod test_support;
mod updates;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use portero::clock::SystemClock;
use portero::ipc::requests::approvals::{ApproveTask, CheckApproval, RejectTask};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::Pause;
use portero::ipc::{Challenge, FailureKind, IpcClient, RequestError, Risk};
use portero::names::TaskId;
use portero::passphrase::fresh_terminal_number;
use portero::task::Task;
use tokio::sync::mpsc;

use super::Feed;
use super::feed::FeedEvent;
use crate::commands::{CommandContext, approvals};
use crate::elevate::{RememberedPassphrase, find_shared_terminal};
use crate::failure::{CommandFailure, CommandResult};
use crate::signals::TerminationSignals;
use keys::ViewEffect;
use screen::{TerminalScreen, ViewInput};
use state::PendingView;
use updates::EffectResult;

/// How often ages and remaining times are redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &CommandContext) -> CommandResult {
    // Checked first: without a terminal nothing is started.
    screen::check_terminal()?;
    let daemon = context.connect_daemon().await?;
    // The signals are registered before the terminal is taken over, so that it is always given back.
    let mut end = TerminationSignals::listen();
    let (mut screen, mut inputs) = TerminalScreen::open()?;
    let mut feed = Feed::start(context, daemon);
    let view = PendingView::new(Timestamp::now(), screen.size()?);
    let remembered = Arc::new(RememberedPassphrase::new(Arc::new(SystemClock)));
    ViewLoop { view, client: None, running: None, remembered, number: fresh_terminal_number() }
        .run(&mut screen, &mut inputs, &mut feed.events, &mut end)
        .await
}

/// An effect in progress.
type RunningEffect = Pin<Box<dyn Future<Output = EffectResult>>>;

struct ViewLoop {
    view: PendingView,
    client: Option<IpcClient>,
    running: Option<RunningEffect>,
    remembered: Arc<RememberedPassphrase>,
    /// The number that the next approval takes.
    number: String,
}

impl ViewLoop {
    async fn run(
        &mut self,
        screen: &mut TerminalScreen,
        inputs: &mut mpsc::Receiver<ViewInput>,
        heard: &mut mpsc::Receiver<FeedEvent>,
        end: &mut TerminationSignals,
    ) -> CommandResult {
        loop {
            self.view.now = Timestamp::now();
            let left = self.remembered.time_left();
            self.view.remembered = left.map(|left| (left, self.number.clone()));
            screen.draw(&self.view)?;
            tokio::select! {
                input = inputs.recv() => {
                    if self.handle_input(input) {
                        return Ok(());
                    }
                }
                Some(heard) = heard.recv() => self.handle_event(heard)?,
                acted = wait_for_effect(&mut self.running) => {
                    self.running = None;
                    self.view.apply_result(acted);
                }
                () = tokio::time::sleep(REDRAW_INTERVAL) => {}
                () = end.recv() => return Ok(()),
            }
        }
    }

    /// Handles input, and returns whether the person quits or the terminal is gone.
    fn handle_input(&mut self, input: Option<ViewInput>) -> bool {
        match input {
            Some(ViewInput::Key(key)) => match self.view.handle_key(key) {
                Some(ViewEffect::Quit) => return true,
                Some(ViewEffect::ForgetPassphrase) => self.remembered.forget(),
                Some(effect) => {
                    // Each approval takes a number of its own.
                    if let ViewEffect::CheckApprovable { .. } = &effect {
                        self.number = fresh_terminal_number();
                    }
                    self.running = Some(self.start_effect(effect));
                }
                None => {}
            },
            Some(ViewInput::Paste(text)) => self.view.handle_paste(&text),
            Some(ViewInput::Resize(size)) => self.view.resize(size),
            None => return true,
        }
        false
    }

    fn start_effect(&self, effect: ViewEffect) -> RunningEffect {
        match self.client.clone() {
            Some(client) => Box::pin(run_effect(client, effect, Arc::clone(&self.remembered))),
            None => {
                Box::pin(async { EffectResult::Failed("there is no daemon now; nothing changed".to_owned()) })
            }
        }
    }

    fn handle_event(&mut self, heard: FeedEvent) -> Result<(), CommandFailure> {
        match heard {
            // Each connection has its own client; an effect in flight keeps the old one and fails.
            FeedEvent::Connected(client) => {
                self.client = Some(client);
                if self.view.daemon_error.take().is_some() {
                    "the daemon is back".clone_into(&mut self.view.message);
                }
            }
            FeedEvent::Disconnected(why) => {
                self.client = None;
                self.view.daemon_error = Some(why);
            }
            FeedEvent::Paused(paused) => self.view.paused = paused,
            FeedEvent::WaitingReset(waiting) => self.view.reset_waiting(&waiting),
            FeedEvent::TaskWaits(look) => self.view.update_task(*look),
            FeedEvent::NoticeEntry(entry) => self.view.apply_notice(&entry),
            FeedEvent::Failed(failure) => return Err(failure),
        }
        Ok(())
    }
}

async fn wait_for_effect(act: &mut Option<RunningEffect>) -> EffectResult {
    match act {
        Some(act) => act.await,
        None => std::future::pending().await,
    }
}

/// Checks that an approval would make the task run. If that can't be checked, the approval itself will show
/// it.
async fn check_approvable(client: &IpcClient, task: TaskId) -> EffectResult {
    match client.request(CheckApproval { task, fresh: false }).await {
        Err(RequestError::Refused(failure)) => EffectResult::NotApprovable { task, why: failure.message },
        Ok(_) | Err(RequestError::Closed(_) | RequestError::Unsent(_) | RequestError::Unreadable { .. }) => {
            EffectResult::Approvable
        }
    }
}

/// Makes an effect's request to the daemon, and returns the result.
async fn run_effect(
    client: IpcClient,
    effect: ViewEffect,
    remembered: Arc<RememberedPassphrase>,
) -> EffectResult {
    match effect {
        ViewEffect::CheckApprovable { task } => check_approvable(&client, task).await,
        ViewEffect::Approve { task, passphrase } => {
            let challenge = match client.derive_challenge(Challenge::new(passphrase.expose())).await {
                Ok(challenge) => challenge,
                Err(error) => return failed(Some(task), error),
            };
            let request = ApproveTask { task, fresh: false, challenge: challenge.clone() };
            let approved = client.request(request).await;
            if approved.is_ok() {
                remember(&client, &remembered, &challenge).await;
            }
            describe_decision(task, approved)
        }
        ViewEffect::ApproveRemembered { task } => {
            let limit = remember_limit(&client).await;
            let Some((challenge, _)) = remembered.find(Risk::Low, limit) else {
                let over = "the passphrase is not remembered any more; type it";
                return EffectResult::WrongPassphrase(over.to_owned());
            };
            let approved = client.request(ApproveTask { task, fresh: false, challenge }).await;
            if let Err(RequestError::Refused(failure)) = &approved
                && failure.kind == FailureKind::Challenge
            {
                remembered.forget();
            }
            describe_decision(task, approved)
        }
        ViewEffect::Reject { task, reason } => {
            describe_decision(task, client.request(RejectTask { task, reason, for_now: false }).await)
        }
        ViewEffect::Pause => match client.request(Pause).await {
            Ok(_) => EffectResult::Done("everything is paused; `portero resume` ends it".to_owned()),
            Err(error) => failed(None, error),
        },
        // The loop handles these itself.
        ViewEffect::Quit | ViewEffect::ForgetPassphrase => EffectResult::Done(String::new()),
    }
}

/// Remembers keys that the daemon accepted, if it permits that and no other process types into this terminal.
async fn remember(client: &IpcClient, remembered: &RememberedPassphrase, challenge: &Challenge) {
    let limit = remember_limit(client).await;
    if !limit.is_zero() && find_shared_terminal(&|name| std::env::var_os(name)).is_none() {
        remembered.keep(challenge, limit);
    }
}

/// How long the daemon lets a passphrase be remembered; not at all if it can't be asked.
async fn remember_limit(client: &IpcClient) -> Duration {
    let status = client.request(GetStatus).await;
    status.map_or(Duration::ZERO, |status| Duration::from_millis(status.remember))
}

fn describe_decision(task: TaskId, decided: Result<Box<Task>, RequestError>) -> EffectResult {
    match decided {
        Ok(task) => EffectResult::Done(format!(
            "{} {} is {}",
            approvals::short_id(task.id),
            task.call.tool,
            task.state
        )),
        Err(error) => failed(Some(task), error),
    }
}

fn failed(task: Option<TaskId>, error: RequestError) -> EffectResult {
    match (error, task) {
        (RequestError::Refused(failure), _) if failure.kind == FailureKind::Challenge => {
            EffectResult::WrongPassphrase(failure.message)
        }
        (RequestError::Refused(failure), _) => EffectResult::Failed(match failure.hint {
            Some(hint) => format!("{}; {hint}", failure.message),
            None => failure.message,
        }),
        // A lost answer leaves the outcome open, so the person gets the command that shows it.
        (error @ (RequestError::Closed(_) | RequestError::Unreadable { .. }), Some(task)) => {
            EffectResult::Failed(format!(
                "{error}; run `portero task {}` to see whether it was done",
                approvals::short_id(task)
            ))
        }
        (
            error @ (RequestError::Closed(_) | RequestError::Unsent(_) | RequestError::Unreadable { .. }),
            _,
        ) => EffectResult::Failed(error.to_string()),
    }
}
