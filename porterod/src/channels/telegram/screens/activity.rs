//! What ran without asking, as one message, with buttons that narrow its tools. Pure.
//!
//! What the message says beside each tool is how its rules stand when it is drawn: which rule asks or denies, and
//! how that is undone.

use std::collections::BTreeMap;

use portero::clock::Moment;
use portero::names::ToolId;
use portero::policy::{Action, Policy};
use serde::{Deserialize, Serialize};

use super::super::keyboard::turns;
use super::super::text::{Shown, Text};
use crate::taps::{Restriction, Stricter};

/// As many tools have a row of their own below the message; more are behind a button.
const ROWS_MOST: usize = 4;
/// How many tools a page of the list shows.
const PAGE: usize = 4;
/// The longest name on a button, in characters.
const NAME_MOST: usize = 24;

/// What became of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// They were refused.
    Refused,
    /// They ran and failed.
    Failed,
    /// They ran.
    Ran,
}

/// What a message tells of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How often what became of which tool, what went wrong first.
    pub counts: Vec<(Fate, ToolId, u64)>,
    /// Calls of tools that are not named.
    pub others: u64,
}

/// How the rules about one tool stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stand {
    /// The rule that has it ask.
    pub asks: Option<u64>,
    /// The rule that denies it.
    pub denies: Option<u64>,
    /// Whether the buttons offer to have it ask.
    pub may_ask: bool,
    /// Whether the buttons offer to deny it.
    pub may_deny: bool,
}

/// How the rules stand about each tool of a message.
pub type Stands = BTreeMap<ToolId, Stand>;

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    /// It makes a rule for one tool.
    Restrict(Restriction),
    /// It shows this page of the tools; none: the message itself.
    Open(Option<usize>),
}

/// How the rules stand now about each tool that is told of.
#[must_use]
pub fn stands(told: &Told, policy: &Policy, now: Moment) -> Stands {
    let mut stands = Stands::new();
    for (fate, tool, _) in &told.counts {
        let stand = stands.entry(tool.clone()).or_insert_with(|| stand(tool, policy, now));
        // What was only refused does not run: there is nothing to ask for.
        stand.may_ask |= *fate != Fate::Refused && stand.may_deny && stand.asks.is_none();
    }
    stands
}

fn stand(tool: &ToolId, policy: &Policy, now: Moment) -> Stand {
    let standing = policy.standing();
    let by = |to| standing.restricts(tool, to, now).filter(|rule| rule.action == to).map(|rule| rule.id);
    let (asks, denies) = (by(Action::RequireApproval), by(Action::Deny));
    let (loosest, _) = policy.range(tool, None, now);
    // Portero's own tools do nothing by themselves.
    let may_deny = denies.is_none() && loosest != Action::Deny && !tool.is_own();
    Stand { asks, denies, may_ask: false, may_deny }
}

impl Told {
    /// The message.
    #[must_use]
    pub fn text(&self, stands: &Stands) -> Text {
        let (mut text, mut last) = (Text::new(), None);
        for (fate, tool, count) in &self.counts {
            if last != Some(*fate) {
                text = text.line().bold(title(*fate));
                last = Some(*fate);
            }
            text = text.words("\n").count(*count).words(" × ").code(&Shown::line(&tool.to_string()));
            text = rules_of(text, stands.get(tool).copied().unwrap_or_default());
        }
        match self.others {
            0 => text,
            others => text.words("\nand of other tools: ").count(others),
        }
    }

    /// A page of its tools, by number; the last one where there are fewer.
    #[must_use]
    pub fn list(&self, page: usize, stands: &Stands) -> Text {
        let page = page.min(pages(stands) - 1);
        let text = Text::new().bold("What may these tools do from now on?");
        numbered(stands).skip(page * PAGE).take(PAGE).fold(text, |text, (number, tool, stand)| {
            let text = text.words("\n").count(number).words(". ").code(&Shown::line(&tool.to_string()));
            rules_of(text, stand)
        })
    }
}

/// The buttons: of the message itself, or of this page of its tools.
#[must_use]
pub fn rows(stands: &Stands, page: Option<usize>) -> Vec<Vec<(String, Does)>> {
    match page {
        None => of_message(stands),
        Some(page) => of_page(stands, page.min(pages(stands) - 1)),
    }
}

/// A row for each tool, with its name; one button for all where there are many, or their names would look alike.
fn of_message(stands: &Stands) -> Vec<Vec<(String, Does)>> {
    let row = |(tool, stand): (&ToolId, &Stand)| restricting(tool, *stand, &short(tool));
    let rows: Vec<_> = stands.iter().map(row).filter(|row| !row.is_empty()).collect();
    let mut labels: Vec<_> = rows.iter().flatten().map(|(label, _)| label).collect();
    labels.sort_unstable();
    let alike = labels.windows(2).any(|two| two[0] == two[1]);
    if rows.len() <= ROWS_MOST && !alike {
        return rows;
    }
    vec![vec![("Tools…".to_owned(), Does::Open(Some(0)))]]
}

fn of_page(stands: &Stands, page: usize) -> Vec<Vec<(String, Does)>> {
    let of_tool =
        |(number, tool, stand): (u64, &ToolId, Stand)| restricting(tool, stand, &number.to_string());
    let tools = numbered(stands).skip(page * PAGE).take(PAGE).map(of_tool);
    let turning = turns(page, pages(stands)).into_iter().map(|(label, to)| (label, Does::Open(Some(to))));
    let back = ("Back".to_owned(), Does::Open(None));
    let mut rows: Vec<Vec<_>> = tools.collect();
    rows.extend([turning.collect(), vec![back]]);
    rows.retain(|row| !row.is_empty());
    rows
}

/// What is offered for one tool, which goes by this name on the buttons.
fn restricting(tool: &ToolId, stand: Stand, name: &str) -> Vec<(String, Does)> {
    let button = |words: &str, to| {
        (format!("{words}: {name}"), Does::Restrict(Restriction { tool: tool.clone(), to }))
    };
    let ask = stand.may_ask.then(|| button("✋ Ask", Stricter::Ask));
    let deny = stand.may_deny.then(|| button("⛔ Deny", Stricter::Deny));
    ask.into_iter().chain(deny).collect()
}

/// A tool's name, which holds letters, digits and a few signs only, or its end.
fn short(tool: &ToolId) -> String {
    let name = tool.to_string();
    match name.len().checked_sub(NAME_MOST) {
        None | Some(0) => name,
        Some(over) => format!("…{}", &name[over + 1..]),
    }
}

fn numbered(stands: &Stands) -> impl Iterator<Item = (u64, &ToolId, Stand)> {
    (1..).zip(stands).map(|(number, (tool, stand))| (number, tool, *stand))
}

/// At least one.
fn pages(stands: &Stands) -> usize {
    stands.len().div_ceil(PAGE).max(1)
}

fn rules_of(text: Text, stand: Stand) -> Text {
    let (words, id) = match (stand.denies, stand.asks) {
        (Some(id), _) => (", denied: rule ", id),
        (None, Some(id)) => (", asks: rule ", id),
        (None, None) => return text,
    };
    text.words(words).count(id).words(", undo ").code(&Shown::line(&format!("/unrule {id}")))
}

const fn title(fate: Fate) -> &'static str {
    match fate {
        Fate::Refused => "Refused",
        Fate::Failed => "Failed",
        Fate::Ran => "Ran without asking",
    }
}
