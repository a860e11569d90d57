//! Text through the rules of the anonymizer: `portero anonymize`. It needs no daemon.
//!
//! The text takes the road of a text block in a server's answer, or in a call's arguments. So what is printed is what an
//! agent, or a server, would get.

use std::io::{self, IsTerminal as _, Read as _};

use portero::anonymize::{
    Anonymizer, Direction, ExplainedReplacement, ReplacementRule, describe_replacement,
};
use portero::approved_config::EffectiveConfig;
use portero::config::{Config, nearest_word};
use portero::names::ServerName;
use serde_json::{Value, json};

use super::CommandContext;
use super::replacements::{self, ReplacementPlaces};
use crate::args::AnonymizeArgs;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{escape_hidden, pluralize};

/// How a terminal's end of input is typed.
const END_OF_INPUT: &str = if cfg!(windows) { "Ctrl-Z and Enter" } else { "Ctrl-D" };

pub(super) fn run(context: &CommandContext, args: &AnonymizeArgs) -> CommandResult {
    let EffectiveConfig { config, anonymizer, .. } = replacements::load_in_force(context)?;
    if let Some(server) = &args.server {
        refuse_unknown_server(&config, server)?;
    }
    if config.replacements.is_empty() {
        context.output.print_note("note: there are no replacements and no secrets, so nothing is replaced");
    }
    let text = read_input(context, config.settings.limits.max_message_bytes)?;
    let rules = &config.replacements;
    let server = args.server.as_ref();
    let (text, explained) = if args.reveal {
        warn_of_redactions(context, &anonymizer, &text);
        let (real, explained) = anonymizer.reveal_explained(rules, server, &text);
        (real.into_exposed(), explained)
    } else {
        let concealed = anonymizer.conceal_explained(rules, server, &text).map_err(|leak| {
            let message = format!("the text is withheld: a second look found {}", leak.describe_value());
            CommandFailure::refused(message)
                .with_hint("an answer of a server with this text is withheld too; docs/anonymizer.md lists such spellings")
        })?;
        let (fake, explained) = concealed;
        (fake.into_inner(), explained)
    };
    let places = replacements::places(context);
    if context.output.wants_json() {
        let replaced: Vec<_> =
            explained.iter().map(|one| replacement_json(one, &rules[one.rule], &places)).collect();
        context.output.print_json(&json!({ "text": text, "replaced": replaced }))?;
        return Ok(());
    }
    context.output.print_exact(&text)?;
    if args.explain {
        print_explanation(context, rules, &explained, &places);
    }
    note_staying(context, args, &explained);
    Ok(())
}

fn refuse_unknown_server(config: &Config, server: &ServerName) -> CommandResult {
    let skipped = config.skipped.iter().map(|skipped| &skipped.server);
    let known: Vec<_> = config.servers.iter().map(|server| &server.name).chain(skipped).collect();
    if known.contains(&server) {
        return Ok(());
    }
    let near = nearest_word(server.as_str(), known.iter().map(|name| name.as_str()));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`portero status` lists the servers".to_owned(),
    };
    Err(CommandFailure::usage(format!("no server in mcps.json is called `{server}`")).with_hint(hint))
}

/// Reads standard input up to the length of the longest message.
fn read_input(context: &CommandContext, limit: usize) -> CommandResult<String> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        context.output.print_note(format_args!("type or paste the text, then press {END_OF_INPUT}"));
    }
    let mut bytes = Vec::new();
    stdin
        .by_ref()
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandFailure::refused("could not read standard input").caused_by(&error))?;
    if bytes.len() > limit {
        return Err(CommandFailure::usage(format!("the text has more than {limit} bytes"))
            .with_hint("a server's message has the same limit, `limits.messageBytes` in portero.json; pass the text in parts"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        CommandFailure::usage(format!("the text is not UTF-8: byte {}, in line {line}", valid + 1)).with_hint(
            "MCP carries text as UTF-8 only; convert it first, as with `iconv -f LATIN1 -t UTF-8`; files in other \
             formats travel as base64, and are opened there if they hold text",
        )
    })
}

/// Redactions aren't revealed: the value that they stood for is known only to the session that showed them.
fn warn_of_redactions(context: &CommandContext, anonymizer: &Anonymizer, text: &str) {
    for redaction in anonymizer.find_redactions(text) {
        context.output.print_note(format_args!(
            "note: `{}` stays; a call with it is refused unless its server showed the value in the same session",
            escape_hidden(redaction)
        ));
    }
}

fn note_staying(context: &CommandContext, args: &AnonymizeArgs, explained: &[ExplainedReplacement]) {
    let staying = explained.iter().filter(|one| one.stays).count();
    if staying == 0 {
        return;
    }
    let fakes = pluralize(staying, "fake stays", "fakes stay");
    match &args.server {
        Some(server) => {
            context
                .output
                .print_note(format_args!("note: {fakes}, because `{server}` may not see the value"));
        }
        None => context.output.print_note(format_args!(
            "note: {fakes}, because only some servers may see the value; name one with --server"
        )),
    }
}

fn print_explanation(
    context: &CommandContext,
    rules: &[ReplacementRule],
    explained: &[ExplainedReplacement],
    places: &ReplacementPlaces,
) {
    for one in explained {
        let rule = &rules[one.rule];
        let place = places.of(rule).map_or_else(String::new, |place| format!(" ({place})"));
        let stays = match (one.stays, one.is_alias) {
            (true, _) => ", stays",
            (false, true) => ", by an alias: the server itself said the fake",
            (false, false) => "",
        };
        context.output.print_note(format_args!(
            "{}:{}: {}{place}, {}{stays}",
            one.line,
            one.column,
            escape_hidden(&describe_replacement(rule)),
            one.spelling
        ));
    }
    let replaced = explained.iter().filter(|one| !one.stays).count();
    context.output.print_note(format_args!("{}", pluralize(replaced, "value replaced", "values replaced")));
}

fn replacement_json(one: &ExplainedReplacement, rule: &ReplacementRule, places: &ReplacementPlaces) -> Value {
    let fake = (rule.direction != Direction::Injected).then_some(&rule.fake);
    let secret_of = (rule.direction == Direction::Injected).then(|| rule.servers.clone().unwrap_or_default());
    let place = places.of(rule);
    json!({
        "line": one.line,
        "column": one.column,
        "spelling": one.spelling,
        "in_file": one.is_in_file,
        "stays": one.stays,
        "alias": one.is_alias,
        "fake": fake,
        "secret_of": secret_of,
        "place": place.map(|place| json!({ "line": place.line, "column": place.column })),
    })
}
