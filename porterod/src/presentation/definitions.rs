//! How definitions of servers differ from the accepted ones, as text.

use portero::ipc::requests::definitions::{
    DefinitionDifference, DifferenceLine, LineChange, ServerDefinitions,
};
use portero::policy::definition_pins::DefinitionItem;

use super::text::{EscapedText, StyledText};

/// Adds each difference with all its lines.
#[must_use]
pub fn append_differences(text: StyledText, differences: &[DefinitionDifference]) -> StyledText {
    differences.iter().fold(text, |text, difference| {
        let mut rows = EscapedText::default();
        for DifferenceLine { change, text } in &difference.lines {
            // The mark comes first, so no text of a server reads as another line.
            rows.push_line(line_mark(*change), text);
        }
        let title = if difference.is_new { "New: " } else { "Changed: " };
        let item = EscapedText::line(&difference.item.to_string());
        text.on_new_line().literal(title).code(&item).pre(&rows)
    })
}

/// The mark before a line. A channel may cut blanks, so an unchanged line has one too.
const fn line_mark(change: LineChange) -> &'static str {
    match change {
        LineChange::Same => "= ",
        LineChange::Removed => "- ",
        LineChange::Added => "+ ",
    }
}

/// The question whether all definitions of a server that wait count as accepted from now on.
#[must_use]
pub fn acceptance_question(waiting: &ServerDefinitions) -> StyledText {
    let text = StyledText::new()
        .bold("Accept what this server defines now?")
        .literal("\n")
        .code(&EscapedText::line(waiting.server.as_str()))
        .literal(": allowed calls run by these definitions from then on.");
    append_differences(text, &waiting.differences)
}

/// The pins of all servers: what waits, what is gone, and how to look at it.
#[must_use]
pub fn pins_text(servers: &[ServerDefinitions]) -> StyledText {
    if servers.is_empty() {
        return StyledText::new()
            .literal("No definitions are pinned yet: a server's are when it is first listed.");
    }
    let text = StyledText::new().bold("Pinned definitions");
    let text = servers.iter().fold(text, append_server);
    if servers.iter().all(|server| !waits(server)) {
        return text.on_new_line().literal("Nothing waits for you.");
    }
    text.on_new_line().literal("What waits asks until you accept it. A button below shows the difference.")
}

/// Whether definitions of this server wait for a person.
#[must_use]
pub const fn waits(server: &ServerDefinitions) -> bool {
    !server.changed.is_empty() || !server.added.is_empty()
}

fn append_server(text: StyledText, server: &ServerDefinitions) -> StyledText {
    let ServerDefinitions { server, accepted, changed, added, gone, differences: _, shown: _ } = server;
    let text = text.literal("\n• ").code(&EscapedText::line(server.as_str()));
    let text = text.literal(": ").number(*accepted).literal(" pinned");
    let rows = |text: StyledText, items: &[DefinitionItem], words: &'static str| {
        items.iter().fold(text, |text, item| {
            text.literal("\n   ").code(&EscapedText::line(&item.to_string())).literal(words)
        })
    };
    let text = rows(text, changed, " changed, and asks");
    let text = rows(text, added, " is new, and asks");
    rows(text, gone, " is gone")
}
