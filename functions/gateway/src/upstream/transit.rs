//! Seals credentials for the provisioner (RFC 9180), to a key that it made for itself and that it proves to be its own.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{KeyInit as _, Mac as _};
use hpke::aead::ChaCha20Poly1305 as Aead;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _};
use schemas::ids::Timestamp;
use schemas::provisioner::{Sealed, TRANSIT_EXPORT, TransitKey, transit_info};
use zeroize::Zeroizing;

/// A key is asked for anew this long before it ends.
const MARGIN_MS: i64 = 10 * 60 * 1000;

/// The way to our provisioner, until shortly before its key ends.
#[derive(Debug, Default)]
pub(crate) struct Transit(RefCell<Option<Rc<Channel>>>);

/// A key of the provisioner, and what only it and we know.
pub(super) struct Channel {
    key: TransitKey,
    /// What tells the provisioner the secret.
    encapsulated: Vec<u8>,
    secret: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("key", &self.key.key_id).finish_non_exhaustive()
    }
}

impl Transit {
    pub(super) fn current(&self, now: Timestamp) -> Option<Rc<Channel>> {
        let channel = self.0.borrow().clone()?;
        channel.key.is_fresh(now.plus(MARGIN_MS)).then_some(channel)
    }

    pub(super) fn keep(&self, channel: Channel) -> Rc<Channel> {
        let channel = Rc::new(channel);
        *self.0.borrow_mut() = Some(Rc::clone(&channel));
        channel
    }

    /// The provisioner does not know its key any more.
    pub(super) fn forget(&self, channel: &Rc<Channel>) {
        self.0.borrow_mut().take_if(|current| Rc::ptr_eq(current, channel));
    }
}

/// Reads the answer to `GET /v1/key`, which must be to the request with this nonce.
///
/// # Errors
/// Says why nothing may be sealed to it.
pub(super) fn proven(
    shared: &[u8],
    nonce: &str,
    now: Timestamp,
    answer: &[u8],
) -> Result<TransitKey, &'static str> {
    let key: TransitKey = serde_json::from_slice(answer).map_err(|_| "its transit key is ill-formed")?;
    let mac = URL_SAFE_NO_PAD.decode(&key.mac).map_err(|_| "its transit key is ill-formed")?;
    let mut expected =
        hmac::Hmac::<sha2::Sha256>::new_from_slice(shared).map_err(|_| "there is no key to prove it with")?;
    expected.update(key.base(nonce).as_bytes());
    // In constant time.
    expected.verify_slice(&mac).map_err(|_| "its transit key is not proven to be its own")?;
    if !key.is_fresh(now) {
        return Err("its transit key is too old: check the clocks of gateway and provisioner");
    }
    Ok(key)
}

impl Channel {
    /// Agrees on a secret with whoever has the key.
    ///
    /// # Errors
    /// The key is none.
    pub(super) fn open(random: Random<'_>, key: TransitKey) -> Result<Self, &'static str> {
        let ill_formed = "its transit key is ill-formed";
        let public = URL_SAFE_NO_PAD.decode(&key.public_key).map_err(|_| ill_formed)?;
        let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&public).map_err(|_| ill_formed)?;
        let (encapsulated, context) = hpke::setup_sender_with_rng::<Aead, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            transit_info(&key.key_id).as_bytes(),
            &mut Randomness(random),
        )
        .map_err(|_| ill_formed)?;
        let mut secret = Zeroizing::new([0; 32]);
        context.export(TRANSIT_EXPORT, &mut *secret).map_err(|_| ill_formed)?;
        Ok(Self { key, encapsulated: encapsulated.to_bytes().to_vec(), secret })
    }

    /// Seals a text for one call: `base` is what the signature of that call covers.
    pub(super) fn seal(&self, random: Random<'_>, base: &str, plain: &[u8]) -> Result<Sealed, &'static str> {
        let mut nonce = [0; 24];
        random(&mut nonce);
        let sealed = XChaCha20Poly1305::new(&Key::from(*self.secret))
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: base.as_bytes() })
            .map_err(|_| "the credential could not be sealed")?;
        let text = [nonce.as_slice(), &sealed].concat();
        Ok(Sealed { key_id: self.key.key_id.clone(), encapsulated: self.encapsulated.clone(), text })
    }
}

/// The platform's randomness.
pub(super) type Random<'a> = &'a dyn Fn(&mut [u8]);

