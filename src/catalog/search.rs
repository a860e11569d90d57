//! Search for tools by words: a small inverted index, ranked by BM25 with weights for where a word occurs.
//!
//! A word of the query finds itself, longer words that begin with it, and its synonyms. Only if it finds none
//! of these does it find words of which it may be a misspelling. The same query always gives the same result.
//!
//! The index holds concealed texts only. It answers to prefixes, so an index of real ones would tell an agent letter
//! by letter what a fake stands for (guarantee N1).

use std::collections::HashMap;
use std::ops::Range;

use super::Tool;
use super::tokenize;
use crate::anonymize::{Anonymizer, Real};
use crate::json::RawObject;

/// The weight of a word, by where it occurs.
mod weight {
    pub(super) const NAME: f32 = 6.0;
    /// Two neighbouring words of the name, written as one.
    pub(super) const NAME_JOINED: f32 = 3.0;
    pub(super) const TITLE: f32 = 3.0;
    pub(super) const SERVER: f32 = 3.0;
    pub(super) const CATEGORY: f32 = 3.0;
    pub(super) const DESCRIPTION: f32 = 1.5;
    /// After the first words of a long description.
    pub(super) const DESCRIPTION_LATE: f32 = 0.3;
    pub(super) const ARGUMENT: f32 = 0.5;
}

/// The part of a word's score that its variants get.
mod factor {
    pub(super) const PREFIX: f32 = 0.8;
    pub(super) const SYNONYM: f32 = 0.7;
    pub(super) const MISSPELLED: f32 = 0.6;
    /// Two words of the query, written as one.
    pub(super) const JOINED: f32 = 0.9;
}

const EARLY_DESCRIPTION_WORDS: usize = 40;
/// How soon repetitions of a word stop counting (BM25's k1).
const SATURATION: f32 = 3.0;
/// How much a longer name counts against a tool (BM25's b, over names only).
const NAME_LENGTH_PENALTY: f32 = 0.3;
/// The part of its score that a tool keeps if it covers none of the query's words.
const UNCOVERED_FACTOR: f32 = 0.25;
const EXACT_NAME_BONUS: f32 = 30.0;
/// Further words of a query are ignored.
const MAX_QUERY_WORDS: usize = 32;

#[derive(Debug)]
pub(super) struct SearchIndex {
    /// Sorted, so that words with a common beginning are neighbours.
    terms: Vec<(String, Vec<Posting>)>,
    /// Each tool's name as words, with and without the server's.
    names: Vec<IndexedName>,
    average_length: f32,
}

#[derive(Debug)]
struct Posting {
    tool: usize,
    weight: f32,
}

#[derive(Debug)]
struct IndexedName {
    spelled: [String; 2],
    words: f32,
}

