//! What an ID token must say before anybody is signed in by it (OpenID Connect Core 1.0 §3.1.3.7). Its signature was checked before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::ids::Timestamp;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::OidcError;
use crate::Gateway;
use crate::identity::IdentityError;
use crate::identity::jwt::{ALGORITHMS, Audience, KeySource};
use crate::platform::Platform;

/// Clocks may differ by this much, in seconds.
const LEEWAY: i64 = 30;
/// A token is made when its code is redeemed: an older one is of another attempt. In seconds.
const OLDEST: i64 = 10 * 60;

/// Who somebody is, in the words of their identity provider.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) subject: String,
    all: Map<String, Value>,
}

#[derive(serde::Deserialize)]
struct Required {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: i64,
    nonce: String,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nbf: Option<i64>,
}

fn invalid(why: &str) -> OidcError {
    OidcError::Token(why.to_owned())
}

/// Refuses a token whose header says that it is something else: an access token (RFC 9068 §2.1) must not sign anybody in, and what a
/// critical extension means we don't know (RFC 7515 §4.1.11).
///
/// # Errors
/// It does.
fn check_header(token: &str) -> Result<(), OidcError> {
    let header = token.split('.').next().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(header).map_err(|_| invalid("it is no JWT"))?;
    let header: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|_| invalid("it is no JWT"))?;
    if header.contains_key("crit") {
        return Err(invalid("it has a critical extension"));
    }
    match header.get("typ") {
        None => Ok(()),
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => Ok(()),
        Some(_) => Err(invalid("it is a token of another type")),
    }
}

/// The payload of a token that the keys at an address signed. What it says is to be checked with [`Claims::check`].
///
/// # Errors
/// They did not, or can't be had, or it is no ID token.
pub(crate) async fn open<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    token: &str,
    jwks_uri: &str,
) -> Result<Vec<u8>, OidcError> {
    check_header(token)?;
    let keys = KeySource::At(jwks_uri);
    let opened = gateway.tokens.signed(&gateway.settings, platform, token, keys, &ALGORITHMS).await;
    opened.map_err(|error| match error {
        IdentityError::Invalid(why) => OidcError::Token(why),
        IdentityError::Missing | IdentityError::Platform(_) => OidcError::Token(error.to_string()),
    })
}

impl Claims {
    /// Reads and checks them.
    ///
    /// # Errors
    /// They are not for this client, this attempt, or this time.
    pub(crate) fn check(
        payload: &[u8],
        issuer: &str,
        client_id: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<Self, OidcError> {
        let missing = |_| invalid("it must have `iss`, `sub`, `aud`, `exp`, `iat` and `nonce`");
        let all: Map<String, Value> = serde_json::from_slice(payload).map_err(missing)?;
        let required: Required = serde_json::from_value(Value::Object(all.clone())).map_err(missing)?;
        let seconds = now.0 / 1000;
        if required.iss != issuer {
            return Err(invalid("it is of another issuer"));
        }
        if !required.aud.is_exactly(client_id) || required.azp.as_ref().is_some_and(|azp| azp != client_id) {
            return Err(invalid("it was made for another client"));
        }
        if !bool::from(required.nonce.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(invalid("it was made for another attempt to sign in"));
        }
        if required.exp.saturating_add(LEEWAY) <= seconds {
            return Err(invalid("it has expired"));
        }
        if required.iat.saturating_sub(LEEWAY) > seconds
            || required.nbf.is_some_and(|from| from.saturating_sub(LEEWAY) > seconds)
        {
            return Err(invalid("it is from the future: check the clocks"));
        }
        if required.iat.saturating_add(OLDEST) < seconds {
            return Err(invalid("it is too old"));
        }
        if required.sub.is_empty() || required.sub.len() > 255 {
            return Err(invalid("its subject is not 1 to 255 characters"));
        }
        Ok(Self { subject: required.sub, all })
    }

    /// The e-mail address, if the provider says that it is verified.
    pub(crate) fn verified_email(&self) -> Option<&str> {
        let verified = match self.all.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            // As some providers spell it.
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        self.text("email").filter(|_| verified)
    }

    /// All of them.
    pub(crate) fn into_all(self) -> Map<String, Value> {
        self.all
    }

    /// A claim that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The words in a claim that is a list of them, or one of them.
    pub(crate) fn words(&self, name: &str) -> Vec<&str> {
        match self.all.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            _ => Vec::new(),
        }
    }
}
