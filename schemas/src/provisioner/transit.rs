//! The seal of a credential between the gateway and a provisioner. Whatever logs, queues or ends TLS in between holds a text that
//! opens with one call, there.
//!
//! HPKE (RFC 9180), base mode, with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305, from which both export (§5.3) one
//! key: two multiplications on the curve for all that a gateway sends to a key, and not for each call. With that key each
//! credential is sealed by XChaCha20-Poly1305 under a random nonce, which comes before the text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::{Sha256Hex, Timestamp};

/// Header of the data path with a sealed credential: `v1 key=<id>,enc=<base64url>,ct=<base64url>`.
pub const CREDENTIAL_HEADER: &str = "ambit-credential";
/// How old a transit key may be when something is sealed to it, in milliseconds, whatever it says of itself.
pub const TRANSIT_KEY_LIFETIME_MS: i64 = 48 * 60 * 60 * 1000;

/// What a signature covers when a sealed credential travels along. What the seal itself is bound to is `base`: method, path
/// (hence the workload), time, nonce and body, so that it opens with no other call.
pub fn signature_base_with_credential(base: &str, header: &str) -> String {
    format!("{base}\n{}", Sha256Hex::of(header.as_bytes()).as_str())
}

/// What the exported key is for (RFC 9180 §5.3, `exporter_context`).
pub const TRANSIT_EXPORT: &[u8] = b"ambit/v1/credential";

/// HPKE's `info`: what this seal is for, and for which key.
pub fn transit_info(key_id: &str) -> String {
    format!("ambit/v1/credential-transit\n{key_id}")
}

/// The public half of a key that a provisioner made for itself, answered to `GET /v1/key`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct TransitKey {
    /// Its name.
    pub key_id: String,
    /// 32 bytes of X25519, in base64url.
    pub public_key: String,
    /// When it was made, by the provisioner's clock.
    pub made_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
    /// HMAC-SHA256 over [`TransitKey::base`] with the key that both share, in base64url: the answer is to this very request,
    /// and of whom we think.
    pub mac: String,
}

impl TransitKey {
    /// What the MAC covers. The nonce is that of the request's signature.
    pub fn base(&self, nonce: &str) -> String {
        let Self { key_id, public_key, made_at, expires_at, mac: _ } = self;
        format!("ambit-key-v1\n{nonce}\n{key_id}\n{public_key}\n{}\n{}", made_at.0, expires_at.0)
    }

    /// Whether something may be sealed to it.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.expires_at && now.0.abs_diff(self.made_at.0) < TRANSIT_KEY_LIFETIME_MS.unsigned_abs()
    }
}

/// A sealed credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The key that opens it.
    pub key_id: String,
    /// The encapsulated key.
    pub encapsulated: Vec<u8>,
    /// 24 bytes of nonce, then the sealed text with its tag.
    pub text: Vec<u8>,
}

impl Sealed {
    /// The value of [`CREDENTIAL_HEADER`].
    pub fn header(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!("v1 key={},enc={},ct={}", self.key_id, encode(&self.encapsulated), encode(&self.text))
    }

    /// Takes a header apart.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(header: &str) -> Result<Self, crate::ParseError> {
        let parse = || {
            let mut parts = header.strip_prefix("v1 ")?.split(',');
            let mut field = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
            let key_id = field("key")?.to_owned();
            let encapsulated = URL_SAFE_NO_PAD.decode(field("enc")?).ok()?;
            let text = URL_SAFE_NO_PAD.decode(field("ct")?).ok()?;
            parts.next().is_none().then_some(Self { key_id, encapsulated, text })
        };
        parse().ok_or_else(|| {
            crate::ParseError::new(
                "sealed credential",
                header,
                "`v1 key=<id>,enc=<base64url>,ct=<base64url>`",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_credential_reads_as_it_is_written() {
        let sealed = Sealed { key_id: "k1".to_owned(), encapsulated: vec![1; 32], text: vec![2; 40] };
        assert_eq!(Sealed::parse(&sealed.header()).unwrap(), sealed);
        for bad in ["", "v1 key=a", "v1 key=a,enc=!,ct=", "v2 key=a,enc=,ct=", "v1 key=a,enc=,ct=,x=1"] {
            assert!(Sealed::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_old_key_is_refused_whatever_it_says() {
        let key = TransitKey {
            key_id: "k".to_owned(),
            public_key: String::new(),
            made_at: Timestamp(0),
            expires_at: Timestamp(i64::MAX),
            mac: String::new(),
        };
        assert!(key.is_fresh(Timestamp(TRANSIT_KEY_LIFETIME_MS - 1)));
        assert!(!key.is_fresh(Timestamp(TRANSIT_KEY_LIFETIME_MS)));
        assert!(!key.is_fresh(Timestamp(-TRANSIT_KEY_LIFETIME_MS)), "made in the future");
        assert!(!TransitKey { expires_at: Timestamp(9), ..key }.is_fresh(Timestamp(9)));
    }
}
