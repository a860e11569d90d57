//! How fast messages are concealed and revealed, beside parsing to a `Value` and walking it.
//!
//! `cargo bench --bench anonymize`; a name or a part of one as argument picks measurements.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::BytesCount;
use portero::anonymize::{Anonymizer, Direction, Real, ReplacementRule};
use portero::json::{self, RawJson};
use portero::secret::Secret;
use serde_json::Value;

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [100, 10_000, 1 << 20];

fn rules(count: usize, case_sensitive: bool) -> Vec<ReplacementRule> {
    let rule = |number: usize| {
        let (fake, real) = match number % 4 {
            0 => (format!("Alex Sample {number:03}."), format!("Ingrid Vandermeer {number:03}")),
            1 => (format!("user{number:03}@example.net"), format!("ingrid{number:03}@vandermeer.test")),
            2 => (format!("+1-555-01-{number:06}"), format!("+31 20 {number:07}")),
            _ => (format!("fake-key-{number:06}-x"), format!("sk-live-9f8e7d6c{number:05}")),
        };
        ReplacementRule {
            fake,
            real: Secret::new(real),
            direction: Direction::Both,
            case_sensitive,
            matching: None,
            label: None,
            servers: None,
        }
    };
    (0..count).map(rule).collect()
}

fn anonymizer_with(count: usize) -> Anonymizer {
    Anonymizer::new(&rules(count, true)).expect("rules that go together")
}

/// Rows as a server's database tool returns them; about one in fifty holds a value, when `hits`.
fn make_rows(size: usize, hits: bool) -> String {
    let mut text = String::from("{\"rows\":[");
    let mut row = 0;
    while text.len() + 150 < size || row == 0 {
        let name = if hits && row % 50 == 0 { "Ingrid Vandermeer 000" } else { "someone else" };
        let comma = if row == 0 { "" } else { "," };
        text.push_str(&format!(
            "{comma}{{\"id\":{row},\"name\":\"{name}\",\"ok\":true,\"score\":{row}.25,\"note\":\"seen on the list of open matters\"}}"
        ));
        row += 1;
    }
    text + "]}"
}

/// A document in one string, with the escapes that documents have.
fn make_document(size: usize, hits: bool) -> String {
    let mut text = String::new();
    let mut line = 0;
    while text.len() + 120 < size || line == 0 {
        let who = if hits && line % 50 == 0 { "ingrid001@vandermeer.test" } else { "the other party" };
        text.push_str(&format!(
            "{line}. On that day \"{who}\" wrote about the \u{2019}plan\u{2019}: see C:/notes.\n"
        ));
        line += 1;
    }
    format!("{{\"content\":[{{\"type\":\"text\",\"text\":{}}}]}}", json::serialize_raw(&text).get())
}

fn raw_json(text: String) -> RawJson {
    json::parse_raw(text).expect("JSON")
}

fn conceal(bencher: Bencher<'_, '_>, rules: usize, message: String) {
    let set = anonymizer_with(rules);
    let message = raw_json(message);
    bencher
        .counter(BytesCount::new(message.get().len()))
        .with_inputs(|| message.clone())
        .bench_values(|message| set.conceal(Real::from_server(message)));
}

#[divan::bench(args = SIZES, consts = [0, 4, 200])]
fn rows_with_hits<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    conceal(bencher, RULES, make_rows(size, true));
}

#[divan::bench(args = SIZES, consts = [4, 200])]
fn rows_clean<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    conceal(bencher, RULES, make_rows(size, false));
}

#[divan::bench(args = SIZES, consts = [4, 200])]
fn document_with_hits<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    conceal(bencher, RULES, make_document(size, true));
}

#[divan::bench(args = SIZES, consts = [4, 200])]
fn document_clean<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    conceal(bencher, RULES, make_document(size, false));
}

#[divan::bench(args = SIZES, consts = [4, 200])]
fn reveal_rows<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    let set = anonymizer_with(RULES);
    let server = "mail".parse().expect("a name");
    let concealed = set.conceal_local(raw_json(make_rows(size, true))).expect("no leak");
    bencher
        .counter(BytesCount::new(concealed.get().get().len()))
        .bench_local(|| set.reveal(&server, black_box(&concealed)));
}

#[divan::bench(args = SIZES, consts = [4, 200])]
fn case_insensitive_rows<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    let set = Anonymizer::new(&rules(RULES, false)).expect("rules that go together");
    let message = raw_json(make_rows(size, true));
    bencher
        .counter(BytesCount::new(message.get().len()))
        .with_inputs(|| message.clone())
        .bench_values(|message| set.conceal(Real::from_server(message)));
}

/// What a gateway without raw JSON does: parse, replace in every text, serialize. No second look.
#[divan::bench(args = SIZES, consts = [4, 200])]
fn parse_and_walk<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    let rules = rules(RULES, true);
    let searcher = aho_corasick::AhoCorasick::builder()
        .match_kind(aho_corasick::MatchKind::LeftmostLongest)
        .build(rules.iter().map(|rule| rule.real.expose()))
        .expect("a searcher");
    let fakes: Vec<_> = rules.iter().map(|rule| rule.fake.as_str()).collect();
    let message = make_rows(size, true);
    bencher.counter(BytesCount::new(message.len())).bench_local(|| {
        let mut value: Value = serde_json::from_str(black_box(&message)).expect("JSON");
        walk(&mut value, &|text| searcher.replace_all(text, &fakes));
        serde_json::to_string(&value).expect("JSON")
    });
}

fn walk(value: &mut Value, replace: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = replace(text),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, replace)),
        Value::Object(members) => {
            *members = std::mem::take(members)
                .into_iter()
                .map(|(key, mut item)| {
                    walk(&mut item, replace);
                    (replace(&key), item)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The search alone, by the usual means.
#[divan::bench(args = SIZES, consts = [4, 200])]
fn aho_corasick_over_the_line<const RULES: usize>(bencher: Bencher<'_, '_>, size: usize) {
    let rules = rules(RULES, true);
    let searcher = aho_corasick::AhoCorasick::builder()
        .match_kind(aho_corasick::MatchKind::LeftmostLongest)
        .build(rules.iter().map(|rule| rule.real.expose()))
        .expect("a searcher");
    let message = make_rows(size, true);
    bencher
        .counter(BytesCount::new(message.len()))
        .bench_local(|| searcher.find_iter(black_box(&message)).count());
}

#[divan::bench(args = [4, 200, 1000])]
fn prove_and_build(bencher: Bencher<'_, '_>, count: usize) {
    let rules = rules(count, true);
    bencher.bench_local(|| Anonymizer::new(black_box(&rules)));
}
