//! One message about calls that ran without a question, with buttons that restrict their tools. All functions
//! are pure.
//!
//! The message shows each tool's rules as they are when it is drawn: which rule asks or denies, and how to
//! undo it.

use std::collections::BTreeMap;

use portero::clock::Moment;
use portero::names::ToolId;
use portero::policy::{Action, Policy};
use serde::{Deserialize, Serialize};

use super::super::buttons::{Button, ButtonRows, page_turns};
use super::super::press::PressReply;
use super::super::text::{EscapedText, StyledText};
use crate::auth::buttons::{ButtonAction, Restriction, RestrictionLevel};
use crate::overrides::{OverridesError, RestrictionOutcome};

/// The prefix of the buttons that turn a notice's pages.
const PAGE_PREFIX: &str = "notice";

/// How many tools have buttons below the message itself; more are behind a button.
const MAX_TOOL_ROWS: usize = 4;
/// How many tools one page of the list shows.
const TOOLS_PER_PAGE: usize = 4;
/// The longest name on a button, in characters.
const MAX_LABEL_CHARS: usize = 24;

/// The result of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallFate {
    /// They were refused.
    Refused,
    /// They ran and failed.
    Failed,
    /// They ran.
    Ran,
}

/// The content of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivitySummary {
    /// The number of calls by result and tool; failures come first.
    pub counts: Vec<(CallFate, ToolId, u64)>,
    /// The number of calls of tools that aren't named.
    pub others: u64,
}

/// The rules about one tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToolRules {
    /// The rule that makes it ask.
    pub asking_rule: Option<u64>,
    /// The rule that denies it.
    pub denying_rule: Option<u64>,
    /// Whether a button offers to make it ask.
    pub may_ask: bool,
    /// Whether the buttons offer to deny it.
    pub may_deny: bool,
}

/// The rules about each tool of a message.
pub type RulesByTool = BTreeMap<ToolId, ToolRules>;

/// The page that a button opens, where the inner none is the notice itself. The outer none means another kind
/// of button.
#[must_use]
pub fn parse_page_button(what: &str) -> Option<Option<usize>> {
    match what.strip_prefix(PAGE_PREFIX)? {
        "" => Some(None),
        page => page.strip_prefix(' ')?.parse().ok().map(Some),
    }
}

fn page_button(label: String, page: Option<usize>) -> Button {
    let number = page.map(|page| format!(" {page}")).unwrap_or_default();
    Button::new(label, ButtonAction::Show(format!("{PAGE_PREFIX}{number}")))
}

/// The present rules about each tool of a message.
#[must_use]
pub fn rules_by_tool(told: &ActivitySummary, policy: &Policy, now: Moment) -> RulesByTool {
    let mut stands = RulesByTool::new();
    for (fate, tool, _) in &told.counts {
        let stand = stands.entry(tool.clone()).or_insert_with(|| rules_of_tool(tool, policy, now));
        // A tool that was only refused doesn't run, so asking would not restrict it.
        stand.may_ask |= *fate != CallFate::Refused && stand.may_deny && stand.asking_rule.is_none();
    }
    stands
}

fn rules_of_tool(tool: &ToolId, policy: &Policy, now: Moment) -> ToolRules {
    let standing = policy.overrides();
    let by =
        |to| standing.restricting_rule(tool, to, now).filter(|rule| rule.action == to).map(|rule| rule.id);
    let (asks, denies) = (by(Action::RequireApproval), by(Action::Deny));
    let (loosest, _) = policy.action_range(tool, None, now);
    // Portero's own tools have no effect on their own.
    let may_deny = denies.is_none() && loosest != Action::Deny && !tool.is_builtin();
    ToolRules { asking_rule: asks, denying_rule: denies, may_ask: false, may_deny }
}

impl ActivitySummary {
    /// The text of the message.
    #[must_use]
    pub fn message_text(&self, stands: &RulesByTool) -> StyledText {
        let (mut text, mut last) = (StyledText::new(), None);
        // The counts are sorted by result, so a title is needed only where the result changes.
        for (fate, tool, count) in &self.counts {
            if last != Some(*fate) {
                text = text.on_new_line().bold(fate_title(*fate));
                last = Some(*fate);
            }
            text =
                text.literal("\n").number(*count).literal(" × ").code(&EscapedText::line(&tool.to_string()));
            text = append_rules(text, stands.get(tool).copied().unwrap_or_default());
        }
        match self.others {
            0 => text,
            others => text.literal("\nand of other tools: ").number(others),
        }
    }

    /// A page of the list of tools; the last page if there are fewer.
    #[must_use]
    pub fn tool_list_text(&self, page: usize, stands: &RulesByTool) -> StyledText {
        // Tools may have become fewer since the button was drawn.
        let page = page.min(page_count(stands) - 1);
        let text = StyledText::new().bold("What may these tools do from now on?");
        numbered_tools(stands).skip(page * TOOLS_PER_PAGE).take(TOOLS_PER_PAGE).fold(
            text,
            |text, (number, tool, stand)| {
                let text = text
                    .literal("\n")
                    .number(number)
                    .literal(". ")
                    .code(&EscapedText::line(&tool.to_string()));
                append_rules(text, stand)
            },
        )
    }
}

