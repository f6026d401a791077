//! A symmetric key of Google Cloud KMS: `gcp-kms:projects/P/locations/L/keyRings/R/cryptoKeys/K`, with the JSON key of a service account
//! that may `useToEncrypt` and `useToDecrypt`.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use schemas::ids::Timestamp;
use serde_json::json;
use url::Url;

use super::asking::{address, ask, decode, encode};
use super::{KeyBytes, KeyWrapper, RootError, Whose, Wrapped, key_of};
use crate::platform::Platform;
use crate::secret::Secret;

/// The secret with the service account's key, the JSON text that Google hands out.
pub(super) const CREDENTIALS: &str = "GOOGLE_CREDENTIALS";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// An access token is not used in its last minute, in milliseconds.
const MARGIN: i64 = 60 * 1000;

/// Such a key.
#[derive(Debug)]
pub(super) struct GcpRoot {
    key_ref: String,
    /// Ends in the resource's name.
    resource: String,
    token: RefCell<Option<(Secret, Timestamp)>>,
}

/// What we need of a service account's key.
#[derive(serde::Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: Secret,
    private_key_id: Option<String>,
    token_uri: String,
}

#[derive(serde::Deserialize)]
struct Token {
    access_token: Secret,
    expires_in: i64,
}

#[derive(serde::Deserialize)]
struct Encrypted {
    /// Which version of the key it was.
    name: String,
    ciphertext: String,
}

#[derive(serde::Deserialize)]
struct Decrypted {
    plaintext: Secret,
}

impl GcpRoot {
    /// The key of that name; at another endpoint than the usual one, if one is given.
    pub(super) fn parse(name: &str, endpoint: Option<&str>) -> Result<Self, String> {
        let parts: Vec<&str> = name.split('/').collect();
        let fits = |text: &&str| {
            !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.:".contains(&c))
        };
        let ["projects", p, "locations", l, "keyRings", r, "cryptoKeys", k] = parts.as_slice() else {
            return Err(format!(
                "`{name}` is no name of a key: `projects/P/locations/L/keyRings/R/cryptoKeys/K`"
            ));
        };
        if ![p, l, r, k].into_iter().all(fits) {
            return Err(format!("`{name}` has letters that no name of a key has"));
        }
        let endpoint = address(endpoint.unwrap_or("https://cloudkms.googleapis.com/"))?;
        Ok(Self {
            key_ref: format!("gcp-kms:{name}"),
            resource: format!("{}/v1/{name}", endpoint.as_str().trim_end_matches('/')),
            token: RefCell::default(),
        })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        platform: &impl Platform,
        operation: &str,
        body: &serde_json::Value,
    ) -> Result<T, RootError> {
        let token = self.access_token(platform).await?;
        let bearer = format!("Bearer {}", token.expose());
        let mut bearer: HeaderValue = bearer.parse().map_err(|_| self.away("its access token is none"))?;
        bearer.set_sensitive(true);
        let request = Request::post(format!("{}:{operation}", self.resource))
            .header(header::AUTHORIZATION, bearer)
            .body(Bytes::from(body.to_string()))
            .map_err(|_| self.away("its address is none"))?;
        let words = |body: &serde_json::Value| Some(body.pointer("/error/message")?.as_str()?.to_owned());
        let answer = ask(platform, &self.key_ref, request, words).await;
        if matches!(answer, Err(RootError::Denied { .. })) {
            // It may be the token that is refused: the next one is new.
            self.token.take();
        }
        answer
    }

    /// A token of the service account (RFC 7523 §2.1), until it expires.
    async fn access_token(&self, platform: &impl Platform) -> Result<Secret, RootError> {
        let now = platform.now();
        let held = self.token.borrow().clone();
        if let Some((token, _)) = held.filter(|(_, until)| now < *until) {
            return Ok(token);
        }
        let credentials = platform
            .secret(CREDENTIALS)
            .ok_or_else(|| self.away("secret `GOOGLE_CREDENTIALS` is missing"))?;
        let account: ServiceAccount = serde_json::from_str(credentials.expose())
            .map_err(|_| self.away("secret `GOOGLE_CREDENTIALS` is no JSON key of a service account"))?;
        let url: Url = address(&account.token_uri).map_err(|why| self.away(&why))?;
        let assertion = assertion(&account, now)
            .ok_or_else(|| self.away("`private_key` in secret `GOOGLE_CREDENTIALS` is no RSA key in PEM"))?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &assertion)
            .finish();
        let request = Request::post(url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .map_err(|_| self.away("its token endpoint is no address"))?;
        let words = |body: &serde_json::Value| {
            Some(body.get("error_description").or_else(|| body.get("error"))?.as_str()?.to_owned())
        };
        let Token { access_token, expires_in } = ask(platform, &self.key_ref, request, words).await?;
        let until = now.plus(expires_in.saturating_mul(1000).saturating_sub(MARGIN));
        *self.token.borrow_mut() = Some((access_token.clone(), until));
        Ok(access_token)
    }

    fn away(&self, reason: &str) -> RootError {
        RootError::Away { root: self.key_ref.clone(), reason: reason.to_owned() }
    }
}

/// The service account's word for itself.
fn assertion(account: &ServiceAccount, now: Timestamp) -> Option<String> {
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(account.private_key.expose()).ok()?;
    let key = EncodingKey::from_rsa_der(key.to_pkcs1_der().ok()?.as_bytes());
    let header = Header { kid: account.private_key_id.clone(), ..Header::new(Algorithm::RS256) };
    let seconds = now.0 / 1000;
    let claims = json!({
        "iss": account.client_email, "scope": SCOPE, "aud": account.token_uri, "iat": seconds, "exp": seconds + 3600,
    });
    jsonwebtoken::encode(&header, &claims, &key).ok()
}

impl KeyWrapper for GcpRoot {
    fn key_ref(&self) -> &str {
        &self.key_ref
    }

    /// The generation is the number of the key's version.
    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        let body = json!({ "plaintext": encode(key.as_slice()).as_str(), "additionalAuthenticatedData": encode(&whose.to_bytes()).as_str() });
        let Encrypted { name, ciphertext } = self.ask(platform, "encrypt", &body).await?;
        let version = name.rsplit('/').next().unwrap_or_default();
        Ok(Wrapped { root: format!("{}#{version}", self.key_ref), text: ciphertext })
    }

    async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError> {
        let body = json!({ "ciphertext": wrapped, "additionalAuthenticatedData": encode(&whose.to_bytes()).as_str() });
        let Decrypted { plaintext } = self.ask(platform, "decrypt", &body).await?;
        key_of(&self.key_ref, decode(&plaintext))
    }
}
