//! `https.oidc`: the issuer whose tokens are accepted, and what their claims permit.

use std::path::{Path, PathBuf};

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::{CheckedMembers, ConfigDocument, join_quoted};
use super::fields;
use super::url::HttpUrl;
use super::variables::Variables;
use crate::access::AccessScope;
use crate::pattern::{Pattern, PatternError};

/// Where the Keycloak server is, as Secure MCP Gateway names it; with [`REALM_VARIABLE`] it is the issuer.
const SERVER_VARIABLE: &str = "KEYCLOAK_URL";
const REALM_VARIABLE: &str = "KEYCLOAK_REALM";
const ALGORITHM_VARIABLE: &str = "JWT_ALGORITHM";

/// The most entries of the table of claims.
const MAX_CLAIMS: usize = 256;
/// The most audiences.
const MAX_AUDIENCES: usize = 16;

/// The issuer whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Its identifier, exactly as its tokens write it in `iss`.
    pub issuer: String,
    /// The values of `aud` that are meant for Portero; at least one.
    pub audiences: Vec<String>,
    /// The accepted algorithms; at least one. Default RS256.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Where its keys are, if its discovery isn't to be asked.
    pub jwks_url: Option<HttpUrl>,
    /// The certificate authorities that count for it besides the usual ones, in PEM.
    pub ca_file: Option<PathBuf>,
    /// What claims permit; at least one entry.
    pub claims: Vec<ClaimGrant>,
}

/// What one value of a claim permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimGrant {
    /// The claim's name, or its path with dots, such as `realm_access.roles`.
    pub path: String,
    /// The value, which the claim has or holds.
    pub value: String,
    /// What it permits.
    pub scope: AccessScope,
}

/// An algorithm of signatures (RFC 7518, section 3.1, and RFC 8037). None of them uses a shared key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// RSA with PKCS #1 1.5 and SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSA with PSS and SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl OidcSettings {
    /// The scopes of OAuth that permit something here, for the clients that ask for a token.
    #[must_use]
    pub fn scopes(&self) -> Vec<&str> {
        let is_scope = |grant: &&ClaimGrant| matches!(grant.path.as_str(), "scope" | "scp");
        let mut scopes: Vec<&str> =
            self.claims.iter().filter(is_scope).map(|grant| grant.value.as_str()).collect();
        scopes.dedup();
        scopes
    }
}

/// Reads the section. None if it has an error. `variables` are those of the files: the process that starts Portero
/// chooses the environment, and may be the agent's.
pub(super) fn read_oidc<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    variables: &Variables<'_>,
    directory: &Path,
) -> Option<OidcSettings> {
    let members = document.read_object(value, "`https.oidc`", &[fields::HTTPS_OIDC])?;
    let issuer = read_issuer(document, &members, variables);
    let audiences = read_audiences(document, &members, variables);
    let algorithms = read_algorithms(document, &members, variables);
    let jwks_url = match members.get("jwksUrl") {
        Some(value) => Some(read_url(document, value, "`https.oidc.jwksUrl`", variables)?),
        None => None,
    };
    let ca_file = match members.get("caFile") {
        Some(value) => {
            let text = document.read_expanded_complete(value, "`https.oidc.caFile`", variables)?;
            Some(directory.join(text.text.expose()))
        }
        None => None,
    };
    let claims = read_claims(document, &members);
    Some(OidcSettings {
        issuer: issuer?,
        audiences: audiences?,
        algorithms: algorithms?,
        jwks_url: jwks_url.map(|(_, url)| url),
        ca_file,
        claims: claims?,
    })
}

fn read_issuer<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
    variables: &Variables<'_>,
) -> Option<String> {
    if let Some(value) = members.get("issuer") {
        return read_url(document, value, "`https.oidc.issuer`", variables).map(|(text, _)| text);
    }
    let variable = |name| variables.non_empty(name).map(|text| text.expose().trim().to_owned());
    let (Some(server), Some(realm)) = (variable(SERVER_VARIABLE), variable(REALM_VARIABLE)) else {
        let message = "`https.oidc` needs `issuer`";
        let hint =
            format!("as its tokens write it in `iss`; or {SERVER_VARIABLE} and {REALM_VARIABLE} in .env");
        document.add_error(members.at, message.into(), Some(hint));
        return None;
    };
    let issuer = format!("{}/realms/{realm}", server.trim_end_matches('/'));
    match check_url(&issuer) {
        Ok(_) => Some(issuer),
        Err(problem) => {
            document.add_error(members.at, format!("{SERVER_VARIABLE} in .env: {problem}"), None);
            None
        }
    }
}

fn read_url<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    what: &str,
    variables: &Variables<'_>,
) -> Option<(String, HttpUrl)> {
    let text = document.read_expanded_complete(value, what, variables)?.text.expose().to_owned();
    match check_url(&text) {
        Ok(url) => Some((text, url)),
        Err(problem) => {
            document.add_error(value.start(), format!("{what}: {problem}"), None);
            None
        }
    }
}