/// The buttons of the message itself, or of a page of its tools.
#[must_use]
pub fn button_rows(stands: &RulesByTool, page: Option<usize>) -> ButtonRows {
    match page {
        None => message_rows(stands),
        Some(page) => page_rows(stands, page.min(page_count(stands) - 1)),
    }
}

/// The reply to a button that makes a rule.
pub(crate) fn restriction_reply(
    restriction: &Restriction,
    done: &Result<RestrictionOutcome, OverridesError>,
) -> PressReply {
    match done {
        Ok(RestrictionOutcome::Made(rule)) => PressReply::brief(rule_made_reply(restriction, rule.id)),
        Ok(RestrictionOutcome::AlreadyThere(rule)) => {
            PressReply::brief(format!("Rule {} says so already. Nothing was changed.", rule.id))
        }
        Err(OverridesError::NotSaved(_)) => PressReply::alert(
            "It is in force, but could not be stored, and is lost if the daemon ends now. Look at the disk.",
        ),
        Err(error) => {
            tracing::info!(%error, "a button below a notice changed nothing");
            PressReply::alert("This could not be done. Nothing was changed: look at `portero status`.")
        }
    }
}

/// The reply once the rule is made.
pub(crate) fn rule_made_reply(restriction: &Restriction, id: u64) -> String {
    let fate = match restriction.to {
        RestrictionLevel::Ask => "asks",
        RestrictionLevel::Deny => "is denied",
    };
    format!("This tool {fate} from now on: rule {id}. Undo it with /unrule {id}")
}

/// A row for each tool with its name. Many tools, or equal labels, get one button to the list instead.
fn message_rows(stands: &RulesByTool) -> ButtonRows {
    let row = |(tool, stand): (&ToolId, &ToolRules)| restrict_buttons(tool, *stand, &short_tool_name(tool));
    let rows: Vec<_> = stands.iter().map(row).filter(|row| !row.is_empty()).collect();
    let mut labels: Vec<_> = rows.iter().flatten().map(|button| &button.label).collect();
    labels.sort_unstable();
    // Two equal labels would leave open which tool a button restricts.
    let alike = labels.windows(2).any(|two| two[0] == two[1]);
    if rows.len() <= MAX_TOOL_ROWS && !alike {
        return rows;
    }
    vec![vec![page_button("Tools…".to_owned(), Some(0))]]
}

fn page_rows(stands: &RulesByTool, page: usize) -> ButtonRows {
    let of_tool =
        |(number, tool, stand): (u64, &ToolId, ToolRules)| restrict_buttons(tool, stand, &number.to_string());
    let tools = numbered_tools(stands).skip(page * TOOLS_PER_PAGE).take(TOOLS_PER_PAGE).map(of_tool);
    let turning =
        page_turns(page, page_count(stands)).into_iter().map(|(label, to)| page_button(label, Some(to)));
    let back = page_button("Back".to_owned(), None);
    let mut rows: Vec<Vec<_>> = tools.collect();
    rows.extend([turning.collect(), vec![back]]);
    rows.retain(|row| !row.is_empty());
    rows
}

/// The buttons for one tool, which they call `name`.
fn restrict_buttons(tool: &ToolId, stand: ToolRules, name: &str) -> Vec<Button> {
    let button = |words: &str, to| {
        Button::new(
            format!("{words}: {name}"),
            ButtonAction::Restrict(Restriction { tool: tool.clone(), to }),
        )
    };
    let ask = stand.may_ask.then(|| button("✋ Ask", RestrictionLevel::Ask));
    let deny = stand.may_deny.then(|| button("⛔ Deny", RestrictionLevel::Deny));
    ask.into_iter().chain(deny).collect()
}

/// A tool's name or its end. It is ASCII, so it can be cut at any byte.
fn short_tool_name(tool: &ToolId) -> String {
    let name = tool.to_string();
    match name.len().checked_sub(MAX_LABEL_CHARS) {
        None | Some(0) => name,
        Some(over) => format!("…{}", &name[over + 1..]),
    }
}

fn numbered_tools(stands: &RulesByTool) -> impl Iterator<Item = (u64, &ToolId, ToolRules)> {
    (1..).zip(stands).map(|(number, (tool, stand))| (number, tool, *stand))
}

/// The number of pages, at least one.
fn page_count(stands: &RulesByTool) -> usize {
    stands.len().div_ceil(TOOLS_PER_PAGE).max(1)
}

fn append_rules(text: StyledText, stand: ToolRules) -> StyledText {
    let (words, id) = match (stand.denying_rule, stand.asking_rule) {
        // A deny wins over an ask, as in the policy.
        (Some(id), _) => (", denied: rule ", id),
        (None, Some(id)) => (", asks: rule ", id),
        (None, None) => return text,
    };
    text.literal(words).number(id).literal(", undo ").code(&EscapedText::line(&format!("/unrule {id}")))
}

const fn fate_title(fate: CallFate) -> &'static str {
    match fate {
        CallFate::Refused => "Refused",
        CallFate::Failed => "Failed",
        CallFate::Ran => "Ran without asking",
    }
}
