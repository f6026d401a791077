//! Organisations and what is in them, as operators manage them. Statements for changes, so that each goes into one batch with the note
//! of it in the audit trail.

use schemas::decision::Status;
use schemas::ids::{AgentId, OrgId, ServerId, Sha256Hex, Timestamp, ToolboxId, UserId};
use schemas::names::{AgentName, OrgName, ProviderName, ServerName, ToolName, ToolboxName, UserName};

use super::refusals::Refused;
use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};
use crate::toolboxes::Flags;

/// An organisation, with its policy set.
#[derive(Debug, Clone)]
pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) policy_set: Sha256Hex,
    /// A draft that is on trial beside it.
    pub(crate) shadow_set: Option<Sha256Hex>,
    /// The hash of the built-in policies that it was made with.
    pub(crate) built_in: String,
}

async fn one<T>(
    platform: &impl Platform,
    statement: Statement,
    read: impl Fn(&Row) -> Result<T, PlatformError>,
) -> Result<Option<T>, PlatformError> {
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(read).transpose()
}

pub(crate) async fn org(platform: &impl Platform, name: &OrgName) -> Result<Option<Org>, PlatformError> {
    let sql = "SELECT o.id, o.policy_set, o.shadow_set, p.built_in FROM orgs o JOIN policy_sets p ON p.hash = o.policy_set \
         WHERE o.name = ?1";
    one(platform, Statement::new(sql, [name.as_str().into()]), |row| {
        let shadow_set = row.maybe_text(2)?.map(|_| row.parse(2)).transpose()?;
        let built_in = row.text(3)?.to_owned();
        Ok(Org { id: row.parse(0)?, policy_set: row.parse(1)?, shadow_set, built_in })
    })
    .await
}

/// Whether there is one.
pub(crate) async fn any_org(platform: &impl Platform) -> Result<bool, PlatformError> {
    let statement = Statement::new("SELECT id FROM orgs LIMIT 1", []);
    Ok(one(platform, statement, |_| Ok(())).await?.is_some())
}

pub(crate) async fn agent(
    platform: &impl Platform,
    org: &OrgId,
    name: &AgentName,
) -> Result<Option<AgentId>, PlatformError> {
    let sql = "SELECT id FROM agents WHERE org_id = ?1 AND name = ?2 AND status <> 'deleted'";
    one(platform, Statement::new(sql, [org.as_str().into(), name.as_str().into()]), |row| row.parse(0)).await
}

pub(crate) async fn user(
    platform: &impl Platform,
    org: &OrgId,
    name: &UserName,
) -> Result<Option<UserId>, PlatformError> {
    let sql = "SELECT id FROM users WHERE org_id = ?1 AND name = ?2 AND status <> 'deleted'";
    one(platform, Statement::new(sql, [org.as_str().into(), name.as_str().into()]), |row| row.parse(0)).await
}

pub(crate) async fn toolbox(
    platform: &impl Platform,
    org: &OrgId,
    name: &ToolboxName,
) -> Result<Option<ToolboxId>, PlatformError> {
    let sql = "SELECT id FROM toolboxes WHERE org_id = ?1 AND name = ?2";
    one(platform, Statement::new(sql, [org.as_str().into(), name.as_str().into()]), |row| row.parse(0)).await
}

pub(crate) async fn server(
    platform: &impl Platform,
    org: &OrgId,
    name: &ServerName,
) -> Result<Option<ServerId>, PlatformError> {
    let sql = "SELECT id FROM servers WHERE org_id = ?1 AND name = ?2 AND status <> 'deleted'";
    one(platform, Statement::new(sql, [org.as_str().into(), name.as_str().into()]), |row| row.parse(0)).await
}

pub(crate) fn add_org(id: &OrgId, name: &OrgName, policy_set: &Sha256Hex, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO orgs (id, name, policy_set, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        [id.as_str().into(), name.as_str().into(), policy_set.as_str().into(), now.0.into()],
    )
}

pub(crate) fn set_org_status(org: &OrgId, status: &str) -> Statement {
    Statement::new("UPDATE orgs SET status = ?2 WHERE id = ?1", [org.as_str().into(), status.into()])
}

fn status_word(status: Status) -> Value {
    Value::from(match status {
        Status::Active => "active",
        Status::Suspended => "suspended",
        Status::Deleted => "deleted",
    })
}

pub(crate) fn put_user(
    id: &UserId,
    org: &OrgId,
    name: &UserName,
    email: &str,
    status: Status,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "INSERT INTO users (id, org_id, name, email, status, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (org_id, name) DO UPDATE SET email = excluded.email, status = excluded.status",
        [
            id.as_str().into(),
            org.as_str().into(),
            name.as_str().into(),
            email.into(),
            status_word(status),
            now.0.into(),
        ],
    )
}

