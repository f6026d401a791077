//! Agents with their grants, servers and tools of an organisation, all of them.

use std::collections::BTreeMap;

use schemas::decision::{AgentFacts, Grants, OrgFacts, ServerFacts, ToolFacts};

use super::callers::{names, teams};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

/// What there is.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) agents: Vec<AgentFacts>,
    pub(crate) servers: Vec<ServerFacts>,
    pub(crate) tools: Vec<ToolFacts>,
}

const AGENTS: &str = concat!(
    "SELECT a.id, a.name, a.status, w.name, ",
    teams!("'agent:' || a.id"),
    " FROM agents a LEFT JOIN users w ON w.id = a.owner_id WHERE a.org_id = ?1 AND a.status <> 'deleted' ORDER BY a.name"
);

/// Every grant of every agent, once for each way it comes: kind of resource, and its name.
const GRANTS: &str = "SELECT a.id, CASE WHEN t.id IS NOT NULL THEN 'toolbox' WHEN s.id IS NOT NULL THEN 'server' ELSE 'tool' END, \
     COALESCE(t.name, s.name, x.server || '/' || x.name) \
     FROM agents a JOIN grants g ON g.org_id = a.org_id AND (g.holder = 'agent:' || a.id OR g.holder = 'org:' || a.org_id \
       OR g.holder IN (SELECT 'team:' || r.team_id FROM team_reach r WHERE r.member = 'agent:' || a.id)) \
     LEFT JOIN toolboxes t ON g.resource = 'toolbox:' || t.id LEFT JOIN servers s ON g.resource = 'server:' || s.id \
     LEFT JOIN (SELECT 'tool:' || y.id || '/' || z.name AS resource, y.name AS server, z.name AS name, y.org_id AS org_id \
       FROM tools z JOIN servers y ON y.id = z.server_id) x ON x.org_id = a.org_id AND x.resource = g.resource \
     WHERE a.org_id = ?1 AND COALESCE(t.name, s.name, x.name) IS NOT NULL";

const SERVERS: &str = "SELECT s.name, t.name, s.status, s.trust FROM servers s JOIN toolbox_servers ts ON ts.server_id = s.id \
     JOIN toolboxes t ON t.id = ts.toolbox_id WHERE s.org_id = ?1 ORDER BY t.name, s.name";

const TOOLS: &str = "SELECT s.name, t.name, s.status, s.trust, x.name, x.state, x.definition_hash, x.read_only, x.destructive, \
     x.idempotent, x.open_world FROM servers s JOIN toolbox_servers ts ON ts.server_id = s.id \
     JOIN toolboxes t ON t.id = ts.toolbox_id JOIN tools x ON x.server_id = s.id WHERE s.org_id = ?1 \
     ORDER BY t.name, s.name, x.position";

/// Reads it all in one round trip.
pub(crate) async fn all(platform: &impl Platform, org: &OrgFacts) -> Result<Found, PlatformError> {
    let id = || [org.id.as_str().into()];
    let results = platform
        .sql(Batch::read([
            Statement::new(AGENTS, id()),
            Statement::new(GRANTS, id()),
            Statement::new(SERVERS, id()),
            Statement::new(TOOLS, id()),
        ]))
        .await?;
    let rows = |index: usize| results.get(index).into_iter().flatten();
    let mut grants: BTreeMap<&str, Grants> = BTreeMap::new();
    for row in rows(1) {
        let held = grants.entry(row.text(0)?).or_default();
        match row.text(1)? {
            "toolbox" => drop(held.toolboxes.insert(row.parse(2)?)),
            "server" => drop(held.servers.insert(row.parse(2)?)),
            _ => drop(held.tools.insert(row.text(2)?.to_owned())),
        }
    }
    let agent = |row: &Row| {
        Ok(AgentFacts {
            name: row.parse(1)?,
            org: org.clone(),
            status: super::word(row, 2)?,
            owner: row.maybe_text(3)?.map(|_| row.parse(3)).transpose()?,
            teams: names(row, 4)?,
            grants: grants.get(row.text(0)?).cloned().unwrap_or_default(),
        })
    };
    Ok(Found {
        agents: rows(0).map(agent).collect::<Result<_, PlatformError>>()?,
        servers: rows(2).map(|row| server(row, org)).collect::<Result<_, _>>()?,
        tools: rows(3).map(|row| tool(row, org)).collect::<Result<_, _>>()?,
    })
}

fn server(row: &Row, org: &OrgFacts) -> Result<ServerFacts, PlatformError> {
    Ok(ServerFacts {
        name: row.parse(0)?,
        org: org.clone(),
        toolbox: row.parse(1)?,
        status: super::word(row, 2)?,
        trust: super::word(row, 3)?,
        provider: None,
    })
}

fn tool(row: &Row, org: &OrgFacts) -> Result<ToolFacts, PlatformError> {
    Ok(ToolFacts {
        name: row.text(4)?.to_owned(),
        server: server(row, org)?,
        state: super::word(row, 5)?,
        definition: row.parse(6)?,
        read_only: row.integer(7)? == 1,
        destructive: row.integer(8)? == 1,
        idempotent: row.integer(9)? == 1,
        open_world: row.integer(10)? == 1,
        scopes: std::collections::BTreeSet::new(),
    })
}
