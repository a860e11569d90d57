//! How the parts of a kept login are written that have no such form of their own.

/// Writes secrets into the record, which is itself a secret.
pub(super) mod optional_secret {
    use portero::secret::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::oauth) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_some(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub(in crate::oauth) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret>, D::Error> {
        Option::deserialize(from)
    }
}

/// Methods by the names of RFC 7591.
pub(super) mod auth_method {
    use portero::config::TokenEndpointAuthMethod;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::oauth) fn serialize<S: Serializer>(
        method: &TokenEndpointAuthMethod,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(method.as_str())
    }

    pub(in crate::oauth) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<TokenEndpointAuthMethod, D::Error> {
        let name = String::deserialize(from)?;
        let known = TokenEndpointAuthMethod::ALL.into_iter().find(|method| method.as_str() == name);
        known.ok_or_else(|| serde::de::Error::custom("an unknown method"))
    }
}
