//! What a person may permit with a waiting call, and the buttons that choose it.
//!
//! Choosing only opens views. The last of them says what would be permitted, and its button confirms exactly that.

use portero::approval_scope::{ApprovalScope, ChoosableField, ScopeDuration, suggested_pointers};
use portero::config::duration::format_duration;
use portero::ipc::requests::approvals::TaskScopes;
use portero::policy::{ArgumentPointer, MAX_FIXED_ARGUMENTS};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{CardAction, CardMode, LabelledAction};

/// The longest name of an argument on a button, in characters. A longer one is only in the text.
const MAX_NAME_CHARS: usize = 14;

/// What a person may permit with a waiting call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeOffers {
    /// The scopes that fit the call, the narrowest first.
    pub scopes: Vec<ApprovalScope>,
    /// The arguments that can be fixed, the useful ones first.
    pub fields: Vec<ChoosableField>,
}

/// The arguments that later calls must have too, as far as the person has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FieldChoice {
    /// The arguments, in the order of the call's fields.
    pub pointers: Vec<ArgumentPointer>,
    /// For how long.
    pub lasts: ScopeDuration,
}

impl From<TaskScopes> for ScopeOffers {
    fn from(TaskScopes { scopes, fields }: TaskScopes) -> Self {
        Self { scopes: scopes.into_iter().map(|offer| offer.scope).collect(), fields }
    }
}

impl ScopeOffers {
    /// Whether more can be permitted than the call alone.
    #[must_use]
    pub fn has_more_than_once(&self) -> bool {
        self.scopes.iter().any(|scope| *scope != ApprovalScope::Once)
    }

    /// Whether the tool can be permitted for this many minutes.
    #[must_use]
    pub(super) fn has_tool_for(&self, minutes: u32) -> bool {
        let lasts = ScopeDuration::Millis(60_000 * u64::from(minutes));
        self.scopes.contains(&ApprovalScope::Tool { lasts })
    }

    /// The times for which calls can be permitted.
    fn times(&self) -> Vec<ScopeDuration> {
        let time = |scope: &ApprovalScope| match scope {
            ApprovalScope::Tool { lasts } => Some(*lasts),
            ApprovalScope::Once
            | ApprovalScope::ExactCall
            | ApprovalScope::FixedArguments { .. }
            | ApprovalScope::ServerReads { .. }
            | ApprovalScope::Always => None,
        };
        self.scopes.iter().filter_map(time).collect()
    }

    /// The choice with which the view of the fields opens; none if no argument can be fixed.
    fn first_choice(&self) -> Option<FieldChoice> {
        let lasts = self.times().into_iter().next().filter(|_| !self.fields.is_empty())?;
        let mut pointers = suggested_pointers(&self.fields);
        pointers.truncate(MAX_FIXED_ARGUMENTS);
        Some(FieldChoice { pointers, lasts })
    }

    /// The rows that open the scopes, one row for each kind.
    pub(super) fn menu_rows(&self) -> Vec<Vec<LabelledAction>> {
        let confirm = |scope: &ApprovalScope| CardAction::Open(CardMode::Confirm(scope.clone()));
        let (mut exact, mut tool, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for scope in &self.scopes {
            match scope {
                ApprovalScope::ExactCall => {
                    exact.push(("This exact call, in this session…".to_owned(), confirm(scope)));
                }
                ApprovalScope::Tool { lasts } => {
                    tool.push((format!("Tool {}…", short_time(*lasts)), confirm(scope)));
                }
                ApprovalScope::ServerReads { lasts } => {
                    reads.push((format!("Reads {}…", short_time(*lasts)), confirm(scope)));
                }
                ApprovalScope::Once | ApprovalScope::FixedArguments { .. } | ApprovalScope::Always => {}
            }
        }
        let fields = self.first_choice().map(|choice| {
            ("Calls with the same fields…".to_owned(), CardAction::Open(CardMode::Fields(choice)))
        });
        vec![exact, fields.into_iter().collect(), tool, reads]
    }

    /// The rows of the view in which a person chooses the fields.
    pub(super) fn field_rows(&self, choice: &FieldChoice) -> Vec<Vec<LabelledAction>> {
        let open = |choice: FieldChoice| CardAction::Open(CardMode::Fields(choice));
        let toggles: Vec<LabelledAction> = self
            .fields
            .iter()
            .enumerate()
            .map(|(at, field)| {
                let label = toggle_label(at, field, choice.has(field));
                (label, open(choice.toggled(&field.pointer, &self.fields)))
            })
            .collect();
        let time = |lasts: ScopeDuration| {
            let mark = if lasts == choice.lasts { "●" } else { "○" };
            let choice = FieldChoice { lasts, ..choice.clone() };
            (format!("{mark} {}", short_time(lasts)), open(choice))
        };
        let mut rows: Vec<Vec<LabelledAction>> = toggles.chunks(2).map(<[_]>::to_vec).collect();
        rows.push(self.times().into_iter().map(time).collect());
        if (1..=MAX_FIXED_ARGUMENTS).contains(&choice.pointers.len()) {
            rows.push(vec![("Continue…".to_owned(), CardAction::Open(CardMode::Confirm(choice.to_scope())))]);
        }
        rows.push(vec![("Back".to_owned(), CardAction::More)]);
        rows
    }
}

impl FieldChoice {
    /// Whether this field is chosen.
    #[must_use]
    pub fn has(&self, field: &ChoosableField) -> bool {
        self.pointers.contains(&field.pointer)
    }

