//! Renders the present state of a task.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::ipc::InspectedTask;
use portero::names::Actor;

use super::card_pages::{card_pages, document_upload, json_pages, outcome_message};
use super::client::DocumentUpload;
use super::text::{FormattedText, ToMessages as _};
use crate::daemon::Daemon;
use crate::presentation::ViewContext;
use crate::presentation::buttons::{CardMode, CardState};
use crate::presentation::card::{Card, DecidedBy, RecordedDecision};
use crate::presentation::press::is_tool_locked;
use crate::presentation::views;
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
    pub(super) fn render_question(&self, kept: &CardRow, read: bool) -> (FormattedText, CardState) {
        let (card, is_whole) = card_pages(&self.card());
        let view = serde_json::from_str(&kept.view).unwrap_or(CardMode::Card);
        let mut pages = match view {
            CardMode::Json => json_pages(&self.task_view.task),
            CardMode::Card | CardMode::More | CardMode::Sure => card,
        };
        // The text may have become shorter since the page was opened.
        let page = kept.page.min(pages.len().saturating_sub(1));
        let most = self.daemon.config.current().settings.approvals.max_grant_duration.as_secs() / 60;
        let state = CardState {
            page,
            pages: pages.len(),
            must_read: !is_whole && !read,
            is_lost: self.task_view.loss.is_some(),
            // What permits the tool for longer approves this call too, where its session's other calls run.
            can_permit: self.task_view.loss.is_none() && !is_tool_locked(self.daemon, self.task_view),
            max_grant_minutes: u32::try_from(most).unwrap_or(u32::MAX),
            mode: view,
        };
        (pages.swap_remove(page), state)
    }

    /// The whole call as a document, if the card doesn't contain it.
    pub(super) fn render_document(&self) -> Option<DocumentUpload> {
        let (_, is_whole) = card_pages(&self.card());
        if is_whole { None } else { document_upload(&self.task_view.task) }
    }

    /// The outcome.
    pub(super) fn render_outcome(&self, kept: &CardRow) -> FormattedText {
        let decided = match &kept.decided {
            Some((by, at)) => RecordedDecision { by: self.decided_by(by), at: *at },
            // Without a stored decision the daemon itself ended the task.
            None => RecordedDecision { by: DecidedBy::Daemon, at: self.task_view.task.changed },
        };
        outcome_message(&self.task_view.task, decided, &self.view_context())
    }

    /// The origin of a decision, as this chat describes it.
    fn decided_by(&self, by: &Actor) -> DecidedBy {
        match (by, self.owner) {
            (Actor::Agent, _) => DecidedBy::Agent,
            (Actor::Expiry, _) => DecidedBy::Expiry,
            (Actor::Daemon, _) => DecidedBy::Daemon,
            (Actor::TelegramUsers(_), _) => DecidedBy::People,
            (Actor::TelegramUser(user), None) => DecidedBy::User(*user),
            (Actor::TelegramUser(user), Some(owner)) if *user == owner => DecidedBy::ThisPhone,
            (Actor::TelegramUser(_), Some(_)) => DecidedBy::AnotherPhone,
            (Actor::Terminal { .. } | Actor::Session { .. } | Actor::Telegram, _) => DecidedBy::Terminal,
        }
    }

    fn card(&self) -> Card {
        Card::new(self.task_view, &self.view_context())
    }

    fn view_context(&self) -> ViewContext<'_> {
        ViewContext { now: self.daemon.clock.now().wall, zone: self.zone }
    }
}

/// The message of a burst.
pub(super) fn render_list(looks: &[InspectedTask], now: Timestamp, zone: &TimeZone) -> FormattedText {
    let tasks: Vec<_> = looks.iter().map(|look| look.task.clone()).collect();
    views::list_text(&tasks, &ViewContext { now, zone }).to_pages().swap_remove(0)
}
