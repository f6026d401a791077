//! What a client says of itself (RFC 7591 §2), checked once, on its way in.

use jsonwebtoken::jwk::JwkSet;

use super::redirect::{self, Place};

/// The most redirect URIs a client may have.
const REDIRECTS: usize = 10;
/// The longest name or address, in bytes.
const LONGEST: usize = 2048;

/// How a client proves at the token endpoint that it is itself (RFC 7591 §2, `token_endpoint_auth_method`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// It can't: a public client.
    None,
    /// Its secret, by HTTP Basic (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// Its secret, in the body.
    ClientSecretPost,
    /// A JWT that its own key signed (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl Method {
    /// All of them, as metadata tells them.
    pub(crate) const ALL: [&str; 4] =
        ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];

    /// Whether it has a secret that we keep a hash of.
    pub(crate) fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// Metadata of a client. Members that we make no use of are not kept.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_name: Option<String>,
    /// Shown as text, never fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_uri: Option<String>,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_endpoint_auth_method: Option<Method>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) application_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jwks: Option<JwkSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jwks_uri: Option<String>,
}

/// Why metadata is no good, with the error code of RFC 7591 §3.2.2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct BadMetadata {
    pub(crate) code: &'static str,
    pub(crate) why: String,
}

fn bad(code: &'static str, why: impl Into<String>) -> BadMetadata {
    BadMetadata { code, why: why.into() }
}

impl Metadata {
    /// Reads and checks what a client says.
    ///
    /// # Errors
    /// It makes no sense, or asks for what is not done here.
    pub(crate) fn read(json: &[u8]) -> Result<Self, BadMetadata> {
        // An object, and not an array of members in order, which serde would take for one.
        let metadata = serde_json::from_slice::<serde_json::Map<_, _>>(json)
            .and_then(|members| serde_json::from_value::<Self>(serde_json::Value::Object(members)))
            .map_err(|error| bad("invalid_client_metadata", format!("it is no client metadata: {error}")))?;
        metadata.check()?;
        Ok(metadata)
    }

    /// How it proves itself; a client that does not say has a secret for Basic (RFC 7591 §2), or if it has none it is public.
    pub(crate) fn method(&self) -> Method {
        self.token_endpoint_auth_method.unwrap_or(Method::ClientSecretBasic)
    }

    /// Whether it said that it uses this grant. One that said nothing uses codes (RFC 7591 §2), and may refresh.
    pub(crate) fn uses(&self, grant: &str) -> bool {
        match &self.grant_types {
            Some(grants) => grants.iter().any(|one| one == grant),
            None => matches!(grant, "authorization_code" | "refresh_token"),
        }
    }

    /// Checks everything that can be checked without asking anybody.
    pub(crate) fn check(&self) -> Result<(), BadMetadata> {
        let texts = [&self.client_name, &self.client_uri, &self.scope, &self.jwks_uri];
        if texts.into_iter().flatten().chain(&self.redirect_uris).any(|text| text.len() > LONGEST) {
            return Err(bad("invalid_client_metadata", format!("a member is longer than {LONGEST} bytes")));
        }
        if self.redirect_uris.len() > REDIRECTS {
            return Err(bad("invalid_redirect_uri", format!("a client may have {REDIRECTS} redirect URIs")));
        }
        if self.uses("authorization_code") && self.redirect_uris.is_empty() {
            return Err(bad("invalid_redirect_uri", "`redirect_uris` is missing"));
        }
        for uri in &self.redirect_uris {
            self.check_redirect(uri)?;
        }
        if let Some(other) = self.response_types.iter().flatten().find(|kind| *kind != "code") {
            return Err(bad(
                "invalid_client_metadata",
                format!("response type `{other}` is not served: use `code`"),
            ));
        }
        match (self.method(), self.jwks.is_some(), self.jwks_uri.is_some()) {
            (_, true, true) => {
                Err(bad("invalid_client_metadata", "`jwks` and `jwks_uri` can't both be there"))
            }
            (Method::PrivateKeyJwt, false, false) => {
                Err(bad("invalid_client_metadata", "`private_key_jwt` needs `jwks` or `jwks_uri`"))
            }
            _ => Ok(()),
        }
    }

    fn check_redirect(&self, uri: &str) -> Result<(), BadMetadata> {
        let refuse = |why: &str| Err(bad("invalid_redirect_uri", format!("redirect URI `{uri}`: {why}")));
        match (redirect::place(uri), self.application_type.as_deref()) {
            (None, _) => refuse("use https, or http on loopback; no fragment, no user name"),
            (Some(Place::Loopback | Place::Scheme), Some("web")) => {
                refuse("an `application_type` of `web` listens on https only: say `native`")
            }
            _ => Ok(()),
        }
    }

    /// What our own command line would say of itself.
    pub(super) fn command_line() -> Self {
        Self {
            client_name: Some("Ambit command line".to_owned()),
            redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
            token_endpoint_auth_method: Some(Method::None),
            application_type: Some("native".to_owned()),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_checked() {
        let read = |json: &str| Metadata::read(json.as_bytes());
        let good = read(r#"{"redirect_uris":["http://localhost:1/cb"],"client_name":"x","software_id":"y","token_endpoint_auth_method":"none"}"#).unwrap();
        assert_eq!(good.method(), Method::None);
        assert!(good.uses("refresh_token") && !good.uses("client_credentials"));
        for (json, code) in [
            (r#"{"redirect_uris":[]}"#, "invalid_redirect_uri"),
            (r#"{"redirect_uris":["javascript://x/%0aalert(1)"]}"#, "invalid_redirect_uri"),
            (r#"{"redirect_uris":["http://app.example/cb"]}"#, "invalid_redirect_uri"),
            (r#"{"redirect_uris":["http://localhost/cb"],"application_type":"web"}"#, "invalid_redirect_uri"),
            (
                r#"{"redirect_uris":["https://a.example/cb"],"response_types":["token"]}"#,
                "invalid_client_metadata",
            ),
            (
                r#"{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}"#,
                "invalid_client_metadata",
            ),
            (
                r#"{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"tls_client_auth"}"#,
                "invalid_client_metadata",
            ),
            (r#"{"redirect_uris":"https://a.example/cb"}"#, "invalid_client_metadata"),
            ("[]", "invalid_client_metadata"),
        ] {
            assert_eq!(read(json).unwrap_err().code, code, "{json}");
        }
        assert!(read(r#"{"grant_types":["client_credentials"]}"#).is_ok(), "nobody is redirected");
    }
}