    /// The same with this argument chosen, or no longer, in the order of the fields.
    fn toggled(&self, pointer: &ArgumentPointer, fields: &[ChoosableField]) -> Self {
        let is_chosen = |one: &ArgumentPointer| self.pointers.contains(one) != (one == pointer);
        let pointers = fields.iter().map(|field| &field.pointer).filter(|one| is_chosen(one)).cloned();
        Self { pointers: pointers.collect(), lasts: self.lasts }
    }

    fn to_scope(&self) -> ApprovalScope {
        ApprovalScope::FixedArguments { pointers: self.pointers.clone(), lasts: self.lasts }
    }
}

/// The label of the button that confirms a scope.
pub(super) fn confirm_label(scope: &ApprovalScope) -> String {
    let lasts = match scope {
        ApprovalScope::Once => return "✅ Approve".to_owned(),
        ApprovalScope::Always => return "✅ Yes, approve and always allow".to_owned(),
        ApprovalScope::ExactCall => ScopeDuration::Session,
        ApprovalScope::FixedArguments { lasts, .. }
        | ApprovalScope::Tool { lasts }
        | ApprovalScope::ServerReads { lasts } => *lasts,
    };
    match lasts {
        ScopeDuration::Session => "✅ Yes, approve and allow in this session".to_owned(),
        ScopeDuration::Millis(_) => format!("✅ Yes, approve and allow for {}", short_time(lasts)),
    }
}

/// The view from which the confirmation of a scope was opened.
pub(super) fn former_view(scope: &ApprovalScope) -> CardAction {
    match scope {
        ApprovalScope::FixedArguments { pointers, lasts } => {
            let choice = FieldChoice { pointers: pointers.clone(), lasts: *lasts };
            CardAction::Open(CardMode::Fields(choice))
        }
        ApprovalScope::Once
        | ApprovalScope::ExactCall
        | ApprovalScope::Tool { .. }
        | ApprovalScope::ServerReads { .. }
        | ApprovalScope::Always => CardAction::More,
    }
}

/// The number of the field in the text, and its name where that is short and plain. An agent chooses the names, so
/// none can look like Portero's own words.
fn toggle_label(at: usize, field: &ChoosableField, is_chosen: bool) -> String {
    let mark = if is_chosen { "☑" } else { "☐" };
    let name = field.pointer.to_string();
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let number = at + 1;
    if is_plain && name.len() <= MAX_NAME_CHARS {
        format!("{mark} {number} {name}")
    } else {
        format!("{mark} {number}")
    }
}

/// A time as a button has it.
fn short_time(lasts: ScopeDuration) -> String {
    match lasts {
        ScopeDuration::Session => "session".to_owned(),
        ScopeDuration::Millis(millis) if millis % 3_600_000 == 0 => format!("{} h", millis / 3_600_000),
        ScopeDuration::Millis(millis) if millis % 60_000 == 0 => format!("{} min", millis / 60_000),
        ScopeDuration::Millis(millis) => format_duration(Duration::from_millis(millis)),
    }
}
