//! `portero revoke [ID…|--all]`: end grants. It narrows, so it acts at once.

use portero::ipc::Acting;
use portero::ipc::requests::overrides::RevokeGrants;
use serde_json::json;

use super::Context;
use crate::args;
use crate::failure::Outcome;

pub(super) async fn run(context: &Context, args: args::Revoke) -> Outcome {
    let daemon = context.daemon().await?;
    let asked = args.ids.len() as u64;
    let acting = if args.all { Acting::All } else { Acting::On(args.ids) };
    let count = daemon.request(RevokeGrants { which: acting }).await?;
    context.output.show(&json!({"revoked": count}), |out| {
        match count {
            1 => out.line("1 grant ended, in every session")?,
            count => out.line(format_args!("{count} grants ended, in every session"))?,
        }
        if count < asked {
            out.line("the others were over before, or there are none with these ids; see `portero rules`")?;
        }
        Ok(())
    })?;
    Ok(())
}
