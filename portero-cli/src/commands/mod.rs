//! The commands, one file for each subject.

mod anonymize;
mod approvals;
mod audit;
mod auth;
mod config;
mod connect;
mod daemon;
mod decisions;
mod doctor;
mod generate;
mod https;
mod login;
mod overrides;
mod pending;
mod pins;
mod policy;
mod replacements;
mod secrets;
mod tokens;
mod trial;
mod waiting_calls;

use portero::paths::Paths;
use portero::policy::Action;

use crate::args::{CliCommand, CommandLine, GlobalArgs, PassphraseCommand, PolicyCommand};
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::mcp;
use crate::output::Output;

/// The paths, options and output that every command uses.
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

    /// Connects to the daemon, and starts it if that is permitted.
    pub(crate) async fn connect_daemon(&self) -> CommandResult<DaemonClient> {
        DaemonClient::connect_or_start(&self.paths, self.no_start).await
    }
}

/// Runs the typed command.
pub(crate) fn run_command(line: CommandLine) -> CommandResult {
    let CommandLine { common, command } = line;
    let context = || CommandContext::new(&common);
    match command {
        CliCommand::Status => block_on_runtime(daemon::show_status(&context()?)),
        CliCommand::Daemon { command } => block_on_runtime(daemon::run_daemon(&context()?, command)),
        CliCommand::Doctor { server } => block_on_runtime(doctor::run(&context()?, server)),
        CliCommand::Tasks(args) => block_on_runtime(approvals::list_tasks(&context()?, args)),
        CliCommand::Pending(args) => block_on_runtime(pending::run(&context()?, args)),
        CliCommand::Task(args) => block_on_runtime(approvals::show_task(&context()?, &args)),
        CliCommand::Approve(args) => block_on_runtime(decisions::approve(&context()?, &args)),
        CliCommand::Reject(args) => block_on_runtime(decisions::reject(&context()?, &args)),
        CliCommand::Again { id } => block_on_runtime(approvals::ask_again(&context()?, &id)),
        CliCommand::Grant(args) => block_on_runtime(overrides::grant(&context()?, args)),
        CliCommand::Revoke(args) => block_on_runtime(overrides::revoke(&context()?, args)),
        CliCommand::Allow { pattern, run_waiting, confirming } => {
            let (context, telegram) = (context()?, confirming.telegram);
            block_on_runtime(overrides::make_rule(&context, pattern, Action::Allow, run_waiting, telegram))
        }
        CliCommand::Ask { pattern } => block_on_runtime(overrides::make_rule(
            &context()?,
            pattern,
            Action::RequireApproval,
            false,
            false,
        )),
        CliCommand::Deny { pattern } => {
            block_on_runtime(overrides::make_rule(&context()?, pattern, Action::Deny, false, false))
        }
        CliCommand::Unrule(args) => block_on_runtime(overrides::remove_rule(&context()?, &args)),
        CliCommand::Pause => block_on_runtime(overrides::pause(&context()?)),
        CliCommand::Resume(confirming) => block_on_runtime(overrides::resume(&context()?, confirming)),
        CliCommand::Rules => block_on_runtime(overrides::list_rules(&context()?)),
        CliCommand::Pins(args) => block_on_runtime(pins::run(&context()?, args)),
        CliCommand::Login(args) => block_on_runtime(login::login(&context()?, args)),
        CliCommand::Logout { server } => block_on_runtime(login::logout(&context()?, server)),
        CliCommand::Logs(args) => audit::run_logs(&context()?, &args),
        CliCommand::Why(args) => block_on_runtime(policy::explain(&context()?, args)),
        CliCommand::Policy { command: PolicyCommand::Test { file } } => policy::test(&context()?, &file),
        CliCommand::Policy { command: PolicyCommand::Replay { since } } => policy::replay(&context()?, since),
        CliCommand::Anonymize(args) => anonymize::run(&context()?, &args),
        CliCommand::Replacements(args) => replacements::run(&context()?, &args),
        CliCommand::Check => config::check(&context()?),
        CliCommand::Config { command } => block_on_runtime(config::run_config(&context()?, command)),
        CliCommand::Passphrase { command: PassphraseCommand::Set } => {
            block_on_runtime(auth::set_passphrase(&context()?))
        }
        CliCommand::Totp { command } => block_on_runtime(auth::run_totp(&context()?, command)),
        CliCommand::Https { command } => block_on_runtime(https::run(&context()?, command)),
        CliCommand::Telegram { command } => block_on_runtime(auth::run_telegram(&context()?, command)),
        CliCommand::Secret { command } => block_on_runtime(secrets::run(&context()?, command)),
        CliCommand::Token { command } => block_on_runtime(tokens::run(&context()?, command)),
        CliCommand::Mcp => {
            let CommandContext { paths, no_start, output } = context()?;
            block_on_runtime(mcp::run(&paths, no_start, &output))
        }
        CliCommand::Connect(args) => connect::run(args),
        CliCommand::Try(args) => block_on_runtime(trial::run(args, Output::new(common.json))),
        CliCommand::SampleServer(args) => trial::sample_server::run(&args),
        CliCommand::Generate(args) => generate::run(&args),
    }
}

/// Runs a command on a runtime of the main thread only. Children must be started by that thread, because the
/// system reports its death to them.
fn block_on_runtime<T>(work: impl Future<Output = CommandResult<T>>) -> CommandResult<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandFailure::refused("could not start").caused_by(&error))?;
    let outcome = runtime.block_on(async {
        crate::signals::ignore_file_size_signal();
        work.await
    });
    // A blocked read of stdin must not keep the process alive.
    runtime.shutdown_background();
    outcome
}
