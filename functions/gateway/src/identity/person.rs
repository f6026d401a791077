//! Who manages: a person of an organisation with a key of their own, or the operator of the deployment.
//!
//! Both are principals of the policies: what they may do is decided, not coded. The operator is the person `@operator` with the role
//! `owner` in every organisation, so that there is somebody before there is anybody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use schemas::audit::Actor;
use schemas::decision::{OrgFacts, Status, UserFacts};
use schemas::ids::{ApiKeyId, AuthorizationId, SessionId, Sha256Hex};
use schemas::names::{RoleName, UserName};

use super::operator::{self, Operator};
use super::{IdentityError, bearer};
use crate::Gateway;
use crate::platform::Platform;
use crate::secret::Secret;

/// The operator's name among people. Nobody else may have a name that starts like it.
pub(crate) const OPERATOR: &str = "@operator";

const PREFIX: &str = "ambit_pk_";

/// What was shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// The operator's key.
    Operator(Operator),
    /// A person's key, by its SHA-256 in hexadecimal; the store knows whose it is.
    KeyHash(String),
    /// A token that a person let the command line have. It is good while its authorization is, which the store knows.
    Token {
        /// The authorization.
        authorization: AuthorizationId,
        /// This one token of it.
        jti: String,
    },
}

/// A person who proved who they are, in one organisation.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) facts: UserFacts,
    /// What proved it, for the audit trail.
    pub(crate) credential: String,
}

/// Reads what a request shows.
///
/// # Errors
/// There is nothing, or it is no key of a person, no token for this API, and not the operator's key.
pub(crate) fn shown(
    gateway: &Gateway,
    platform: &impl Platform,
    headers: &HeaderMap,
) -> Result<Shown, IdentityError> {
    let token = bearer(headers)?;
    if token.starts_with(PREFIX) {
        return Ok(Shown::KeyHash(Sha256Hex::of(token.as_bytes()).as_str().to_owned()));
    }
    let now = platform.now();
    if gateway.access_tokens.is_ours(&gateway.vault, now, token) {
        let audience = format!("{}/api/v1", gateway.settings.public_url);
        let claims = gateway.access_tokens.verify(&gateway.vault, now, token, Some(&audience))?;
        return Ok(Shown::Token { authorization: claims.sid, jti: claims.jti });
    }
    operator::prove_key(platform, token).map(Shown::Operator)
}

impl Person {
    /// The operator, as a person of an organisation.
    ///
    /// # Errors
    /// Never for the names here; the parser keeps the last word.
    pub(crate) fn operator(_proof: &Operator, org: &OrgFacts) -> Result<Self, schemas::ParseError> {
        let facts = UserFacts {
            name: UserName::parse(OPERATOR)?,
            org: org.clone(),
            status: Status::Active,
            email: String::new(),
            teams: std::collections::BTreeSet::new(),
            roles: [RoleName::parse("owner")?].into(),
        };
        Ok(Self { facts, credential: "operator".to_owned() })
    }

    /// The person behind a key.
    pub(crate) fn with_key(key: &ApiKeyId, facts: UserFacts) -> Self {
        Self { facts, credential: format!("person-key:{key}") }
    }

    /// The person who let the command line manage for them.
    pub(crate) fn with_authorization(authorization: &AuthorizationId, facts: UserFacts) -> Self {
        Self { facts, credential: format!("authorization:{authorization}") }
    }

    /// The person behind a browser that is signed in.
    pub(crate) fn signed_in(session: &SessionId, facts: UserFacts) -> Self {
        Self { facts, credential: format!("session:{session}") }
    }

    /// As the audit trail names them.
    pub(crate) fn actor(&self) -> Actor {
        let user = (!self.is_operator()).then(|| self.facts.name.clone());
        Actor { agent: None, user, credential: self.credential.clone() }
    }

    /// Whether this is the deployment's operator, who speaks for no one in the organisation.
    pub(crate) fn is_operator(&self) -> bool {
        self.facts.name.as_str() == OPERATOR
    }
}

/// Makes a key for a person. It is shown once.
pub(crate) fn mint(platform: &impl Platform) -> (Secret, String) {
    let mut bytes = [0; 32];
    platform.fill_random(&mut bytes);
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = Sha256Hex::of(key.as_bytes()).as_str().to_owned();
    (Secret::new(key), hash)
}
