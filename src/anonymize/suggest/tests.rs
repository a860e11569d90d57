//! What is proposed, by shape.

use super::*;

fn propose(kind: FakeKind, shape: &str, seed: u64) -> String {
    let real = Secret::new(shape);
    suggest_fakes(kind, Some(&real), &[], seed, 1)
        .unwrap_or_else(|error| panic!("{shape}: {error}"))
        .remove(0)
}

fn rule(fake: &str, real: &str) -> ReplacementRule {
    ReplacementRule {
        fake: fake.into(),
        real: Secret::new(real),
        direction: Direction::Both,
        case_sensitive: true,
        matching: None,
        label: None,
        servers: None,
    }
}

/// The text with a letter for each character of a kind: `Aa Aa` for a name.
fn shape_of(text: &str) -> String {
    let mut shape = String::new();
    for character in text.chars() {
        let kind = match character {
            c if c.is_uppercase() => 'A',
            c if c.is_alphabetic() => 'a',
            c if c.is_ascii_digit() => '0',
            c => c,
        };
        if !shape.ends_with(kind) || kind == '0' {
            shape.push(kind);
        }
    }
    shape
}

#[test]
fn a_name_has_the_parts_the_case_and_the_script_of_the_value() {
    for seed in 0..40 {
        for (real, shape) in [
            ("Andres Cufari", "Aa Aa"),
            ("ANDRES CUFARI", "A A"),
            ("andres cufari", "a a"),
            ("Cufari", "Aa"),
            ("Anna-Lena M. van Dijk", "Aa-Aa A. a Aa"),
            ("Conan O'Brien", "Aa A'Aa"),
            ("José Núñez", "Aa Aa"),
            ("Иван Петров", "Aa Aa"),
            ("Νίκος Παππάς", "Aa Aa"),
            ("山田 太郎", "a a"),
            ("王小明", "a"),
            ("김민수", "a"),
        ] {
            let fake = propose(FakeKind::Name, real, seed);
            assert_eq!(shape_of(&fake), shape, "{real}: {fake}");
            assert_ne!(fake, real);
            let is_latin = |text: &str| text.chars().any(|c| c.is_ascii_alphabetic());
            assert_eq!(is_latin(&fake), is_latin(real), "{real}: {fake}");
        }
    }
    // Letters with marks call for some, so that their escapes come back.
    assert!(!propose(FakeKind::Name, "José Núñez", 1).is_ascii());
    assert!(propose(FakeKind::Name, "Jose Nunez", 1).is_ascii());
}

#[test]
fn an_address_keeps_its_parts_and_goes_to_a_domain_of_examples() {
    for seed in 0..40 {
        for (real, shape) in [
            ("andres@cufari.dev", "a@a.a"),
            ("andres.cufari@mail.corp.test", "a.a@a.a.a"),
            ("a.cufari_77@corp.test", "a.a_00@a.a"),
            ("andres+news@cufari.dev", "a+a@a.a"),
        ] {
            let fake = propose(FakeKind::Email, real, seed);
            assert_eq!(shape_of(&fake), shape, "{real}: {fake}");
            let domain = fake.rsplit('@').next().expect("a domain");
            assert!(email::is_reserved(domain), "{fake}");
        }
    }
}

#[test]
fn a_number_keeps_its_digits_and_belongs_to_nobody() {
    for seed in 0..40 {
        for (real, start) in [
            ("+1 (415) 867-5309", "+1 ("),
            ("415 867 5309", ""),
            ("867-5309", "555-01"),
            ("+44 20 7123 4567", "+44 77 0090 0"),
            ("+49 170 1234567", "+49 171 3920"),
            ("0170 1234567", "0171 3920"),
            ("+33 6 12 34 56 78", "+33 6 39 98"),
            ("06 12 34 56 78", "06 39 98"),
            ("+34 612 345 678", "+1"),
            ("+358 40 1234567", "+999"),
        ] {
            let fake = propose(FakeKind::Phone, real, seed);
            assert!(fake.starts_with(start), "{real}: {fake}");
            assert_eq!(shape_of(&fake), shape_of(real), "{fake}");
            assert_ne!(fake, real);
            let digits: String = fake.chars().filter(char::is_ascii_digit).collect();
            let reserved = ["4477009", "49171392", "0171392", "3363998", "063998"];
            let is_reserved = reserved.iter().any(|start| digits.starts_with(start))
                || digits[..digits.len() - 2].ends_with("55501");
            assert!(is_reserved, "{real}: {fake}");
        }
    }
}

#[test]
fn a_path_changes_where_a_person_is_in_it() {
    for seed in 0..40 {
        for (real, shape) in [
            ("/home/acufari", "/home/a"),
            ("/Users/acufari/Documents/Taxes 2026.pdf", "/Users/a/Documents/A a.pdf"),
            ("C:\\Users\\Andres\\Desktop", "C:\\Users\\Aa\\Desktop"),
            ("~acufari/notes", "~a/a"),
            ("/srv/cufari-family/", "/srv/a-a/"),
        ] {
            let fake = propose(FakeKind::Path, real, seed);
            let parts = |path: &str| path.split(['/', '\\']).count();
            assert_eq!(parts(&fake), parts(real), "{fake}");
            assert_eq!(parts(&fake), parts(shape));
            assert!(!fake.to_lowercase().contains("cufari") && !fake.contains("Andres"), "{fake}");
            let (start, _) = shape.split_once(['a', 'A']).expect("a part that changes");
            if start.contains("ome") || start.contains("srv") {
                assert!(fake.starts_with(start), "{fake}");
            }
        }
    }
}

#[test]
fn what_has_another_shape_is_refused() {
    for (kind, real) in [
        (FakeKind::Email, "andres"),
        (FakeKind::Email, "a b@c"),
        (FakeKind::Phone, "12"),
        (FakeKind::Phone, "call me"),
        (FakeKind::Path, "notes"),
        (FakeKind::Path, "/home/"),
        (FakeKind::Name, "van de"),
    ] {
        let real = Secret::new(real);
        let refused = suggest_fakes(kind, Some(&real), &[], 1, 1);
        assert_eq!(refused, Err(SuggestError::OtherShape(kind)), "{kind}");
    }
    let thai = Secret::new("สมชาย");
    assert_eq!(suggest_fakes(FakeKind::Name, Some(&thai), &[], 1, 1), Err(SuggestError::UnknownScript));
}

#[test]
fn a_seed_proposes_the_same_and_each_proposal_goes_with_the_rules() {
    let rules =
        [rule("Ottilie Brandvold", "Andres Cufari"), rule("tancred@example.net", "andres@cufari.dev")];
    for kind in FakeKind::ALL {
        for seed in 0..20 {
            let proposed = suggest_fakes(kind, None, &rules, seed, 5).expect("proposals");
            assert_eq!(proposed, suggest_fakes(kind, None, &rules, seed, 5).expect("proposals"));
            assert_eq!(proposed.len(), 5);
            for fake in proposed {
                let with = [rules[0].clone(), rules[1].clone(), rule(&fake, "a value like no other")];
                assert_eq!(rule_proof::find_conflicts(&with), []);
            }
        }
    }
    let [one, two] = [1, 2].map(|seed| suggest_fakes(FakeKind::Name, None, &[], seed, 5).expect("proposals"));
    assert_ne!(one, two);
    // All that the lists offer for one surname is taken.
    let real = Secret::new("Andres Cufari");
    let all = suggest_fakes(FakeKind::Name, Some(&real), &rules, 3, 20).expect("proposals");
    assert_eq!(all.len(), 20);
}
