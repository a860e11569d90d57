//! The server at the end: this program itself, started anew. It costs next to nothing.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, BufWriter, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The variable that makes this program the child.
pub(super) const CHILD_VARIABLE: &str = "PORTERO_BENCH_CHILD";
/// How long a large result is.
const LARGE_RESULT_BYTES: usize = 1 << 20;
/// After so many bytes a value stands that a rule may be about.
const VALUE_SPACING_BYTES: usize = 4 << 10;

/// What the child's tools are called.
#[derive(Clone, Copy)]
pub(super) struct ToolNames {
    /// Answers with the text that it got.
    pub(super) echo: &'static str,
    /// Answers with 1 MiB of text.
    pub(super) page: &'static str,
}

/// The real value of the replacement with this number.
pub(super) fn real_value(number: usize) -> String {
    format!("Ada K{number:03} Lovelace")
}

#[derive(Deserialize)]
struct ChildRequest<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<ChildParams<'a>>,
}

#[derive(Deserialize)]
struct ChildParams<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<ChildArguments<'a>>,
}

#[derive(Deserialize)]
struct ChildArguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// Serves until stdin ends.
pub(super) fn serve() {
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    // Made at the first call for it: the start is measured too.
    let large = LazyCell::new(|| format!("\"{}\"", large_page()));
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if let Ok(ChildRequest { id: Some(id), method, params }) = serde_json::from_slice(&line)
            && write_answer(&mut output, id.get(), &method, params.as_ref(), &large).is_err()
        {
            return;
        }
        line.clear();
        if input.buffer().is_empty() && output.flush().is_err() {
            return;
        }
    }
}

fn write_answer(
    output: &mut impl Write,
    id: &str,
    method: &str,
    params: Option<&ChildParams<'_>>,
    large: &LazyCell<String, impl FnOnce() -> String>,
) -> std::io::Result<()> {
    write!(output, r#"{{"jsonrpc":"2.0","id":{id},"result":"#)?;
    match method {
        "initialize" => output.write_all(concat!(
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"#,
            r#""serverInfo":{"name":"echo","version":"1"}}"#
        ).as_bytes())?,
        "tools/list" => output.write_all(concat!(
            r#"{"tools":[{"name":"echo","description":"Returns the text.","inputSchema":{"type":"object","#,
            r#""properties":{"text":{"type":"string"}}}},"#,
            r#"{"name":"page","description":"Returns a page.","inputSchema":{"type":"object"}}]}"#
        ).as_bytes())?,
        _ => {
            let is_page = params.is_some_and(|params| params.name.as_deref() == Some("page"));
            let text = params.and_then(|params| params.arguments.as_ref()?.text).map_or("\"\"", RawValue::get);
            let text = if is_page { large.as_str() } else { text };
            write!(output, r#"{{"content":[{{"type":"text","text":{text}}}]}}"#)?;
        }
    }
    output.write_all(b"}\n")
}

/// Words, lines, some numbers, and now and then a real value.
fn large_page() -> String {
    let mut page = String::with_capacity(LARGE_RESULT_BYTES + VALUE_SPACING_BYTES);
    let mut number = 0;
    while page.len() < LARGE_RESULT_BYTES {
        if page.len() / VALUE_SPACING_BYTES > number {
            page.push_str(&real_value(number % 200));
            number += 1;
        }
        let _ = write!(
            page,
            " item {} was sent to the office on Monday and filed under {}.\\n",
            page.len(),
            number
        );
    }
    page.truncate(LARGE_RESULT_BYTES);
    // Not in the middle of an escape.
    page.truncate(page.rfind("\\n").unwrap_or(0));
    page
}
