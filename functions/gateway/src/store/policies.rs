//! Policy sets: immutable, by hash.

use ::policies::{PolicySource, SourceFile};
use schemas::ids::{OrgId, Sha256Hex, Timestamp};
use schemas::inventory::ToolDefinition;

use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// The source of a policy set.
pub(crate) async fn source(
    platform: &impl Platform,
    hash: &Sha256Hex,
) -> Result<Option<PolicySource>, PlatformError> {
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
pub(crate) fn add(source: &PolicySource, now: Timestamp) -> Result<Statement, PlatformError> {
    let text = serde_json::to_string(source).map_err(|error| PlatformError::Database(error.to_string()))?;
    let built_in = PolicySource::with_built_in(Vec::new());
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

/// What an author says with a version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    /// The cases that it must hold, as files.
    pub(crate) cases: Vec<SourceFile>,
    /// What it is for.
    pub(crate) note: String,
    /// Who published it.
    pub(crate) by: String,
    /// Who accepted it, where that took a second person.
    pub(crate) accepted_by: Option<String>,
}

/// Adds to the history, if the swap before it took effect.
///
/// # Errors
/// Only if the cases have no JSON form.
pub(crate) fn add_history(
    org: &OrgId,
    hash: &Sha256Hex,
    now: Timestamp,
    words: &Words,
) -> Result<Statement, PlatformError> {
    let cases = serde_json::to_string(&words.cases).map_err(|e| PlatformError::Database(e.to_string()))?;
    Ok(Statement::new(
        "INSERT INTO policy_history (org_id, version, hash, published_at, published_by, cases, note, accepted_by) \
         SELECT ?1, COALESCE((SELECT MAX(version) FROM policy_history WHERE org_id = ?1), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7 \
         WHERE EXISTS (SELECT 1 FROM orgs WHERE id = ?1 AND policy_set = ?2)",
        [
            org.as_str().into(),
            hash.as_str().into(),
            now.0.into(),
            words.by.as_str().into(),
            cases.into(),
            words.note.as_str().into(),
            words.accepted_by.as_deref().into(),
        ],
    ))
}

/// A published version.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    #[serde(rename = "version")]
    pub(crate) number: i64,
    pub(crate) hash: Sha256Hex,
    pub(crate) published_at: i64,
    pub(crate) published_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted_by: Option<String>,
    pub(crate) note: String,
    #[serde(skip)]
    pub(crate) cases: Vec<SourceFile>,
}

/// The newest versions of an organisation, at most `limit`; or one of them.
pub(crate) async fn history(
    platform: &impl Platform,
    org: &OrgId,
    only: Option<i64>,
    limit: i64,
) -> Result<Vec<Version>, PlatformError> {
    versions(platform, org, "?2 IS NULL OR version = ?2", only, limit).await
}

/// The newest versions before one, or of all.
pub(crate) async fn before(
    platform: &impl Platform,
    org: &OrgId,
    version: Option<i64>,
    limit: i64,
) -> Result<Vec<Version>, PlatformError> {
    versions(platform, org, "?2 IS NULL OR version < ?2", version, limit).await
}

