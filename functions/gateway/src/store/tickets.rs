//! Wishes to connect, and browsers on their way to a provider and back.

use std::collections::BTreeSet;

use schemas::decision::OrgFacts;
use schemas::ids::{OrgId, ProviderId, SessionId, TicketId, Timestamp, UserId};

use crate::broker::ticket::{Aim, Wanted, parts};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// A ticket, with the names of what it is about.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: TicketId,
    pub(crate) org: OrgFacts,
    pub(crate) user: UserId,
    pub(crate) provider: ProviderId,
    /// Who asked for what, by name; nothing if the person came by themselves, or they are gone.
    pub(crate) agent: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) tool: Option<String>,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) aim: Aim,
    pub(crate) expires_at: Timestamp,
    pub(crate) used: bool,
}

/// Makes the ticket of a wish, or renews it.
pub(crate) fn put(id: &TicketId, wanted: &Wanted<'_>, (now, until): (Timestamp, Timestamp)) -> Statement {
    let (agent, server, tool) = parts(wanted);
    Statement::new(
        "INSERT INTO connect_tickets (id, org_id, user_id, provider_id, agent_id, server_id, tool, scopes, sharing, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO UPDATE SET scopes = excluded.scopes, \
         sharing = excluded.sharing, expires_at = excluded.expires_at, used_at = NULL",
        [
            id.as_str().into(),
            wanted.org.as_str().into(),
            wanted.user.as_str().into(),
            wanted.provider.as_str().into(),
            agent.into(),
            server.into(),
            tool.into(),
            Value::from(serde_json::to_string(wanted.scopes).unwrap_or_else(|_| "[]".to_owned())),
            Value::from(serde_json::to_string(&wanted.aim).unwrap_or_else(|_| "{}".to_owned())),
            now.0.into(),
            until.0.into(),
        ],
    )
}

/// A ticket that was made, whether or not it is good still.
pub(crate) async fn find(platform: &impl Platform, id: &TicketId) -> Result<Option<Ticket>, PlatformError> {
    let statement = Statement::new(
        "SELECT t.id, o.id, o.name, t.user_id, t.provider_id, a.name, s.name, t.tool, t.scopes, t.sharing, t.expires_at, \
         t.used_at IS NOT NULL FROM connect_tickets t JOIN orgs o ON o.id = t.org_id LEFT JOIN agents a ON a.id = t.agent_id \
         LEFT JOIN servers s ON s.id = t.server_id WHERE t.id = ?1",
        [id.as_str().into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(ticket).transpose()
}

fn ticket(row: &Row) -> Result<Ticket, PlatformError> {
    let text = |column: usize| Ok::<_, PlatformError>(row.maybe_text(column)?.map(str::to_owned));
    Ok(Ticket {
        id: row.parse(0)?,
        org: OrgFacts { id: row.parse(1)?, name: row.parse(2)? },
        user: row.parse(3)?,
        provider: row.parse(4)?,
        agent: text(5)?,
        server: text(6)?,
        tool: text(7)?.filter(|tool| !tool.is_empty()),
        scopes: super::json(row, 8)?,
        aim: super::json(row, 9)?,
        expires_at: Timestamp(row.integer(10)?),
        used: row.integer(11)? == 1,
    })
}

/// A ticket has done its work.
pub(crate) fn spend(id: &TicketId, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE connect_tickets SET used_at = ?2 WHERE id = ?1",
        [id.as_str().into(), now.0.into()],
    )
}

/// A browser on its way.
#[derive(Debug)]
pub(crate) struct Flow {
    /// SHA-256 of the state.
    pub(crate) state_hash: String,
    pub(crate) org: OrgId,
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) ticket: TicketId,
    pub(crate) provider: ProviderId,
    pub(crate) provider_version: i64,
    pub(crate) sealed: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) used: bool,
}

pub(crate) fn leave(flow: &Flow, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO connect_flows (state_hash, org_id, user_id, session_id, ticket_id, provider_id, provider_version, sealed, created_at, \
         expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        [
            flow.state_hash.as_str().into(),
            flow.org.as_str().into(),
            flow.user.as_str().into(),
            flow.session.as_str().into(),
            flow.ticket.as_str().into(),
            flow.provider.as_str().into(),
            flow.provider_version.into(),
            flow.sealed.as_str().into(),
            now.0.into(),
            flow.expires_at.0.into(),
        ],
    )
}

