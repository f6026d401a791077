//! Passkeys (Web Authentication Level 3): a person proves to a device that it is them, and the device proves to us that it is the one
//! they registered, for this address and this attempt. We ask for discoverable credentials, user verification, and no attestation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;
use schemas::ids::{Sha256Hex, Timestamp};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::jwt::signed_by;
use super::session::only_cookie;
use crate::platform::Platform;
use crate::settings::Settings;
use crate::vault::{Purpose, Vault};

/// How long a challenge is good, in milliseconds.
const PATIENCE: i64 = 10 * 60 * 1000;
const COOKIE: &str = "__Host-ambit-passkey";
/// Flags of the authenticator data (§6.1): somebody was there, and it was them.
const PRESENT_AND_VERIFIED: u8 = 0x01 | 0x04;
/// And: it holds a new credential.
const ATTESTED: u8 = 0x40;
/// What comes before the point in a P-256 key (RFC 5480), and before an Ed25519 key (RFC 8410).
const P256: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";
const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// Why a passkey is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the page was open for too long, or was used before: open it again")]
    Challenge,
    #[error("the passkey was not used on this page")]
    Elsewhere,
    #[error("the device did not verify that it is you")]
    Unverified,
    #[error("what the browser sent is no passkey")]
    Malformed,
    #[error("this passkey signs nobody in here")]
    Unknown,
    #[error("this passkey was copied: remove it, and register a new one")]
    Copied,
}

/// What a passkey is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ceremony {
    /// To be registered (§7.1).
    Create,
    /// To sign somebody in (§7.2).
    Get,
}

impl Ceremony {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// What a browser signs, once. `place` says for whom and where.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Challenge {
    pub(crate) value: String,
    pub(crate) until: Timestamp,
}

impl Challenge {
    /// A new one.
    pub(crate) fn new(platform: &impl Platform) -> Self {
        let mut bytes = [0; 32];
        platform.fill_random(&mut bytes);
        Self { value: URL_SAFE_NO_PAD.encode(bytes), until: platform.now().plus(PATIENCE) }
    }

    /// The cookie that brings it back.
    pub(crate) fn cookie(&self, platform: &impl Platform, vault: &Vault, place: &str) -> Option<HeaderValue> {
        let text = serde_json::to_vec(self).ok()?;
        let sealed = vault.seal(platform, Purpose::SignIn, place.as_bytes(), &text)?;
        let seconds = PATIENCE / 1000;
        let line = format!("{COOKIE}={sealed}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
        HeaderValue::from_str(&line).ok()
    }

    /// The one that a browser brings back.
    pub(crate) fn resume(
        vault: &Vault,
        headers: &HeaderMap,
        place: &str,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let sealed = only_cookie(headers, COOKIE).ok_or(Refused::Challenge)?;
        let text = vault.open(Purpose::SignIn, place.as_bytes(), sealed).map_err(|_| Refused::Challenge)?;
        let challenge: Self = serde_json::from_slice(&text).map_err(|_| Refused::Challenge)?;
        if now < challenge.until { Ok(challenge) } else { Err(Refused::Challenge) }
    }
}

/// What a browser sends, in base64url.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) id: String,
    pub(crate) client_data: String,
    pub(crate) authenticator_data: String,
    /// Of a new credential: a `SubjectPublicKeyInfo` (§5.2.1.1).
    pub(crate) public_key: String,
    /// Of one that is used.
    pub(crate) signature: String,
}

/// A credential that is new, as it is kept.
#[derive(Debug)]
pub(crate) struct Registered {
    /// A JWK (RFC 7517).
    pub(crate) public_key: String,
    pub(crate) counter: u32,
}

/// What the browser says it did (§5.8.1).
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

fn decode(text: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Malformed)
}

