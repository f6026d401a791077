//! API keys: `ambit_sk_` and 43 characters of base64url (256 random bits). The prefix lets secret scanners find a leaked one;
//! the database has only its SHA-256, which is enough for a value that nobody can guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::ids::Sha256Hex;

use super::IdentityError;
use crate::platform::Platform;
use crate::secret::Secret;

const PREFIX: &str = "ambit_sk_";

/// Whether a token means to be an API key.
pub(crate) fn looks_like_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// What the database knows a key by.
pub(crate) fn hash(key: &str) -> Result<String, IdentityError> {
    let well_formed = key.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == 43 && rest.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
    });
    if well_formed {
        Ok(Sha256Hex::of(key.as_bytes()).as_str().to_owned())
    } else {
        Err(IdentityError::Invalid("it starts like an API key and is none: copy it whole".into()))
    }
}

/// Makes a key. It is shown once.
pub(crate) fn mint(platform: &impl Platform) -> Secret {
    let mut bytes = [0; 32];
    platform.fill_random(&mut bytes);
    Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}
