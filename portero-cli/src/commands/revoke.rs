//! `portero revoke [ID…|--all]`: end grants. It narrows, so it acts at once.

use portero::ipc::Acting;
use portero::ipc::requests::overrides::RevokeGrants;
use serde_json::json;

use super::CommandContext;
use crate::args;
use crate::failure::CommandResult;

pub(super) async fn run(context: &CommandContext, args: args::RevokeArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let asked = args.ids.len() as u64;
    let acting = if args.all { Acting::All } else { Acting::On(args.ids) };
    let count = daemon.request(RevokeGrants { which: acting }).await?;
    context.output.print_value_or_text(&json!({"revoked": count}), |out| {
        match count {
            1 => out.print_line("1 grant ended, in every session")?,
            count => out.print_line(format_args!("{count} grants ended, in every session"))?,
        }
        if count < asked {
            out.print_line(
                "the others were over before, or there are none with these ids; see `portero rules`",
            )?;
        }
        Ok(())
    })?;
    Ok(())
}
