//! `https` in `portero.json`, and the variables that stand for it.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;

fn token_line() -> String {
    format!("BEARER_TOKEN={BEARER_TOKEN}\n")
}

fn read_section(section: &str, dotenv: &str) -> Config {
    read_valid(&[(PORTERO, &format!(r#"{{"https":{section}}}"#)), (DOTENV, dotenv)], &[])
}

fn open(section: &str) -> HttpsSettings {
    read_section(section, &token_line()).settings.https.expect("open")
}

fn closed(section: &str, dotenv: &str) -> ClosedHttps {
    let settings = read_section(section, dotenv).settings;
    assert_eq!(settings.https, None);
    settings.closed_https.expect("a reason")
}

#[test]
fn every_field_is_read() {
    let https = open(
        r#"{"listen":"0.0.0.0:9443","certFile":"tls/cert.pem","keyFile":"/etc/tls/key.pem",
            "hosts":["Portero.Example.com","[::1]"],"origins":["https://App.example.com:443/"],
            "limits":{"bodyBytes":2048,"headerBytes":16384,"requestsPerMinute":7,"requestsPerMinuteOfAddress":8,
                      "connections":9,"connectionsOfAddress":3,"header":"1s","body":"2s","idle":"3s"}}"#,
    );
    assert_eq!(https.listen, SocketAddr::from(([0, 0, 0, 0], 9443)));
    let (certificate, key) = ("/etc/portero/tls/cert.pem".into(), "/etc/tls/key.pem".into());
    assert_eq!(https.encryption, HttpsEncryption::Files { certificate, key });
    assert_eq!(https.hosts, ["portero.example.com", "[::1]"]);
    assert_eq!(https.origins, ["https://app.example.com"]);
    assert_eq!(https.bearer_token.as_ref().map(|token| token.expose()), Some(BEARER_TOKEN));
    let expected = HttpsLimits {
        max_body_bytes: 2048,
        max_header_bytes: 16384,
        requests_per_minute: 7,
        requests_per_minute_of_address: 8,
        max_connections: 9,
        max_connections_of_address: 3,
        header_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(3),
    };
    assert_eq!(https.limits, expected);
    assert_eq!(open(r#"{"selfSigned":true}"#).listen, SocketAddr::from(([127, 0, 0, 1], 8443)));
    assert_eq!(open(r#"{"plainHttp":true,"listen":"[::1]:80"}"#).encryption, HttpsEncryption::Plain);
}

#[test]
fn an_unsafe_shape_stays_closed_and_says_the_fix() {
    for (section, dotenv, reason, hint) in [
        (
            r#"{"plainHttp":true,"listen":"0.0.0.0:8443"}"#,
            &*token_line(),
            "plain HTTP beyond this machine could be read on its way",
            "\"selfSigned\": true",
        ),
        (r#"{}"#, &*token_line(), "it names no certificate", "\"selfSigned\": true"),
        (
            r#"{"selfSigned":true}"#,
            "BEARER_TOKEN=your-bearer-token-here",
            "BEARER_TOKEN in .env is a placeholder",
            "openssl rand -hex 32",
        ),
        (
            r#"{"selfSigned":true}"#,
            "BEARER_TOKEN='$(openssl rand -hex 32)'",
            "BEARER_TOKEN in .env is a command that was not run",
            "openssl rand -hex 32",
        ),
        (
            r#"{"selfSigned":true}"#,
            &*format!("{}AUTH_ENABLED=false", token_line()),
            "AUTH_ENABLED in .env turns authentication off",
            "remove it",
        ),
    ] {
        let found = closed(section, dotenv);
        assert!(found.reason.contains(reason) && found.hint.contains(hint), "{section}: {found:?}");
        let problems =
            problem_text(&[(PORTERO, &format!(r#"{{"https":{section}}}"#)), (DOTENV, dotenv)], &[]);
        assert!(problems.contains(&format!("HTTPS stays closed: {}", found.reason)), "{problems}");
    }
}

#[test]
fn what_contradicts_itself_is_an_error() {
    for (section, expected) in [
        (r#"{"selfSigned":true,"plainHttp":true}"#, "takes one of"),
        (r#"{"selfSigned":true,"certFile":"a"}"#, "takes one of"),
        (r#"{"certFile":"a"}"#, "needs both `certFile` and `keyFile`"),
        (r#"{"selfSigned":true,"listen":"localhost"}"#, "must be an address with a port"),
        (r#"{"selfSigned":true,"hosts":["a b"]}"#, "`https.hosts` has an unusable entry"),
        (
            r#"{"selfSigned":true,"origins":["https://a.example/path"]}"#,
            "`https.origins` has an unusable entry",
        ),
        (r#"{"selfSigned":true,"limits":{"idle":"2h"}}"#, "must be more than 0 and at most 1h"),
        (r#"{"selfSigned":true,"limits":{"bodyBytes":99999999999}}"#, "must be at most"),
        (r#"{"selfSigned":true,"limit":{}}"#, "did you mean `limits`?"),
    ] {
        let texts = [(PORTERO, &*format!(r#"{{"https":{section}}}"#)), (DOTENV, &*token_line())];
        let (config, problems) = read_with(&texts, &[]);
        assert!(config.is_none() && problems.to_string().contains(expected), "{section}: {problems}");
    }
}

#[test]
fn the_variables_of_other_gateways_count_from_the_file_alone() {
    let variables = [
        ("BEARER_TOKEN", BEARER_TOKEN),
        ("PORT", "9000"),
        ("SSL_CERT_PATH", "cert.pem"),
        ("SSL_KEY_PATH", "key.pem"),
    ];
    let dotenv: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let https = read_valid(&[(DOTENV, &dotenv)], &[]).settings.https.expect("all is named");
    assert_eq!(https.listen, SocketAddr::from(([127, 0, 0, 1], 9000)));
    let (certificate, key) = ("/etc/portero/cert.pem".into(), "/etc/portero/key.pem".into());
    assert_eq!(https.encryption, HttpsEncryption::Files { certificate, key });

    let of_environment = read_valid(&[], &variables).settings;
    assert_eq!((of_environment.https, of_environment.closed_https), (None, None));
    let of_token_alone = read_valid(&[(DOTENV, &token_line())], &[]).settings;
    assert_eq!((of_token_alone.https, of_token_alone.closed_https), (None, None));

    let said = problem_text(&[(PORTERO, r#"{"https":{"selfSigned":true}}"#)], &variables);
    assert!(said.contains("BEARER_TOKEN does not count in the environment"), "{said}");
    assert!(!said.contains(BEARER_TOKEN));
    let said = problem_text(&[(PORTERO, r#"{"https":{"selfSigned":true}}"#), (DOTENV, "PORT=x")], &[]);
    assert!(said.contains("PORT in .env must be a port"), "{said}");
}

#[test]
fn without_a_token_in_env_access_tokens_alone_count() {
    let https = read_section(r#"{"selfSigned":true}"#, "").settings.https.expect("open");
    assert_eq!(https.bearer_token, None);
}
