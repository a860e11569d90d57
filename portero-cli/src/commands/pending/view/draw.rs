//! From state to frame, and nothing else. No colour: what matters is said in words and with `>`.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::layout::{Areas, ROWS, areas, cut, folded, footer, lines, times};
use super::state::{Item, Mode, View};
use crate::output::visible;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

const HELP: [&str; 11] = [
    "j k, arrows  select another call",
    "PgUp PgDn    read the call on; Home and End go to its ends",
    "a            approve: run exactly this call, once; takes the passphrase",
    "r            reject, with a reason for the agent if you like",
    "p            pause everything, in every session",
    "q, Ctrl-C    leave; what waits goes on waiting",
    "",
    "What an agent wrote stands behind │, and goes on behind ┆ where a line is full. What cannot be seen, or \
     turns the direction of writing, is spelled out, as ⟨U+202E⟩.",
    "",
    "What you approve or reject is the call that is shown, whatever happens to the list. One that ends while \
     you read it stays until you move on.",
    "",
];

/// Draws it all.
pub(super) fn draw(view: &View, frame: &mut Frame<'_>) {
    let Some(areas) = areas(view) else {
        let text = "Portero needs a larger terminal";
        frame.render_widget(Paragraph::new(text), frame.area());
        return;
    };
    header(view, areas.header, frame);
    match view.mode {
        Mode::Help => help(areas.body, frame),
        Mode::Browse | Mode::Approve { .. } | Mode::Reject { .. } | Mode::Pause | Mode::Gone => {
            list(view, areas.list, frame);
            rule(areas.rule, frame);
            call(view, &areas, frame);
        }
    }
    show(footer(view).into_iter().map(Line::raw).collect(), areas.footer, frame);
}

fn header(view: &View, area: Rect, frame: &mut Frame<'_>) {
    let mut text = match view.waiting() {
        0 => "Portero: nothing waits for you".to_owned(),
        1 => "Portero: 1 call waits for you".to_owned(),
        many => format!("Portero: {many} calls wait for you"),
    };
    if view.paused {
        text.push_str(" · EVERYTHING IS PAUSED");
    }
    if let Some(why) = &view.lost {
        text = format!("Portero: NO DAEMON, looking for it again ({})", visible(why));
    }
    show(vec![Line::styled(cut(&text, usize::from(area.width)), BOLD)], area, frame);
}

fn list(view: &View, area: Rect, frame: &mut Frame<'_>) {
    let width = usize::from(area.width);
    let fit = usize::from((area.height / ROWS).max(1));
    let here = view.items.iter().position(|item| Some(item.task.id) == view.selected).unwrap_or(0);
    let first = (here + 1).saturating_sub(fit);
    let mut rows = Vec::new();
    for (index, item) in view.items.iter().enumerate().skip(first).take(fit) {
        let (mark, style) = if index == here { (">", REVERSED) } else { (" ", Style::new()) };
        rows.push(Line::styled(cut(&format!("{mark} {}", item.task.call.tool), width), style));
        rows.push(Line::raw(cut(&format!("  {}", about(view, item)), width)));
    }
    show(rows, area, frame);
}

/// The second row of a task in the list.
fn about(view: &View, item: &Item) -> String {
    let project = item.task.origin.principal.as_str();
    let project = project.rsplit(['/', '\\']).next().unwrap_or(project);
    let (age, left) = times(item, view.now);
    let state = item.ended.clone().unwrap_or_else(|| format!("{age}, {left}"));
    format!("{state} · {} · {}", visible(project), visible(item.task.origin.client.get()))
}

fn rule(area: Rect, frame: &mut Frame<'_>) {
    let rows = (0..area.height).map(|_| {
        let sign = if area.width == 1 { "│" } else { "─" };
        Line::raw(sign.repeat(usize::from(area.width)))
    });
    show(rows.collect(), area, frame);
}

fn call(view: &View, areas: &Areas, frame: &mut Frame<'_>) {
    let Some(item) = view.selected() else { return };
    let (age, left) = times(item, view.now);
    let title = match &item.ended {
        None => format!("{} · {age}, {left}", item.task.call.tool),
        Some(how) => format!("{} · WAITS NO MORE: {how}", item.task.call.tool),
    };
    let width = usize::from(areas.title.width);
    show(vec![Line::styled(cut(&title, width), BOLD)], areas.title, frame);
    let lines = lines(view, item);
    let page = usize::from(areas.call.height);
    let shown = lines.iter().skip(view.scroll).take(page).map(|line| Line::raw(line.clone()));
    show(shown.collect(), areas.call, frame);
    let end = (view.scroll + page).min(lines.len());
    let more = if end < lines.len() { " · PgDn reads on" } else { "" };
    let place = format!("── lines {}–{end} of {}{more} ──", view.scroll + 1, lines.len());
    show(vec![Line::raw(cut(&place, width))], areas.place, frame);
}

fn help(area: Rect, frame: &mut Frame<'_>) {
    let width = usize::from(area.width);
    show(HELP.iter().flat_map(|line| folded(line, width)).map(Line::raw).collect(), area, frame);
}

fn show(lines: Vec<Line<'_>>, area: Rect, frame: &mut Frame<'_>) {
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests;
