//! `auth` and `oauth` of a server's entry.
//!
//! `auth` has the fields of Secure MCP Gateway, `oauth` those of Claude Code. The fields of OAuth may stand in either,
//! in either spelling (`client_id`, `clientId`).

use std::collections::BTreeMap;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::http::{
    holds_control_character, is_header_name, is_transport_header, secret_holds_control_character,
};
use super::{ServerVariables, ServersReader};
use crate::config::auth::{
    CREDENTIAL_PLACE, ClientPrivateKey, CredentialFormat, CredentialLocation, OAuthGrant, OAuthSettings,
    ServerAuth, SigningAlgorithm, StaticAuth, TokenEndpointAuthMethod,
};
use crate::config::document::{CheckedMembers, join_quoted, nearest_word};
use crate::config::fields;
use crate::config::snippet::escape_for_display;
use crate::config::url::HttpUrl;
use crate::config::variables::is_variable_name;
use crate::secret::{Secret, SecretReference};

/// How `credential_ref` refers to a variable.
const ENV_SCHEME: &str = "env://";
/// The header of a credential, by its lower-case name.
const AUTHORIZATION: &str = "authorization";

/// The word of `method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuthMethod {
    ApiKey,
    Bearer,
    Basic,
    OAuth2,
    Custom,
    None,
}

impl AuthMethod {
    const ALL: [Self; 6] = [Self::ApiKey, Self::Bearer, Self::Basic, Self::OAuth2, Self::Custom, Self::None];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::OAuth2 => "oauth2",
            Self::Custom => "custom",
            Self::None => "none",
        }
    }

    /// The header that carries its credential, unless `name` says otherwise.
    const fn header(self) -> &'static str {
        match self {
            Self::ApiKey => "x-api-key",
            Self::Bearer | Self::Basic | Self::OAuth2 | Self::Custom | Self::None => AUTHORIZATION,
        }
    }

    /// The format of its credential in a header, unless `format` says otherwise.
    fn header_format(self) -> CredentialFormat {
        match self {
            Self::Bearer | Self::OAuth2 => CredentialFormat::Prefix("Bearer ".to_owned()),
            Self::Basic => CredentialFormat::Basic,
            Self::ApiKey | Self::Custom | Self::None => CredentialFormat::Raw,
        }
    }
}

/// The word of `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatWord {
    Raw,
    Prefix,
    Template,
}

impl FormatWord {
    const ALL: [Self; 3] = [Self::Raw, Self::Prefix, Self::Template];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Prefix => "prefix",
            Self::Template => "template",
        }
    }
}

impl<'a> ServersReader<'_, 'a, '_> {
    /// Reads how a server is signed in to; none if a field is wrong. `headers` are those of the entry.
    pub(super) fn read_auth(
        &mut self,
        members: &CheckedMembers<'_, 'a>,
        headers: &BTreeMap<String, Secret>,
        given: &mut ServerVariables,
    ) -> Option<ServerAuth> {
        match (members.get("auth"), members.get("oauth")) {
            (None, None) if headers.contains_key(AUTHORIZATION) => Some(ServerAuth::None),
            (None, None) => Some(ServerAuth::default()),
            (Some(auth), Some(_)) => {
                let message = "a server has either `auth` or `oauth`";
                let hint = "`oauth` means the same as `auth` with \"method\": \"oauth2\"".to_owned();
                self.document.add_error(auth.start(), message.into(), Some(hint));
                None
            }
            (None, Some(oauth)) => {
                let fields = self.document.read_object(oauth, "`oauth`", &[fields::OAUTH])?;
                let settings = self.read_oauth(&fields, given)?;
                Some(ServerAuth::OAuth(Box::new(settings)))
            }
            (Some(auth), None) => {
                let fields = self.document.read_object(auth, "`auth`", &[fields::AUTH, fields::OAUTH])?;
                self.read_auth_fields(auth.start(), &fields, headers, given)
            }
        }
    }

