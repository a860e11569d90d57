//! `portero approve` and `portero reject`: decisions about waiting calls, by their ids or one by one.

mod acts;
mod answers;
mod outcome;
mod scoped;
mod selection;
mod walk;

use portero::approval_scope::ApprovalScope;
use portero::ipc::requests::approvals::ApprovedWith;
use portero::task::{Task, TaskState};

use super::CommandContext;
use super::approvals::short_id;
use crate::args;
use crate::daemon::DaemonClient;
use crate::elevate;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::pluralize;
use crate::signals::TerminationSignals;
use acts::{Approval, describe_approved, describe_rejected, reject_task};
use answers::WalkKind;
use outcome::{RunFollower, describe_pause, find_pause};
use scoped::{ScopedApproval, describe_permitted};
use selection::{RefusedTask, find_tasks, refuse_approval, split_approvable};

/// Approves the calls with these ids and follows them to their end, or asks about each one that waits.
pub(super) async fn approve(context: &CommandContext, args: &args::ApproveArgs) -> CommandResult {
    let scope = args.scope.to_scope().map_err(CommandFailure::usage)?;
    if args.ids.is_empty() {
        if scope.is_some() {
            return Err(one_call_only());
        }
        return walk::ask_about_each(context, WalkKind::Approve(args)).await;
    }
    let daemon = context.connect_daemon().await?;
    let typed = find_tasks(&daemon, &args.ids).await?;
    if let Some(scope) = scope {
        return approve_with_scope(context, &daemon, &typed, scope, args).await;
    }
    let count = typed.len();
    let (tasks, refused) = split_approvable(&daemon, typed, args.fresh).await?;
    if tasks.is_empty() {
        return Err(refuse_all(context, refused));
    }
    let approval = Approval::read(&daemon, &tasks, args.fresh).await?;
    let act = approval.act();
    let mut person = elevate::open_prompt(&daemon, &act, args.confirming.telegram).await?;
    for refused in &refused {
        person.print_line(refused.describe())?;
    }
    approval.show(&mut person)?;
    let method = elevate::choose_method_for_several(&daemon, &mut person, &act).await?;
    // The place in the changes comes first, so that nothing about the approved calls is missed.
    let follower = RunFollower::begin(context, &daemon).await?;
    let approved = approval.send_each(&daemon, &mut person, method).await?;
    // Not before: Ctrl-C takes back what is asked on Telegram.
    let signals = (!args.no_wait).then(TerminationSignals::listen);
    finish(context, &daemon, follower, signals, approved, count).await
}

fn one_call_only() -> CommandFailure {
    CommandFailure::usage("what else to permit is shown and confirmed with one call")
        .with_hint("give the ID of that call; `portero pending` lists them")
}

/// Approves one call, and permits more calls like it.
async fn approve_with_scope(
    context: &CommandContext,
    daemon: &DaemonClient,
    tasks: &[Task],
    scope: ApprovalScope,
    args: &args::ApproveArgs,
) -> CommandResult {
    let [task] = tasks else { return Err(one_call_only()) };
    if let Some(why) = refuse_approval(daemon, task, args.fresh).await? {
        return Err(why);
    }
    let scoped = ScopedApproval::preview(daemon, task, scope, args.fresh).await?;
    let mut person = elevate::open_prompt(daemon, &scoped.act(), args.confirming.telegram).await?;
    let follower = RunFollower::begin(context, daemon).await?;
    let ApprovedWith { task, permitted } = scoped.confirm(daemon, &mut person).await?;
    let signals = (!args.no_wait).then(TerminationSignals::listen);
    let made = describe_permitted(&permitted);
    if let Ok(words) = &made {
        context.output.print_note(words);
    }
    finish(context, daemon, follower, signals, vec![*task], 1).await?;
    made.map(drop)
}

