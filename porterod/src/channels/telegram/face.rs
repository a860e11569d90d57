//! What is shown of a task now.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::ipc::Look;
use portero::task::State;

use super::bot;
use super::card::{self, Decided, Door, as_json, outcome};
use super::keyboard::{Standing, View};
use super::screens;
use super::text::{Message, Text};
use crate::daemon::Daemon;
use crate::store::cards::Card;

/// A task, and what its card depends on besides it.
pub(super) struct Face<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) zone: &'a TimeZone,
    pub(super) look: &'a Look,
    /// The one whose private chat it is; none in a group.
    pub(super) owner: Option<i64>,
}

impl Face<'_> {
    /// The question, on its present page, and how it stands. `read` says that they read its document.
    pub(super) fn question(&self, kept: &Card, read: bool) -> (Message, Standing) {
        let card = card::card(&self.look.task, &self.view());
        let view = serde_json::from_str(&kept.view).unwrap_or(View::Card);
        let mut pages = match view {
            View::Json => as_json(&self.look.task),
            View::Card | View::More | View::Sure => card.pages,
        };
        let page = kept.page.min(pages.len().saturating_sub(1));
        let most = self.daemon.approvals.load().grant_most.as_secs() / 60;
        let standing = Standing {
            page,
            pages: pages.len(),
            unread: card.needs_second_tap && !read,
            loosens: !is_locked(self.daemon, self.look),
            grant_most: u32::try_from(most).unwrap_or(u32::MAX),
            view,
        };
        (pages.swap_remove(page), standing)
    }

    /// The whole call, if the card does not hold it.
    pub(super) fn document(&self) -> Option<bot::Document> {
        let card::Document { name, bytes, caption } = card::card(&self.look.task, &self.view()).document?;
        bot::Document::new(name, bytes, Some(caption)).ok()
    }

    /// What became of it.
    pub(super) fn outcome(&self, kept: &Card) -> Message {
        let decided = match &kept.decided {
            Some((by, at)) => Decided { door: self.door(by), at: *at },
            None => Decided { door: Door::Daemon, at: self.look.task.changed },
        };
        outcome(&self.look.task, decided, &self.view())
    }

    /// By what it was decided, from the words of the audit.
    fn door(&self, by: &str) -> Door {
        match by {
            "agent" => Door::Agent,
            "expiry" => Door::Expiry,
            "daemon" => Door::Daemon,
            by => match (by.strip_prefix("telegram user "), self.owner) {
                (Some(users), _) if users.contains(',') => Door::People,
                (Some(user), Some(owner)) if user == owner.to_string() => Door::ThisPhone,
                (Some(user), None) => user.parse().map_or(Door::AnotherPhone, Door::User),
                (Some(_), Some(_)) => Door::AnotherPhone,
                (None, _) => Door::Terminal,
            },
        }
    }

    fn view(&self) -> card::View<'_> {
        card::View { hints: self.look.hints, now: self.daemon.clock.now().wall, zone: self.zone }
    }
}

/// Whether nothing that a person says loosens this tool.
pub(super) fn is_locked(daemon: &Daemon, look: &Look) -> bool {
    daemon.policy.load().is_locked(&look.task.call.tool)
}

/// Many questions that came at once.
pub(super) fn list(looks: &[Look], now: Timestamp, zone: &TimeZone) -> Message {
    let tasks: Vec<_> = looks.iter().map(|look| look.task.clone()).collect();
    let view = screens::View { now, zone };
    let waits = |look: &Look| look.task.state == State::PendingApproval;
    let pages =
        if looks.iter().all(waits) { screens::digest(&tasks, &view) } else { screens::tasks(&tasks, &view) };
    let none = || Text::new().words("These calls are gone.").pages().swap_remove(0);
    pages.into_iter().next().unwrap_or_else(none)
}
