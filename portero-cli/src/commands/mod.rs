//! One file for each command, named as it is typed.

mod again;
mod allow;
mod approve;
mod arguments;
mod ask;
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

use crate::args::{Command, Common, Line};
use crate::daemon::Daemon;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// What every command works with.
pub(crate) struct Context {
    pub(crate) paths: Paths,
    pub(crate) no_start: bool,
    pub(crate) output: Output,
}

impl Context {
    fn new(common: &Common) -> Outcome<Self> {
        let paths = Paths::resolve(common.config.as_deref(), &|name| std::env::var_os(name))
            .map_err(|error| Failure::usage("could not tell where Portero's files are").because(&error))?;
        Ok(Self { paths, no_start: common.no_start, output: Output::new(common.json) })
    }

    /// Connects to the daemon; starts it where that is allowed.
    pub(crate) async fn daemon(&self) -> Outcome<Daemon> {
        Daemon::reach(&self.paths, self.no_start).await
    }
}

/// Does what was typed.
pub(crate) fn run(line: Line) -> Outcome {
    let Line { common, command } = line;
    let context = || Context::new(&common);
    match command {
        Command::Status => on_runtime(status::run(&context()?)),
        Command::Tasks(args) => on_runtime(tasks::run(&context()?, args)),
        Command::Pending(args) => on_runtime(pending::run(&context()?, args)),
        Command::Task(args) => on_runtime(task::run(&context()?, &args)),
        Command::Approve(args) => on_runtime(approve::run(&context()?, &args)),
        Command::Reject(args) => on_runtime(reject::run(&context()?, args)),
        Command::Again(args) => on_runtime(again::run(&context()?, &args.id)),
        Command::Grant(args) => on_runtime(grant::run(&context()?, args)),
        Command::Revoke(args) => on_runtime(revoke::run(&context()?, args)),
        Command::Allow(args) => on_runtime(allow::run(&context()?, args)),
        Command::Ask(args) => on_runtime(ask::run(&context()?, args.pattern)),
        Command::Deny(args) => on_runtime(deny::run(&context()?, args.pattern)),
        Command::Pause => on_runtime(pause::run(&context()?)),
        Command::Resume(confirming) => on_runtime(resume::run(&context()?, confirming)),
        Command::Rules => on_runtime(rules::run(&context()?)),
        Command::Unrule(args) => on_runtime(unrule::run(&context()?, &args)),
        Command::Logs(args) => logs::run(&context()?, &args),
        Command::Why(args) => on_runtime(why::run(&context()?, args)),
        Command::Policy { command } => policy::run(&context()?, command),
        Command::Check => check::run(&context()?),
        Command::Config { command } => on_runtime(config::run(&context()?, command)),
        Command::Doctor(args) => on_runtime(doctor::run(&context()?, args.server)),
        Command::Daemon { command } => on_runtime(daemon::run(&context()?, command)),
        Command::Passphrase { command } => on_runtime(passphrase::run(&context()?, command)),
        Command::Totp { command } => on_runtime(totp::run(&context()?, command)),
        Command::Telegram { command } => on_runtime(telegram::run(&context()?, command)),
        Command::Mcp => on_runtime(mcp::run(&context()?)),
        Command::Try(args) => on_runtime(trial::run(args, Output::new(common.json))),
        Command::SampleServer(args) => sample_server::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}

/// Runs one command's future on a runtime of this thread alone: children must be spawned from the main
/// thread, whose death the system tells them.
fn on_runtime<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::refused("could not start").because(&error))?;
    let outcome = runtime.block_on(async {
        crate::signals::outlive_file_limits();
        work.await
    });
    // A blocked read of stdin must not keep the process.
    runtime.shutdown_background();
    outcome
}
