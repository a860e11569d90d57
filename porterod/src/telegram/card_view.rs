//! Renders the present state of a task.

use jiff::tz::TimeZone;
use portero::approval_scope::{ApprovalScope, ScopeChange};
use portero::ipc::requests::approvals::{OfferedScope, ScopePreview};
use portero::ipc::requests::definitions::TaskDefinition;
use portero::ipc::{Act, InspectedTask};
use portero::names::{Actor, ToolId};
use portero::policy::Action;
use portero::policy::definition_pins::{DefinitionItem, WaitingDigest};
use portero::task::Task;

use super::card_pages::{
    card_pages, choose_fields_pages, confirm_pages, document_upload, json_pages, outcome_message,
};
use super::client::DocumentUpload;
use super::text::{FormattedText, ToMessages as _};
use crate::api;
use crate::auth::buttons::ShownWidening;
use crate::daemon::Daemon;
use crate::presentation::ViewContext;
use crate::presentation::buttons::{CardMode, CardState, ScopeOffers};
use crate::presentation::card::{self, Card, DecidedBy, FollowUp, RecordedDecision, ScopeEffect};
use crate::store::cards::CardRow;

/// A task with everything else that its card depends on.
pub(super) struct CardView<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) zone: &'a TimeZone,
    pub(super) task_view: &'a InspectedTask,
    /// The owner of a private chat; none in a group.
    pub(super) owner: Option<i64>,
}

