//! A key of the transit engine of Vault or `OpenBao`: `transit:https://host/v1/transit/keys/NAME`, with a token that may `encrypt` and
//! `decrypt` with it. Of a key type with associated data, which is the default (`aes256-gcm96`).

use bytes::Bytes;
use http::{HeaderValue, Request};
use serde_json::json;
use url::Url;

use super::asking::{address, ask, decode, encode};
use super::{KeyBytes, KeyWrapper, RootError, Whose, Wrapped, key_of};
use crate::platform::Platform;
use crate::secret::Secret;

/// The secret with the token.
pub(super) const TOKEN: &str = "AMBIT_VAULT_TOKEN";

/// Such a key.
#[derive(Debug)]
pub(super) struct TransitRoot {
    key_ref: String,
    /// Ends in `/encrypt/NAME`.
    encrypt: Url,
    decrypt: Url,
}

#[derive(serde::Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(serde::Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(serde::Deserialize)]
struct Decrypted {
    plaintext: Secret,
}

impl TransitRoot {
    /// The key at an address.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = address(text)?;
        let (mount, name) = url
            .path()
            .rsplit_once("/keys/")
            .filter(|(_, name)| !name.is_empty() && !name.contains('/'))
            .ok_or_else(|| format!("`{text}` does not end in `/v1/transit/keys/NAME`"))?;
        let to = |what: &str| {
            let mut to = url.clone();
            to.set_path(&format!("{mount}/{what}/{name}"));
            to
        };
        Ok(Self { key_ref: format!("transit:{url}"), encrypt: to("encrypt"), decrypt: to("decrypt") })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        platform: &impl Platform,
        url: &Url,
        body: &serde_json::Value,
    ) -> Result<T, RootError> {
        let away = |reason: &str| RootError::Away { root: self.key_ref.clone(), reason: reason.to_owned() };
        let token = platform.secret(TOKEN).ok_or_else(|| away("secret `AMBIT_VAULT_TOKEN` is missing"))?;
        let mut token: HeaderValue =
            token.expose().trim().parse().map_err(|_| away("secret `AMBIT_VAULT_TOKEN` is no token"))?;
        token.set_sensitive(true);
        let request = Request::post(url.as_str())
            .header("x-vault-token", token)
            // Asked for by proxies and agents of Vault that guard against forged requests.
            .header("x-vault-request", "true")
            .body(Bytes::from(body.to_string()))
            .map_err(|_| away("its address is none"))?;
        let words = |body: &serde_json::Value| body.get("errors").map(ToString::to_string);
        let answer: Answer<T> = ask(platform, &self.key_ref, request, words).await?;
        Ok(answer.data)
    }
}

impl KeyWrapper for TransitRoot {
    fn key_ref(&self) -> &str {
        &self.key_ref
    }

    /// The generation is the version of the key: `vault:v3:…` is of version 3.
    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        let body = json!({ "plaintext": encode(key.as_slice()).as_str(), "associated_data": encode(&whose.to_bytes()).as_str() });
        let Encrypted { ciphertext } = self.ask(platform, &self.encrypt, &body).await?;
        let version = ciphertext.split(':').nth(1).unwrap_or_default();
        Ok(Wrapped { root: format!("{}#{version}", self.key_ref), text: ciphertext })
    }

    async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError> {
        let body = json!({ "ciphertext": wrapped, "associated_data": encode(&whose.to_bytes()).as_str() });
        let Decrypted { plaintext } = self.ask(platform, &self.decrypt, &body).await?;
        key_of(&self.key_ref, decode(&plaintext))
    }
}
