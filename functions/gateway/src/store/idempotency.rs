//! Requests that may be sent twice and must be done once.

use schemas::ids::{OrgId, Timestamp};

use crate::platform::{Batch, Platform, PlatformError, Statement};

/// How long a claim holds that has done nothing yet, in milliseconds.
const CLAIM: i64 = 10 * 60_000;
/// How long an answer is kept, in milliseconds.
const KEPT: i64 = 24 * 60 * 60 * 1000;

/// Where a request stands that was sent with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is ours to do.
    Ours,
    /// The key was used for another request.
    Other,
    /// Somebody is at it.
    UnderWay,
    /// It was done, and the answer got lost.
    Lost,
    /// It was done, with this answer, as it was kept.
    Done(String),
}

/// Claims a key for a request, or says where it stands.
pub(crate) async fn claim(
    platform: &impl Platform,
    org: &OrgId,
    key: &str,
    request: &str,
) -> Result<Standing, PlatformError> {
    let now = platform.now();
    let claim = Statement::new(
        "INSERT INTO idempotent_answers (org_id, key_hash, request_hash, state, expires_at) VALUES (?1, ?2, ?3, 'claimed', ?4) \
         ON CONFLICT (org_id, key_hash) DO UPDATE SET request_hash = excluded.request_hash, state = 'claimed', answer = '', \
         expires_at = excluded.expires_at WHERE idempotent_answers.expires_at <= ?5 RETURNING 1",
        [org.as_str().into(), key.into(), request.into(), now.plus(CLAIM).0.into(), now.0.into()],
    );
    let look = Statement::new(
        "SELECT request_hash, state, answer FROM idempotent_answers WHERE org_id = ?1 AND key_hash = ?2",
        [org.as_str().into(), key.into()],
    );
    let results = platform.sql(Batch::write([claim, look])).await?;
    if super::first(&results, 0).is_some() {
        return Ok(Standing::Ours);
    }
    let Some(row) = super::first(&results, 1) else { return Ok(Standing::UnderWay) };
    if row.text(0)? != request {
        return Ok(Standing::Other);
    }
    Ok(match row.text(1)? {
        "answered" => Standing::Done(row.text(2)?.to_owned()),
        "effective" => Standing::Lost,
        _ => Standing::UnderWay,
    })
}

/// The statement that says, in the batch of the change, that the request took effect.
pub(crate) fn effective(org: &OrgId, key: &str, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE idempotent_answers SET state = 'effective', expires_at = ?3 WHERE org_id = ?1 AND key_hash = ?2",
        [org.as_str().into(), key.into(), now.plus(KEPT).0.into()],
    )
}

/// Keeps the answer.
pub(crate) async fn keep(
    platform: &impl Platform,
    org: &OrgId,
    key: &str,
    answer: String,
) -> Result<(), PlatformError> {
    let keep = Statement::new(
        "UPDATE idempotent_answers SET state = 'answered', answer = ?3, expires_at = ?4 WHERE org_id = ?1 AND key_hash = ?2",
        [org.as_str().into(), key.into(), answer.into(), platform.now().plus(KEPT).0.into()],
    );
    platform.sql(Batch::write([keep])).await.map(drop)
}

/// Gives a claim back, if nothing was done under it.
pub(crate) async fn release(platform: &impl Platform, org: &OrgId, key: &str) -> Result<(), PlatformError> {
    let release = Statement::new(
        "DELETE FROM idempotent_answers WHERE org_id = ?1 AND key_hash = ?2 AND state = 'claimed'",
        [org.as_str().into(), key.into()],
    );
    platform.sql(Batch::write([release])).await.map(drop)
}

/// Forgets what has expired.
pub(crate) async fn forget(platform: &impl Platform) -> Result<(), PlatformError> {
    let forget =
        Statement::new("DELETE FROM idempotent_answers WHERE expires_at <= ?1", [platform.now().0.into()]);
    platform.sql(Batch::write_soon([forget])).await.map(drop)
}