impl Response {
    /// Checks what both ceremonies have in common, and answers the authenticator data and what of it was signed.
    fn check(
        &self,
        settings: &Settings,
        challenge: &Challenge,
        ceremony: Ceremony,
    ) -> Result<(Vec<u8>, Vec<u8>), Refused> {
        let said = decode(&self.client_data)?;
        let client: ClientData = serde_json::from_slice(&said).map_err(|_| Refused::Malformed)?;
        if !bool::from(client.challenge.as_bytes().ct_eq(challenge.value.as_bytes())) {
            return Err(Refused::Challenge);
        }
        if client.r#type != ceremony.word() || client.cross_origin || client.origin != settings.public_url {
            return Err(Refused::Elsewhere);
        }
        let data = decode(&self.authenticator_data)?;
        let party = settings.relying_party().ok_or(Refused::Elsewhere)?;
        let (hash, rest) = data.split_at_checked(32).ok_or(Refused::Malformed)?;
        if hash != Sha256::digest(party).as_slice() {
            return Err(Refused::Elsewhere);
        }
        let flags = *rest.first().ok_or(Refused::Malformed)?;
        if flags & PRESENT_AND_VERIFIED != PRESENT_AND_VERIFIED {
            return Err(Refused::Unverified);
        }
        if ceremony == Ceremony::Create && flags & ATTESTED == 0 {
            return Err(Refused::Malformed);
        }
        let mut signed = data.clone();
        signed.extend_from_slice(&Sha256::digest(&said));
        Ok((data, signed))
    }

    /// A new credential. Nobody vouches for its key but the browser: without attestation, nobody could.
    pub(crate) fn register(&self, settings: &Settings, challenge: &Challenge) -> Result<Registered, Refused> {
        let (data, _) = self.check(settings, challenge, Ceremony::Create)?;
        // After hash, flags and counter: the model (16), the length of the id (2), the id (§6.5.1).
        let rest = data.get(53..).ok_or(Refused::Malformed)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Refused::Malformed)?;
        let id = rest.get(..usize::from(u16::from_be_bytes(*length))).ok_or(Refused::Malformed)?;
        if id.is_empty() || id != decode(&self.id)? {
            return Err(Refused::Malformed);
        }
        let key = decode(&self.public_key)?;
        let public_key = jwk(&key).ok_or(Refused::Malformed)?;
        Ok(Registered { public_key, counter: counter(&data)? })
    }

    /// Whether a credential that is known signed this. Answers its counter.
    pub(crate) async fn verify<P: Platform>(
        &self,
        platform: &P,
        settings: &Settings,
        challenge: &Challenge,
        (public_key, known): (&str, u32),
    ) -> Result<u32, Refused> {
        let (data, signed) = self.check(settings, challenge, Ceremony::Get)?;
        let key: Jwk = serde_json::from_str(public_key).map_err(|_| Refused::Malformed)?;
        let signature = decode(&self.signature)?;
        let (algorithm, signature) = if public_key.contains("Ed25519") {
            (Algorithm::EdDSA, signature)
        } else {
            let signature = p256::ecdsa::Signature::from_der(&signature).map_err(|_| Refused::Malformed)?;
            (Algorithm::ES256, signature.to_bytes().to_vec())
        };
        if !signed_by(platform, algorithm, &key, &signed, &signature).await {
            return Err(Refused::Unknown);
        }
        // A counter that does not rise belongs to two devices; many devices have none (§6.1.1).
        let counter = counter(&data)?;
        if (counter != 0 || known != 0) && counter <= known { Err(Refused::Copied) } else { Ok(counter) }
    }
}

fn counter(data: &[u8]) -> Result<u32, Refused> {
    let bytes = data.get(33..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Refused::Malformed)?;
    Ok(u32::from_be_bytes(*bytes))
}

/// The key as a JWK; nothing if it is of another kind than we ask for.
fn jwk(key: &[u8]) -> Option<String> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    if let Some(point) = key.strip_prefix(P256) {
        let (x, y) = point.split_at_checked(32).filter(|(_, y)| y.len() == 32)?;
        p256::PublicKey::from_sec1_bytes(&[&[4], point].concat()).ok()?;
        return Some(json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) }).to_string());
    }
    let x = key.strip_prefix(ED25519).filter(|x| x.len() == 32)?;
    Some(json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x) }).to_string())
}

/// What a credential is known by: hashes are all of one length, ids are not.
pub(crate) fn hash(id: &str) -> String {
    Sha256Hex::of(id.as_bytes()).as_str().to_owned()
}
