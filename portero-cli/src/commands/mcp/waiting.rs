//! The session that cannot begin yet, since the configuration is not valid or nothing can be recorded: it answers
//! the handshake, lists Portero's own tools, and refuses each call with what is wrong. Once that is mended, the
//! real session goes on with the same client.

use std::io;

use portero::json::{Object, RawJson, raw};
use portero::session::{self, Resumed, Stdin, Stdout};
use portero::wire::{self, Kind, Message, Revision, codes, modern};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::begin::{Beginning, LOOK_INTERVAL, Ready};
use crate::signals;

/// The longest message that is read before the configuration says a limit.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// How many listeners are kept for the real session.
const MAX_LISTENERS: usize = 64;

/// What the real session goes on with.
pub(super) struct Mended {
    pub(super) ready: Ready,
    pub(super) resumed: Resumed,
    /// What it must read before what the client says next.
    pub(super) unread: Vec<u8>,
}

/// What the client said so far that the real session must know.
#[derive(Default)]
struct Heard {
    resumed: Resumed,
    /// The requests that listen, whole: they stay open.
    listeners: Vec<Vec<u8>>,
}

/// Answers until the real session can begin; none when the client left before.
pub(super) async fn serve(
    reader: &mut BufReader<Stdin>,
    writer: &mut Stdout,
    beginning: &mut Beginning<'_>,
    mut why: String,
) -> io::Result<Option<Mended>> {
    let (mut line, mut heard) = (Vec::new(), Heard::default());
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut end = std::pin::pin!(signals::told_to_end());
    loop {
        let room = (MAX_MESSAGE_BYTES - line.len().min(MAX_MESSAGE_BYTES)) as u64;
        let mut limited = (&mut *reader).take(room);
        tokio::select! {
            // What was read stays in `line` when another branch comes first.
            read = limited.read_until(b'\n', &mut line) => {
                read?;
                if !line.trim_ascii().is_empty() {
                    let mut out = Vec::new();
                    heard.take(&line, &why, &mut out);
                    writer.write_all(&out).await?;
                    writer.flush().await?;
                }
                if !line.ends_with(b"\n") {
                    return Ok(None);
                }
                line.clear();
            }
            _ = look.tick() => match beginning.attempt() {
                Ok(ready) => {
                    let unread = [heard.listeners.concat(), line].concat();
                    return Ok(Some(Mended { ready, resumed: heard.resumed, unread }));
                }
                Err(still) => why = still,
            },
            () = &mut end => return Ok(None),
        }
    }
}

impl Heard {
    /// Takes one line of the client and writes the answer to it, if one is owed.
    fn take(&mut self, line: &[u8], why: &str, out: &mut Vec<u8>) {
        match Message::parse(line).map(Message::into_kind) {
            Ok(Kind::Request { id, method, params }) => {
                if method == modern::LISTEN && self.listeners.len() < MAX_LISTENERS {
                    let mut whole = line.trim_ascii_end().to_vec();
                    whole.push(b'\n');
                    return self.listeners.push(whole);
                }
                match self.answer(&method, params, why) {
                    Ok(result) => wire::write_result(out, id, &result),
                    Err(error) => wire::write_error(out, id, &error),
                }
            }
            Ok(Kind::Notification { .. } | Kind::Response { .. }) => {}
            Err(malformed) => wire::write_malformed(out, &malformed),
        }
    }

    fn answer(&mut self, method: &str, params: Option<&RawValue>, why: &str) -> Result<RawJson, RawJson> {
        let info = json!({"name": "portero", "title": "Portero", "version": env!("CARGO_PKG_VERSION")});
        let is_modern = modern::RequestMeta::read(params).protocol_version().is_some();
        let list = |result: RawJson| Ok(if is_modern { modern::list_result(result) } else { result });
        let one = |result: RawJson| Ok(if is_modern { modern::complete(result) } else { result });
        match method {
            "initialize" => {
                let params = params.and_then(|params| Object::read(params).ok()).unwrap_or_default();
                let revision = Revision::negotiate(&params.text("protocolVersion").unwrap_or_default());
                let client = params.get("clientInfo").and_then(|client| Object::read(client).ok());
                let said = |key: &str| Some(client.as_ref()?.text(key)?.into_owned());
                self.resumed.revision = Some(revision);
                self.resumed.client = said("name").map(|name| (name, said("version").unwrap_or_default()));
                Ok(raw(&json!({
                    "protocolVersion": revision.as_str(),
                    "capabilities": session::capabilities(),
                    "serverInfo": info,
                    "instructions": why,
                })))
            }
            modern::DISCOVER => Ok(modern::discover_result(&raw(&info), &session::capabilities(), Some(why))),
            "ping" | "logging/setLevel" => one(raw(&json!({}))),
            "tools/list" => list(session::own_tools()),
            "resources/list" => list(raw(&json!({"resources": []}))),
            "resources/templates/list" => list(raw(&json!({"resourceTemplates": []}))),
            "prompts/list" => list(raw(&json!({"prompts": []}))),
            "tools/call" => one(raw(&json!({"content": [{"type": "text", "text": why}], "isError": true}))),
            _ => Err(wire::error(codes::INTERNAL_ERROR, why, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(lines: &[&str]) -> Vec<serde_json::Value> {
        let (mut heard, mut out) = (Heard::default(), Vec::new());
        for line in lines {
            heard.take(line.as_bytes(), "mcps.json:3: wrong; run `portero check`", &mut out);
        }
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_handshake_says_what_is_wrong_and_every_call_is_refused_with_it() {
        let answers = say(&[
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"x:"}}"#,
        ]);
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
        assert!(answers[1]["result"]["tools"][0]["name"].as_str().unwrap().starts_with("portero__"));
        assert_eq!(answers[2]["result"]["isError"], true);
        for said in [
            &answers[0]["result"]["instructions"],
            &answers[2]["result"]["content"][0]["text"],
            &answers[3]["error"]["message"],
        ] {
            assert!(said.as_str().unwrap().contains("mcps.json:3"), "{said}");
        }
    }
}
