//! One file for each command, named as it is typed.

mod again;
mod allow;
mod approve;
mod ask;
mod call_arguments;
mod check;
mod config;
mod daemon;
mod deny;
mod doctor;
mod generate;
mod grant;
mod logs;
mod mcp;
mod passphrase;
mod pause;
mod pending;
mod policy;
mod reject;
mod resume;
mod revoke;
mod rules;
pub(crate) mod sample_server;
mod status;
mod task;
mod tasks;
mod telegram;
mod totp;
mod trial;
mod unrule;
mod why;

use portero::paths::Paths;

use crate::args::{CliCommand, CommandLine, GlobalArgs};
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::Output;

/// What every command works with.
pub(crate) struct CommandContext {
    pub(crate) paths: Paths,
    pub(crate) no_start: bool,
    pub(crate) output: Output,
}

impl CommandContext {
    fn new(common: &GlobalArgs) -> CommandResult<Self> {
        let paths =
            Paths::resolve(common.config.as_deref(), &|name| std::env::var_os(name)).map_err(|error| {
                CommandFailure::usage("could not tell where Portero's files are").caused_by(&error)
            })?;
        Ok(Self { paths, no_start: common.no_start, output: Output::new(common.json) })
    }

    /// Connects to the daemon; starts it where that is allowed.
    pub(crate) async fn connect_daemon(&self) -> CommandResult<DaemonClient> {
        DaemonClient::connect_or_start(&self.paths, self.no_start).await
    }
}

/// Does what was typed.
pub(crate) fn run_command(line: CommandLine) -> CommandResult {
    let CommandLine { common, command } = line;
    let context = || CommandContext::new(&common);
    match command {
        CliCommand::Status => block_on_runtime(status::run(&context()?)),
        CliCommand::Tasks(args) => block_on_runtime(tasks::run(&context()?, args)),
        CliCommand::Pending(args) => block_on_runtime(pending::run(&context()?, args)),
        CliCommand::Task(args) => block_on_runtime(task::run(&context()?, &args)),
        CliCommand::Approve(args) => block_on_runtime(approve::run(&context()?, &args)),
        CliCommand::Reject(args) => block_on_runtime(reject::run(&context()?, args)),
        CliCommand::Again(args) => block_on_runtime(again::run(&context()?, &args.id)),
        CliCommand::Grant(args) => block_on_runtime(grant::run(&context()?, args)),
        CliCommand::Revoke(args) => block_on_runtime(revoke::run(&context()?, args)),
        CliCommand::Allow(args) => block_on_runtime(allow::run(&context()?, args)),
        CliCommand::Ask(args) => block_on_runtime(ask::run(&context()?, args.pattern)),
        CliCommand::Deny(args) => block_on_runtime(deny::run(&context()?, args.pattern)),
        CliCommand::Pause => block_on_runtime(pause::run(&context()?)),
        CliCommand::Resume(confirming) => block_on_runtime(resume::run(&context()?, confirming)),
        CliCommand::Rules => block_on_runtime(rules::run(&context()?)),
        CliCommand::Unrule(args) => block_on_runtime(unrule::run(&context()?, &args)),
        CliCommand::Logs(args) => logs::run(&context()?, &args),
        CliCommand::Why(args) => block_on_runtime(why::run(&context()?, args)),
        CliCommand::Policy { command } => policy::run(&context()?, command),
        CliCommand::Check => check::run(&context()?),
        CliCommand::Config { command } => block_on_runtime(config::run(&context()?, command)),
        CliCommand::Doctor(args) => block_on_runtime(doctor::run(&context()?, args.server)),
        CliCommand::Daemon { command } => block_on_runtime(daemon::run(&context()?, command)),
        CliCommand::Passphrase { command } => block_on_runtime(passphrase::run(&context()?, command)),
        CliCommand::Totp { command } => block_on_runtime(totp::run(&context()?, command)),
        CliCommand::Telegram { command } => block_on_runtime(telegram::run(&context()?, command)),
        CliCommand::Mcp => block_on_runtime(mcp::run(&context()?)),
        CliCommand::Try(args) => block_on_runtime(trial::run(args, Output::new(common.json))),
        CliCommand::SampleServer(args) => sample_server::run(&args),
        CliCommand::Generate(args) => generate::run(&args),
    }
}

/// Runs one command's future on a runtime of this thread alone: children must be spawned from the main
/// thread, whose death the system tells them.
fn block_on_runtime<T>(work: impl Future<Output = CommandResult<T>>) -> CommandResult<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandFailure::refused("could not start").caused_by(&error))?;
    let outcome = runtime.block_on(async {
        crate::signals::ignore_file_size_signal();
        work.await
    });
    // A blocked read of stdin must not keep the process.
    runtime.shutdown_background();
    outcome
}
