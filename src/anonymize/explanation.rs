//! What was replaced where in a text, for a person who tries the rules.
//!
//! The text takes the road of a message: it is concealed as one string of JSON, and the second scan looks at it. An
//! explanation holds places and rules, and nothing real.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use super::blobs::BlobRewriter;
use super::escape::DecodedText;
use super::leak::SecretScope;
use super::placed_replacement::{FoundAs, ReplacedValue};
use super::{Anonymizer, Direction, Fake, Leak, Real, ReplacementRule};
use crate::json;
use crate::names::ServerName;

/// A value that was replaced in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedReplacement {
    /// Its one-based line.
    pub line: usize,
    /// Its one-based column in the line, in characters. Of a value in a file in base64, that of the file.
    pub column: usize,
    /// The position of its rule in the rule set.
    pub rule: usize,
    /// How it was spelled: `plain`, `other case`, `percent-encoding` and the like.
    pub spelling: &'static str,
    /// Whether it was in the text of a file in base64.
    pub is_in_file: bool,
    /// Whether it stays as it is, because the server may not see the real value.
    pub stays: bool,
    /// Whether the server itself said the fake, and the agent knows it by an alias.
    pub is_alias: bool,
}

impl Anonymizer {
    /// Conceals a text as the answer of `server`, or as one of any server. Also tells what was replaced, in order.
    /// `rules` is the rule set.
    ///
    /// # Errors
    /// [`Leak`]; a server's answer would be withheld.
    pub fn conceal_explained(
        &self,
        rules: &[ReplacementRule],
        server: Option<&ServerName>,
        text: &str,
    ) -> Result<(Fake<String>, Vec<ExplainedReplacement>), Leak> {
        let message = json::serialize_raw(text);
        let mut replaced = Vec::new();
        let scope = server.map_or(SecretScope::All, SecretScope::Server);
        let aliases = RefCell::new(Vec::new());
        let with_aliases = match server {
            Some(server) => {
                self.hide_fakes(server, message.clone(), &|fake| aliases.borrow_mut().push(fake))?
            }
            None => message.clone(),
        };
        let concealed = self.conceal_noting(with_aliases, scope, &mut |value| replaced.push(value))?;
        let text = json::as_text(concealed.get()).ok_or_else(Leak::default)?.into_owned();
        let aliases = aliases.into_inner();
        if !aliases.is_empty() {
            // The aliases moved what is behind them. The values have their places in the text itself.
            replaced.clear();
            self.conceal_noting(message.clone(), scope, &mut |value| replaced.push(value))?;
        }
        let values = explain(message.get(), replaced, &|rule: usize| rules[rule].real.expose());
        let aliases = explain(message.get(), aliases, &|rule: usize| rules[rule].fake.as_str());
        let explained = values.into_iter().chain(aliases.into_iter().map(as_alias));
        Ok((Fake::concealed(text), in_order(explained.collect())))
    }

    /// Reveals what `server` may see in a text; without a server, what every server may see. Also tells what was
    /// replaced, and what stays because the server may not see it, in order. `rules` is the rule set.
    #[must_use]
    pub fn reveal_explained(
        &self,
        rules: &[ReplacementRule],
        server: Option<&ServerName>,
        text: &str,
    ) -> (Real<String>, Vec<ExplainedReplacement>) {
        let message = json::serialize_raw(text);
        let is_revealed = |rule: usize| match server {
            Some(server) => self.is_revealed_to(rule, server),
            None => self.scopes[rule].is_none(),
        };
        let rewrite = |permitted: &dyn Fn(usize) -> bool| {
            let found = RefCell::new(Vec::new());
            let note = |value| found.borrow_mut().push(value);
            let rewritten =
                BlobRewriter { note: &note, ..self.blob_revealer(permitted) }.rewrite(message.get());
            // Text that is escaped deeper than any server reads keeps its fakes.
            (rewritten.unwrap_or(None), found.into_inner())
        };
        let (revealed, _) = rewrite(&is_revealed);
        let (_, found) = rewrite(&|_| true);
        let revealed = revealed.map_or_else(|| message.clone(), json::raw_unchecked);
        let restored = self.aliases.restore(revealed.get(), &|_| {});
        let revealed = restored.map_or(revealed, json::raw_unchecked);
        let revealed = json::as_text(&revealed).map_or_else(|| text.to_owned(), std::borrow::Cow::into_owned);
        let aliases = RefCell::new(Vec::new());
        let _ = self.aliases.restore(message.get(), &|alias| aliases.borrow_mut().push(alias));
        let fakes = explain(message.get(), found, &|rule: usize| rules[rule].fake.as_str());
        let with_scope =
            |one: ExplainedReplacement| ExplainedReplacement { stays: !is_revealed(one.rule), ..one };
        let aliases = explain(message.get(), aliases.into_inner(), &|_| "");
        let explained = fakes.into_iter().map(with_scope).chain(aliases.into_iter().map(as_alias));
        (Real::revealed(revealed), in_order(explained.collect()))
    }

