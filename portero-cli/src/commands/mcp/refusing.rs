//! The session of an invalid configuration: it answers the handshake, so that the agent can tell its person
//! what to do, offers nothing and refuses everything.

use std::io::{self, BufRead, Write};

use portero::json::{RawJson, raw};
use portero::wire::{self, Kind, Message, Revision, codes, modern};
use serde_json::json;
use serde_json::value::RawValue;

/// What every refusal says.
const REFUSAL: &str = "Portero's configuration is not valid, so nothing is offered and nothing runs. Ask the \
                       person to run `portero check` in a terminal, to mend what it names, and to reconnect.";

/// Answers until the input ends.
pub(super) fn serve(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut out = Vec::new();
    for line in input.split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        out.clear();
        match Message::parse(&line).map(Message::into_kind) {
            Ok(Kind::Request { id, method, params }) => match answer(&method, params) {
                Ok(result) => wire::write_result(&mut out, id, &result),
                Err(error) => wire::write_error(&mut out, id, &error),
            },
            Ok(Kind::Notification { .. } | Kind::Response { .. }) => continue,
            Err(malformed) => wire::write_malformed(&mut out, &malformed),
        }
        output.write_all(&out)?;
        output.flush()?;
    }
    Ok(())
}

fn answer(method: &str, params: Option<&RawValue>) -> Result<RawJson, RawJson> {
    let info = json!({"name": "portero", "title": "Portero", "version": env!("CARGO_PKG_VERSION")});
    let empty = |list: &str| {
        let result = raw(&json!({list: []}));
        let is_modern = modern::RequestMeta::read(params).protocol_version().is_some();
        Ok(if is_modern { modern::list_result(result) } else { result })
    };
    match method {
        "initialize" => Ok(raw(&json!({
            "protocolVersion": Revision::negotiate(&requested(params)).as_str(),
            "capabilities": {"tools": {}},
            "serverInfo": info,
            "instructions": REFUSAL,
        }))),
        "server/discover" => {
            Ok(modern::discover_result(&raw(&info), &raw(&json!({"tools": {}})), Some(REFUSAL)))
        }
        "ping" => Ok(raw(&json!({}))),
        "tools/list" => empty("tools"),
        "resources/list" => empty("resources"),
        "resources/templates/list" => empty("resourceTemplates"),
        "prompts/list" => empty("prompts"),
        _ => Err(wire::error(codes::INTERNAL_ERROR, REFUSAL, None)),
    }
}

fn requested(params: Option<&RawValue>) -> String {
    params
        .and_then(|params| portero::json::Object::read(params).ok())
        .and_then(|params| params.text("protocolVersion").map(Into::into))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(lines: &str) -> Vec<serde_json::Value> {
        let mut out = Vec::new();
        serve(lines.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_handshake_says_what_to_do_and_every_call_is_refused() {
        let answers = say(concat!(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#,
            "\n",
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#,
            "\n",
        ));
        assert_eq!(answers.len(), 3);
        assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
        assert!(answers[0]["result"]["instructions"].as_str().unwrap().contains("portero check"));
        assert_eq!(answers[1]["result"]["tools"], json!([]));
        assert!(answers[2]["error"]["message"].as_str().unwrap().contains("portero check"));
    }
}
