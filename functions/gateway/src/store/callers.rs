//! Who is behind a credential.

use std::collections::BTreeSet;

use schemas::decision::{AgentFacts, Grants, OrgFacts, Status, UserFacts};
use schemas::ids::{AgentId, ApiKeyId, AuthorizationId, Timestamp, ToolboxId, UserId};
use schemas::names::OrgName;

use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// What names an agent in the database.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// SHA-256 of an API key, in hexadecimal.
    KeyHash(String),
    /// A verified token of an organisation's issuer.
    Token {
        /// The organisation that trusts the issuer.
        org: OrgName,
        /// Who issued it.
        issuer: String,
        /// `client_id`, or `azp`.
        client: String,
        /// `sub`.
        subject: String,
        /// `scope`, split.
        scopes: Vec<String>,
    },
    /// A verified access token of our own.
    Access {
        /// The authorization that it comes from.
        authorization: AuthorizationId,
        /// As which agent.
        agent: AgentId,
        /// The token's own id.
        jti: String,
        /// Through which client.
        client: String,
        /// `scope`, split.
        scopes: Vec<String>,
    },
}

impl Credential {
    /// What tells callers apart, for counting what they ask.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::KeyHash(hash) => hash.clone(),
            Self::Token { org, issuer, client, subject, .. } => {
                format!("{org}\n{issuer}\n{client}\n{subject}")
            }
            Self::Access { authorization, .. } => authorization.to_string(),
        }
    }

    /// What finds the person behind it, beside [`Credential::keys`]: `?6` of [`user_id!`].
    pub(super) fn person(&self) -> Value {
        match self {
            Self::KeyHash(_) => Value::Null,
            Self::Token { subject, .. } => subject.as_str().into(),
            Self::Access { authorization, .. } => authorization.as_str().into(),
        }
    }

    /// What stands for `?1` (key hash, or the agent's own id), `?2` (organisation) and `?3` (client) in statements that need the
    /// agent's id.
    pub(super) fn keys(&self) -> [Value; 3] {
        match self {
            Self::KeyHash(hash) => [hash.as_str().into(), Value::Null, Value::Null],
            Self::Token { org, client, .. } => [Value::Null, org.as_str().into(), client.as_str().into()],
            Self::Access { agent, .. } => [agent.as_str().into(), Value::Null, Value::Null],
        }
    }
}

/// The agent's id from a credential's keys; `?1` to `?3` are [`Credential::keys`].
macro_rules! agent_id {
    () => {
        "COALESCE((SELECT agent_id FROM api_keys WHERE hash = ?1), (SELECT id FROM agents WHERE id = ?1), \
         (SELECT a.id FROM agents a JOIN orgs o ON o.id = a.org_id WHERE o.name = ?2 AND a.oauth_client = ?3))"
    };
}
pub(super) use agent_id;

/// The id of the person behind a credential; `?1` to `?3` are [`Credential::keys`], `?6` is [`Credential::person`]. Only a token of an
/// organisation's issuer names its organisation, and only that issuer names people by subject.
macro_rules! user_id {
    () => {
        "COALESCE((SELECT user_id FROM api_keys WHERE hash = ?1), (SELECT user_id FROM authorizations WHERE id = ?6 AND ?2 IS NULL), \
         (SELECT n.id FROM users n JOIN orgs h ON h.id = n.org_id WHERE h.name = ?2 AND n.name = ?6))"
    };
}
pub(super) use user_id;

/// The names of the teams that a member is in, with commas between; names hold none.
macro_rules! teams {
    ($member:literal) => {
        concat!(
            "(SELECT group_concat(tm.name) FROM team_reach r JOIN teams tm ON tm.id = r.team_id WHERE r.member = ",
            $member,
            ")"
        )
    };
}
pub(super) use teams;

/// The roles of user `u`, with commas between.
macro_rules! roles {
    () => {
        "(SELECT group_concat(ur.role) FROM user_roles ur WHERE ur.user_id = u.id)"
    };
}
pub(super) use roles;

/// An agent of a suspended organisation is suspended.
macro_rules! columns {
    ($key:literal, $more:literal) => {
        concat!(
            "SELECT ",
            $key,
            ", a.id, a.name, CASE o.status WHEN 'active' THEN a.status ELSE 'suspended' END, o.id, o.name, w.name, u.name, u.status, u.email, ",
            teams!("'agent:' || a.id"),
            ", ",
            teams!("'user:' || u.id"),
            ", ",
            roles!(),
            ", u.id",
            $more
        )
    };
}
pub(super) use columns;

const BY_KEY: &str = concat!(
    columns!("k.id", ", k.toolbox_id, k.scopes"),
    " FROM api_keys k JOIN agents a ON a.id = k.agent_id JOIN orgs o ON o.id = a.org_id \
     LEFT JOIN users w ON w.id = a.owner_id LEFT JOIN users u ON u.id = k.user_id \
     WHERE k.hash = ?1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?2)"
);

