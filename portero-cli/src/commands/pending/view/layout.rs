//! Where everything stands, and how text is broken into lines: nothing is cut but the list's rows, which say so.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::state::{PendingItem, PendingView, ViewMode};
use crate::commands::approvals;
use crate::output::{escape_hidden, format_duration};

/// The smallest terminal in which there is anything to see.
const MIN_SIZE: (u16, u16) = (20, 8);
/// From this width on the list stands beside the call, else above it.
const MIN_SIDE_BY_SIDE_WIDTH: u16 = 70;
/// How many rows a task has in the list.
pub(super) const ROWS_PER_TASK: u16 = 2;
/// What begins a line of a call that is broken: that it goes on behind the same bar, or behind a field's name.
const QUOTE_BARS: (&str, &str) = ("  │ ", "  ┆ ");
const FIELD_CONTINUATION: &str = "          ┆ ";

const KEY_HELP: &str = "a approve  r reject  p pause  j/k move  PgUp/PgDn read  ? help  q quit";
const SHORT_KEY_HELP: &str = "a r p j/k ?=help q";

/// What each part of the screen is.
pub(super) struct ScreenAreas {
    pub(super) header: Rect,
    /// Everything between header and footer.
    pub(super) body: Rect,
    pub(super) list: Rect,
    /// Between list and call.
    pub(super) separator: Rect,
    /// Whose call it is.
    pub(super) title: Rect,
    pub(super) call: Rect,
    /// Which lines of the call these are.
    pub(super) position: Rect,
    pub(super) footer: Rect,
}

/// None where the terminal is too small.
pub(super) fn screen_areas(view: &PendingView) -> Option<ScreenAreas> {
    let (width, height) = view.size;
    if width < MIN_SIZE.0 || height < MIN_SIZE.1 {
        return None;
    }
    let wanted = u16::try_from(footer_lines(view).len()).unwrap_or(u16::MAX);
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

/// How many lines of the call fit at once.
pub(super) fn page_height(view: &PendingView) -> usize {
    screen_areas(view).map_or(1, |areas| usize::from(areas.call.height))
}

/// All lines of a call, as wide as there is room.
pub(super) fn call_lines(view: &PendingView, item: &PendingItem) -> Vec<String> {
    let width = screen_areas(view).map_or(MIN_SIZE.0, |areas| areas.call.width);
    item.text.lines().flat_map(|line| wrap_call_line(line, usize::from(width))).collect()
}

/// What stands at the bottom.
pub(super) fn footer_lines(view: &PendingView) -> Vec<String> {
    let mut texts = Vec::new();
    match &view.mode {
        ViewMode::Browse => {
            texts.push(view.message.clone());
            let keys = if view.size.0 < 40 { SHORT_KEY_HELP } else { KEY_HELP };
            texts.push(keys.to_owned());
        }
        ViewMode::Help => texts.push("any key goes back".to_owned()),
        ViewMode::Approve { task, problem, .. } => {
            texts.push(approval_question(view, *task));
            texts.extend(problem.clone());
            texts.push("Passphrase (it is not shown): ".to_owned());
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

/// What is approved, and whether there is more to read.
fn approval_question(view: &PendingView, id: portero::names::TaskId) -> String {
    let Some(item) = view.item(id) else { return String::new() };
    // Its area depends on this text's height, and the lines only on its width.
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

/// A line of a call in as many lines as it needs. What goes on stands behind a mark of its own, so that no part
/// of it looks like a line that Portero wrote.
pub(super) fn wrap_call_line(line: &str, width: usize) -> Vec<String> {
    let (bar, on) = QUOTE_BARS;
    let quoted = line.starts_with(bar);
    let on = if quoted || width < 40 { on } else { FIELD_CONTINUATION };
    let mut lines = Vec::new();
    let (mut now, mut taken) = (String::new(), 0);
    for letter in line.chars() {
        let wide = char_columns(letter);
        if taken + wide > width {
            // Portero's own fields break between words, what was quoted wherever the line is full.
            let word = now.rfind(' ').map(|space| space + 1).filter(|at| !quoted && *at > now.len() / 2);
            let rest = now.split_off(word.unwrap_or(now.len()));
            lines.push(std::mem::replace(&mut now, format!("{on}{rest}")));
            taken = now.chars().map(char_columns).sum();
        }
        now.push(letter);
        taken += wide;
    }
    lines.push(now);
    lines
}

/// Portero's own words in as many lines as they need.
pub(super) fn wrap_words(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let taken: usize = lines.last().map_or(0, |line| line.chars().map(char_columns).sum());
        let wide: usize = word.trim_end().chars().map(char_columns).sum();
        if taken > 0 && taken + wide > width {
            lines.push(String::new());
        }
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

/// As much of a row as fits, with a mark where it was cut.
pub(super) fn truncate_row(text: &str, width: usize) -> String {
    if text.chars().map(char_columns).sum::<usize>() <= width {
        return text.to_owned();
    }
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

/// How old a task is, and how long it can still be approved.
pub(super) fn age_and_time_left(item: &PendingItem, now: Timestamp) -> (String, String) {
    let between =
        |from: Timestamp, to: Timestamp| Duration::try_from(to.duration_since(from)).unwrap_or_default();
    let left = between(now, item.task.expires);
    let left = if left.is_zero() { "expired".to_owned() } else { format!("{} left", format_coarse(left)) };
    (format!("{} old", format_coarse(between(item.task.asked, now))), left)
}

/// A duration in its largest unit.
fn format_coarse(duration: Duration) -> String {
    let words = format_duration(duration);
    words.split(' ').next().unwrap_or_default().to_owned()
}
