//! `https.oidc` and `https.clientCertificates`: who may ask besides the holders of tokens.

use super::*;

const ISSUER: &str = "https://id.example.com/realms/home";

fn read_https(section: &str, dotenv: &str) -> Result<HttpsSettings, String> {
    let portero = format!(r#"{{"https":{{"selfSigned":true,{section}}}}}"#);
    match read_with(&[(PORTERO, &portero), (DOTENV, dotenv)], &[]) {
        (Some(config), _) => config.settings.https.ok_or_else(|| "closed".to_owned()),
        (None, problems) => Err(problems.to_string()),
    }
}

fn oidc(members: &str) -> Result<OidcSettings, String> {
    let claims = r#""claims":{"scope":{"portero:read":{"tools":["github/list_*"]}}}"#;
    let section = format!(r#""oidc":{{{members},{claims}}}"#);
    read_https(&section, "").map(|https| https.oidc.expect("an issuer"))
}

#[test]
fn an_issuer_is_read_with_all_that_its_claims_permit() {
    let section = r#""oidc":{"issuer":"https://id.example.com/realms/home","audience":["portero","https://p.example/mcp"],
        "algorithms":["ES256","PS256","ES256"],"jwksUrl":"https://id.example.com/keys","caFile":"tls/id.pem",
        "claims":{"scope":{"a":{"servers":["mail"]},"b":{"tools":["github/list_*"]}},
                  "realm_access.roles":{"admin":{"servers":["*"]}}}}"#;
    let oidc = read_https(section, "").unwrap().oidc.unwrap();
    assert_eq!((oidc.issuer.as_str(), oidc.audiences.len()), (ISSUER, 2));
    assert_eq!(oidc.algorithms, [JwtAlgorithm::Es256, JwtAlgorithm::Ps256]);
    assert_eq!(oidc.jwks_url.as_ref().map(|url| url.origin()), Some("https://id.example.com".to_owned()));
    assert_eq!(oidc.ca_file.as_deref(), Some(Path::new("/etc/portero/tls/id.pem")));
    let claims: Vec<String> =
        oidc.claims.iter().map(|grant| format!("{} {} {}", grant.path, grant.value, grant.scope)).collect();
    assert_eq!(claims, ["scope a mail/*", "scope b github/list_*", "realm_access.roles admin */*"]);
    assert_eq!(oidc.scopes(), ["a", "b"]);
}

#[test]
fn keycloaks_variables_stand_for_issuer_and_algorithm() {
    let section = r#""oidc":{"audience":"portero","claims":{"scope":{"a":{"servers":["*"]}}}}"#;
    let variables =
        "KEYCLOAK_URL=https://id.example.com/\nKEYCLOAK_REALM=home\nJWT_ALGORITHM=RS512\nAUTH_ENABLED=true\n";
    let oidc = read_https(section, variables).unwrap().oidc.unwrap();
    assert_eq!((oidc.issuer.as_str(), &oidc.algorithms[..]), (ISSUER, &[JwtAlgorithm::Rs512][..]));
    for (variables, problem) in [
        ("", "needs `issuer`"),
        ("KEYCLOAK_URL=https://id.example.com\n", "needs `issuer`"),
        ("KEYCLOAK_URL=http://id.example.com\nKEYCLOAK_REALM=home\n", "must be https"),
        ("KEYCLOAK_URL=https://id.example.com\nKEYCLOAK_REALM=home\nJWT_ALGORITHM=HS256\n", "JWT_ALGORITHM"),
    ] {
        let error = read_https(section, variables).unwrap_err();
        assert!(error.contains(problem), "{variables}: {error}");
    }
}

#[test]
fn what_an_issuer_lacks_or_must_not_have_is_an_error() {
    let good = r#""issuer":"https://id.example.com","audience":"portero""#;
    assert_eq!(oidc(good).unwrap().algorithms, [JwtAlgorithm::Rs256]);
    assert!(oidc(r#""issuer":"http://127.0.0.1:8080","audience":"portero""#).is_ok(), "on this machine");
    for (members, problem) in [
        (r#""audience":"portero""#.to_owned(), "needs `issuer`"),
        (r#""issuer":"https://id.example.com""#.to_owned(), "needs `audience`"),
        (r#""issuer":"http://id.example.com","audience":"portero""#.to_owned(), "must be https"),
        (r#""issuer":"id.example.com","audience":"portero""#.to_owned(), "whole address"),
        (r#""issuer":"https://id.example.com","audience":[]"#.to_owned(), "1 to 16 audiences"),
        (format!(r#"{good},"algorithms":["HS256"]"#), "not accepted"),
        (format!(r#"{good},"algorithms":["none"]"#), "not accepted"),
        (format!(r#"{good},"algorithms":[]"#), "names none"),
        (format!(r#"{good},"jwksUrl":"http://id.example.com/keys""#), "must be https"),
        (format!(r#"{good},"audiance":"x""#), "audiance"),
    ] {
        let error = oidc(&members).unwrap_err();
        assert!(error.contains(problem), "{members}: {error}");
    }
    for (claims, problem) in [
        ("", "needs `claims`"),
        (r#","claims":{}"#, "1 to 256 values"),
        (r#","claims":{"scope":{"a":{}}}"#, "permits nothing"),
        (r#","claims":{"scope":{"a":{"servers":["a/b"]}}}"#, "has no `/`"),
        (r#","claims":{"scope":{"a":{"tools":["list_*"]}}}"#, "no pattern"),
        (r#","claims":{"scope":["a"]}"#, "an object"),
    ] {
        let error = read_https(&format!(r#""oidc":{{{good}{claims}}}"#), "").unwrap_err();
        assert!(error.contains(problem), "{claims}: {error}");
    }
}

#[test]
fn clients_are_known_by_a_name_or_a_fingerprint_of_their_certificate() {
    let digest = "AB:".repeat(31) + "AB";
    let clients = format!(
        r#"{{"laptop":{{"commonName":"laptop.example","servers":["mail"]}},"ci":{{"sha256":"{digest}","tools":["a/b"]}}}}"#
    );
    let section = format!(r#""clientCertificates":{{"caFile":"tls/ca.pem","clients":{clients}}}"#);
    let known = read_https(&section, "").unwrap().client_certificates.unwrap();
    assert_eq!(known.ca_file, Path::new("/etc/portero/tls/ca.pem"));
    assert_eq!(known.clients[0].certificate, CertificateMatch::CommonName("laptop.example".to_owned()));
    assert_eq!(known.clients[1].certificate, CertificateMatch::Sha256([0xab; 32]));
    for (members, problem) in [
        (r#""clients":{}"#, "needs `caFile` and `clients`"),
        (r#""caFile":"ca.pem","clients":{}"#, "1 to 256 clients"),
        (r#""caFile":"ca.pem","clients":{"a b":{"commonName":"x","servers":["*"]}}"#, "letters, digits"),
        (r#""caFile":"ca.pem","clients":{"a":{"servers":["*"]}}"#, "either `sha256` or `commonName`"),
        (r#""caFile":"ca.pem","clients":{"a":{"sha256":"AB","servers":["*"]}}"#, "64 hexadecimal digits"),
        (r#""caFile":"ca.pem","clients":{"a":{"commonName":"x"}}"#, "permits nothing"),
    ] {
        let error = read_https(&format!(r#""clientCertificates":{{{members}}}"#), "").unwrap_err();
        assert!(error.contains(problem), "{members}: {error}");
    }
}
