//! What a request is about: toolbox, servers and tools, together with who asks, in one round trip.

use schemas::decision::OrgFacts;
use schemas::ids::Timestamp;
use schemas::names::{OrgName, ServerName, ToolboxName};

use super::callers::{Credential, Known, agent_id, known, statement};
use super::connections::{acting_on, best_account};
use crate::platform::{Batch, Platform, PlatformError, Row, Rows, Statement, Value};
use crate::toolboxes::{Flags, Place, Server, Tool, Toolbox, names};

/// Whether a resource is granted to the agent, to one of its teams, or to its organisation. The holders do not depend on the row: SQLite
/// finds them once for a statement.
macro_rules! granted {
    ($resource:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM grants g WHERE g.resource = ",
            $resource,
            " AND g.holder IN (SELECT 'agent:' || ",
            agent_id!(),
            " UNION ALL SELECT 'org:' || h.id FROM orgs h WHERE h.name = ?4 \
             UNION ALL SELECT 'team:' || r.team_id FROM team_reach r WHERE r.member = 'agent:' || ",
            agent_id!(),
            "))"
        )
    };
}

/// `?1` to `?3` name the agent, `?4` the organisation, `?5` the toolbox.
const TOOLBOX: &str = concat!(
    "SELECT o.id, o.name, t.id, t.name, o.policy_set, ",
    granted!("'toolbox:' || t.id"),
    ", o.shadow_set FROM orgs o JOIN toolboxes t ON t.org_id = o.id WHERE o.name = ?4 AND t.name = ?5"
);

/// `$account` is the one that a call would use, or `NULL` where nothing is called.
macro_rules! server_columns {
    ($account:expr) => {
        concat!(
            "SELECT s.id, s.name, ts.prefix, s.workload, s.url, s.status, s.trust, ",
            granted!("'server:' || s.id"),
            ", ",
            acting_on!($account)
        )
    };
}

macro_rules! tool_columns {
    () => {
        concat!(
            ", x.name, x.alias, x.definition_hash, x.state, x.read_only, x.destructive, x.idempotent, x.open_world, x.headers, x.scopes, ",
            granted!("'tool:' || s.id || '/' || x.name")
        )
    };
}

macro_rules! from_toolbox {
    () => {
        " FROM orgs o JOIN toolboxes t ON t.org_id = o.id JOIN toolbox_servers ts ON ts.toolbox_id = t.id \
         JOIN servers s ON s.id = ts.server_id"
    };
}

/// One tool, by prefix and alias (`?7`, `?8`), or by alias at the server without prefix (`?9`); the latter wins, here as in lists.
const TOOL: &str = concat!(
    server_columns!(best_account!()),
    tool_columns!(),
    from_toolbox!(),
    " JOIN tools x ON x.server_id = s.id WHERE o.name = ?4 AND t.name = ?5 \
     AND ((ts.prefix = ?7 AND x.alias = ?8) OR (ts.prefix = '' AND x.alias = ?9)) ORDER BY ts.prefix LIMIT 1"
);

/// Every tool of the toolbox, with its definition. Only for showing: nobody's account is looked up.
const TOOLS: &str = concat!(
    server_columns!("NULL"),
    tool_columns!(),
    ", x.definition",
    from_toolbox!(),
    " JOIN tools x ON x.server_id = s.id WHERE o.name = ?4 AND t.name = ?5 ORDER BY ts.prefix, x.position"
);

/// Every tool of the toolbox, with what a call of it would use.
const CALLABLE: &str = concat!(
    server_columns!(best_account!()),
    tool_columns!(),
    from_toolbox!(),
    " JOIN tools x ON x.server_id = s.id WHERE o.name = ?4 AND t.name = ?5 ORDER BY ts.prefix, x.position"
);

/// Every server of the toolbox, with what it said of itself.
const SERVERS: &str = concat!(
    server_columns!(best_account!()),
    ", s.discovered",
    from_toolbox!(),
    " WHERE o.name = ?4 AND t.name = ?5 ORDER BY ts.prefix, s.name"
);

/// Who asks, and for which toolbox. Either may be unknown.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) caller: Option<Known>,
    pub(crate) toolbox: Option<Toolbox>,
    pub(crate) rest: T,
}

/// Who asks, for which toolbox, and the tool of that public name.
pub(crate) async fn tool(
    platform: &impl Platform,
    credential: &Credential,
    place: (&OrgName, &ToolboxName),
    public: &str,
) -> Result<Found<Option<(Server, Tool)>>, PlatformError> {
    let (prefix, alias) = names::split(public);
    let more = [credential.person(), Value::from(prefix), Value::from(alias), Value::from(public)];
    let found = find(platform, credential, place, TOOL, &more).await?;
    let exact = found.rest.first().map(read_tool).transpose()?;
    let rest = match exact {
        None if names::may_be_shortened(public) => {
            let all = find(platform, credential, place, CALLABLE, &[credential.person()]).await?.rest;
            let mut tools = all.iter().map(read_tool);
            tools
                .find(|tool| {
                    tool.as_ref()
                        .is_ok_and(|(server, tool)| names::public(&server.prefix, &tool.alias) == public)
                })
                .transpose()?
        }
        exact => exact,
    };
    Ok(Found { caller: found.caller, toolbox: found.toolbox, rest })
}

