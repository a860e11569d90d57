//! Arguments of the commands for replacements.

use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand};
use portero::anonymize::FakeKind;
use portero::names::ServerName;

#[derive(Debug, Args)]
pub(crate) struct AnonymizeArgs {
    /// Replace fakes by real values, as toward a server; without `--server`, only those that every server may see
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Tell on standard error what was replaced where
    #[arg(long)]
    pub(crate) explain: bool,
    /// The server that says the text, or gets it
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<ServerName>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplacementsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ReplacementsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReplacementsCommand {
    /// List the replacements in force, by their fakes
    #[command(after_help = "Example:\n  portero replacements list")]
    List,
    /// Propose fakes: uncommon names, and addresses and numbers that belong to nobody
    #[command(
        after_help = "Examples:\n  portero replacements suggest name --for REAL_NAME\n  portero replacements suggest phone --seed 7\n\nEach line can be pasted into replacements.json. The same seed proposes the same. A proposal tells the shape of the value: how many words, which script, how many digits."
    )]
    Suggest(SuggestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SuggestArgs {
    /// What the fake stands for: name, email, phone or path
    #[arg(value_name = "KIND", value_parser = clap::builder::PossibleValuesParser::new(FakeKind::ALL.map(FakeKind::as_str)).map(|kind| kind.parse::<FakeKind>().expect("only the kinds are possible")))]
    pub(crate) kind: FakeKind,
    /// The variable with the real value, in the environment or in .env; the fakes get its shape
    #[arg(long = "for", value_name = "VARIABLE")]
    pub(crate) variable: Option<String>,
    /// A number; the same one proposes the same fakes
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// How many to propose
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(crate) count: u8,
}