    /// The redactions in a text, each once. Toward a server each refuses its call, unless the server itself showed it in
    /// the same session.
    #[must_use]
    pub fn find_redactions(&self, text: &str) -> BTreeSet<&str> {
        self.redactions.find(json::serialize_raw(text).get())
    }
}

/// The replacements in a text that is one string of JSON. `value` is what is searched for by a rule.
fn explain<'a>(
    message: &str,
    mut replaced: Vec<ReplacedValue>,
    value: &dyn Fn(usize) -> &'a str,
) -> Vec<ExplainedReplacement> {
    replaced.sort_by_key(|value| (value.source.start, value.source.end, value.rule));
    let mut place = TextPlace { message, at: 1, line: 1, column: 1 };
    let explained = replaced.into_iter().map(|ReplacedValue { source, rule, found, is_in_file }| {
        place.advance_to(source.start);
        let spelling = match found {
            FoundAs::Encoded(encoding) => encoding,
            FoundAs::Term(_) if is_in_file => "in a file in base64",
            FoundAs::Term(_) => describe_spelling(&decode(message, &source), value(rule)),
        };
        let (line, column) = (place.line, place.column);
        ExplainedReplacement { line, column, rule, spelling, is_in_file, stays: false, is_alias: false }
    });
    explained.collect()
}

fn as_alias(one: ExplainedReplacement) -> ExplainedReplacement {
    ExplainedReplacement { is_alias: true, ..one }
}

fn in_order(mut explained: Vec<ExplainedReplacement>) -> Vec<ExplainedReplacement> {
    explained.sort_by_key(|one| (one.line, one.column));
    explained
}

/// A place in the text of a JSON string.
struct TextPlace<'a> {
    message: &'a str,
    at: usize,
    line: usize,
    column: usize,
}

impl TextPlace<'_> {
    /// Goes on to a later place in the message.
    fn advance_to(&mut self, at: usize) {
        for character in decode(self.message, &(self.at..at)).chars() {
            self.column += 1;
            if character == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            }
        }
        self.at = at.max(self.at);
    }
}

/// A part of a JSON string as text.
fn decode(message: &str, at: &Range<usize>) -> String {
    let part = message.as_bytes().get(at.clone()).unwrap_or_default();
    String::from_utf8_lossy(&DecodedText::from_json_string(part).bytes).into_owned()
}

/// How a value is spelled in a text, in words.
fn describe_spelling(found: &str, value: &str) -> &'static str {
    let has_more = |sign: char| found.matches(sign).count() > value.matches(sign).count();
    match () {
        () if found == value => "plain",
        () if found.to_lowercase() == value.to_lowercase() => "other case",
        () if has_more('%') => "percent-encoding",
        () if has_more('\\') => "JSON escapes",
        () if has_more('+') => "form encoding",
        () => "another form",
    }
}

