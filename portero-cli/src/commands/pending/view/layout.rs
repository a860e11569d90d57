//! The areas of the screen, and line breaks. Only rows of the list are cut, with a mark.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::state::{PendingItem, PendingView, ViewMode};
use crate::commands::approvals;
use crate::output::{escape_hidden, format_duration};

/// The smallest usable terminal.
const MIN_SIZE: (u16, u16) = (20, 8);
/// From this width on the list is beside the call, otherwise above it.
const MIN_SIDE_BY_SIDE_WIDTH: u16 = 70;
/// How many rows a task takes in the list.
pub(super) const ROWS_PER_TASK: u16 = 2;
/// The beginning of a quoted line, and of its continuation.
const QUOTE_BARS: (&str, &str) = ("  │ ", "  ┆ ");
const FIELD_CONTINUATION: &str = "          ┆ ";

const KEY_HELP: &str = "a approve  r reject  p pause  j/k move  PgUp/PgDn read  ? help  q quit";
const SHORT_KEY_HELP: &str = "a r p j/k ?=help q";

/// The areas of the screen.
pub(super) struct ScreenAreas {
    pub(super) header: Rect,
    /// The area between header and footer.
    pub(super) body: Rect,
    pub(super) list: Rect,
    /// The line between list and call.
    pub(super) separator: Rect,
    /// The title of the call.
    pub(super) title: Rect,
    pub(super) call: Rect,
    /// The position within the call's lines.
    pub(super) position: Rect,
    pub(super) footer: Rect,
}

/// The areas of the screen; none if the terminal is too small.
pub(super) fn screen_areas(view: &PendingView) -> Option<ScreenAreas> {
    let (width, height) = view.size;
    if width < MIN_SIZE.0 || height < MIN_SIZE.1 {
        return None;
    }
    let wanted = u16::try_from(footer_lines(view).len()).unwrap_or(u16::MAX);
    // The footer never takes more than half, so a long question leaves room for the call.
    let below = wanted.min(height / 2);
    let body = Rect::new(0, 1, width, height - 1 - below);
    let (list, rule, right) = if width >= MIN_SIDE_BY_SIDE_WIDTH {
        let left = (width * 2 / 5).clamp(28, 44);
        (
            Rect { width: left, ..body },
            Rect { x: left, width: 1, ..body },
            Rect { x: left + 1, width: width - left - 1, ..body },
        )
    } else {
        let count = u16::try_from(view.items.len().max(1)).unwrap_or(u16::MAX);
        // The list takes a third at most: the call is what the person decides about.
        let above = count.saturating_mul(ROWS_PER_TASK).min(body.height / 3).max(1);
        let rest = body.height - above;
        (
            Rect { height: above, ..body },
            Rect { y: body.y + above, height: rest.min(1), ..body },
            Rect { y: body.y + above + 1, height: rest.saturating_sub(1), ..body },
        )
    };
    let title = Rect { height: right.height.min(1), ..right };
    let left_over = right.height.saturating_sub(2);
    Some(ScreenAreas {
        header: Rect::new(0, 0, width, 1),
        body,
        list,
        separator: rule,
        title,
        call: Rect { y: right.y + title.height, height: left_over, ..right },
        position: Rect {
            y: right.y + title.height + left_over,
            height: u16::from(right.height > 1),
            ..right
        },
        footer: Rect::new(0, height - below, width, below),
    })
}

/// How many lines of the call fit on the screen.
pub(super) fn page_height(view: &PendingView) -> usize {
    screen_areas(view).map_or(1, |areas| usize::from(areas.call.height))
}

/// All lines of a call, wrapped to the available width.
pub(super) fn call_lines(view: &PendingView, item: &PendingItem) -> Vec<String> {
    let width = screen_areas(view).map_or(MIN_SIZE.0, |areas| areas.call.width);
    item.text.lines().flat_map(|line| wrap_call_line(line, usize::from(width))).collect()
}

/// The lines of the footer.
pub(super) fn footer_lines(view: &PendingView) -> Vec<String> {
    let mut texts = Vec::new();
    match &view.mode {
        ViewMode::Browse => {
            texts.push(view.message.clone());
            let keys = if view.size.0 < 40 { SHORT_KEY_HELP } else { KEY_HELP };
            texts.push(keys.to_owned());
        }
        ViewMode::Help => texts.push("any key goes back".to_owned()),
        ViewMode::Approve { task, problem, number, .. } => {
            texts.push(approval_question(view, *task));
            texts.extend(problem.clone());
            texts.push(match (number, &view.remembered) {
                (Some(number), Some((left, _))) => {
                    format!("Type {number} (the passphrase is remembered for {}): ", format_duration(*left))
                }
                (Some(number), None) => format!("Type {number}: "),
                (None, _) => "Passphrase (it is not shown): ".to_owned(),
            });
            texts.push(answer_keys(view, "Enter runs it"));
        }
        ViewMode::Reject { task, reason } => {
            texts.push(format!("Refuse {}? A reason for the agent, or none:", task_name(view, *task)));
            texts.push(format!("> {}", escape_hidden(reason)));
            texts.push(answer_keys(view, "Enter refuses it"));
        }
        ViewMode::Pause => {
            texts.push("Pause everything, in every session? `portero resume` ends it.".to_owned());
            texts.push(answer_keys(view, "y pauses"));
        }
        ViewMode::TaskEnded => {
            texts.push(view.message.clone());
            texts.push("Your typing is ignored. Press Enter or Esc to go on".to_owned());
        }
    }
    let width = usize::from(view.size.0);
    texts.iter().filter(|text| !text.is_empty()).flat_map(|text| wrap_words(text, width)).collect()
}