    fn read_auth_fields(
        &mut self,
        at: usize,
        fields: &CheckedMembers<'_, 'a>,
        headers: &BTreeMap<String, Secret>,
        given: &mut ServerVariables,
    ) -> Option<ServerAuth> {
        let Some(method) = fields.get("method") else {
            let words = join_quoted(AuthMethod::ALL.map(AuthMethod::as_str));
            let hint = format!("the methods are {words}");
            self.document.add_error(at, "`auth` has no `method`".into(), Some(hint));
            return None;
        };
        let method = self.read_word(method, "`method`", AuthMethod::ALL, AuthMethod::as_str)?;
        let reference = self.either(fields, "credential_ref", "credentialRef");
        match method {
            AuthMethod::None => Some(ServerAuth::None),
            // With a token that is already there, it is a bearer token and nothing more.
            AuthMethod::OAuth2 if reference.is_none() => {
                Some(ServerAuth::OAuth(Box::new(self.read_oauth(fields, given)?)))
            }
            AuthMethod::ApiKey
            | AuthMethod::Bearer
            | AuthMethod::Basic
            | AuthMethod::OAuth2
            | AuthMethod::Custom => {
                let Some(reference) = reference else {
                    let hint = "write where the credential is, such as \"env://API_KEY\"".to_owned();
                    self.document.add_error(at, "`auth` has no `credential_ref`".into(), Some(hint));
                    return None;
                };
                self.read_static(method, reference, fields, headers, given).map(ServerAuth::Static)
            }
        }
    }

    fn read_static(
        &mut self,
        method: AuthMethod,
        reference: &Value<'a>,
        fields: &CheckedMembers<'_, 'a>,
        headers: &BTreeMap<String, Secret>,
        given: &mut ServerVariables,
    ) -> Option<StaticAuth> {
        let location = match fields.get("location") {
            None => CredentialLocation::Header,
            Some(word) => {
                self.read_word(word, "`location`", CredentialLocation::ALL, CredentialLocation::as_str)?
            }
        };
        let name = match fields.get("name") {
            Some(value) => {
                let name = self.document.read_string(value, "`name`")?;
                self.check_name(value.start(), location, name, headers)?
            }
            None if location == CredentialLocation::Header => {
                self.check_name(reference.start(), location, method.header(), headers)?
            }
            None => {
                let message = format!("`auth` needs a `name` for \"location\": \"{}\"", location.as_str());
                self.document.add_error(reference.start(), message, None);
                return None;
            }
        };
        let format = self.read_format(method, location, fields)?;
        let credential = self.read_credential(reference, given)?;
        let auth = StaticAuth { location, name, format, credential };
        if location == CredentialLocation::Header && secret_holds_control_character(&auth.credential) {
            let message = "the credential of `auth` holds a line break or another control character";
            self.document.add_error(reference.start(), message.into(), None);
            return None;
        }
        self.add_credential(&auth, reference.start(), given);
        Some(auth)
    }

    /// Checks a name, and returns it as it is sent.
    fn check_name(
        &mut self,
        at: usize,
        location: CredentialLocation,
        name: &str,
        headers: &BTreeMap<String, Secret>,
    ) -> Option<String> {
        let shown = escape_for_display(name);
        let problem = match location {
            CredentialLocation::Header if !is_header_name(name) => format!("`{shown}` cannot name a header"),
            CredentialLocation::Header if is_transport_header(name) => {
                format!("the header `{shown}` is set by the transport itself")
            }
            CredentialLocation::Header if headers.contains_key(&name.to_ascii_lowercase()) => {
                format!("`headers` and `auth` both set the header `{shown}`")
            }
            CredentialLocation::Header => return Some(name.to_ascii_lowercase()),
            CredentialLocation::Query | CredentialLocation::Body if name.is_empty() => {
                "`name` must not be empty".to_owned()
            }
            CredentialLocation::Query | CredentialLocation::Body => return Some(name.to_owned()),
        };
        self.document.add_error(at, problem, None);
        None
    }

