//! Seals credentials for the provisioner (RFC 9180), to a key that it made for itself and that it proves to be its own.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{KeyInit as _, Mac as _};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _};
use schemas::ids::Timestamp;
use schemas::provisioner::{Sealed, TransitKey, transit_info};

use crate::platform::Platform;

/// A key is asked for anew this long before it ends.
const MARGIN_MS: i64 = 10 * 60 * 1000;

/// The key of our provisioner, until shortly before it ends.
#[derive(Debug, Default)]
pub(crate) struct TransitKeys(RefCell<Option<Rc<TransitKey>>>);

impl TransitKeys {
    pub(super) fn current(&self, now: Timestamp) -> Option<Rc<TransitKey>> {
        let key = self.0.borrow().clone()?;
        key.is_fresh(now.plus(MARGIN_MS)).then_some(key)
    }

    pub(super) fn keep(&self, key: TransitKey) -> Rc<TransitKey> {
        let key = Rc::new(key);
        *self.0.borrow_mut() = Some(Rc::clone(&key));
        key
    }

    /// The provisioner does not know it any more.
    pub(super) fn forget(&self, key_id: &str) {
        self.0.borrow_mut().take_if(|key| key.key_id == key_id);
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

/// Seals a text to a key, for one call: `base` is what the signature of that call covers.
pub(super) fn seal(
    platform: &impl Platform,
    key: &TransitKey,
    base: &str,
    plain: &[u8],
) -> Result<Sealed, &'static str> {
    let public = URL_SAFE_NO_PAD.decode(&key.public_key).map_err(|_| "its transit key is ill-formed")?;
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&public)
        .map_err(|_| "its transit key is ill-formed")?;
    let (encapsulated, text) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            transit_info(&key.key_id).as_bytes(),
            plain,
            base.as_bytes(),
            &mut Randomness(platform),
        )
        .map_err(|_| "the credential could not be sealed")?;
    Ok(Sealed { key_id: key.key_id.clone(), encapsulated: encapsulated.to_bytes().to_vec(), text })
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