/// Follows the approved calls to their end and reports it, or with `--no-wait` reports that they are approved.
async fn finish(
    context: &CommandContext,
    daemon: &DaemonClient,
    follower: RunFollower<'_>,
    mut signals: Option<TerminationSignals>,
    approved: Vec<Task>,
    count: usize,
) -> CommandResult {
    let Some(signals) = &mut signals else {
        return report_approved(context, daemon, &approved, count).await;
    };
    for task in &approved {
        context.output.print_note(describe_approved(task));
    }
    let runs = follower.follow(approved, signals).await?;
    if context.output.wants_json() {
        let shown: Vec<&Task> = runs.ended.iter().chain(&runs.left).collect();
        print_tasks_as_json(context, &shown, count)?;
    }
    match runs.left.as_slice() {
        [] => {}
        [task, ..] => {
            let (short, left) = (short_id(task.id), describe_calls(&runs.left));
            return Err(CommandFailure::refused(format!("stopped waiting for {left}"))
                .with_hint(format!("the approval holds; `portero task {short}` shows how it ends")));
        }
    }
    let completed = runs.ended.iter().filter(|task| task.state == TaskState::Completed).count();
    match runs.ended.as_slice() {
        _ if completed == count => Ok(()),
        [task] if count == 1 => Err(outcome::run_failure(task)),
        _ => Err(CommandFailure::refused(format!("{completed} of {count} calls completed"))),
    }
}

/// The failure where no call can be approved. The reasons of several are printed.
fn refuse_all(context: &CommandContext, mut refused: Vec<RefusedTask>) -> CommandFailure {
    if refused.len() == 1
        && let Some(one) = refused.pop()
    {
        return one.why;
    }
    for one in &refused {
        context.output.print_note(one.describe());
    }
    CommandFailure::refused("none of these calls can be approved, so nothing was")
        .with_hint("`portero pending` lists what waits")
}

/// What `--no-wait` prints.
async fn report_approved(
    context: &CommandContext,
    daemon: &DaemonClient,
    approved: &[Task],
    count: usize,
) -> CommandResult {
    if context.output.wants_json() {
        print_tasks_as_json(context, &approved.iter().collect::<Vec<_>>(), count)?;
    } else {
        for task in approved {
            context.output.print_line(describe_approved(task))?;
        }
    }
    // Without this note the person would wonder why an approved call does not start.
    if find_pause(daemon).await? {
        for task in approved {
            context.output.print_note(describe_pause(task));
        }
    }
    match approved.len() {
        approved if approved == count => Ok(()),
        approved => Err(CommandFailure::refused(format!("{approved} of {count} calls are approved"))),
    }
}

fn describe_calls(tasks: &[Task]) -> String {
    match tasks {
        [task] => format!("{}, which is {} and goes on", task.call.tool, task.state),
        tasks => format!("{}, which go on", pluralize(tasks.len(), "call", "calls")),
    }
}

/// One call as its task, as scripts know it; several as a list.
fn print_tasks_as_json(context: &CommandContext, tasks: &[&Task], typed: usize) -> CommandResult {
    match tasks {
        [task] if typed == 1 => context.output.print_json(task)?,
        tasks => context.output.print_json(&tasks)?,
    }
    Ok(())
}

/// Rejects the calls with these ids, or asks about each one that waits.
pub(super) async fn reject(context: &CommandContext, args: &args::RejectArgs) -> CommandResult {
    if args.ids.is_empty() {
        return walk::ask_about_each(context, WalkKind::Reject(args)).await;
    }
    let daemon = context.connect_daemon().await?;
    let tasks = find_tasks(&daemon, &args.ids).await?;
    let (count, mut rejected) = (tasks.len(), Vec::new());
    for task in tasks {
        match reject_task(&daemon, &task, args.reason.as_deref(), args.no_cool_down).await? {
            Ok(task) => rejected.push(*task),
            Err(why) if count == 1 => return Err(why),
            Err(why) => context.output.print_note(RefusedTask { task, why }.describe()),
        }
    }
    if context.output.wants_json() {
        print_tasks_as_json(context, &rejected.iter().collect::<Vec<_>>(), count)?;
    } else {
        for task in &rejected {
            context.output.print_line(describe_rejected(task))?;
        }
    }
    match rejected.len() {
        rejected if rejected == count => Ok(()),
        rejected => Err(CommandFailure::refused(format!("{rejected} of {count} calls are rejected"))),
    }
}
