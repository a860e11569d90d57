//! Tracks the turned pages of a list that is fetched page by page, for the way back. All functions are pure.

use portero::audit;
use portero::task::{self, TaskState};
use serde::{Deserialize, Serialize};

/// How many pages back the way is kept; before that only the first page is reachable.
const MAX_TRAIL_PAGES: usize = 60;

/// The end of a list's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PageEnd {
    /// After this task, listed under its state.
    Task {
        /// The state.
        state: TaskState,
        /// The task.
        at: task::TaskCursor,
        /// How many tasks were shown up to there.
        shown: u64,
    },
    /// After this record.
    Record(audit::ReadPosition),
}

/// The ends of all pages before the open one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageTrail {
    ends: Vec<PageEnd>,
    /// How many earlier ends were dropped.
    #[serde(default)]
    dropped: usize,
}

impl PageTrail {
    /// The end after which the open page begins; none for the first page.
    pub(super) fn last_end(&self) -> Option<&PageEnd> {
        self.ends.last()
    }

    /// The page's number, counted from one.
    pub(super) const fn page_number(&self) -> usize {
        self.dropped + self.ends.len() + 1
    }

    /// The links from here with their labels: to the first page, to newer entries, and to older ones if the
    /// page ends at `next`.
    pub(super) fn page_links(&self, next: Option<&PageEnd>) -> Vec<(&'static str, Self)> {
        let first = (self.page_number() > 2).then(|| ("« Newest", Self::default()));
        let newer = self.newer_trail().map(|trail| ("‹ Newer", trail));
        let older = next.map(|next| ("Older ›", self.older_trail(next.clone())));
        first.into_iter().chain(newer).chain(older).collect()
    }

    fn newer_trail(&self) -> Option<Self> {
        let (_, ends) = self.ends.split_last()?;
        // With dropped ends and none left, the start of the newer page is unknown, so there is no such link.
        let known = !ends.is_empty() || self.dropped == 0;
        known.then(|| Self { ends: ends.to_vec(), dropped: self.dropped })
    }

    fn older_trail(&self, next: PageEnd) -> Self {
        let Self { mut ends, mut dropped } = self.clone();
        if ends.len() == MAX_TRAIL_PAGES {
            // A button's stored action has bounded size, so the oldest end is dropped.
            ends.remove(0);
            dropped += 1;
        }
        ends.push(next);
        Self { ends, dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_end(shown: u64) -> PageEnd {
        let at = task::TaskCursor { asked: jiff::Timestamp::UNIX_EPOCH, id: portero::names::TaskId::fresh() };
        PageEnd::Task { state: TaskState::Completed, at, shown }
    }

    fn link_labels(trail: &PageTrail, next: Option<&PageEnd>) -> Vec<&'static str> {
        trail.page_links(next).into_iter().map(|(label, _)| label).collect()
    }

    #[test]
    fn one_goes_on_and_back_and_to_the_beginning() {
        let first = PageTrail::default();
        assert_eq!(link_labels(&first, None), [""; 0], "one page has no ways");
        assert_eq!(link_labels(&first, Some(&task_end(1))), ["Older ›"]);
        let second = first.older_trail(task_end(1));
        assert_eq!(link_labels(&second, Some(&task_end(2))), ["‹ Newer", "Older ›"]);
        let third = second.older_trail(task_end(2));
        assert_eq!(link_labels(&third, None), ["« Newest", "‹ Newer"]);
        assert_eq!(third.page_number(), 3);
        let ways = third.page_links(None);
        assert_eq!((&ways[0].1, &ways[1].1), (&first, &second));
        let kept = serde_json::to_string(&third).unwrap();
        assert_eq!(serde_json::from_str::<PageTrail>(&kept).unwrap(), third);
    }

    #[test]
    fn a_very_long_way_is_known_for_its_last_part() {
        let mut trail = PageTrail::default();
        for number in 0..MAX_TRAIL_PAGES as u64 + 5 {
            trail = trail.older_trail(task_end(number));
        }
        assert_eq!((trail.page_number(), trail.ends.len()), (MAX_TRAIL_PAGES + 6, MAX_TRAIL_PAGES));
        let mut back = 0;
        while let Some(newer) = trail.newer_trail() {
            (trail, back) = (newer, back + 1);
        }
        assert_eq!(back, MAX_TRAIL_PAGES - 1);
        assert_eq!(link_labels(&trail, None), ["« Newest"]);
    }
}
