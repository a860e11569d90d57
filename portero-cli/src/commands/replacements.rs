//! The replacements in force, and proposals for new ones: `portero replacements`. It needs no daemon, and prints no real
//! value.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use portero::anonymize::{Direction, FakeKind, ReplacementRule, SuggestError, suggest_fakes};
use portero::approved_config::EffectiveConfig;
use portero::config::{self, ConfigFiles};
use portero::names::ServerName;
use serde_json::{Value, json};

use super::CommandContext;
use super::config::load_config_in_force;
use crate::args::{ReplacementsArgs, ReplacementsCommand, SuggestArgs};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::pluralize;

pub(super) fn run(context: &CommandContext, args: &ReplacementsArgs) -> CommandResult {
    match &args.command {
        None | Some(ReplacementsCommand::List) => list(context),
        Some(ReplacementsCommand::Suggest(args)) => suggest(context, args),
    }
}

/// The configuration in force, or all problems. Says how many changes wait.
pub(super) fn load_in_force(context: &CommandContext) -> CommandResult<EffectiveConfig> {
    let in_force = load_config_in_force(context).map_err(|problems| {
        context.output.print_note(problems.to_string().trim_end());
        let message = format!("the configuration in `{}` is not valid", context.paths.config.display());
        CommandFailure::usage(message).with_hint("run `portero check`")
    })?;
    if in_force.changes.has_pending() {
        context.output.print_note(format_args!(
            "note: {}; these are the replacements in force, see `portero config diff`",
            pluralize(in_force.changes.widens.len(), "change waits for you", "changes wait for you")
        ));
    }
    Ok(in_force)
}

/// Where replacements.json has the replacement of each fake.
pub(super) struct ReplacementPlaces(HashMap<String, ReplacementPlace>);

/// A place in replacements.json.
#[derive(Clone, Copy)]
pub(super) struct ReplacementPlace {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl fmt::Display for ReplacementPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replacements.json:{}:{}", self.line, self.column)
    }
}

impl ReplacementPlaces {
    /// The place of a rule. None for a server's secret, and for a rule that was taken out of the file while that waits.
    pub(super) fn of(&self, rule: &ReplacementRule) -> Option<ReplacementPlace> {
        if rule.direction == Direction::Injected { None } else { self.0.get(&rule.fake).copied() }
    }
}

pub(super) fn places(context: &CommandContext) -> ReplacementPlaces {
    let files = ConfigFiles::load(&context.paths.config).unwrap_or_default();
    let located = config::locate_replacements(&files, &|name| std::env::var(name).ok());
    let places = located.into_iter().map(|(fake, line, column)| (fake, ReplacementPlace { line, column }));
    ReplacementPlaces(places.collect())
}

fn list(context: &CommandContext) -> CommandResult {
    let EffectiveConfig { config, .. } = load_in_force(context)?;
    let places = places(context);
    let rules: Vec<_> =
        config.replacements.iter().filter(|rule| rule.direction != Direction::Injected).collect();
    let values: Vec<_> = rules.iter().map(|rule| rule_json(rule, &places)).collect();
    context.output.print_value_or_text(&values, |out| {
        if rules.is_empty() {
            return out.print_line("there are no replacements; docs/configuration.md says how to write some");
        }
        let rows = rules.iter().map(|rule| table_row(rule, &places)).collect();
        out.print_table(["FAKE", "LABEL", "TOWARD THE AGENT", "REVEALED TO", "PLACE"], rows)
    })?;
    Ok(())
}

fn table_row(rule: &ReplacementRule, places: &ReplacementPlaces) -> [String; 5] {
    let shown = match &rule.direction {
        Direction::Both => "the fake".to_owned(),
        Direction::OneWay { redaction } => redaction.clone(),
        Direction::Injected => String::new(),
    };
    let servers = match rule.servers.as_deref() {
        None => "every server".to_owned(),
        Some([]) => "none".to_owned(),
        Some(servers) => servers.iter().map(ServerName::as_str).collect::<Vec<_>>().join(", "),
    };
    let place = places.of(rule).map_or_else(|| "not in the file".to_owned(), |place| place.to_string());
    [rule.fake.clone(), rule.label.clone().unwrap_or_default(), shown, servers, place]
}