/// The flow of a state.
pub(crate) async fn flow(platform: &impl Platform, state_hash: &str) -> Result<Option<Flow>, PlatformError> {
    let statement = Statement::new(
        "SELECT state_hash, org_id, user_id, session_id, ticket_id, provider_id, provider_version, sealed, expires_at, \
         used_at IS NOT NULL FROM connect_flows WHERE state_hash = ?1",
        [state_hash.into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| {
            Ok(Flow {
                state_hash: row.text(0)?.to_owned(),
                org: row.parse(1)?,
                user: row.parse(2)?,
                session: row.parse(3)?,
                ticket: row.parse(4)?,
                provider: row.parse(5)?,
                provider_version: row.integer(6)?,
                sealed: row.text(7)?.to_owned(),
                expires_at: Timestamp(row.integer(8)?),
                used: row.integer(9)? == 1,
            })
        })
        .transpose()
}

/// Uses a flow up, if it is good still and its provider was not changed. Answers whether it was: only one can.
pub(crate) async fn arrive(platform: &impl Platform, flow: &Flow) -> Result<bool, PlatformError> {
    let swap = Statement::new(
        "UPDATE connect_flows SET used_at = ?2, sealed = '' WHERE state_hash = ?1 AND used_at IS NULL AND expires_at > ?2 \
         AND EXISTS (SELECT 1 FROM providers p WHERE p.id = provider_id AND p.version = provider_version) RETURNING state_hash",
        [flow.state_hash.as_str().into(), platform.now().0.into()],
    );
    let results = platform.sql(Batch::write([swap])).await?;
    Ok(super::first(&results, 0).is_some())
}

/// Keeps what somebody came back with until they say that they meant it.
pub(crate) fn hold(state_hash: &str, held: String, until: Timestamp) -> Statement {
    Statement::new(
        "UPDATE connect_flows SET held = ?2, expires_at = ?3 WHERE state_hash = ?1 AND used_at IS NOT NULL",
        [state_hash.into(), held.into(), until.0.into()],
    )
}

/// What somebody came back with for a ticket, and in which flow.
pub(crate) async fn held(
    platform: &impl Platform,
    ticket: &TicketId,
    session: &SessionId,
) -> Result<Option<(String, String)>, PlatformError> {
    let statement = Statement::new(
        "SELECT state_hash, held FROM connect_flows WHERE ticket_id = ?1 AND session_id = ?2 AND held IS NOT NULL AND expires_at > ?3 \
         ORDER BY created_at DESC LIMIT 1",
        [ticket.as_str().into(), session.as_str().into(), platform.now().0.into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).transpose()
}

/// Takes that, once. Answers whether it was there still.
pub(crate) async fn release(
    platform: &impl Platform,
    state_hash: &str,
    session: &SessionId,
) -> Result<bool, PlatformError> {
    let swap = Statement::new(
        "UPDATE connect_flows SET held = NULL WHERE state_hash = ?1 AND session_id = ?2 AND held IS NOT NULL AND expires_at > ?3 \
         RETURNING state_hash",
        [state_hash.into(), session.as_str().into(), platform.now().0.into()],
    );
    let results = platform.sql(Batch::write([swap])).await?;
    Ok(super::first(&results, 0).is_some())
}

/// Forgets what is over. A ticket stays for a day, so that whoever comes back to its page is told something.
pub(crate) async fn forget(platform: &impl Platform) -> Result<(), PlatformError> {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let now = platform.now();
    let by = |sql: &'static str, before: Timestamp| Statement::new(sql, [before.0.into()]);
    let batch = Batch::write_soon([
        by("DELETE FROM connect_flows WHERE expires_at <= ?1", now),
        by("DELETE FROM connect_tickets WHERE expires_at <= ?1", now.plus(-DAY)),
    ]);
    platform.sql(batch).await.map(drop)
}
