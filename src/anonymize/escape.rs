//! Reads one layer of escapes, and writes a value in the style in which another was written.
//!
//! Two kinds are known: JSON's (`\"`, `\u00e9`) and percent-encoding (`%20`). A step reads one layer of both
//! kinds, or of JSON's alone, so nested escapes come apart step by step. Anything that is no escape stays.

/// A text with one or more layers of escapes read. It knows where each of its bytes came from.
pub(super) struct DecodedText {
    pub(super) bytes: Vec<u8>,
    /// Where each byte's source begins in the raw text, and one more entry for the end.
    starts: Vec<u32>,
}

/// Replaces half a surrogate pair. No value and no UTF-8 text holds this byte.
const INVALID_BYTE: u8 = 0xFF;

impl DecodedText {
    /// Reads the layer that every JSON string has on the wire.
    pub(super) fn from_json_string(raw: &[u8]) -> Self {
        Self::decode_once(raw, to_u32, raw.len(), false)
    }

    /// Reads one more layer: JSON's escapes, and percent-encoding if asked. `None` if there is nothing to
    /// read.
    pub(super) fn decode_layer(&self, percent: bool) -> Option<Self> {
        memchr::memchr2(b'\\', b'%', &self.bytes)?;
        let end = self.bytes.len();
        let deeper = Self::decode_once(&self.bytes, |at| self.starts[at], end, percent);
        // Every escape is longer than its character, so an equal length means that no escape was read.
        (deeper.bytes.len() < end).then_some(deeper)
    }

    /// The span of the raw text from which a span of this view was read.
    pub(super) fn source_span(&self, start: usize, end: usize) -> (usize, usize) {
        (self.starts[start] as usize, self.starts[end] as usize)
    }

    /// The bytes of this view that were read from a span of the raw text.
    pub(super) fn slice_at_source(&self, start: usize, end: usize) -> &[u8] {
        // `starts` only grows, so the bytes of one source span are one stretch of the view.
        let from = self.starts.partition_point(|at| (*at as usize) < start);
        let to = self.starts.partition_point(|at| (*at as usize) < end);
        self.bytes.get(from..to).unwrap_or_default()
    }

    fn decode_once(raw: &[u8], source: impl Fn(usize) -> u32, end: usize, percent: bool) -> Self {
        let mut bytes = Vec::with_capacity(raw.len());
        let mut starts = Vec::with_capacity(raw.len() + 1);
        let mut at = 0;
        while at < raw.len() {
            let (read, length) = match raw[at] {
                b'\\' => read_json_escape(&raw[at..]),
                b'%' if percent => read_percent_escape(&raw[at..]),
                _ => None,
            }
            .unwrap_or((EscapeValue::Byte(raw[at]), 1));
            let start = source(at);
            match read {
                EscapeValue::Byte(byte) => {
                    bytes.push(byte);
                    starts.push(start);
                }
                EscapeValue::Char(c) => {
                    let mut buffer = [0; 4];
                    bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                    // All bytes of a character come from its one escape: a span never begins or ends inside it.
                    starts.resize(bytes.len(), start);
                }
            }
            at += length;
        }
        starts.push(source(end));
        Self { bytes, starts }
    }
}

/// The character that an escape spells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EscapeValue {
    /// A byte.
    Byte(u8),
    /// A character beyond ASCII.
    Char(char),
}

/// Reads the JSON escape that a text begins with, and its length.
pub(super) fn read_json_escape(text: &[u8]) -> Option<(EscapeValue, usize)> {
    let byte = match *text.get(1)? {
        same @ (b'"' | b'\\' | b'/') => same,
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'u' => return read_unicode_escape(text),
        _ => return None,
    };
    Some((EscapeValue::Byte(byte), 2))
}

fn read_unicode_escape(text: &[u8]) -> Option<(EscapeValue, usize)> {
    let unit = parse_hex(text.get(2..6)?)?;
    let (code, length) = match unit {
        0xD800..=0xDBFF => {
            // Half a pair without its other half stays alone, six characters long. It becomes `INVALID_BYTE`
            // below.
            match text.get(6..12).filter(|low| low.starts_with(b"\\u")).and_then(|low| parse_hex(&low[2..])) {
                Some(low @ 0xDC00..=0xDFFF) => (0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00), 12),
                _ => (unit, 6),
            }
        }
        _ => (unit, 6),
    };
    let read = match u8::try_from(code) {
        Ok(byte) if byte.is_ascii() => EscapeValue::Byte(byte),
        _ => char::from_u32(code).map_or(EscapeValue::Byte(INVALID_BYTE), EscapeValue::Char),
    };
    Some((read, length))
}

