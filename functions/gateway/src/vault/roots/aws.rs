//! A symmetric key of AWS KMS: `aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID`. Who asks needs `kms:Encrypt` and `kms:Decrypt`.

use bytes::Bytes;
use http::{Request, header};
use serde_json::json;
use url::Url;

use super::asking::{address, ask, decode, encode};
use super::sigv4::Signer;
use super::{KeyBytes, KeyWrapper, RootError, Whose, Wrapped, key_of};
use crate::platform::Platform;
use crate::secret::Secret;

/// The secrets with the credentials.
pub(super) const CREDENTIALS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", SESSION_TOKEN];
/// Of temporary credentials only.
pub(super) const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// Such a key.
#[derive(Debug)]
pub(super) struct AwsRoot {
    key_ref: String,
    arn: String,
    region: String,
    endpoint: Url,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    plaintext: Secret,
}

impl AwsRoot {
    /// The key of an ARN; at another endpoint than that of its region, if one is given.
    pub(super) fn parse(arn: &str, endpoint: Option<&str>) -> Result<Self, String> {
        let wrong = || format!("`{arn}` is no ARN of a key: `arn:aws:kms:REGION:ACCOUNT:key/ID`");
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "kms", region, _account, resource] = parts.as_slice() else {
            return Err(wrong());
        };
        let fits = |text: &str| {
            !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-/_".contains(&c))
        };
        if !(fits(partition) && fits(region) && fits(resource)) {
            return Err(wrong());
        }
        let domain = if *partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let usual = format!("https://kms.{region}.{domain}/");
        Ok(Self {
            key_ref: format!("aws-kms:{arn}"),
            arn: arn.to_owned(),
            region: (*region).to_owned(),
            endpoint: address(endpoint.unwrap_or(&usual))?,
        })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        platform: &impl Platform,
        operation: &str,
        body: &serde_json::Value,
    ) -> Result<T, RootError> {
        let away = |reason: String| RootError::Away { root: self.key_ref.clone(), reason };
        let [access_key, secret_key, session_token] = CREDENTIALS.map(|name| platform.secret(name));
        let missing = |name: &str| away(format!("secret `{name}` is missing"));
        let access_key = access_key.ok_or_else(|| missing("AWS_ACCESS_KEY_ID"))?;
        let secret_key = secret_key.ok_or_else(|| missing("AWS_SECRET_ACCESS_KEY"))?;
        let session_token = session_token.filter(|token| !token.expose().is_empty());
        let request = Request::post(self.endpoint.as_str())
            .header(header::HOST, self.endpoint.authority())
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{operation}"))
            .body(Bytes::from(body.to_string()))
            .map_err(|_| away("its address is none".to_owned()))?;
        let signer = Signer {
            access_key: access_key.expose().trim(),
            secret_key: &secret_key,
            session_token: session_token.as_ref(),
            region: &self.region,
            service: "kms",
        };
        let request = signer
            .sign(request, platform.now())
            .ok_or_else(|| away("the credentials of AWS are none".to_owned()))?;
        let words = |body: &serde_json::Value| {
            let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
            let message = text("message").or_else(|| text("Message")).unwrap_or_default();
            Some(format!("{} {message}", text("__type")?))
        };
        ask(platform, &self.key_ref, request, words).await
    }
}

/// The encryption context: authenticated with the key, and in `CloudTrail`.
fn context(whose: &Whose<'_>) -> serde_json::Value {
    json!({ "ambit:purpose": "tenant-key", "ambit:org": whose.org.as_str(), "ambit:version": whose.version.to_string() })
}

impl KeyWrapper for AwsRoot {
    fn key_ref(&self) -> &str {
        &self.key_ref
    }

    /// No generation: KMS rotates within a key, and does not tell.
    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        let body = json!({ "KeyId": self.arn, "Plaintext": encode(key.as_slice()).as_str(), "EncryptionContext": context(whose) });
        let Encrypted { ciphertext_blob } = self.ask(platform, "Encrypt", &body).await?;
        Ok(Wrapped { root: self.key_ref.clone(), text: ciphertext_blob })
    }

    /// Names the key: a ciphertext of another key that these credentials may use must not do.
    async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError> {
        let body =
            json!({ "KeyId": self.arn, "CiphertextBlob": wrapped, "EncryptionContext": context(whose) });
        let Decrypted { plaintext } = self.ask(platform, "Decrypt", &body).await?;
        key_of(&self.key_ref, decode(&plaintext))
    }
}
