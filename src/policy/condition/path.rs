//! Paths in arguments, by their text alone. Nothing here looks at a disk, so a symbolic link counts as its own
//! name.

use super::Truth;
use super::pointer::equals_ignoring_case;

/// A folder that a path may be under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(AbsolutePath);

/// Why a text can't be used as a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a folder is an absolute path such as `/home/me/notes` or `C:\\notes`, without `%`, a final dot or blank"
)]
pub struct FolderError;

/// An absolute path in its plainest form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AbsolutePath {
    /// The lower-case letter of a Windows drive; none for a path from `/`.
    drive: Option<char>,
    segments: Vec<String>,
}

impl Folder {
    /// The drive's letter, and the names below it.
    pub(super) fn parts(&self) -> (Option<char>, &[String]) {
        (self.0.drive, &self.0.segments)
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// If it isn't an absolute path, or if systems read it in several ways.
    pub fn parse(text: &str) -> Result<Self, FolderError> {
        match <[AbsolutePath; 1]>::try_from(absolute_readings(text)) {
            Ok([folder]) => Ok(Self(folder)),
            Err(_) => Err(FolderError),
        }
    }

    /// Whether this text is the folder's own path or one below it. Only absolute paths can be compared,
    /// because only the server knows where a relative one begins.
    #[must_use]
    pub fn contains_path(&self, text: &str) -> Truth {
        let mut truths = absolute_readings(text).into_iter().map(|path| self.contains_absolute(&path));
        let Some(first) = truths.next() else { return Truth::Unsure };
        // All readings must agree. A server may follow any of them.
        if truths.all(|other| other == first) { first } else { Truth::Unsure }
    }

    fn contains_absolute(&self, path: &AbsolutePath) -> Truth {
        match (self.0.drive, path.drive) {
            (Some(one), Some(other)) if one != other => return Truth::No,
            (Some(_), None) | (None, Some(_)) => return Truth::Unsure,
            (Some(_), Some(_)) | (None, None) => {}
        }
        if path.segments.len() < self.0.segments.len() {
            return Truth::No;
        }
        let drive = self.0.drive.is_some();
        let pairs = self.0.segments.iter().zip(&path.segments);
        // `No < Unsure < Yes`: one name that differs for sure outweighs others that may be equal.
        pairs.map(|(mine, theirs)| compare_names(mine, theirs, drive)).min().unwrap_or(Truth::Yes)
    }
}

/// Whether two names mean one file. Windows ignores case, and so do some file systems elsewhere. Some also
/// treat several spellings of an accented letter as one.
fn compare_names(one: &str, other: &str, on_drive: bool) -> Truth {
    if one == other {
        return Truth::Yes;
    }
    match equals_ignoring_case(one, other) {
        true if on_drive && one.is_ascii() && other.is_ascii() => Truth::Yes,
        true => Truth::Unsure,
        false if !one.is_ascii() && !other.is_ascii() => Truth::Unsure,
        false => Truth::No,
    }
}

/// All ways in which systems read a text as an absolute path; empty if it may not be one.
fn absolute_readings(text: &str) -> Vec<AbsolutePath> {
    if text.chars().any(char::is_control) || has_percent_escape(text) {
        return Vec::new();
    }
    let both = |c: char| c == '/' || c == '\\';
    match text.as_bytes() {
        [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic() => {
            let segments: Vec<_> = text[3..].split(both).collect();
            if segments.iter().any(|segment| is_ambiguous_on_windows(segment)) {
                return Vec::new();
            }
            let drive = Some(char::from(letter.to_ascii_lowercase()));
            vec![AbsolutePath { drive, segments: resolve_dots(segments) }]
        }
        // Two separators may begin the name of another machine.
        [b'/', b'/' | b'\\', ..] => Vec::new(),
        [b'/', ..] => {
            let from_root = |segments| AbsolutePath { drive: None, segments: resolve_dots(segments) };
            let mut readings = vec![from_root(text.split('/').collect())];
            // Unix takes `\` as part of a name, but a server may convert it to `/`.
            if text.contains('\\') {
                readings.push(from_root(text.split(both).collect()));
            }
            readings
        }
        _ => Vec::new(),
    }
}

/// Whether Windows may read a name as another one: final dots and blanks, streams, devices, short names.
fn is_ambiguous_on_windows(segment: &str) -> bool {
    let dots = matches!(segment, "." | "..");
    let short = segment.split('~').skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    (!dots && segment.ends_with(['.', ' '])) || segment.contains([':', '*', '?', '"', '<', '>', '|']) || short
}

/// Whether the text holds an escape such as `%2e`, which some servers decode.
fn has_percent_escape(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|three| three[0] == b'%' && three[1].is_ascii_hexdigit() && three[2].is_ascii_hexdigit())
}

fn resolve_dots(segments: Vec<&str>) -> Vec<String> {
    let mut flat: Vec<String> = Vec::with_capacity(segments.len());
    for segment in segments {
        match segment {
            "" | "." => {}
            // At the root `..` leads nowhere, on every system.
            ".." => {
                flat.pop();
            }
            name => flat.push(name.to_owned()),
        }
    }
    flat
}

/// The text without `.`, `..` and doubled separators, as if it were a path or a URL. `None` if that changes
/// nothing.
pub(super) fn normalize_path(text: &str) -> Option<String> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (head, body) = text.split_at(start);
    // Pairs of a separator and the name after it. The first name has no separator.
    let mut flat: Vec<(&str, &str)> = Vec::new();
    let mut rest = body;
    let mut separator = "";
    loop {
        let end = rest.find(['/', '\\']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let first = flat.is_empty() && separator.is_empty();
        match name {
            "" if !first && !after.is_empty() => {}
            "." if !first || !after.is_empty() => {}
            ".." => match flat.last() {
                // `..` removes the name before it. Behind another `..` that removed nothing, it stays.
                Some((_, last)) if !matches!(*last, "" | "..") => {
                    flat.pop();
                }
                // The name before it is empty, so this is the root, where `..` leads nowhere.
                Some((_, "")) => {}
                _ => flat.push((separator, name)),
            },
            _ => flat.push((separator, name)),
        }
        if after.is_empty() {
            break;
        }
        (separator, rest) = after.split_at(1);
    }
    // If the names before the first one left were removed, its separator goes too.
    if let Some((separator, _)) = flat.first_mut() {
        *separator = "";
    }
    let tidied: String = std::iter::once(head)
        .chain(flat.into_iter().flat_map(|(separator, name)| [separator, name]))
        .collect();
    (tidied != text).then_some(tidied)
}