/// Reads the percent escape that a text begins with, and its length.
pub(super) fn read_percent_escape(text: &[u8]) -> Option<(EscapeValue, usize)> {
    let byte = u8::try_from(parse_hex(text.get(1..3)?)?).ok()?;
    Some((EscapeValue::Byte(byte), 3))
}

fn parse_hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// How a text is escaped in one layer.
#[derive(Debug, Clone, Default)]
pub(super) struct EscapeStyle {
    json: bool,
    percent: bool,
    /// Characters beyond ASCII as `\uXXXX`.
    ascii_only: bool,
    escaped_slash: bool,
    upper_hex: bool,
    /// Bytes that were percent-encoded, and bytes that were not.
    encoded: Vec<u8>,
    plain: Vec<u8>,
}

impl EscapeStyle {
    /// The style of a JSON string, also of one without any escape.
    pub(super) fn from_json_string(raw: &[u8]) -> Self {
        Self { json: true, ..Self::detect(raw, false) }
    }

    /// The style of an inner layer.
    pub(super) fn from_layer(text: &[u8], percent: bool) -> Self {
        Self::detect(text, percent)
    }

    /// Whether no writer writes this: a bare quote or control character beside JSON escapes, or a character
    /// both percent-encoded and bare. Such a text can't be written back as it was.
    pub(super) fn is_inconsistent(&self) -> bool {
        let twice = |byte: &u8| !byte.is_ascii_alphanumeric() && self.encoded.contains(byte);
        (self.json && self.plain.iter().any(|byte| matches!(byte, b'"' | 0..=0x1f)))
            || (self.percent && self.plain.iter().any(twice))
    }

    fn detect(text: &[u8], percent: bool) -> Self {
        let mut style = Self::default();
        let (mut lower, mut upper) = (false, false);
        let mut at = 0;
        while at < text.len() {
            let read = match text[at] {
                b'\\' => read_json_escape(&text[at..]).inspect(|(read, length)| {
                    style.json = true;
                    // A `\u` escape right at the start is the mark that `force_escape` leaves.
                    let marked = at == 0 && *length == 6;
                    style.ascii_only |= marked || matches!(read, EscapeValue::Char(_));
                    style.escaped_slash |= *length == 2 && *read == EscapeValue::Byte(b'/');
                }),
                b'%' if percent => read_percent_escape(&text[at..]).inspect(|(read, _)| {
                    style.percent = true;
                    if let EscapeValue::Byte(byte) = read {
                        style.encoded.push(*byte);
                    }
                }),
                _ => None,
            };
            let length = read.map_or(1, |(_, length)| length);
            // Longer escapes have hex digits (`\u00e9`, `%2f`); two-byte ones such as `\n` have none.
            if length > 2 {
                lower |= text[at..at + length]
                    .iter()
                    .skip(2 - usize::from(text[at] == b'%'))
                    .any(|b| matches!(b, b'a'..=b'f'));
                upper |= text[at..at + length].iter().any(|b| matches!(b, b'A'..=b'F'));
            } else if length == 1 {
                style.plain.push(text[at]);
            }
            at += length;
        }
        // Digits without letters don't show a case, so custom decides: `%2F`, but `\u00e9`.
        style.upper_hex = if style.percent { upper || !lower } else { upper && !lower };
        style
    }

