//! The keys of organisations, as their roots wrapped them.

use schemas::ids::{OrgId, Timestamp};

use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

/// A wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantKeyRow {
    pub(crate) version: u32,
    /// The root that wrapped it.
    pub(crate) root: String,
    pub(crate) wrapped: String,
    /// How everything begins that is sealed under it.
    pub(crate) prefix: String,
    pub(crate) state: State,
}

/// Whether there still is a key in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Active,
    Shredded,
}

fn read(row: &Row) -> Result<TenantKeyRow, PlatformError> {
    Ok(TenantKeyRow {
        version: version(row, 0)?,
        root: row.text(1)?.to_owned(),
        wrapped: row.text(2)?.to_owned(),
        prefix: row.text(3)?.to_owned(),
        state: super::word(row, 4)?,
    })
}

fn version(row: &Row, column: usize) -> Result<u32, PlatformError> {
    let number = row.integer(column)?;
    u32::try_from(number).map_err(|_| PlatformError::Database(format!("{number} is no version of a key")))
}

/// The newest version of an organisation, be it shredded.
pub(crate) async fn newest(
    platform: &impl Platform,
    org: &OrgId,
) -> Result<Option<TenantKeyRow>, PlatformError> {
    let statement = Statement::new(
        "SELECT version, root, wrapped, prefix, state FROM tenant_keys WHERE org_id = ?1 ORDER BY version DESC LIMIT 1",
        [org.as_str().into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(read).transpose()
}

/// One version of an organisation.
pub(crate) async fn find(
    platform: &impl Platform,
    org: &OrgId,
    version: u32,
) -> Result<Option<TenantKeyRow>, PlatformError> {
    let results = platform.sql(Batch::read([select(org, version)])).await?;
    super::first(&results, 0).map(read).transpose()
}

fn select(org: &OrgId, version: u32) -> Statement {
    Statement::new(
        "SELECT version, root, wrapped, prefix, state FROM tenant_keys WHERE org_id = ?1 AND version = ?2",
        [org.as_str().into(), i64::from(version).into()],
    )
}

/// Adds a version, unless somebody else just did, and answers what is there now. `note` is written along.
pub(crate) async fn add(
    platform: &impl Platform,
    org: &OrgId,
    new: &TenantKeyRow,
    note: Option<Statement>,
    now: Timestamp,
) -> Result<Option<TenantKeyRow>, PlatformError> {
    let insert = Statement::new(
        "INSERT OR IGNORE INTO tenant_keys (org_id, version, root, wrapped, prefix, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        [
            org.as_str().into(),
            i64::from(new.version).into(),
            new.root.as_str().into(),
            new.wrapped.as_str().into(),
            new.prefix.as_str().into(),
            now.0.into(),
        ],
    );
    let mut statements = vec![insert, select(org, new.version)];
    statements.extend(note);
    let results = platform.sql(Batch::write(statements)).await?;
    super::first(&results, 1).map(read).transpose()
}

/// A key that another root wrapped.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    /// Where the next page goes on.
    pub(crate) at: String,
    pub(crate) org: OrgId,
    pub(crate) row: TenantKeyRow,
}

/// Keys that another root wrapped than this, in an order that stays, after one: at most so many.
pub(crate) async fn wrapped_elsewhere(
    platform: &impl Platform,
    root: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Elsewhere>, PlatformError> {
    let statement = Statement::new(
        "SELECT version, root, wrapped, prefix, state, org_id, org_id || '/' || printf('%010d', version) AS at FROM tenant_keys \
         WHERE state = 'active' AND root <> ?1 AND org_id || '/' || printf('%010d', version) > ?2 ORDER BY at LIMIT ?3",
        [root.into(), after.into(), limit.into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    let elsewhere =
        |row| Ok(Elsewhere { at: Row::text(row, 6)?.to_owned(), org: row.parse(5)?, row: read(row)? });
    results.iter().flatten().map(elsewhere).collect()
}

/// Puts a key under another root, if it still is wrapped as it was.
pub(crate) fn rewrap(org: &OrgId, row: &TenantKeyRow, root: &str, wrapped: &str) -> Statement {
    Statement::new(
        "UPDATE tenant_keys SET root = ?3, wrapped = ?4 WHERE org_id = ?1 AND version = ?2 AND wrapped = ?5 RETURNING version",
        [
            org.as_str().into(),
            i64::from(row.version).into(),
            root.into(),
            wrapped.into(),
            row.wrapped.as_str().into(),
        ],
    )
}

/// Deletes all keys of an organisation: nothing that is sealed under them ever opens again.
pub(crate) fn shred(org: &OrgId) -> Statement {
    Statement::new(
        "UPDATE tenant_keys SET state = 'shredded', wrapped = '' WHERE org_id = ?1 AND state = 'active' RETURNING version",
        [org.as_str().into()],
    )
}

/// How many keys each root wrapped, with how many organisations they are of.
pub(crate) fn by_root() -> Statement {
    Statement::new(
        "SELECT json_object('root', root, 'keys', COUNT(*), 'orgs', COUNT(DISTINCT org_id)) FROM tenant_keys WHERE state = 'active' \
         GROUP BY root ORDER BY root",
        [],
    )
}

/// The versions of an organisation, and how many values are sealed under each.
pub(crate) fn of_org(org: &OrgId) -> Statement {
    let sql = format!(
        "SELECT json_object('version', k.version, 'root', k.root, 'state', k.state, 'createdAt', k.created_at, \
         'newest', json(iif(k.version = (SELECT MAX(version) FROM tenant_keys WHERE org_id = ?1), 'true', 'false')), \
         'values', (SELECT COUNT(*) FROM ({}) s WHERE s.org_id = ?1 AND substr(s.sealed, 1, 8) = k.prefix)) \
         FROM tenant_keys k WHERE k.org_id = ?1 ORDER BY k.version",
        super::sealed::ALL
    );
    Statement::new(sql, [org.as_str().into()])
}
