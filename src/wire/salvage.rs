//! Salvages from a line that is no message which request it was meant to answer.
//!
//! Nothing is decoded, and no payload is returned. A line is walked once, leniently: strings and brackets are
//! followed, and everything between them is skipped. So `NaN`, a raw control character, bytes of another
//! encoding or a missing end hide nothing that came before them.

use serde_json::value::RawValue;

use super::message::{IdKey, MalformedMessage};
use crate::json::{self, RawJson};

/// The most messages that are searched for in one line.
const MAX_MESSAGES: usize = 64;
/// The longest id that is read.
const MAX_ID_BYTES: usize = 256;

/// A part of a line that looks like a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SalvagedMessage<'a> {
    /// Whether it was meant as an answer: it has a `result` or an `error`, or at least isn't a request.
    pub is_response: bool,
    /// The bytes of its `id`; none if it has none, or two different ones.
    id: Option<&'a [u8]>,
}

impl SalvagedMessage<'_> {
    /// Its `id` if that is a string or a number, so that it can be echoed.
    #[must_use]
    pub fn id(&self) -> Option<RawJson> {
        let text = std::str::from_utf8(self.id?).ok()?;
        let id = json::parse_raw(text.to_owned()).ok()?;
        text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit()).then_some(id)
    }
}

/// Whether an answer's id means this request, by the rule of [`id_as_u64`].
#[must_use]
pub fn is_same_id(found: &RawValue, id: &IdKey) -> bool {
    let number = match id {
        IdKey::Number(number) => number.parse().ok(),
        IdKey::Text(_) => None,
    };
    IdKey::from_raw(found).as_ref() == Some(id) || (number.is_some() && id_as_u64(found) == number)
}

/// The number that an id means: a whole number in any spelling, also as a string.
///
/// By this rule clients accept an answer with the id `"1"` or `1.0` to their request `1`.
#[must_use]
pub fn id_as_u64(id: &RawValue) -> Option<u64> {
    let text = id.get();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let inside = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if let Ok(number) = inside.parse() {
        return Some(number);
    }
    let number: f64 = inside.trim_ascii().parse().ok()?;
    // Below this, every whole number has a double of its own.
    const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within the range in which doubles are exact"
    )]
    (number.fract() == 0.0 && (0.0..MAX_WHOLE).contains(&number)).then_some(number as u64)
}

/// The messages that a line was meant to hold, as far as can be seen; empty for noise.
#[must_use]
pub fn salvage_messages(line: &[u8]) -> Vec<SalvagedMessage<'_>> {
    let mut found = Vec::new();
    let mut rest = line;
    while found.len() < MAX_MESSAGES {
        let Some(begin) = memchr::memchr(b'{', rest) else { break };
        let mut reader = LenientScanner { bytes: rest, at: begin + 1 };
        let members = reader.scan_members();
        // After noise on the same line, only an object that names the protocol counts.
        let is_first = found.is_empty() && rest.len() == line.len();
        let is_alone = is_first && rest[..begin].trim_ascii().is_empty();
        if let Some(message) = members.to_message(is_alone || !found.is_empty()) {
            found.push(message);
        }
        // At least one byte on, even if nothing was scanned, so the loop ends.
        rest = &rest[reader.at.max(begin + 1)..];
    }
    found
}

/// The id of an over-long message, from its beginning or its end.
#[must_use]
pub fn salvage_overlong_id(head: &[u8], tail: &[u8]) -> Option<RawJson> {
    let mut reader = LenientScanner { bytes: head, at: memchr::memchr(b'{', head)? + 1 };
    let members = reader.scan_members();
    let id = members.id.filter(|_| !members.has_two_ids).or_else(|| find_id_at_end(tail))?;
    SalvagedMessage { is_response: false, id: Some(id) }.id()
}

/// An `id` that is followed only by scalar members and the end of the message.
fn find_id_at_end(tail: &[u8]) -> Option<&[u8]> {
    // The last `"id"` of all may be inside the payload. It counts only if the message's own end follows it,
    // since an `id` in the payload is followed by its closing brackets.
    let key = b"\"id\"";
    let at = memchr::memmem::rfind(tail, key)?;
    let mut reader = LenientScanner { bytes: tail, at: at + key.len() };
    reader.expect_token(b':')?;
    let id = reader.scan_scalar()?;
    loop {
        match reader.next_token()? {
            b'}' => return tail[reader.at..].trim_ascii().is_empty().then_some(id),
            b',' => {
                reader.skip_space();
                reader.scan_string()?;
                reader.expect_token(b':')?;
                reader.scan_scalar()?;
            }
            _ => return None,
        }
    }
}

/// The relevant members of one object.
#[derive(Debug, Default)]
struct ScannedMembers<'a> {
    id: Option<&'a [u8]>,
    has_two_ids: bool,
    has_version: bool,
    has_method: bool,
    has_outcome: bool,
}

