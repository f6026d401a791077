//! Credentials come sealed (RFC 9180) to a key that lives in this process only. A restart forgets it, and the gateway asks for the
//! next one; who records traffic today opens nothing of it tomorrow.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hpke::aead::ChaCha20Poly1305 as Aead;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, Serializable as _};
use schemas::ids::{Timestamp, hex};
use schemas::provisioner::{Delivered, Sealed, TRANSIT_EXPORT, TransitKey, transit_info};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::signature::SharedKey;

/// How long a key opens what was sealed to it.
const LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;
/// How long it is handed out: what is sealed to it at the last moment still has as long again.
const HANDED_OUT_MS: i64 = LIFETIME_MS / 2;

/// Secrets that are kept per key: as many gateways speak to us at a time, or fewer. Who is forgotten is worked out again.
const CHANNELS: usize = 1024;

type Suite = X25519HkdfSha256;
/// What a gateway and we agreed on.
type Secret = Zeroizing<[u8; 32]>;

struct Pair {
    id: String,
    public: String,
    private: <Suite as Kem>::PrivateKey,
    made_at: Timestamp,
    /// By what the gateway encapsulated.
    channels: HashMap<Vec<u8>, Secret>,
}

/// The keys of this process, newest last.
#[derive(Default)]
pub(crate) struct Keys(Mutex<Vec<Pair>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Pair {
    fn make(now: Timestamp) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        let mut id = [0; 8];
        let drawn = getrandom::fill(&mut *seed).and_then(|()| getrandom::fill(&mut id));
        drawn
            .map_err(|error| Error::Malformed { reason: format!("there is no randomness here: {error}") })?;
        let (private, public) = Suite::derive_keypair(&*seed);
        let public = URL_SAFE_NO_PAD.encode(public.to_bytes());
        Ok(Self { id: hex(&id), public, private, made_at: now, channels: HashMap::new() })
    }

    /// What a gateway agreed on with us; nothing if it encapsulated nothing.
    fn secret(&mut self, encapsulated: &[u8]) -> Option<Secret> {
        if let Some(known) = self.channels.get(encapsulated) {
            return Some(known.clone());
        }
        let from = <Suite as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let info = transit_info(&self.id);
        let context = hpke::setup_receiver::<Aead, HkdfSha256, Suite>(
            &OpModeR::Base,
            &self.private,
            &from,
            info.as_bytes(),
        );
        let mut secret = Zeroizing::new([0; 32]);
        context.ok()?.export(TRANSIT_EXPORT, &mut *secret).ok()?;
        if self.channels.len() >= CHANNELS {
            self.channels.clear();
        }
        self.channels.insert(encapsulated.to_vec(), secret.clone());
        Some(secret)
    }
}

impl Keys {
    /// The key to seal to, proven to be ours: the MAC covers the nonce of the request that asked.
    pub(crate) fn hand_out(
        &self,
        shared: &SharedKey,
        nonce: &str,
        now: Timestamp,
    ) -> Result<TransitKey, Error> {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.retain(|pair| now.0.abs_diff(pair.made_at.0) < LIFETIME_MS.unsigned_abs());
        let current =
            pairs.iter().rfind(|pair| now.0.abs_diff(pair.made_at.0) < HANDED_OUT_MS.unsigned_abs());
        let mut key = if let Some(pair) = current {
            told(pair)
        } else {
            let pair = Pair::make(now)?;
            let key = told(&pair);
            pairs.push(pair);
            key
        };
        key.mac = shared.prove(&key.base(nonce));
        Ok(key)
    }

    /// Opens what came with a call. `base` is what the call's signature covers, without the credential.
    pub(crate) fn open(&self, header: &str, base: &str, now: Timestamp) -> Result<Delivered, Error> {
        let sealed = Sealed::parse(header)
            .map_err(|_| Error::WrongCredential { reason: "its header has another form".to_owned() })?;
        let foreign = || Error::WrongCredential { reason: "it was not sealed for this call".to_owned() };
        let secret = {
            let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let pair = pairs.iter_mut().find(|pair| pair.id == sealed.key_id);
            let pair = pair.filter(|pair| now.0.abs_diff(pair.made_at.0) < LIFETIME_MS.unsigned_abs());
            pair.ok_or(Error::UnknownKey)?.secret(&sealed.encapsulated).ok_or_else(foreign)?
        };
        let (nonce, text) = sealed.text.split_first_chunk::<24>().ok_or_else(foreign)?;
        let plain = XChaCha20Poly1305::new(&Key::from(*secret))
            .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: base.as_bytes() })
            .map_err(|_| foreign())?;
        let plain = Zeroizing::new(plain);
        Delivered::from_bytes(&plain).map_err(|error| Error::WrongCredential { reason: error.to_string() })
    }
}