fn rule_json(rule: &ReplacementRule, places: &ReplacementPlaces) -> Value {
    let redaction = match &rule.direction {
        Direction::OneWay { redaction } => Some(redaction),
        Direction::Both | Direction::Injected => None,
    };
    json!({
        "fake": rule.fake,
        "label": rule.label,
        "bidirectional": rule.direction == Direction::Both,
        "redaction": redaction,
        "case_sensitive": rule.case_sensitive,
        "servers": rule.servers,
        "place": places.of(rule).map(|place| json!({ "line": place.line, "column": place.column })),
    })
}

fn suggest(context: &CommandContext, args: &SuggestArgs) -> CommandResult {
    let EffectiveConfig { config, .. } = load_in_force(context)?;
    let env = |name: &str| std::env::var(name).ok();
    let real = match &args.variable {
        None => None,
        Some(name) => {
            let files = ConfigFiles::load(&context.paths.config).unwrap_or_default();
            let value = config::read_variable(&files, &env, name).ok_or_else(|| {
                CommandFailure::usage(format!("the variable `{name}` is not set"))
                    .with_hint("write its value into .env of the configuration directory, or leave out --for")
            })?;
            Some(value)
        }
    };
    // Any number will do, and it is said.
    let seed = args.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000);
    let proposed = suggest_fakes(args.kind, real.as_ref(), &config.replacements, seed, args.count.into())
        .map_err(|error| refuse_suggestion(error, args.kind))?;
    let variable = args.variable.clone().unwrap_or_else(|| usual_variable(args.kind).to_owned());
    let entries: Vec<Value> = proposed.iter().map(|fake| entry(fake, args.kind, &variable)).collect();
    context.output.print_value_or_text(&json!({ "seed": seed, "proposed": entries }), |out| {
        entries.iter().try_for_each(|entry| out.print_json_line(entry))
    })?;
    if !context.output.wants_json() && args.seed.is_none() {
        context.output.print_note(format_args!("note: --seed {seed} proposes the same again"));
    }
    if proposed.len() < args.count.into() {
        context.output.print_note("note: no more fakes go together with the other replacements");
    }
    Ok(())
}

fn refuse_suggestion(error: SuggestError, kind: FakeKind) -> CommandFailure {
    let hint = match error {
        SuggestError::OtherShape(FakeKind::Name) => "a name has words of letters",
        SuggestError::OtherShape(FakeKind::Email) => "an address has an `@` and no blanks",
        SuggestError::OtherShape(FakeKind::Phone) => {
            "a number has 7 to 15 digits, with blanks, `+`, `-`, `.`, `/` and parentheses"
        }
        SuggestError::OtherShape(FakeKind::Path) => {
            "a path has a `/`, and a part that is not the same on every machine"
        }
        SuggestError::UnknownScript => {
            "choose a fake yourself; `portero check` says whether it goes together with the others"
        }
        SuggestError::NoneFits => "try another --seed; `portero replacements` lists the fakes in force",
    };
    CommandFailure::refused(format!("could not propose a {kind}")).caused_by(&error).with_hint(hint)
}

/// An entry of replacements.json.
fn entry(fake: &str, kind: FakeKind, variable: &str) -> Value {
    let mut entry = json!({ "fake": fake, "real": format!("${{{variable}}}"), "label": kind.as_str() });
    // The case of an address doesn't count.
    if kind == FakeKind::Email {
        entry["caseSensitive"] = false.into();
    }
    entry
}

const fn usual_variable(kind: FakeKind) -> &'static str {
    match kind {
        FakeKind::Name => "REAL_NAME",
        FakeKind::Email => "REAL_EMAIL",
        FakeKind::Phone => "REAL_PHONE",
        FakeKind::Path => "REAL_HOME",
    }
}
