//! An authorization server on loopback, and the metadata of the MCP server at `/mcp` beside it.

use std::collections::HashMap;
use std::sync::Mutex;

use data_encoding::BASE64URL_NOPAD;
use portero::sync::lock;
use reqwest::Url;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::{form, query};
use crate::http_transport::tests::fake_http::{Reply, Seen};
use crate::oauth::LoginAnswer;

/// Where the person's browser comes back to.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:8912/callback";

/// What the issuer knows.
#[derive(Default)]
pub(crate) struct Issuer(Mutex<IssuerState>);

#[derive(Default)]
struct IssuerState {
    /// The open codes, with the queries that they were given for.
    codes: HashMap<String, HashMap<String, String>>,
    refresh_token: String,
    issued: usize,
    device_polls: usize,
    /// What its metadata say otherwise.
    metadata: Map<String, Value>,
    /// What the server's own metadata say otherwise.
    resource: Map<String, Value>,
    /// What the token endpoint answers instead, once for each.
    token_replies: Vec<Reply>,
    /// The paths that aren't there.
    missing: Vec<String>,
}

impl Issuer {
    pub(crate) fn set_metadata(&self, name: &str, value: Value) {
        lock(&self.0).metadata.insert(name.to_owned(), value);
    }

    pub(crate) fn set_resource(&self, name: &str, value: Value) {
        lock(&self.0).resource.insert(name.to_owned(), value);
    }

    /// The token endpoint answers so, once.
    pub(crate) fn answer_token(&self, reply: Reply) {
        lock(&self.0).token_replies.push(reply);
    }

    /// Nothing is there at a path.
    pub(crate) fn remove(&self, path: &str) {
        lock(&self.0).missing.push(path.to_owned());
    }

    /// What a browser brings back once the person has consented at this page.
    pub(crate) fn consent(&self, page: &Url) -> LoginAnswer {
        let answer = self.consent_query(page);
        LoginAnswer::parse(&answer).expect("an answer")
    }

    /// The same, as a query, with the issuer.
    pub(crate) fn consent_query(&self, page: &Url) -> String {
        let asked = query(page);
        let mut state = lock(&self.0);
        let code = format!("code-{}", state.codes.len());
        let answer =
            format!("code={code}&state={}&iss={}", asked["state"], page.origin().ascii_serialization());
        state.codes.insert(code, asked.into_iter().collect());
        answer
    }

    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let origin = format!("http://{}", seen.header("host"));
        let path = seen.path.split('?').next().unwrap_or_default();
        let mut state = lock(&self.0);
        if state.missing.iter().any(|missing| missing == path) {
            return Reply::status(404);
        }
        match (&*seen.method, path) {
            ("GET", "/.well-known/oauth-protected-resource/mcp") => {
                let own = json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin],
                                 "scopes_supported": ["read"]});
                Reply::json(patched(own, &state.resource))
            }
            ("GET", "/.well-known/oauth-authorization-server") => {
                Reply::json(patched(issuer_metadata(&origin), &state.metadata))
            }
            ("POST", "/register") => {
                let asked: Value = serde_json::from_str(&seen.body).expect("a registration");
                assert_eq!(asked["token_endpoint_auth_method"], "none");
                let body = json!({"client_id": "registered", "token_endpoint_auth_method": "none"});
                Reply::Whole(201, Vec::new(), body.to_string())
            }
            ("POST", "/token") if !state.token_replies.is_empty() => state.token_replies.remove(0),
            ("POST", "/token") => state.answer_token(seen),
            ("POST", "/revoke") => Reply::status(200),
            ("POST", "/device_authorization") => {
                let body = json!({"device_code": "device-s3cret", "user_code": "WDJB-MJHT", "interval": 1,
                                  "verification_uri": format!("{origin}/device"), "expires_in": 600});
                Reply::json(body.to_string())
            }
            _ => Reply::status(404),
        }
    }
}

impl IssuerState {
    fn answer_token(&mut self, seen: &Seen) -> Reply {
        let asked = form(&seen.body);
        let is_right = match &*asked["grant_type"] {
            "authorization_code" => {
                let given = self.codes.remove(&asked["code"]).expect("a code is used once");
                let hash =
                    BASE64URL_NOPAD.encode(digest(&SHA256, asked["code_verifier"].as_bytes()).as_ref());
                given["code_challenge"] == hash
                    && ["redirect_uri", "client_id", "resource"]
                        .iter()
                        .all(|name| asked.get(*name).is_none_or(|value| *value == given[*name]))
            }
            "refresh_token" => asked["refresh_token"] == self.refresh_token,
            "client_credentials" => true,
            _ => {
                self.device_polls += 1;
                if self.device_polls == 1 {
                    return refusal("authorization_pending");
                }
                asked["device_code"] == "device-s3cret"
            }
        };
        if !is_right {
            return refusal("invalid_grant");
        }
        self.issued += 1;
        self.refresh_token = format!("a-refresh-s3cret-{}", self.issued);
        let tokens = json!({"access_token": format!("an-access-s3cret-{}", self.issued), "token_type": "Bearer",
                            "expires_in": 3600, "refresh_token": self.refresh_token});
        Reply::json(tokens.to_string())
    }
}

/// A refusal of the token endpoint.
pub(crate) fn refusal(code: &str) -> Reply {
    let body = json!({"error": code, "error_description": "s3cret"});
    Reply::Whole(400, Vec::new(), body.to_string())
}

pub(super) fn issuer_metadata(origin: &str) -> Value {
    json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
        "registration_endpoint": format!("{origin}/register"),
        "revocation_endpoint": format!("{origin}/revoke"),
        "device_authorization_endpoint": format!("{origin}/device_authorization"),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported":
            ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn patched(mut document: Value, changes: &Map<String, Value>) -> String {
    for (name, value) in changes {
        document[name] = value.clone();
    }
    document.to_string()
}
