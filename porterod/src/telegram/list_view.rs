//! Renders a list of calls on Telegram's pages: the list itself, one of its calls, or the question to deny all.

use jiff::tz::TimeZone;
use portero::names::TaskId;

use super::card_pages::{MAX_HEADING_ENTITIES, MAX_HEADING_UNITS, headed_card_pages};
use super::text::{FormattedText, MAX_ENTITIES, MAX_MESSAGE_UNITS, StyledText, ToMessages as _, utf16_len};
use crate::daemon::Daemon;
use crate::presentation::ViewContext;
use crate::presentation::burst::{
    CallNote, CallScreen, ListState, ListView, ListedCall, Overview, ShownCall, call_buttons, call_heading,
    deny_buttons, deny_question, overview, overview_buttons,
};
use crate::presentation::buttons::ButtonRows;
use crate::presentation::card::{Card, RecordedDecision, outcome_text};

/// The units and entities that a page of a list keeps for its number.
const PAGE_MARGIN_UNITS: usize = 60;
const PAGE_MARGIN_ENTITIES: usize = 2;

/// A list with everything that its message depends on.
pub(super) struct ListDrawing<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) zone: &'a TimeZone,
    /// The calls in the order in which they arrived, at least one.
    pub(super) calls: Vec<ListedCall>,
    /// The calls whose document was read, and is in the chat.
    pub(super) read: Vec<TaskId>,
    pub(super) state: ListState,
    /// How many calls of the session came since, and have another message.
    pub(super) later: u64,
}

/// A list as its message shows it.
pub(super) struct DrawnList {
    pub(super) text: FormattedText,
    pub(super) rows: ButtonRows,
    /// The number of pages of the list.
    pub(super) pages: usize,
    /// The open call that has a document.
    pub(super) document: Option<usize>,
}

