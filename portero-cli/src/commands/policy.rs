//! `portero policy`: what the configured policy would do, before an agent finds out.

mod replay;
mod test;

use super::Context;
use crate::args::PolicyCommand;
use crate::failure::Outcome;

pub(super) fn run(context: &Context, command: PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::Test(args) => test::run(context, &args.file),
        PolicyCommand::Replay(args) => replay::run(context, args.since),
    }
}
