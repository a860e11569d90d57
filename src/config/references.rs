//! The references in a server's entry, and the entry with their values.

use std::collections::{BTreeMap, BTreeSet};

use super::auth::ServerAuth;
use super::types::{HttpServer, ServerTransport, StdioServer};
use crate::secret::{Secret, SecretPart, SecretReference};

/// Gives the value of a reference.
type Values<'a> = &'a dyn Fn(&SecretReference) -> Option<Secret>;

impl ServerTransport {
    /// Whether something in the entry must be looked up before the server is used.
    #[must_use]
    pub fn has_references(&self) -> bool {
        !self.references().is_empty()
    }

    /// What must be looked up, each reference once.
    #[must_use]
    pub fn references(&self) -> BTreeSet<SecretReference> {
        match self {
            Self::Stdio(server) => server.env.values().flat_map(Secret::references).collect(),
            Self::Http(server) => {
                let headers = server.headers.values().flat_map(Secret::references);
                headers
                    .chain(server.url.references())
                    .chain(credential(&server.auth).into_iter().flat_map(Secret::references))
                    .collect()
            }
        }
    }

    /// The entry with the value of each reference in its place. None if a value is missing, or if it would change the
    /// address that a `url` leads to.
    #[must_use]
    pub fn resolved(&self, values: Values<'_>) -> Option<Self> {
        Some(match self {
            Self::Stdio(server) => {
                Self::Stdio(StdioServer { env: resolve_all(&server.env, values)?, ..server.clone() })
            }
            Self::Http(server) => Self::Http(HttpServer {
                url: server.url.resolved(values)?,
                headers: resolve_all(&server.headers, values)?,
                auth: resolve_auth(&server.auth, values)?,
                ..server.clone()
            }),
        })
    }
}

/// The credential in a server's `auth`. A client's secret is no reference.
const fn credential(auth: &ServerAuth) -> Option<&Secret> {
    match auth {
        ServerAuth::None | ServerAuth::OAuth(_) => None,
        ServerAuth::Static(auth) => Some(&auth.credential),
    }
}

fn resolve_auth(auth: &ServerAuth, values: Values<'_>) -> Option<ServerAuth> {
    let mut resolved = auth.clone();
    if let ServerAuth::Static(auth) = &mut resolved {
        auth.credential = auth.credential.resolved(values)?;
    }
    Some(resolved)
}

fn resolve_all(texts: &BTreeMap<String, Secret>, values: Values<'_>) -> Option<BTreeMap<String, Secret>> {
    texts.iter().map(|(name, text)| Some((name.clone(), text.resolved(values)?))).collect()
}

impl Secret {
    /// The text with the value of each reference in its place; none if one is missing.
    #[must_use]
    pub fn resolved(&self, values: Values<'_>) -> Option<Self> {
        if !self.has_references() {
            return Some(self.clone());
        }
        let mut text = zeroize::Zeroizing::new(String::new());
        for part in self.parts() {
            match part {
                SecretPart::Text(plain) => text.push_str(plain),
                SecretPart::Reference(reference) => text.push_str(values(&reference)?.expose()),
            }
        }
        Some(Self::new(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url::HttpUrl;

    fn marked(text: &str) -> Secret {
        SecretReference::parse(text).expect("a kind").expect("a reference").to_secret()
    }

    #[test]
    fn each_reference_is_replaced_by_its_value_and_nothing_else_changes() {
        let token = Secret::new(format!("Bearer {}", marked("secret:token").expose()));
        let url = format!("https://a.example/{}/mcp?k=1", marked("secret:path").expose());
        let server = ServerTransport::Http(HttpServer {
            url: HttpUrl::parse_with_references(&Secret::new(url)).expect("a URL"),
            is_sse: false,
            headers: [("authorization".to_owned(), token), ("x".to_owned(), Secret::new("y"))].into(),
            auth: ServerAuth::None,
            max_concurrent: 1,
            ca_file: None,
            client_certificate: None,
        });
        let names: Vec<String> = server.references().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["${secret:path}", "${secret:token}"]);
        let values = |reference: &SecretReference| match reference {
            SecretReference::Secret(name) => Some(Secret::new(format!("{name}/1"))),
            _ => None,
        };
        let Some(ServerTransport::Http(resolved)) = server.resolved(&values) else { panic!("no values") };
        assert_eq!(resolved.url.expose().as_str(), "https://a.example/path%2F1/mcp?k=1");
        assert_eq!(resolved.headers["authorization"].expose(), "Bearer token/1");
        assert_eq!(resolved.headers["x"].expose(), "y");
        assert!(server.resolved(&|_| None).is_none());
    }
}
