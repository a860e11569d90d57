//! Draws the state into a frame. It uses no colour: everything that matters is in words or marked with `>`.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::layout::{
    ROWS_PER_TASK, ScreenAreas, age_and_time_left, call_lines, footer_lines, screen_areas, truncate_row,
    wrap_words,
};
use super::state::{PendingItem, PendingView, ViewMode};
use crate::output::{escape_hidden, pluralize};

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

const HELP_LINES: [&str; 11] = [
    "j k, arrows  select another call",
    "PgUp PgDn    scroll the call; Home and End go to its ends",
    "a            approve: run exactly this call, once; takes the passphrase",
    "r            reject, with a reason for the agent if you like",
    "p            pause everything, in every session",
    "q, Ctrl-C    leave; waiting calls keep waiting",
    "",
    "An agent's text is behind │, and continues behind ┆ where a line is full. Characters that are invisible or change the direction of writing are spelled out, as ⟨U+202E⟩.",
    "",
    "You approve or reject the call that is shown, whatever happens to the list. A call that ends while you read it stays until you move on.",
    "",
];

/// Draws the whole view.
pub(super) fn draw_view(view: &PendingView, frame: &mut Frame<'_>) {
    let Some(areas) = screen_areas(view) else {
        let text = "Portero needs a larger terminal";
        frame.render_widget(Paragraph::new(text), frame.area());
        return;
    };
    draw_header(view, areas.header, frame);
    match view.mode {
        ViewMode::Help => draw_help(areas.body, frame),
        ViewMode::Browse
        | ViewMode::Approve { .. }
        | ViewMode::Reject { .. }
        | ViewMode::Pause
        | ViewMode::TaskEnded => {
            draw_list(view, areas.list, frame);
            draw_separator(areas.separator, frame);
            draw_call(view, &areas, frame);
        }
    }
    draw_lines(footer_lines(view).into_iter().map(Line::raw).collect(), areas.footer, frame);
}

fn draw_header(view: &PendingView, area: Rect, frame: &mut Frame<'_>) {
    let mut text = match view.waiting_count() {
        0 => "Portero: nothing waits for you".to_owned(),
        count => format!("Portero: {} for you", pluralize(count, "call waits", "calls wait")),
    };
    if view.paused {
        text.push_str(" · EVERYTHING IS PAUSED");
    }
    // Without a daemon the counts are outdated, so the header has the reason in their place.
    if let Some(why) = &view.daemon_error {
        text = format!("Portero: NO DAEMON, reconnecting ({})", escape_hidden(why));
    }
    draw_lines(vec![Line::styled(truncate_row(&text, usize::from(area.width)), BOLD)], area, frame);
}

fn draw_list(view: &PendingView, area: Rect, frame: &mut Frame<'_>) {
    let width = usize::from(area.width);
    let fit = usize::from((area.height / ROWS_PER_TASK).max(1));
    let here = view.items.iter().position(|item| Some(item.task.id) == view.selected).unwrap_or(0);
    // The window ends at the selected row once that is below it, so the selection is always visible.
    let first = (here + 1).saturating_sub(fit);
    let mut rows = Vec::new();
    for (index, item) in view.items.iter().enumerate().skip(first).take(fit) {
        let (mark, style) = if index == here { (">", REVERSED) } else { (" ", Style::new()) };
        rows.push(Line::styled(truncate_row(&format!("{mark} {}", item.task.call.tool), width), style));
        rows.push(Line::raw(truncate_row(&format!("  {}", item_summary(view, item)), width)));
    }
    draw_lines(rows, area, frame);
}

/// The second row of a task in the list.
fn item_summary(view: &PendingView, item: &PendingItem) -> String {
    let project = item.task.origin.principal.as_str();
    let project = project.rsplit(['/', '\\']).next().unwrap_or(project);
    let (age, left) = age_and_time_left(item, view.now);
    let state = item.end_state.clone().unwrap_or_else(|| format!("{age}, {left}"));
    format!("{state} · {} · {}", escape_hidden(project), escape_hidden(item.task.origin.client.get()))
}

fn draw_separator(area: Rect, frame: &mut Frame<'_>) {
    let rows = (0..area.height).map(|_| {
        let sign = if area.width == 1 { "│" } else { "─" };
        Line::raw(sign.repeat(usize::from(area.width)))
    });
    draw_lines(rows.collect(), area, frame);
}

fn draw_call(view: &PendingView, areas: &ScreenAreas, frame: &mut Frame<'_>) {
    let Some(item) = view.selected() else { return };
    let (age, left) = age_and_time_left(item, view.now);
    let title = match &item.end_state {
        None => format!("{} · {age}, {left}", item.task.call.tool),
        Some(how) => format!("{} · NO LONGER WAITS: {how}", item.task.call.tool),
    };
    let width = usize::from(areas.title.width);
    draw_lines(vec![Line::styled(truncate_row(&title, width), BOLD)], areas.title, frame);
    let lines = call_lines(view, item);
    let page = usize::from(areas.call.height);
    let shown = lines.iter().skip(view.scroll).take(page).map(|line| Line::raw(line.clone()));
    draw_lines(shown.collect(), areas.call, frame);
    let end = (view.scroll + page).min(lines.len());
    let more = if end < lines.len() { " · PgDn reads on" } else { "" };
    let place = format!("── lines {}–{end} of {}{more} ──", view.scroll + 1, lines.len());
    draw_lines(vec![Line::raw(truncate_row(&place, width))], areas.position, frame);
}

fn draw_help(area: Rect, frame: &mut Frame<'_>) {
    let width = usize::from(area.width);
    draw_lines(
        HELP_LINES.iter().flat_map(|line| wrap_words(line, width)).map(Line::raw).collect(),
        area,
        frame,
    );
}

fn draw_lines(lines: Vec<Line<'_>>, area: Rect, frame: &mut Frame<'_>) {
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests;
