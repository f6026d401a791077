//! JWTs that somebody else signed and that we take once: a client's proof of itself (RFC 7523 §2.2), and what an organisation's
//! issuer says of a person or a workload (RFC 7523 §2.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::ids::Timestamp;

use super::IdentityError;
use super::jwt::{self, KeySource};
use crate::Gateway;
use crate::clients::{Client, ProofError};
use crate::egress;
use crate::platform::Platform;

/// The longest that an assertion of a client may still be good, in seconds: it is made for one request.
const LONGEST: i64 = 600;
/// Clocks may differ by this much, in seconds.
const LEEWAY: i64 = 30;

/// What keeps an assertion from being used twice.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(crate) jti: String,
    pub(crate) until: Timestamp,
}

#[derive(Debug, serde::Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: jwt::Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    jti: String,
}

/// Whom a JWT says it is about, before anything is verified: to know whose keys to look for.
pub(crate) fn subject(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Subject {
        sub: String,
    }
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice::<Subject>(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok().map(|claims| claims.sub)
}

/// Verifies that a client signed a JWT about itself, for us.
///
/// # Errors
/// It did not.
pub(crate) async fn verify_client<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    client: &Client,
    token: &str,
    audiences: &[String],
) -> Result<Used, ProofError> {
    let invalid = |why: &str| ProofError::Invalid(format!("the client assertion: {why}"));
    let keys = match (&client.metadata.jwks, &client.metadata.jwks_uri) {
        (Some(keys), _) => KeySource::Given(keys),
        (None, Some(uri)) => {
            egress::public_url(&gateway.settings, uri).map_err(|error| invalid(&error.to_string()))?;
            KeySource::At(uri)
        }
        (None, None) => return Err(invalid("the client has no key")),
    };
    let signed = gateway.tokens.signed(&gateway.settings, platform, token, keys, &jwt::ALGORITHMS).await;
    let payload = signed.map_err(|error| match error {
        IdentityError::Platform(error) => ProofError::Platform(error),
        other @ (IdentityError::Missing | IdentityError::Invalid(_)) => invalid(&other.to_string()),
    })?;
    let claims: Claims = serde_json::from_slice(&payload)
        .map_err(|_| invalid("it must have `iss`, `sub`, `aud`, `exp` and `jti`"))?;
    let seconds = platform.now().0 / 1000;
    if claims.iss != client.id || claims.sub != client.id {
        return Err(invalid("`iss` and `sub` must be the client's id"));
    }
    if !audiences.iter().any(|audience| claims.aud.is_exactly(audience)) {
        return Err(invalid(&format!("`aud` must be `{}`", audiences.first().map_or("", String::as_str))));
    }
    if claims.exp.saturating_add(LEEWAY) <= seconds || claims.exp > seconds + LONGEST {
        return Err(invalid(&format!("`exp` must lie within the next {LONGEST} seconds")));
    }
    if claims.nbf.is_some_and(|from| from.saturating_sub(LEEWAY) > seconds) {
        return Err(invalid("it is not valid yet"));
    }
    if claims.jti.is_empty() || claims.jti.len() > 512 {
        return Err(invalid("`jti` must have 1 to 512 bytes"));
    }
    Ok(Used { jti: claims.jti, until: Timestamp((claims.exp + LEEWAY).saturating_mul(1000)) })
}
