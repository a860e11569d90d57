//! Texts that stand for a fake itself: of its shape, and of no meaning.

use super::choice::Choice;
use super::{names, path};

const VOWELS: &str = "aeiou";
const CONSONANTS: &str = "bcdfghjklmnprstvwz";

/// A text of the shape of a fake: vowels, consonants and digits become others of their kind. None if there is nothing to
/// change.
pub(in crate::anonymize) fn make_alias(fake: &str, candidate: u64) -> Option<String> {
    let mut choice = Choice::new(fake, 0, candidate);
    // Other scripts have no such letters, and a name in them is a name all the same.
    if fake.chars().any(|c| c.is_alphabetic() && !c.is_ascii()) {
        return names::make_name(fake, &mut choice).ok().filter(|alias| alias != fake);
    }
    // The domain of an address is one of examples.
    let (local, domain) =
        fake.rsplit_once('@').map_or((fake, ""), |(local, _)| (local, &fake[local.len()..]));
    let mut alias = String::with_capacity(fake.len());
    for piece in local.split_inclusive(['/', '\\']) {
        if path::is_common(piece.trim_end_matches(['/', '\\'])) && piece.len() < local.len() {
            alias.push_str(piece);
        } else {
            let mut is_first = true;
            for character in piece.chars() {
                alias.push(change(character, is_first, &mut choice));
                is_first = false;
            }
        }
    }
    alias.push_str(domain);
    let changed = fake.chars().zip(alias.chars()).filter(|(was, is)| was != is).count();
    // Less could stand anywhere.
    (changed >= 3).then_some(alias)
}

fn change(character: char, is_first: bool, choice: &mut Choice) -> char {
    let lower = character.to_ascii_lowercase();
    let letters = match lower {
        'a' | 'e' | 'i' | 'o' | 'u' => VOWELS,
        'a'..='z' => CONSONANTS,
        // A number doesn't begin with zero, unless it did.
        '1'..='9' if is_first => return char::from(b'1' + u8::try_from(choice.below(9)).unwrap_or_default()),
        '0'..='9' => return choice.digit(),
        _ => return character,
    };
    let letters: Vec<char> = letters.chars().filter(|letter| *letter != lower).collect();
    let letter = letters[choice.below(letters.len())];
    if character.is_ascii_uppercase() { letter.to_ascii_uppercase() } else { letter }
}