impl CardView<'_> {
    /// The question on its open page, and its state. `read` means that the person read its document.
    pub(super) async fn render_question(&self, kept: &CardRow, read: bool) -> (FormattedText, CardState) {
        let card = self.card();
        let (card_pages, is_whole) = card_pages(&card);
        let (is_void, is_lost) = (self.task_view.void.is_some(), self.task_view.loss.is_some());
        let offers = if is_void { ScopeOffers::default() } else { self.offers() };
        let must_read = !is_whole && !read;
        let mode = CardMode::parse(&kept.view).or_card(offers.has_more_than_once() && !must_read);
        let (mut pages, shown) = match &mode {
            CardMode::Json => (json_pages(self.task_view), None),
            CardMode::Card | CardMode::More | CardMode::Accept => (card_pages, None),
            CardMode::Fields(choice) => (choose_fields_pages(&self.task_view.task, &offers, choice), None),
            CardMode::Confirm(scope) => self.render_confirmation(&card, scope, is_whole).await,
        };
        // The text may have become shorter since the page was opened.
        let page = kept.page.min(pages.len().saturating_sub(1));
        let (pages_count, definition) = (pages.len(), self.acceptable_definition());
        let state = CardState {
            page,
            pages: pages_count,
            must_read,
            is_void,
            is_lost,
            offers,
            definition,
            mode,
            shown,
        };
        (pages.swap_remove(page), state)
    }

    /// What the person may permit with the call.
    fn offers(&self) -> ScopeOffers {
        // What permits more approves this call too, where its session's other calls run.
        if self.task_view.loss.is_some() {
            return ScopeOffers::default();
        }
        match api::list_scopes(self.daemon, self.task_view.task.id) {
            Ok(scopes) => ScopeOffers::from(scopes),
            // A call that can't be compared with others is approved by itself.
            Err(_) => ScopeOffers::default(),
        }
    }

    /// What a scope would permit, and the change that the button confirms; none if it can't be permitted.
    async fn render_confirmation(
        &self,
        card: &Card,
        scope: &ApprovalScope,
        is_whole: bool,
    ) -> (Vec<FormattedText>, Option<ShownWidening>) {
        let task = &self.task_view.task;
        match api::preview_scope(self.daemon, task.id, scope.clone()).await {
            Ok(ScopePreview { offer: OfferedScope { permit: Some(change), .. }, tools, .. }) => {
                let shown = ShownWidening::new(Act::from(&change), &tools);
                let disputed = self.disputed_tools(&change, &tools);
                let effect = ScopeEffect { change: &change, tools: &tools, disputed: &disputed };
                (confirm_pages(card, task, effect, is_whole), Some(shown))
            }
            Ok(ScopePreview { offer, .. }) => (card::refused_scope_text(task, &offer.words).to_pages(), None),
            Err(failure) => (card::refused_scope_text(task, &failure.message).to_pages(), None),
        }
    }

    /// The tools that a grant covers as reading, and whose servers say that they write.
    fn disputed_tools(&self, change: &ScopeChange, tools: &[(ToolId, Action)]) -> Vec<ToolId> {
        let for_reading = match change {
            ScopeChange::Grant { limits, .. } => limits.reads_only,
            ScopeChange::Allow(_) => false,
        };
        let writes = |tool: &&ToolId| {
            let hints = api::find_hints(self.daemon, tool, &self.task_view.task.origin.directory);
            hints.is_some_and(|hints| hints.read_only == Some(false) || hints.destructive == Some(true))
        };
        tools.iter().map(|(tool, _)| tool).filter(|_| for_reading).filter(writes).cloned().collect()
    }

    /// The definition that a press may accept beside the call. Not where a press must not permit more than this call,
    /// and not of a prompt: `/pins` accepts that.
    fn acceptable_definition(&self) -> Option<WaitingDigest> {
        let InspectedTask { task, loss, void, definition, hints: _ } = self.task_view;
        let TaskDefinition { item, shown, differences: _ } = definition.as_ref()?;
        let is_tool = matches!(item, DefinitionItem::Tool(_));
        (is_tool && loss.is_none() && void.is_none() && task.quorums.is_empty()).then_some(*shown)
    }

    /// The whole call as a document, if the card doesn't contain it.
    pub(super) fn render_document(&self) -> Option<DocumentUpload> {
        let (_, is_whole) = card_pages(&self.card());
        if is_whole { None } else { document_upload(self.task_view) }
    }

    /// The outcome; `follow_up` is what the deciding press made beside it.
    pub(super) fn render_outcome(&self, kept: &CardRow, follow_up: Option<&FollowUp>) -> FormattedText {
        let decided = recorded_decision(&self.task_view.task, kept, self.owner);
        outcome_message(&self.task_view.task, decided, follow_up, &self.view_context())
    }

    fn card(&self) -> Card {
        Card::new(self.task_view, &self.view_context())
    }

    fn view_context(&self) -> ViewContext<'_> {
        ViewContext { now: self.daemon.clock.now().wall, zone: self.zone }
    }
}

/// Who decided about a task, as a chat with this owner describes it. A group has none.
pub(super) fn recorded_decision(task: &Task, kept: &CardRow, owner: Option<i64>) -> RecordedDecision {
    match &kept.decided {
        Some((by, at)) => RecordedDecision { by: decided_by(by, owner), at: *at },
        // Without a stored decision the daemon itself ended the task.
        None => RecordedDecision { by: DecidedBy::Daemon, at: task.changed },
    }
}

fn decided_by(by: &Actor, owner: Option<i64>) -> DecidedBy {
    match (by, owner) {
        (Actor::Agent, _) => DecidedBy::Agent,
        (Actor::Expiry, _) => DecidedBy::Expiry,
        (Actor::Daemon, _) => DecidedBy::Daemon,
        (Actor::TelegramUsers(_), _) => DecidedBy::People,
        (Actor::TelegramUser(user), None) => DecidedBy::User(*user),
        (Actor::TelegramUser(user), Some(owner)) if *user == owner => DecidedBy::ThisPhone,
        (Actor::TelegramUser(_), Some(_)) => DecidedBy::AnotherPhone,
        // An identical call of that session was allowed.
        (Actor::Session { .. }, _) => DecidedBy::Rule,
        (Actor::Terminal { .. } | Actor::Telegram, _) => DecidedBy::Terminal,
    }
}
