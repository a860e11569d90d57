//! The `portero` command: the MCP server that an agent launches, and the person's terminal.
//!
//! stdout carries only data (in `portero mcp` the protocol), and messages go to stderr. The modules are
//! layers in the order below: each imports only from those above it.

mod args;

mod output;

mod qr;

mod failure;

mod terminal;

mod signals;

mod offline_denies;

mod launch;

mod suggestions;

mod daemon;

mod mcp;

mod elevate;

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // The same program is the guard of a session's children. The guard must start before anything else.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "guard") {
        return portero::server::guard::run(words);
    }
    let environment: Vec<_> = std::env::vars_os().collect();
    let args: Vec<_> = std::env::args_os().collect();
    if let Err(error) = portero::hardening::clear_loader_variables(&environment, &args) {
        let what = "could not start without the environment variables that load other code into this program";
        return failure::CommandFailure::refused(what).caused_by(&error).with_hint("unset them").report();
    }
    portero::hardening::hide_memory();
    match commands::run_command(args::CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