/// Who asks, for which toolbox, and all its tools.
pub(crate) async fn tools(
    platform: &impl Platform,
    credential: &Credential,
    place: (&OrgName, &ToolboxName),
) -> Result<Found<Vec<(Server, Tool)>>, PlatformError> {
    let found = find(platform, credential, place, TOOLS, &[]).await?;
    let rest = found
        .rest
        .iter()
        .map(|row| {
            let (server, mut tool) = read_tool(row)?;
            row.text(20)?.clone_into(&mut tool.definition);
            Ok((server, tool))
        })
        .collect::<Result<_, PlatformError>>()?;
    Ok(Found { caller: found.caller, toolbox: found.toolbox, rest })
}

/// Who asks, for which toolbox, and its servers with what they said of themselves.
pub(crate) async fn servers(
    platform: &impl Platform,
    credential: &Credential,
    place: (&OrgName, &ToolboxName),
) -> Result<Found<Vec<(Server, String)>>, PlatformError> {
    let found = find(platform, credential, place, SERVERS, &[credential.person()]).await?;
    let rest = found
        .rest
        .iter()
        .map(|row| Ok((read_server(row)?, row.text(9)?.to_owned())))
        .collect::<Result<_, PlatformError>>()?;
    Ok(Found { caller: found.caller, toolbox: found.toolbox, rest })
}

/// Who asks, and for which toolbox.
pub(crate) async fn toolbox(
    platform: &impl Platform,
    credential: &Credential,
    place: (&OrgName, &ToolboxName),
) -> Result<Found<()>, PlatformError> {
    let now = platform.now();
    let keys = keys(credential, place, &[]);
    let results =
        platform.sql(Batch::read([statement(credential, now), Statement::new(TOOLBOX, keys)])).await?;
    Ok(Found { caller: caller(&results)?, toolbox: read_toolbox(&results)?, rest: () })
}

/// A server in a toolbox, for operators.
pub(crate) async fn member(
    platform: &impl Platform,
    org: &OrgFacts,
    toolbox: &ToolboxName,
    server: &ServerName,
) -> Result<Option<(Toolbox, Server)>, PlatformError> {
    let nobody = Credential::KeyHash(String::new());
    let found = servers(platform, &nobody, (&org.name, toolbox)).await?;
    let server = found.rest.into_iter().map(|(server, _)| server).find(|candidate| candidate.name == *server);
    Ok(found.toolbox.zip(server))
}

async fn find(
    platform: &impl Platform,
    credential: &Credential,
    place: (&OrgName, &ToolboxName),
    sql: &'static str,
    more: &[Value],
) -> Result<Found<Rows>, PlatformError> {
    let now: Timestamp = platform.now();
    let mut results = platform
        .sql(Batch::read([
            statement(credential, now),
            Statement::new(TOOLBOX, keys(credential, place, &[])),
            Statement::new(sql, keys(credential, place, more)),
        ]))
        .await?;
    let rest = if results.len() == 3 { results.pop().unwrap_or_default() } else { Rows::default() };
    Ok(Found { caller: caller(&results)?, toolbox: read_toolbox(&results)?, rest })
}

fn keys(credential: &Credential, (org, toolbox): (&OrgName, &ToolboxName), more: &[Value]) -> Vec<Value> {
    let mut keys = Vec::with_capacity(8);
    keys.extend(credential.keys());
    keys.push(org.as_str().into());
    keys.push(toolbox.as_str().into());
    keys.extend_from_slice(more);
    keys
}

fn caller(results: &[Rows]) -> Result<Option<Known>, PlatformError> {
    super::first(results, 0).map(known).transpose()
}

fn read_toolbox(results: &[Rows]) -> Result<Option<Toolbox>, PlatformError> {
    super::first(results, 1)
        .map(|row| {
            Ok(Toolbox {
                org: OrgFacts { id: row.parse(0)?, name: row.parse(1)? },
                id: row.parse(2)?,
                name: row.parse(3)?,
                policy_set: row.parse(4)?,
                granted: row.integer(5)? == 1,
                shadow_set: if row.maybe_text(6)?.is_some() { Some(row.parse(6)?) } else { None },
            })
        })
        .transpose()
}

fn read_server(row: &Row) -> Result<Server, PlatformError> {
    Ok(Server {
        id: row.parse(0)?,
        name: row.parse(1)?,
        prefix: row.text(2)?.to_owned(),
        place: match (row.maybe_text(3)?, row.maybe_text(4)?) {
            (Some(workload), _) => Place::Workload(workload.to_owned()),
            (None, url) => Place::Remote(url.unwrap_or_default().to_owned()),
        },
        status: super::word(row, 5)?,
        trust: super::word(row, 6)?,
        granted: row.integer(7)? == 1,
        acts_on: if row.maybe_text(8)?.is_some() { Some(super::json(row, 8)?) } else { None },
    })
}

fn read_tool(row: &Row) -> Result<(Server, Tool), PlatformError> {
    let server = read_server(row)?;
    let tool = Tool {
        name: row.text(9)?.to_owned(),
        alias: row.text(10)?.to_owned(),
        definition: String::new(),
        definition_hash: row.parse(11)?,
        state: super::word(row, 12)?,
        flags: Flags {
            read_only: row.integer(13)? == 1,
            destructive: row.integer(14)? == 1,
            idempotent: row.integer(15)? == 1,
            open_world: row.integer(16)? == 1,
        },
        mirrored: if row.text(17)? == "[]" { Vec::new() } else { super::json(row, 17)? },
        scopes: super::json(row, 18)?,
        granted: row.integer(19)? == 1,
    };
    Ok((server, tool))
}
