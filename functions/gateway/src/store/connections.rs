//! People's accounts at providers. What is sealed leaves in one way only: by the statement that puts the line about it on record.

use schemas::audit::{AuditEvent, Sealed};
use schemas::ids::{ConnectionId, EventId, OrgId, ProviderId, TeamId, Timestamp, UserId};
use schemas::names::{OrgName, ServerName, ToolboxName, UserName};

use crate::broker::{Account, Sharing};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// What a call of server `s` acts on, as JSON: nothing, or its provider, what it needs there, and the account of the caller.
macro_rules! acting_on {
    ($account:expr) => {
        concat!(
            "(SELECT json_object('provider', p.name, 'providerId', p.id, 'kind', p.kind, 'injection', json(s.injection), \
             'scopes', json(s.scopes), 'account', json(",
            $account,
            ")) FROM providers p WHERE p.id = s.provider_id)"
        )
    };
}
pub(super) use acting_on;

/// An account `c` of person `u`, as JSON.
macro_rules! account {
    () => {
        concat!(
            "json_object('id', c.id, 'version', c.version, 'status', c.status, 'scopes', json(c.scopes), 'sharing', c.sharing, \
             'team', (SELECT tm.name FROM teams tm WHERE tm.id = c.team_id), 'usableUntil', c.usable_until, 'refreshAt', c.refresh_at, \
             'reason', c.reason, 'ownerId', c.owner_id, 'owner', json_object('name', u.name, 'status', u.status, 'email', u.email, \
             'teams', ",
            crate::store::callers::teams!("'user:' || u.id"),
            ", 'roles', ",
            crate::store::callers::roles!(),
            "))"
        )
    };
}

/// The account that the person behind a credential would use at the provider of server `s`: their own, or else one that is shared with
/// them; an agent that acts for nobody uses what is shared with its own teams. Which of these it may use is for the policies to say.
macro_rules! best_account {
    () => {
        concat!(
            "(SELECT ",
            crate::store::connections::account!(),
            " FROM connections c JOIN users u ON u.id = c.owner_id WHERE c.provider_id = s.provider_id AND c.status <> 'disconnected' \
             AND (c.owner_id = ",
            crate::store::callers::user_id!(),
            " OR c.sharing = 'org' OR (c.sharing = 'team' AND EXISTS (SELECT 1 FROM team_reach r WHERE r.team_id = c.team_id \
             AND r.member = COALESCE('user:' || ",
            crate::store::callers::user_id!(),
            ", 'agent:' || ",
            crate::store::callers::agent_id!(),
            ")))) ORDER BY c.sharing = 'personal' DESC, c.status = 'active' DESC, c.sharing = 'team' DESC, c.id LIMIT 1)"
        )
    };
}
pub(super) use {account, best_account};

/// A person's own account at a provider.
pub(crate) async fn personal(
    platform: &impl Platform,
    owner: &UserId,
    provider: &ProviderId,
) -> Result<Option<Account>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT ",
        account!(),
        " FROM connections c JOIN users u ON u.id = c.owner_id \
         WHERE c.owner_id = ?1 AND c.provider_id = ?2 AND c.sharing = 'personal' AND c.status <> 'disconnected'"
    );
    one(platform, Statement::new(SQL, [owner.as_str().into(), provider.as_str().into()])).await
}

/// The same, of whoever has that name.
pub(crate) async fn of_person(
    platform: &impl Platform,
    org: &OrgId,
    name: &UserName,
    provider: &ProviderId,
) -> Result<Option<Account>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT ",
        account!(),
        " FROM connections c JOIN users u ON u.id = c.owner_id \
         WHERE u.org_id = ?1 AND u.name = ?2 AND c.provider_id = ?3 AND c.sharing = 'personal' AND c.status <> 'disconnected'"
    );
    one(platform, Statement::new(SQL, [org.as_str().into(), name.as_str().into(), provider.as_str().into()]))
        .await
}

async fn one(platform: &impl Platform, statement: Statement) -> Result<Option<Account>, PlatformError> {
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| super::json(row, 0)).transpose()
}

