//! Paths of files. What is the same on every machine stays, such as `/home` and `Documents`.

use super::choice::Choice;
use super::names;

/// Parts of paths that say nothing of a person.
const COMMON: [&str; 38] = [
    "home",
    "users",
    "root",
    "usr",
    "var",
    "etc",
    "opt",
    "srv",
    "mnt",
    "media",
    "tmp",
    "private",
    "volumes",
    "local",
    "share",
    "bin",
    "lib",
    "documents",
    "desktop",
    "downloads",
    "pictures",
    "music",
    "movies",
    "videos",
    "library",
    "appdata",
    "roaming",
    "program files",
    "mobile documents",
    "src",
    "lib64",
    "run",
    "data",
    "www",
    "cache",
    "config",
    "onedrive",
    "dropbox",
];
/// Directories whose children are people's.
const HOMES: [&str; 2] = ["home", "users"];
const WORDS: [&str; 32] = [
    "harbor", "meadow", "lantern", "juniper", "granite", "willow", "copper", "thistle", "marble", "heron",
    "cinder", "orchard", "pebble", "saffron", "tundra", "velvet", "walnut", "zephyr", "amber", "birch",
    "cobalt", "dapple", "ember", "fathom", "gable", "hazel", "indigo", "kestrel", "linden", "magpie",
    "nettle", "osprey",
];

/// A path with the parts of another one. None if nothing in it could be a person's.
pub(super) fn make_path(shape: &str, choice: &mut Choice) -> Option<String> {
    if !shape.contains(['/', '\\', '~']) || shape.contains('\n') {
        return None;
    }
    let mut made = String::new();
    let mut parent = "";
    let mut has_changed = false;
    for piece in shape.split_inclusive(['/', '\\']) {
        let name = piece.trim_end_matches(['/', '\\']);
        let is_home = HOMES.contains(&parent.to_lowercase().as_str());
        let new = make_part(name, is_home, choice);
        has_changed |= new != name;
        made.push_str(&new);
        made.push_str(&piece[name.len()..]);
        parent = name;
    }
    has_changed.then_some(made)
}

/// A word that isn't a person's.
pub(super) fn make_word(choice: &mut Choice) -> &'static str {
    choice.pick(&WORDS)
}

/// Whether a part is the same on every machine.
pub(super) fn is_common(name: &str) -> bool {
    let is_drive = name.len() == 2 && name.ends_with(':');
    name.is_empty() || is_drive || COMMON.contains(&name.to_lowercase().as_str())
}

fn make_part(name: &str, is_home: bool, choice: &mut Choice) -> String {
    let bare = name.trim_start_matches(['.', '~']);
    if is_common(bare) || is_common(name) {
        return name.to_owned();
    }
    let start = &name[..name.len() - bare.len()];
    if is_home || start == "~" {
        let initial: String = names::make_plain(false, choice).chars().take(1).collect();
        let login = initial + &names::make_plain(true, choice);
        return format!("{start}{}", like(bare, &login));
    }
    let (stem, ending) = match bare.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && (1..=5).contains(&ending.len()) => (stem, Some(ending)),
        _ => (bare, None),
    };
    let words = stem.split_inclusive(|c: char| !c.is_alphanumeric()).map(|word| {
        let letters = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let made = if letters.is_empty() { String::new() } else { like(letters, make_word(choice)) };
        made + &word[letters.len()..]
    });
    let stem: String = words.collect();
    ending.map_or_else(|| format!("{start}{stem}"), |ending| format!("{start}{stem}.{ending}"))
}

/// A word in the case of another one; digits in place of a number.
fn like(shape: &str, word: &str) -> String {
    let mut letters = word.chars();
    match shape.chars().next() {
        Some(first)
            if shape.chars().all(char::is_uppercase)
                && shape.chars().count() > 1
                && first.is_alphabetic() =>
        {
            word.to_uppercase()
        }
        Some(first) if first.is_uppercase() => {
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters.clone()).collect()
        }
        _ => word.to_owned(),
    }
}
