//! A secret of the deployment as root key. `local` is `AMBIT_ROOT_KEY`, and the default.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use schemas::ids::hex;
use zeroize::Zeroizing;

use super::{KeyBytes, KeyWrapper, RootError, Whose, Wrapped, key_of};
use crate::platform::Platform;
use crate::settings::{ROOT_KEY, decode_key};

const NONCE: usize = 24;

/// A root key that is read anew from the platform at each use, so that there is no copy to wipe.
#[derive(Debug)]
pub(super) struct SecretRoot {
    key_ref: String,
    secret: String,
}

/// What is derived from a secret: the key that wraps, and a mark by which we know it again. The mark tells nothing of the key.
struct Derived {
    key: KeyBytes,
    mark: String,
}

impl SecretRoot {
    pub(super) fn local() -> Self {
        Self { key_ref: "local".to_owned(), secret: ROOT_KEY.to_owned() }
    }

    pub(super) fn named(name: &str) -> Self {
        Self { key_ref: format!("secret:{name}"), secret: name.to_owned() }
    }

    /// The name of the secret.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Whether the secret is there, and a key.
    pub(super) fn check(&self, platform: &impl Platform) -> Result<(), String> {
        self.derive(platform).map(drop).map_err(|why| format!("secret `{}` {why}", self.secret))
    }

    fn derive(&self, platform: &impl Platform) -> Result<Derived, &'static str> {
        let secret = platform.secret(&self.secret).ok_or("is missing")?;
        let bytes = Zeroizing::new(decode_key(&secret).ok_or("is not 32 bytes in base64url")?);
        let derivation = hkdf::Hkdf::<sha2::Sha256>::new(None, &bytes);
        let mut key = Zeroizing::new([0; 32]);
        let mut mark = [0; 6];
        derivation.expand(b"ambit/v1/vault/root", key.as_mut_slice()).map_err(|_| "can't be used")?;
        derivation.expand(b"ambit/v1/vault/mark", &mut mark).map_err(|_| "can't be used")?;
        Ok(Derived { key, mark: hex(&mark) })
    }

    fn derived(&self, platform: &impl Platform) -> Result<Derived, RootError> {
        let away = |why: &str| RootError::Away {
            root: self.key_ref.clone(),
            reason: format!("secret `{}` {why}", self.secret),
        };
        self.derive(platform).map_err(away)
    }
}

impl KeyWrapper for SecretRoot {
    fn key_ref(&self) -> &str {
        &self.key_ref
    }

    async fn wrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        key: &KeyBytes,
    ) -> Result<Wrapped, RootError> {
        let derived = self.derived(platform)?;
        let mut nonce = [0; NONCE];
        platform.fill_random(&mut nonce);
        let sealed = XChaCha20Poly1305::new(&Key::from(*derived.key))
            .encrypt(&XNonce::from(nonce), Payload { msg: key.as_slice(), aad: &whose.to_bytes() })
            .map_err(|_| RootError::Forged { root: self.key_ref.clone() })?;
        let text = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        Ok(Wrapped { root: format!("{}#{}", self.key_ref, derived.mark), text })
    }

    /// By its mark: so a secret that goes by another name now still unwraps.
    fn unwraps(&self, platform: &impl Platform, root: &str) -> bool {
        let mark = root
            .strip_prefix("local#")
            .or_else(|| root.strip_prefix("secret:")?.rsplit_once('#').map(|(_, mark)| mark));
        mark.is_some_and(|mark| self.derive(platform).is_ok_and(|derived| derived.mark == mark))
    }

    async fn unwrap(
        &self,
        platform: &impl Platform,
        whose: &Whose<'_>,
        wrapped: &str,
    ) -> Result<KeyBytes, RootError> {
        let derived = self.derived(platform)?;
        let forged = || RootError::Forged { root: self.key_ref.clone() };
        let bytes = URL_SAFE_NO_PAD.decode(wrapped).map_err(|_| forged())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or_else(forged)?;
        let key = XChaCha20Poly1305::new(&Key::from(*derived.key))
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &whose.to_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| forged())?;
        key_of(&self.key_ref, Some(key))
    }
}