fn answer_keys(view: &PendingView, yes: &str) -> String {
    if view.busy {
        return "asking the daemon…".to_owned();
    }
    format!("{yes} · Esc goes back · PgUp/PgDn read on")
}

fn task_name(view: &PendingView, id: portero::names::TaskId) -> String {
    let tool = view.item(id).map_or_else(String::new, |item| item.task.call.tool.to_string());
    format!("{tool} ({})", approvals::short_id(id))
}

/// The question before an approval, with the number of unread lines.
fn approval_question(view: &PendingView, id: portero::names::TaskId) -> String {
    let Some(item) = view.item(id) else { return String::new() };
    // The area's height depends on this text, so the count uses the width only. Otherwise both would need
    // each other.
    let width = usize::from(call_width(view));
    let lines: usize = item.text.lines().map(|line| wrap_call_line(line, width).len()).sum();
    let unseen = lines.saturating_sub(item.lines_seen);
    let rest = match unseen {
        0 => String::new(),
        _ => format!(", {unseen} of them NOT YET SEEN"),
    };
    format!("Run {}, exactly this call ({lines} lines{rest}), once?", task_name(view, id))
}

fn call_width(view: &PendingView) -> u16 {
    let width = view.size.0;
    if width >= MIN_SIDE_BY_SIDE_WIDTH { width - (width * 2 / 5).clamp(28, 44) - 1 } else { width }
}

/// Wraps a line of a call. Each continuation has its own mark, so that no part of a call looks like a line of
/// Portero's.
pub(super) fn wrap_call_line(line: &str, width: usize) -> Vec<String> {
    let (bar, on) = QUOTE_BARS;
    let quoted = line.starts_with(bar);
    let on = if quoted || width < 40 { on } else { FIELD_CONTINUATION };
    let mut lines = Vec::new();
    let (mut now, mut taken) = (String::new(), 0);
    for letter in line.chars() {
        let wide = char_columns(letter);
        if taken + wide > width {
            // Portero's own fields are wrapped between words. Quoted text is wrapped wherever the line is
            // full.
            let word = now.rfind(' ').map(|space| space + 1).filter(|at| !quoted && *at > now.len() / 2);
            let rest = now.split_off(word.unwrap_or(now.len()));
            lines.push(std::mem::replace(&mut now, format!("{on}{rest}")));
            // The continuation mark and the moved word count too.
            taken = now.chars().map(char_columns).sum();
        }
        now.push(letter);
        taken += wide;
    }
    lines.push(now);
    lines
}

/// Wraps Portero's own words.
pub(super) fn wrap_words(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let taken: usize = lines.last().map_or(0, |line| line.chars().map(char_columns).sum());
        let wide: usize = word.trim_end().chars().map(char_columns).sum();
        if taken > 0 && taken + wide > width {
            lines.push(String::new());
        }
        // A word longer than a line is broken by letters, or it would be cut.
        for letter in word.chars() {
            let full =
                lines.last().is_some_and(|line| line.chars().map(char_columns).sum::<usize>() >= width);
            if full && letter != ' ' {
                lines.push(String::new());
            }
            if let (Some(line), false) = (lines.last_mut(), full && letter == ' ') {
                line.push(letter);
            }
        }
    }
    lines
}

/// The beginning of a row that fits, with a mark if it was cut.
pub(super) fn truncate_row(text: &str, width: usize) -> String {
    if text.chars().map(char_columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    // One column is kept for the mark.
    let (mut shown, mut taken) = (String::new(), 1);
    for letter in text.chars() {
        taken += char_columns(letter);
        if taken > width {
            break;
        }
        shown.push(letter);
    }
    shown + "…"
}

fn char_columns(letter: char) -> usize {
    if letter.is_ascii() { 1 } else { Span::raw(letter.encode_utf8(&mut [0; 4]).to_owned()).width() }
}

/// The age of a task, and the time left to approve it.
pub(super) fn age_and_time_left(item: &PendingItem, now: Timestamp) -> (String, String) {
    let between =
        |from: Timestamp, to: Timestamp| Duration::try_from(to.duration_since(from)).unwrap_or_default();
    let left = between(now, item.task.expires);
    let left = if left.is_zero() { "expired".to_owned() } else { format!("{} left", format_coarse(left)) };
    (format!("{} old", format_coarse(between(item.task.asked, now))), left)
}

/// A duration in its largest unit only.
fn format_coarse(duration: Duration) -> String {
    let words = format_duration(duration);
    words.split(' ').next().unwrap_or_default().to_owned()
}
