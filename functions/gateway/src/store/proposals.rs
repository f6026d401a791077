//! Policy sets that wait for a second person.

use ::policies::SourceFile;
use schemas::ids::{OrgId, ProposalId, Sha256Hex, Timestamp};
use schemas::names::UserName;

use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

/// A proposal.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proposal {
    pub(crate) id: ProposalId,
    pub(crate) hash: Sha256Hex,
    /// The set that was live when it was made.
    pub(crate) replaces: Sha256Hex,
    pub(crate) note: String,
    /// What of it needs a second person.
    pub(crate) why: String,
    pub(crate) proposed_by: UserName,
    pub(crate) proposed_at: i64,
    pub(crate) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decided_by: Option<String>,
    #[serde(skip)]
    pub(crate) cases: Vec<SourceFile>,
}

macro_rules! columns {
    () => {
        "SELECT id, hash, replaces, note, why, proposed_by, proposed_at, state, decided_by, cases \
         FROM policy_proposals WHERE org_id = ?1 AND "
    };
}

/// Adds one. The set itself goes into the same batch.
///
/// # Errors
/// Only if the cases have no JSON form.
pub(crate) fn add(org: &OrgId, proposal: &Proposal) -> Result<Statement, PlatformError> {
    let cases = serde_json::to_string(&proposal.cases).map_err(|e| PlatformError::Database(e.to_string()))?;
    Ok(Statement::new(
        "INSERT INTO policy_proposals (id, org_id, hash, replaces, cases, note, why, proposed_by, proposed_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        [
            proposal.id.as_str().into(),
            org.as_str().into(),
            proposal.hash.as_str().into(),
            proposal.replaces.as_str().into(),
            cases.into(),
            proposal.note.as_str().into(),
            proposal.why.as_str().into(),
            proposal.proposed_by.as_str().into(),
            proposal.proposed_at.into(),
        ],
    ))
}

/// One proposal.
pub(crate) async fn find(
    platform: &impl Platform,
    org: &OrgId,
    id: &ProposalId,
) -> Result<Option<Proposal>, PlatformError> {
    let statement = Statement::new(concat!(columns!(), "id = ?2"), [org.as_str().into(), id.as_str().into()]);
    Ok(read(platform, statement).await?.pop())
}

/// The newest proposals before one, or of all; of one state, or of every.
pub(crate) async fn list(
    platform: &impl Platform,
    org: &OrgId,
    state: Option<&str>,
    (before, limit): (&str, i64),
) -> Result<Vec<Proposal>, PlatformError> {
    let statement = Statement::new(
        concat!(columns!(), "(?2 IS NULL OR state = ?2) AND (?3 = '' OR id < ?3) ORDER BY id DESC LIMIT ?4"),
        [org.as_str().into(), state.into(), before.into(), limit.into()],
    );
    read(platform, statement).await
}

async fn read(platform: &impl Platform, statement: Statement) -> Result<Vec<Proposal>, PlatformError> {
    let results = platform.sql(Batch::read([statement])).await?;
    let read = |row: &Row| {
        Ok(Proposal {
            id: row.parse(0)?,
            hash: row.parse(1)?,
            replaces: row.parse(2)?,
            note: row.text(3)?.to_owned(),
            why: row.text(4)?.to_owned(),
            proposed_by: row.parse(5)?,
            proposed_at: row.integer(6)?,
            state: row.text(7)?.to_owned(),
            decided_by: row.maybe_text(8)?.map(str::to_owned),
            cases: super::json(row, 9)?,
        })
    };
    results.iter().flatten().map(read).collect()
}

/// Decides one that waits: once. An acceptance counts only if the swap before it in the batch took effect.
pub(crate) fn decide(
    org: &OrgId,
    id: &ProposalId,
    accepted: Option<&Sha256Hex>,
    by: &str,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE policy_proposals SET state = CASE WHEN ?3 IS NULL THEN 'refused' ELSE 'accepted' END, decided_by = ?4, \
         decided_at = ?5 WHERE org_id = ?1 AND id = ?2 AND state = 'pending' \
         AND (?3 IS NULL OR EXISTS (SELECT 1 FROM orgs WHERE id = ?1 AND policy_set = ?3)) RETURNING id",
        [
            org.as_str().into(),
            id.as_str().into(),
            accepted.map(Sha256Hex::as_str).into(),
            by.into(),
            now.0.into(),
        ],
    )
}
