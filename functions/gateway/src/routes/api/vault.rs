//! The keys of the vault, for the operator of the deployment: how they are, newer ones for older ones, and the end of an organisation's.

use bytes::Bytes;
use schemas::decision::OrgFacts;
use schemas::names::OrgName;
use serde_json::{Value, json};

use super::desk::about;
use super::problem::ApiError;
use super::query::Query;
use super::read;
use crate::Gateway;
use crate::audit;
use crate::identity::operator::Operator;
use crate::identity::person::Person;
use crate::platform::{Batch, Platform, Row};
use crate::store::{admin, sealed, tenant_keys};
use crate::vault::VaultError;

/// Keys and values that one request moves, unless it says otherwise: with a key service each key takes three requests to it.
const USUAL: i64 = 50;
/// And at most.
const MOST: i64 = 500;

/// The operator asks, and is told why: what others hear of it is nothing but that the vault can't be opened.
fn told(error: VaultError) -> ApiError {
    match error {
        VaultError::Platform(error) => ApiError::Platform(error),
        cause @ (VaultError::Unopened | VaultError::Gone { .. } | VaultError::Root(_)) => {
            ApiError::Vault { told: cause.to_string(), cause }
        }
    }
}

/// The root keys, what they wrapped, and what is left to be moved; for an organisation, the versions of its key.
pub(super) async fn get<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    text: Option<&str>,
) -> Result<Value, ApiError> {
    if let Some(name) = Query::read(text, &["org"])?.get("org") {
        let name = OrgName::parse(name)?;
        let org = find(platform, &name).await?;
        let results = platform.sql(Batch::read([tenant_keys::of_org(&org.id)])).await?;
        return Ok(json!({ "org": name, "keys": documents(results.first())? }));
    }
    let (root, before) = gateway.keys.roots();
    // A root that can't be asked is what an operator comes here to see.
    let (mark, trouble) = match gateway.keys.mark(platform).await {
        Ok(mark) => (mark, None),
        Err(error) => (root.to_owned(), Some(error.to_string())),
    };
    let results = platform.sql(Batch::read([tenant_keys::by_root(), sealed::counts(&mark)])).await?;
    let count =
        |column| results.get(1).and_then(|rows| rows.first()).map_or(Ok(0), |row| row.integer(column));
    Ok(json!({
        "root": mark, "rootsBefore": before, "trouble": trouble, "roots": documents(results.first())?,
        "values": count(0)?, "left": { "values": count(1)?, "keys": count(2)? },
    }))
}

fn documents(rows: Option<&Vec<Row>>) -> Result<Vec<Value>, ApiError> {
    let texts = rows.into_iter().flatten().map(|row| row.text(0));
    let parsed = texts.map(|text| Ok(serde_json::from_str(text?).unwrap_or_default()));
    parsed.collect::<Result<_, crate::platform::PlatformError>>().map_err(ApiError::Platform)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOrg {
    org: OrgName,
}

/// A new version of an organisation's key.
pub(super) async fn rotate<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    proof: &Operator,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let OfOrg { org: name } = read(body)?;
    let org = find(platform, &name).await?;
    let about = about(&org.id, Person::operator(proof, &org)?.actor(), "vault.rotate", None);
    let note = |version| {
        let told = format!("the vault of organisation `{name}` seals under version {version} of its key");
        audit::note_statement(platform, &about, told, None)
    };
    let version = gateway.keys.rotate(platform, &org.id, note).await.map_err(told)?;
    Ok(json!({ "org": name, "version": version }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Round {
    limit: Option<i64>,
    #[serde(default)]
    after: String,
}

/// Moves keys and values under the newest, so many at most.
pub(super) async fn rewrap<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let Round { limit, after } = read(body)?;
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::Malformed(format!("`limit` is {limit}: give 1 to {MOST}")));
    }
    let mark = gateway.keys.mark(platform).await.map_err(told)?;
    let moved = gateway.keys.rewrap(platform, &mark, &after, limit).await.map_err(told)?;
    let results = platform.sql(Batch::read([sealed::counts(&mark)])).await?;
    let count =
        |column| results.first().and_then(|rows| rows.first()).map_or(Ok(0), |row| row.integer(column));
    let failed: Vec<Value> =
        moved.failed.iter().map(|(what, error)| json!({ "what": what, "why": error.to_string() })).collect();
    Ok(json!({
        "done": { "keys": moved.keys, "values": moved.values }, "left": { "keys": count(2)?, "values": count(1)? },
        "failed": failed, "next": moved.next,
    }))
}

/// Deletes the keys of an organisation, and all that is sealed under them.
pub(super) async fn shred<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    proof: &Operator,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let OfOrg { org: name } = read(body)?;
    let org = find(platform, &name).await?;
    let about = about(&org.id, Person::operator(proof, &org)?.actor(), "vault.shred", None);
    let told =
        format!("the keys of the vault of organisation `{name}` are shredded, and its accounts disconnected");
    let note = audit::note_statement(platform, &about, told, None)?;
    let (keys, connections) = gateway.keys.shred(platform, &org.id, note).await?;
    Ok(json!({ "org": name, "keys": keys, "connections": connections }))
}

async fn find(platform: &impl Platform, name: &OrgName) -> Result<OrgFacts, ApiError> {
    let org = admin::org(platform, name).await?;
    let org = org.ok_or_else(|| ApiError::NotFound(format!("organisation `{name}`")))?;
    Ok(OrgFacts { id: org.id, name: name.clone() })
}
