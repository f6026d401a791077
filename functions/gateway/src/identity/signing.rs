//! The keys that sign access tokens: Ed25519 (RFC 8037), one a month, derived from the root key.
//!
//! Nothing is stored: a key is a function of the root key, the deployment's generation and the month, so every edge has the same one
//! without asking, and a dump of the database holds none. The next month's key is published a month ahead, the last month's until
//! its last token has expired. Raising the generation (`AMBIT_SIGNING_GENERATION`) replaces all of them at once, after a leak.

use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use schemas::ids::Timestamp;

use crate::vault::Vault;

/// How long a key signs, in milliseconds: 30 days.
const PERIOD: i64 = 30 * 24 * 60 * 60 * 1000;
/// How long a key stays published after its time, in milliseconds: longer than any access token lives.
const LINGER: i64 = 60 * 60 * 1000;
/// PKCS #8 of an Ed25519 private key (RFC 8410 §7) is this and the 32 bytes of the seed.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The keys of one moment.
#[derive(Debug, Clone)]
pub(crate) struct SigningKeys {
    slot: i64,
    current: Key,
    next: Key,
    last: Key,
}

#[derive(Debug, Clone)]
struct Key {
    kid: String,
    private: EncodingKey,
    public: Jwk,
}

impl SigningKeys {
    /// The keys of a moment.
    ///
    /// # Errors
    /// Never for a seed of 32 bytes; the crypto library keeps the last word.
    pub(crate) fn at(vault: &Vault, generation: u32, now: Timestamp) -> jsonwebtoken::errors::Result<Self> {
        let slot = now.0.div_euclid(PERIOD);
        let key = |slot| Key::derive(vault, generation, slot);
        Ok(Self { slot, current: key(slot)?, next: key(slot + 1)?, last: key(slot - 1)? })
    }

    /// Whether these are still the keys to use.
    pub(crate) fn hold(&self, now: Timestamp) -> bool {
        self.slot == now.0.div_euclid(PERIOD)
    }

    /// What signs now, and its id.
    pub(crate) fn current(&self) -> (&str, &EncodingKey) {
        (&self.current.kid, &self.current.private)
    }

    /// What a published key id verifies with.
    pub(crate) fn verifying(&self, kid: &str, now: Timestamp) -> Option<DecodingKey> {
        let key = self.published(now).into_iter().find(|key| key.kid == kid)?;
        DecodingKey::from_jwk(&key.public).ok()
    }

    /// The key set (RFC 7517 §5): public members only.
    pub(crate) fn key_set(&self, now: Timestamp) -> serde_json::Value {
        let keys: Vec<&Jwk> = self.published(now).into_iter().map(|key| &key.public).collect();
        serde_json::json!({ "keys": keys })
    }

    fn published(&self, now: Timestamp) -> Vec<&Key> {
        let into = now.0.rem_euclid(PERIOD);
        let mut keys = vec![&self.current, &self.next];
        if into < LINGER {
            keys.push(&self.last);
        }
        keys
    }
}

impl Key {
    fn derive(vault: &Vault, generation: u32, slot: i64) -> jsonwebtoken::errors::Result<Self> {
        let seed = vault.derive(&format!("ambit/v1/signing/{generation}/{slot}"));
        let private = EncodingKey::from_ed_der(&[&PKCS8[..], &seed].concat());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::EdDSA)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_operations = Some(vec![KeyOperations::Verify]);
        Ok(Self { kid, private, public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn keys(generation: u32, now: i64) -> SigningKeys {
        let vault = Vault::new(&Secret::new("A".repeat(43))).unwrap();
        SigningKeys::at(&vault, generation, Timestamp(now)).unwrap()
    }

    fn kids(keys: &SigningKeys, now: i64) -> Vec<String> {
        let set = keys.key_set(Timestamp(now));
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_last_until_its_tokens_are_gone() {
        let start = 700 * PERIOD;
        let (before, after) = (keys(0, start - 1), keys(0, start));
        assert!(!before.hold(Timestamp(start)));
        assert_eq!(kids(&before, start - 1)[1], after.current().0, "announced for a whole period");
        assert!(kids(&after, start).contains(&before.current().0.to_owned()), "its tokens still verify");
        assert!(after.verifying(before.current().0, Timestamp(start)).is_some());
        assert!(after.verifying(before.current().0, Timestamp(start + LINGER)).is_none());
        assert_ne!(keys(1, start).current().0, after.current().0, "another generation has other keys");
    }

    #[test]
    fn no_private_member_is_published() {
        let keys = keys(0, 0);
        for key in keys.key_set(Timestamp(0))["keys"].as_array().unwrap() {
            assert!(key.get("d").is_none() && key["alg"] == "EdDSA" && key["kty"] == "OKP", "{key}");
        }
    }
}
