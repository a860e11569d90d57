use proptest::prelude::*;

use super::Truth::{No, Unsure, Yes};
use super::*;
use crate::json::{RawJson, parse_raw};

fn raw_json(text: &str) -> RawJson {
    parse_raw(text.to_owned()).expect("JSON")
}

fn under_folder(folder: &str) -> ValueTest {
    ValueTest::Under(Folder::parse(folder).unwrap_or_else(|_| panic!("{folder} is a folder")))
}

fn glob(text: &str) -> ValueTest {
    ValueTest::Matches(TextMatcher::glob(text).expect("a glob"))
}

fn regex(text: &str) -> ValueTest {
    ValueTest::Matches(TextMatcher::regex(text).expect("a regular expression"))
}

fn bound_test(side: Comparison, of: &str) -> ValueTest {
    ValueTest::Bound(side, Decimal::parse(of).expect("a number"))
}

fn assert_table(test: &ValueTest, rows: &[(&str, Truth)]) {
    for (value, expected) in rows {
        assert_eq!(test.evaluate(&raw_json(value)), *expected, "{test:?} on {value}");
    }
}

/// What a pointer finds: `missing`, or nothing where that cannot be told.
fn find_value(pointer: &str, arguments: &RawValue) -> Option<String> {
    let seen = std::cell::RefCell::new(String::new());
    let look = |value: &RawValue| {
        value.get().clone_into(&mut seen.borrow_mut());
        Yes
    };
    match JsonPointer::parse(pointer).expect(pointer).evaluate(arguments, &look) {
        Yes => Some(seen.take()),
        No => Some("missing".to_owned()),
        Unsure => None,
    }
}

