//! How far somebody turned the pages of a list that is fetched page by page, and how they get back. Pure.

use portero::audit;
use portero::task::{self, State};
use serde::{Deserialize, Serialize};

/// How many pages back the way is known; further back the first page is.
const WAY_MOST: usize = 60;

/// Where a page of a list ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    /// After this task, which is listed among those in this state; so many stood before.
    Task {
        /// The state.
        state: State,
        /// The task.
        at: task::Place,
        /// How many were shown up to there.
        shown: u64,
    },
    /// After these records.
    Record(audit::Place),
}

/// Where the pages ended that were turned, up to the page that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trail {
    ends: Vec<Place>,
    /// How many further ones stood before these.
    #[serde(default)]
    dropped: usize,
}

impl Trail {
    /// After what the page begins; none for the first.
    pub(super) fn last(&self) -> Option<&Place> {
        self.ends.last()
    }

    /// The page's number, from one.
    pub(super) const fn number(&self) -> usize {
        self.dropped + self.ends.len() + 1
    }

    /// The ways from here, with their labels: to the first page, to newer ones, and to older ones where the page ends
    /// at `next`.
    pub(super) fn ways(&self, next: Option<&Place>) -> Vec<(&'static str, Self)> {
        let first = (self.number() > 2).then(|| ("« Newest", Self::default()));
        let newer = self.newer().map(|trail| ("‹ Newer", trail));
        let older = next.map(|next| ("Older ›", self.on(next.clone())));
        first.into_iter().chain(newer).chain(older).collect()
    }

    fn newer(&self) -> Option<Self> {
        let (_, ends) = self.ends.split_last()?;
        let known = !ends.is_empty() || self.dropped == 0;
        known.then(|| Self { ends: ends.to_vec(), dropped: self.dropped })
    }

    fn on(&self, next: Place) -> Self {
        let Self { mut ends, mut dropped } = self.clone();
        if ends.len() == WAY_MOST {
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

    fn place(shown: u64) -> Place {
        let at = task::Place { asked: jiff::Timestamp::UNIX_EPOCH, id: portero::names::TaskId::fresh() };
        Place::Task { state: State::Completed, at, shown }
    }

    fn labels(trail: &Trail, next: Option<&Place>) -> Vec<&'static str> {
        trail.ways(next).into_iter().map(|(label, _)| label).collect()
    }

    #[test]
    fn one_goes_on_and_back_and_to_the_beginning() {
        let first = Trail::default();
        assert_eq!(labels(&first, None), [""; 0], "one page has no ways");
        assert_eq!(labels(&first, Some(&place(1))), ["Older ›"]);
        let second = first.on(place(1));
        assert_eq!(labels(&second, Some(&place(2))), ["‹ Newer", "Older ›"]);
        let third = second.on(place(2));
        assert_eq!(labels(&third, None), ["« Newest", "‹ Newer"]);
        assert_eq!(third.number(), 3);
        let ways = third.ways(None);
        assert_eq!((&ways[0].1, &ways[1].1), (&first, &second));
        let kept = serde_json::to_string(&third).unwrap();
        assert_eq!(serde_json::from_str::<Trail>(&kept).unwrap(), third);
    }

    #[test]
    fn a_very_long_way_is_known_for_its_last_part() {
        let mut trail = Trail::default();
        for number in 0..WAY_MOST as u64 + 5 {
            trail = trail.on(place(number));
        }
        assert_eq!((trail.number(), trail.ends.len()), (WAY_MOST + 6, WAY_MOST));
        let mut back = 0;
        while let Some(newer) = trail.newer() {
            (trail, back) = (newer, back + 1);
        }
        assert_eq!(back, WAY_MOST - 1);
        assert_eq!(labels(&trail, None), ["« Newest"]);
    }
}
