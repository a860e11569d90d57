use crate::anonymize::{Anonymizer, Fake};
use crate::call::{Call, Method};
use crate::config::{Config, ConfigFiles, ServerConfig};
use crate::json::RawJson;

use super::{
    BindingInputs, ConfiguredInputs, compute_binding, describe_changes, describe_config_change,
    environment_digest, fingerprint, server_digest, values_digest,
};

fn call(params: &str) -> Call {
    Call {
        tool: "mail/send".parse().unwrap(),
        method: Method::CallTool,
        params: serde_json::from_str(params).unwrap(),
        meta: None,
    }
}

fn configured() -> ConfiguredInputs {
    ConfiguredInputs { server: "s".to_owned(), environment: "e".to_owned(), values: "v".to_owned() }
}

fn ground() -> BindingInputs {
    BindingInputs { configured: configured(), definition: Some("d".to_owned()), child: None }
}

fn binding_of(params: &str) -> String {
    compute_binding(&[7; 32], &call(params), "/project", &ground()).unwrap()
}

#[test]
fn layout_and_order_do_not_matter_but_everything_else_does() {
    let base = binding_of(r#"{"a":1.10,"b":["x",{"c":null}]}"#);
    assert_eq!(base, binding_of(" { \"b\" : [ \"\\u0078\", {\"c\":null} ] , \"\\u0061\" : 1.10 } "));
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
        assert_ne!(base, binding_of(other), "{other}");
    }
}

