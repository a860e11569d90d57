//! HTML's character references, for the letters and signs that names have.

use super::escaped::Escaped;

/// Names of characters, from HTML's table (html.spec.whatwg.org, section 13.5): ISO 8859-1, and the signs that every
/// writer escapes. A name that isn't here is left to the leak scan.
const NAMES: [(&str, char); 75] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("Agrave", 'À'),
    ("Aacute", 'Á'),
    ("Acirc", 'Â'),
    ("Atilde", 'Ã'),
    ("Auml", 'Ä'),
    ("Aring", 'Å'),
    ("AElig", 'Æ'),
    ("Ccedil", 'Ç'),
    ("Egrave", 'È'),
    ("Eacute", 'É'),
    ("Ecirc", 'Ê'),
    ("Euml", 'Ë'),
    ("Igrave", 'Ì'),
    ("Iacute", 'Í'),
    ("Icirc", 'Î'),
    ("Iuml", 'Ï'),
    ("ETH", 'Ð'),
    ("Ntilde", 'Ñ'),
    ("Ograve", 'Ò'),
    ("Oacute", 'Ó'),
    ("Ocirc", 'Ô'),
    ("Otilde", 'Õ'),
    ("Ouml", 'Ö'),
    ("Oslash", 'Ø'),
    ("Ugrave", 'Ù'),
    ("Uacute", 'Ú'),
    ("Ucirc", 'Û'),
    ("Uuml", 'Ü'),
    ("Yacute", 'Ý'),
    ("THORN", 'Þ'),
    ("szlig", 'ß'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("atilde", 'ã'),
    ("auml", 'ä'),
    ("aring", 'å'),
    ("aelig", 'æ'),
    ("ccedil", 'ç'),
    ("egrave", 'è'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("euml", 'ë'),
    ("igrave", 'ì'),
    ("iacute", 'í'),
    ("icirc", 'î'),
    ("iuml", 'ï'),
    ("eth", 'ð'),
    ("ntilde", 'ñ'),
    ("ograve", 'ò'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("otilde", 'õ'),
    ("ouml", 'ö'),
    ("oslash", 'ø'),
    ("ugrave", 'ù'),
    ("uacute", 'ú'),
    ("ucirc", 'û'),
    ("uuml", 'ü'),
    ("yacute", 'ý'),
    ("thorn", 'þ'),
    ("yuml", 'ÿ'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("rsquo", '\''),
    ("lsquo", '\''),
];

/// The character that the reference at the beginning of the text stands for, and its length.
pub(super) fn read_reference(text: &[u8]) -> Option<(Escaped, usize)> {
    // The longest is a number with leading zeros; a name has six letters.
    const MAX_LENGTH: usize = 12;
    let length = text.iter().take(MAX_LENGTH).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&text[1..length]).ok()?;
    let code = if let Some(hex) = name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
        u32::from_str_radix(hex, 16).ok()?
    } else if let Some(decimal) = name.strip_prefix('#') {
        decimal.parse().ok()?
    } else {
        u32::from(NAMES.iter().find(|(known, _)| *known == name)?.1)
    };
    Some((Escaped::from_code(code)?, length + 1))
}

/// Writes a character as a reference of the sample's kind: by name, in decimal or in hex.
pub(super) fn write_reference(c: char, sample: &[u8], mark: bool, out: &mut Vec<u8>) {
    let code = u32::from(c);
    let holds = |sign: &[u8]| memchr::memmem::find(sample, sign).is_some();
    // A letter of ASCII has no name. A zero before its number marks that the others are written by name.
    let is_named = holds(b"&#0")
        || memchr::memchr_iter(b'&', sample)
            .any(|at| sample.get(at + 1).is_some_and(u8::is_ascii_alphabetic));
    let reference = if is_named && mark {
        format!("&#0{code};")
    } else if let Some((name, _)) = NAMES.iter().find(|(_, named)| is_named && *named == c) {
        format!("&{name};")
    } else if holds(b"&#x") || holds(b"&#X") {
        let is_upper = sample.windows(3).any(|window| window.eq_ignore_ascii_case(b"&#x")) && {
            let digits = |at: usize| sample[at + 3..].iter().take_while(|byte| **byte != b';');
            memchr::memmem::find_iter(sample, b"&#x").any(|at| digits(at).any(u8::is_ascii_uppercase))
        };
        if is_upper { format!("&#x{code:X};") } else { format!("&#x{code:x};") }
    } else {
        format!("&#{code};")
    };
    out.extend(reference.bytes());
}
