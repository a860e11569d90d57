//! A burst: calls of one session that arrive together, and share one message with a list.
//!
//! The list itself decides nothing. A person opens one call after the other, decides about each by itself, or
//! approves those together that were shown in full. [`ListState`] keeps which ones these are, by digest.

mod buttons;
mod state;
mod text;

pub use self::buttons::{CallScreen, ListStep, call_buttons, deny_buttons, overview_buttons};
pub use self::state::{ListState, ListView, ListedCall, RecentMessage, ShownCall, joins, shown_digest};
pub use self::text::{CallNote, Overview, call_heading, deny_question, overview};

#[cfg(test)]
mod tests;