impl<'a> ScannedMembers<'a> {
    fn to_message(&self, may_lack_version: bool) -> Option<SalvagedMessage<'a>> {
        let names_protocol = self.has_version || may_lack_version && self.has_outcome;
        let is_message = names_protocol && (self.has_outcome || self.id.is_some() || self.has_method);
        // A request that was echoed with its outcome is an answer too.
        let is_response = self.has_outcome || !self.has_method;
        is_message.then_some(SalvagedMessage { is_response, id: self.id.filter(|_| !self.has_two_ids) })
    }
}

struct LenientScanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> LenientScanner<'a> {
    /// Scans the members of an open object, up to its end or as far as they go.
    fn scan_members(&mut self) -> ScannedMembers<'a> {
        let mut members = ScannedMembers::default();
        loop {
            self.skip_space();
            let Some(key) = self.scan_string() else { return members };
            if self.expect_token(b':').is_none() {
                return members;
            }
            self.skip_space();
            let start = self.at;
            let is_whole = self.skip_value();
            match key {
                b"id" => {
                    let id = self.bytes[start..self.at].trim_ascii();
                    // A number at the end of the line may be incomplete.
                    let id = Some(id).filter(|id| is_whole && !id.is_empty() && id.len() <= MAX_ID_BYTES);
                    // Two ids mean two messages that ran into each other. Either could be meant, so neither
                    // is used.
                    members.has_two_ids |= members.id.is_some() && members.id != id;
                    members.id = members.id.or(id);
                }
                b"jsonrpc" => members.has_version = true,
                b"method" => members.has_method = true,
                b"result" | b"error" => members.has_outcome = true,
                _ => {}
            }
            match self.next_token() {
                Some(b',') => {}
                Some(_) | None => return members,
            }
        }
    }

    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Skips white space and returns the next byte.
    fn next_token(&mut self) -> Option<u8> {
        self.skip_space();
        let token = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(token)
    }

    fn expect_token(&mut self, token: u8) -> Option<()> {
        (self.next_token()? == token).then_some(())
    }

    /// Skips a string and returns its contents.
    fn scan_string(&mut self) -> Option<&'a [u8]> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let mut at = start;
        while let Some(found) = memchr::memchr2(b'"', b'\\', self.bytes.get(at..)?) {
            at += found;
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Some(&self.bytes[start..at]);
            }
            at += 2;
        }
        self.at = self.bytes.len();
        None
    }

    /// Scans a string, a number or a word.
    fn scan_scalar(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let start = self.at;
        match self.bytes.get(self.at)? {
            b'"' => drop(self.scan_string()?),
            b'{' | b'[' => return None,
            _ => self.skip_word(),
        }
        let scalar = self.bytes[start..self.at].trim_ascii();
        (!scalar.is_empty()).then_some(scalar)
    }

    fn skip_word(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|byte| b",}]{[\"".contains(byte)).unwrap_or(rest.len());
    }

    /// Skips a value. Returns whether its end was seen.
    fn skip_value(&mut self) -> bool {
        let mut depth = 0_usize;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    if self.scan_string().is_none() {
                        return false;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => return true,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        false
    }
}

