//! API keys: of agents, with which they call, and of people, with which they manage. A secret shows once, in the answer that makes it.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::ids::ApiKeyId;
use schemas::names::{AgentName, ToolboxName, UserName};
use serde_json::Value;

use super::desk::{Change, Desk, missing};
use super::problem::ApiError;
use super::reply::Reply;
use super::{agents, random, read, toolboxes, users};
use crate::identity::{api_key, person};
use crate::platform::{Platform, Statement};
use crate::secret::Secret;
pub(super) use crate::store::documents::KEYS as KIND;
use crate::store::documents::{self, room_for_a_key};
use crate::store::keys::{self as store, NewKey};

/// The longest that an old key may stay good after it was rotated, in seconds.
const LONGEST_OVERLAP: u32 = 7 * 24 * 60 * 60;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AgentKey {
    /// The person the agent acts for when it shows this key.
    #[serde(default)]
    user: Option<UserName>,
    /// The only toolbox where it is good.
    #[serde(default)]
    toolbox: Option<ToolboxName>,
    /// How far it reaches; without any, as far as the policies let the agent.
    #[serde(default)]
    scopes: BTreeSet<Scope>,
    /// Milliseconds since 1970.
    #[serde(default)]
    expires_at: Option<i64>,
}

#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    #[serde(rename = "mcp:read")]
    Read,
    #[serde(rename = "mcp:write")]
    Write,
}

impl Scope {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Read => "mcp:read",
            Self::Write => "mcp:write",
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UserKey {
    /// Milliseconds since 1970.
    #[serde(default)]
    expires_at: Option<i64>,
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, ApiKeyId::parse(id)?.as_str())).await
}

/// Makes a key for an agent.
pub(super) async fn add_for_agent<P: Platform>(
    desk: &Desk<'_, P>,
    agent: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = AgentName::parse(agent)?;
    let agent = agents::find(desk, &name).await?;
    let AgentKey { user, toolbox, scopes, expires_at } = read(body)?;
    in_future(desk, expires_at)?;
    let user = users::maybe(desk, user.as_ref()).await?;
    let toolbox = match &toolbox {
        Some(toolbox) => Some(toolboxes::find(desk, toolbox).await?),
        None => None,
    };
    let scopes = scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
    let key = mint(desk, Kind::Agent)?;
    let reach = store::Reach { agent: &agent, user: user.as_ref(), toolbox: toolbox.as_ref(), scopes };
    let statement = store::add_for_agent(&key.row, &desk.org.id, reach, expires_at);
    add(desk, key, format!("for agent `{name}`"), vec![statement]).await
}

/// Makes a key for a person.
pub(super) async fn add_for_user<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = UserName::parse(name)?;
    let UserKey { expires_at } = read(body)?;
    in_future(desk, expires_at)?;
    let user = users::find(desk, &name).await?;
    let key = mint(desk, Kind::Person)?;
    let statement = store::add_for_user(&key.row, &desk.org.id, &user, expires_at);
    add(desk, key, format!("for user `{name}`"), vec![statement]).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rotate {
    /// How long the old one stays good.
    #[serde(default)]
    overlap_seconds: u32,
    /// Milliseconds since 1970; without it, as the old one.
    #[serde(default)]
    expires_at: Option<i64>,
}

/// Makes a key in the place of another, and ends that one, at once or soon.
pub(super) async fn rotate<P: Platform>(
    desk: &Desk<'_, P>,
    id: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let old = ApiKeyId::parse(id)?;
    let Rotate { overlap_seconds, expires_at } = read(body)?;
    if overlap_seconds > LONGEST_OVERLAP {
        return Err(ApiError::Malformed(format!("`overlapSeconds` is at most {LONGEST_OVERLAP}: 7 days")));
    }
    in_future(desk, expires_at)?;
    let thing = desk.thing(&KIND, old.as_str());
    let known = documents::get(desk.platform, &thing).await?.ok_or_else(|| missing(&thing))?;
    let known: Value = serde_json::from_str(&known).unwrap_or_default();
    let kind = if known.get("agent").is_some_and(Value::is_string) { Kind::Agent } else { Kind::Person };
    let key = mint(desk, kind)?;
    let until = key.row.now.plus(i64::from(overlap_seconds) * 1000);
    let statements = store::rotate(&key.row, &desk.org.id, &old, expires_at, until);
    add(desk, key, format!("in the place of key {old}"), statements).await
}

/// Ends a key, at once.
pub(super) async fn revoke<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Reply, ApiError> {
    let id = ApiKeyId::parse(id)?;
    let statements = store::revoke(&desk.org.id, &id, desk.platform.now());
    let change = Change { action: "key.revoke", told: format!("key {id}"), statements };
    desk.delete(&desk.thing(&KIND, id.as_str()), change).await
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Agent,
    Person,
}

struct Minted {
    secret: Secret,
    row: NewKey,
}

fn mint<P: Platform>(desk: &Desk<'_, P>, kind: Kind) -> Result<Minted, ApiError> {
    let (secret, hash) = match kind {
        Kind::Agent => {
            let secret = api_key::mint(desk.platform);
            let hash = api_key::hash(secret.expose())?;
            (secret, hash)
        }
        Kind::Person => person::mint(desk.platform),
    };
    let now = desk.platform.now();
    let text = secret.expose();
    let hint = text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned();
    Ok(Minted { row: NewKey { hash, id: ApiKeyId::mint(now, random(desk.platform)), hint, now }, secret })
}

/// Adds a key, and answers it with its secret: the only place where that ever shows.
async fn add<P: Platform>(
    desk: &Desk<'_, P>,
    key: Minted,
    told: String,
    mut statements: Vec<Statement>,
) -> Result<Reply, ApiError> {
    let thing = desk.thing(&KIND, key.row.id.as_str());
    statements.insert(0, room_for_a_key(&desk.org.id, desk.gateway.settings.quota));
    statements.push(thing.select());
    let at = statements.len() - 1;
    let done = desk.change("key.create", format!("key {} {told}", key.row.id), statements).await;
    let results = done.map_err(|error| desk.refused(&thing, error))?;
    let made = documents::read(results.get(at))?.ok_or_else(|| missing(&thing))?;
    let mut made: Value = serde_json::from_str(&made).unwrap_or_default();
    if let Some(made) = made.as_object_mut() {
        made.insert("key".to_owned(), key.secret.expose().into());
    }
    Ok(Reply::from(made).made(format!("orgs/{}/keys/{}", desk.name, key.row.id)))
}

fn in_future<P: Platform>(desk: &Desk<'_, P>, expires_at: Option<i64>) -> Result<(), ApiError> {
    if expires_at.is_some_and(|at| at <= desk.platform.now().0) {
        return Err(ApiError::Malformed(
            "`expiresAt` is in the past: it counts milliseconds since 1970".into(),
        ));
    }
    Ok(())
}
