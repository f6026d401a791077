//! JWTs of an organisation's issuers: signature, issuer, audience, time (RFC 7519, RFC 9068). Algorithms are pinned per issuer;
//! `aud` is required and must be this toolbox's URL, so that a token for one toolbox is worth nothing at another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use schemas::ids::{Sha256Hex, Timestamp};
use schemas::names::OrgName;

use super::IdentityError;
use crate::egress;
use crate::platform::{Platform, SignatureCheck};
use crate::settings::Settings;
use crate::store::callers::{self, Credential};

/// Clocks may differ by this much, in seconds.
const LEEWAY: i64 = 30;
/// A key set is fetched again after this long, in milliseconds.
const KEYS_LIVE: i64 = 600_000;
/// An unknown key id makes us look again, and so does a failure, but not more often than this, in milliseconds.
const KEYS_REST: i64 = 10_000;
/// While their issuer is away, keys are good for this long, in milliseconds.
const KEYS_OUTLIVE: i64 = 24 * 60 * 60 * 1000;
/// A verified token is not verified again within this time, in milliseconds, so that removing an issuer bites soon.
const TOKENS_LIVE: i64 = 60_000;
/// Entries a cache may hold before it is emptied.
const CACHE: usize = 4096;
/// A key set is small; a larger answer is not one. In bytes.
const KEY_SET: usize = 256 * 1024;

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

/// `aud`: one or several (RFC 7519 §4.1.3).
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }

    /// Whether it is this one and no other.
    pub(crate) fn is_exactly(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => matches!(many.as_slice(), [one] if one == audience),
        }
    }
}

/// Whose keys a token must be signed with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeySource<'a> {
    /// These.
    Given(&'a JwkSet),
    /// Those at an address, which anybody may have told us.
    At(&'a str),
}

/// What came of asking for a key set.
#[derive(Debug, Clone, Default)]
struct Fetched {
    /// The set, and when it came.
    keys: Option<(Rc<JwkSet>, Timestamp)>,
    /// When it was last asked for.
    asked: Option<Timestamp>,
}

/// Caches of what expires: verified tokens by hash, and key sets. Both are keyed by organisation; key sets of clients have none.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    verified: RefCell<HashMap<(OrgName, Sha256Hex), (Credential, Timestamp)>>,
    keys: RefCell<HashMap<(Option<OrgName>, String), Fetched>>,
}

impl Tokens {
    /// Verifies a token for an organisation and an audience.
    pub(crate) async fn verify<P: Platform>(
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
        let request = http::Request::get(&issuer.jwks_uri).body(Bytes::new());
        let request = request.map_err(|_| invalid("the address of its issuer's keys is no URL"))?;
        let key = self.key(platform, Some(org), request, header.kid.as_deref()).await?;
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

    /// The payload of a token that one of these keys signed, by one of these algorithms. What it says is still to be checked.
    ///
    /// # Errors
    /// None of them did, or the keys can't be had.
    pub(crate) async fn signed<P: Platform>(
        &self,
        settings: &Settings,
        platform: &P,
        token: &str,
        keys: KeySource<'_>,
        algorithms: &[&str],
    ) -> Result<Vec<u8>, IdentityError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid("it is no JWT"))?;
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| invalid("it is no JWT"))?;
        let signature =
            URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid("its signature is not base64url"))?;
        if !algorithms.contains(&word(header.alg)) {
            return Err(invalid("its algorithm is not taken"));
        }
        let key = match keys {
            KeySource::Given(keys) => pick(keys, header.kid.as_deref())
                .ok_or_else(|| invalid("it names a key that is not known"))?,
            KeySource::At(uri) => {
                let request = http::Request::get(uri).body(Bytes::new());
                let request = request.map_err(|_| invalid("the address of its keys is no URL"))?;
                self.key(platform, None, egress::guarded(settings, request), header.kid.as_deref()).await?
            }
        };
        if !signed_by(platform, header.alg, &key, signed.as_bytes(), &signature).await {
            return Err(invalid("its signature does not hold"));
        }
        let (_, payload) = signed.split_once('.').ok_or_else(|| invalid("it is no JWT"))?;
        URL_SAFE_NO_PAD.decode(payload).map_err(|_| invalid("its claims are not base64url"))
    }

    /// The key of that id among those at an address.
    async fn key<P: Platform>(
        &self,
        platform: &P,
        org: Option<&OrgName>,
        source: http::Request<Bytes>,
        kid: Option<&str>,
    ) -> Result<Jwk, IdentityError> {
        let cache_key = (org.cloned(), source.uri().to_string());
        let now = platform.now();
        let since = |then: Timestamp| now.0.saturating_sub(then.0);
        let known = self.keys.borrow().get(&cache_key).cloned().unwrap_or_default();
        let in_set = |keys: &JwkSet| pick(keys, kid).ok_or_else(|| invalid("its issuer has no such key"));
        if let Some((keys, _)) = known.keys.as_ref().filter(|(_, fetched)| since(*fetched) < KEYS_LIVE)
            && let Some(key) = pick(keys, kid)
        {
            return Ok(key);
        }
        // Keys we have are better than none while their issuer is away; tokens still expire.
        let old = known.keys.filter(|(_, fetched)| since(*fetched) < KEYS_OUTLIVE);
        if known.asked.is_some_and(|asked| since(asked) < KEYS_REST) {
            let (keys, _) = old.ok_or_else(|| invalid("its issuer's keys can't be fetched at the moment"))?;
            return in_set(&keys);
        }
        let fetched = fetch(platform, source).await.map(Rc::new);
        let entry = match (&fetched, &old) {
            (Ok(keys), _) => Fetched { keys: Some((Rc::clone(keys), now)), asked: Some(now) },
            (Err(_), old) => Fetched { keys: old.clone(), asked: Some(now) },
        };
        let mut all = self.keys.borrow_mut();
        if all.len() >= CACHE {
            all.clear();
        }
        all.insert(cache_key, entry);
        drop(all);
        match (fetched, old) {
            (Ok(keys), _) | (Err(_), Some((keys, _))) => in_set(&keys),
            (Err(error), None) => Err(error),
        }
    }
}

async fn fetch<P: Platform>(platform: &P, request: http::Request<Bytes>) -> Result<JwkSet, IdentityError> {
    let unavailable = |why: &str| {
        tracing::warn!("key set of an issuer: {why}");
        invalid("its issuer's keys can't be fetched at the moment")
    };
    let answer =
        egress::ask(platform, request, KEY_SET).await.map_err(|error| unavailable(&error.to_string()))?;
    if answer.status() != http::StatusCode::OK {
        return Err(unavailable(&format!("status {}", answer.status())));
    }
    serde_json::from_slice(answer.body()).map_err(|error| unavailable(&error.to_string()))
}

/// The key with that id; a token without one fits a set of one.
fn pick(keys: &JwkSet, kid: Option<&str>) -> Option<Jwk> {
    match (kid, keys.keys.as_slice()) {
        (Some(kid), _) => keys.find(kid).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

pub(super) async fn signed_by<P: Platform>(
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
    if claims.aud.includes(audience) {
        Ok(())
    } else {
        Err(invalid(&format!("its audience is not `{audience}`")))
    }
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