impl MalformedMessage {
    /// Adds the id of a damaged request if it can still be read in its line, so that its sender isn't left waiting.
    #[must_use]
    pub fn with_salvaged_id(self, line: &[u8]) -> Self {
        let read = || match salvage_messages(line).as_slice() {
            [request] if !request.is_response => request.id(),
            _ => None,
        };
        Self { id: self.id.or_else(read), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Message;

    /// Each message: its id, or `-`; requests in parentheses.
    fn describe_salvaged(line: &[u8]) -> Vec<String> {
        let show = |message: &SalvagedMessage<'_>| {
            let id = message.id().map_or("-".to_owned(), |id| id.get().to_owned());
            if message.is_response { id } else { format!("({id})") }
        };
        salvage_messages(line).iter().map(show).collect()
    }

    #[test]
    fn the_id_of_a_damaged_answer_is_read() {
        for line in [
            &br#"{"jsonrpc":"2.0","id":7,"result":{"mean":NaN,"max":-Infinity}}"#[..],
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"text\":\"caf\xe9\"}}",
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"text\":\"a\tb\x00\"}}",
            br#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"one"#,
            br#"{"jsonrpc":"2.0","id":7,"res"#,
            br#"{"id":7,"result":{}}"#,
            br#"{"id":7,"error":"boom"}"#,
            br#"{"jsonrpc":"1.0","id":7,"result":{}}"#,
            br#"{"jsonrpc":"2.0","result":{"id":3,"x":"\"id\":4"},"id":7}"#,
            br#"{"jsonrpc":"2.0","id":7}"#,
            br#"{"jsonrpc":"2.0","id":7,"result":{},"result":{}}"#,
            br#"{"jsonrpc":"2.0","id":7,"id":7,"result":{}}"#,
            br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","result":{}}"#,
            br#"Loading... {"jsonrpc":"2.0","id":7,"result":{}}"#,
            br#"{"jsonrpc":"2.0","id":7,"result":{}} done"#,
            br#"{'jsonrpc': 7} {"jsonrpc":"2.0","id":7,"result":{}}"#,
        ] {
            assert_eq!(describe_salvaged(line), ["7"], "{}", String::from_utf8_lossy(line));
        }
        let two = br#"{"jsonrpc":"2.0","id":7,"result":{}}{"jsonrpc":"2.0","id":8,"result":{}}"#;
        assert_eq!(describe_salvaged(two), ["7", "8"]);
        assert_eq!(describe_salvaged(br#"{"jsonrpc":"2.0","id":"a","error":{}}"#), ["\"a\""]);
    }

    #[test]
    fn an_answer_without_a_readable_id_is_still_seen_as_one() {
        for line in [
            &br#"{"jsonrpc":"2.0","result":{"text":"one"#[..],
            br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#,
            br#"{"jsonrpc":"2.0","id":{"n":1},"result":{}}"#,
            br#"{"jsonrpc":"2.0","id":7,"id":8,"result":{}}"#,
        ] {
            assert_eq!(describe_salvaged(line), ["-"], "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn noise_is_no_answer_and_a_request_is_none_either() {
        for line in [
            &b""[..],
            b"Server listening on stdio",
            b"\x1b[32m> Starting v1.0\x1b[0m",
            b"\xff\xfe noise",
            b"Found 2 rows: [",
            br#"{"level":"info","msg":"ready","id":7}"#,
            br#"{"jsonrpc":"2.0""#,
            b"two\"}]}}",
            b"[1,2]",
            b"{}",
            br#"ERROR {"id":7,"error":"boom"}"#,
        ] {
            assert_eq!(describe_salvaged(line), Vec::<String>::new(), "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(
            describe_salvaged(br#"{"jsonrpc":"2.0","id":7,"method":"roots/list","params":[]}"#),
            ["(7)"]
        );
        assert_eq!(describe_salvaged(br#"{"jsonrpc":"2.0","method":"x","params":NaN}"#), ["(-)"]);
    }

    #[test]
    fn the_same_number_in_another_spelling_is_the_same_id() {
        let number = |text: &str| id_as_u64(&json::parse_raw(text.to_owned()).expect("JSON"));
        for spelled in ["7", "\"7\"", "7.0", "7e0", "0.7e1", "\"7.0\""] {
            assert_eq!(number(spelled), Some(7), "{spelled}");
        }
        for other in ["7.5", "-7", "\"a\"", "null", "true", "\"\"", "1e400", "\"NaN\"", "\"inf\"", "{}"] {
            assert_eq!(number(other), None, "{other}");
        }
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
    }

    #[test]
    fn the_id_of_a_message_that_is_too_long_stands_at_either_end() {
        let id = |head: &str, tail: &str| {
            salvage_overlong_id(head.as_bytes(), tail.as_bytes()).map(|id| id.get().to_owned())
        };
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":17,"params":{"a":"xx"#, "xx").as_deref(), Some("17"));
        assert_eq!(id(r#"{"method":"x","params":{"id":3,"a":"xx"#, "xx"), None);
        let tail = r#"xx"}},"jsonrpc":"2.0","id":"a"}"#;
        assert_eq!(id(r#"{"method":"x","params":{"id":3,"a":"xx"#, tail).as_deref(), Some("\"a\""));
        assert_eq!(id(r#"{"method":"x","#, r#"xx"},"id":5,"jsonrpc":"2.0"} "#).as_deref(), Some("5"));
        for inside in [r#"xx","id":5}}"#, r#"xx","id":5,"#, r#"xx","id":5,"a":{}}"#, "\"id\"", "\"id\":"] {
            assert_eq!(id(r#"{"method":"x","#, inside), None, "{inside}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_it(line in prop::collection::vec(any::<u8>(), 0..120)) {
            for message in salvage_messages(&line) {
                let _ = message.id();
            }
            let _ = salvage_overlong_id(&line, &line);
        }

        #[test]
        fn whatever_is_cut_off_an_answer_after_its_id_the_id_is_found(
            id in any::<u64>(), text in "[a-z\"\\\\{}\\[\\],:é]{0,20}", cut in any::<prop::sample::Index>(),
        ) {
            let result = json::serialize_raw(&serde_json::json!({ "text": text, "id": 1, "more": [{}] }));
            let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
            prop_assert!(Message::parse(line.as_bytes()).is_ok());
            let begin = line.find(",\"result").expect("it is there") + 1;
            let cut = &line.as_bytes()[..begin + cut.index(line.len() - begin)];
            let all = salvage_messages(cut);
            prop_assert_eq!(all.len(), 1);
            prop_assert!(all[0].is_response);
            prop_assert_eq!(all[0].id().and_then(|id| id_as_u64(&id)), Some(id));
        }
    }
}
