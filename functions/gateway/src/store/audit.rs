//! The audit trail: rows are added, never changed.

use schemas::audit::{AuditEvent, Sealed};
use schemas::ids::{EventId, OrgId, SessionId, Timestamp};

use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

const INSERT: &str = "INSERT INTO audit (id, org_id, at, phase, intent_id, due_at, leaf, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
// An intent has one outcome: whoever comes second (the reaper, or a call that outlived it) changes nothing.
const INSERT_OUTCOME: &str = "INSERT OR IGNORE INTO audit (id, org_id, at, phase, intent_id, due_at, leaf, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// The statement that adds an event.
pub(crate) fn insert(event: &AuditEvent, sealed: Sealed, due: Option<Timestamp>) -> Statement {
    Statement::new(
        if event.intent.is_some() { INSERT_OUTCOME } else { INSERT },
        [
            event.id.as_str().into(),
            event.org.as_str().into(),
            event.at.0.into(),
            event.phase.as_str().into(),
            Value::from(event.intent.as_ref().map(EventId::as_str)),
            Value::from(due.map(|due| due.0)),
            sealed.leaf.into(),
            sealed.text.into(),
        ],
    )
}

/// The statement that adds the line about a step of an approval, if the step was taken in the same batch.
pub(crate) fn insert_if_taken(event: &AuditEvent, sealed: Sealed) -> Statement {
    Statement::new(
        "INSERT INTO audit (id, org_id, at, phase, leaf, event) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
         WHERE EXISTS (SELECT 1 FROM approvals WHERE event_id = ?1)",
        [
            event.id.as_str().into(),
            event.org.as_str().into(),
            event.at.0.into(),
            event.phase.as_str().into(),
            sealed.leaf.into(),
            sealed.text.into(),
        ],
    )
}

/// The statement that adds the line about a session that was opened, if it was in the same batch.
pub(crate) fn insert_if_opened(event: &AuditEvent, sealed: Sealed, session: &SessionId) -> Statement {
    Statement::new(
        "INSERT INTO audit (id, org_id, at, phase, leaf, event) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
         WHERE EXISTS (SELECT 1 FROM sessions WHERE id = ?7)",
        [
            event.id.as_str().into(),
            event.org.as_str().into(),
            event.at.0.into(),
            event.phase.as_str().into(),
            sealed.leaf.into(),
            sealed.text.into(),
            session.as_str().into(),
        ],
    )
}

/// Intents whose time is up: the events, oldest first, at most `limit`.
pub(crate) async fn due(
    platform: &impl Platform,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(AuditEvent, bool)>, PlatformError> {
    let results = platform
        .sql(Batch::read([Statement::new(
            "SELECT i.event, EXISTS (SELECT 1 FROM audit o WHERE o.intent_id = i.id) FROM audit i \
             WHERE i.due_at IS NOT NULL AND i.due_at <= ?1 ORDER BY i.due_at LIMIT ?2",
            [now.0.into(), limit.into()],
        )]))
        .await?;
    results.iter().flatten().map(|row| Ok((super::json(row, 0)?, row.integer(1)? == 1))).collect()
}

/// The statement that says an intent is closed: it is not due any more.
pub(crate) fn settle(intent: &EventId) -> Statement {
    Statement::new("UPDATE audit SET due_at = NULL WHERE id = ?1", [intent.as_str().into()])
}

/// One event of an organisation.
pub(crate) async fn event(
    platform: &impl Platform,
    org: &OrgId,
    id: &EventId,
) -> Result<Option<AuditEvent>, PlatformError> {
    let sql = "SELECT event FROM audit WHERE org_id = ?1 AND id = ?2";
    let statement = Statement::new(sql, [org.as_str().into(), id.as_str().into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| super::json(row, 0)).transpose()
}

/// Which events are wanted; what is not said is no limit.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Only those with a decision.
    pub(crate) decisions: bool,
    pub(crate) phase: Option<&'a str>,
    pub(crate) agent: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) method: Option<&'a str>,
}

/// An event as it is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) leaf: String,
    pub(crate) event: String,
}

/// Events of an organisation, in the order they were written, after a given one.
pub(crate) async fn page(
    platform: &impl Platform,
    org: &OrgId,
    wanted: &Wanted<'_>,
    (after, limit): (&str, i64),
) -> Result<Vec<Kept>, PlatformError> {
    let results = platform
        .sql(Batch::read([Statement::new(
            "SELECT id, leaf, event FROM audit WHERE org_id = ?1 AND id > ?2 \
             AND (?4 = 0 OR event LIKE '%\"decision\":{%') AND (?5 IS NULL OR phase = ?5) \
             AND (?6 IS NULL OR json_extract(event, '$.actor.agent') = ?6) \
             AND (?7 IS NULL OR json_extract(event, '$.actor.user') = ?7) \
             AND (?8 IS NULL OR json_extract(event, '$.method') = ?8) ORDER BY id LIMIT ?3",
            [
                org.as_str().into(),
                after.into(),
                limit.into(),
                Value::Integer(wanted.decisions.into()),
                wanted.phase.into(),
                wanted.agent.into(),
                wanted.user.into(),
                wanted.method.into(),
            ],
        )]))
        .await?;
    let text = |row: &Row, column| row.text(column).map(str::to_owned);
    let kept = |row: &Row| Ok(Kept { id: text(row, 0)?, leaf: text(row, 1)?, event: text(row, 2)? });
    results.iter().flatten().map(kept).collect()
}