/// An agent as it is to be.
#[derive(Debug)]
pub(crate) struct NewAgent<'a> {
    /// Its id, if there is none of that name.
    pub(crate) id: AgentId,
    pub(crate) owner: Option<&'a UserId>,
    pub(crate) oauth_client: Option<&'a str>,
    /// A JSON array.
    pub(crate) clients: String,
    pub(crate) status: Status,
}

pub(crate) fn put_agent(org: &OrgId, name: &AgentName, agent: &NewAgent<'_>, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO agents (id, org_id, name, owner_id, oauth_client, clients, status, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (org_id, name) DO UPDATE SET owner_id = excluded.owner_id, oauth_client = excluded.oauth_client, \
         clients = excluded.clients, status = excluded.status",
        [
            agent.id.as_str().into(),
            org.as_str().into(),
            name.as_str().into(),
            agent.owner.map(UserId::as_str).into(),
            agent.oauth_client.into(),
            agent.clients.as_str().into(),
            status_word(agent.status),
            now.0.into(),
        ],
    )
}

pub(crate) fn put_issuer(
    org: &OrgId,
    issuer: &str,
    jwks_uri: &str,
    algorithms: String,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "INSERT INTO issuers (org_id, issuer, jwks_uri, algorithms, created_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (org_id, issuer) DO UPDATE SET jwks_uri = excluded.jwks_uri, algorithms = excluded.algorithms",
        [org.as_str().into(), issuer.into(), jwks_uri.into(), algorithms.into(), now.0.into()],
    )
}

pub(crate) fn delete_issuer(org: &OrgId, issuer: &str) -> Statement {
    Statement::new(
        "DELETE FROM issuers WHERE org_id = ?1 AND issuer = ?2",
        [org.as_str().into(), issuer.into()],
    )
}

/// A server as it is to be.
#[derive(Debug)]
pub(crate) struct NewServer<'a> {
    /// Its id, if there is none of that name.
    pub(crate) id: ServerId,
    pub(crate) workload: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) status: Status,
    pub(crate) trust: &'a str,
    /// Whose accounts it acts on; then how it gets their credentials and what it needs of them, both JSON arrays.
    pub(crate) provider: Option<&'a ProviderName>,
    pub(crate) injection: String,
    pub(crate) scopes: String,
}

/// Puts a server, if its provider is one.
pub(crate) fn put_server(
    org: &OrgId,
    name: &ServerName,
    server: NewServer<'_>,
    now: Timestamp,
) -> Vec<Statement> {
    let provider = server.provider.map(ProviderName::as_str);
    let has_provider = provider.map(|provider| {
        Refused::Missing.unless(
            "EXISTS (SELECT 1 FROM providers WHERE org_id = ?1 AND name = ?2)",
            vec![org.as_str().into(), provider.into()],
        )
    });
    let put = Statement::new(
        "INSERT INTO servers (id, org_id, name, workload, url, status, trust, created_at, provider_id, injection, scopes) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, (SELECT id FROM providers WHERE org_id = ?2 AND name = ?9), ?10, ?11) \
         ON CONFLICT (org_id, name) DO UPDATE SET workload = excluded.workload, url = excluded.url, status = excluded.status, \
         trust = excluded.trust, provider_id = excluded.provider_id, injection = excluded.injection, scopes = excluded.scopes",
        [
            server.id.as_str().into(),
            org.as_str().into(),
            name.as_str().into(),
            server.workload.into(),
            server.url.into(),
            status_word(server.status),
            server.trust.into(),
            now.0.into(),
            provider.into(),
            server.injection.into(),
            server.scopes.into(),
        ],
    );
    has_provider.into_iter().chain([put]).collect()
}

pub(crate) fn add_toolbox(id: &ToolboxId, org: &OrgId, name: &ToolboxName, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO toolboxes (id, org_id, name, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        [id.as_str().into(), org.as_str().into(), name.as_str().into(), now.0.into()],
    )
}

pub(crate) fn empty_toolbox(org: &OrgId, name: &ToolboxName) -> Statement {
    Statement::new(
        "DELETE FROM toolbox_servers WHERE toolbox_id = (SELECT id FROM toolboxes WHERE org_id = ?1 AND name = ?2)",
        [org.as_str().into(), name.as_str().into()],
    )
}

pub(crate) fn fill_toolbox(org: &OrgId, name: &ToolboxName, server: &ServerId, prefix: &str) -> Statement {
    Statement::new(
        "INSERT INTO toolbox_servers (toolbox_id, server_id, prefix) \
         SELECT id, ?3, ?4 FROM toolboxes WHERE org_id = ?1 AND name = ?2",
        [org.as_str().into(), name.as_str().into(), server.as_str().into(), prefix.into()],
    )
}

/// `holder` is `agent:<id>`, `team:<id>` or `org:<id>`.
pub(crate) fn grant(org: &OrgId, holder: &str, resource: &str, by: &str, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO grants (holder, resource, org_id, granted_by, granted_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        [holder.into(), resource.into(), org.as_str().into(), by.into(), now.0.into()],
    )
}

