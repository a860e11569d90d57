//! `portero why TOOL`: how a tool is decided, and what lost. Without a daemon it looks at the configuration
//! and the last known denies, and says so.

use portero::clock::{Clock as _, SystemClock};
use portero::ipc::Probe;
use portero::ipc::requests::overrides::ExplainDecision;
use portero::json::RawJson;
use portero::names::ToolId;
use portero::policy::{Explanation, Policy};
use serde_json::json;

use super::{
    Context, arguments, check,
    rules::{Shown, word},
};
use crate::args;
use crate::daemon;
use crate::denies;
use crate::failure::{Failure, Outcome};
use crate::nearest::Known;
use crate::output::visible;

pub(super) async fn run(context: &Context, args: args::Why) -> Outcome {
    let args::Why { tool, args: file } = args;
    let arguments = file.as_deref().map(arguments::read).transpose()?;
    let given = arguments.is_some();
    let live = matches!(daemon::probe(&context.paths).await, Probe::Ready(_));
    let explanation = if live {
        let daemon = context.daemon().await?;
        let explanation = daemon.request(ExplainDecision { tool: tool.clone(), arguments }).await?;
        *explanation
    } else {
        from_files(context, &tool, arguments)?
    };
    if !live {
        context.output.talk("the daemon does not run: this is what the files and the last known denies say");
    }
    let depends =
        std::iter::once(&explanation.decision).chain(&explanation.losing).any(|one| one.case.is_some());
    if depends && !given {
        context
            .output
            .talk("note: it depends on the arguments; this is the strictest; give some with `--args FILE`");
    }
    let elsewhere: Vec<_> = explanation.elsewhere.iter().map(Shown::of).collect();
    let value = json!({
        "tool": tool, "live": live, "decision": explanation.decision, "losing": explanation.losing,
        "elsewhere": elsewhere, "quorums": explanation.quorums,
    });
    // What is typed here and what `mcps.json` says are both the person's; the daemon may not know either yet.
    if let (Some(config), _) = check::read(context)
        && let Some(hint) = Known::of(&config, &context.paths).about_tool(&tool)
    {
        context.output.talk(format!("note: {hint}"));
    }
    context.output.show(&value, |out| {
        out.line(format_args!("{tool}: {}", word(explanation.decision.action)))?;
        out.line(format_args!("  because {}", explanation.decision))?;
        for quorum in &explanation.quorums {
            out.line(format_args!("  it takes {quorum} on Telegram ({})", quorum.source))?;
        }
        for losing in &explanation.losing {
            let early = if explanation.came_too_early(losing) { ", made before that rule" } else { "" };
            out.line(format_args!("  stronger than {losing}{early}"))?;
        }
        for grant in &explanation.elsewhere {
            let whom = visible(&grant.limits.whom()).into_owned();
            out.line(format_args!("  grant {} on `{}` holds {whom}", grant.id, grant.pattern))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn from_files(context: &Context, tool: &ToolId, arguments: Option<RawJson>) -> Outcome<Explanation> {
    let config = check::valid(context)?;
    let standing = denies::read(&context.paths).map_err(|error| {
        Failure::refused("the last known denies cannot be read, so nothing is allowed without the daemon")
            .because(&error)
            .hint("run `portero daemon start`")
    })?;
    let arguments = arguments.map(|arguments| arguments::conceal(&config, arguments)).transpose()?;
    let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
    let policy = Policy::new(config.policy, standing);
    Ok(policy.explain(tool, arguments, None, SystemClock.now()))
}