#[test]
fn a_key_that_stands_twice_beside_the_arguments_is_refused_too() {
    let twice = serde_json::from_str(r#"{"x":{"to":1,"t\u006f":2}}"#).unwrap();
    let call = Call { meta: Some(twice), ..call(r#"{"name":"send"}"#) };
    assert!(compute_binding(&[7; 32], &call, "/project", &ground()).is_err());
}

#[test]
fn each_part_of_the_ground_is_bound() {
    let params = r#"{"a":1}"#;
    let base = binding_of(params);
    let with = |ground: &BindingInputs| compute_binding(&[7; 32], &call(params), "/project", ground).unwrap();
    for other in [
        ConfiguredInputs { server: "t".to_owned(), ..configured() },
        ConfiguredInputs { environment: "t".to_owned(), ..configured() },
        ConfiguredInputs { values: "t".to_owned(), ..configured() },
    ] {
        assert_ne!(base, with(&BindingInputs { configured: other, ..ground() }));
    }
    assert_ne!(base, with(&BindingInputs { definition: None, ..ground() }));
    assert_ne!(base, with(&BindingInputs { definition: Some("e".to_owned()), ..ground() }));
    assert_ne!(base, compute_binding(&[7; 32], &call(params), "/other", &ground()).unwrap());
    assert_ne!(base, compute_binding(&[8; 32], &call(params), "/project", &ground()).unwrap());
    let other = Call { tool: "mail/read".parse().unwrap(), ..call(params) };
    assert_ne!(base, compute_binding(&[7; 32], &other, "/project", &ground()).unwrap());
    let meta: Fake<RawJson> = serde_json::from_str("{}").unwrap();
    let with_meta = Call { meta: Some(meta), ..call(params) };
    assert_eq!(base, compute_binding(&[7; 32], &with_meta, "/project", &ground()).unwrap());
}

#[test]
fn what_changed_is_named() {
    let with = |ground: &BindingInputs| compute_binding(&[7; 32], &call("{}"), "/project", ground).unwrap();
    let base = with(&ground());
    let server =
        BindingInputs { configured: ConfiguredInputs { server: "t".to_owned(), ..configured() }, ..ground() };
    assert_eq!(describe_changes(&base, &with(&server)), "the server's entry in mcps.json");
    let values = ConfiguredInputs { values: "t".to_owned(), ..configured() };
    let both = BindingInputs { definition: Some("e".to_owned()), configured: values.clone(), child: None };
    let words = describe_changes(&base, &with(&both));
    assert_eq!(words, "the real values behind the call's replacements and the tool's definition");
    assert_eq!(describe_changes("an older binding", &base), "the version of Portero");
    assert_eq!(
        describe_changes(&base, &compute_binding(&[7; 32], &call("{}"), "/other", &ground()).unwrap()),
        "the call or its directory"
    );
    assert_eq!(describe_config_change(&[7; 32], &base, &configured()), None);
    let words = describe_config_change(&[7; 32], &base, &values).unwrap();
    assert_eq!(words, "the real values behind the call's replacements");
    assert_eq!(describe_config_change(&[7; 32], "older", &configured()).unwrap(), "the version of Portero");
}

fn config(mcps: &str, replacements: &str) -> Config {
    let files = ConfigFiles {
        mcps: Some(mcps.to_owned()),
        replacements: Some(replacements.to_owned()),
        ..ConfigFiles::default()
    };
    let (config, problems) = crate::config::read_config(&files, &|_| None);
    config.unwrap_or_else(|| panic!("{problems}"))
}

fn server(fields: &str) -> ServerConfig {
    let mcps = format!(r#"{{"mcps":[{{"name":"mail","command":"node"{fields}}}]}}"#);
    config(&mcps, "{}").servers.remove(0)
}

/// A field that is added, or a kind of value that changes, shows here: then the version in its context is raised.
#[test]
fn what_is_stored_is_encoded_as_in_every_earlier_version() {
    let full = server(
        r#","args":["x","--y"],"env":{"B":"2","A":"1"},"envPassthrough":["LANG","HOME"],"cwd":"/w","roots":["/r"]"#,
    );
    let of_call = call(r#"{"name":"send","arguments":{"to":"John Doe"}}"#);
    let named =
        config("{}", r#"{"replacements":[{"fake":"John Doe","real":"Jane Roe","bidirectional":true}]}"#);
    let anonymizer = Anonymizer::new(&named.replacements).unwrap();
    let digests = [
        ("server", server_digest(&full)),
        ("environment", environment_digest(&full)),
        ("values", values_digest(&anonymizer, &of_call).unwrap()),
        ("fingerprint", fingerprint(&[7; 32], &of_call).unwrap()),
        ("binding", compute_binding(&[7; 32], &of_call, "/project", &ground()).unwrap()),
    ];
    let stored = [
        ("server", "a0512a173515d76bd1384c83c38f17d3be5946bebd17a007609760e63e46fc0b"),
        ("environment", "8d2859162885bf961a941ce4730904f19b8e7ea19eeae1735bf2a5a1dd009950"),
        ("values", "412586668a57e7876c554a255fe6abfc33250a330a757f48a2d1fbfab6a84cd0"),
        ("fingerprint", "301dd3db5c6d50b62a073066c3178f7ea44bbf6847478ee83504ae67af529f58"),
        (
            "binding",
            "v2.7344091a99f371b1c183e023c0c1773b3389ba4f4eef995adac1ee844bc64718.1fb14264fd370132.a0802ca89a9da8d2.b04fd6e86fec45b9.b015677d1183022a",
        ),
    ];
    assert_eq!(digests, stored.map(|(name, digest)| (name, digest.to_owned())));
}

#[test]
fn what_a_server_is_and_what_it_is_given_are_told_apart() {
    let base = server("");
    for other in [
        r#","args":["x"]"#,
        r#","cwd":"/w""#,
        r#","instance":"user""#,
        r#","roots":[]"#,
        r#","roots":["/r"]"#,
    ] {
        let other = server(other);
        assert_ne!(server_digest(&base), server_digest(&other));
        assert_eq!(environment_digest(&base), environment_digest(&other));
    }
    let given =
        [r#","env":{"A":"1"}"#, r#","env":{"A":"2"}"#, r#","env":{"B":"1"}"#, r#","envPassthrough":["A"]"#];
    let digests: Vec<_> = given.iter().map(|fields| environment_digest(&server(fields))).collect();
    for (at, digest) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(digest) && *digest != environment_digest(&base), "{}", given[at]);
        assert_eq!(server_digest(&base), server_digest(&server(given[at])));
    }
    let order = [r#","envPassthrough":["A","B"]"#, r#","envPassthrough":["B","A"]"#];
    assert_eq!(environment_digest(&server(order[0])), environment_digest(&server(order[1])));
    for quiet in [
        r#","timeout":"1h""#,
        r#","categories":["x"]"#,
        r#","pinnedTools":["x"]"#,
        r#","prefix":false"#,
        r#","stateless":true"#,
    ] {
        assert_eq!(server_digest(&base), server_digest(&server(quiet)), "{quiet} changes no call");
    }
}

#[test]
fn a_replacement_counts_where_it_touches_the_call_and_nowhere_else() {
    let digest = |replacements: &str| {
        let named = config("{}", &format!(r#"{{"replacements":[{replacements}]}}"#));
        let anonymizer = Anonymizer::new(&named.replacements).unwrap();
        values_digest(&anonymizer, &call(r#"{"arguments":{"to":"John Doe"}}"#)).unwrap()
    };
    let rule =
        |fake: &str, real: &str| format!(r#"{{"fake":"{fake}","real":"{real}","bidirectional":true}}"#);
    let base = digest(&rule("John Doe", "Jane Roe"));
    let more = format!("{},{}", rule("ACME", "Initech"), rule("John Doe", "Jane Roe"));
    assert_eq!(digest(&more), base, "another rule, in another order");
    assert_ne!(digest(&rule("John Doe", "Jack Roe")), base);
    assert_ne!(digest(&rule("ACME", "Initech")), base);
    let scoped = r#"{"fake":"John Doe","real":"Jane Roe","bidirectional":true,"servers":["other"]}"#;
    assert_ne!(digest(scoped), base);
}

#[test]
fn who_a_call_acts_as_at_a_server_is_bound() {
    let digests = |entry: &str| {
        let server = http_server(entry);
        (server_digest(&server), environment_digest(&server))
    };
    let base = digests(r#""auth":{"method":"bearer","credential_ref":"key-1"}"#);
    let other_key = digests(r#""auth":{"method":"bearer","credential_ref":"key-2"}"#);
    assert_eq!(base.0, other_key.0);
    assert_ne!(base.1, other_key.1, "another credential may be another account");
    for entry in [
        r#""auth":{"method":"api_key","credential_ref":"key-1"}"#,
        r#""auth":{"method":"bearer","location":"query","name":"k","credential_ref":"key-1"}"#,
        r#""auth":{"method":"none"}"#,
        r#""oauth":{}"#,
        r#""oauth":{"clientId":"a"}"#,
        r#""oauth":{"scopes":"a"}"#,
        r#""oauth":{"grant":"device_code"}"#,
        r#""auth":{"method":"bearer","credential_ref":"key-1"},"certFile":"c","keyFile":"k""#,
    ] {
        assert_ne!(base.0, digests(entry).0, "{entry}");
    }
    assert_eq!(digests(r#""oauth":{}"#), digests(r#""oauth":{"callbackPort":8080}"#));
    let secret =
        |secret: &str| digests(&format!(r#""oauth":{{"clientId":"a","clientSecret":"{secret}"}}"#)).1;
    assert_ne!(secret("one"), secret("two"));
}

fn http_server(entry: &str) -> ServerConfig {
    let text = format!(r#"{{"mcpServers":{{"mail":{{"url":"https://x.example",{entry}}}}}}}"#);
    let files = ConfigFiles { directory: "/config".into(), mcps: Some(text), ..ConfigFiles::default() };
    crate::config::read_config(&files, &|_| None).0.expect("valid").servers.remove(0)
}