impl SearchIndex {
    /// Indexes tools, each with its server's categories, as `anonymizer` shows them. A tool whose name holds a private
    /// value is found by no word, since no agent sees it.
    pub(super) fn new<'a>(
        tools: impl Iterator<Item = (&'a Tool, &'a [String])>,
        anonymizer: &Anonymizer,
    ) -> Self {
        let mut terms: HashMap<String, Vec<Posting>> = HashMap::new();
        let mut names = Vec::new();
        for (at, (tool, categories)) in tools.enumerate() {
            let mut weights: HashMap<String, f32> = HashMap::new();
            let is_private = anonymizer.is_private(tool.name.expose());
            let name = if is_private { Vec::new() } else { tokenize::tokenize(tool.name.expose()) };
            let server = tokenize::tokenize(anonymizer.conceal_text(tool.id.server.as_str()).get());
            if !is_private {
                weigh_words(
                    &ShownTexts::new(tool, anonymizer),
                    &name,
                    &server,
                    categories,
                    |word, weight| {
                        *weights.entry(word).or_default() += weight;
                    },
                );
            }
            for (word, weight) in weights {
                terms.entry(word).or_default().push(Posting { tool: at, weight });
            }
            let whole = name.join(" ");
            #[expect(clippy::cast_precision_loss, reason = "a name has few words")]
            let count = name.len() as f32;
            names.push(IndexedName {
                spelled: [format!("{} {whole}", server.join(" ")), whole],
                words: count,
            });
        }
        let mut terms: Vec<_> = terms.into_iter().collect();
        terms.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        #[expect(clippy::cast_precision_loss, reason = "there are some thousand tools at most")]
        let average_length = names.iter().map(|name| name.words).sum::<f32>() / (names.len().max(1) as f32);
        Self { terms, names, average_length }
    }

    /// The matching tools, the best first, equals in catalog order. A query without words matches all.
    pub(super) fn search(&self, query: &str) -> Vec<(usize, f32)> {
        if query.trim().is_empty() {
            return (0..self.names.len()).map(|at| (at, 0.0)).collect();
        }
        let mut words = tokenize::tokenize_query(query);
        words.truncate(MAX_QUERY_WORDS);
        let mut scores = vec![0.0_f32; self.names.len()];
        let mut covered = vec![0.0_f32; self.names.len()];
        for word in &words {
            for (tool, score, factor) in self.best_scores(&self.candidate_terms(word)) {
                scores[tool] += score;
                covered[tool] += factor;
            }
        }
        // "pull request" must also find a tool that writes it `pullrequest`.
        for pair in words.windows(2) {
            if let Some(at) = self.term_position(&pair.concat()) {
                for (tool, score, _) in self.best_scores(&[(at, factor::JOINED)]) {
                    scores[tool] += score;
                    covered[tool] += 1.0;
                }
            }
        }
        self.rank_tools(&words, scores, &covered)
    }

    fn rank_tools(&self, words: &[String], scores: Vec<f32>, covered: &[f32]) -> Vec<(usize, f32)> {
        let spelled = words.join(" ");
        #[expect(clippy::cast_precision_loss, reason = "at most QUERY_MOST words")]
        let count = words.len().max(1) as f32;
        let mut found: Vec<(usize, f32)> = scores
            .into_iter()
            .enumerate()
            .filter(|(_, score)| *score > 0.0)
            .map(|(tool, score)| {
                let share = (covered[tool] / count).min(1.0);
                let exact = self.names[tool].spelled.contains(&spelled);
                let bonus = if exact { EXACT_NAME_BONUS } else { 0.0 };
                // Squared, so that a tool that covers all words beats one that repeats a single word often.
                (tool, score.mul_add(UNCOVERED_FACTOR + (1.0 - UNCOVERED_FACTOR) * share * share, bonus))
            })
            .collect();
        // Equal scores keep the catalog's order, so that a query always gives the same list.
        found.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        found
    }

    /// The terms that a word may stand for, each with a factor.
    fn candidate_terms(&self, word: &str) -> Vec<(usize, f32)> {
        let mut found: Vec<(usize, f32)> = self.term_position(word).map(|at| (at, 1.0)).into_iter().collect();
        let length = word.chars().count();
        if length >= 3 {
            for at in self.terms_with_prefix(word) {
                let share = length_ratio(length, self.terms[at].0.chars().count());
                found.push((at, factor::PREFIX * share));
            }
        }
        found.extend(
            tokenize::synonyms_of(word)
                .filter_map(|other| Some((self.term_position(&other)?, factor::SYNONYM))),
        );
        // Last, and only without any other match: "list" must not find "lift" beside "list".
        if found.is_empty() {
            found = self.misspelled_terms(word, length);
        }
        found
    }

    fn term_position(&self, word: &str) -> Option<usize> {
        self.terms.binary_search_by(|(term, _)| term.as_str().cmp(word)).ok()
    }

    /// The longer terms that begin with a word.
    fn terms_with_prefix(&self, word: &str) -> Range<usize> {
        let from = self.terms.partition_point(|(term, _)| term.as_str() <= word);
        let count = self.terms[from..].partition_point(|(term, _)| term.starts_with(word));
        from..from + count
    }

    fn misspelled_terms(&self, word: &str, length: usize) -> Vec<(usize, f32)> {
        let allowed = match length {
            0..=3 => return Vec::new(),
            4..=7 => 1,
            _ => 2,
        };
        let near = |term: &str| {
            term.chars().count().abs_diff(length) <= allowed && strsim::osa_distance(term, word) <= allowed
        };
        let terms = self.terms.iter().enumerate();
        terms.filter(|(_, (term, _))| near(term)).map(|(at, _)| (at, factor::MISSPELLED)).collect()
    }

    /// The best score of the terms for each tool, and the factor of that term.
    fn best_scores(&self, candidates: &[(usize, f32)]) -> Vec<(usize, f32, f32)> {
        let mut best: HashMap<usize, (f32, f32)> = HashMap::new();
        for (term, factor) in candidates {
            let postings = &self.terms[*term].1;
            let rarity = self.rarity(postings.len());
            for posting in postings {
                let length = self.names[posting.tool].words / self.average_length.max(1.0);
                let room = SATURATION * (1.0 - NAME_LENGTH_PENALTY + NAME_LENGTH_PENALTY * length);
                let score = factor * rarity * posting.weight * (SATURATION + 1.0) / (posting.weight + room);
                let entry = best.entry(posting.tool).or_default();
                // The best of them, not the sum: a word and its synonyms in one text are one match.
                if score > entry.0 {
                    *entry = (score, *factor);
                }
            }
        }
        best.into_iter().map(|(tool, (score, factor))| (tool, score, factor)).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "there are some thousand tools at most")]
    fn rarity(&self, holding: usize) -> f32 {
        let (all, holding) = (self.names.len() as f32, holding as f32);
        (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln()
    }
}

