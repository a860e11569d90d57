//! `portero policy`: what the configured policy would do, before an agent finds out.

mod replay;
mod test;

use super::CommandContext;
use crate::args::PolicyCommand;
use crate::failure::CommandResult;

pub(super) fn run(context: &CommandContext, command: PolicyCommand) -> CommandResult {
    match command {
        PolicyCommand::Test(args) => test::run(context, &args.file),
        PolicyCommand::Replay(args) => replay::run(context, args.since),
    }
}
