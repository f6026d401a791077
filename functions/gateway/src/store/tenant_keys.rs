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
        state: super::word(row, 3)?,
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
        "SELECT version, root, wrapped, state FROM tenant_keys WHERE org_id = ?1 ORDER BY version DESC LIMIT 1",
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
        "SELECT version, root, wrapped, state FROM tenant_keys WHERE org_id = ?1 AND version = ?2",
        [org.as_str().into(), i64::from(version).into()],
    )
}

/// Adds a version, unless somebody else just did, and answers what is there now.
pub(crate) async fn add(
    platform: &impl Platform,
    org: &OrgId,
    new: &TenantKeyRow,
    now: Timestamp,
) -> Result<Option<TenantKeyRow>, PlatformError> {
    let insert = Statement::new(
        "INSERT OR IGNORE INTO tenant_keys (org_id, version, root, wrapped, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        [
            org.as_str().into(),
            i64::from(new.version).into(),
            new.root.as_str().into(),
            new.wrapped.as_str().into(),
            now.0.into(),
        ],
    );
    let results = platform.sql(Batch::write([insert, select(org, new.version)])).await?;
    super::first(&results, 1).map(read).transpose()
}