fn told(pair: &Pair) -> TransitKey {
    TransitKey {
        key_id: pair.id.clone(),
        public_key: pair.public.clone(),
        made_at: pair.made_at,
        expires_at: pair.made_at.plus(LIFETIME_MS),
        mac: String::new(),
    }
}

/// The gateway's side, for tests and for whoever speaks to a provisioner without one.
pub struct Sender {
    key_id: String,
    encapsulated: Vec<u8>,
    secret: Secret,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender(..)")
    }
}

impl Sender {
    /// Agrees on a secret with whoever has the key.
    ///
    /// # Errors
    /// The key is none.
    pub fn new(key: &TransitKey) -> Result<Self, String> {
        let public = URL_SAFE_NO_PAD.decode(&key.public_key).map_err(|error| error.to_string())?;
        let public = <Suite as Kem>::PublicKey::from_bytes(&public).map_err(|error| error.to_string())?;
        let (encapsulated, context) = hpke::setup_sender_with_rng::<Aead, HkdfSha256, Suite>(
            &hpke::OpModeS::Base,
            &public,
            transit_info(&key.key_id).as_bytes(),
            &mut hpke::rand_core::UnwrapErr(getrandom::SysRng),
        )
        .map_err(|error| error.to_string())?;
        let mut secret = Zeroizing::new([0; 32]);
        context.export(TRANSIT_EXPORT, &mut *secret).map_err(|error| error.to_string())?;
        Ok(Self { key_id: key.key_id.clone(), encapsulated: encapsulated.to_bytes().to_vec(), secret })
    }

    /// Seals a credential for one call: `base` is what its signature covers.
    ///
    /// # Errors
    /// The credential has no form, or there is no randomness.
    pub fn seal(&self, base: &str, credential: &Delivered) -> Result<Sealed, String> {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let plain = credential.to_bytes().map_err(|error| error.to_string())?;
        let sealed = XChaCha20Poly1305::new(&Key::from(*self.secret))
            .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: base.as_bytes() })
            .map_err(|error| error.to_string())?;
        let text = [nonce.as_slice(), &sealed].concat();
        Ok(Sealed { key_id: self.key_id.clone(), encapsulated: self.encapsulated.clone(), text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::ids::ConnectionId;
    use schemas::provisioner::SecretText;

    const AT: Timestamp = Timestamp(1_000_000_000);

    fn credential() -> Delivered {
        let subject = ConnectionId::mint(Timestamp(1), [7; 10]);
        Delivered { subject, version: 3, until: None, token: SecretText::new("t".to_owned()), placed: vec![] }
    }

    #[test]
    fn it_opens_with_the_call_that_it_was_sealed_for_and_no_other() {
        let (keys, shared) = (Keys::default(), SharedKey::new([7; 32]));
        let key = keys.hand_out(&shared, "n", AT).unwrap();
        let sender = Sender::new(&key).unwrap();
        let header = sender.seal("base", &credential()).unwrap().header();
        assert_eq!(keys.open(&header, "base", AT).unwrap().version, 3);
        assert!(matches!(keys.open(&header, "other", AT), Err(Error::WrongCredential { .. })));
        for spoilt in [header.replace("key=", "key=0"), header.replace("v1", "v2"), header.clone() + "A"] {
            assert!(keys.open(&spoilt, "base", AT).is_err(), "{spoilt}");
        }
        assert!(matches!(Keys::default().open(&header, "base", AT), Err(Error::UnknownKey)), "another life");
        assert_ne!(header, sender.seal("base", &credential()).unwrap().header(), "never the same twice");
    }

    #[test]
    fn keys_overlap_and_end() {
        let (keys, shared) = (Keys::default(), SharedKey::new([7; 32]));
        let first = keys.hand_out(&shared, "n", AT).unwrap();
        let header = Sender::new(&first).unwrap().seal("base", &credential()).unwrap().header();
        let late = AT.plus(HANDED_OUT_MS);
        assert_eq!(keys.hand_out(&shared, "n", late.plus(-1)).unwrap().key_id, first.key_id);
        let second = keys.hand_out(&shared, "n", late).unwrap();
        assert_ne!(second.key_id, first.key_id);
        assert!(keys.open(&header, "base", AT.plus(LIFETIME_MS - 1)).is_ok());
        assert!(matches!(keys.open(&header, "base", AT.plus(LIFETIME_MS)), Err(Error::UnknownKey)));
        assert_eq!(first.mac, shared.prove(&first.base("n")));
        assert_ne!(first.mac, shared.prove(&first.base("m")), "an answer to another question");
    }
}
