//! `portero generate DIR` (hidden): the completions and man pages that the project keeps.

use std::fs;
use std::io;
use std::path::Path;

use clap::{CommandFactory as _, ValueEnum as _};
use clap_complete::Shell;

use crate::args::{self, CommandLine};
use crate::failure::{CommandFailure, CommandResult};

pub(super) fn run(args: &args::GenerateArgs) -> CommandResult {
    write_files(&args.directory).map_err(|error| {
        CommandFailure::refused(format!("could not write to `{}`", args.directory.display()))
            .caused_by(&error)
    })
}

fn write_files(directory: &Path) -> io::Result<()> {
    let (completions, man) = (directory.join("completions"), directory.join("man"));
    fs::create_dir_all(&completions)?;
    fs::create_dir_all(&man)?;
    // A fixed width, so that the result doesn't depend on the terminal.
    let mut command = CommandLine::command().term_width(100);
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command, "portero", &completions)?;
    }
    clap_mangen::generate_to(command, &man)?;
    // `portero help X` needs no page of its own beside that of `portero X`.
    for entry in fs::read_dir(&man)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains("-help")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