/// A replacement in words, without a value: its fake, or whose secret it redacts.
#[must_use]
pub fn describe_replacement(rule: &ReplacementRule) -> String {
    match (&rule.direction, rule.servers.as_deref().unwrap_or_default()) {
        (Direction::Both | Direction::OneWay { .. }, _) => format!("{:?}", rule.fake),
        (Direction::Injected, []) => "a secret".to_owned(),
        (Direction::Injected, servers) => {
            let names: Vec<_> = servers.iter().map(|server| format!("`{server}`")).collect();
            format!("a secret of {}", names.join(" and "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn rule(fake: &str, real: &str) -> ReplacementRule {
        ReplacementRule {
            fake: fake.into(),
            real: Secret::new(real),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: None,
        }
    }

    fn rules() -> Vec<ReplacementRule> {
        let mail: ServerName = "mail".parse().expect("a name");
        vec![
            rule("Ilse Varga", "José Núñez"),
            ReplacementRule { case_sensitive: false, ..rule("ilse@example.net", "jose@corp.test") },
            ReplacementRule { servers: Some(vec![mail]), ..rule("/home/ivarga", "/home/jnunez") },
        ]
    }

    /// The places of a text, in words.
    fn words(explained: &[ExplainedReplacement]) -> Vec<String> {
        let word = |one: &ExplainedReplacement| {
            let stays = if one.stays { ", stays" } else { "" };
            format!("{}:{} {} {}{stays}", one.line, one.column, one.rule, one.spelling)
        };
        explained.iter().map(word).collect()
    }

    #[test]
    fn each_replacement_has_its_place_and_spelling() {
        let rules = rules();
        let set = Anonymizer::new(&rules).expect("a rule set");
        let text = "From: José Núñez\n\t\"é\" JOSE@CORP.TEST,\nhttps://x/?q=Jos%C3%A9%20N%C3%BA%C3%B1ez {\"a\":\"Jos\\u00e9 Núñez\"}\nJos&eacute; N&uacute;&ntilde;ez\nlast José Núñez data:text/plain;base64,Sm9zw6kgTsO6w7Flego=";
        let (shown, explained) = set.conceal_explained(&rules, None, text).expect("concealed");
        assert!(!shown.get().contains("Núñez") && !shown.get().to_lowercase().contains("jose@"));
        assert_eq!(
            words(&explained),
            [
                "1:7 0 plain",
                "2:6 1 other case",
                "3:14 0 percent-encoding",
                "3:48 0 JSON escapes",
                "4:1 0 HTML character references",
                "5:6 0 plain",
                "5:40 0 in a file in base64",
            ]
        );
        let (real, back) = set.reveal_explained(&rules, None, shown.get());
        assert_eq!(back.len(), explained.len(), "{back:?}");
        // Its escapes were in an encoding that a fake of ASCII can't carry.
        assert_eq!(real.expose().replace("{\"a\":\"José", "{\"a\":\"Jos\\u00e9"), text);
    }

    #[test]
    fn what_a_server_may_not_see_stays_and_is_told() {
        let rules = rules();
        let set = Anonymizer::new(&rules).expect("a rule set");
        let (text, web) = ("Ilse Varga\n in /home/ivarga", "web".parse().expect("a name"));
        for server in [None, Some(&web)] {
            let (real, explained) = set.reveal_explained(&rules, server, text);
            assert_eq!(real.expose(), "José Núñez\n in /home/ivarga");
            assert_eq!(words(&explained), ["1:1 0 plain", "2:5 2 plain, stays"]);
        }
        let mail = "mail".parse().expect("a name");
        let (real, explained) = set.reveal_explained(&rules, Some(&mail), text);
        assert_eq!(real.expose(), "José Núñez\n in /home/jnunez");
        assert_eq!(words(&explained), ["1:1 0 plain", "2:5 2 plain"]);
    }

    #[test]
    fn a_fake_that_the_server_said_itself_is_told_from_a_value() {
        let rules = rules();
        let set = Anonymizer::new(&rules).expect("a rule set");
        let (text, mail) = ("Ilse Varga,\nJosé Núñez, Ilse Varga", "mail".parse().expect("a name"));
        let (shown, explained) = set.conceal_explained(&rules, Some(&mail), text).expect("concealed");
        assert_eq!(words(&explained), ["1:1 0 plain", "2:1 0 plain", "2:13 0 plain"]);
        let aliases = |explained: &[ExplainedReplacement]| -> Vec<bool> {
            explained.iter().map(|one| one.is_alias).collect()
        };
        assert_eq!(aliases(&explained), [true, false, true]);
        assert_eq!(shown.get().matches("Ilse Varga").count(), 1, "{}", shown.get());
        let (real, back) = set.reveal_explained(&rules, Some(&mail), shown.get());
        assert_eq!(real.expose(), text);
        assert_eq!(aliases(&back), [true, false, true]);
        // Nothing says which server the text is from.
        let (shown, _) = set.conceal_explained(&rules, None, text).expect("concealed");
        assert_eq!(shown.get().matches("Ilse Varga").count(), 3);
    }

    #[test]
    fn the_second_look_withholds_as_in_an_answer() {
        let rules = rules();
        let set = Anonymizer::new(&rules).expect("a rule set");
        let leak = set
            .conceal_explained(&rules, None, "=?utf-8?Q?Jos=C3=A9_N=C3=BA=C3=B1ez?=")
            .expect_err("withheld");
        assert_eq!(leak.describe_value(), "the real value of replacement 1");
    }
}
