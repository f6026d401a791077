//! Keys of agents and of people: of their secrets only the SHA-256, and the last characters for people to tell them apart.

use schemas::ids::{AgentId, ApiKeyId, OrgId, Timestamp, ToolboxId, UserId};

use super::refusals::Refused;
use crate::platform::Statement;

/// A key that was just made.
#[derive(Debug)]
pub(crate) struct NewKey {
    /// SHA-256 of the secret, in hexadecimal.
    pub(crate) hash: String,
    pub(crate) id: ApiKeyId,
    pub(crate) hint: String,
    pub(crate) now: Timestamp,
}

/// As whom an agent's key calls, and how far it reaches.
#[derive(Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) agent: &'a AgentId,
    pub(crate) user: Option<&'a UserId>,
    pub(crate) toolbox: Option<&'a ToolboxId>,
    /// With spaces between.
    pub(crate) scopes: String,
}

pub(crate) fn add_for_agent(
    key: &NewKey,
    org: &OrgId,
    reach: Reach<'_>,
    expires_at: Option<i64>,
) -> Statement {
    Statement::new(
        "INSERT INTO api_keys (hash, id, org_id, agent_id, user_id, toolbox_id, scopes, hint, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        [
            key.hash.as_str().into(),
            key.id.as_str().into(),
            org.as_str().into(),
            reach.agent.as_str().into(),
            reach.user.map(UserId::as_str).into(),
            reach.toolbox.map(ToolboxId::as_str).into(),
            reach.scopes.into(),
            key.hint.as_str().into(),
            key.now.0.into(),
            expires_at.into(),
        ],
    )
}

pub(crate) fn add_for_user(key: &NewKey, org: &OrgId, user: &UserId, expires_at: Option<i64>) -> Statement {
    Statement::new(
        "INSERT INTO user_keys (hash, id, org_id, user_id, hint, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [
            key.hash.as_str().into(),
            key.id.as_str().into(),
            org.as_str().into(),
            user.as_str().into(),
            key.hint.as_str().into(),
            key.now.0.into(),
            expires_at.into(),
        ],
    )
}

/// Puts a key in the place of one that is good, which stays good `until` then, or until it expires if that is sooner.
pub(crate) fn rotate(
    key: &NewKey,
    org: &OrgId,
    old: &ApiKeyId,
    expires_at: Option<i64>,
    until: Timestamp,
) -> Vec<Statement> {
    let good = "org_id = ?1 AND id = ?2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)";
    let is_good = format!(
        "EXISTS (SELECT 1 FROM api_keys WHERE {good}) OR EXISTS (SELECT 1 FROM user_keys WHERE {good})"
    );
    let mut statements = vec![
        Refused::Conflict.unless(&is_good, vec![org.as_str().into(), old.as_str().into(), key.now.0.into()]),
    ];
    for (table, columns) in
        [("api_keys", "org_id, agent_id, user_id, toolbox_id, scopes"), ("user_keys", "org_id, user_id")]
    {
        statements.push(Statement::new(
            format!(
                "INSERT INTO {table} (hash, id, hint, created_at, expires_at, {columns}) \
                 SELECT ?3, ?4, ?5, ?6, COALESCE(?7, expires_at), {columns} FROM {table} WHERE org_id = ?1 AND id = ?2"
            ),
            [
                org.as_str().into(),
                old.as_str().into(),
                key.hash.as_str().into(),
                key.id.as_str().into(),
                key.hint.as_str().into(),
                key.now.0.into(),
                expires_at.into(),
            ],
        ));
        let end = if until > key.now {
            "expires_at = MIN(?3, COALESCE(expires_at, ?3))"
        } else {
            "revoked_at = ?3"
        };
        statements.push(Statement::new(
            format!("UPDATE {table} SET {end} WHERE org_id = ?1 AND id = ?2"),
            [org.as_str().into(), old.as_str().into(), until.0.into()],
        ));
    }
    statements
}

/// Ends a key, if it has not ended.
pub(crate) fn revoke(org: &OrgId, id: &ApiKeyId, now: Timestamp) -> Vec<Statement> {
    ["api_keys", "user_keys"]
        .map(|table| {
            Statement::new(
                format!(
                    "UPDATE {table} SET revoked_at = ?3 WHERE org_id = ?1 AND id = ?2 AND revoked_at IS NULL"
                ),
                [org.as_str().into(), id.as_str().into(), now.0.into()],
            )
        })
        .into()
}
