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

use crate::platform::Platform;

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
    pub(super) fn open(platform: &impl Platform, key: TransitKey) -> Result<Self, &'static str> {
        let ill_formed = "its transit key is ill-formed";
        let public = URL_SAFE_NO_PAD.decode(&key.public_key).map_err(|_| ill_formed)?;
        let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&public).map_err(|_| ill_formed)?;
        let (encapsulated, context) = hpke::setup_sender_with_rng::<Aead, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            transit_info(&key.key_id).as_bytes(),
            &mut Randomness(platform),
        )
        .map_err(|_| ill_formed)?;
        let mut secret = Zeroizing::new([0; 32]);
        context.export(TRANSIT_EXPORT, &mut *secret).map_err(|_| ill_formed)?;
        Ok(Self { key, encapsulated: encapsulated.to_bytes().to_vec(), secret })
    }

    /// Seals a text for one call: `base` is what the signature of that call covers.
    pub(super) fn seal(
        &self,
        platform: &impl Platform,
        base: &str,
        plain: &[u8],
    ) -> Result<Sealed, &'static str> {
        let mut nonce = [0; 24];
        platform.fill_random(&mut nonce);
        let sealed = XChaCha20Poly1305::new(&Key::from(*self.secret))
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: base.as_bytes() })
            .map_err(|_| "the credential could not be sealed")?;
        let text = [nonce.as_slice(), &sealed].concat();
        Ok(Sealed { key_id: self.key.key_id.clone(), encapsulated: self.encapsulated.clone(), text })
    }
}

/// The platform's randomness, as the library asks for it.
struct Randomness<'a, P>(&'a P);

impl<P: Platform> TryRng for Randomness<'_, P> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill_random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill_random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_random(bytes);
        Ok(())
    }
}

impl<P: Platform> TryCryptoRng for Randomness<'_, P> {}