const BY_TOKEN: &str = concat!(
    columns!("''", ", NULL, ''"),
    " FROM agents a JOIN orgs o ON o.id = a.org_id \
     LEFT JOIN users w ON w.id = a.owner_id LEFT JOIN users u ON u.org_id = o.id AND u.name = ?3 \
     WHERE o.name = ?1 AND a.oauth_client = ?2"
);

/// A token of ours is good while its authorization is: ending that, or this one token, bites at the next request.
const BY_AUTHORIZATION: &str = concat!(
    columns!("''", ", NULL, ''"),
    " FROM authorizations z JOIN agents a ON a.id = z.agent_id JOIN orgs o ON o.id = a.org_id \
     LEFT JOIN users w ON w.id = a.owner_id LEFT JOIN users u ON u.id = z.user_id \
     WHERE z.id = ?1 AND a.id = ?2 AND z.revoked_at IS NULL AND z.expires_at > ?3 \
     AND (z.user_id IS NULL OR u.id IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.jti = ?4)"
);

/// What the database says of a credential.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) key: Option<ApiKeyId>,
    pub(crate) agent_id: AgentId,
    pub(crate) agent: AgentFacts,
    pub(crate) user: Option<UserFacts>,
    pub(crate) user_id: Option<UserId>,
    /// The only toolbox where the key is good.
    pub(crate) toolbox: Option<ToolboxId>,
    /// How far the key reaches; empty for no limit.
    pub(crate) scopes: Vec<String>,
}

/// The statement that finds a caller; its rows go to [`known`].
pub(super) fn statement(credential: &Credential, now: Timestamp) -> Statement {
    match credential {
        Credential::KeyHash(hash) => Statement::new(BY_KEY, [hash.as_str().into(), now.0.into()]),
        Credential::Token { org, client, subject, .. } => {
            Statement::new(BY_TOKEN, [org.as_str().into(), client.as_str().into(), subject.as_str().into()])
        }
        Credential::Access { authorization, agent, jti, .. } => Statement::new(
            BY_AUTHORIZATION,
            [authorization.as_str().into(), agent.as_str().into(), now.0.into(), jti.as_str().into()],
        ),
    }
}

/// Reads the row of [`statement`].
pub(super) fn known(row: &Row) -> Result<Known, PlatformError> {
    let org = OrgFacts { id: row.parse(4)?, name: row.parse(5)? };
    let user = match row.maybe_text(7)? {
        None => None,
        Some(_) => Some(UserFacts {
            name: row.parse(7)?,
            org: org.clone(),
            status: super::word::<Status>(row, 8)?,
            email: row.text(9)?.to_owned(),
            teams: names(row, 11)?,
            roles: names(row, 12)?,
        }),
    };
    Ok(Known {
        key: if row.text(0)?.is_empty() { None } else { Some(row.parse(0)?) },
        agent_id: row.parse(1)?,
        agent: AgentFacts {
            name: row.parse(2)?,
            status: super::word(row, 3)?,
            org,
            owner: if row.maybe_text(6)?.is_some() { Some(row.parse(6)?) } else { None },
            teams: names(row, 10)?,
            grants: Grants::default(),
        },
        user,
        user_id: row.maybe_text(13)?.map(|_| row.parse(13)).transpose()?,
        toolbox: row.maybe_text(14)?.map(|_| row.parse(14)).transpose()?,
        scopes: row.text(15)?.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Names with commas between.
pub(super) fn names<T>(row: &Row, column: usize) -> Result<BTreeSet<T>, PlatformError>
where
    T: std::str::FromStr<Err = schemas::ParseError> + Ord,
{
    let text = row.maybe_text(column)?.unwrap_or_default();
    let names = text.split(',').filter(|name| !name.is_empty());
    names
        .map(|name| {
            name.parse().map_err(|error: schemas::ParseError| PlatformError::Database(error.to_string()))
        })
        .collect()
}

/// An issuer whose tokens an organisation accepts.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    pub(crate) name: String,
    pub(crate) jwks_uri: String,
    pub(crate) algorithms: Vec<String>,
}

/// The issuers of an organisation.
pub(crate) async fn issuers(platform: &impl Platform, org: &OrgName) -> Result<Vec<Issuer>, PlatformError> {
    let results = platform
        .sql(Batch::read([Statement::new(
            "SELECT i.issuer, i.jwks_uri, i.algorithms FROM issuers i JOIN orgs o ON o.id = i.org_id WHERE o.name = ?1 ORDER BY i.issuer",
            [org.as_str().into()],
        )]))
        .await?;
    results
        .iter()
        .flatten()
        .map(|row| {
            Ok(Issuer {
                name: row.text(0)?.to_owned(),
                jwks_uri: row.text(1)?.to_owned(),
                algorithms: super::json(row, 2)?,
            })
        })
        .collect()
}
