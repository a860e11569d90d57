//! How each encoding is read and written.

use super::escaped::Escaped;
use super::html;

/// An encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes in octal: `N\303\272ñez`, as git quotes paths.
    Octal,
    /// Bytes in hex: `Jos\xc3\xa9`, as C and Python's `bytes` have it.
    HexBytes,
    /// Characters in hex: `Jos\xe9`, as JavaScript and Python's `str` have it.
    HexChars,
    /// `Jos%u00e9` and `Jos%E9`, as JavaScript's `escape` writes.
    PercentU,
    /// `Jos&eacute;`, `Jos&#233;`, `Jos&#xe9;`.
    Html,
    /// `Jos=C3=A9`.
    QuotedPrintable,
    /// `O’Neil`.
    TypographicQuotes,
    /// `O''Neil` in SQL, `""` in CSV.
    DoubledQuotes,
}

const SINGLE_QUOTES: [char; 4] = ['’', '‘', 'ʼ', '′'];
const DOUBLE_QUOTES: [char; 3] = ['“', '”', '„'];

impl Encoding {
    /// Its name, for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Octal => "octal escapes",
            Self::HexBytes | Self::HexChars => "hex escapes",
            Self::PercentU => "`%u` escapes",
            Self::Html => "HTML character references",
            Self::QuotedPrintable => "quoted-printable",
            Self::TypographicQuotes => "typographic quotes",
            Self::DoubledQuotes => "doubled quotes",
        }
    }

    /// The encodings of which raw JSON may hold an escape. Looks at the first bytes of escapes only, in a few passes over
    /// the text.
    pub(super) fn occurring_in(raw: &[u8]) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut add = |encodings: &[Self]| {
            for encoding in encodings {
                if !found.contains(encoding) {
                    found.push(*encoding);
                }
            }
        };
        let signs =
            memchr::memchr3_iter(b'\\', b'%', b'&', raw).chain(memchr::memchr2_iter(b'=', b'\'', raw));
        for at in signs {
            match &raw[at..] {
                [b'\\', b'0'..=b'3', b'0'..=b'7', ..] => add(&[Self::Octal]),
                [b'\\', b'x', ..] => add(&[Self::HexBytes, Self::HexChars]),
                [b'\\', b'"', b'\\', b'"', ..] | [b'\'', b'\'', ..] => add(&[Self::DoubledQuotes]),
                [b'%', b'u' | b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => add(&[Self::PercentU]),
                // A soft line break, as JSON spells it.
                [b'=', b'\\', b'n' | b'r', ..] => add(&[Self::QuotedPrintable]),
                [b'&', b'#' | b'a'..=b'z' | b'A'..=b'Z', ..] => add(&[Self::Html]),
                [b'=', b'0'..=b'9' | b'A'..=b'F', b'0'..=b'9' | b'A'..=b'F', ..] => {
                    add(&[Self::QuotedPrintable])
                }
                _ => {}
            }
        }
        // The first bytes of typographic quotes.
        if memchr::memchr2_iter(0xCA, 0xE2, raw).any(|at| read_quote(&raw[at..]).is_some()) {
            add(&[Self::TypographicQuotes]);
        }
        found
    }

    /// Whether this encoding, and not the other with the same escapes, wrote the sample. Where a replacement has no character
    /// that tells, its first letter is marked for bytes, and its last one for characters.
    pub(super) fn wrote(self, sample: &[u8]) -> bool {
        let has_high = || {
            memchr::memmem::find_iter(sample, b"\\x")
                .any(|at| sample.get(at + 2).is_some_and(|digit| !matches!(digit, b'0'..=b'7')))
        };
        match self {
            Self::HexBytes => sample.starts_with(b"\\x") || has_high(),
            Self::HexChars => !sample.starts_with(b"\\x") || has_high(),
            _ => true,
        }
    }

    /// What the escape at the beginning of the text stands for, and its length.
    pub(super) fn read(self, text: &[u8]) -> Option<(Escaped, usize)> {
        match (self, text) {
            (Self::Octal, [b'\\', first @ b'0'..=b'3', second @ b'0'..=b'7', third @ b'0'..=b'7', ..]) => {
                Some((Escaped::Byte([(first - b'0') << 6 | (second - b'0') << 3 | (third - b'0')]), 4))
            }
            (Self::Octal, [b'\\', quoted @ (b'"' | b'\\'), ..]) => Some((Escaped::Byte([*quoted]), 2)),
            (Self::HexBytes, [b'\\', b'x', digits @ ..]) => {
                Some((Escaped::Byte([read_hex(digits.get(..2)?)?]), 4))
            }
            (Self::HexChars, [b'\\', b'x', digits @ ..]) => {
                Some((Escaped::from_code(u32::from(read_hex(digits.get(..2)?)?))?, 4))
            }
            (Self::PercentU, [b'%', b'u', digits @ ..]) => {
                let (high, low) = (read_hex(digits.get(..2)?)?, read_hex(digits.get(2..4)?)?);
                Some((Escaped::from_code(u32::from(high) << 8 | u32::from(low))?, 6))
            }
            (Self::PercentU, [b'%', digits @ ..]) => {
                Some((Escaped::from_code(u32::from(read_hex(digits.get(..2)?)?))?, 3))
            }
            (Self::Html, [b'&', ..]) => html::read_reference(text),
            (Self::QuotedPrintable, [b'=', b'\r', b'\n', ..]) => Some((Escaped::Nothing, 3)),
            (Self::QuotedPrintable, [b'=', b'\n', ..]) => Some((Escaped::Nothing, 2)),
            (Self::QuotedPrintable, [b'=', digits @ ..]) => {
                Some((Escaped::Byte([read_hex(digits.get(..2)?)?]), 3))
            }
            (Self::TypographicQuotes, [0xCA | 0xE2, ..]) => read_quote(text),
            (Self::DoubledQuotes, [first @ (b'\'' | b'"'), second, ..]) if first == second => {
                Some((Escaped::Byte([*first]), 2))
            }
            _ => None,
        }
    }

    /// Writes a text as `sample` is written.
    pub(super) fn write(self, text: &str, sample: &[u8]) -> Vec<u8> {
        let needs = |c: char| match self {
            Self::Octal | Self::HexBytes | Self::HexChars => !c.is_ascii() || matches!(c, '\\' | '"'),
            Self::PercentU => !(c.is_ascii_alphanumeric() || "@*_+-./".contains(c)),
            Self::Html => !c.is_ascii() || matches!(c, '&' | '<' | '>' | '"' | '\''),
            Self::QuotedPrintable => !c.is_ascii() || c == '=',
            Self::TypographicQuotes | Self::DoubledQuotes => matches!(c, '\'' | '"'),
        };
        // Quotes have no escape for letters, so such a text comes back with plain quotes.
        let has_mark = !matches!(self, Self::TypographicQuotes | Self::DoubledQuotes);
        let mark = has_mark && !text.chars().any(needs);
        let mut out = Vec::with_capacity(text.len() + 8);
        let marked = if self == Self::HexChars { text.chars().count().saturating_sub(1) } else { 0 };
        for (number, c) in text.chars().enumerate() {
            if needs(c) || (mark && number == marked) {
                self.write_char(c, sample, mark, &mut out);
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        out
    }

    fn write_char(self, c: char, sample: &[u8], mark: bool, out: &mut Vec<u8>) {
        let mut utf8 = [0; 4];
        let utf8 = c.encode_utf8(&mut utf8).as_bytes();
        let code = u32::from(c);
        let has_capitals = |sign: &[u8]| has_capital_hex(sample, sign);
        match self {
            Self::Octal if matches!(c, '"' | '\\') => out.extend([b'\\', c as u8]),
            Self::Octal => utf8.iter().for_each(|byte| out.extend(format!("\\{byte:03o}").bytes())),
            Self::HexChars if code < 0x100 && has_capitals(b"\\x") => {
                out.extend(format!("\\x{code:02X}").bytes())
            }
            Self::HexChars if code < 0x100 => out.extend(format!("\\x{code:02x}").bytes()),
            Self::HexChars => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out.extend(format!("\\u{unit:04x}").bytes())),
            Self::HexBytes if has_capitals(b"\\x") => {
                utf8.iter().for_each(|byte| out.extend(format!("\\x{byte:02X}").bytes()))
            }
            Self::HexBytes => utf8.iter().for_each(|byte| out.extend(format!("\\x{byte:02x}").bytes())),
            // JavaScript writes `%20` and `%E9` so. A mark has the long form, which plain percent-encoding doesn't know.
            Self::PercentU if code < 0x80 && !mark => out.extend(format!("%{code:02X}").bytes()),
            Self::PercentU if code < 0x100 && memchr::memmem::find(sample, b"%u00").is_none() => {
                out.extend(format!("%{code:02X}").bytes());
            }
            Self::PercentU => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let upper = has_capitals(b"%u");
                out.extend(if upper { format!("%u{unit:04X}") } else { format!("%u{unit:04x}") }.bytes());
            }),
            Self::Html => html::write_reference(c, sample, mark, out),
            Self::QuotedPrintable => utf8.iter().for_each(|byte| out.extend(format!("={byte:02X}").bytes())),
            Self::TypographicQuotes => {
                out.extend_from_slice(typographic_quote(c, sample).encode_utf8(&mut [0; 4]).as_bytes())
            }
            Self::DoubledQuotes => out.extend([c as u8, c as u8]),
        }
    }
}

