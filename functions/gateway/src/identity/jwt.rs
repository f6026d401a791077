//! JWTs of an organisation's issuers: signature, issuer, audience, time (RFC 7519, RFC 9068). Algorithms are pinned per issuer;
//! `aud` is required and must be this toolbox's URL, so that a token for one toolbox is worth nothing at another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use schemas::ids::{Sha256Hex, Timestamp};
use schemas::names::OrgName;

use super::IdentityError;
use crate::body::read_whole;
use crate::platform::{Platform, SignatureCheck};
use crate::store::callers::{self, Credential, Issuer};

/// Clocks may differ by this much, in seconds.
const LEEWAY: i64 = 30;
/// A key set is fetched again after this long, in milliseconds.
const KEYS_LIVE: i64 = 600_000;
/// An unknown key id makes us look again, but not more often than this, in milliseconds.
const KEYS_REST: i64 = 10_000;
/// A verified token is not verified again within this time, in milliseconds, so that removing an issuer bites soon.
const TOKENS_LIVE: i64 = 60_000;
/// Entries a cache may hold before it is emptied.
const CACHE: usize = 4096;
/// A key set is small; a larger answer is not one. In bytes.
const KEY_SET: usize = 256 * 1024;
/// And it comes soon, or not at all.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// Algorithms an issuer may use. Symmetric ones are not among them: a public key must never serve as a secret.
pub(crate) const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "EdDSA", "RS256", "PS256"];

#[derive(Debug, serde::Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    scope: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// A key set, and when it was fetched.
type Fetched = (Rc<JwkSet>, Timestamp);

/// Caches of what expires: verified tokens by hash, and key sets. Both are keyed by organisation.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    verified: RefCell<HashMap<(OrgName, Sha256Hex), (Credential, Timestamp)>>,
    keys: RefCell<HashMap<(OrgName, String), Fetched>>,
}

impl Tokens {
    /// Verifies a token for an organisation and an audience.
    pub(super) async fn verify<P: Platform>(
        &self,
        platform: &P,
        token: &str,
        org: &OrgName,
        audience: &str,
    ) -> Result<Credential, IdentityError> {
        let now = platform.now();
        let cache_key = (org.clone(), Sha256Hex::of(format!("{audience}\n{token}").as_bytes()));
        if let Some((credential, until)) = self.verified.borrow().get(&cache_key)
            && now < *until
        {
            return Ok(credential.clone());
        }
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| invalid("it is neither an API key nor a JWT"))?;
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| invalid("it is no JWT"))?;
        let signature =
            URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid("its signature is not base64url"))?;
        let claims = read_claims(signed)?;

        let issuers = callers::issuers(platform, org).await?;
        let issuer = issuers
            .into_iter()
            .find(|issuer| issuer.name == claims.iss)
            .ok_or_else(|| invalid("this organisation does not know its issuer"))?;
        let algorithm = word(header.alg);
        if !issuer.algorithms.iter().any(|allowed| allowed == algorithm) || !ALGORITHMS.contains(&algorithm) {
            return Err(invalid("its issuer is not trusted with this algorithm"));
        }
        let key = self.key(platform, org, &issuer, header.kid.as_deref()).await?;
        if !signed_by(platform, header.alg, &key, signed.as_bytes(), &signature).await {
            return Err(invalid("its signature does not hold"));
        }
        check_claims(&claims, audience, now)?;

        let credential = Credential::Token {
            org: org.clone(),
            issuer: claims.iss,
            client: claims.client_id.or(claims.azp).unwrap_or_else(|| claims.sub.clone()),
            subject: claims.sub,
            scopes: claims.scope.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        };
        let until = Timestamp(claims.exp.saturating_mul(1000)).min(now.plus(TOKENS_LIVE));
        let mut verified = self.verified.borrow_mut();
        if verified.len() >= CACHE {
            verified.clear();
        }
        verified.insert(cache_key, (credential.clone(), until));
        Ok(credential)
    }

    async fn key<P: Platform>(
        &self,
        platform: &P,
        org: &OrgName,
        issuer: &Issuer,
        kid: Option<&str>,
    ) -> Result<Jwk, IdentityError> {
        let cache_key = (org.clone(), issuer.jwks_uri.clone());
        let now = platform.now();
        let cached = self.keys.borrow().get(&cache_key).cloned();
        if let Some((keys, fetched)) = &cached {
            let age = now.0.saturating_sub(fetched.0);
            match pick(keys, kid) {
                Some(key) if age < KEYS_LIVE => return Ok(key),
                None if age < KEYS_REST => return Err(invalid("its issuer has no such key")),
                _ => {}
            }
        }
        let fetched = fetch(platform, &issuer.jwks_uri).await;
        let keys = match (fetched, cached) {
            (Ok(keys), _) => {
                let keys = Rc::new(keys);
                self.keys.borrow_mut().insert(cache_key, (Rc::clone(&keys), now));
                keys
            }
            // Keys we have are better than none while their issuer is away; tokens still expire.
            (Err(_), Some((keys, _))) => keys,
            (Err(error), None) => return Err(error),
        };
        pick(&keys, kid).ok_or_else(|| invalid("its issuer has no such key"))
    }
}

