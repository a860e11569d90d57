//! A call's arguments from a file, as rules see them.

use std::io;
use std::path::Path;

use portero::anonymize::{Anonymizer, Fake};
use portero::config::Config;
use portero::files;
use portero::json::{self, RawJson};

use crate::failure::{CommandFailure, CommandResult};

/// Reads arguments from a file; `-` is standard input.
pub(super) fn read_arguments(path: &Path) -> CommandResult<RawJson> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => files::read_argument_file(path).map_err(io::Error::from),
    };
    let about = || format!("could not read the arguments in `{}`", path.display());
    let text = text.map_err(|error| CommandFailure::usage(about()).caused_by(&error))?;
    parse_arguments(text).map_err(|error| CommandFailure::usage(about()).caused_by(&error))
}

/// One JSON value that a call may have: no key stands twice in it.
fn parse_arguments(text: String) -> Result<RawJson, serde_json::Error> {
    let arguments = json::parse_raw(text)?;
    json::refuse_duplicate_keys(&arguments)?;
    Ok(arguments)
}

/// Replaces real values by fake ones, as the agent's side has them.
pub(super) fn conceal_arguments(config: &Config, arguments: RawJson) -> CommandResult<Fake<RawJson>> {
    let refuse =
        |words: &str| CommandFailure::refused(format!("the arguments could not be concealed: {words}"));
    let anonymizer =
        Anonymizer::new(&config.replacements).map_err(|_| refuse("two replacements conflict"))?;
    anonymizer.conceal_local(arguments).map_err(|leak| refuse(&leak.to_string()))
}
