//! Child servers as real processes: how they are spoken to, watched and ended.
//!
//! The executable plays every part itself, by its first argument: the guard, the children, and a parent that
//! is killed.

mod child;
#[cfg(unix)]
mod processes;
mod test_support;
mod upstreams;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use portero::server::guard;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_ref().and_then(|word| word.to_str()) {
        Some(guard::SUBCOMMAND) => return guard::run(args),
        Some("child") => return child::run(args),
        #[cfg(unix)]
        Some("stubborn") => return processes::run_stubborn(args),
        #[cfg(unix)]
        Some("orphan-maker") => return processes::run_orphan_maker(args),
        #[cfg(unix)]
        Some("parent") => return processes::run_parent(args),
        _ => {}
    }
    let mut trials = upstreams::trials();
    #[cfg(unix)]
    trials.extend(processes::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test from a function; a panic fails it.
fn trial(name: &'static str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || -> Result<(), Failed> {
        test();
        Ok(())
    })
}