async fn fetch<P: Platform>(platform: &P, uri: &str) -> Result<JwkSet, IdentityError> {
    let unavailable = |why: &str| {
        tracing::warn!("key set of an issuer: {why}");
        invalid("its issuer's keys can't be fetched at the moment")
    };
    let request =
        http::Request::get(uri).body(Bytes::new()).map_err(|_| unavailable("the address is no URL"))?;
    let response = platform.send(request).await.map_err(|error| unavailable(&error.to_string()))?;
    if response.status() != http::StatusCode::OK {
        return Err(unavailable(&format!("status {}", response.status())));
    }
    let body = read_whole(platform, response.into_body(), KEY_SET, KEYS_WITHIN)
        .await
        .map_err(|error| unavailable(&error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| unavailable(&error.to_string()))
}

/// The key with that id; a token without one fits a set of one.
fn pick(keys: &JwkSet, kid: Option<&str>) -> Option<Jwk> {
    match (kid, keys.keys.as_slice()) {
        (Some(kid), _) => keys.find(kid).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

async fn signed_by<P: Platform>(
    platform: &P,
    algorithm: Algorithm,
    key: &Jwk,
    message: &[u8],
    signature: &[u8],
) -> bool {
    if let Ok(jwk) = serde_json::to_string(key) {
        let check = SignatureCheck { algorithm: word(algorithm), jwk: &jwk, message, signature };
        if let Some(verdict) = platform.verify(check).await {
            return verdict;
        }
    }
    let Ok(key) = DecodingKey::from_jwk(key) else { return false };
    jsonwebtoken::crypto::verify(&URL_SAFE_NO_PAD.encode(signature), message, &key, algorithm)
        .unwrap_or(false)
}

fn read_claims(signed: &str) -> Result<Claims, IdentityError> {
    let (_, payload) = signed.split_once('.').ok_or_else(|| invalid("it is no JWT"))?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|_| invalid("its claims are not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|_| invalid("it must have `iss`, `sub`, `aud` and `exp`"))
}

fn check_claims(claims: &Claims, audience: &str, now: Timestamp) -> Result<(), IdentityError> {
    let seconds = now.0 / 1000;
    if claims.exp.saturating_add(LEEWAY) <= seconds {
        return Err(invalid("it has expired"));
    }
    if claims.nbf.is_some_and(|from| from.saturating_sub(LEEWAY) > seconds) {
        return Err(invalid("it is not valid yet"));
    }
    let meant_for_us = match &claims.aud {
        Audience::One(one) => one == audience,
        Audience::Many(many) => many.iter().any(|one| one == audience),
    };
    if meant_for_us { Ok(()) } else { Err(invalid(&format!("its audience is not `{audience}`"))) }
}

/// The name of an algorithm that we take; `Algorithm` may grow, and what we don't know we don't take.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the list of what we take is closed, the crate's list of what there is is not"
)]
fn word(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        Algorithm::RS256 => "RS256",
        Algorithm::PS256 => "PS256",
        _ => "none",
    }
}

fn invalid(why: &str) -> IdentityError {
    IdentityError::Invalid(why.to_owned())
}
