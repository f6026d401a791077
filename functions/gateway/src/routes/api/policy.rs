//! Organisations and their policy sets.

use ::policies::{PolicySource, PublishError, SourceFile};
use bytes::Bytes;
use schemas::ids::{OrgId, Sha256Hex};
use schemas::names::OrgName;
use serde_json::{Value, json};

use super::{ApiError, Desk, about, random, read};
use crate::audit;
use crate::platform::{Batch, Platform, PlatformError};
use crate::store;

/// Makes an organisation, with the built-in policies only: nobody may do anything yet.
pub(super) async fn put_org<P: Platform>(platform: &P, name: &OrgName) -> Result<Value, ApiError> {
    if let Some(org) = store::admin::org(platform, name).await? {
        return Ok(json!({ "id": org.id, "name": name, "created": false }));
    }
    let now = platform.now();
    let source = PolicySource::with_built_in(Vec::new());
    let hash = source.hash();
    let id = OrgId::mint(now, random(platform));
    let note =
        audit::note_statement(platform, &about(&id, "org.create", None), format!("organisation `{name}`"))?;
    let statements =
        vec![store::policies::add(&source, now)?, store::admin::add_org(&id, name, &hash, now), note];
    platform.sql(Batch::write(statements)).await?;
    let org = store::admin::org(platform, name)
        .await?
        .ok_or_else(|| PlatformError::Database("the organisation is not there".into()))?;
    Ok(json!({ "id": org.id, "name": name, "created": org.id == id }))
}

/// The organisation's own files, and the hash of the whole set.
pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>) -> Result<Value, ApiError> {
    let source = store::policies::source(desk.platform, &desk.org.policy_set).await?.unwrap_or_default();
    let built_in = ::policies::built_in();
    let (theirs, ours): (Vec<&SourceFile>, Vec<&SourceFile>) =
        source.files.iter().partition(|file| built_in.iter().any(|b| b.name == file.name));
    Ok(json!({ "hash": desk.org.policy_set, "files": ours, "builtIn": theirs }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    files: Vec<SourceFile>,
    /// The hash this is meant to replace; without it, whatever is there.
    #[serde(default)]
    replaces: Option<Sha256Hex>,
}

/// Publishes the organisation's own files: parsed, validated with warnings as errors, then switched atomically.
pub(super) async fn publish<P: Platform>(desk: &Desk<'_, P>, body: &Bytes) -> Result<Value, ApiError> {
    let Publish { files, replaces } = read(body)?;
    if let Some(file) =
        files.iter().find(|file| ::policies::built_in().iter().any(|built_in| built_in.name == file.name))
    {
        return Err(ApiError::Malformed(format!(
            "`{}` is a built-in file: give yours another name",
            file.name
        )));
    }
    let source = PolicySource::with_built_in(files);
    ::policies::compile(&source).map_err(|error| refused(&error))?;
    let hash = source.hash();
    let expected = replaces.unwrap_or_else(|| desk.org.policy_set.clone());
    if hash == desk.org.policy_set {
        return Ok(json!({ "hash": hash, "changed": false }));
    }
    let now = desk.platform.now();
    let statements = vec![
        store::policies::add(&source, now)?,
        store::policies::swap(&desk.org.id, &expected, &hash),
        store::policies::add_history(&desk.org.id, &hash, now, "operator"),
    ];
    let results = desk
        .change("policy.publish", format!("policy set {hash} is to replace {expected}"), statements)
        .await?;
    if results.get(1).is_none_or(Vec::is_empty) {
        return Err(ApiError::Conflict(
            "someone else published in the meantime: look at theirs, then publish again".into(),
        ));
    }
    Ok(json!({ "hash": hash, "changed": true }))
}

fn refused(error: &PublishError) -> ApiError {
    let details = error.problems().iter().map(ToString::to_string).collect::<Vec<_>>();
    ApiError::Refused { message: "the policies can't be published".to_owned(), details: json!(details) }
}
