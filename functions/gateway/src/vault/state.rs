//! Sealed state: what clients carry for us comes back as we gave it, to where we meant it, or not at all.
//!
//! One root key, one derived key per purpose (HKDF-SHA256, RFC 5869), XChaCha20-Poly1305 with a random nonce.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::platform::Platform;
use crate::secret::Secret;

const NONCE: usize = 24;

/// What a sealed value is for. A value sealed for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `requestState` of an `input_required` result (MCP 2026-07-28).
    RequestState,
    /// `nextCursor` of a list.
    Cursor,
    /// `Mcp-Session-Id` of a legacy client.
    Session,
    /// The arguments of a call that waits for a person's approval, and the proof that whoever decides may.
    Approval,
    /// A sign-in that is under way at an identity provider, as the browser carries it.
    SignIn,
    /// An authorization request that a person is being asked about.
    Consent,
    /// A secret that only we use again, such as the client secret at an identity provider.
    Stored,
    /// The answer to a request with an idempotency key.
    Answer,
    /// What a browser left with for a provider of accounts, or came back with from it.
    Connect,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::RequestState => "ambit/v1/request-state",
            Self::Cursor => "ambit/v1/cursor",
            Self::Session => "ambit/v1/session",
            Self::Approval => "ambit/v1/approval",
            Self::SignIn => "ambit/v1/sign-in",
            Self::Consent => "ambit/v1/consent",
            Self::Stored => "ambit/v1/stored",
            Self::Answer => "ambit/v1/idempotent-answer",
            Self::Connect => "ambit/v1/connect",
        }
    }
}

/// Why a sealed value did not open. There is nothing more to tell: the value is hostile, old, or someone else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value was not issued here, or not for this")]
pub(crate) struct Unopened;

/// Holds the root key.
pub(crate) struct Vault {
    root: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// Why a root key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the root key is not 32 bytes in base64url: make one with `openssl rand -base64 32 | tr '+/' '-_' | tr -d '='`"
)]
pub(crate) struct BadRootKey;

impl Vault {
    /// A vault under the root key, given in base64url.
    ///
    /// # Errors
    /// The key is not 32 bytes.
    pub(crate) fn new(root: &Secret) -> Result<Self, BadRootKey> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(root.expose().trim()).map_err(|_| BadRootKey)?);
        Ok(Self { root: Zeroizing::new(bytes.as_slice().try_into().map_err(|_| BadRootKey)?) })
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        // 32 bytes is far below HKDF's limit of 255 hashes, so this can't fail; a zero key would only fail to open.
        let _ =
            hkdf::Hkdf::<sha2::Sha256>::new(None, self.root.as_slice()).expand(label.as_bytes(), &mut key);
        key
    }

    /// Seals text, bound to a purpose and to `context` (who and where it may come back from).
    pub(crate) fn seal(
        &self,
        platform: &impl Platform,
        purpose: Purpose,
        context: &[u8],
        plain: &[u8],
    ) -> Option<String> {
        let mut nonce = [0; NONCE];
        platform.fill_random(&mut nonce);
        let cipher = XChaCha20Poly1305::new(&Key::from(self.derive(purpose.label())));
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: context }).ok()?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens what [`Vault::seal`] sealed for the same purpose and context.
    ///
    /// # Errors
    /// It was not.
    pub(crate) fn open(&self, purpose: Purpose, context: &[u8], sealed: &str) -> Result<Vec<u8>, Unopened> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or(Unopened)?;
        let cipher = XChaCha20Poly1305::new(&Key::from(self.derive(purpose.label())));
        cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context }).map_err(|_| Unopened)
    }
}
