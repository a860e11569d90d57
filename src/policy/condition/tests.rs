use proptest::prelude::*;
use serde_json::Value;

use super::Truth::{No, Unreadable, Unsure, Yes};
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
    let look = |value: &RawValue, _| {
        value.get().clone_into(&mut seen.borrow_mut());
        Yes
    };
    match JsonPointer::parse(pointer).expect(pointer).evaluate(arguments, &ReadingLog::off(), &look) {
        Yes => Some(seen.take()),
        No => Some("missing".to_owned()),
        Unsure | Unreadable => None,
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
            // Each element of a list.
            (r#"["/home/me/notes/a","/home/me/notes/b"]"#, Yes),
            (r#"["/etc/a","/etc/b"]"#, No),
            (r#"["/home/me/notes/a","/etc/passwd"]"#, Unsure),
            (r#"["/home/me/notes/a",["/home/me/notes/b"]]"#, Unsure),
            ("[]", Unsure),
            // Not a text, or one that holds several.
            (r#""[\"/home/me/notes/a\"]""#, Unsure),
            (r#"{"path":"/home/me/notes/a"}"#, Unsure),
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
            ("[1000]", Yes),
            ("[1000,1]", Unsure),
            (r#""[1000]""#, Unsure),
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
        assert_eq!(
            condition.evaluate(&raw_json(arguments), &ReadingLog::off()),
            *expected,
            "{pointer} of {arguments}"
        );
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
        // None at all, and a list of one.
        (r#"{"files":[]}"#, Unsure),
        (r#"{"files":{}}"#, Unsure),
        (r#"{"files":"/notes/a"}"#, Yes),
        (r#"{"files":"/etc/passwd"}"#, No),
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

fn text_test(text: &str) -> ValueTest {
    ValueTest::Text(text.into())
}

#[test]
fn a_text_is_read_as_the_json_that_it_holds_too() {
    assert_condition(
        "/hosts_json",
        text_test("web2"),
        &[
            (r#"{"hosts_json":"web2"}"#, Yes),
            (r#"{"hosts_json":"[\"we\\u00622\"]"}"#, Unsure),
            (r#"{"hosts_json":"[\"db\", \"web2\"]"}"#, Unsure),
            (r#"{"hosts_json":"{\"primary\":\"web2\"}"}"#, Unsure),
            (r#"{"hosts_json":"\"web2\""}"#, Unsure),
            (r#"{"hosts_json":"['web2',]"}"#, Unsure),
            (r#"{"hosts_json":"[\"[\\\"web2\\\"]\"]"}"#, Unsure),
            (r#"{"hosts_json":"[\"db\"]"}"#, No),
            (r#"{"hosts_json":"{\"primary\":\"db\",\"n\":[1,true]}"}"#, No),
            (r#"{"hosts_json":["web2"]}"#, Yes),
        ],
    );
    assert_condition(
        "/n",
        text_test(r#"["web2"]"#),
        &[(r#"{"n":"[\"web2\"]"}"#, Yes), (r#"{"n":["web2"]}"#, No)],
    );
    // One that matches as a text may lead elsewhere as JSON.
    assert_condition(
        "/to",
        glob("*@example.com*"),
        &[
            (r#"{"to":"[\"x@evil.test\",\"@example.com\"]"}"#, Unsure),
            (r#"{"to":"[\"x@example.com\",\"y@example.com\"]"}"#, Yes),
            (r#"{"to":"[bug] jane@example.com"}"#, Yes),
        ],
    );
}

#[test]
fn a_pointer_leads_into_the_json_of_a_text() {
    assert_condition(
        "/patch_json/host",
        text_test("web2"),
        &[
            (r#"{"patch_json":"{\"host\":\"we\\u00622\"}"}"#, Yes),
            (r#"{"patch_json":{"host":"web2"}}"#, Yes),
            (r#"{"patch_json":"{\"host\":\"db\"}"}"#, No),
            (r#"{"patch_json":"{}"}"#, No),
            (r#"{"patch_json":"\"{\\\"host\\\":\\\"web2\\\"}\""}"#, Yes),
            (r#"{"patch_json":"[{\"host\":\"web2\"},{\"host\":\"web2\"}]"}"#, Yes),
            (r#"{"patch_json":"[{\"host\":\"web2\"},{\"host\":\"db\"}]"}"#, Unsure),
            (r#"{"patch_json":"{\"Host\":\"web2\"}"}"#, Unsure),
            (r#"{"patch_json":"{\"host\":\"db\",\"host\":\"web2\"}"}"#, Unsure),
            (r#"{"patch_json":"{host: db}"}"#, Unsure),
            (r#"{"patch_json":"db"}"#, Unsure),
        ],
    );
    // As a list it is one thing, and as a text another, unless the pointer says which.
    let text = r#"{"hosts_json":"[\"web2\"]"}"#;
    for (pointer, expected) in [
        ("/hosts_json/*", Unsure),
        ("/hosts_json/0", Unsure),
        ("/hosts_json/(json)", Yes),
        ("/hosts_json/(json)/*", Yes),
        ("/hosts_json/(json)/0", Yes),
        ("/hosts_json/(json)/1", No),
    ] {
        assert_condition(pointer, text_test("web2"), &[(text, expected)]);
    }
    assert_condition(
        "/n/(json)",
        bound_test(Comparison::Above, "100"),
        &[(r#"{"n":"150"}"#, Yes), (r#"{"n":150}"#, Unsure), (r#"{"n":"1e"}"#, Unsure), (r#"{}"#, No)],
    );
    let mut nested = r#"{"a":"web2"}"#.to_owned();
    for depth in 1..8 {
        nested = json::serialize_raw(&nested).get().to_owned();
        let expected = if depth <= json::MAX_EMBEDDED_DEPTH { Yes } else { Unsure };
        assert_condition("/x/a", text_test("web2"), &[(&format!(r#"{{"x":{nested}}}"#), expected)]);
    }
}

#[test]
fn every_shape_of_one_thing_is_followed() {
    assert_condition(
        "/to/email",
        text_test("a@b.c"),
        &[
            (r#"{"to":{"email":"a@b.c"}}"#, Yes),
            (r#"{"to":[{"email":"a@b.c"}]}"#, Yes),
            (r#"{"to":[{"email":"a@b.c"},{"email":"x"}]}"#, Unsure),
            (r#"{"to":{"email":["a@b.c"]}}"#, Yes),
            (r#"{"to":[[{"email":"a@b.c"}]]}"#, Unsure),
            (r#"{"to":"a@b.c"}"#, Unsure),
            (r#"{"to":[]}"#, Unsure),
        ],
    );
    assert_condition(
        "/items/*/amount",
        bound_test(Comparison::AtMost, "50"),
        &[
            (r#"{"items":{"amount":5}}"#, Yes),
            (r#"{"items":{"amount":51}}"#, No),
            (r#"{"items":{"amount":5,"more":{"amount":51}}}"#, Unsure),
            (r#"{"items":{"amount":5,"more":"{\"amount\":51}"}}"#, Unsure),
            (r#"{"items":"[{\"amount\":5}]"}"#, Yes),
            (r#"{"items":"{\"amount\":51}"}"#, No),
        ],
    );
    assert_condition(
        "/items/0/amount",
        bound_test(Comparison::Above, "50"),
        &[
            (r#"{"items":{"amount":51}}"#, Yes),
            (r#"{"items":[{"amount":51}]}"#, Yes),
            (r#"{"items":{"0":{"amount":1}}}"#, No),
        ],
    );
    assert_condition(
        "/{path,paths,target file}",
        under_folder("/notes"),
        &[
            (r#"{"path":"/notes/a"}"#, Yes),
            (r#"{"paths":["/notes/a","/notes/b"]}"#, Yes),
            (r#"{"target file":"/notes/a"}"#, Yes),
            (r#"{"path":"/notes/a","paths":["/etc/passwd"]}"#, Unsure),
            (r#"{"path":"/etc/a","paths":["/etc/passwd"]}"#, No),
            (r#"{"path":"/notes/a","Paths":["/etc/passwd"]}"#, Unsure),
            (r#"{"other":"/notes/a"}"#, No),
        ],
    );
    // Braces without a comma are a name's own.
    assert_condition("/{a}", text_test("x"), &[(r#"{"{a}":"x"}"#, Yes), (r#"{"a":"x"}"#, No)]);
    for bad in ["/{a,}", "/{,}", "/{a,~}"] {
        assert!(JsonPointer::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_command_is_read_from_a_text_or_a_list() {
    let command = || ValueTest::Command(CommandMatcher::parse(["rm **", "git push"]).expect("patterns"));
    assert_condition(
        "/command",
        command(),
        &[
            (r#"{"command":"rm -rf x"}"#, Yes),
            (r#"{"command":"r\u006d x"}"#, Yes),
            (r#"{"command":"ls\nrm x"}"#, Unsure),
            (r#"{"command":"ls"}"#, No),
            (r#"{"command":"ls $(date)"}"#, Unreadable),
            // One list is both a program with its arguments and several lines.
            (r#"{"command":["rm","x"]}"#, Unsure),
            (r#"{"command":["rm x","ls"]}"#, Unsure),
            (r#"{"command":["rm x","rm y"]}"#, Unsure),
            (r#"{"command":["ls","-l"]}"#, No),
            (r#"{"command":["ls",["rm","x"]]}"#, Unsure),
            (r#"{"command":["ls","$(date)"]}"#, Unreadable),
            (r#"{"command":"[\"rm\",\"x\"]"}"#, Unsure),
            (r#"{"command":7}"#, Unsure),
            (r#"{}"#, No),
        ],
    );
    assert_condition("/commands/*", command(), &[(r#"{"commands":["rm x","git push"]}"#, Yes)]);
}

#[test]
fn a_condition_tells_by_which_reading_it_holds() {
    let explain = |pointer, test, arguments: &str| {
        let condition = ArgumentCondition { pointer: JsonPointer::parse(pointer).expect(pointer), test };
        condition.explain(&raw_json(arguments)).to_string()
    };
    insta::assert_snapshot!(
        [
            explain("/hosts_json", text_test("web2"), r#"{"hosts_json":"[\"web2\"]"}"#),
            explain("/files/*", under_folder("/notes"), r#"{"files":"/notes/a"}"#),
            explain("/path", under_folder("/notes"), r#"{"path":["/notes/a","/x"]}"#),
            explain("/path", glob("/notes/**"), r#"{"path":"/notes/../x"}"#),
            explain("/path", glob("/notes/**"), r#"{"path":"/notes/x"}"#),
            explain("/c", ValueTest::Command(CommandMatcher::parse(["ls **"]).expect("one")), r#"{"c":"ls; rm x"}"#),
        ]
        .join("\n"),
        @r#"
    `/hosts_json equals` cannot be told: it does not hold for the text as it is, it holds for the JSON in its text
    `/files/* under` holds: it holds for the value as the only element of a list
    `/path under` cannot be told: it cannot be told for the list, element by element
    `/path glob` cannot be told: it holds for the text as it is, it does not hold for the path without its detours
    `/path glob` holds
    `/c command` cannot be told: it cannot be told for the commands that a shell runs
    "#
    );
}

/// What stands at the end of a pointer, as any server may read it: every verdict on it, in the plainest words.
fn reference_verdicts(segments: &[&str], value: &Value, in_list: bool, depth: usize, found: &mut Vec<Truth>) {
    let Some((segment, rest)) = segments.split_first() else { return reference_test(value, in_list, found) };
    let only_element = matches!(*segment, "*" | "0");
    let index: Option<usize> = segment.parse().ok();
    match value {
        Value::Object(_) | Value::Array(_) if *segment == "(json)" => {
            reference_verdicts(rest, value, in_list, depth, found);
        }
        Value::Object(members) => reference_members((segment, rest), value, members, depth, found),
        Value::Array(elements) => match index {
            Some(index) => match elements.get(index) {
                Some(element) => reference_verdicts(rest, element, true, depth, found),
                None => found.push(No),
            },
            None if elements.is_empty() || (*segment != "*" && in_list) => found.push(Unsure),
            None => {
                let tokens = if *segment == "*" { rest } else { segments };
                elements.iter().for_each(|element| reference_verdicts(tokens, element, true, depth, found));
            }
        },
        Value::String(text) => {
            let inside = if depth < json::MAX_EMBEDDED_DEPTH {
                serde_json::from_str::<Value>(text).ok()
            } else {
                None
            };
            if *segment == "(json)" {
                return match inside {
                    Some(inside) => reference_verdicts(rest, &inside, false, depth + 1, found),
                    None => found.push(Unsure),
                };
            }
            let inside = inside.filter(|_| reference_json(text).is_some());
            let counts_whole = only_element && rest.is_empty();
            if counts_whole {
                reference_test(value, true, found);
            } else if inside.is_none() {
                found.push(Unsure);
            }
            if let Some(inside) = inside {
                reference_verdicts(segments, &inside, false, depth + 1, found);
            }
        }
        Value::Number(_) | Value::Bool(_) if only_element && rest.is_empty() => {
            reference_test(value, true, found)
        }
        _ => found.push(Unsure),
    }
}

/// The same in an object.
fn reference_members(
    (segment, rest): (&str, &[&str]),
    value: &Value,
    members: &serde_json::Map<String, Value>,
    depth: usize,
    found: &mut Vec<Truth>,
) {
    let names: Vec<&str> = segment.trim_matches(['{', '}']).split(',').collect();
    if segment == "*" {
        let next: Vec<&str> =
            rest.first().map(|next| next.trim_matches(['{', '}']).split(',').collect()).unwrap_or_default();
        let is_element = next.iter().any(|name| members.keys().any(|key| key.eq_ignore_ascii_case(name)));
        if is_element {
            reference_verdicts(rest, value, true, depth, found);
        }
        for member in members.values() {
            let scalar = match member {
                Value::String(text) => reference_json(text).is_none(),
                other => !other.is_object() && !other.is_array(),
            };
            if !(is_element && scalar) {
                reference_verdicts(rest, member, false, depth, found);
            }
        }
        if members.is_empty() {
            found.push(Unsure);
        }
        return;
    }
    let alike = |key: &&String| names.iter().any(|name| key.eq_ignore_ascii_case(name) && key != name);
    if members.keys().any(|key| alike(&key)) {
        return found.push(Unsure);
    }
    let present: Vec<_> = names.iter().filter_map(|name| members.get(*name)).collect();
    match present.is_empty() {
        true if segment == "0" && !rest.is_empty() => reference_verdicts(rest, value, true, depth, found),
        true => found.push(No),
        false => present.into_iter().for_each(|next| reference_verdicts(rest, next, false, depth, found)),
    }
}

fn reference_json(text: &str) -> Option<Value> {
    serde_json::from_str(text)
        .ok()
        .filter(|json: &Value| json.is_array() || json.is_object() || json.is_string())
}

/// Whether a value is the text `a`.
fn reference_test(value: &Value, in_list: bool, found: &mut Vec<Truth>) {
    match value {
        Value::String(text) if text == "a" => found.push(Yes),
        Value::String(text) => {
            found.push(No);
            if let Some(json) = reference_json(text) {
                reference_texts(&json, found);
            }
        }
        Value::Array(elements) if !in_list && !elements.is_empty() => {
            elements.iter().for_each(|element| reference_test(element, true, found));
        }
        _ => found.push(Unsure),
    }
}

/// Every text in a value, keys and texts in texts included.
fn reference_texts(value: &Value, found: &mut Vec<Truth>) {
    match value {
        Value::String(_) => reference_test(value, true, found),
        Value::Array(elements) => elements.iter().for_each(|element| reference_texts(element, found)),
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            found.push(Truth::from(key == "a"));
            reference_texts(member, found);
        }),
        // A number, `true`, `false` or `null` is a word that is not `a`.
        _ => found.push(No),
    }
}

/// JSON with few keys and texts, in which JSON stands as a text here and there.
fn any_document() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        Value::from("a"),
        Value::from("a"),
        Value::from("b"),
        Value::from(""),
        Value::from(1),
        Value::Null,
        Value::from(true),
    ]);
    leaf.prop_recursive(5, 16, 3, |inner| {
        let as_text = inner.clone().prop_map(|value| Value::from(value.to_string()));
        let key = prop::sample::select(vec!["a", "b", "0", "A"]);
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            3 => prop::collection::btree_map(key, inner, 0..3)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>()),
            2 => as_text,
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Of all readings that there are: it holds where it holds by each, and fails where it fails by each.
    #[test]
    fn a_condition_says_what_every_reading_says(
        document in any_document(),
        segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "0", "1", "*", "{a,b}", "(json)"]), 1..4)
    ) {
        let pointer = format!("/{}", segments.join("/"));
        let condition = ArgumentCondition { pointer: JsonPointer::parse(&pointer).expect("a pointer"), test: text_test("a") };
        let decided = condition.evaluate(&raw_json(&document.to_string()), &ReadingLog::off());
        let mut found = Vec::new();
        reference_verdicts(&segments, &document, false, 0, &mut found);
        let same = found.iter().all(|verdict| *verdict == found[0]);
        let expected = if same { found.first().copied().unwrap_or(Unsure) } else { Unsure };
        prop_assert_eq!(decided, expected, "{} of {}: {:?}", pointer, document, found);
    }
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
            ArgumentCondition { pointer: JsonPointer::parse(pointer).expect("a pointer"), test: under_folder("/a") }
                .evaluate(&arguments, &ReadingLog::off())
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
            let _ = pointer.evaluate(&value, &ReadingLog::off(), &|value, _| under_folder("/a").evaluate(value));
        }
    }
}
