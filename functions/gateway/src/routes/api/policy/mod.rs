//! The organisation's policies: what there is, what there was, what is proposed, what is on trial.

mod allow;
mod draft;
pub(super) mod proposals;
mod publish;
pub(super) mod shadow;

use ::policies::PolicySource;
use schemas::ids::Sha256Hex;
use serde_json::{Value, json};

pub(super) use self::allow::allow;
pub(super) use self::draft::{Draft, check, retyped};
pub(super) use self::publish::{publish, replacement, rollback};
use super::Desk;
use super::problem::ApiError;
use super::query::{Query, with_next};
use crate::platform::Platform;
use crate::store;
use crate::store::policies::{Version, history as versions};

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

/// A page of versions, newest first.
pub(super) async fn history<P: Platform>(desk: &Desk<'_, P>, query: Option<&str>) -> Result<Value, ApiError> {
    let page = Query::of_list(query, &[])?.page()?;
    let before = page.number()?;
    let mut found = store::policies::before(desk.platform, &desk.org.id, before, page.wanted()).await?;
    let next = page.cut(&mut found, |version| version.number.to_string());
    Ok(with_next(json!({ "versions": found, "live": desk.org.policy_set }), next))
}

/// One set, whole: what its hash covers.
pub(super) async fn set<P: Platform>(desk: &Desk<'_, P>, hash: &str) -> Result<Value, ApiError> {
    let (source, built_in) = known(desk, &Sha256Hex::parse(hash)?).await?;
    Ok(json!({ "files": source.files, "tools": source.tools, "builtInFiles": built_in }))
}