    /// Writes `text` in this style. If the layer held escapes and `text` needs none, one character is escaped
    /// all the same, so that revealing finds the same number of layers. Percent-encoding always does this,
    /// JSON's only with `mark`.
    pub(super) fn write_escaped(&self, text: &[u8], mark: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 8);
        if self.percent {
            self.write_percent(text, &mut out);
            if out == text {
                out.clear();
                self.push_percent_escape(text[0], &mut out);
                out.extend_from_slice(&text[1..]);
            }
            if !self.json {
                return out;
            }
        }
        // Where a layer has both kinds, its percent-encoded text is escaped for JSON.
        let text = if self.percent { std::mem::take(&mut out) } else { text.to_vec() };
        if self.json {
            self.write_json(&text, &mut out);
            if out == text && mark && !self.percent {
                self.force_escape(&text, &mut out);
            }
            return out;
        }
        text
    }

    /// Escapes the first ASCII character if the style escapes characters beyond ASCII, else the last one. By
    /// the position `detect` tells the two styles apart.
    fn force_escape(&self, text: &[u8], out: &mut Vec<u8>) {
        let letter = |byte: &u8| byte.is_ascii();
        let at = if self.ascii_only { text.iter().position(letter) } else { text.iter().rposition(letter) };
        if let Some(at) = at {
            out.truncate(at);
            self.push_unicode_escape(u16::from(text[at]), out);
            out.extend_from_slice(&text[at + 1..]);
        }
    }

    fn write_percent(&self, text: &[u8], out: &mut Vec<u8>) {
        let reserved = |byte: &u8| b":/?#[]@!$&'()*+,;=".contains(byte);
        // Reserved characters are kept bare only where the sample kept some and encoded none, as a whole URL
        // does.
        let whole = self.encoded.iter().any(reserved) || !self.plain.iter().any(reserved);
        for byte in text {
            let encode = if self.encoded.contains(byte) {
                true
            } else if self.plain.contains(byte) || byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                false
            } else {
                !reserved(byte) || whole
            };
            if encode {
                self.push_percent_escape(*byte, out);
            } else {
                out.push(*byte);
            }
        }
    }

    fn write_json(&self, text: &[u8], out: &mut Vec<u8>) {
        for chunk in text.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' | '\\' => out.extend([b'\\', c as u8]),
                    '/' if self.escaped_slash => out.extend(b"\\/"),
                    '\n' => out.extend(b"\\n"),
                    '\t' => out.extend(b"\\t"),
                    '\r' => out.extend(b"\\r"),
                    '\u{8}' => out.extend(b"\\b"),
                    '\u{c}' => out.extend(b"\\f"),
                    '\0'..='\u{1f}' => self.push_unicode_escape(c as u16, out),
                    '\u{80}'.. if self.ascii_only => {
                        c.encode_utf16(&mut [0; 2])
                            .iter()
                            .for_each(|unit| self.push_unicode_escape(*unit, out));
                    }
                    _ => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
                }
            }
            out.extend(chunk.invalid());
        }
    }

    fn push_percent_escape(&self, byte: u8, out: &mut Vec<u8>) {
        out.push(b'%');
        self.push_hex(u16::from(byte), 2, out);
    }

    fn push_unicode_escape(&self, unit: u16, out: &mut Vec<u8>) {
        out.extend(b"\\u");
        self.push_hex(unit, 4, out);
    }

    fn push_hex(&self, value: u16, digits: u16, out: &mut Vec<u8>) {
        let alphabet = if self.upper_hex { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
        out.extend((0..digits).rev().map(|place| alphabet[usize::from(value >> (4 * place) & 15)]));
    }
}

/// Whether a text needs escapes in a JSON string.
pub(super) fn needs_json_escape(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
}

fn to_u32(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_layers(raw: &str, layers: usize) -> String {
        let mut view = DecodedText::from_json_string(raw.as_bytes());
        for _ in 1..layers {
            view = view.decode_layer(true).expect("a layer");
        }
        String::from_utf8_lossy(&view.bytes).into_owned()
    }

    #[test]
    fn layers_are_read_one_by_one() {
        assert_eq!(decode_layers(r"a\u00e9\/\n%20", 1), "aé/\n%20");
        assert_eq!(decode_layers(r"a\\u00e9%20b", 2), "aé b");
        assert_eq!(decode_layers(r#"\\\\\\\"x"#, 3), "\"x");
        assert_eq!(decode_layers(r"\ud83d\ude00 \ud83d.", 1), "😀 \u{fffd}.");
        assert_eq!(decode_layers(r"\\q %zz", 1), r"\q %zz");
    }

    #[test]
    fn a_span_leads_back_to_its_source() {
        let view = DecodedText::from_json_string(br"ab\u00e9cd").decode_layer(true);
        assert!(view.is_none());
        let view = DecodedText::from_json_string(br"x%4Ao\\u00e9y").decode_layer(true).expect("a layer");
        assert_eq!(view.bytes, "xJoéy".as_bytes());
        assert_eq!(view.source_span(1, 5), (1, 12));
        assert_eq!(view.slice_at_source(1, 5), b"Jo");
    }

    #[test]
    fn a_value_is_written_in_the_way_of_another() {
        let style = |text: &str| EscapeStyle::from_layer(text.as_bytes(), true);
        let write = |way: &str, text: &str| {
            String::from_utf8(style(way).write_escaped(text.as_bytes(), true)).expect("UTF-8")
        };
        assert_eq!(write("John%20Smith", "Jane Doe"), "Jane%20Doe");
        assert_eq!(write("john%40x.com", "é@b.org"), "%C3%A9%40b.org");
        assert_eq!(write("jos%c3%a9", "zoë"), "zo%c3%ab");
        assert_eq!(write("a/b%20c", "d/e f"), "d/e%20f");
        assert_eq!(write("a%20b", "Max"), "%4Dax");
        assert_eq!(write(r"O\'Neil \u00e9", "Zoë"), r"Zo\u00eb");
        assert_eq!(write(r#"a\"b"#, "Max"), r"Ma\u0078");
        assert_eq!(write(r#"a\"b\u00e9"#, "Max"), r"\u004dax");
        assert_eq!(write(r#"a\"b"#, "c\"d\n"), r#"c\"d\n"#);
    }
}
