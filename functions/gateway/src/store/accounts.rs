//! People's accounts, as their owners and operators see them: never with what is sealed.

use std::collections::BTreeSet;

use schemas::ids::{ConnectionId, OrgId, ProviderId, TeamId, Timestamp, UserId};
use schemas::names::{AgentName, ProviderName, TeamName, UserName};

use crate::broker::{Sharing, Standing};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

/// An account.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) id: ConnectionId,
    pub(crate) provider: ProviderName,
    /// A row of the provider table.
    pub(crate) kind: String,
    pub(crate) owner: UserName,
    pub(crate) owner_id: UserId,
    /// Who it is there: the id that never changes, and what people know it by.
    pub(crate) account_id: String,
    pub(crate) label: String,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) sharing: Sharing,
    pub(crate) team: Option<TeamName>,
    pub(crate) team_id: Option<TeamId>,
    pub(crate) status: Standing,
    /// Why it needs its owner.
    pub(crate) reason: Option<String>,
    pub(crate) version: i64,
    pub(crate) since: Timestamp,
    pub(crate) used: Option<Timestamp>,
}

impl Listed {
    /// Whether nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        self.status == Standing::Disconnected
    }
}

macro_rules! columns {
    () => {
        "c.id, p.name, p.kind, u.name, c.owner_id, c.account_id, c.account_label, c.scopes, c.sharing, t.name, c.team_id, c.status, \
         c.reason, c.version, c.created_at, NULLIF(c.used_at, 0)"
    };
}

macro_rules! tables {
    () => {
        " FROM connections c JOIN providers p ON p.id = c.provider_id JOIN users u ON u.id = c.owner_id LEFT JOIN teams t ON t.id = c.team_id"
    };
}

/// Reads a row.
pub(crate) fn listed(row: &Row) -> Result<Listed, PlatformError> {
    let text = |column: usize| Ok::<_, PlatformError>(row.text(column)?.to_owned());
    let present = |column: usize| Ok::<_, PlatformError>(row.maybe_text(column)?.is_some());
    Ok(Listed {
        id: row.parse(0)?,
        provider: row.parse(1)?,
        kind: text(2)?,
        owner: row.parse(3)?,
        owner_id: row.parse(4)?,
        account_id: text(5)?,
        label: text(6)?,
        scopes: super::json(row, 7)?,
        sharing: super::word(row, 8)?,
        team: if present(9)? { Some(row.parse(9)?) } else { None },
        team_id: if present(10)? { Some(row.parse(10)?) } else { None },
        status: super::word(row, 11)?,
        reason: row.maybe_text(12)?.map(str::to_owned),
        version: row.integer(13)?,
        since: Timestamp(row.integer(14)?),
        used: row.maybe_integer(15)?.map(Timestamp),
    })
}

async fn one(platform: &impl Platform, statement: Statement) -> Result<Option<Listed>, PlatformError> {
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(listed).transpose()
}

/// One of an organisation.
pub(crate) async fn find(
    platform: &impl Platform,
    org: &OrgId,
    id: &ConnectionId,
) -> Result<Option<Listed>, PlatformError> {
    const SQL: &str = concat!("SELECT ", columns!(), tables!(), " WHERE c.org_id = ?1 AND c.id = ?2");
    one(platform, Statement::new(SQL, [org.as_str().into(), id.as_str().into()])).await
}

/// A person's own at a provider.
pub(crate) async fn personal(
    platform: &impl Platform,
    owner: &UserId,
    provider: &ProviderId,
) -> Result<Option<Listed>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        tables!(),
        " WHERE c.owner_id = ?1 AND c.provider_id = ?2 AND c.sharing = 'personal' AND c.status <> 'disconnected'"
    );
    one(platform, Statement::new(SQL, [owner.as_str().into(), provider.as_str().into()])).await
}

/// A person's own, and what others share with them.
pub(crate) fn of_user(org: &OrgId, user: &UserId) -> Statement {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        tables!(),
        " WHERE c.org_id = ?1 AND c.status <> 'disconnected' AND (c.owner_id = ?2 OR c.sharing = 'org' OR (c.sharing = 'team' \
         AND EXISTS (SELECT 1 FROM team_reach r WHERE r.team_id = c.team_id AND r.member = 'user:' || ?2))) \
         ORDER BY c.owner_id <> ?2, p.name, c.id"
    );
    Statement::new(SQL, [org.as_str().into(), user.as_str().into()])
}

