//! Users, agents, their keys, issuers and plain grants.

use bytes::Bytes;
use schemas::decision::Status;
use schemas::ids::{AgentId, ApiKeyId, UserId};
use schemas::names::{AgentName, ServerName, ToolName, ToolboxName, UserName};
use serde_json::{Value, json};

use super::{ApiError, Desk, random, read};
use crate::identity::{api_key, jwt};
use crate::platform::Platform;
use crate::store::admin;

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
}

pub(super) async fn put_user<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = UserName::parse(name)?;
    let User { email, status } = read(body)?;
    let now = desk.platform.now();
    let id = UserId::mint(now, random(desk.platform));
    let statement = admin::put_user(&id, &desk.org.id, &name, &email, status, now);
    desk.change("user.put", format!("user `{name}`, {status:?}"), vec![statement]).await?;
    Ok(json!({ "name": name }))
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
    let owner = find_user(desk, owner.as_ref()).await?;
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
    let (name, agent) = find_agent(desk, agent).await?;
    let Key { user, expires_at } = read(body)?;
    let user = find_user(desk, user.as_ref()).await?;
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
    let statement = admin::revoke_key(&desk.org.id, &id, desk.platform.now());
    let results = desk.change("key.revoke", format!("key {id}"), vec![statement]).await?;
    Ok(json!({ "revoked": results.first().is_some_and(|rows| !rows.is_empty()) }))
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

pub(super) async fn grant<P: Platform>(
    desk: &Desk<'_, P>,
    agent: &str,
    kind: &str,
    what: &[&str],
) -> Result<Value, ApiError> {
    let (name, agent) = find_agent(desk, agent).await?;
    let resource = resource(desk, kind, what).await?;
    let statement = admin::grant(&desk.org.id, &agent, &resource, desk.platform.now());
    desk.change("grant.add", format!("agent `{name}` may use {kind} `{}`", what.join("/")), vec![statement])
        .await?;
    Ok(json!({ "granted": true }))
}

pub(super) async fn revoke_grant<P: Platform>(
    desk: &Desk<'_, P>,
    agent: &str,
    kind: &str,
    what: &[&str],
) -> Result<Value, ApiError> {
    let (name, agent) = find_agent(desk, agent).await?;
    let resource = resource(desk, kind, what).await?;
    let statement = admin::revoke_grant(&agent, &resource);
    desk.change(
        "grant.revoke",
        format!("agent `{name}` may not use {kind} `{}` by grant", what.join("/")),
        vec![statement],
    )
    .await?;
    Ok(json!({ "granted": false }))
}

/// How the store names what is granted.
async fn resource<P: Platform>(desk: &Desk<'_, P>, kind: &str, what: &[&str]) -> Result<String, ApiError> {
    match (kind, what) {
        ("toolbox", [name]) => {
            let name = ToolboxName::parse(name)?;
            let id = admin::toolbox(desk.platform, &desk.org.id, &name).await?;
            id.map(|id| format!("toolbox:{id}"))
                .ok_or_else(|| ApiError::NotFound(format!("toolbox `{name}`")))
        }
        ("server", [name]) => {
            let name = ServerName::parse(name)?;
            let id = admin::server(desk.platform, &desk.org.id, &name).await?;
            id.map(|id| format!("server:{id}")).ok_or_else(|| ApiError::NotFound(format!("server `{name}`")))
        }
        ("tool", [server, tool]) => {
            let (server, tool) = (ServerName::parse(server)?, ToolName::parse(tool)?);
            let id = admin::server(desk.platform, &desk.org.id, &server).await?;
            id.map(|id| format!("tool:{id}/{tool}"))
                .ok_or_else(|| ApiError::NotFound(format!("server `{server}`")))
        }
        _ => Err(ApiError::NotFound(
            "such kind of grant: use toolbox/{name}, server/{name} or tool/{server}/{tool}".into(),
        )),
    }
}

async fn find_agent<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<(AgentName, AgentId), ApiError> {
    let name = AgentName::parse(name)?;
    let id = admin::agent(desk.platform, &desk.org.id, &name).await?;
    let id = id.ok_or_else(|| ApiError::NotFound(format!("agent `{name}`")))?;
    Ok((name, id))
}

async fn find_user<P: Platform>(
    desk: &Desk<'_, P>,
    name: Option<&UserName>,
) -> Result<Option<UserId>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let id = admin::user(desk.platform, &desk.org.id, name).await?;
    id.map(Some).ok_or_else(|| ApiError::NotFound(format!("user `{name}`")))
}
