//! A message as an SVG image, about as Telegram draws it: a bubble, bold words, code in its colour, blocks with a
//! bar, buttons below.

use super::super::text::tests::entity_text;
use super::super::text::{FormattedText, TextStyle};
use crate::presentation::buttons::ButtonRows;

/// How many characters stand in a line, and how wide and high one is.
const LINE_CHARS: usize = 58;
const CHAR_WIDTH: usize = 8;
const LINE_HEIGHT: usize = 20;
const IMAGE_WIDTH: usize = LINE_CHARS * CHAR_WIDTH + 40;

type StyledRun = (Option<TextStyle>, String);

pub(super) fn render_svg(message: &FormattedText, keyboard: &ButtonRows) -> String {
    let lines = wrap_lines(message);
    let bubble = lines.len() * LINE_HEIGHT + 24;
    let height = bubble + keyboard.len() * 40 + 16;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{IMAGE_WIDTH}\" height=\"{height}\" font-size=\"14\" \
         font-family=\"system-ui, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#d7e3ec\"/>\n\
         <rect x=\"8\" y=\"8\" width=\"{}\" height=\"{bubble}\" rx=\"12\" fill=\"#fff\"/>\n",
        IMAGE_WIDTH - 16
    );
    for (at, line) in lines.iter().enumerate() {
        svg.push_str(&line_svg(line, 8 + 12 + at * LINE_HEIGHT));
    }
    for (at, keys) in keyboard.iter().enumerate() {
        let (top, each) = (bubble + 12 + at * 40, (IMAGE_WIDTH - 16) / keys.len());
        for (place, key) in keys.iter().enumerate() {
            let left = 8 + place * each;
            svg.push_str(&format!(
                "<rect x=\"{}\" y=\"{top}\" width=\"{}\" height=\"34\" rx=\"8\" fill=\"#8fa9ba\"/>\n\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#fff\">{}</text>\n",
                left + 2,
                each - 4,
                left + each / 2,
                top + 22,
                escape_xml(&key.label)
            ));
        }
    }
    svg + "</svg>\n"
}

fn line_svg(line: &[StyledRun], top: usize) -> String {
    let block = line.iter().any(|(style, _)| *style == Some(TextStyle::Pre));
    let mut text = String::new();
    if block {
        text.push_str(&format!(
            "<rect x=\"18\" y=\"{top}\" width=\"{}\" height=\"{LINE_HEIGHT}\" fill=\"#eef3f7\"/>\n\
             <rect x=\"18\" y=\"{top}\" width=\"3\" height=\"{LINE_HEIGHT}\" fill=\"#3a8bc8\"/>\n",
            IMAGE_WIDTH - 36
        ));
    }
    text.push_str(&format!(
        "<text x=\"{}\" y=\"{}\" xml:space=\"preserve\">",
        if block { 28 } else { 20 },
        top + 15
    ));
    for (style, part) in line {
        let look = match style {
            None => "",
            Some(TextStyle::Bold) => " font-weight=\"bold\"",
            Some(TextStyle::Code | TextStyle::Pre) => {
                " font-family=\"ui-monospace, monospace\" font-size=\"13\" fill=\"#1f6ea5\""
            }
        };
        text.push_str(&format!("<tspan{look}>{}</tspan>", escape_xml(part)));
    }
    text + "</text>\n"
}

/// The message's lines, broken where they are too long.
fn wrap_lines(message: &FormattedText) -> Vec<Vec<StyledRun>> {
    let mut lines: Vec<Vec<StyledRun>> = vec![Vec::new()];
    let mut used = 0;
    for (style, text) in styled_runs(message) {
        for (at, part) in text.split('\n').enumerate() {
            if at > 0 {
                // An empty line of a block has its bar, too.
                lines.push(if style == Some(TextStyle::Pre) {
                    vec![(style, String::new())]
                } else {
                    Vec::new()
                });
                used = 0;
            }
            for word in part.split_inclusive(' ') {
                let length = word.chars().count();
                if used > 0 && used + length > LINE_CHARS {
                    lines.push(Vec::new());
                    used = 0;
                }
                used += length;
                match lines.last_mut().and_then(|line| line.last_mut()) {
                    Some((last, text)) if *last == style => text.push_str(word),
                    _ => lines.last_mut().expect("one").push((style, word.to_owned())),
                }
            }
        }
    }
    lines
}

fn styled_runs(message: &FormattedText) -> Vec<StyledRun> {
    let wide: Vec<u16> = message.text.encode_utf16().collect();
    let plain = |from: usize, to: usize| String::from_utf16(&wide[from..to]).expect("no letter is split");
    let (mut runs, mut at) = (Vec::new(), 0);
    for entity in &message.entities {
        runs.push((None, plain(at, entity.offset)));
        runs.push((Some(entity.style), entity_text(message, entity)));
        at = entity.offset + entity.length;
    }
    runs.push((None, plain(at, wide.len())));
    runs
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