/// An agent that may call tools of a server that acts on accounts of a provider; what of that it may do stands in the policies.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) provider: ProviderName,
    pub(crate) agent: AgentName,
}

/// Which agents are granted tools of servers that act on accounts of which provider.
pub(crate) fn agents(org: &OrgId) -> Statement {
    Statement::new(
        "SELECT DISTINCT p.name, a.name FROM providers p JOIN servers s ON s.provider_id = p.id AND s.status = 'active' \
         JOIN agents a ON a.org_id = p.org_id AND a.status = 'active' WHERE p.org_id = ?1 AND EXISTS ( \
           SELECT 1 FROM grants g WHERE g.org_id = ?1 AND (g.holder = 'agent:' || a.id OR g.holder = 'org:' || ?1 \
             OR (g.holder LIKE 'team:%' AND EXISTS (SELECT 1 FROM team_reach r WHERE 'team:' || r.team_id = g.holder AND r.member = 'agent:' || a.id))) \
           AND (g.resource = 'server:' || s.id OR g.resource LIKE 'tool:' || s.id || '/%' OR (g.resource LIKE 'toolbox:%' \
             AND EXISTS (SELECT 1 FROM toolbox_servers ts WHERE ts.server_id = s.id AND 'toolbox:' || ts.toolbox_id = g.resource)))) \
         ORDER BY p.name, a.name",
        [org.as_str().into()],
    )
}

/// Reads a row of [`agents`].
pub(crate) fn agent(row: &Row) -> Result<User, PlatformError> {
    Ok(User { provider: row.parse(0)?, agent: row.parse(1)? })
}

/// A use of an account.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) connection: String,
    pub(crate) at: Timestamp,
    pub(crate) agent: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) server: Option<String>,
    /// The tool, or whatever else was asked for.
    pub(crate) name: Option<String>,
}

/// How many uses are shown of all of a person's accounts together.
const USES: i64 = 50;

/// The latest uses of a person's accounts, youngest first: as the trail has them.
pub(crate) fn uses(org: &OrgId, owner: &UserId, since: Timestamp) -> Statement {
    Statement::new(
        "SELECT json_extract(e.event, '$.connection.id'), e.at, json_extract(e.event, '$.actor.agent'), \
         json_extract(e.event, '$.actor.user'), json_extract(e.event, '$.subject.server'), json_extract(e.event, '$.subject.name') \
         FROM audit e WHERE e.org_id = ?1 AND e.at >= ?3 AND e.phase = 'note' AND json_extract(e.event, '$.method') = 'connection.use' \
         AND json_extract(e.event, '$.connection.id') IN (SELECT c.id FROM connections c WHERE c.owner_id = ?2) \
         ORDER BY e.at DESC, e.id DESC LIMIT ?4",
        [org.as_str().into(), owner.as_str().into(), since.0.into(), USES.into()],
    )
}

/// Reads a row of [`uses`].
pub(crate) fn used(row: &Row) -> Result<Use, PlatformError> {
    let text = |column: usize| Ok::<_, PlatformError>(row.maybe_text(column)?.map(str::to_owned));
    Ok(Use {
        connection: row.text(0)?.to_owned(),
        at: Timestamp(row.integer(1)?),
        agent: text(2)?,
        user: text(3)?,
        server: text(4)?,
        name: text(5)?,
    })
}

/// How many connections a provider has in each state.
pub(crate) fn states(org: &OrgId) -> Statement {
    Statement::new(
        "SELECT p.name, c.status, COUNT(*) FROM connections c JOIN providers p ON p.id = c.provider_id \
         WHERE c.org_id = ?1 AND c.status <> 'disconnected' GROUP BY p.name, c.status",
        [org.as_str().into()],
    )
}

/// Reads a row of [`states`].
pub(crate) fn state(row: &Row) -> Result<(ProviderName, Standing, i64), PlatformError> {
    Ok((row.parse(0)?, super::word(row, 1)?, row.integer(2)?))
}

/// A team's name.
pub(crate) async fn team_name(
    platform: &impl Platform,
    org: &OrgId,
    id: &TeamId,
) -> Result<Option<TeamName>, PlatformError> {
    let statement = Statement::new(
        "SELECT name FROM teams WHERE org_id = ?1 AND id = ?2",
        [org.as_str().into(), id.as_str().into()],
    );
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| row.parse(0)).transpose()
}
