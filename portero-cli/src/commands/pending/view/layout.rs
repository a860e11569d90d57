//! Where everything stands, and how text is broken into lines: nothing is cut but the list's rows, which say so.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::super::super::tasks;
use super::state::{Item, Mode, View};
use crate::output::{span, visible};

/// The smallest terminal in which there is anything to see.
const LEAST: (u16, u16) = (20, 8);
/// From this width on the list stands beside the call, else above it.
const BESIDE: u16 = 70;
/// How many rows a task has in the list.
pub(super) const ROWS: u16 = 2;
/// What begins a line of a call that is broken: that it goes on behind the same bar, or behind a field's name.
const QUOTED: (&str, &str) = ("  │ ", "  ┆ ");
const FIELD: &str = "          ┆ ";

const KEYS: &str = "a approve  r reject  p pause  j/k move  PgUp/PgDn read  ? help  q quit";
const SHORT_KEYS: &str = "a r p j/k ?=help q";

/// What each part of the screen is.
pub(super) struct Areas {
    pub(super) header: Rect,
    /// Everything between header and footer.
    pub(super) body: Rect,
    pub(super) list: Rect,
    /// Between list and call.
    pub(super) rule: Rect,
    /// Whose call it is.
    pub(super) title: Rect,
    pub(super) call: Rect,
    /// Which lines of the call these are.
    pub(super) place: Rect,
    pub(super) footer: Rect,
}

/// None where the terminal is too small.
pub(super) fn areas(view: &View) -> Option<Areas> {
    let (width, height) = view.size;
    if width < LEAST.0 || height < LEAST.1 {
        return None;
    }
    let wanted = u16::try_from(footer(view).len()).unwrap_or(u16::MAX);
    let below = wanted.min(height / 2);
    let body = Rect::new(0, 1, width, height - 1 - below);
    let (list, rule, right) = if width >= BESIDE {
        let left = (width * 2 / 5).clamp(28, 44);
        (
            Rect { width: left, ..body },
            Rect { x: left, width: 1, ..body },
            Rect { x: left + 1, width: width - left - 1, ..body },
        )
    } else {
        let count = u16::try_from(view.items.len().max(1)).unwrap_or(u16::MAX);
        let above = count.saturating_mul(ROWS).min(body.height / 3).max(1);
        let rest = body.height - above;
        (
            Rect { height: above, ..body },
            Rect { y: body.y + above, height: rest.min(1), ..body },
            Rect { y: body.y + above + 1, height: rest.saturating_sub(1), ..body },
        )
    };
    let title = Rect { height: right.height.min(1), ..right };
    let left_over = right.height.saturating_sub(2);
    Some(Areas {
        header: Rect::new(0, 0, width, 1),
        body,
        list,
        rule,
        title,
        call: Rect { y: right.y + title.height, height: left_over, ..right },
        place: Rect { y: right.y + title.height + left_over, height: u16::from(right.height > 1), ..right },
        footer: Rect::new(0, height - below, width, below),
    })
}

/// How many lines of the call fit at once.
pub(super) fn page(view: &View) -> usize {
    areas(view).map_or(1, |areas| usize::from(areas.call.height))
}

/// All lines of a call, as wide as there is room.
pub(super) fn lines(view: &View, item: &Item) -> Vec<String> {
    let width = areas(view).map_or(LEAST.0, |areas| areas.call.width);
    item.text.lines().flat_map(|line| broken(line, usize::from(width))).collect()
}

/// What stands at the bottom.
pub(super) fn footer(view: &View) -> Vec<String> {
    let mut texts = Vec::new();
    match &view.mode {
        Mode::Browse => {
            texts.push(view.says.clone());
            let keys = if view.size.0 < 40 { SHORT_KEYS } else { KEYS };
            texts.push(keys.to_owned());
        }
        Mode::Help => texts.push("any key goes back".to_owned()),
        Mode::Approve { task, problem, .. } => {
            texts.push(question(view, *task));
            texts.extend(problem.clone());
            texts.push("Passphrase (it is not shown): ".to_owned());
            texts.push(answers(view, "Enter runs it"));
        }
        Mode::Reject { task, reason } => {
            texts.push(format!("Refuse {}? A reason for the agent, or none:", name(view, *task)));
            texts.push(format!("> {}", visible(reason)));
            texts.push(answers(view, "Enter refuses it"));
        }
        Mode::Pause => {
            texts.push("Pause everything, in every session? `portero resume` ends it.".to_owned());
            texts.push(answers(view, "y pauses"));
        }
        Mode::Gone => {
            texts.push(view.says.clone());
            texts.push("What you type is not taken. Enter or Esc goes on".to_owned());
        }
    }
    let width = usize::from(view.size.0);
    texts.iter().filter(|text| !text.is_empty()).flat_map(|text| folded(text, width)).collect()
}