impl ListDrawing<'_> {
    /// Whether a call waits for a person.
    pub(super) fn waits(&self) -> bool {
        self.calls.iter().any(ListedCall::waits)
    }

    /// The message of the open view. Once no call waits it is the list.
    pub(super) fn render(&self) -> DrawnList {
        let waiting = self.waiting_tasks();
        match self.state.view {
            ListView::Deny if !waiting.is_empty() => {
                let mut drawn = self.render_overview(0, deny_question(&self.calls));
                drawn.rows = deny_buttons(waiting);
                drawn
            }
            ListView::Call(task, page) if !waiting.is_empty() => {
                match self.calls.iter().position(|call| call.look.task.id == task) {
                    Some(index) => self.render_call(index, page),
                    None => self.render_overview(0, StyledText::new()),
                }
            }
            ListView::List(page) => self.render_overview(page, StyledText::new()),
            ListView::Deny | ListView::Call(..) => self.render_overview(0, StyledText::new()),
        }
    }

    fn render_overview(&self, page: usize, heading: StyledText) -> DrawnList {
        let list = overview(&self.calls, &self.state, &self.view_context());
        let mut pages = overview_pages(&list, &heading);
        // The list may have become shorter since the page was opened.
        let page = page.min(pages.len() - 1);
        let unshown = self.calls.iter().find(|call| call.waits() && !self.has_shown(call));
        let first = unshown.or_else(|| self.calls.iter().find(|call| call.waits()));
        let rows = overview_buttons((page, pages.len()), first.map(|call| call.look.task.id));
        DrawnList { pages: pages.len(), text: pages.swap_remove(page), rows, document: None }
    }

    fn render_call(&self, index: usize, page: usize) -> DrawnList {
        let call = &self.calls[index];
        let task = call.look.task.id;
        let shown = ShownCall::of(&call.look);
        let (mut pages, is_whole) = match call.decided.filter(|_| !call.waits()) {
            Some(decided) => (vec![self.outcome_page(index, decided)], true),
            None => headed_card_pages(&Card::new(&call.look, &self.view_context()), |is_whole| {
                let is_shown = is_whole || self.read.contains(&task);
                call_heading(&self.calls, index, self.note(is_shown.then_some(&shown)))
            }),
        };
        let must_read = !is_whole && !self.read.contains(&task);
        let shown = Some(shown).filter(|_| !must_read);
        let page = page.min(pages.len() - 1);
        let waits = |call: &&ListedCall| call.waits();
        let screen = CallScreen {
            task,
            waits: call.waits(),
            page,
            pages: pages.len(),
            must_read,
            is_lost: call.look.loss.is_some(),
            is_void: call.look.void.is_some(),
            previous: self.calls[..index].iter().rfind(waits).map(|call| call.look.task.id),
            next: self.calls[index + 1..].iter().find(waits).map(|call| call.look.task.id),
            approvable: self.approvable(shown.as_ref()),
            shown: shown.filter(|_| call.waits()),
        };
        let document = (!is_whole).then_some(index);
        DrawnList { pages: 1, text: pages.swap_remove(page), rows: call_buttons(&screen), document }
    }

    /// The outcome of a call below its heading, shortened where it must be.
    fn outcome_page(&self, index: usize, decided: RecordedDecision) -> FormattedText {
        let heading = call_heading(&self.calls, index, self.note(None));
        let outcome = outcome_text(&self.calls[index].look.task, decided, None, &self.view_context());
        // Each character may take two units.
        let room = (MAX_MESSAGE_UNITS - MAX_HEADING_UNITS) / 2;
        let (outcome, is_whole) = outcome.truncated(room, MAX_ENTITIES - MAX_HEADING_ENTITIES);
        let outcome = if is_whole { outcome } else { outcome.on_new_line().literal("Shortened.") };
        heading.append(outcome).fit_message(MAX_MESSAGE_UNITS).unwrap_or_default()
    }

    /// What the heading of a call says, where this screen shows `now` in full.
    fn note(&self, now: Option<&ShownCall>) -> CallNote {
        match self.count_unshown(now) {
            0 => CallNote::AllShown {
                approvable: self.approvable(now).map_or(0, |calls| calls.len()),
                later: self.later,
            },
            unshown => CallNote::Unshown(unshown),
        }
    }

    /// The calls that can be approved together: none before all that wait were shown, and no single one.
    fn approvable(&self, now: Option<&ShownCall>) -> Option<Vec<ShownCall>> {
        let together = self.calls.iter().filter(|call| call.waits() && call.obstacle.is_none());
        let together: Vec<_> = together.map(|call| ShownCall::of(&call.look)).collect();
        (self.count_unshown(now) == 0 && together.len() > 1).then_some(together)
    }

    fn count_unshown(&self, now: Option<&ShownCall>) -> usize {
        let waiting = self.calls.iter().filter(|call| call.waits());
        waiting.filter(|call| !self.has_shown(call) && now != Some(&ShownCall::of(&call.look))).count()
    }

    fn has_shown(&self, call: &ListedCall) -> bool {
        self.state.has_shown(&ShownCall::of(&call.look))
    }

    fn waiting_tasks(&self) -> Vec<TaskId> {
        self.calls.iter().filter(|call| call.waits()).map(|call| call.look.task.id).collect()
    }

    fn view_context(&self) -> ViewContext<'_> {
        ViewContext { now: self.daemon.clock.now().wall, zone: self.zone }
    }
}

/// The pages of a list, at least one. Each begins with the heading, and no row is split.
pub(super) fn overview_pages(list: &Overview, heading: &StyledText) -> Vec<FormattedText> {
    let head = heading.clone().append(list.head.clone()).literal("\n");
    let (room, entities) = (
        MAX_MESSAGE_UNITS - PAGE_MARGIN_UNITS - count_units(&head) - count_units(&list.foot),
        MAX_ENTITIES - PAGE_MARGIN_ENTITIES - head.styled_count() - list.foot.styled_count(),
    );
    let mut pages = vec![StyledText::new()];
    for row in &list.rows {
        let last = &pages[pages.len() - 1];
        let is_full = count_units(last) + count_units(row) + 2 > room
            || last.styled_count() + row.styled_count() > entities;
        if is_full && !last.is_empty() {
            pages.push(StyledText::new());
        }
        let last = pages.pop().unwrap_or_default();
        pages.push(last.literal("\n").append(row.clone()));
    }
    let count = pages.len();
    let page = |(index, rows): (usize, StyledText)| {
        let text = match count {
            1 => StyledText::new(),
            count => StyledText::new()
                .literal("Page ")
                .number(to_u64(index + 1))
                .literal(" of ")
                .number(to_u64(count))
                .literal("\n"),
        };
        let text = text.append(head.clone()).append(rows);
        let text = if list.foot.is_empty() { text } else { text.literal("\n\n").append(list.foot.clone()) };
        text.fit_message(MAX_MESSAGE_UNITS).unwrap_or_default()
    };
    pages.into_iter().enumerate().map(page).collect()
}

fn count_units(text: &StyledText) -> usize {
    text.parts().iter().map(|part| utf16_len(&part.text)).sum()
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
