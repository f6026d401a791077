//! Access tokens that we issue: JWTs for one audience (RFC 9068), signed by the keys of [`super::signing`], good for minutes.

use std::cell::RefCell;
use std::collections::HashMap;

use jsonwebtoken::{Algorithm, Header, Validation};
use schemas::ids::{AgentId, AuthorizationId, Sha256Hex, Timestamp, UserId};
use schemas::names::OrgName;

use super::IdentityError;
use super::signing::SigningKeys;
use crate::secret::Secret;
use crate::vault::Vault;

/// How long a token is good, in seconds.
pub(crate) const LIFE: i64 = 300;
/// Clocks of edges may differ by this much, in seconds.
const LEEWAY: i64 = 30;
/// `typ` of the header (RFC 9068 §2.1): what stops an ID token from being used as an access token.
const TYPE: &str = "at+jwt";
/// Entries the cache may hold before it is emptied.
const CACHE: usize = 4096;

/// What a token says.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    /// The person for whom, or the agent itself.
    pub(crate) sub: String,
    /// One toolbox, or the management API.
    pub(crate) aud: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    pub(crate) org: OrgName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<AgentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserId>,
    /// Who acts for the subject, and for whom those act in turn (RFC 8693 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<Act>,
    /// The authorization that it comes from: ending that ends it.
    pub(crate) sid: AuthorizationId,
    pub(crate) jti: String,
    /// Seconds since 1970.
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

/// An actor (RFC 8693 §4.1).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Act {
    pub(crate) sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<Box<Act>>,
}

impl Act {
    /// A chain of actors, the outermost first.
    pub(crate) fn chain(actors: &[String]) -> Option<Self> {
        actors.iter().rfold(None, |inner: Option<Self>, actor| {
            Some(Self { sub: actor.clone(), act: inner.map(Box::new) })
        })
    }
}

/// Issues and verifies tokens. Keeps keys, which a month has, and what was verified, which expires.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    issuer: String,
    generation: u32,
    keys: RefCell<Option<SigningKeys>>,
    verified: RefCell<HashMap<Sha256Hex, Claims>>,
}

impl AccessTokens {
    pub(crate) fn new(issuer: &str, generation: u32) -> Self {
        Self { issuer: issuer.to_owned(), generation, keys: RefCell::default(), verified: RefCell::default() }
    }

    /// The keys of now.
    fn keys<T>(&self, vault: &Vault, now: Timestamp, then: impl FnOnce(&SigningKeys) -> T) -> Option<T> {
        let mut cached = self.keys.borrow_mut();
        if !cached.as_ref().is_some_and(|keys| keys.hold(now)) {
            *cached = SigningKeys::at(vault, self.generation, now).ok();
        }
        cached.as_ref().map(then)
    }

    /// The published key set.
    pub(crate) fn key_set(&self, vault: &Vault, now: Timestamp) -> serde_json::Value {
        self.keys(vault, now, |keys| keys.key_set(now)).unwrap_or_default()
    }

    /// Signs claims.
    pub(crate) fn sign(&self, vault: &Vault, now: Timestamp, claims: &Claims) -> Option<Secret> {
        self.keys(vault, now, |keys| {
            let (kid, key) = keys.current();
            let header = Header {
                typ: Some(TYPE.to_owned()),
                kid: Some(kid.to_owned()),
                ..Header::new(Algorithm::EdDSA)
            };
            jsonwebtoken::encode(&header, claims, key).ok().map(Secret::new)
        })?
    }

    /// Whether a token names a key of ours. Whatever else it says is still to be verified.
    pub(crate) fn is_ours(&self, vault: &Vault, now: Timestamp, token: &str) -> bool {
        let kid = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid);
        kid.is_some_and(|kid| self.keys(vault, now, |keys| keys.verifying(&kid, now).is_some()) == Some(true))
    }

    /// Verifies a token: type, signature, issuer, time and, if one is expected, audience.
    ///
    /// # Errors
    /// It is not good; the text says why.
    pub(crate) fn verify(
        &self,
        vault: &Vault,
        now: Timestamp,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Claims, IdentityError> {
        let hash = Sha256Hex::of(token.as_bytes());
        let cached = self.verified.borrow().get(&hash).cloned();
        let claims = match cached {
            Some(claims) => claims,
            None => self.read(vault, now, token)?,
        };
        let seconds = now.0 / 1000;
        if claims.exp.saturating_add(LEEWAY) <= seconds {
            return Err(invalid("it has expired"));
        }
        if claims.iat.saturating_sub(LEEWAY) > seconds {
            return Err(invalid("it is not valid yet"));
        }
        if audience.is_some_and(|audience| audience != claims.aud) {
            return Err(invalid(&format!("its audience is not `{}`", audience.unwrap_or_default())));
        }
        let mut verified = self.verified.borrow_mut();
        if verified.len() >= CACHE {
            verified.clear();
        }
        verified.insert(hash, claims.clone());
        Ok(claims)
    }

    fn read(&self, vault: &Vault, now: Timestamp, token: &str) -> Result<Claims, IdentityError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid("it is no JWT"))?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(invalid("it is no access token"));
        }
        let kid = header.kid.ok_or_else(|| invalid("it names no key"))?;
        let key = self.keys(vault, now, |keys| keys.verifying(&kid, now)).flatten();
        let key = key.ok_or_else(|| invalid("it names a key that is not in use"))?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.set_issuer(&[&self.issuer]);
        // The audience is the caller's to compare; the time is the platform's to tell, and compared above.
        rules.validate_aud = false;
        rules.validate_exp = false;
        jsonwebtoken::decode::<Claims>(token, &key, &rules)
            .map(|data| data.claims)
            .map_err(|_| invalid("its signature or its claims do not hold"))
    }
}

fn invalid(why: &str) -> IdentityError {
    IdentityError::Invalid(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Act;

    #[test]
    fn the_outermost_actor_is_the_one_who_calls() {
        let chain = Act::chain(&["a".to_owned(), "b".to_owned()]).unwrap();
        assert_eq!(serde_json::to_string(&chain).unwrap(), r#"{"sub":"a","act":{"sub":"b"}}"#);
        assert_eq!(Act::chain(&[]), None);
    }
}