/// The line about an access, and what it gives: the sealed credential in that version, if the account still is as it was decided upon.
/// There is no other statement that reads it for a call.
pub(crate) fn open(id: &ConnectionId, version: i64, event: &AuditEvent, sealed: Sealed) -> Statement {
    Statement::new(
        "INSERT INTO audit (id, org_id, at, phase, leaf, event) SELECT ?1, ?2, ?3, ?4, ?5, ?6 FROM connections c \
         WHERE c.id = ?7 AND c.org_id = ?2 AND c.version = ?8 AND c.status = 'active' AND c.sealed IS NOT NULL \
         RETURNING (SELECT sealed FROM connections WHERE id = ?7)",
        line(event, sealed, [id.as_str().into(), version.into()]),
    )
}

/// The line about a step of a connection, if the step was taken in the same batch.
pub(crate) fn line_if_taken(event: &AuditEvent, sealed: Sealed) -> Statement {
    Statement::new(
        "INSERT INTO audit (id, org_id, at, phase, leaf, event) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
         WHERE EXISTS (SELECT 1 FROM connections WHERE event_id = ?1)",
        line(event, sealed, []),
    )
}

fn line<const N: usize>(event: &AuditEvent, sealed: Sealed, more: [Value; N]) -> Vec<Value> {
    let mut values = vec![
        event.id.as_str().into(),
        event.org.as_str().into(),
        event.at.0.into(),
        event.phase.as_str().into(),
        sealed.leaf.into(),
        sealed.text.into(),
    ];
    values.extend(more);
    values
}

/// Notes that an account was used, at most every few minutes: it is only for choosing what is refreshed ahead, and for people.
pub(crate) fn used(id: &ConnectionId, now: Timestamp) -> Statement {
    const EVERY: i64 = 5 * 60 * 1000;
    Statement::new(
        "UPDATE connections SET used_at = ?2 WHERE id = ?1 AND used_at < ?3",
        [id.as_str().into(), now.0.into(), now.plus(-EVERY).0.into()],
    )
}

/// When a credential ends, and what follows from that.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) usable_until: Option<Timestamp>,
    pub(crate) refresh_at: Option<Timestamp>,
}

/// An account as it is to be kept.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) id: &'a ConnectionId,
    pub(crate) org: &'a OrgId,
    pub(crate) provider: &'a ProviderId,
    pub(crate) owner: &'a UserId,
    pub(crate) sharing: Sharing,
    pub(crate) team: Option<&'a TeamId>,
    pub(crate) account: (&'a str, &'a str),
    /// A JSON array.
    pub(crate) scopes: String,
    pub(crate) version: i64,
    pub(crate) sealed: &'a str,
    pub(crate) times: Times,
}

/// Keeps a new account, or a new credential of one that has the version before. Gives its id if it did.
pub(crate) fn keep(kept: &Kept<'_>, event: &EventId, now: Timestamp) -> Statement {
    let time = |time: Option<Timestamp>| Value::from(time.map(|time| time.0));
    Statement::new(
        "INSERT INTO connections (id, org_id, provider_id, owner_id, sharing, team_id, account_id, account_label, scopes, version, sealed, \
         expires_at, usable_until, refresh_at, created_at, changed_at, event_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, ?16) \
         ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id, account_label = excluded.account_label, scopes = excluded.scopes, \
         status = 'active', reason = NULL, version = excluded.version, sealed = excluded.sealed, expires_at = excluded.expires_at, \
         usable_until = excluded.usable_until, refresh_at = excluded.refresh_at, lease = NULL, lease_until = NULL, attempted = NULL, \
         failures = 0, retry_at = NULL, changed_at = excluded.changed_at, event_id = excluded.event_id \
         WHERE connections.version = excluded.version - 1 AND connections.owner_id = excluded.owner_id \
         AND connections.provider_id = excluded.provider_id AND connections.status <> 'disconnected' RETURNING id",
        [
            kept.id.as_str().into(),
            kept.org.as_str().into(),
            kept.provider.as_str().into(),
            kept.owner.as_str().into(),
            kept.sharing.as_str().into(),
            kept.team.map(TeamId::as_str).into(),
            kept.account.0.into(),
            kept.account.1.into(),
            kept.scopes.as_str().into(),
            kept.version.into(),
            kept.sealed.into(),
            time(kept.times.expires_at),
            time(kept.times.usable_until),
            time(kept.times.refresh_at),
            now.0.into(),
            event.as_str().into(),
        ],
    )
}