    /// Reads the format. Without `format`, a `prefix` or a `template` tells it, and otherwise the method.
    fn read_format(
        &mut self,
        method: AuthMethod,
        location: CredentialLocation,
        fields: &CheckedMembers<'_, 'a>,
    ) -> Option<CredentialFormat> {
        let prefix = fields.get("prefix");
        let template = fields.get("template");
        let word = match (fields.get("format"), prefix, template) {
            (Some(word), ..) => self.read_word(word, "`format`", FormatWord::ALL, FormatWord::as_str)?,
            (None, None, None) if location == CredentialLocation::Header => {
                return Some(method.header_format());
            }
            (None, None, None) => FormatWord::Raw,
            (None, Some(_), None) => FormatWord::Prefix,
            (None, _, Some(_)) => FormatWord::Template,
        };
        let unused = match word {
            FormatWord::Raw => prefix.or(template),
            FormatWord::Prefix => template,
            FormatWord::Template => prefix,
        };
        if let Some(unused) = unused {
            let message = format!("this is not used with \"format\": \"{}\"", word.as_str());
            self.document.add_error(unused.start(), message, None);
            return None;
        }
        match (word, prefix, template) {
            (FormatWord::Raw, ..) => Some(CredentialFormat::Raw),
            (FormatWord::Prefix, Some(prefix), _) => {
                let text = self.document.read_string(prefix, "`prefix`")?;
                // As other gateways write it out: their credential is in base64 already, ours may be.
                if method == AuthMethod::Basic && text == "Basic " {
                    return Some(CredentialFormat::Basic);
                }
                self.check_format_text(prefix.start(), "`prefix`", text)?;
                Some(CredentialFormat::Prefix(text.to_owned()))
            }
            (FormatWord::Prefix, None, _) => match method.header_format() {
                CredentialFormat::Raw => {
                    let at = fields.get("format").map_or(fields.at, |word| word.start());
                    self.document.add_error(at, "`auth` has no `prefix`".into(), None);
                    None
                }
                usual => Some(usual),
            },
            (FormatWord::Template, _, Some(template)) => {
                let text = self.document.read_string(template, "`template`")?;
                self.check_format_text(template.start(), "`template`", text)?;
                if !text.contains(CREDENTIAL_PLACE) {
                    let message = format!("`template` must hold `{CREDENTIAL_PLACE}`");
                    self.document.add_error(template.start(), message, None);
                    return None;
                }
                Some(CredentialFormat::Template(text.to_owned()))
            }
            (FormatWord::Template, _, None) => {
                let at = fields.get("format").map_or(fields.at, |word| word.start());
                let hint = format!("write for instance \"template\": \"CustomToken {CREDENTIAL_PLACE}\"");
                self.document.add_error(at, "`auth` has no `template`".into(), Some(hint));
                None
            }
        }
    }

    fn check_format_text(&mut self, at: usize, what: &str, text: &str) -> Option<()> {
        if holds_control_character(text) {
            let message = format!("{what} holds a line break or another control character");
            self.document.add_error(at, message, None);
            return None;
        }
        Some(())
    }

    /// Reads a credential: `env://NAME`, a reference such as `secret://NAME`, a text with variables, or the credential itself, with a warning.
    fn read_credential(&mut self, value: &Value<'a>, given: &mut ServerVariables) -> Option<Secret> {
        let text = self.document.read_string(value, "`credential_ref`")?;
        if let Some(name) = text.strip_prefix(ENV_SCHEME) {
            if !is_variable_name(name) {
                let hint = "write the name of a variable, such as env://API_KEY".to_owned();
                let message = "`credential_ref` does not name a variable";
                self.document.add_error(value.start(), message.into(), Some(hint));
                return None;
            }
            let found = self.variables.non_empty(name);
            if found.is_none() {
                given.unset.push(name.to_owned());
            }
            return found;
        }
        match SecretReference::parse_url(text) {
            Some(Ok(reference)) => return Some(reference.to_secret()),
            Some(Err(error)) => {
                self.document.add_error(value.start(), format!("`credential_ref`: {error}"), None);
                return None;
            }
            None => {}
        }
        let text = self.read_secret_text(value, "`credential_ref`", given)?;
        if !text.unset.is_empty() {
            return None;
        }
        if text.text.expose().is_empty() {
            self.document.add_error(value.start(), "`credential_ref` must not be empty".into(), None);
            return None;
        }
        if text.sources.is_empty() && text.references.is_empty() {
            let message = "`credential_ref` holds the credential itself, in a file that others may read";
            let hint = "run `portero secret set NAME --keep`, and write secret://NAME here; or write it into the file .env \
                        beside this one, as API_KEY=…, and env://API_KEY here";
            self.document.add_warning(value.start(), message.into(), Some(hint.to_owned()));
        }
        Some(text.text)
    }

