//! `portero logs`: the audit, read from its segments without a daemon. Only verification needs the daemon,
//! for its checkpoints.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::{
    self, AuditFollower, RecordFilter, SegmentCheckpoint, SegmentRecord, SegmentReport, SegmentState,
};
use portero::ipc::requests::audit::ListCheckpoints;
use serde_json::json;

use super::{CommandContext, block_on_runtime};
use crate::args::{self, TimeArg};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, escape_hidden, pluralize};
#[cfg(target_os = "linux")]
use linux::Writes;
#[cfg(not(target_os = "linux"))]
use other::Writes;

/// How often the directory is read if the system doesn't report writes.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(super) fn run_logs(context: &CommandContext, args: &args::LogsArgs) -> CommandResult {
    match &args.command {
        Some(args::LogsCommand::Verify) => block_on_runtime(verify_audit(context)),
        None => print_records(context, args),
    }
}

fn print_records(context: &CommandContext, args: &args::LogsArgs) -> CommandResult {
    let filter = build_filter(args);
    let directory = context.paths.audit();
    let unreadable = |error: std::io::Error| unreadable_audit(&directory, &error);
    // The watch begins before the first read, so that no write is missed in between.
    let writes = Writes::of(&directory);
    let mut follower = match args.follow {
        true => Some(AuditFollower::new(&directory, filter.clone()).map_err(unreadable)?),
        false => None,
    };
    let log = audit::read_log(&directory, &filter).map_err(unreadable)?;
    // The records are shown all the same: a damaged line must not hide the others.
    for (segment, line) in &log.unreadable {
        context.output.print_note(format_args!(
            "warning: line {line} of {segment} is not a record; run `portero logs verify`"
        ));
    }
    for entry in &log.entries {
        print_record(&context.output, entry)?;
    }
    while let Some(follower) = &mut follower {
        // Records after `until` aren't wanted. One more read follows when that time has passed.
        let left = filter.until.map(|until| Duration::try_from(until.duration_since(Timestamp::now())));
        let left = left.map_or(Duration::MAX, Result::unwrap_or_default);
        for entry in follower.poll_records().map_err(unreadable)? {
            print_record(&context.output, &entry)?;
        }
        if left.is_zero() {
            break;
        }
        writes.wait(left);
    }
    Ok(())
}

pub(super) fn unreadable_audit(directory: &Path, error: &std::io::Error) -> CommandFailure {
    CommandFailure::refused(format!("could not read the audit in `{}`", directory.display())).caused_by(error)
}

fn build_filter(args: &args::LogsArgs) -> RecordFilter {
    let now = Timestamp::now();
    let moment = |when: TimeArg| when.resolve(now, TimeZone::system());
    RecordFilter {
        since: args.since.map(moment),
        until: args.until.map(moment),
        server: args.server.clone(),
        tool: args.tool.clone(),
        decision: args.decision,
        session: args.session.clone(),
        task: args.task.clone(),
        limit: Some(args.limit),
    }
}

fn print_record(out: &Output, entry: &SegmentRecord) -> std::io::Result<()> {
    if out.wants_json() {
        return out.print_json_line(entry);
    }
    let at = entry.record.at.strftime("%Y-%m-%d %H:%M:%S%.3fZ");
    out.print_line(format_args!("{at}  {}", escape_hidden(&entry.record.event.to_string())))
}