/// Says who else may use an account.
pub(crate) fn share(
    id: &ConnectionId,
    (sharing, team): (Sharing, Option<&TeamId>),
    event: &EventId,
) -> Statement {
    Statement::new(
        "UPDATE connections SET sharing = ?2, team_id = ?3, event_id = ?4 WHERE id = ?1 AND status <> 'disconnected' RETURNING id",
        [id.as_str().into(), sharing.as_str().into(), team.map(TeamId::as_str).into(), event.as_str().into()],
    )
}

/// What whoever refreshes needs to know.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) sealed: String,
    pub(crate) org: OrgId,
    pub(crate) provider: ProviderId,
    pub(crate) owner: UserId,
    pub(crate) failures: i64,
}

/// Takes the lease on a version of a credential, and notes before anything is sent that it is going to be used up.
pub(crate) fn lease(
    (id, version): (&ConnectionId, i64),
    lease: &str,
    (now, until): (Timestamp, Timestamp),
    event: &EventId,
) -> Statement {
    Statement::new(
        "UPDATE connections SET lease = ?3, lease_until = ?5, attempted = version, event_id = ?6 \
         WHERE id = ?1 AND version = ?2 AND status = 'active' AND sealed IS NOT NULL \
         AND (lease_until IS NULL OR lease_until <= ?4) AND (retry_at IS NULL OR retry_at <= ?4) \
         RETURNING sealed, org_id, provider_id, owner_id, failures",
        [
            id.as_str().into(),
            version.into(),
            lease.into(),
            now.0.into(),
            until.0.into(),
            event.as_str().into(),
        ],
    )
}

/// Reads the row of [`lease`].
pub(crate) fn leased(row: &Row) -> Result<Leased, PlatformError> {
    Ok(Leased {
        sealed: row.text(0)?.to_owned(),
        org: row.parse(1)?,
        provider: row.parse(2)?,
        owner: row.parse(3)?,
        failures: row.integer(4)?,
    })
}

/// Stores what a refresh gave, whoever holds the lease by now: a rotation that is lost is worse than one that comes late.
pub(crate) fn renew(
    (id, version): (&ConnectionId, i64),
    sealed: &str,
    scopes: &str,
    times: Times,
    (now, event): (Timestamp, &EventId),
) -> Statement {
    let time = |time: Option<Timestamp>| Value::from(time.map(|time| time.0));
    Statement::new(
        "UPDATE connections SET version = ?2 + 1, sealed = ?3, scopes = ?4, expires_at = ?5, usable_until = ?6, refresh_at = ?7, \
         lease = NULL, lease_until = NULL, attempted = NULL, failures = 0, retry_at = NULL, changed_at = ?8, event_id = ?9 \
         WHERE id = ?1 AND version = ?2 AND status = 'active' RETURNING id",
        [
            id.as_str().into(),
            version.into(),
            sealed.into(),
            scopes.into(),
            time(times.expires_at),
            time(times.usable_until),
            time(times.refresh_at),
            now.0.into(),
            event.as_str().into(),
        ],
    )
}

/// Gives the lease back after a refresh that did not work, and says when the next may be tried.
pub(crate) fn fail(
    (id, version): (&ConnectionId, i64),
    lease: &str,
    retry_at: Timestamp,
    event: &EventId,
) -> Statement {
    Statement::new(
        "UPDATE connections SET lease = NULL, lease_until = NULL, attempted = NULL, failures = failures + 1, retry_at = ?4, event_id = ?5 \
         WHERE id = ?1 AND version = ?2 AND lease = ?3 RETURNING id",
        [id.as_str().into(), version.into(), lease.into(), retry_at.0.into(), event.as_str().into()],
    )
}

/// The grant is over: nothing is left of the credential, and its owner has to connect again.
pub(crate) fn end(
    (id, version): (&ConnectionId, i64),
    reason: &str,
    (now, event): (Timestamp, &EventId),
) -> Statement {
    Statement::new(
        "UPDATE connections SET status = 'needs_reconnect', reason = ?3, sealed = NULL, expires_at = NULL, usable_until = NULL, \
         refresh_at = NULL, lease = NULL, lease_until = NULL, attempted = NULL, changed_at = ?4, event_id = ?5 \
         WHERE id = ?1 AND version = ?2 AND status = 'active' RETURNING id",
        [id.as_str().into(), version.into(), reason.into(), now.0.into(), event.as_str().into()],
    )
}