/// The same, as the library asks for it.
struct Randomness<'a>(Random<'a>);

impl TryRng for Randomness<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        (self.0)(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        (self.0)(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        (self.0)(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Randomness<'_> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SHARED: &[u8] = &[7; 32];
    const NOW: Timestamp = Timestamp(1_000_000_000);

    /// Never the same twice.
    fn random() -> impl Fn(&mut [u8]) {
        let drawn = Cell::new(0_u8);
        move |bytes: &mut [u8]| {
            for byte in bytes {
                drawn.set(drawn.get().wrapping_add(1));
                *byte = drawn.get();
            }
        }
    }

    fn pair() -> (<X25519HkdfSha256 as Kem>::PrivateKey, TransitKey) {
        let (private, public) = X25519HkdfSha256::derive_keypair(&[9; 32]);
        let mut key = TransitKey {
            key_id: "k".to_owned(),
            public_key: URL_SAFE_NO_PAD.encode(public.to_bytes()),
            made_at: NOW,
            expires_at: NOW.plus(24 * 60 * 60 * 1000),
            mac: String::new(),
        };
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SHARED).unwrap();
        mac.update(key.base("nonce").as_bytes());
        key.mac = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        (private, key)
    }

    fn told(key: &TransitKey) -> Vec<u8> {
        serde_json::to_vec(key).unwrap()
    }

    #[test]
    fn nothing_is_sealed_to_a_key_that_is_not_proven() {
        let (_, key) = pair();
        assert_eq!(proven(SHARED, "nonce", NOW, &told(&key)).unwrap(), key);
        let refused = |shared: &[u8], nonce: &str, now, key: &TransitKey| {
            proven(shared, nonce, now, &told(key)).unwrap_err();
        };
        refused(SHARED, "another", NOW, &key);
        refused(&[8; 32], "nonce", NOW, &key);
        refused(SHARED, "nonce", NOW.plus(24 * 60 * 60 * 1000), &key);
        refused(SHARED, "nonce", NOW, &TransitKey { key_id: "x".to_owned(), ..key.clone() });
        refused(
            SHARED,
            "nonce",
            NOW,
            &TransitKey { public_key: URL_SAFE_NO_PAD.encode([1; 32]), ..key.clone() },
        );
        refused(SHARED, "nonce", NOW, &TransitKey { expires_at: Timestamp(i64::MAX), ..key });
    }

    #[test]
    fn whoever_has_the_key_opens_it_with_the_call_it_is_for() {
        let (private, key) = pair();
        let random = random();
        let channel = Channel::open(&random, key).unwrap();
        let sealed = channel.seal(&random, "base", b"secret").unwrap();
        let again = channel.seal(&random, "base", b"secret").unwrap();
        assert_eq!(sealed.encapsulated, again.encapsulated);
        assert_ne!(sealed.text, again.text);
        let from = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&sealed.encapsulated).unwrap();
        let context = hpke::setup_receiver::<Aead, HkdfSha256, X25519HkdfSha256>(
            &hpke::OpModeR::Base,
            &private,
            &from,
            transit_info("k").as_bytes(),
        );
        let mut secret = [0; 32];
        context.unwrap().export(TRANSIT_EXPORT, &mut secret).unwrap();
        let (nonce, text) = sealed.text.split_first_chunk::<24>().unwrap();
        let open = |base: &str| {
            XChaCha20Poly1305::new(&Key::from(secret))
                .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: base.as_bytes() })
        };
        assert_eq!(open("base").unwrap(), b"secret");
        assert!(open("another").is_err());
        assert!(!format!("{channel:?}").contains("secret"));
    }

    #[test]
    fn a_channel_is_kept_until_shortly_before_its_key_ends_or_it_is_not_known() {
        let (_, key) = pair();
        let (transit, random) = (Transit::default(), random());
        let end = key.expires_at;
        let first = transit.keep(Channel::open(&random, key.clone()).unwrap());
        assert!(transit.current(end.plus(-MARGIN_MS - 1)).is_some());
        assert!(transit.current(end.plus(-MARGIN_MS)).is_none());
        let second = transit.keep(Channel::open(&random, key).unwrap());
        transit.forget(&first);
        assert!(
            transit.current(NOW).is_some(),
            "another call was told first, and has asked for the next already"
        );
        transit.forget(&second);
        assert!(transit.current(NOW).is_none());
    }
}
