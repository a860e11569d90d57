//! The question about a waiting call, and what a typed line means as its answer.

use crate::args;

/// Which command asks.
#[derive(Clone, Copy)]
pub(super) enum WalkKind<'a> {
    Approve(&'a args::ApproveArgs),
    Reject(&'a args::RejectArgs),
}

/// What the person typed at a question about a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WalkAnswer {
    Approve,
    /// Approve, and permit more.
    ApproveMore,
    Reject,
    RejectWithReason,
    Skip,
    Quit,
    /// The call at this place of the list.
    GoTo(usize),
    Unknown,
}

/// The question, where `is_refused` says that the call can't be approved.
pub(super) fn question(kind: WalkKind<'_>, is_refused: bool) -> String {
    let rest = "s skip, q quit, or a number of the list:";
    match kind {
        WalkKind::Approve(_) if is_refused => format!("Reject it? n yes, d with a reason, {rest}"),
        WalkKind::Approve(_) => {
            format!("Run it? y yes, m yes and more, n reject, d reject with a reason, {rest}")
        }
        WalkKind::Reject(_) => format!("Reject it? y yes, d with a reason, {rest}"),
    }
}

/// The meaning of a typed line, where the list has `count` calls.
pub(super) fn parse_answer(kind: WalkKind<'_>, line: &str, count: usize) -> WalkAnswer {
    if let Ok(number) = line.parse::<usize>() {
        return match number.checked_sub(1).filter(|place| *place < count) {
            Some(place) => WalkAnswer::GoTo(place),
            None => WalkAnswer::Unknown,
        };
    }
    match (kind, line.to_ascii_lowercase().as_str()) {
        (WalkKind::Approve(_), "y" | "yes") => WalkAnswer::Approve,
        (WalkKind::Approve(_), "m" | "more") => WalkAnswer::ApproveMore,
        (WalkKind::Approve(_), "n" | "no") | (WalkKind::Reject(_), "y" | "yes") => WalkAnswer::Reject,
        (_, "d" | "deny") => WalkAnswer::RejectWithReason,
        (_, "s" | "skip") | (WalkKind::Reject(_), "n" | "no") => WalkAnswer::Skip,
        (_, "q" | "quit") => WalkAnswer::Quit,
        (WalkKind::Approve(_) | WalkKind::Reject(_), _) => WalkAnswer::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_means_what_its_question_says() {
        let (rejecting, approving) = (args::RejectArgs::default(), args::ApproveArgs::default());
        let (approve, reject) = (WalkKind::Approve(&approving), WalkKind::Reject(&rejecting));
        for (line, of_approve, of_reject) in [
            ("y", WalkAnswer::Approve, WalkAnswer::Reject),
            ("YES", WalkAnswer::Approve, WalkAnswer::Reject),
            ("m", WalkAnswer::ApproveMore, WalkAnswer::Unknown),
            ("n", WalkAnswer::Reject, WalkAnswer::Skip),
            ("d", WalkAnswer::RejectWithReason, WalkAnswer::RejectWithReason),
            ("s", WalkAnswer::Skip, WalkAnswer::Skip),
            ("q", WalkAnswer::Quit, WalkAnswer::Quit),
            ("2", WalkAnswer::GoTo(1), WalkAnswer::GoTo(1)),
            // A stray Enter or word decides nothing.
            ("", WalkAnswer::Unknown, WalkAnswer::Unknown),
            ("0", WalkAnswer::Unknown, WalkAnswer::Unknown),
            ("4", WalkAnswer::Unknown, WalkAnswer::Unknown),
            ("yy", WalkAnswer::Unknown, WalkAnswer::Unknown),
        ] {
            assert_eq!(parse_answer(approve, line, 3), of_approve, "{line:?}");
            assert_eq!(parse_answer(reject, line, 3), of_reject, "{line:?}");
        }
    }
}