pub(crate) fn revoke_grant(holder: &str, resource: &str) -> Statement {
    Statement::new("DELETE FROM grants WHERE holder = ?1 AND resource = ?2", [holder.into(), resource.into()])
}

/// What a server said of itself.
pub(crate) fn put_discovered(server: &ServerId, discovered: String, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE servers SET discovered = ?2, discovered_at = ?3 WHERE id = ?1",
        [server.as_str().into(), discovered.into(), now.0.into()],
    )
}

/// A tool as its server tells it now.
#[derive(Debug, Clone)]
pub(crate) struct LiveTool {
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) position: i64,
    pub(crate) definition: String,
    pub(crate) hash: Sha256Hex,
    pub(crate) headers: String,
    pub(crate) flags: Flags,
}

/// Records a tool as seen. A new one is `new`; a known one keeps its approved definition, and is `changed` if the server now says
/// something else (and `approved` again when it says what was approved).
pub(crate) fn see_tool(server: &ServerId, tool: &LiveTool) -> Statement {
    Statement::new(
        "INSERT INTO tools (server_id, name, alias, position, definition, definition_hash, live_hash, live_definition, headers) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?5, ?7) ON CONFLICT (server_id, name) DO UPDATE SET \
         position = excluded.position, live_hash = excluded.live_hash, live_definition = excluded.live_definition, \
         state = CASE WHEN state = 'approved' AND definition_hash <> excluded.live_hash THEN 'changed' \
                      WHEN state = 'changed' AND definition_hash = excluded.live_hash THEN 'approved' ELSE state END, \
         definition = CASE WHEN state = 'new' THEN excluded.definition ELSE definition END, \
         definition_hash = CASE WHEN state = 'new' THEN excluded.definition_hash ELSE definition_hash END, \
         headers = CASE WHEN state = 'new' THEN excluded.headers ELSE headers END",
        [
            server.as_str().into(),
            tool.name.as_str().into(),
            tool.alias.as_str().into(),
            tool.position.into(),
            tool.definition.as_str().into(),
            tool.hash.as_str().into(),
            tool.headers.as_str().into(),
        ],
    )
}

/// Approves a tool exactly as seen, with confirmed flags.
pub(crate) fn approve_tool(server: &ServerId, tool: &LiveTool, by: &str, now: Timestamp) -> Statement {
    let flag = |flag: bool| Value::Integer(i64::from(flag));
    Statement::new(
        "UPDATE tools SET state = 'approved', definition = ?3, definition_hash = ?4, live_hash = ?4, headers = ?5, \
         read_only = ?6, destructive = ?7, idempotent = ?8, open_world = ?9, approved_by = ?11, approved_at = ?10, approved_position = position \
         WHERE server_id = ?1 AND name = ?2",
        [
            server.as_str().into(),
            tool.name.as_str().into(),
            tool.definition.as_str().into(),
            tool.hash.as_str().into(),
            tool.headers.as_str().into(),
            flag(tool.flags.read_only),
            flag(tool.flags.destructive),
            flag(tool.flags.idempotent),
            flag(tool.flags.open_world),
            now.0.into(),
            by.into(),
        ],
    )
}

/// Confirms other flags of a tool, or another state. Nothing is approved that has changed since it was looked at.
pub(crate) fn judge_tool(
    server: &ServerId,
    tool: &str,
    (flags, state): (Flags, &str),
    scopes: Option<String>,
) -> [Statement; 2] {
    let flag = |flag: bool| Value::Integer(i64::from(flag));
    let as_looked_at = Refused::Conflict.unless(
        "EXISTS (SELECT 1 FROM tools WHERE server_id = ?1 AND name = ?2 AND (?3 = 'quarantined' OR definition_hash = live_hash))",
        vec![server.as_str().into(), tool.into(), state.into()],
    );
    let judge = Statement::new(
        "UPDATE tools SET read_only = ?3, destructive = ?4, idempotent = ?5, open_world = ?6, state = ?7, \
         scopes = COALESCE(?8, scopes) WHERE server_id = ?1 AND name = ?2",
        [
            server.as_str().into(),
            tool.into(),
            flag(flags.read_only),
            flag(flags.destructive),
            flag(flags.idempotent),
            flag(flags.open_world),
            state.into(),
            scopes.into(),
        ],
    );
    [as_looked_at, judge]
}

/// The approved definition of a tool, and what its server said last; the latter may be empty, where it was last seen by an older version.
pub(crate) async fn definitions(
    platform: &impl Platform,
    server: &ServerId,
    tool: &ToolName,
) -> Result<[String; 2], PlatformError> {
    let sql = "SELECT definition, live_definition FROM tools WHERE server_id = ?1 AND name = ?2";
    let statement = Statement::new(sql, [server.as_str().into(), tool.as_str().into()]);
    let found =
        one(platform, statement, |row| Ok([row.text(0)?.to_owned(), row.text(1)?.to_owned()])).await?;
    Ok(found.unwrap_or_default())
}