/// Keys that come over plain HTTP could be anyone's.
fn check_url(text: &str) -> Result<HttpUrl, String> {
    let url = HttpUrl::parse(text).map_err(|error| error.to_string())?;
    if url.is_readable_by_others() {
        return Err("it must be https: anyone on the way could name the keys otherwise".to_owned());
    }
    Ok(url)
}

fn read_audiences<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
    variables: &Variables<'_>,
) -> Option<Vec<String>> {
    let what = "`https.oidc.audience`";
    let Some(value) = members.get("audience") else {
        let hint = "the value of `aud` in tokens that are meant for Portero, such as \"portero\"";
        document.add_error(members.at, "`https.oidc` needs `audience`".into(), Some(hint.into()));
        return None;
    };
    let audiences = match value {
        Value::Array(_) => {
            let read = document.read_strings(Some(value), what)?;
            read.into_iter().map(|(_, audience)| audience.to_owned()).collect()
        }
        _ => vec![document.read_expanded_complete(value, what, variables)?.text.expose().to_owned()],
    };
    if audiences.is_empty() || audiences.len() > MAX_AUDIENCES || audiences.iter().any(String::is_empty) {
        document.add_error(value.start(), format!("{what} names 1 to {MAX_AUDIENCES} audiences"), None);
        return None;
    }
    Some(audiences)
}

fn read_algorithms<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
    variables: &Variables<'_>,
) -> Option<Vec<JwtAlgorithm>> {
    let what = "`https.oidc.algorithms`";
    let hint = || Some(format!("known are {}", join_quoted(JwtAlgorithm::ALL.map(JwtAlgorithm::name))));
    let Some(value) = members.get("algorithms") else {
        let Some(name) = variables.non_empty(ALGORITHM_VARIABLE) else {
            return Some(vec![JwtAlgorithm::Rs256]);
        };
        let algorithm = JwtAlgorithm::parse(name.expose().trim());
        if algorithm.is_none() {
            let message = format!("{ALGORITHM_VARIABLE} in .env is no algorithm that is accepted");
            document.add_error(members.at, message, hint());
        }
        return Some(vec![algorithm?]);
    };
    let mut algorithms = Vec::new();
    for (at, name) in document.read_strings(Some(value), what)? {
        let Some(algorithm) = JwtAlgorithm::parse(name) else {
            document.add_error(at, format!("{what} has an algorithm that is not accepted"), hint());
            return None;
        };
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    if algorithms.is_empty() {
        document.add_error(value.start(), format!("{what} names none"), hint());
        return None;
    }
    Some(algorithms)
}

fn read_claims<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
) -> Option<Vec<ClaimGrant>> {
    let example =
        "such as \"claims\": { \"scope\": { \"portero:read\": { \"tools\": [\"github/list_*\"] } } }";
    let Some(value) = members.get("claims") else {
        let message = "`https.oidc` needs `claims`: what a token's claims permit";
        document.add_error(members.at, message.into(), Some(example.into()));
        return None;
    };
    let mut grants = Vec::new();
    for (path, (_, values)) in document.read_map(value, "`https.oidc.claims`")? {
        for (wanted, (_, permitted)) in document.read_map(values, "a claim of `https.oidc.claims`")? {
            let what = "what a claim permits";
            let members = document.read_object(permitted, what, &[fields::HTTPS_SCOPE])?;
            let scope = read_scope(document, &members, what)?;
            grants.push(ClaimGrant { path: path.to_owned(), value: wanted.to_owned(), scope });
        }
    }
    if grants.is_empty() || grants.len() > MAX_CLAIMS {
        let message = format!("`https.oidc.claims` has 1 to {MAX_CLAIMS} values");
        document.add_error(value.start(), message, Some(example.into()));
        return None;
    }
    Some(grants)
}

/// Reads `servers` and `tools`, of which there must be one.
pub(super) fn read_scope<'a>(
    document: &mut ConfigDocument<'a>,
    members: &CheckedMembers<'_, 'a>,
    what: &str,
) -> Option<AccessScope> {
    let strings = |document: &mut ConfigDocument<'a>, name: &str| match members.get(name) {
        Some(value) => document.read_strings(Some(value), &format!("`{name}`")),
        None => Some(Vec::new()),
    };
    let servers =
        strings(document, "servers")?.into_iter().map(|(_, server)| server.to_owned()).collect::<Vec<_>>();
    let mut tools: Vec<Pattern> = Vec::new();
    for (at, text) in strings(document, "tools")? {
        match text.parse() {
            Ok(pattern) => tools.push(pattern),
            Err(error) => {
                let error: PatternError = error;
                document.add_error(at, format!("`tools` has no pattern here: {error}"), None);
                return None;
            }
        }
    }
    let scope = match servers.is_empty() && tools.is_empty() {
        true => Err("it permits nothing".to_owned()),
        false => AccessScope::of_servers_and_tools(&servers, tools).map_err(|error| error.to_string()),
    };
    match scope {
        Ok(scope) => Some(scope),
        Err(problem) => {
            let hint = "name `servers`, `tools` or both; \"servers\": [\"*\"] permits everything";
            document.add_error(members.at, format!("{what}: {problem}"), Some(hint.into()));
            None
        }
    }
}
