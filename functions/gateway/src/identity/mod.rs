//! Who calls: an agent, on behalf of a person or of nobody.

pub(crate) mod access_token;
pub(crate) mod api_key;
pub(crate) mod assertion;
pub(crate) mod jwt;
pub(crate) mod link;
pub(crate) mod oidc;
pub(crate) mod operator;
pub(crate) mod passkey;
pub(crate) mod person;
pub(crate) mod session;
pub(crate) mod signing;

use http::HeaderMap;
use schemas::audit::Actor;
use schemas::decision::{AgentFacts, UserFacts};
use schemas::ids::{AgentId, UserId};
use schemas::names::OrgName;

use crate::Gateway;
use crate::platform::{Platform, PlatformError};
use crate::store::callers::{Credential, Known};

/// A caller who proved who they are.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) agent_id: AgentId,
    pub(crate) agent: AgentFacts,
    pub(crate) user: Option<UserFacts>,
    pub(crate) user_id: Option<UserId>,
    pub(crate) scopes: std::collections::BTreeSet<String>,
    /// What proved it, for the audit trail.
    pub(crate) credential: String,
}

impl Caller {
    /// The caller as the audit trail names them.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            agent: Some(self.agent.name.clone()),
            user: self.user.as_ref().map(|user| user.name.clone()),
            credential: self.credential.clone(),
        }
    }
}

/// Why nobody is behind a request.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum IdentityError {
    /// There is no credential: the answer says where to get one.
    #[error("this endpoint needs a bearer token or an API key")]
    Missing,
    /// There is one, and it is not good.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// We could not find out.
    #[error("identity can't be checked at the moment")]
    Platform(#[from] PlatformError),
}

/// Reads the bearer token and checks what can be checked without knowing the agent. The rest is [`caller`]'s.
///
/// # Errors
/// See [`IdentityError`].
pub(crate) async fn credential<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    headers: &HeaderMap,
    org: &OrgName,
    audience: &str,
) -> Result<Credential, IdentityError> {
    let token = bearer(headers)?;
    if api_key::looks_like_one(token) {
        return api_key::hash(token).map(Credential::KeyHash);
    }
    let now = platform.now();
    if gateway.access_tokens.is_ours(&gateway.vault, now, token) {
        let claims = gateway.access_tokens.verify(&gateway.vault, now, token, Some(audience))?;
        let agent = claims.agent.filter(|_| claims.org == *org);
        return Ok(Credential::Access {
            authorization: claims.sid,
            agent: agent
                .ok_or_else(|| IdentityError::Invalid("it is for no agent of this organisation".into()))?,
            jti: claims.jti,
            client: claims.client_id,
            scopes: claims.scope.split_whitespace().map(str::to_owned).collect(),
        });
    }
    gateway.tokens.verify(platform, token, org, audience).await
}

/// The caller behind a credential, from what the store knows of it.
///
/// # Errors
/// The store knows no such agent, or no such person.
pub(crate) fn caller(credential: &Credential, known: Option<Known>) -> Result<Caller, IdentityError> {
    let invalid = |why: &str| IdentityError::Invalid(why.to_owned());
    match (credential, known) {
        (Credential::KeyHash(_), None) => Err(invalid("no such API key, or it was revoked or has expired")),
        (Credential::Access { .. }, None) => Err(invalid("it was revoked")),
        (Credential::Token { .. }, None) => Err(invalid("its client is no agent of this organisation")),
        (Credential::Token { client, subject, .. }, Some(known))
            if known.user.is_none() && client != subject =>
        {
            Err(invalid("its subject is no user of this organisation"))
        }
        (credential, Some(known)) => {
            let (proof, scopes) = match credential {
                Credential::KeyHash(_) => {
                    (format!("key:{}", known.key.as_ref().map_or("", |key| key.as_str())), known.scopes)
                }
                Credential::Token { issuer, scopes, .. } => (format!("jwt:{issuer}"), scopes.clone()),
                Credential::Access { authorization, scopes, .. } => {
                    (format!("authorization:{authorization}"), scopes.clone())
                }
            };
            Ok(Caller {
                agent_id: known.agent_id,
                agent: known.agent,
                user: known.user,
                user_id: known.user_id,
                scopes: scopes.into_iter().collect(),
                credential: proof,
            })
        }
    }
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1); nowhere else is one accepted.
fn bearer(headers: &HeaderMap) -> Result<&str, IdentityError> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let value = values.next().ok_or(IdentityError::Missing)?;
    if values.next().is_some() {
        return Err(IdentityError::Invalid("there are two of them".into()));
    }
    let text = value.to_str().map_err(|_| IdentityError::Invalid("it is not ASCII".into()))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(IdentityError::Missing),
    }
}
