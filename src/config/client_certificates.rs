//! `https.clientCertificates`: the clients that are known by their certificate, and what each may reach.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::document::ConfigDocument;
use super::fields;
use super::oidc::read_scope;
use super::variables::Variables;
use crate::access::{AccessScope, TokenName};

/// The most clients.
const MAX_CLIENTS: usize = 256;
/// The longest common name (X.520, `ub-common-name`).
const MAX_COMMON_NAME_LENGTH: usize = 64;

/// The clients that are known by their certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The authorities, in PEM, of which one must have issued a client's certificate.
    pub ca_file: PathBuf,
    /// The clients; at least one. The first that matches counts.
    pub clients: Vec<CertificateGrant>,
}

/// What the holder of a certificate may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateGrant {
    /// The client's name.
    pub name: TokenName,
    /// Its certificate.
    pub certificate: CertificateMatch,
    /// What it may reach.
    pub scope: AccessScope,
}

/// By what a certificate is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateMatch {
    /// The SHA-256 digest of the certificate in DER.
    Sha256([u8; 32]),
    /// The only common name of its subject.
    CommonName(String),
}

/// Reads the section. None if it has an error.
pub(super) fn read_client_certificates<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    variables: &Variables<'_>,
    directory: &Path,
) -> Option<ClientCertificates> {
    let what = "`https.clientCertificates`";
    let members = document.read_object(value, what, &[fields::HTTPS_CERTIFICATES])?;
    let (Some(ca_file), Some(clients)) = (members.get("caFile"), members.get("clients")) else {
        let hint = "`caFile`: the authority of the clients' certificates; `clients`: who they are and what each may reach";
        document.add_error(members.at, format!("{what} needs `caFile` and `clients`"), Some(hint.into()));
        return None;
    };
    let text = document.read_expanded_complete(ca_file, "`https.clientCertificates.caFile`", variables)?;
    let ca_file = directory.join(text.text.expose());
    let mut read = Vec::new();
    for (name, (at, client)) in document.read_map(clients, "`https.clientCertificates.clients`")? {
        match name.parse() {
            Ok(name) => read.push(read_client(document, name, client)?),
            Err(error) => {
                let error: crate::access::TokenNameError = error;
                document.add_error(at, format!("a client's name: {error}"), None);
                return None;
            }
        }
    }
    if read.is_empty() || read.len() > MAX_CLIENTS {
        document.add_error(clients.start(), format!("{what} names 1 to {MAX_CLIENTS} clients"), None);
        return None;
    }
    Some(ClientCertificates { ca_file, clients: read })
}

fn read_client<'a>(
    document: &mut ConfigDocument<'a>,
    name: TokenName,
    value: &Value<'a>,
) -> Option<CertificateGrant> {
    let what = format!("the client `{name}`");
    let members = document.read_object(value, &what, &[fields::HTTPS_CERTIFICATE, fields::HTTPS_SCOPE])?;
    let certificate = match (members.get("sha256"), members.get("commonName")) {
        (Some(digest), None) => {
            let text = document.read_string(digest, "`sha256`")?;
            let digest = parse_fingerprint(text).map(CertificateMatch::Sha256);
            digest.ok_or("`sha256` is 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them")
        }
        (None, Some(name)) => {
            let text = document.read_string(name, "`commonName`")?;
            let fits = (1..=MAX_COMMON_NAME_LENGTH).contains(&text.chars().count());
            fits.then(|| CertificateMatch::CommonName(text.to_owned()))
                .ok_or("`commonName` has 1 to 64 characters")
        }
        (Some(_), Some(_)) | (None, None) => Err("it needs either `sha256` or `commonName`"),
    };
    match certificate {
        Ok(certificate) => {
            Some(CertificateGrant { name, certificate, scope: read_scope(document, &members, &what)? })
        }
        Err(problem) => {
            document.add_error(members.at, format!("{what}: {problem}"), None);
            None
        }
    }
}

fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let digits = "ab".repeat(32);
        let with_colons = ["AB"; 32].join(":");
        assert_eq!(parse_fingerprint(&digits), Some([0xab; 32]));
        assert_eq!(parse_fingerprint(&with_colons), Some([0xab; 32]));
        for wrong in ["", "ab", "zz", &"ab".repeat(33), "SHA256 Fingerprint=AB"] {
            assert_eq!(parse_fingerprint(wrong), None, "{wrong}");
        }
    }
}