fn answers(view: &View, yes: &str) -> String {
    if view.busy {
        return "asking the daemon…".to_owned();
    }
    format!("{yes} · Esc goes back · PgUp/PgDn read on")
}

fn name(view: &View, id: portero::names::TaskId) -> String {
    let tool = view.item(id).map_or_else(String::new, |item| item.task.call.tool.to_string());
    format!("{tool} ({})", tasks::short(id))
}

/// What is approved, and whether there is more to read.
fn question(view: &View, id: portero::names::TaskId) -> String {
    let Some(item) = view.item(id) else { return String::new() };
    // Its area depends on this text's height, and the lines only on its width.
    let width = usize::from(call_width(view));
    let lines: usize = item.text.lines().map(|line| broken(line, width).len()).sum();
    let unseen = lines.saturating_sub(item.seen);
    let rest = match unseen {
        0 => String::new(),
        _ => format!(", {unseen} of them NOT YET SEEN"),
    };
    format!("Run {}, exactly this call ({lines} lines{rest}), once?", name(view, id))
}

fn call_width(view: &View) -> u16 {
    let width = view.size.0;
    if width >= BESIDE { width - (width * 2 / 5).clamp(28, 44) - 1 } else { width }
}

/// A line of a call in as many lines as it needs. What goes on stands behind a mark of its own, so that no part
/// of it looks like a line that Portero wrote.
pub(super) fn broken(line: &str, width: usize) -> Vec<String> {
    let (bar, on) = QUOTED;
    let quoted = line.starts_with(bar);
    let on = if quoted || width < 40 { on } else { FIELD };
    let mut lines = Vec::new();
    let (mut now, mut taken) = (String::new(), 0);
    for letter in line.chars() {
        let wide = columns(letter);
        if taken + wide > width {
            // Portero's own fields break between words, what was quoted wherever the line is full.
            let word = now.rfind(' ').map(|space| space + 1).filter(|at| !quoted && *at > now.len() / 2);
            let rest = now.split_off(word.unwrap_or(now.len()));
            lines.push(std::mem::replace(&mut now, format!("{on}{rest}")));
            taken = now.chars().map(columns).sum();
        }
        now.push(letter);
        taken += wide;
    }
    lines.push(now);
    lines
}

/// Portero's own words in as many lines as they need.
pub(super) fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let taken: usize = lines.last().map_or(0, |line| line.chars().map(columns).sum());
        let wide: usize = word.trim_end().chars().map(columns).sum();
        if taken > 0 && taken + wide > width {
            lines.push(String::new());
        }
        for letter in word.chars() {
            let full = lines.last().is_some_and(|line| line.chars().map(columns).sum::<usize>() >= width);
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
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().map(columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    let (mut shown, mut taken) = (String::new(), 1);
    for letter in text.chars() {
        taken += columns(letter);
        if taken > width {
            break;
        }
        shown.push(letter);
    }
    shown + "…"
}

fn columns(letter: char) -> usize {
    if letter.is_ascii() { 1 } else { Span::raw(letter.encode_utf8(&mut [0; 4]).to_owned()).width() }
}

/// How old a task is, and how long it can still be approved.
pub(super) fn times(item: &Item, now: Timestamp) -> (String, String) {
    let between =
        |from: Timestamp, to: Timestamp| Duration::try_from(to.duration_since(from)).unwrap_or_default();
    let left = between(now, item.task.expires);
    let left = if left.is_zero() { "expired".to_owned() } else { format!("{} left", coarse(left)) };
    (format!("{} old", coarse(between(item.task.asked, now))), left)
}

/// A duration in its largest unit.
fn coarse(duration: Duration) -> String {
    let words = span(duration);
    words.split(' ').next().unwrap_or_default().to_owned()
}
