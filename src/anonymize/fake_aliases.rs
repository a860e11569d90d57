//! Fakes that stand in a server's own data (guarantee N8): another person has the very name that is one's fake.
//!
//! The agent would write it back, and a server would get the real value in its place. So in what a server answers, a fake
//! that the server could be told the real value for becomes an alias. The agent knows that text by the alias, and the
//! alias becomes the fake again, toward every server. It follows from the fake alone, so all processes and sessions agree
//! on it, and what was approved yesterday means the same today.
//!
//! The alias goes first when concealing, and last when revealing. It shares nothing with a value of any rule, so neither
//! step sees the other's texts.

use std::cell::Cell;
use std::collections::HashSet;

use aho_corasick::AhoCorasick;

use super::blobs::{BlobRewriter, NotRewritten};
use super::placed_replacement::ReplacedValue;
use super::rewrite::{Rewriter, TermReplacement};
use super::round_trip::is_reversible;
use super::suggest::make_alias;
use super::term::Term;
use super::{Direction, ReplacementRule};

/// How many candidates are tried for each fake.
const MAX_CANDIDATES: u64 = 8;

/// The aliases of fakes.
#[derive(Default)]
pub(super) struct FakeAliases {
    /// Fakes become aliases.
    hide: Rewriter,
    /// Aliases become fakes.
    restore: Rewriter,
    /// For each rule, whether its fake has an alias.
    has_alias: Vec<bool>,
}

impl FakeAliases {
    pub(super) fn new(rules: &[ReplacementRule]) -> Self {
        let aliases = choose_aliases(rules);
        let (mut hide, mut restore) = (Vec::new(), Vec::new());
        for (number, (rule, alias)) in rules.iter().zip(&aliases).enumerate() {
            let Some(alias) = alias else { continue };
            let (exact, edges) = (rule.case_sensitive, rule.word_edges());
            let term = |text: &str| Term::new(number, text, exact).with_edges(edges);
            hide.push((term(&rule.fake), TermReplacement::new(&rule.fake, alias, !exact)));
            restore.push((term(alias), TermReplacement::new(alias, &rule.fake, !exact)));
        }
        Self {
            hide: Rewriter::new(hide),
            restore: Rewriter::new(restore),
            has_alias: aliases.iter().map(Option::is_some).collect(),
        }
    }

    /// What a server said, with aliases in the place of the fakes of rules that are `revealed` to it. None if there are
    /// none.
    ///
    /// # Errors
    /// If an alias and the text beside it couldn't be told apart on the way back.
    pub(super) fn hide(
        &self,
        json: &str,
        is_revealed: &dyn Fn(usize) -> bool,
        note: &dyn Fn(ReplacedValue),
    ) -> Result<Option<String>, FakeNotHidden> {
        let is_kept = Cell::new(true);
        let rewriter = BlobRewriter {
            rewriter: &self.hide,
            sought: &|_| true,
            permitted: is_revealed,
            accept: &|changed, placed| {
                is_kept.set(is_kept.get() && is_reversible(&self.restore, &self.has_alias, changed, placed));
                is_kept.get()
            },
            note,
        };
        match rewriter.rewrite(json) {
            Ok(hidden) => Ok(hidden),
            // What is escaped too deeply is refused where values are concealed.
            Err(NotRewritten) if is_kept.get() => Ok(None),
            Err(NotRewritten) => Err(FakeNotHidden),
        }
    }

    /// A text toward a server, with the fakes in the place of their aliases. None if there are none.
    pub(super) fn restore(&self, json: &str, note: &dyn Fn(ReplacedValue)) -> Option<String> {
        let rewriter = BlobRewriter {
            rewriter: &self.restore,
            sought: &|_| true,
            permitted: &|_| true,
            accept: &|_, _| true,
            note,
        };
        // What is escaped deeper than any server reads keeps its aliases.
        rewriter.rewrite(json).unwrap_or(None)
    }
}

/// An alias and the text beside it spell something else together.
#[derive(Debug)]
pub(super) struct FakeNotHidden;

/// An alias for each rule's fake, which shares nothing with another text of the rules. None for a fake that has too little
/// to change.
fn choose_aliases(rules: &[ReplacementRule]) -> Vec<Option<String>> {
    let texts = || rules.iter().flat_map(|rule| [rule.fake.as_str(), rule.real.expose()]);
    let folded: Vec<String> = texts().filter(|text| !text.is_empty()).map(str::to_lowercase).collect();
    if folded.is_empty() {
        return vec![None; rules.len()];
    }
    let known = AhoCorasick::new(&folded).expect("rules make a small automaton");
    let mut taken: HashSet<String> = HashSet::new();
    let mut is_free = |alias: &str| {
        let alias = alias.to_lowercase();
        // An alias within a longer value is found there only where that value isn't, since the longer wins.
        !known.is_match(&alias) && taken.insert(alias)
    };
    let choose = |rule: &ReplacementRule| {
        if rule.direction == Direction::Injected {
            return None;
        }
        (0..MAX_CANDIDATES).filter_map(|number| make_alias(&rule.fake, number)).find(|alias| is_free(alias))
    };
    let aliases: Vec<Option<String>> = rules.iter().map(choose).collect();
    drop_held(aliases, &folded)
}

/// Without those that a value or another alias holds.
fn drop_held(mut aliases: Vec<Option<String>>, texts: &[String]) -> Vec<Option<String>> {
    let chosen: Vec<(usize, String)> = aliases
        .iter()
        .enumerate()
        .filter_map(|(number, alias)| Some((number, alias.as_ref()?.to_lowercase())))
        .collect();
    if chosen.is_empty() {
        return aliases;
    }
    let search =
        AhoCorasick::new(chosen.iter().map(|(_, alias)| alias)).expect("rules make a small automaton");
    let mut held: HashSet<usize> = HashSet::new();
    for text in texts {
        held.extend(search.find_overlapping_iter(text).map(|hit| hit.pattern().as_usize()));
    }
    for (own, (_, text)) in chosen.iter().enumerate() {
        let inside = search.find_overlapping_iter(text).map(|hit| hit.pattern().as_usize());
        held.extend(inside.filter(|found| *found != own));
    }
    for place in held {
        aliases[chosen[place].0] = None;
    }
    aliases
}

#[cfg(test)]
mod tests;