/// How a refresh by somebody else stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) version: i64,
    pub(crate) active: bool,
    pub(crate) leased: bool,
    pub(crate) usable_until: Option<Timestamp>,
}

/// Looks at a connection while somebody else refreshes it.
pub(crate) async fn watch(
    platform: &impl Platform,
    id: &ConnectionId,
) -> Result<Option<Watched>, PlatformError> {
    let statement = Statement::new(
        "SELECT version, status = 'active', lease_until IS NOT NULL AND lease_until > ?2, usable_until FROM connections WHERE id = ?1",
        [id.as_str().into(), platform.now().0.into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| {
            Ok(Watched {
                version: row.integer(0)?,
                active: row.integer(1)? == 1,
                leased: row.integer(2)? == 1,
                usable_until: row.maybe_integer(3)?.map(Timestamp),
            })
        })
        .transpose()
}

/// Accounts whose credentials are due, and which somebody used lately: oldest first.
pub(crate) async fn due(
    platform: &impl Platform,
    used_since: Timestamp,
    limit: i64,
) -> Result<Vec<(ConnectionId, OrgId, i64)>, PlatformError> {
    let statement = Statement::new(
        "SELECT id, org_id, version FROM connections WHERE refresh_at IS NOT NULL AND refresh_at <= ?1 AND status = 'active' \
         AND used_at >= ?2 AND (lease_until IS NULL OR lease_until <= ?1) AND (retry_at IS NULL OR retry_at <= ?1) \
         ORDER BY refresh_at LIMIT ?3",
        [platform.now().0.into(), used_since.0.into(), limit.into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    results.iter().flatten().map(|row| Ok((row.parse(0)?, row.parse(1)?, row.integer(2)?))).collect()
}

/// How long what a provider has to be told of is kept, in milliseconds.
const TOLD_WITHIN: i64 = 24 * 60 * 60 * 1000;

/// Ends a connection: its sealed credential moves to where the provider is told from, and is gone here. The second statement gives the id
/// if there was one.
pub(crate) fn disconnect(org: &OrgId, id: &ConnectionId, event: &EventId, now: Timestamp) -> [Statement; 2] {
    let queue = Statement::new(
        "INSERT INTO revocations (connection_id, org_id, provider_id, owner_id, version, sealed, next_at, until) \
         SELECT id, org_id, provider_id, owner_id, version, sealed, ?3, ?4 FROM connections \
         WHERE org_id = ?1 AND id = ?2 AND status <> 'disconnected' AND sealed IS NOT NULL \
         ON CONFLICT (connection_id) DO NOTHING",
        [org.as_str().into(), id.as_str().into(), now.0.into(), now.plus(TOLD_WITHIN).0.into()],
    );
    let ended = Statement::new(
        "UPDATE connections SET status = 'disconnected', reason = NULL, sealed = NULL, expires_at = NULL, usable_until = NULL, \
         refresh_at = NULL, lease = NULL, lease_until = NULL, attempted = NULL, changed_at = ?3, event_id = ?4 \
         WHERE org_id = ?1 AND id = ?2 AND status <> 'disconnected' RETURNING id",
        [org.as_str().into(), id.as_str().into(), now.0.into(), event.as_str().into()],
    );
    [queue, ended]
}

/// Where servers run that get the credential of an account when they start: a process of its own for each.
pub(crate) async fn processes(
    platform: &impl Platform,
    id: &ConnectionId,
) -> Result<Vec<(OrgName, ToolboxName, ServerName)>, PlatformError> {
    let statement = Statement::new(
        "SELECT o.name, t.name, s.name FROM connections c JOIN servers s ON s.provider_id = c.provider_id \
         JOIN toolbox_servers ts ON ts.server_id = s.id JOIN toolboxes t ON t.id = ts.toolbox_id JOIN orgs o ON o.id = s.org_id \
         WHERE c.id = ?1 AND s.workload IS NOT NULL \
         AND EXISTS (SELECT 1 FROM json_each(s.injection) j WHERE j.value ->> 'in' IN ('env', 'file'))",
        [id.as_str().into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    results.iter().flatten().map(|row| Ok((row.parse(0)?, row.parse(1)?, row.parse(2)?))).collect()
}