async fn versions(
    platform: &impl Platform,
    org: &OrgId,
    condition: &str,
    number: Option<i64>,
    limit: i64,
) -> Result<Vec<Version>, PlatformError> {
    let sql = format!(
        "SELECT version, hash, published_at, published_by, accepted_by, note, cases FROM policy_history \
         WHERE org_id = ?1 AND ({condition}) ORDER BY version DESC LIMIT ?3"
    );
    let statement = Statement::new(sql, [org.as_str().into(), number.into(), limit.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    let version = |row: &Row| {
        Ok(Version {
            number: row.integer(0)?,
            hash: row.parse(1)?,
            published_at: row.integer(2)?,
            published_by: row.text(3)?.to_owned(),
            accepted_by: row.maybe_text(4)?.map(str::to_owned),
            note: row.text(5)?.to_owned(),
            cases: super::json(row, 6)?,
        })
    };
    results.iter().flatten().map(version).collect()
}

/// A set of an organisation, with the number of files that are the product's: one that it had, proposed, or tries out.
pub(crate) async fn of_org(
    platform: &impl Platform,
    org: &OrgId,
    hash: &Sha256Hex,
) -> Result<Option<(PolicySource, usize)>, PlatformError> {
    let sql = "SELECT p.source, p.built_in_files FROM policy_sets p WHERE p.hash = ?2 AND ( \
           EXISTS (SELECT 1 FROM orgs o WHERE o.id = ?1 AND ?2 IN (o.policy_set, o.shadow_set)) \
           OR EXISTS (SELECT 1 FROM policy_history h WHERE h.org_id = ?1 AND h.hash = ?2) \
           OR EXISTS (SELECT 1 FROM policy_proposals r WHERE r.org_id = ?1 AND r.hash = ?2))";
    let statement = Statement::new(sql, [org.as_str().into(), hash.as_str().into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| Ok((super::json(row, 0)?, usize::try_from(row.integer(1)?).unwrap_or(0))))
        .transpose()
}

/// The approved definitions of an organisation's tools. A changed one counts as it was approved; nobody can call it meanwhile.
pub(crate) async fn definitions(
    platform: &impl Platform,
    org: &OrgId,
) -> Result<Vec<ToolDefinition>, PlatformError> {
    let sql = "SELECT s.name, x.definition FROM tools x JOIN servers s ON s.id = x.server_id \
         WHERE s.org_id = ?1 AND x.state IN ('approved', 'changed') ORDER BY s.name, x.name";
    let results = platform.sql(Batch::read([Statement::new(sql, [org.as_str().into()])])).await?;
    let read = |row: &Row| Ok(ToolDefinition { server: row.parse(0)?, definition: super::json(row, 1)? });
    results.iter().flatten().map(read).collect()
}

/// Puts a draft on trial, or ends the trial.
pub(crate) fn shadow(org: &OrgId, draft: Option<&Sha256Hex>, by: &str, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE orgs SET shadow_set = ?2, shadow_since = CASE WHEN ?2 IS NULL THEN NULL ELSE ?3 END, \
         shadow_by = CASE WHEN ?2 IS NULL THEN NULL ELSE ?4 END WHERE id = ?1",
        [org.as_str().into(), draft.map(Sha256Hex::as_str).into(), now.0.into(), by.into()],
    )
}

/// An organisation whose policy set was made with other built-in policies than this build's.
#[derive(Debug)]
pub(crate) struct Outdated {
    pub(crate) org: OrgId,
    pub(crate) hash: Sha256Hex,
    /// The set with this build's built-in policies.
    pub(crate) source: PolicySource,
    /// The cases that go with it.
    pub(crate) cases: Vec<SourceFile>,
}

/// Such organisations, at most 100.
pub(crate) async fn outdated(platform: &impl Platform) -> Result<Vec<Outdated>, PlatformError> {
    let built_in = PolicySource::with_built_in(Vec::new()).hash();
    let results = platform
        .sql(Batch::read([Statement::new(
            "SELECT o.id, o.policy_set, p.source, p.built_in_files, COALESCE((SELECT h.cases FROM policy_history h \
             WHERE h.org_id = o.id ORDER BY h.version DESC LIMIT 1), '[]') FROM orgs o JOIN policy_sets p ON p.hash = o.policy_set \
             WHERE p.built_in <> ?1 ORDER BY o.id LIMIT 100",
            [built_in.as_str().into()],
        )]))
        .await?;
    results
        .iter()
        .flatten()
        .map(|row| {
            let PolicySource { files, tools }: PolicySource = super::json(row, 2)?;
            let built_in = usize::try_from(row.integer(3)?).unwrap_or(0);
            let own = files.into_iter().skip(built_in).collect();
            Ok(Outdated {
                org: row.parse(0)?,
                hash: row.parse(1)?,
                source: PolicySource { tools, ..PolicySource::with_built_in(own) },
                cases: super::json(row, 4)?,
            })
        })
        .collect()
}
