//! What providers still have to be told of.

use schemas::audit::{AuditEvent, Sealed};
use schemas::ids::{ConnectionId, OrgId, ProviderId, Timestamp, UserId};

use crate::platform::{Batch, Platform, PlatformError, Statement};

/// An account that was disconnected here, and what its provider has to revoke.
#[derive(Debug)]
pub(crate) struct Revocation {
    pub(crate) connection: ConnectionId,
    pub(crate) org: OrgId,
    pub(crate) provider: ProviderId,
    pub(crate) owner: UserId,
    pub(crate) version: i64,
    pub(crate) sealed: String,
    pub(crate) attempts: i64,
    pub(crate) until: Timestamp,
}

/// Takes what is due, or one that is: nobody else has it for as long as `rest` milliseconds.
pub(crate) async fn take(
    platform: &impl Platform,
    only: Option<&ConnectionId>,
    rest: i64,
    limit: i64,
) -> Result<Vec<Revocation>, PlatformError> {
    let now = platform.now();
    let statement = Statement::new(
        "UPDATE revocations SET next_at = ?2, attempts = attempts + 1 WHERE connection_id IN \
         (SELECT connection_id FROM revocations WHERE next_at <= ?1 AND (?3 IS NULL OR connection_id = ?3) ORDER BY next_at LIMIT ?4) \
         AND next_at <= ?1 RETURNING connection_id, org_id, provider_id, owner_id, version, sealed, attempts, until",
        [now.0.into(), now.plus(rest).0.into(), only.map(ConnectionId::as_str).into(), limit.into()],
    );
    let results = platform.sql(Batch::write([statement])).await?;
    results
        .iter()
        .flatten()
        .map(|row| {
            Ok(Revocation {
                connection: row.parse(0)?,
                org: row.parse(1)?,
                provider: row.parse(2)?,
                owner: row.parse(3)?,
                version: row.integer(4)?,
                sealed: row.text(5)?.to_owned(),
                attempts: row.integer(6)?,
                until: Timestamp(row.integer(7)?),
            })
        })
        .collect()
}

/// Whether anything is due.
pub(crate) async fn any_due(platform: &impl Platform) -> Result<bool, PlatformError> {
    let statement =
        Statement::new("SELECT 1 FROM revocations WHERE next_at <= ?1 LIMIT 1", [platform.now().0.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    Ok(super::first(&results, 0).is_some())
}

/// It is tried again then.
pub(crate) fn again(connection: &ConnectionId, next_at: Timestamp) -> Statement {
    Statement::new(
        "UPDATE revocations SET next_at = ?2 WHERE connection_id = ?1",
        [connection.as_str().into(), next_at.0.into()],
    )
}

/// The line about what became of it, unless somebody else wrote theirs.
pub(crate) fn line(event: &AuditEvent, sealed: Sealed, connection: &ConnectionId) -> Statement {
    Statement::new(
        "INSERT INTO audit (id, org_id, at, phase, leaf, event) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
         WHERE EXISTS (SELECT 1 FROM revocations WHERE connection_id = ?7)",
        [
            event.id.as_str().into(),
            event.org.as_str().into(),
            event.at.0.into(),
            event.phase.as_str().into(),
            sealed.leaf.into(),
            sealed.text.into(),
            connection.as_str().into(),
        ],
    )
}

/// There is nothing left to tell.
pub(crate) fn done(connection: &ConnectionId) -> Statement {
    Statement::new("DELETE FROM revocations WHERE connection_id = ?1", [connection.as_str().into()])
}
