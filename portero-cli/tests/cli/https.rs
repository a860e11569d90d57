//! The HTTPS endpoint at the terminal: `status`, `doctor` and `https cert`, whatever its state.

use std::net::TcpListener;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::test_support::{CommandOutput, TestHome, eventually};

/// A home whose endpoint is configured so, and in this state.
fn home_in_state(https: &Value, state: &str) -> TestHome {
    let world = TestHome::with_office();
    world.write("portero.json", &json!({"https": https}));
    wait_for_state(&world, state);
    world
}

/// The state of the endpoint, once it is this one.
fn wait_for_state(world: &TestHome, state: &str) -> Value {
    eventually(state, || {
        let https = world.json(&["status"])["https"].clone();
        (https["state"] == state).then_some(https)
    })
}

/// The line of the endpoint in `status`, with the indented ones behind it.
fn status_lines(world: &TestHome) -> Vec<String> {
    let said = world.run(&["status"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let mut lines = said.stdout.lines().skip_while(|line| !line.starts_with("https "));
    let first = lines.next().unwrap().strip_prefix("https ").unwrap().trim().to_owned();
    let more = lines.take_while(|line| line.starts_with(' ')).map(|line| line.trim().to_owned());
    std::iter::once(first).chain(more).collect()
}

/// What `doctor` says of the endpoint: state, problem and hint.
fn finding(world: &TestHome) -> (Option<Value>, CommandOutput) {
    let said = world.run(&["doctor", "--json"]);
    let findings: Value = serde_json::from_str(&said.stdout).unwrap();
    let found = findings.as_array().unwrap().iter().find(|found| found["server"] == "HTTPS endpoint");
    (found.cloned(), said)
}

#[test]
fn no_endpoint_is_a_line_and_no_problem() {
    let world = TestHome::with_office();
    assert_eq!(status_lines(&world), ["off: none is configured"]);
    let (found, said) = finding(&world);
    assert!(found.is_none() && said.code == 0, "{}", said.stdout);
    let refused = world.run(&["https", "cert"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("no HTTPS endpoint is configured"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("\"selfSigned\": true"), "{}", refused.stderr);
}

#[test]
fn an_open_endpoint_is_told_with_its_address_and_certificate() {
    let world = home_in_state(&json!({"listen": "127.0.0.1:0", "selfSigned": true}), "serving");
    let https = wait_for_state(&world, "serving");
    let (address, certificate) = (https["address"].as_str().unwrap(), &https["certificate"]);
    let until = &certificate["expires"].as_str().unwrap()[..10];
    assert_eq!(status_lines(&world), [format!("https://{address}, certificate valid until {until}")]);
    let (found, said) = finding(&world);
    assert!(found.is_none() && said.code == 0, "{}", said.stdout);

    assert_eq!(&world.json(&["https", "cert"]), certificate);
    let shown = world.run(&["https", "cert"]).stdout;
    for (name, value) in [("file", "file"), ("sha256", "sha256"), ("expires", "expires")] {
        let value = certificate[value].as_str().unwrap();
        let is_line = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.trim() == value);
        assert!(shown.lines().any(is_line), "{name}: {shown}");
    }
    let file = std::fs::read_to_string(certificate["file"].as_str().unwrap()).unwrap();
    assert!(file.starts_with("-----BEGIN CERTIFICATE-----") && !file.contains("PRIVATE KEY"), "{file}");
}

#[test]
fn plain_http_on_loopback_is_told_as_that_and_has_no_certificate() {
    let world = home_in_state(&json!({"listen": "127.0.0.1:0", "plainHttp": true}), "serving");
    let https = wait_for_state(&world, "serving");
    let expected = format!("http://{}, without encryption", https["address"].as_str().unwrap());
    assert_eq!(status_lines(&world), [expected]);
    let refused = world.run(&["https", "cert"]);
    assert!(refused.code == 1 && refused.stderr.contains("without a certificate"), "{}", refused.stderr);
}

#[test]
fn an_unsafe_shape_is_not_served_and_each_command_says_why() {
    let world = home_in_state(&json!({"listen": "0.0.0.0:0", "plainHttp": true}), "closed");
    let lines = status_lines(&world);
    assert_eq!(
        lines[..2],
        ["NOT SERVED", "plain HTTP beyond this machine could be read on its way"],
        "{lines:?}"
    );
    assert!(!lines[2].is_empty(), "the next step: {lines:?}");
    let (found, said) = finding(&world);
    let found = found.unwrap();
    assert_eq!((&found["state"], &found["about"]), (&json!("failed"), &json!(lines[1])));
    assert_eq!(found["hint"], json!(lines[2]));
    assert!(said.code == 1 && said.stderr.contains("the HTTPS endpoint does not work"), "{}", said.stderr);
    let checked = world.run(&["check"]);
    let checked = checked.stdout + &checked.stderr;
    assert!(checked.contains(&lines[1]), "{checked}");
    let refused = world.run(&["https", "cert"]);
    assert!(refused.code == 1 && refused.stderr.contains(&lines[1]), "{}", refused.stderr);
}

#[test]
fn a_taken_address_is_told_and_tried_again_until_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = home_in_state(&json!({"listen": address.to_string(), "selfSigned": true}), "failed");
    let lines = status_lines(&world);
    assert!(
        lines[0] == "NOT SERVED" && lines[1].starts_with(&format!("{address} can't be listened on")),
        "{lines:?}"
    );
    assert_eq!(lines[2], "it is tried again every few seconds");
    let (found, said) = finding(&world);
    assert_eq!(found.unwrap()["about"], json!(lines[1]));
    assert_eq!(said.code, 1, "{}", said.stderr);
    drop(taken);
    wait_for_state(&world, "serving");
    assert_eq!(finding(&world).1.code, 0);
}

/// Writes a certificate for `localhost` with its key, valid from and until so many days from now.
fn write_certificate(world: &TestHome, days: [i64; 2]) {
    let [from, until] = days.map(|days| {
        let date = (Timestamp::now() + (24 * days).hours()).strftime("%Y %m %d").to_string();
        let mut parts = date.split(' ').map(|part| part.parse::<i32>().unwrap());
        let mut part = || parts.next().unwrap();
        rcgen::date_time_ymd(part(), u8::try_from(part()).unwrap(), u8::try_from(part()).unwrap())
    });
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (from, until);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(world.path("config").join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(world.path("config").join("key.pem"), key.serialize_pem()).unwrap();
}

#[test]
fn a_certificate_is_told_before_it_ends_and_after() {
    let world = TestHome::with_office();
    write_certificate(&world, [-60, 5]);
    let files = json!({"listen": "127.0.0.1:0", "certFile": "cert.pem", "keyFile": "key.pem"});
    world.write("portero.json", &json!({"https": files}));
    wait_for_state(&world, "serving");
    let lines = status_lines(&world);
    assert!(lines[0].contains("certificate valid until"), "{lines:?}");
    // Its day begins at midnight.
    assert!(
        lines[1].starts_with("its certificate ends in 4d") || lines[1] == "its certificate ends in 5d",
        "{lines:?}"
    );
    assert!(lines[2].contains("read again by themselves"), "{lines:?}");
    let (found, said) = finding(&world);
    let found = found.unwrap();
    assert_eq!((&found["state"], said.code), (&json!("warns"), 0), "{found}: {}", said.stderr);
    assert!(found["about"].as_str().unwrap().starts_with("its certificate ends in"), "{found}");

    write_certificate(&world, [-60, -2]);
    // The endpoint reads the files at the next connection.
    let address = world.json(&["status"])["https"]["address"].as_str().unwrap().to_owned();
    let lines = eventually("the other certificate is served", || {
        drop(std::net::TcpStream::connect(&address).unwrap());
        let lines = status_lines(&world);
        lines.get(1)?.starts_with("its certificate ENDED on ").then_some(lines)
    });
    assert!(lines[1].ends_with("and clients refuse it"), "{lines:?}");
    let (found, said) = finding(&world);
    assert_eq!(found.unwrap()["state"], "failed");
    assert!(said.code == 1 && said.stderr.contains("the HTTPS endpoint does not work"), "{}", said.stderr);

    write_certificate(&world, [-1, 90]);
    eventually("the renewed certificate is served", || {
        drop(std::net::TcpStream::connect(&address).unwrap());
        (status_lines(&world).len() == 1).then_some(())
    });
    assert_eq!(finding(&world).1.code, 0);
}
