//! `portero why TOOL`: how a tool is decided, and what lost. Without a daemon it looks at the configuration
//! and the last known denies, and says so.

use portero::clock::{Clock as _, SystemClock};
use portero::ipc::ProbeResult;
use portero::ipc::requests::overrides::ExplainDecision;
use portero::json::RawJson;
use portero::names::ToolId;
use portero::policy::{Explanation, Policy};
use serde_json::json;

use super::{
    CommandContext, call_arguments, check,
    rules::{GrantStatus, action_name},
};
use crate::args;
use crate::daemon;
use crate::failure::{CommandFailure, CommandResult};
use crate::offline_denies;
use crate::output::escape_hidden;
use crate::suggestions::KnownTools;

pub(super) async fn run(context: &CommandContext, args: args::WhyArgs) -> CommandResult {
    let args::WhyArgs { tool, args: file } = args;
    let arguments = file.as_deref().map(call_arguments::read_arguments).transpose()?;
    let given = arguments.is_some();
    let live = matches!(daemon::probe_daemon(&context.paths).await, ProbeResult::Ready(_));
    let explanation = if live {
        let daemon = context.connect_daemon().await?;
        let explanation = daemon.request(ExplainDecision { tool: tool.clone(), arguments }).await?;
        *explanation
    } else {
        explain_from_files(context, &tool, arguments)?
    };
    if !live {
        context
            .output
            .print_note("the daemon does not run: this is what the files and the last known denies say");
    }
    let depends =
        std::iter::once(&explanation.decision).chain(&explanation.losing).any(|one| one.case.is_some());
    if depends && !given {
        context.output.print_note(
            "note: it depends on the arguments; this is the strictest; give some with `--args FILE`",
        );
    }
    let elsewhere: Vec<_> = explanation.elsewhere.iter().map(GrantStatus::from_grant).collect();
    let value = json!({
        "tool": tool, "live": live, "decision": explanation.decision, "losing": explanation.losing,
        "elsewhere": elsewhere, "quorums": explanation.quorums,
    });
    // What is typed here and what `mcps.json` says are both the person's; the daemon may not know either yet.
    if let (Some(config), _) = check::load_config(context)
        && let Some(hint) = KnownTools::load(&config, &context.paths).hint_for_tool(&tool)
    {
        context.output.print_note(format!("note: {hint}"));
    }
    context.output.print_value_or_text(&value, |out| {
        out.print_line(format_args!("{tool}: {}", action_name(explanation.decision.action)))?;
        out.print_line(format_args!("  because {}", explanation.decision))?;
        for quorum in &explanation.quorums {
            out.print_line(format_args!("  it takes {quorum} on Telegram ({})", quorum.source))?;
        }
        for losing in &explanation.losing {
            let early = if explanation.is_outdated_grant(losing) { ", made before that rule" } else { "" };
            out.print_line(format_args!("  stronger than {losing}{early}"))?;
        }
        for grant in &explanation.elsewhere {
            let whom = escape_hidden(&grant.limits.describe_scope()).into_owned();
            out.print_line(format_args!("  grant {} on `{}` holds {whom}", grant.id, grant.pattern))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn explain_from_files(
    context: &CommandContext,
    tool: &ToolId,
    arguments: Option<RawJson>,
) -> CommandResult<Explanation> {
    let config = check::load_valid_config(context)?;
    let standing = offline_denies::read_denies(&context.paths).map_err(|error| {
        CommandFailure::refused(
            "the last known denies cannot be read, so nothing is allowed without the daemon",
        )
        .caused_by(&error)
        .with_hint("run `portero daemon start`")
    })?;
    let arguments =
        arguments.map(|arguments| call_arguments::conceal_arguments(&config, arguments)).transpose()?;
    let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
    let policy = Policy::new(config.policy, standing);
    Ok(policy.explain(tool, arguments, None, SystemClock.now()))
}
