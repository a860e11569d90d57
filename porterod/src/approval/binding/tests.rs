use portero::anonymize::Fake;
use portero::call::{Call, Method};
use portero::json::RawJson;
use proptest::prelude::*;

use super::{Ground, bind, canonical, changed};

fn call(params: &str) -> Call {
    Call {
        tool: "mail/send".parse().unwrap(),
        method: Method::CallTool,
        params: serde_json::from_str(params).unwrap(),
        meta: None,
    }
}

fn ground() -> Ground {
    Ground {
        server: "s".to_owned(),
        definition: Some("d".to_owned()),
        policy: "p".to_owned(),
        replacements: "r".to_owned(),
    }
}

fn bound(params: &str) -> String {
    bind(&[7; 32], &call(params), "/project", &ground()).unwrap()
}

fn text(json: &str) -> Result<String, String> {
    let raw: RawJson = serde_json::from_str(json).unwrap();
    let mut out = Vec::new();
    canonical(&raw, 128, &mut out).map_err(|problem| problem.into_owned())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn layout_and_order_do_not_matter_but_everything_else_does() {
    let base = bound(r#"{"a":1.10,"b":["x",{"c":null}]}"#);
    assert_eq!(base, bound(" { \"b\" : [ \"\\u0078\", {\"c\":null} ] , \"\\u0061\" : 1.10 } "));
    let others = [
        r#"{"a":1.1,"b":["x",{"c":null}]}"#,
        r#"{"a":1.10,"b":["y",{"c":null}]}"#,
        r#"{"a":1.10,"b":[{"c":null},"x"]}"#,
        r#"{"a":1.10,"b":["x",{"c":false}]}"#,
        r#"{"a":1.10,"b":["x",{"c":null}],"d":1}"#,
        r#"{"a":1.10,"b":["x",["c",null]]}"#,
        r#"{"a":"1.10","b":["x",{"c":null}]}"#,
    ];
    for other in others {
        assert_ne!(base, bound(other), "{other}");
    }
}

#[test]
fn a_key_that_stands_twice_beside_the_arguments_is_refused_too() {
    let twice = serde_json::from_str(r#"{"x":{"to":1,"t\u006f":2}}"#).unwrap();
    let call = Call { meta: Some(twice), ..call(r#"{"name":"send"}"#) };
    assert!(bind(&[7; 32], &call, "/project", &ground()).is_err());
}

#[test]
fn each_part_of_the_ground_is_bound() {
    let params = r#"{"a":1}"#;
    let base = bound(params);
    let with = |ground: &Ground| bind(&[7; 32], &call(params), "/project", ground).unwrap();
    assert_ne!(base, with(&Ground { server: "t".to_owned(), ..ground() }));
    assert_ne!(base, with(&Ground { definition: None, ..ground() }));
    assert_ne!(base, with(&Ground { definition: Some("e".to_owned()), ..ground() }));
    assert_ne!(base, with(&Ground { policy: "q".to_owned(), ..ground() }));
    assert_ne!(base, with(&Ground { replacements: "q".to_owned(), ..ground() }));
    assert_ne!(base, bind(&[7; 32], &call(params), "/other", &ground()).unwrap());
    assert_ne!(base, bind(&[8; 32], &call(params), "/project", &ground()).unwrap());
    let other = Call { tool: "mail/read".parse().unwrap(), ..call(params) };
    assert_ne!(base, bind(&[7; 32], &other, "/project", &ground()).unwrap());
    let meta: Fake<RawJson> = serde_json::from_str("{}").unwrap();
    let with_meta = Call { meta: Some(meta), ..call(params) };
    assert_eq!(base, bind(&[7; 32], &with_meta, "/project", &ground()).unwrap());
}

#[test]
fn what_changed_is_named() {
    let with = |ground: &Ground| bind(&[7; 32], &call("{}"), "/project", ground).unwrap();
    let base = with(&ground());
    let policy = Ground { policy: "q".to_owned(), ..ground() };
    assert_eq!(changed(&base, &with(&policy)), "the policy in policies.json");
    let both = Ground { definition: Some("e".to_owned()), replacements: "q".to_owned(), ..ground() };
    let words = changed(&base, &with(&both));
    assert_eq!(words, "the tool's definition and the replacements in replacements.json");
    assert_eq!(changed("an older binding", &base), "what it was asked on");
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    assert!(text(r#"{"a":{"b":1,"\u0062":2}}"#).unwrap_err().contains("stands twice"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(text(&deep).unwrap_err().contains("deeply"));
    assert_eq!(text(r#"["\ud800"]"#).unwrap(), r#"["\ud800",]"#);
    assert_eq!(text("12345678901234567890123456789012345678901e400").unwrap().len(), 45);
}

proptest! {
    #[test]
    fn two_values_have_one_canonical_text_only_if_they_are_equal(one in json(), two in json()) {
        let same = text(&one.to_string()).unwrap() == text(&two.to_string()).unwrap();
        prop_assert_eq!(same, one == two);
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        (0_u8..3).prop_map(serde_json::Value::from),
        "[a,\"\\[\\]{}:]{0,3}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[ab,]{0,2}", inner, 0..3)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

#[test]
fn an_approval_binds_to_the_conditions_of_the_rules() {
    let digest = |policies: &str| {
        let files = portero::config::Files { policies: Some(policies.to_owned()), ..Default::default() };
        let (config, problems) = portero::config::read(&files, &|_| None);
        super::policy_digest(&config.unwrap_or_else(|| panic!("{problems}")))
    };
    let policies =
        |cases: &str| format!(r#"{{"policies":{{"a/b":{{"cases":[{cases}],"otherwise":"deny"}}}}}}"#);
    let (small, large) =
        (r#"{"when":{"/n":{"below":1}},"then":"allow"}"#, r#"{"when":{"/n":{"below":2}},"then":"allow"}"#);
    assert_ne!(digest(&policies(small)), digest(&policies(large)));
    let (forth, back) = (format!("{small},{large}"), format!("{large},{small}"));
    assert_eq!(digest(&policies(&forth)), digest(&policies(&back)));
}
