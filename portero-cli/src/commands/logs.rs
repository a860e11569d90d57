//! `portero logs`: the audit, read from its segments, for which no daemon is needed. To verify it, the daemon
//! tells how far each segment had come.

mod writes;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::{self, Entry, Filter, Follower, Head, Report, State};
use portero::ipc::requests::audit::ListHeads;

use serde_json::json;

use super::{Context, on_runtime};
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, visible};
use crate::when::When;
use writes::Writes;

pub(super) fn run(context: &Context, args: &args::Logs) -> Outcome {
    match &args.command {
        Some(args::LogsCommand::Verify) => on_runtime(verify(context)),
        None => read(context, args),
    }
}

fn read(context: &Context, args: &args::Logs) -> Outcome {
    let filter = filter(args);
    let directory = context.paths.audit();
    let unreadable = |error: &std::io::Error| {
        Failure::refused(format!("could not read the audit in `{}`", directory.display())).because(error)
    };
    // Before anything is read, so that no write is missed between.
    let writes = Writes::of(&directory);
    let mut follower = match args.follow {
        true => Some(Follower::new(&directory, filter.clone()).map_err(|error| unreadable(&error))?),
        false => None,
    };
    let log = audit::read(&directory, &filter).map_err(|error| unreadable(&error))?;
    for (segment, line) in &log.unreadable {
        context
            .output
            .talk(format_args!("warning: line {line} of {segment} is no record; run `portero logs verify`"));
    }
    for entry in &log.entries {
        print(&context.output, entry)?;
    }
    while let Some(follower) = &mut follower {
        // What is written later is not wanted; look once more when that time has come.
        let left = filter.until.map(|until| Duration::try_from(until.duration_since(Timestamp::now())));
        let left = left.map_or(Duration::MAX, Result::unwrap_or_default);
        for entry in follower.poll().map_err(|error| unreadable(&error))? {
            print(&context.output, &entry)?;
        }
        if left.is_zero() {
            break;
        }
        writes.wait(left);
    }
    Ok(())
}

fn filter(args: &args::Logs) -> Filter {
    let now = Timestamp::now();
    let moment = |when: When| when.moment(now, TimeZone::system());
    Filter {
        since: args.since.map(moment),
        until: args.until.map(moment),
        server: args.server.clone(),
        tool: args.tool.clone(),
        decided: args.decision,
        session: args.session.clone(),
        task: args.task.clone(),
        limit: Some(args.limit),
    }
}

fn print(out: &Output, entry: &Entry) -> std::io::Result<()> {
    if out.json() {
        return out.value_line(entry);
    }
    let at = entry.record.at.strftime("%Y-%m-%d %H:%M:%S%.3fZ");
    out.line(format_args!("{at}  {}", visible(&entry.record.event.to_string())))
}

async fn verify(context: &Context) -> Outcome {
    let directory = context.paths.audit();
    // First what is known: a segment that is written meanwhile only grows.
    let mut known = heads(context).await;
    let check = |known: &Outcome<Vec<Head>>| {
        audit::verify_against(&directory, known.as_deref().unwrap_or_default()).map_err(|error| {
            Failure::refused(format!("could not read the audit in `{}`", directory.display())).because(&error)
        })
    };
    let mut verdict = check(&known)?;
    if verdict.segments.iter().any(|segment| segment.state == State::Missing) {
        // The daemon may just have removed it because it is old; then it says so now.
        known = heads(context).await;
        verdict = check(&known)?;
    }
    let value = json!({"segments": verdict.segments, "compared": known.is_ok()});
    context.output.show(&value, |out| {
        let removed = |segment: &&Report| segment.state == State::Removed;
        for segment in verdict.segments.iter().filter(|segment| !removed(segment)) {
            out.line(format_args!("{}  {}", visible(&segment.segment), visible(&state(segment))))?;
        }
        match verdict.segments.iter().filter(removed).count() {
            0 => Ok(()),
            1 => out.line("1 older segment was removed by age"),
            count => out.line(format_args!("{count} older segments were removed by age")),
        }
    })?;
    if !verdict.holds() {
        return Err(Failure::refused("the audit was changed after it was written")
            .hint("keep a copy of the directory and look at the named lines"));
    }
    known.map(drop).inspect_err(|_| {
        context
            .output
            .talk("every chain holds; whether ends or whole files are missing only the daemon can tell");
    })
}

async fn heads(context: &Context) -> Outcome<Vec<Head>> {
    context.daemon().await?.request(ListHeads).await
}

fn state(segment: &Report) -> String {
    let Report { good, broken, state, .. } = segment;
    let problem = broken.as_ref().map_or("", |broken| broken.problem.as_str());
    match state {
        State::Holds => format!("{good} records hold"),
        State::Torn => format!("{good} records hold; the end was lost in a crash or a fault of the disk"),
        State::Broken => {
            let line = broken.as_ref().map_or(1, |broken| broken.line);
            format!("BROKEN at line {line}: {problem}")
        }
        State::Missing => format!("MISSING: {problem}"),
        State::Removed => format!("removed because it was old; {good} records were in it"),
    }
}