#[test]
fn a_pointer_finds_one_member_or_says_that_it_cannot_tell() {
    let arguments = r#"{"a":{"b/c":[1,[2]],"~":3,"":4},"Path":5,"n":null,"\u0078":6}"#;
    for (pointer, expected) in [
        ("/a/b~1c/0", Some("1")),
        ("/a/b~1c/1/0", Some("2")),
        ("/a/~0", Some("3")),
        ("/a/", Some("4")),
        ("/x", Some("6")),
        ("/n", Some("null")),
        ("/y", Some("missing")),
        ("/a/b~1c/2", Some("missing")),
        // Another case, a text's member, a member of a list.
        ("/path", None),
        ("/A", None),
        ("/n/a", None),
        ("/Path/x", None),
        ("/a/b~1c/00", None),
        ("/a/b~1c/-", None),
        ("/a/b~1c/x", None),
    ] {
        let arguments = raw_json(arguments);
        assert_eq!(find_value(pointer, &arguments).as_deref(), expected, "{pointer}");
    }
    for bad in ["", "a", "a/b", "#/a", "/~", "/a~2"] {
        assert!(JsonPointer::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn two_spellings_of_one_key_cannot_be_told_apart() {
    for arguments in [
        r#"{"path":"/notes","Path":"/etc"}"#,
        r#"{"PATH":"/etc"}"#,
        "{\"path\":\"/notes\",\"pa\\u200bth\":\"/etc\"}",
        r#"{"path":"/notes","path":"/etc"}"#,
        r#"["/notes"]"#,
        r#""/notes""#,
    ] {
        assert_eq!(find_value("/path", &raw_json(arguments)), None, "{arguments}");
    }
    // A long s and the sign of the kelvin are letters to some servers.
    assert_eq!(find_value("/tasks", &raw_json(r#"{"ta\u017f\u212as":1}"#)), None);
}

#[test]
fn a_path_is_normalized_before_it_is_compared() {
    assert_table(
        &under_folder("/home/me/notes"),
        &[
            (r#""/home/me/notes/a.md""#, Yes),
            (r#""/home/me/notes""#, Yes),
            (r#""/home/me/notes/""#, Yes),
            (r#""/home//me/./notes/x/../a""#, Yes),
            (r#""/../home/me/notes/a""#, Yes),
            (r#""\/home\u002fme/notes/a""#, Yes),
            (r#""/home/me/notes2/a""#, No),
            (r#""/home/me""#, No),
            (r#""/home/me/notes/../../you/a""#, No),
            (r#""/home/me/notes/../../../etc/passwd""#, No),
            (r#""/""#, No),
            // Where these begin or lead is the server's to know.
            (r#""notes/a""#, Unsure),
            (r#""./a""#, Unsure),
            (r#""~/notes/a""#, Unsure),
            (r#""""#, Unsure),
            (r#"" /home/me/notes/a""#, Unsure),
            (r#""file:///home/me/notes/a""#, Unsure),
            (r#""//home/me/notes/a""#, Unsure),
            (r#""/home/me/notes/%2e%2e/%2e%2e/a""#, Unsure),
            (r#""/home/me/notes/a\u0000/b""#, Unsure),
            (r#""/home/me/notes/..\\..\\..\\etc""#, Unsure),
            (r#""/home/ME/notes/a""#, Unsure),
            (r#""/home/me/not\u200bes/a""#, Unsure),
            (r#""C:\\home\\me\\notes\\a""#, Unsure),
            // Not a text.
            ("[\"/home/me/notes/a\"]", Unsure),
            ("null", Unsure),
            ("1", Unsure),
            (r#""\ud800/home/me/notes""#, Unsure),
        ],
    );
    // Backslashes that lead nowhere else are a name's own.
    assert_table(&under_folder("/home"), &[(r#""/home/a\\b""#, Yes)]);
    assert_table(&under_folder("/"), &[(r#""/etc""#, Yes), (r#""/""#, Yes), (r#""etc""#, Unsure)]);
    assert_table(&under_folder("/caf\u{e9}"), &[("\"/cafe\u{301}/a\"", Unsure), ("\"/caf\u{e9}/a\"", Yes)]);
}

#[test]
fn a_windows_path_has_either_separator_and_any_case() {
    for folder in [r"C:\Users\me", "c:/users/ME/", r"C:\Users\.\x\..\me"] {
        assert_table(
            &under_folder(folder),
            &[
                (r#""C:\\Users\\me\\a""#, Yes),
                (r#""c:/USERS/Me/a""#, Yes),
                (r#""C:\\Users\\me\\..\\you""#, No),
                (r#""C:\\Users/me/../../Windows""#, No),
                (r#""D:\\Users\\me""#, No),
                (r#""C:Users\\me""#, Unsure),
                (r#""\\Users\\me""#, Unsure),
                (r#""\\\\?\\C:\\Users\\me""#, Unsure),
                (r#""\\\\host\\Users\\me""#, Unsure),
                (r#""C:\\Users\\me.\\a""#, Unsure),
                (r#""C:\\Users\\me\\.. \\a""#, Unsure),
                (r#""C:\\Users\\me:stream""#, Unsure),
                (r#""C:\\USERS~1\\me""#, Unsure),
                (r#""/Users/me/a""#, Unsure),
            ],
        );
    }
    for bad in
        ["notes", "", "~/notes", "//host/x", r"\\host\x", "C:notes", "/a%2e", r"/a\b", "C:\\a.", "/a\0"]
    {
        assert!(Folder::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn numbers_compare_exactly_and_only_numbers_do() {
    assert_table(
        &bound_test(Comparison::Above, "100"),
        &[
            ("100", No),
            ("1e2", No),
            ("100.00000000000000000000000001", Yes),
            ("99.99999999999999999999999999", No),
            ("1e400", Yes),
            ("-1e400", No),
            ("1e99999999999999999999", Unsure),
            (r#""1000""#, Unsure),
            ("null", Unsure),
            ("[1000]", Unsure),
        ],
    );
    assert_table(&bound_test(Comparison::AtMost, "1e3"), &[("1000.0", Yes), ("1000.1", No)]);
    assert_table(
        &bound_test(Comparison::AtLeast, "9007199254740993"),
        &[("9007199254740992", No), ("9007199254740993", Yes)],
    );
    assert_table(&bound_test(Comparison::Below, "0"), &[("-0", No), ("-1e-400", Yes)]);
    assert_table(
        &ValueTest::Number(Decimal::parse("1000").expect("a number")),
        &[("1e3", Yes), ("1000.000", Yes), ("1000.0000000000000000001", No), (r#""1000""#, Unsure)],
    );
}

#[test]
fn a_value_of_another_type_cannot_be_told() {
    assert_table(
        &ValueTest::Flag(true),
        &[("true", Yes), ("false", No), (r#""true""#, Unsure), ("1", Unsure), ("null", Unsure)],
    );
    assert_table(&ValueTest::Null, &[("null", Yes), ("false", No), (r#""null""#, No)]);
    assert_table(
        &ValueTest::Text("a/b".into()),
        &[
            (r#""a/b""#, Yes),
            (r#""\u0061/b""#, Yes),
            (r#""a/c""#, No),
            // A path to the same.
            (r#""a//b""#, Unsure),
            (r#""a/c/../b""#, Unsure),
            (r#""./a/b""#, Unsure),
            ("1", Unsure),
        ],
    );
}

#[test]
fn globs_and_expressions_match_the_whole_text_and_no_detour() {
    assert_table(
        &glob("*@example.com"),
        &[
            (r#""jane@example.com""#, Yes),
            (r#""jane@example.com.evil.test""#, No),
            (r#""evil/jane@example.com""#, No),
            (r#""a\nb@example.com""#, Yes),
        ],
    );
    assert_table(
        &glob("/notes/**"),
        &[
            (r#""/notes/a/b""#, Yes),
            (r#""/notes/../etc""#, Unsure),
            (r#""/x/../notes/a""#, Unsure),
            (r#""/notes/x/../a""#, Yes),
        ],
    );
    assert_table(&glob("[a] {b}?"), &[(r#""[a] {b}é""#, Yes), (r#""a b.""#, No)]);
    assert_table(&regex("rm.*"), &[(r#""rm -rf""#, Yes), (r#""sudo rm -rf""#, No), (r#""rm\n-rf""#, Yes)]);
    assert_table(&regex("a|b"), &[(r#""a""#, Yes), (r#""ab""#, No)]);
    assert_table(&regex(r"https://example\.com/.*"), &[(r#""https://example.com/a?b=//c""#, Yes)]);
    for bad in ["a)|(?:b", "(", "(?x)a # ", "a{99999}{99999}"] {
        assert!(TextMatcher::regex(bad).is_err(), "{bad}");
    }
}

#[test]
fn tidying_takes_out_detours_and_nothing_else() {
    for (text, tidied) in [
        ("a//b", "a/b"),
        ("a/../b", "b"),
        ("/a/../b", "/b"),
        ("/../b", "/b"),
        ("../../b", "../../b"),
        ("a/../../b", "../b"),
        (r"C:\a\..\b", r"C:\b"),
        ("https://x.test//a/../b", "https://x.test/b"),
        ("a/./b/.", "a/b"),
    ] {
        assert_eq!(path::normalize_path(text).as_deref().unwrap_or(text), tidied, "{text}");
    }
    for same in ["", ".", "a", "a/", "/", "a.b", "https://x.test/a", "1/2", "a b", r"\d"] {
        assert_eq!(path::normalize_path(same), None, "{same}");
    }
}

fn assert_condition(pointer: &str, test: ValueTest, rows: &[(&str, Truth)]) {
    let condition = ArgumentCondition { pointer: JsonPointer::parse(pointer).expect(pointer), test };
    for (arguments, expected) in rows {
        assert_eq!(condition.evaluate(&raw_json(arguments)), *expected, "{pointer} of {arguments}");
    }
}

#[test]
fn a_test_on_every_element_holds_where_it_holds_for_each() {
    let rows = [
        (r#"{"files":["/notes/a"]}"#, Yes),
        (r#"{"files":["/notes/a","/notes/b"]}"#, Yes),
        (r#"{"files":{"one":"/notes/a","two":"/notes/b"}}"#, Yes),
        (r#"{"files":["/etc/a","/x"]}"#, No),
        (r#"{}"#, No),
        // One that is otherwise, or cannot be told.
        (r#"{"files":["/notes/a","/etc/passwd"]}"#, Unsure),
        (r#"{"files":["/etc/passwd","/notes/a"]}"#, Unsure),
        (r#"{"files":["/notes/a","b"]}"#, Unsure),
        (r#"{"files":["/etc/a","b"]}"#, Unsure),
        (r#"{"files":["/notes/a",["/notes/b"]]}"#, Unsure),
        (r#"{"files":{"one":"/notes/a","two":7}}"#, Unsure),
        // None at all, and no list.
        (r#"{"files":[]}"#, Unsure),
        (r#"{"files":{}}"#, Unsure),
        (r#"{"files":"/notes/a"}"#, Unsure),
        (r#"{"files":null}"#, Unsure),
        (r#"{"Files":["/notes/a"]}"#, Unsure),
    ];
    assert_condition("/files/*", under_folder("/notes"), &rows);
}

#[test]
fn every_can_stand_anywhere_and_more_than_once() {
    let most = || bound_test(Comparison::AtMost, "50");
    assert_condition(
        "/items/*/amount",
        most(),
        &[
            (r#"{"items":[{"amount":5},{"amount":50}]}"#, Yes),
            (r#"{"items":[{"amount":51},{"amount":99}]}"#, No),
            (r#"{"items":[{"amount":5},{"amount":51}]}"#, Unsure),
            (r#"{"items":[{"amount":5},{}]}"#, Unsure),
            (r#"{"items":[{},{"to":"x"}]}"#, No),
            (r#"{"items":[{"amount":5},"x"]}"#, Unsure),
            (r#"{"items":[{"amount":5},{"amount":5,"AMOUNT":99}]}"#, Unsure),
        ],
    );
    let nested =
        [(r#"{"a":[[1,2],[3]]}"#, Yes), (r#"{"a":[[1,2],[]]}"#, Unsure), (r#"{"a":[[1],[99]]}"#, Unsure)];
    assert_condition("/a/*/*", most(), &nested);
    assert_condition(
        "/*",
        most(),
        &[(r#"{"a":1,"b":2}"#, Yes), (r#"{"a":1,"b":99}"#, Unsure), ("[1]", Yes), ("[]", Unsure)],
    );
    // A part of a name is a name.
    assert_condition("/a*", most(), &[(r#"{"a*":1}"#, Yes), (r#"{"ab":1}"#, No)]);
}

fn any_segments() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", ".", "..", "", "A"]), 0..8)
}

proptest! {
    /// A walk through the folders, name by name, ends where the text says.
    #[test]
    fn a_path_is_under_a_folder_where_a_walk_ends_there(segments in any_segments(), folder in "(/[ab]){0,2}") {
        let mut place = Vec::new();
        for segment in &segments {
            match *segment {
                "" | "." => {}
                ".." => { place.pop(); }
                name => place.push(name),
            }
        }
        let text = format!("/x/{}", segments.join("/"));
        let outside = segments.iter().scan(1_i32, |depth, segment| {
            *depth += match *segment { "" | "." => 0, ".." => -1, _ => 1 };
            Some(*depth)
        }).any(|depth| depth < 1);
        prop_assume!(!outside);
        let walked = format!("/x/{}", place.join("/"));
        let folder = format!("/x{folder}");
        let inside = format!("{}/", walked.trim_end_matches('/')).starts_with(&format!("{folder}/"));
        let held = Folder::parse(&folder).expect("a folder").contains_path(&text);
        prop_assert_eq!(held == Yes, inside, "{} in {}", text, folder);
        let small = format!("{}/", walked.trim_end_matches('/')).to_lowercase().starts_with(&format!("{folder}/"));
        prop_assert_eq!(held == No, !small, "{} in {}", text, folder);
    }

    /// Element by element, through pointers that name each.
    #[test]
    fn every_element_says_what_each_of_them_says(
        values in prop::collection::vec(prop::sample::select(vec![r#""/a/b""#, r#""/c""#, r#""d""#, "1"]), 0..6)
    ) {
        let arguments = raw_json(&format!(r#"{{"f":[{}]}}"#, values.join(",")));
        let at = |pointer: &str| {
            ArgumentCondition { pointer: JsonPointer::parse(pointer).expect("a pointer"), test: under_folder("/a") }.evaluate(&arguments)
        };
        let each: Vec<_> = (0..values.len()).map(|index| at(&format!("/f/{index}"))).collect();
        let all = |truth| !each.is_empty() && each.iter().all(|one| *one == truth);
        prop_assert_eq!(at("/f/*") == Yes, all(Yes));
        prop_assert_eq!(at("/f/*") == No, all(No));
    }

    #[test]
    fn tidying_twice_is_tidying_once(text in r"[ab./\\:]{0,12}") {
        if let Some(tidied) = path::normalize_path(&text) {
            prop_assert_eq!(path::normalize_path(&tidied), None, "{} of {}", tidied, text);
        }
    }

    #[test]
    fn any_text_in_any_place_is_read_to_an_end(text in ".{0,40}", pointer in "(/[a0~1*]{0,2}){1,3}") {
        let value = json::serialize_raw(&text);
        for test in [under_folder("/a"), under_folder("C:/a"), glob("**a*"), regex("a.*"), bound_test(Comparison::Above, "1")] {
            let _ = test.evaluate(&value);
        }
        if let Ok(pointer) = JsonPointer::parse(&pointer) {
            let _ = pointer.evaluate(&value, &|value| under_folder("/a").evaluate(value));
        }
    }
}
