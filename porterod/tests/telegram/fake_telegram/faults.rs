//! Bad weather: what goes wrong, when, and how often.

use super::FakeTelegram;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too many requests; again after so many seconds.
    RetryAfter(u64),
    /// A failure of Telegram's own, or of a gateway before it, with a page instead of JSON.
    Server(u16),
    /// The token was revoked.
    Unauthorized,
    /// The token was never one.
    NotFound,
    /// It is more than Telegram takes.
    TooLarge,
    /// The bot may not.
    Forbidden,
    /// Another program polls.
    Conflict,
    /// The request is one that Telegram does not take, for this reason.
    Bad(&'static str),
    /// What comes back is not JSON, though all is said to be well.
    Nonsense,
    /// The connection breaks before anything is done.
    Drop,
    /// It is done, and the connection breaks before the answer.
    DropAfter,
    /// No answer ever comes.
    Hang,
}

impl FakeTelegram {
    /// The next `times` calls of a method go wrong.
    pub(crate) fn inject_fault(&self, method: &str, fault: Fault, times: usize) {
        self.shared.change_state(|state| {
            state.faults.entry(method.to_owned()).or_default().extend(std::iter::repeat_n(fault, times));
        });
    }

    /// All that was to go wrong with a method no longer does.
    pub(crate) fn clear_faults(&self, method: &str) {
        self.shared.change_state(|state| state.faults.remove(method));
    }

    /// Nobody reaches Telegram, until they do; polls that wait are cut off.
    pub(crate) fn set_down(&self, down: bool) {
        self.shared.change_state(|state| state.is_down = down);
    }

    /// What was delivered once is delivered again, confirmed or not.
    pub(crate) fn redeliver(&self, update: i64) {
        self.shared.change_state(|state| {
            let again = state.delivered.get(&update).expect("an update that was there").clone();
            state.redeliveries.push(again);
        });
    }

    /// What was delivered last is delivered again.
    pub(crate) fn redeliver_last(&self) {
        self.shared.change_state(|state| {
            let again = state.delivered.last_key_value().map(|(_, update)| update.clone());
            state.redeliveries.extend(again);
        });
    }

    /// What waits is delivered in the wrong order.
    pub(crate) fn reverse_updates(&self, reversed: bool) {
        self.shared.change_state(|state| state.is_reversed = reversed);
    }

    /// So many numbers of updates are left out.
    pub(crate) fn skip_updates(&self, count: i64) {
        self.shared.change_state(|state| state.skip_updates(count));
    }

    /// Every press so far is too old to be answered.
    pub(crate) fn age_presses(&self) {
        self.shared
            .change_state(|state| state.queries.values_mut().for_each(|query| query.is_too_old = true));
    }
}