fn read_quote(text: &[u8]) -> Option<(Escaped, usize)> {
    let quote = |quotes: &[char], plain: u8| {
        let found =
            quotes.iter().find(|quote| text.starts_with(quote.encode_utf8(&mut [0; 4]).as_bytes()))?;
        Some((Escaped::Byte([plain]), found.len_utf8()))
    };
    quote(&SINGLE_QUOTES, b'\'').or_else(|| quote(&DOUBLE_QUOTES, b'"'))
}

/// The quote of its kind that the sample has.
fn typographic_quote(plain: char, sample: &[u8]) -> char {
    let quotes: &[char] = if plain == '\'' { &SINGLE_QUOTES } else { &DOUBLE_QUOTES };
    let has = |quote: &&char| memchr::memmem::find(sample, quote.to_string().as_bytes()).is_some();
    quotes.iter().find(has).copied().unwrap_or(plain)
}

/// Whether the digits of the sample's escapes are capitals.
fn has_capital_hex(sample: &[u8], sign: &[u8]) -> bool {
    memchr::memmem::find_iter(sample, sign).any(|at| {
        sample[at + sign.len()..]
            .iter()
            .take(4)
            .take_while(|digit| digit.is_ascii_hexdigit())
            .any(u8::is_ascii_uppercase)
    })
}

/// The byte that two hex digits spell.
pub(super) fn read_hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*digits.first()?)? << 4 | digit(*digits.get(1)?)?)
}