    /// Has a credential blanked in whatever the server says (N7): itself, and in the form that is sent.
    fn add_credential(&self, auth: &StaticAuth, at: usize, given: &mut ServerVariables) {
        // What a reference stands for isn't known here; the daemon has it blanked.
        if !auth.credential.has_references() {
            given.secrets.extend(auth.secrets().into_iter().map(|secret| (secret, at)));
        }
    }

    fn read_oauth(
        &mut self,
        fields: &CheckedMembers<'_, 'a>,
        given: &mut ServerVariables,
    ) -> Option<OAuthSettings> {
        // All fields are read before one of them ends it, so that all problems show at once.
        let grant = fields
            .get("grant")
            .map(|word| self.read_word(word, "`grant`", OAuthGrant::ALL, OAuthGrant::as_str));
        let client_id = self.either(fields, "client_id", "clientId");
        let client_id = client_id.map(|id| self.read_oauth_text(id, "`client_id`", given));
        let secret = self.either(fields, "client_secret", "clientSecret");
        let client_secret = secret.map(|secret| self.read_credential(secret, given));
        if let (Some(value), Some(Some(secret))) = (secret, &client_secret)
            && let Some(reference) = secret.references().next()
        {
            // A login begins before the server is reached, where references are looked up.
            self.document.refuse_reference(value.start(), "`client_secret`", &reference);
            return None;
        }
        if let (Some(value), Some(Some(secret))) = (secret, &client_secret) {
            given.secrets.push((secret.clone(), value.start()));
        }
        let method = self.either(fields, "token_endpoint_auth_method", "tokenEndpointAuthMethod");
        let method = method.map(|word| {
            let words = TokenEndpointAuthMethod::ALL;
            self.read_word(word, "`token_endpoint_auth_method`", words, TokenEndpointAuthMethod::as_str)
        });
        let key = self.either(fields, "private_key_file", "privateKeyFile");
        let key = key.map(|file| self.read_path(file, "`private_key_file`", given));
        let algorithm = self.either(fields, "private_key_algorithm", "privateKeyAlgorithm");
        let algorithm = algorithm.map(|word| {
            let words = SigningAlgorithm::ALL;
            self.read_word(word, "`private_key_algorithm`", words, SigningAlgorithm::as_str)
        });
        let scopes = fields.get("scopes").map(|scopes| self.read_scopes(scopes));
        let port = self.either(fields, "callback_port", "callbackPort");
        let callback_port = port.map(|port| self.read_port(port));
        let metadata_url = self.either(fields, "auth_server_metadata_url", "authServerMetadataUrl");
        let metadata_url = metadata_url.map(|url| self.read_metadata_url(url, "`authServerMetadataUrl`"));
        let client_metadata_url = self.either(fields, "client_metadata_url", "clientMetadataUrl");
        let client_metadata_url =
            client_metadata_url.map(|url| self.read_metadata_url(url, "`clientMetadataUrl`"));
        let settings = OAuthSettings {
            grant: optional(grant)?.unwrap_or_default(),
            client_id: optional(client_id)?,
            client_secret: optional(client_secret)?,
            token_endpoint_auth_method: optional(method)?,
            private_key: {
                let (file, algorithm) = (optional(key)?, optional(algorithm)?);
                file.map(|file| ClientPrivateKey { file, algorithm: algorithm.unwrap_or_default() })
            },
            scopes: optional(scopes)?,
            callback_port: optional(callback_port)?,
            metadata_url: optional(metadata_url)?,
            client_metadata_url: optional(client_metadata_url)?,
        };
        self.check_oauth(fields, &settings)?;
        Some(settings)
    }