#[expect(clippy::cast_precision_loss, reason = "words are short")]
fn length_ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

/// What the agent sees of a tool beside its name.
struct ShownTexts {
    title: Option<String>,
    description: Option<String>,
    /// The names of its arguments.
    arguments: Vec<String>,
}

impl ShownTexts {
    fn new(tool: &Tool, anonymizer: &Anonymizer) -> Self {
        let conceal = |text: &Option<Real<String>>| {
            text.as_ref().map(|text| anonymizer.conceal_text(text.expose()).into_inner())
        };
        // A schema that can't be concealed isn't shown either.
        let schema = anonymizer.conceal(tool.input_schema.clone()).ok();
        let properties = schema.as_ref().and_then(|schema| {
            let properties = RawObject::read(schema.get()).ok()?.get("properties")?;
            RawObject::read(properties).ok()
        });
        let arguments =
            properties.map(|properties| properties.iter().map(|(name, _)| name.to_owned()).collect());
        Self {
            title: conceal(&tool.title),
            description: conceal(&tool.description),
            arguments: arguments.unwrap_or_default(),
        }
    }
}

/// Passes each word of a tool, with its weight, to `tell`.
fn weigh_words(
    shown: &ShownTexts,
    name: &[String],
    server: &[String],
    categories: &[String],
    mut tell: impl FnMut(String, f32),
) {
    name.iter().for_each(|word| tell(word.clone(), weight::NAME));
    name.windows(2).for_each(|pair| tell(pair.concat(), weight::NAME_JOINED));
    server.iter().for_each(|word| tell(word.clone(), weight::SERVER));
    server.windows(2).for_each(|pair| tell(pair.concat(), weight::SERVER));
    for category in categories {
        tokenize::tokenize(category).into_iter().for_each(|word| tell(word, weight::CATEGORY));
    }
    if let Some(title) = &shown.title {
        tokenize::tokenize(title).into_iter().for_each(|word| tell(word, weight::TITLE));
    }
    if let Some(description) = &shown.description {
        for (at, word) in tokenize::tokenize(description).into_iter().enumerate() {
            tell(
                word,
                if at < EARLY_DESCRIPTION_WORDS { weight::DESCRIPTION } else { weight::DESCRIPTION_LATE },
            );
        }
    }
    for argument in &shown.arguments {
        tokenize::tokenize(argument).into_iter().for_each(|word| tell(word, weight::ARGUMENT));
    }
}
