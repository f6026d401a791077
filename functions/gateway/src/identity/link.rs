//! One-time links: `ambit_sl_` and 256 random bits, which sign a person in once, within a day. The database has only their SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::ids::Sha256Hex;

use crate::platform::Platform;
use crate::secret::Secret;

const PREFIX: &str = "ambit_sl_";
/// How long a link is good, in milliseconds.
pub(crate) const LIVES: i64 = 24 * 60 * 60 * 1000;

/// What the database knows a link by; nothing if this is no link.
pub(crate) fn hash(token: &str) -> Option<String> {
    let well_formed = token.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == 43 && rest.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
    });
    well_formed.then(|| Sha256Hex::of(token.as_bytes()).as_str().to_owned())
}

/// Makes one, and the hash of it. It is shown once.
pub(crate) fn mint(platform: &impl Platform) -> (Secret, String) {
    let mut bytes = [0; 32];
    platform.fill_random(&mut bytes);
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = Sha256Hex::of(token.as_bytes()).as_str().to_owned();
    (Secret::new(token), hash)
}
