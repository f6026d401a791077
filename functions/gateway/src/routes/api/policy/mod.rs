//! The organisation's policies: what there is, what there was, what is proposed, what is on trial.

mod allow;
mod draft;
pub(super) mod proposals;
mod publish;
pub(super) mod shadow;

use ::policies::PolicySource;
use schemas::ids::{OrgId, Sha256Hex};
use schemas::names::OrgName;
use serde_json::{Value, json};

pub(super) use self::allow::allow;
pub(super) use self::draft::{Draft, check, retyped};
pub(super) use self::publish::{publish, replacement, rollback};
use super::problem::ApiError;
use super::{Desk, about, random};
use crate::audit;
use crate::identity::person::Person;
use crate::platform::{Batch, Platform, PlatformError};
use crate::store;
use crate::store::policies::{Version, history as versions};

/// Versions of one answer.
const VERSIONS: i64 = 100;

/// Makes an organisation, with the built-in policies only: nobody may do anything yet.
pub(super) async fn put_org<P: Platform>(
    platform: &P,
    proof: &crate::identity::operator::Operator,
    name: &OrgName,
) -> Result<Value, ApiError> {
    if let Some(org) = store::admin::org(platform, name).await? {
        return Ok(json!({ "id": org.id, "name": name, "created": false }));
    }
    let now = platform.now();
    let source = PolicySource::with_built_in(Vec::new());
    let hash = source.hash();
    let id = OrgId::mint(now, random(platform));
    let facts = schemas::decision::OrgFacts { id: id.clone(), name: name.clone() };
    let actor = Person::operator(proof, &facts)?.actor();
    let about = about(&id, actor, "org.create", None);
    let note = audit::note_statement(platform, &about, format!("organisation `{name}`"), None)?;
    let statements =
        vec![store::policies::add(&source, now)?, store::admin::add_org(&id, name, &hash, now), note];
    platform.sql(Batch::write(statements)).await?;
    let org = store::admin::org(platform, name)
        .await?
        .ok_or_else(|| PlatformError::Database("the organisation is not there".into()))?;
    Ok(json!({ "id": org.id, "name": name, "created": org.id == id }))
}

/// The newest version, if anything was ever published.
async fn newest<P: Platform>(desk: &Desk<'_, P>) -> Result<Option<Version>, ApiError> {
    Ok(versions(desk.platform, &desk.org.id, None, 1).await?.into_iter().next())
}

/// A set of this organisation, with the number of files that are the product's.
async fn known<P: Platform>(desk: &Desk<'_, P>, hash: &Sha256Hex) -> Result<(PolicySource, usize), ApiError> {
    store::policies::of_org(desk.platform, &desk.org.id, hash)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("policy set `{hash}` in this organisation")))
}

/// The organisation's own files and cases, and the hash of the whole set.
pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>) -> Result<Value, ApiError> {
    let (source, built_in) = known(desk, &desk.org.policy_set).await?;
    let (theirs, ours) = source.files.split_at_checked(built_in).unwrap_or((&[], &source.files));
    let newest = newest(desk).await?;
    let cases = newest.as_ref().map(|version| version.cases.clone()).unwrap_or_default();
    Ok(json!({
        "hash": desk.org.policy_set,
        "version": newest.map(|version| version.number),
        "files": ours,
        "cases": cases,
        "builtIn": theirs,
        "tools": source.tools,
        "shadow": desk.org.shadow_set,
    }))
}

/// The newest versions, newest first.
pub(super) async fn history<P: Platform>(desk: &Desk<'_, P>) -> Result<Value, ApiError> {
    let versions = versions(desk.platform, &desk.org.id, None, VERSIONS).await?;
    Ok(json!({ "versions": versions, "live": desk.org.policy_set }))
}

/// One set, whole: what its hash covers.
pub(super) async fn set<P: Platform>(desk: &Desk<'_, P>, hash: &str) -> Result<Value, ApiError> {
    let (source, built_in) = known(desk, &Sha256Hex::parse(hash)?).await?;
    Ok(json!({ "files": source.files, "tools": source.tools, "builtInFiles": built_in }))
}