async fn verify_audit(context: &CommandContext) -> CommandResult {
    let directory = context.paths.audit();
    // The checkpoints are fetched first: a segment that is written meanwhile only grows, so it can't look cut
    // off.
    let mut known = fetch_checkpoints(context).await;
    let check = |known: &CommandResult<Vec<SegmentCheckpoint>>| {
        audit::verify_with_checkpoints(&directory, known.as_deref().unwrap_or_default())
            .map_err(|error| unreadable_audit(&directory, &error))
    };
    let mut verdict = check(&known)?;
    if verdict.segments.iter().any(|segment| segment.state == SegmentState::Missing) {
        // Retention may just have removed it. Then the daemon's checkpoint says so now.
        known = fetch_checkpoints(context).await;
        verdict = check(&known)?;
    }
    let value = json!({"segments": verdict.segments, "compared": known.is_ok()});
    context.output.print_value_or_text(&value, |out| {
        let removed = |segment: &&SegmentReport| segment.state == SegmentState::Removed;
        for segment in verdict.segments.iter().filter(|segment| !removed(segment)) {
            out.print_line(format_args!(
                "{}  {}",
                escape_hidden(&segment.segment),
                escape_hidden(&describe_segment(segment))
            ))?;
        }
        match verdict.segments.iter().filter(removed).count() {
            0 => Ok(()),
            count => out.print_line(format_args!(
                "{} removed by age",
                pluralize(count, "older segment was", "older segments were")
            )),
        }
    })?;
    // The exit code reports a change even if the text was not read.
    if !verdict.is_intact() {
        return Err(CommandFailure::refused("the audit was changed after it was written")
            .with_hint("keep a copy of the directory and look at the named lines"));
    }
    // Intact chains alone are no success: without checkpoints a missing end would go unnoticed.
    known.map(drop).inspect_err(|_| {
        context.output.print_note(
            "every chain holds; only the daemon can tell whether ends or whole files are missing",
        );
    })
}

async fn fetch_checkpoints(context: &CommandContext) -> CommandResult<Vec<SegmentCheckpoint>> {
    context.connect_daemon().await?.request(ListCheckpoints).await
}

fn describe_segment(segment: &SegmentReport) -> String {
    let SegmentReport { good, broken, state, .. } = segment;
    let problem = broken.as_ref().map_or("", |broken| broken.problem.as_str());
    match state {
        SegmentState::Holds => format!("{good} records hold"),
        SegmentState::Torn => {
            format!("{good} records hold; a crash or a disk fault lost the end")
        }
        SegmentState::Broken => {
            let line = broken.as_ref().map_or(1, |broken| broken.line);
            format!("BROKEN at line {line}: {problem}")
        }
        SegmentState::Missing => format!("MISSING: {problem}"),
        SegmentState::Removed => format!("removed because it was old; {good} records were in it"),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

    use super::LOOK_INTERVAL;

    /// How often the directory is read even with a watch, because the system doesn't report writes of other
    /// machines.
    const WATCHED_INTERVAL: Duration = Duration::from_secs(5);
    /// How long writes are gathered, because each read opens every file of the directory.
    const GATHER_INTERVAL: Duration = Duration::from_millis(100);

    /// A watch on the writes in a directory.
    pub(super) struct Writes(Option<OwnedFd>);

    impl Writes {
        /// Begins to watch the directory.
        pub(super) fn of(directory: &Path) -> Self {
            let watch = || {
                let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
                let writes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
                inotify::add_watch(&watch, directory, writes).map(|_| watch)
            };
            Self(watch().ok())
        }

        /// Returns once there was a write since the last call, and after `most` at the latest. Without a
        /// watch, or where it may miss writes, it returns earlier.
        pub(super) fn wait(&self, most: Duration) {
            let Some(watch) = &self.0 else { return std::thread::sleep(most.min(LOOK_INTERVAL)) };
            let timeout = Timespec::try_from(most.min(WATCHED_INTERVAL)).ok();
            if !matches!(poll(&mut [PollFd::new(watch, PollFlags::IN)], timeout.as_ref()), Ok(1..)) {
                return;
            }
            std::thread::sleep(most.min(GATHER_INTERVAL));
            // The events are drained before the caller reads: a write after that read ends the next wait.
            let mut events = [0; 4096];
            while matches!(rustix::io::read(watch, &mut events), Ok(1..)) {}
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::path::Path;
    use std::time::Duration;

    use super::LOOK_INTERVAL;

    /// This system has no watch.
    pub(super) struct Writes;

    impl Writes {
        pub(super) const fn of(_: &Path) -> Self {
            Self
        }

        pub(super) fn wait(&self, most: Duration) {
            std::thread::sleep(most.min(LOOK_INTERVAL));
        }
    }
}
