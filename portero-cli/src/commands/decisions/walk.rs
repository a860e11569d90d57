//! `portero approve` and `portero reject` without an id: each waiting call is shown, and the person is asked about it.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use portero::approval_scope::ApprovalScope;
use portero::clock::SystemClock;
use portero::ipc::Challenge;
use portero::ipc::requests::approvals::{ApprovedWith, ListScopes, WatchTasks};
use portero::names::TaskId;
use portero::notice::Notice;
use portero::passphrase::fresh_terminal_number;
use portero::task::{Task, TaskState};

use super::acts::{Approval, describe_approved, describe_rejected, reject_task};
use super::answers::{WalkAnswer, WalkKind, parse_answer, question};
use super::outcome::{RunFollower, describe_pause, find_pause};
use super::scoped::{ScopedApproval, describe_permitted};
use super::selection::refuse_approval;
use crate::args;
use crate::commands::CommandContext;
use crate::commands::approvals::{
    NO_LIMIT, describe_with_definition, fetch_task, fetch_tasks, refuse_decided, short_id,
};
use crate::daemon::DaemonClient;
use crate::elevate::{
    self, ConfirmationMethod, ConfirmationPrompt, ConfirmedAct, RememberedPassphrase, find_shared_terminal,
};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, excerpt, format_age, format_duration, pluralize};
use crate::signals::TerminationSignals;
use crate::terminal::{TerminalDevice, TerminalLines};

/// Shows each call that waits, the oldest first, and asks what to do with it.
pub(super) async fn ask_about_each(context: &CommandContext, kind: WalkKind<'_>) -> CommandResult {
    let (terminal, lines) = open_terminal(context, kind)?;
    let daemon = context.connect_daemon().await?;
    let place = daemon.request(WatchTasks { after: None }).await?.place;
    let signals = TerminationSignals::listen();
    let remembered = RememberedPassphrase::new(Arc::new(SystemClock));
    Walk { context, daemon: &daemon, kind, terminal, lines, signals, place, remembered }.run().await
}

fn open_terminal(
    context: &CommandContext,
    kind: WalkKind<'_>,
) -> CommandResult<(TerminalDevice, TerminalLines)> {
    let command = match kind {
        WalkKind::Approve(_) => "approve",
        WalkKind::Reject(_) => "reject",
    };
    let usage = |why: &str| {
        CommandFailure::usage(format!("`portero {command}` without an ID asks at a terminal, and {why}"))
            .with_hint(format!("type the IDs: `portero {command} ID…`; `portero pending` lists them"))
    };
    if context.output.wants_json() {
        return Err(usage("`--json` is for programs"));
    }
    if !std::io::stdin().is_terminal() {
        return Err(usage("stdin is no terminal"));
    }
    match (TerminalDevice::open("to decide"), TerminalLines::open()) {
        (Ok(terminal), Ok(lines)) => Ok((terminal, lines)),
        (Err(_), _) | (_, Err(_)) => Err(usage("there is no terminal here")),
    }
}

/// What to do after a call.
#[derive(Debug, PartialEq, Eq)]
enum NextStep {
    /// Go on with the next one.
    Next,
    /// Go to this one of the list.
    GoTo(usize),
    /// Ask about this one again.
    AskAgain,
    Quit,
}

/// How a question ended.
enum Asked {
    Line(String),
    /// The call was decided elsewhere, so the line counts for nothing.
    DecidedElsewhere,
    /// Ctrl-C, Ctrl-D, or the terminal is gone.
    Left,
}

struct Walk<'a> {
    context: &'a CommandContext,
    daemon: &'a DaemonClient,
    kind: WalkKind<'a>,
    terminal: TerminalDevice,
    lines: TerminalLines,
    signals: TerminationSignals,
    /// The place in the daemon's changes up to which the calls are known.
    place: u64,
    remembered: RememberedPassphrase,
}