    /// Finds what can't work together.
    fn check_oauth(&mut self, fields: &CheckedMembers<'_, 'a>, settings: &OAuthSettings) -> Option<()> {
        let method = settings.token_endpoint_auth_method;
        let has_client = settings.client_id.is_some() || settings.client_metadata_url.is_some();
        let wants_secret = matches!(
            method,
            Some(TokenEndpointAuthMethod::ClientSecretBasic | TokenEndpointAuthMethod::ClientSecretPost)
        );
        let can_sign_in = settings.client_secret.is_some() || settings.private_key.is_some();
        let problem =
            if method == Some(TokenEndpointAuthMethod::PrivateKeyJwt) && settings.private_key.is_none() {
                "\"private_key_jwt\" needs a `private_key_file`"
            } else if wants_secret && settings.client_secret.is_none() {
                "this `token_endpoint_auth_method` needs a `client_secret`"
            } else if can_sign_in && !has_client {
                "a `client_secret` or `private_key_file` needs the `client_id` that it belongs to"
            } else if settings.grant == OAuthGrant::ClientCredentials && !can_sign_in {
                "\"client_credentials\" needs a `client_secret` or a `private_key_file`"
            } else if settings.client_id.is_some() && settings.client_metadata_url.is_some() {
                "a client has either a `client_id` or a `client_metadata_url`, which is its id"
            } else {
                return Some(());
            };
        self.document.add_error(fields.at, problem.to_owned(), None);
        None
    }

    fn read_oauth_text(
        &mut self,
        value: &Value<'a>,
        what: &str,
        given: &mut ServerVariables,
    ) -> Option<String> {
        let text = self.read_text(value, what, given)?;
        if !text.unset.is_empty() {
            return None;
        }
        if text.text.expose().is_empty() {
            self.document.add_error(value.start(), format!("{what} must not be empty"), None);
            return None;
        }
        Some(text.text.expose().to_owned())
    }

    /// Reads scopes: a list, or a text with spaces between them as in Claude Code's `oauth`.
    fn read_scopes(&mut self, value: &Value<'a>) -> Option<Vec<String>> {
        let words: Vec<(usize, &str)> = match value {
            Value::StringLit(text) => {
                text.value.split_whitespace().map(|word| (value.start(), word)).collect()
            }
            _ => self.document.read_strings(Some(value), "`scopes`")?,
        };
        // RFC 6749, 3.3.
        let is_scope = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        };
        if let Some((at, _)) = words.iter().find(|(_, word)| !is_scope(word)) {
            self.document.add_error(*at, "this is no scope of OAuth".into(), None);
            return None;
        }
        Some(words.into_iter().map(|(_, word)| word.to_owned()).collect())
    }

    fn read_port(&mut self, value: &Value<'a>) -> Option<u16> {
        let number = self.document.read_number(Some(value), "`callback_port`", 1)?;
        let port = u16::try_from(number);
        if port.is_err() {
            self.document.add_error(value.start(), "`callback_port` must be at most 65535".into(), None);
        }
        port.ok()
    }

    fn read_metadata_url(&mut self, value: &Value<'a>, what: &str) -> Option<HttpUrl> {
        let text = self.document.read_string(value, what)?;
        match HttpUrl::parse(text) {
            Ok(url) if url.is_readable_by_others() => {
                self.document.add_error(value.start(), format!("{what} must begin with https://"), None);
                None
            }
            Ok(url) => Some(url),
            Err(error) => {
                self.document.add_error(value.start(), format!("{what}: {error}"), None);
                None
            }
        }
    }

    /// The value of a field that has two spellings. Both at once are an error.
    fn either<'v>(
        &mut self,
        fields: &CheckedMembers<'v, 'a>,
        one: &str,
        other: &str,
    ) -> Option<&'v Value<'a>> {
        let (first, second) = (fields.get(one), fields.get(other));
        if let (Some(_), Some(second)) = (first, second) {
            self.document.add_error(
                second.start(),
                format!("`{one}` and `{other}` are the same field"),
                None,
            );
        }
        first.or(second)
    }

    fn read_word<T: Copy, const N: usize>(
        &mut self,
        value: &Value<'a>,
        what: &str,
        all: [T; N],
        as_str: fn(T) -> &'static str,
    ) -> Option<T> {
        let word = self.document.read_string(value, what)?;
        let found = all.into_iter().find(|one| as_str(*one) == word);
        if found.is_none() {
            let words = all.map(as_str);
            let hint = nearest_word(word, words).map(|near| format!("did you mean `{near}`?"));
            let message = format!("unknown {what}; there are {}", join_quoted(words));
            self.document.add_error(value.start(), message, hint);
        }
        found
    }
}

/// What a field holds that may be missing; none if it is wrong.
fn optional<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}
