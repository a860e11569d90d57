//! Addresses of electronic mail, in the domains that RFC 2606 keeps for examples.

use super::choice::Choice;
use super::{names, path};

const DOMAINS: [&str; 3] = ["example.com", "example.net", "example.org"];
/// Names of hosts below a domain.
const HOSTS: [&str; 8] = ["mail", "post", "team", "office", "north", "harbor", "studio", "lab"];

/// An address with the parts of another one. None if that is no address.
pub(super) fn make_address(shape: &str, choice: &mut Choice) -> Option<String> {
    let (local, domain) = shape.rsplit_once('@')?;
    if local.is_empty() || domain.is_empty() || shape.contains(char::is_whitespace) {
        return None;
    }
    let hosts = domain.split('.').count().saturating_sub(2);
    let mut address = make_local(local, choice);
    address.push('@');
    for _ in 0..hosts {
        address.push_str(choice.pick(&HOSTS));
        address.push('.');
    }
    address.push_str(choice.pick(&DOMAINS));
    Some(address)
}

/// Whether RFC 2606 keeps a domain for examples.
#[cfg(test)]
pub(super) fn is_reserved(domain: &str) -> bool {
    DOMAINS.iter().any(|kept| domain == *kept || domain.ends_with(&format!(".{kept}")))
}

/// The part before the `@`: a first name, then surnames; a tag behind `+` becomes another word.
fn make_local(local: &str, choice: &mut Choice) -> String {
    let (name, tag) = local.split_once('+').map_or((local, None), |(name, tag)| (name, Some(tag)));
    let words = name.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).count();
    let mut made = String::new();
    let mut number = 0;
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| c.is_alphabetic() != first.is_alphabetic()).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        rest = behind;
        if first.is_alphabetic() {
            number += 1;
            made.push_str(&make_word(run, number, words, choice));
        } else {
            let digit_or_same = |c: char| if c.is_ascii_digit() { choice.digit() } else { c };
            made.extend(run.chars().map(digit_or_same));
        }
    }
    if tag.is_some() {
        made.push('+');
        made.push_str(path::make_word(choice));
    }
    made
}

fn make_word(run: &str, number: usize, words: usize, choice: &mut Choice) -> String {
    match () {
        // An initial.
        () if run.chars().count() == 1 => names::make_plain(false, choice).chars().take(1).collect(),
        // An only word is a login: an initial and a surname.
        () if words == 1 => {
            let initial: String = names::make_plain(false, choice).chars().take(1).collect();
            initial + &names::make_plain(true, choice)
        }
        () => names::make_plain(number > 1, choice),
    }
}