/// How a person confirms a call, or why they don't.
enum Confirmed {
    By(ConfirmationMethod),
    Not(NextStep),
}

impl Walk<'_> {
    async fn run(mut self) -> CommandResult {
        let mut asked: Vec<TaskId> = Vec::new();
        loop {
            let mut tasks = fetch_tasks(self.daemon, Some(TaskState::PendingApproval), NO_LIMIT).await?;
            let still_waiting = tasks.len();
            // What came while the person decided is asked about next. What they skipped isn't.
            tasks.retain(|task| !asked.contains(&task.id));
            tasks.reverse();
            if tasks.is_empty() {
                return self.terminal.print_line(match still_waiting {
                    0 => "Nothing waits for you.".to_owned(),
                    left => format!("{} still wait for you.", pluralize(left, "call", "calls")),
                });
            }
            self.print_list(&tasks)?;
            if !self.ask_about_all(&tasks).await? {
                return Ok(());
            }
            asked.extend(tasks.iter().map(|task| task.id));
        }
    }

    fn print_list(&mut self, tasks: &[Task]) -> CommandResult {
        let verb = if tasks.len() == 1 { "waits" } else { "wait" };
        self.terminal
            .print_line(format_args!("{} {verb} for you", pluralize(tasks.len(), "call", "calls")))?;
        let width = tasks.iter().map(|task| task.call.tool.to_string().len()).max().unwrap_or(0);
        for (at, task) in tasks.iter().enumerate() {
            let arguments = task.call.arguments().map_or("", |arguments| arguments.get());
            self.terminal.print_line(format_args!(
                "{:3}  {}  {:width$}  {}  {}",
                at + 1,
                short_id(task.id),
                task.call.tool.to_string(),
                escape_hidden(&excerpt(arguments, 40)),
                format_age(task.asked),
            ))?;
        }
        Ok(())
    }

    /// Asks about each call once. Returns whether to look for more; `false` if the person quits.
    async fn ask_about_all(&mut self, tasks: &[Task]) -> CommandResult<bool> {
        let mut open: Vec<bool> = tasks.iter().map(|_| true).collect();
        let mut at = 0;
        loop {
            match self.ask_about(tasks, at).await? {
                NextStep::Quit => return Ok(false),
                NextStep::GoTo(place) => at = place,
                NextStep::Next | NextStep::AskAgain => {
                    open[at] = false;
                    // From here on, and then from the beginning: a person may have gone to a later one first.
                    let later = (at + 1..tasks.len()).chain(0..at).find(|place| open[*place]);
                    let Some(next) = later else { return Ok(true) };
                    at = next;
                }
            }
        }
    }

    async fn ask_about(&mut self, tasks: &[Task], at: usize) -> CommandResult<NextStep> {
        let mut is_shown = false;
        loop {
            let task = fetch_task(self.daemon, tasks[at].id).await?;
            if refuse_decided(&task).is_some() {
                let short = short_id(task.id);
                self.terminal.print_line(format_args!(
                    "\n{} {short} is {} now; `portero task {short}` shows it",
                    task.call.tool, task.state
                ))?;
                return Ok(NextStep::Next);
            }
            let refusal = match self.kind {
                WalkKind::Approve(args) => refuse_approval(self.daemon, &task, args.fresh).await?,
                WalkKind::Reject(_) => None,
            };
            if !std::mem::replace(&mut is_shown, true) {
                self.terminal.print_line(format_args!("\nCall {} of {}", at + 1, tasks.len()))?;
                self.terminal.print_line(describe_with_definition(self.daemon, &task).await?)?;
            }
            if let Some(why) = &refusal {
                self.terminal
                    .print_line(format_args!("This can't be approved: {}", why.describe_in_line()))?;
            }
            let line = match self.ask_line(&task, question(self.kind, refusal.is_some())).await? {
                Asked::Line(line) => line,
                Asked::DecidedElsewhere => return Ok(NextStep::Next),
                Asked::Left => return Ok(NextStep::Quit),
            };
            let step = self.act_on(&task, &line, refusal.is_some(), tasks.len()).await?;
            if step != NextStep::AskAgain {
                return Ok(step);
            }
        }
    }

    async fn act_on(
        &mut self,
        task: &Task,
        line: &str,
        is_refused: bool,
        count: usize,
    ) -> CommandResult<NextStep> {
        match parse_answer(self.kind, line, count) {
            WalkAnswer::Approve | WalkAnswer::ApproveMore if is_refused => Ok(NextStep::AskAgain),
            WalkAnswer::Approve => self.approve(task).await,
            WalkAnswer::ApproveMore => self.approve_more(task).await,
            WalkAnswer::Reject => self.reject(task, None).await,
            WalkAnswer::RejectWithReason => {
                match self.ask_line(task, "The reason, which the agent is given:".to_owned()).await? {
                    Asked::Line(reason) if reason.is_empty() => {
                        self.terminal.print_line("No reason was typed, so nothing was rejected.")?;
                        Ok(NextStep::AskAgain)
                    }
                    Asked::Line(reason) => self.reject(task, Some(&reason)).await,
                    Asked::DecidedElsewhere => Ok(NextStep::Next),
                    Asked::Left => Ok(NextStep::Quit),
                }
            }
            WalkAnswer::Skip => Ok(NextStep::Next),
            WalkAnswer::Quit => Ok(NextStep::Quit),
            WalkAnswer::GoTo(place) => Ok(NextStep::GoTo(place)),
            WalkAnswer::Unknown => {
                self.terminal.print_line(format_args!("`{}` is none of these.", escape_hidden(line)))?;
                Ok(NextStep::AskAgain)
            }
        }
    }

    /// Asks, and follows meanwhile whether the call is decided elsewhere. Then whatever is typed counts for nothing: the
    /// person may have typed it without seeing that.
    async fn ask_line(&mut self, task: &Task, question: String) -> CommandResult<Asked> {
        self.lines.drop_typed_ahead();
        self.terminal.print_question(&question)?;
        let mut is_decided = false;
        loop {
            let watching = self.daemon.request(WatchTasks { after: Some(self.place) });
            let changes = tokio::select! {
                line = self.lines.next_line() => {
                    return Ok(match line? {
                        Some(_) if is_decided => Asked::DecidedElsewhere,
                        Some(line) => Asked::Line(line),
                        None => Asked::Left,
                    });
                }
                () = self.signals.recv() => {
                    self.terminal.print_line("")?;
                    return Ok(Asked::Left);
                }
                changes = watching => changes?,
            };
            self.place = changes.place;
            let concerns =
                |notice: &Notice| matches!(notice, Notice::Task { task: id, .. } if *id == task.id);
            if is_decided
                || !(changes.anew.is_some() || changes.entries.iter().any(|entry| concerns(&entry.notice)))
            {
                continue;
            }
            let now = fetch_task(self.daemon, task.id).await?;
            if now.state != TaskState::PendingApproval {
                is_decided = true;
                self.terminal.print_line(format_args!(
                    "\nThis call is {} now, and no answer to it counts. Press Enter to go on.",
                    now.state
                ))?;
            }
        }
    }

    async fn approve(&mut self, task: &Task) -> CommandResult<NextStep> {
        let WalkKind::Approve(args) = self.kind else { return Ok(NextStep::AskAgain) };
        let approval = Approval::read(self.daemon, std::slice::from_ref(task), args.fresh).await?;
        let follower = RunFollower::begin(self.context, self.daemon).await?;
        let act = approval.act();
        let mut person = match elevate::open_prompt(self.daemon, &act, args.confirming.telegram).await {
            Ok(person) => person,
            Err(failure) => return self.explain_failure(&failure),
        };
        let method = match self.confirm(task, &act, &mut person).await {
            Ok(Confirmed::By(method)) => method,
            Ok(Confirmed::Not(step)) => return Ok(step),
            Err(failure) => return self.explain_failure(&failure),
        };
        let typed = match &method {
            ConfirmationMethod::Typed(challenge) => Some(challenge.clone()),
            ConfirmationMethod::OnTelegram => None,
        };
        let sent = tokio::select! {
            sent = approval.send_each(self.daemon, &mut person, method) => sent,
            () = self.signals.recv() => return self.leave_request(task),
        };
        let approved = match sent {
            Ok(approved) => approved,
            Err(failure) => {
                // The daemon may have refused what is remembered, after another passphrase was set.
                self.remembered.forget();
                return self.explain_failure(&failure);
            }
        };
        if let Some(challenge) = typed {
            self.remember(&challenge, &act, person.remember_limit())?;
        }
        self.follow(follower, approved, args.no_wait).await
    }

    /// Offers what can be permitted with this call, and approves it with what the person chooses.
    async fn approve_more(&mut self, task: &Task) -> CommandResult<NextStep> {
        let WalkKind::Approve(args) = self.kind else { return Ok(NextStep::AskAgain) };
        let offers = match self.daemon.request(ListScopes { task: task.id }).await {
            Ok(listed) => {
                listed.scopes.into_iter().filter(|offer| offer.permit.is_some()).collect::<Vec<_>>()
            }
            Err(failure) => return self.explain_failure(&failure),
        };
        if offers.is_empty() {
            self.terminal.print_line("With this call nothing more can be permitted.")?;
            return Ok(NextStep::AskAgain);
        }
        for (at, offer) in offers.iter().enumerate() {
            self.terminal.print_line(format_args!("{:3}  {}", at + 1, escape_hidden(&offer.words)))?;
        }
        let question = "Run it, and permit which of these? A number, or Enter to go back:".to_owned();
        let line = match self.ask_line(task, question).await? {
            Asked::Line(line) => line,
            Asked::DecidedElsewhere => return Ok(NextStep::Next),
            Asked::Left => return Ok(NextStep::Quit),
        };
        let chosen = line.parse::<usize>().ok().and_then(|number| offers.get(number.checked_sub(1)?));
        let Some(chosen) = chosen else { return Ok(NextStep::AskAgain) };
        let follower = RunFollower::begin(self.context, self.daemon).await?;
        let confirmed = tokio::select! {
            confirmed = confirm_scope(self.daemon, task, &chosen.scope, args) => confirmed,
            () = self.signals.recv() => return self.leave_request(task),
        };
        let ApprovedWith { task, permitted } = match confirmed {
            Ok(approved) => approved,
            Err(failure) => return self.explain_failure(&failure),
        };
        self.context.output.print_note(
            describe_permitted(&permitted).unwrap_or_else(|failure| {
                format!("Nothing more is permitted: {}", failure.describe_in_line())
            }),
        );
        self.follow(follower, vec![*task], args.no_wait).await
    }

    /// What is asked on Telegram is taken back when its request is dropped.
    fn leave_request(&mut self, task: &Task) -> CommandResult<NextStep> {
        let short = short_id(task.id);
        self.terminal.print_line(format_args!(
            "\nTaken back; `portero task {short}` shows whether it was approved before."
        ))?;
        Ok(NextStep::Quit)
    }

    /// Follows approved calls to their end, unless the person doesn't want to wait.
    async fn follow(
        &mut self,
        follower: RunFollower<'_>,
        approved: Vec<Task>,
        no_wait: bool,
    ) -> CommandResult<NextStep> {
        for task in &approved {
            self.context.output.print_note(describe_approved(task));
        }
        if no_wait {
            if find_pause(self.daemon).await? {
                approved.iter().for_each(|task| self.context.output.print_note(describe_pause(task)));
            }
            return Ok(NextStep::Next);
        }
        let runs = follower.follow(approved, &mut self.signals).await?;
        for task in &runs.left {
            self.terminal.print_line(format_args!(
                "{} goes on; `portero task {}` shows how it ends",
                task.call.tool,
                short_id(task.id)
            ))?;
        }
        Ok(if runs.left.is_empty() { NextStep::Next } else { NextStep::Quit })
    }

    /// The person is asked again: a wrong passphrase is no reason to leave the other calls.
    fn explain_failure(&mut self, failure: &CommandFailure) -> CommandResult<NextStep> {
        self.terminal.print_line(format_args!("Not approved: {}", failure.describe_in_line()))?;
        Ok(NextStep::AskAgain)
    }

    /// Asks for the number where the passphrase is remembered, and else for the passphrase.
    async fn confirm(
        &mut self,
        task: &Task,
        act: &ConfirmedAct<'_>,
        person: &mut ConfirmationPrompt,
    ) -> CommandResult<Confirmed> {
        let Some((challenge, left)) = self.remembered.find(act.risk(), person.remember_limit()) else {
            let method = elevate::choose_method_for_several(self.daemon, person, act).await?;
            return Ok(Confirmed::By(method));
        };
        let (number, left) = (fresh_terminal_number(), format_duration(left));
        let question = format!("Type {number} to {act}; the passphrase is remembered for {left}:");
        Ok(match self.ask_line(task, question).await? {
            Asked::Line(line) if line == number => Confirmed::By(ConfirmationMethod::Typed(challenge)),
            Asked::Line(_) => {
                self.remembered.forget();
                self.terminal.print_line(
                    "That is not the number, so nothing was approved and the passphrase is forgotten.",
                )?;
                Confirmed::Not(NextStep::AskAgain)
            }
            Asked::DecidedElsewhere => Confirmed::Not(NextStep::Next),
            Asked::Left => Confirmed::Not(NextStep::Quit),
        })
    }

    /// Remembers keys that the daemon accepted, if it permits that and no other process types into this terminal.
    fn remember(&mut self, challenge: &Challenge, act: &ConfirmedAct<'_>, limit: Duration) -> CommandResult {
        // A use doesn't make it longer.
        if limit.is_zero() || self.remembered.find(act.risk(), limit).is_some() {
            return Ok(());
        }
        if let Some(program) = find_shared_terminal(&|name| std::env::var_os(name)) {
            return self.terminal.print_line(format_args!(
                "The passphrase is not remembered: through {program} other processes can type into this terminal."
            ));
        }
        self.remembered.keep(challenge, limit);
        self.terminal.print_line(format_args!(
            "The passphrase is remembered for {}, by this process alone.",
            format_duration(limit)
        ))
    }

    async fn reject(&mut self, task: &Task, reason: Option<&str>) -> CommandResult<NextStep> {
        let (given, for_now) = match self.kind {
            WalkKind::Approve(_) => (None, false),
            WalkKind::Reject(args) => (args.reason.as_deref(), args.no_cool_down),
        };
        match reject_task(self.daemon, task, reason.or(given), for_now).await? {
            Ok(rejected) => {
                self.context.output.print_line(describe_rejected(&rejected))?;
                Ok(NextStep::Next)
            }
            Err(why) => {
                self.terminal.print_line(format_args!("Not rejected: {}", why.describe_in_line()))?;
                Ok(NextStep::AskAgain)
            }
        }
    }
}

/// Shows what a scope permits, and approves the call with it once that is confirmed.
async fn confirm_scope(
    daemon: &DaemonClient,
    task: &Task,
    scope: &ApprovalScope,
    args: &args::ApproveArgs,
) -> CommandResult<ApprovedWith> {
    let scoped = ScopedApproval::preview(daemon, task, scope.clone(), args.fresh).await?;
    let mut person = elevate::open_prompt(daemon, &scoped.act(), args.confirming.telegram).await?;
    scoped.confirm(daemon, &mut person).await
}
