//! Only the gateway may call: each request is signed with a shared key, for half a minute, once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use schemas::ids::{Sha256Hex, Timestamp};
use schemas::provisioner::{SIGNATURE_LIFETIME_MS, signature_base, signature_base_with_credential};
use sha2::Sha256;

/// The key the gateway and this provisioner share.
#[derive(Clone)]
pub struct SharedKey([u8; 32]);

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

/// The key file holds something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a shared key is 32 bytes, raw or as base64url: make one with `head -c 32 /dev/urandom`")]
pub struct BadKey;

impl SharedKey {
    /// A key of 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the content of a key file: 32 raw bytes, or the same as base64url.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(content: &[u8]) -> Result<Self, BadKey> {
        if let Ok(bytes) = <[u8; 32]>::try_from(content) {
            return Ok(Self(bytes));
        }
        let text = std::str::from_utf8(content).map_err(|_| BadKey)?.trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadKey)?;
        Ok(Self(bytes.try_into().map_err(|_| BadKey)?))
    }

    fn mac(&self, base: &str) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length: this cannot fail, and where it did, nothing would verify.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(base.as_bytes());
        Some(mac)
    }

    /// The value of the signature header for a request. The nonce is 16 random bytes.
    pub fn sign(&self, method: &str, path: &str, body: &[u8], at: Timestamp, nonce: [u8; 16]) -> String {
        let nonce = URL_SAFE_NO_PAD.encode(nonce);
        let base = signature_base(method, path, at, &nonce, Sha256Hex::of(body).as_str());
        format!("v1 ts={},nonce={nonce},mac={}", at.0, self.prove(&base))
    }

    /// The same for a request with a sealed credential: the value of its header.
    pub fn sign_with(&self, base: &str, credential: &str, at: Timestamp, nonce: [u8; 16]) -> String {
        let mac = self.prove(&signature_base_with_credential(base, credential));
        format!("v1 ts={},nonce={},mac={mac}", at.0, URL_SAFE_NO_PAD.encode(nonce))
    }

    /// The MAC of a text, in base64url.
    pub(crate) fn prove(&self, base: &str) -> String {
        self.mac(base).map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())).unwrap_or_default()
    }
}

/// Why a request is not believed. Which it is goes to the log; the caller learns only that it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No header.
    #[error("the request is not signed")]
    Missing,
    /// The header has another form.
    #[error("the signature header is not `v1 ts=...,nonce=...,mac=...`")]
    Malformed,
    /// Too old, or from the future.
    #[error("the signature is more than 30 s off our clock: check the clocks of gateway and provisioner")]
    Stale,
    /// Another key, body, path or method.
    #[error("the signature does not fit the request")]
    Wrong,
    /// Seen before.
    #[error("the signature was used before")]
    Replayed,
}

/// A signature header, taken apart but not yet believed.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    at: Timestamp,
    nonce: &'a str,
    mac: [u8; 32],
}

impl<'a> Claim<'a> {
    /// What no other request has.
    pub fn nonce(&self) -> &'a str {
        self.nonce
    }

    /// Takes a header apart.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(header: &'a str) -> Result<Self, Refusal> {
        let fields = header.strip_prefix("v1 ").ok_or(Refusal::Malformed)?;
        let mut parts = fields.split(',');
        let mut field = |name: &str| {
            parts
                .next()
                .and_then(|part| part.strip_prefix(name))
                .and_then(|part| part.strip_prefix('='))
                .ok_or(Refusal::Malformed)
        };
        let at = Timestamp(field("ts")?.parse().map_err(|_| Refusal::Malformed)?);
        let nonce = field("nonce")?;
        let mac = URL_SAFE_NO_PAD.decode(field("mac")?).map_err(|_| Refusal::Malformed)?;
        if nonce.len() != 22 || parts.next().is_some() {
            return Err(Refusal::Malformed);
        }
        Ok(Self { at, nonce, mac: mac.try_into().map_err(|_| Refusal::Malformed)? })
    }

    /// Whether the time stamp is near enough to ours: asked before a body is read.
    ///
    /// # Errors
    /// When it is not.
    pub fn fresh(&self, now: Timestamp) -> Result<(), Refusal> {
        let off = now.0.abs_diff(self.at.0);
        if off > SIGNATURE_LIFETIME_MS.unsigned_abs() { Err(Refusal::Stale) } else { Ok(()) }
    }
}

/// Checks signatures and remembers nonces for as long as they could be used again.
#[derive(Debug)]
pub struct Verifier {
    key: SharedKey,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    until: HashMap<Box<str>, i64>,
    swept: i64,
}

impl Verifier {
    /// A verifier for one key.
    pub fn new(key: SharedKey) -> Self {
        Self { key, seen: Mutex::new(Seen::default()) }
    }

    /// The key itself.
    pub(crate) fn key(&self) -> &SharedKey {
        &self.key
    }

