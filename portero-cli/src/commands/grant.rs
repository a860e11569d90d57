//! `portero grant PATTERN DURATION`: permit for a while what would otherwise ask. It widens.

use portero::ipc::{Ask, Reply, Width};

use super::{Context, check};
use crate::args;
use crate::daemon::unexpected;
use crate::failure::{Failure, Outcome};
use crate::output::span;
use crate::widen::{self, Change};

pub(super) async fn run(context: &Context, args: args::Grant) -> Outcome {
    let args::Grant { pattern, duration } = args;
    let millis =
        u64::try_from(duration.as_millis()).map_err(|_| Failure::usage("that is too long a time"))?;
    let daemon = context.daemon().await?;
    check::note(context, &pattern);
    let mut terminal = widen::begin(&daemon, "to grant").await?;
    widen::show_reach(&daemon, &mut terminal, &pattern, &Change::Grant).await?;
    let width = Width::of_grant(&pattern, duration);
    let challenge = widen::confirm(&mut terminal, &format!("grant this for {}", span(duration)), width)?;
    let Reply::Grant(grant) = daemon.ask(Ask::Grant { pattern, millis, challenge }).await? else {
        return Err(unexpected());
    };
    context.output.show(&grant, |out| {
        out.line(format_args!(
            "grant {}: `{}` runs unasked for {}; `portero revoke {}` ends it",
            grant.id,
            grant.pattern,
            span(duration),
            grant.id
        ))
    })?;
    Ok(())
}
