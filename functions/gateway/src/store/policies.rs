//! Policy sets: immutable, by hash.

use schemas::ids::{OrgId, Sha256Hex, Timestamp};

use crate::platform::{Batch, Platform, PlatformError, Statement, Value};

/// The source of a policy set.
pub(crate) async fn source(
    platform: &impl Platform,
    hash: &Sha256Hex,
) -> Result<Option<::policies::PolicySource>, PlatformError> {
    let results = platform
        .sql(Batch::read([Statement::new(
            "SELECT source FROM policy_sets WHERE hash = ?1",
            [hash.as_str().into()],
        )]))
        .await?;
    super::first(&results, 0).map(|row| super::json(row, 0)).transpose()
}

/// The statement that adds a set, unless it is there.
///
/// # Errors
/// Only if the source has no JSON form.
pub(crate) fn add(source: &::policies::PolicySource, now: Timestamp) -> Result<Statement, PlatformError> {
    let text = serde_json::to_string(source).map_err(|error| PlatformError::Database(error.to_string()))?;
    let built_in = ::policies::PolicySource::with_built_in(Vec::new());
    Ok(Statement::new(
        "INSERT INTO policy_sets (hash, source, built_in, built_in_files, created_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        [
            source.hash().as_str().into(),
            text.into(),
            built_in.hash().as_str().into(),
            Value::Integer(i64::try_from(built_in.files.len()).unwrap_or(0)),
            now.0.into(),
        ],
    ))
}

/// Makes another policy set the organisation's, if the expected one still is. One statement, so it is atomic everywhere.
pub(crate) fn swap(org: &OrgId, expected: &Sha256Hex, new: &Sha256Hex) -> Statement {
    Statement::new(
        "UPDATE orgs SET policy_set = ?3 WHERE id = ?1 AND policy_set = ?2 RETURNING id",
        [org.as_str().into(), expected.as_str().into(), new.as_str().into()],
    )
}

/// Adds to the history, if the swap before it took effect.
pub(crate) fn add_history(org: &OrgId, hash: &Sha256Hex, now: Timestamp, by: &str) -> Statement {
    Statement::new(
        "INSERT INTO policy_history (org_id, version, hash, published_at, published_by) \
         SELECT ?1, COALESCE((SELECT MAX(version) FROM policy_history WHERE org_id = ?1), 0) + 1, ?2, ?3, ?4 \
         WHERE EXISTS (SELECT 1 FROM orgs WHERE id = ?1 AND policy_set = ?2)",
        [org.as_str().into(), hash.as_str().into(), now.0.into(), by.into()],
    )
}

/// An organisation whose policy set was made with other built-in policies than this build's.
#[derive(Debug)]
pub(crate) struct Outdated {
    pub(crate) org: OrgId,
    pub(crate) hash: Sha256Hex,
    /// Its own files.
    pub(crate) own: Vec<::policies::SourceFile>,
}

/// Such organisations, at most 100.
pub(crate) async fn outdated(platform: &impl Platform) -> Result<Vec<Outdated>, PlatformError> {
    let built_in = ::policies::PolicySource::with_built_in(Vec::new()).hash();
    let results = platform
        .sql(Batch::read([Statement::new(
            "SELECT o.id, o.policy_set, p.source, p.built_in_files FROM orgs o JOIN policy_sets p ON p.hash = o.policy_set \
             WHERE p.built_in <> ?1 ORDER BY o.id LIMIT 100",
            [built_in.as_str().into()],
        )]))
        .await?;
    results
        .iter()
        .flatten()
        .map(|row| {
            let source: ::policies::PolicySource = super::json(row, 2)?;
            let built_in = usize::try_from(row.integer(3)?).unwrap_or(0);
            Ok(Outdated {
                org: row.parse(0)?,
                hash: row.parse(1)?,
                own: source.files.into_iter().skip(built_in).collect(),
            })
        })
        .collect()
}