    /// Believes a claim about a request, once. What it covers is answered: a credential that came along is sealed for that.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn verify(
        &self,
        claim: &Claim<'_>,
        method: &str,
        path: &str,
        body: &[u8],
        credential: Option<&str>,
        now: Timestamp,
    ) -> Result<String, Refusal> {
        claim.fresh(now)?;
        let base = signature_base(method, path, claim.at, claim.nonce, Sha256Hex::of(body).as_str());
        let signed = credential.map(|header| signature_base_with_credential(&base, header));
        let mac = self.key.mac(signed.as_deref().unwrap_or(&base)).ok_or(Refusal::Wrong)?;
        // `verify_slice` compares in constant time.
        mac.verify_slice(&claim.mac).map_err(|_| Refusal::Wrong)?;
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now.0.abs_diff(seen.swept) > SIGNATURE_LIFETIME_MS.unsigned_abs() {
            seen.until.retain(|_, until| *until >= now.0);
            seen.swept = now.0;
        }
        let until = claim.at.plus(SIGNATURE_LIFETIME_MS).0;
        if seen.until.insert(claim.nonce.into(), until).is_some() { Err(Refusal::Replayed) } else { Ok(base) }
    }
}

/// Our clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(1_000_000);

    fn verdict(header: &str, method: &str, path: &str, body: &[u8], now: Timestamp) -> Result<(), Refusal> {
        let verifier = Verifier::new(SharedKey::new([7; 32]));
        verifier.verify(&Claim::parse(header)?, method, path, body, None, now).map(drop)
    }

    #[test]
    fn binds_method_path_body_key_and_time() {
        let header = SharedKey::new([7; 32]).sign("POST", "/v1/workloads/a/mcp", b"{}", AT, [1; 16]);
        assert_eq!(verdict(&header, "POST", "/v1/workloads/a/mcp", b"{}", AT.plus(30_000)), Ok(()));
        assert_eq!(verdict(&header, "PUT", "/v1/workloads/a/mcp", b"{}", AT), Err(Refusal::Wrong));
        assert_eq!(verdict(&header, "POST", "/v1/workloads/b/mcp", b"{}", AT), Err(Refusal::Wrong));
        assert_eq!(verdict(&header, "POST", "/v1/workloads/a/mcp?x", b"{}", AT), Err(Refusal::Wrong));
        assert_eq!(verdict(&header, "POST", "/v1/workloads/a/mcp", b"{ }", AT), Err(Refusal::Wrong));
        assert_eq!(
            verdict(&header, "POST", "/v1/workloads/a/mcp", b"{}", AT.plus(30_001)),
            Err(Refusal::Stale)
        );
        assert_eq!(
            verdict(&header, "POST", "/v1/workloads/a/mcp", b"{}", AT.plus(-30_001)),
            Err(Refusal::Stale)
        );
        let other = SharedKey::new([8; 32]).sign("POST", "/v1/workloads/a/mcp", b"{}", AT, [1; 16]);
        assert_eq!(verdict(&other, "POST", "/v1/workloads/a/mcp", b"{}", AT), Err(Refusal::Wrong));
    }

    #[test]
    fn a_credential_is_neither_added_nor_taken_away_nor_exchanged() {
        let key = SharedKey::new([7; 32]);
        let base =
            signature_base("POST", "/x", AT, &URL_SAFE_NO_PAD.encode([1; 16]), Sha256Hex::of(b"{}").as_str());
        let (with, without) =
            (key.sign_with(&base, "c", AT, [1; 16]), key.sign("POST", "/x", b"{}", AT, [1; 16]));
        let verdict = |header: &str, credential| {
            let claim = Claim::parse(header).unwrap();
            Verifier::new(key.clone()).verify(&claim, "POST", "/x", b"{}", credential, AT)
        };
        assert_eq!(verdict(&with, Some("c")), Ok(base.clone()));
        assert_eq!(verdict(&without, None), Ok(base));
        for (header, credential) in [(&with, None), (&with, Some("d")), (&without, Some("c"))] {
            assert_eq!(verdict(header, credential), Err(Refusal::Wrong));
        }
    }

    #[test]
    fn a_nonce_works_once_for_all_its_life() {
        let key = SharedKey::new([7; 32]);
        let verifier = Verifier::new(key.clone());
        let header = key.sign("GET", "/v1/status", b"", AT, [1; 16]);
        let again = |now| {
            let claim = Claim::parse(&header).unwrap();
            verifier.verify(&claim, "GET", "/v1/status", b"", None, now).map(drop)
        };
        assert_eq!(again(AT.plus(-30_000)), Ok(()));
        assert_eq!(again(AT), Err(Refusal::Replayed));
        assert_eq!(
            again(AT.plus(30_000)),
            Err(Refusal::Replayed),
            "swept, but not forgotten while it could be used"
        );
        assert_eq!(again(AT.plus(30_001)), Err(Refusal::Stale));
    }

    #[test]
    fn forms() {
        for bad in
            ["", "v1", "v1 ts=1", "v2 ts=1,nonce=a,mac=b", "v1 ts=x,nonce=a,mac=b", "v1 nonce=a,ts=1,mac=b"]
        {
            assert!(Claim::parse(bad).is_err(), "{bad}");
        }
        assert!(SharedKey::parse(&[1; 32]).is_ok());
        assert!(SharedKey::parse(format!("{}\n", URL_SAFE_NO_PAD.encode([1; 32])).as_bytes()).is_ok());
        assert!(SharedKey::parse(b"short").is_err());
        assert_eq!(format!("{:?}", SharedKey::new([1; 32])), "SharedKey(..)");
    }
}
