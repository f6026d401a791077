//! Users, agents, their keys, and issuers.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::decision::Status;
use schemas::ids::{AgentId, ApiKeyId, UserId};
use schemas::names::{AgentName, RoleName, UserName};
use serde_json::{Value, json};

use super::problem::ApiError;
use super::{Desk, random, read};
use crate::identity::{api_key, jwt, person};
use crate::platform::Platform;
use crate::store::{self, admin};

fn active() -> Status {
    Status::Active
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    #[serde(default)]
    email: String,
    #[serde(default = "active")]
    status: Status,
    /// What they do in the organisation; without it, as it was.
    #[serde(default)]
    roles: Option<BTreeSet<RoleName>>,
}

pub(super) async fn put_user<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = UserName::parse(name)?;
    is_free_to_choose(&name)?;
    let User { email, status, roles } = read(body)?;
    let now = desk.platform.now();
    let id = UserId::mint(now, random(desk.platform));
    let mut statements = vec![admin::put_user(&id, &desk.org.id, &name, &email, status, now)];
    let mut told = format!("user `{name}`, {status:?}");
    if let Some(roles) = &roles {
        statements.extend(store::people::put_roles(&desk.org.id, name.as_str(), roles.iter()));
        let roles: Vec<&str> = roles.iter().map(RoleName::as_str).collect();
        told.push_str(", roles: ");
        told.push_str(&roles.join(", "));
    }
    desk.change("user.put", told, statements).await?;
    Ok(json!({ "name": name }))
}

/// Whether a person may be called that.
pub(super) fn is_free_to_choose(name: &UserName) -> Result<(), ApiError> {
    if name.as_str().starts_with('@') {
        return Err(ApiError::Malformed("names that start with `@` are the product's own".into()));
    }
    Ok(())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OwnKey {
    /// Milliseconds since 1970.
    #[serde(default)]
    expires_at: Option<i64>,
}

/// Makes a key with which a person manages. This answer is the only place where it ever shows.
pub(super) async fn add_own_key<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = UserName::parse(name)?;
    let OwnKey { expires_at } = read(body)?;
    let user = user(desk, &name).await?;
    let now = desk.platform.now();
    let id = ApiKeyId::mint(now, random(desk.platform));
    let (key, hash) = person::mint(desk.platform);
    let statement = store::people::add_key(&hash, &id, &desk.org.id, &user, expires_at, now);
    desk.change("key.create", format!("key {id} for user `{name}`"), vec![statement]).await?;
    Ok(json!({ "id": id, "key": key.expose() }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Agent {
    #[serde(default)]
    owner: Option<UserName>,
    #[serde(default)]
    oauth_client: Option<String>,
    #[serde(default = "active")]
    status: Status,
}

pub(super) async fn put_agent<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = AgentName::parse(name)?;
    let Agent { owner, oauth_client, status } = read(body)?;
    let owner = maybe_user(desk, owner.as_ref()).await?;
    let now = desk.platform.now();
    let id = AgentId::mint(now, random(desk.platform));
    let statement =
        admin::put_agent(&id, &desk.org.id, &name, owner.as_ref(), oauth_client.as_deref(), status, now);
    desk.change("agent.put", format!("agent `{name}`, {status:?}"), vec![statement]).await?;
    Ok(json!({ "name": name }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Key {
    /// The person the agent acts for when it shows this key.
    #[serde(default)]
    user: Option<UserName>,
    /// Milliseconds since 1970.
    #[serde(default)]
    expires_at: Option<i64>,
}

/// Makes a key. This answer is the only place where it ever shows.
pub(super) async fn add_key<P: Platform>(
    desk: &Desk<'_, P>,
    agent: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = AgentName::parse(agent)?;
    let agent = self::agent(desk, &name).await?;
    let Key { user, expires_at } = read(body)?;
    let user = maybe_user(desk, user.as_ref()).await?;
    let now = desk.platform.now();
    let id = ApiKeyId::mint(now, random(desk.platform));
    let key = api_key::mint(desk.platform);
    let hash = api_key::hash(key.expose())?;
    let statement = admin::add_key(&hash, &id, &desk.org.id, &agent, user.as_ref(), expires_at, now);
    desk.change("key.create", format!("key {id} for agent `{name}`"), vec![statement]).await?;
    Ok(json!({ "id": id, "key": key.expose() }))
}

pub(super) async fn revoke_key<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Value, ApiError> {
    let id = ApiKeyId::parse(id)?;
    let now = desk.platform.now();
    let statements =
        vec![admin::revoke_key(&desk.org.id, &id, now), store::people::revoke_key(&desk.org.id, &id, now)];
    let results = desk.change("key.revoke", format!("key {id}"), statements).await?;
    Ok(json!({ "revoked": results.iter().take(2).any(|rows| !rows.is_empty()) }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Issuer {
    #[serde(rename = "issuer")]
    name: String,
    jwks_uri: String,
    algorithms: Vec<String>,
}

pub(super) async fn put_issuer<P: Platform>(desk: &Desk<'_, P>, body: &Bytes) -> Result<Value, ApiError> {
    let Issuer { name: issuer, jwks_uri, algorithms } = read(body)?;
    if let Some(unknown) = algorithms.iter().find(|algorithm| !jwt::ALGORITHMS.contains(&algorithm.as_str()))
    {
        return Err(ApiError::Malformed(format!(
            "algorithm `{unknown}` is not one of {}",
            jwt::ALGORITHMS.join(", ")
        )));
    }
    let loopback = |url: &url::Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let fetched_safely = url::Url::parse(&jwks_uri)
        .is_ok_and(|url| url.scheme() == "https" || (url.scheme() == "http" && loopback(&url)));
    if algorithms.is_empty() || !fetched_safely {
        return Err(ApiError::Malformed("an issuer needs `algorithms` and a `jwksUri` with https".into()));
    }
    let algorithms = json!(algorithms).to_string();
    let statement = admin::put_issuer(&desk.org.id, &issuer, &jwks_uri, algorithms, desk.platform.now());
    desk.change("issuer.put", format!("issuer `{issuer}`"), vec![statement]).await?;
    Ok(json!({ "issuer": issuer }))
}

/// The agent of that name.
pub(super) async fn agent<P: Platform>(desk: &Desk<'_, P>, name: &AgentName) -> Result<AgentId, ApiError> {
    let id = admin::agent(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("agent `{name}`")))
}

/// The person of that name.
pub(super) async fn user<P: Platform>(desk: &Desk<'_, P>, name: &UserName) -> Result<UserId, ApiError> {
    let id = admin::user(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("user `{name}`")))
}

async fn maybe_user<P: Platform>(
    desk: &Desk<'_, P>,
    name: Option<&UserName>,
) -> Result<Option<UserId>, ApiError> {
    match name {
        Some(name) => user(desk, name).await.map(Some),
        None => Ok(None),
    }
}
