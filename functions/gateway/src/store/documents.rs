//! What the management API shows: of each thing one JSON text, made by the database in one expression. So a list is the texts of its
//! things, the same thing reads the same everywhere, and a write can demand that a thing still reads as it did.

use schemas::ids::OrgId;

use super::refusals::Refused;
use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// A kind of thing. `select` gives `key` (unique in its scope), `document`, and the columns of `filters`; `?1` is the scope, which is the
/// id of the organisation unless it says otherwise.
#[derive(Debug)]
pub(crate) struct Kind {
    /// In the singular, for messages.
    pub(crate) name: &'static str,
    /// The member of an answer that holds a list of them.
    pub(crate) list: &'static str,
    /// By what lists are narrowed: the query parameter, which is the column's name too.
    pub(crate) filters: &'static [&'static str],
    select: &'static str,
}

/// Organisations; the scope is the id of one, or empty for all.
pub(crate) const ORGS: Kind = Kind {
    name: "organisation",
    list: "orgs",
    filters: &["status"],
    select: "SELECT o.name AS key, o.status AS status, json_object('name', o.name, 'id', o.id, 'status', o.status, \
         'policySet', o.policy_set, 'createdAt', o.created_at) AS document FROM orgs o WHERE ?1 IN ('', o.id)",
};

pub(crate) const USERS: Kind = Kind {
    name: "user",
    list: "users",
    filters: &["status", "email"],
    select: "SELECT u.name AS key, u.status AS status, u.email AS email, json_object('name', u.name, 'id', u.id, 'email', u.email, \
         'status', u.status, \
         'roles', json((SELECT json_group_array(r.role ORDER BY r.role) FROM user_roles r WHERE r.user_id = u.id)), \
         'teams', json((SELECT json_group_array(t.name ORDER BY t.name) FROM team_members m JOIN teams t ON t.id = m.team_id \
           WHERE m.member = 'user:' || u.id)), 'createdAt', u.created_at) AS document \
         FROM users u WHERE u.org_id = ?1 AND u.status <> 'deleted'",
};

pub(crate) const TEAMS: Kind = Kind {
    name: "team",
    list: "teams",
    filters: &[],
    select: "SELECT t.name AS key, json_object('name', t.name, 'id', t.id, \
         'users', json((SELECT json_group_array(u.name ORDER BY u.name) FROM team_members m JOIN users u ON m.member = 'user:' || u.id \
           WHERE m.team_id = t.id)), \
         'agents', json((SELECT json_group_array(a.name ORDER BY a.name) FROM team_members m JOIN agents a ON m.member = 'agent:' || a.id \
           WHERE m.team_id = t.id)), \
         'teams', json((SELECT json_group_array(w.name ORDER BY w.name) FROM team_members m JOIN teams w ON m.member = 'team:' || w.id \
           WHERE m.team_id = t.id)), 'createdAt', t.created_at) AS document FROM teams t WHERE t.org_id = ?1",
};

pub(crate) const AGENTS: Kind = Kind {
    name: "agent",
    list: "agents",
    filters: &["status", "owner"],
    select: "SELECT a.name AS key, a.status AS status, w.name AS owner, json_object('name', a.name, 'id', a.id, 'owner', w.name, \
         'status', a.status, 'oauthClient', a.oauth_client, 'clients', json(a.clients), \
         'teams', json((SELECT json_group_array(t.name ORDER BY t.name) FROM team_members m JOIN teams t ON t.id = m.team_id \
           WHERE m.member = 'agent:' || a.id)), 'createdAt', a.created_at) AS document \
         FROM agents a LEFT JOIN users w ON w.id = a.owner_id WHERE a.org_id = ?1 AND a.status <> 'deleted'",
};

/// Keys of agents and of people, without their secrets.
pub(crate) const KEYS: Kind = Kind {
    name: "key",
    list: "keys",
    filters: &["agent", "user", "status"],
    select: "SELECT k.id AS key, k.agent AS agent, k.user AS user, k.status AS status, json_object('id', k.id, 'hint', k.hint, \
         'agent', k.agent, 'user', k.user, 'toolbox', k.toolbox, 'scopes', json(k.scopes), 'status', k.status, \
         'createdAt', k.created_at, 'expiresAt', k.expires_at, 'revokedAt', k.revoked_at) AS document FROM ( \
         SELECT k.id, CASE k.hint WHEN '' THEN NULL ELSE 'ambit_sk_…' || k.hint END AS hint, a.name AS agent, u.name AS user, \
           COALESCE(t.name, k.toolbox_id) AS toolbox, \
           CASE k.scopes WHEN '' THEN '[]' ELSE '[\"' || replace(k.scopes, ' ', '\",\"') || '\"]' END AS scopes, \
           CASE WHEN k.revoked_at IS NULL THEN 'active' ELSE 'revoked' END AS status, k.created_at, k.expires_at, k.revoked_at \
         FROM api_keys k JOIN agents a ON a.id = k.agent_id LEFT JOIN users u ON u.id = k.user_id \
         LEFT JOIN toolboxes t ON t.id = k.toolbox_id WHERE k.org_id = ?1 \
         UNION ALL SELECT k.id, CASE k.hint WHEN '' THEN NULL ELSE 'ambit_pk_…' || k.hint END, NULL, u.name, NULL, '[]', \
           CASE WHEN k.revoked_at IS NULL THEN 'active' ELSE 'revoked' END, k.created_at, k.expires_at, k.revoked_at \
         FROM user_keys k JOIN users u ON u.id = k.user_id WHERE k.org_id = ?1) k",
};

pub(crate) const ISSUERS: Kind = Kind {
    name: "issuer",
    list: "issuers",
    filters: &[],
    select: "SELECT i.issuer AS key, json_object('issuer', i.issuer, 'jwksUri', i.jwks_uri, 'algorithms', json(i.algorithms), \
         'createdAt', i.created_at) AS document FROM issuers i WHERE i.org_id = ?1",
};

/// OAuth clients that an organisation registered, by the part of their id that is theirs.
pub(crate) const CLIENTS: Kind = Kind {
    name: "client",
    list: "clients",
    filters: &["agent"],
    select: "SELECT substr(c.id, instr(c.id, '.') + 1) AS key, a.name AS agent, json_object('name', substr(c.id, instr(c.id, '.') + 1), \
         'clientId', c.id, 'title', json_extract(c.metadata, '$.client_name'), 'agent', a.name, \
         'redirectUris', json(json_extract(c.metadata, '$.redirect_uris')), 'grantTypes', json(json_extract(c.metadata, '$.grant_types')), \
         'tokenEndpointAuthMethod', json_extract(c.metadata, '$.token_endpoint_auth_method'), \
         'jwks', json(json_extract(c.metadata, '$.jwks')), 'jwksUri', json_extract(c.metadata, '$.jwks_uri'), \
         'hasSecret', json(iif(c.secret_hash IS NULL, 'false', 'true')), 'createdAt', c.created_at) AS document \
         FROM oauth_clients c LEFT JOIN agents a ON a.id = c.agent_id WHERE c.org_id = ?1",
};

/// What clients were let do, and still may.
pub(crate) const AUTHORIZATIONS: Kind = Kind {
    name: "authorization",
    list: "authorizations",
    filters: &["client", "agent", "user"],
    select: "SELECT z.id AS key, z.client_id AS client, a.name AS agent, u.name AS user, json_object('id', z.id, 'client', z.client_id, \
         'agent', a.name, 'user', u.name, 'audience', z.audience, 'scopes', z.scopes, 'createdAt', z.created_at, 'expiresAt', z.expires_at) \
         AS document FROM authorizations z LEFT JOIN agents a ON a.id = z.agent_id LEFT JOIN users u ON u.id = z.user_id \
         WHERE z.org_id = ?1 AND z.revoked_at IS NULL",
};

/// Providers of accounts, without their secrets.
pub(crate) const PROVIDERS: Kind = Kind {
    name: "provider",
    list: "providers",
    filters: &["kind"],
    select: "SELECT p.name AS key, p.kind AS kind, json_object('name', p.name, 'id', p.id, 'kind', p.kind, 'clientId', p.client_id, \
         'hasClientSecret', json(iif(p.client_secret IS NULL, 'false', 'true')), 'scopes', json(p.scopes), 'settings', json(p.settings), \
         'issuer', json_extract(p.discovered, '$.issuer'), \
         'connections', json((SELECT json_object('active', COUNT(*) FILTER (WHERE c.status = 'active'), \
           'needsReconnect', COUNT(*) FILTER (WHERE c.status = 'needs_reconnect')) FROM connections c WHERE c.provider_id = p.id)), \
         'trouble', p.trouble, 'troubleAt', p.trouble_at, 'createdAt', p.created_at) AS document FROM providers p WHERE p.org_id = ?1",
};

/// People's accounts, without what is sealed.
pub(crate) const CONNECTIONS: Kind = Kind {
    name: "connection",
    list: "connections",
    filters: &["provider", "user", "status"],
    select: "SELECT c.id AS key, p.name AS provider, u.name AS user, c.status AS status, json_object('id', c.id, 'provider', p.name, \
         'user', u.name, 'account', c.account_label, 'accountId', c.account_id, 'scopes', json(c.scopes), 'sharing', c.sharing, \
         'team', t.name, 'status', c.status, 'reason', c.reason, 'expiresAt', c.expires_at, 'createdAt', c.created_at, \
         'usedAt', NULLIF(c.used_at, 0)) AS document FROM connections c JOIN providers p ON p.id = c.provider_id \
         JOIN users u ON u.id = c.owner_id LEFT JOIN teams t ON t.id = c.team_id WHERE c.org_id = ?1",
};

pub(crate) const TOOLBOXES: Kind = Kind {
    name: "toolbox",
    list: "toolboxes",
    filters: &[],
    select: "SELECT t.name AS key, json_object('name', t.name, 'id', t.id, \
         'servers', json((SELECT json_group_array(json_object('name', s.name, 'prefix', ts.prefix, 'status', s.status, \
           'trust', s.trust) ORDER BY ts.prefix, s.name) FROM toolbox_servers ts JOIN servers s ON s.id = ts.server_id \
           WHERE ts.toolbox_id = t.id)), 'createdAt', t.created_at) AS document FROM toolboxes t WHERE t.org_id = ?1",
};

pub(crate) const SERVERS: Kind = Kind {
    name: "server",
    list: "servers",
    filters: &["status", "trust"],
    select: "SELECT s.name AS key, s.status AS status, s.trust AS trust, json_object('name', s.name, 'id', s.id, \
         'workload', json(s.workload), 'url', s.url, 'account', json((SELECT json_object('provider', p.name, 'inject', json(s.injection), \
           'scopes', json(s.scopes)) FROM providers p WHERE p.id = s.provider_id)), 'status', s.status, 'trust', s.trust, \
         'toolboxes', json((SELECT json_group_array(t.name ORDER BY t.name) FROM toolbox_servers ts \
           JOIN toolboxes t ON t.id = ts.toolbox_id WHERE ts.server_id = s.id)), \
         'inspectedAt', NULLIF(s.discovered_at, 0), 'createdAt', s.created_at) AS document \
         FROM servers s WHERE s.org_id = ?1 AND s.status <> 'deleted'",
};

/// Tools with their pins; the scope is the id of their server.
pub(crate) const TOOLS: Kind = Kind {
    name: "tool",
    list: "tools",
    filters: &["state"],
    select: "SELECT x.name AS key, x.state AS state, json_object('name', x.name, 'state', x.state, 'pinned', x.definition_hash, \
         'live', x.live_hash, 'position', x.position, 'approvedPosition', x.approved_position, 'flags', json_object( \
           'readOnly', json(iif(x.read_only, 'true', 'false')), 'destructive', json(iif(x.destructive, 'true', 'false')), \
           'idempotent', json(iif(x.idempotent, 'true', 'false')), 'openWorld', json(iif(x.open_world, 'true', 'false'))), 'scopes', json(x.scopes), \
         'approvedBy', x.approved_by, 'approvedAt', x.approved_at) AS document FROM tools x WHERE x.server_id = ?1",
};

/// Plain grants, by holder and resource, as people name both.
pub(crate) const GRANTS: Kind = Kind {
    name: "grant",
    list: "grants",
    filters: &["holder", "resource"],
    select: "SELECT g.holder || ' ' || g.resource AS key, g.holder AS holder, g.resource AS resource, json_object('holder', g.holder, \
         'resource', g.resource, 'grantedBy', g.granted_by, 'grantedAt', g.granted_at) AS document FROM ( \
         SELECT CASE substr(g.holder, 1, 5) WHEN 'agent' THEN 'agent:' || (SELECT a.name FROM agents a WHERE a.id = substr(g.holder, 7)) \
             WHEN 'team:' THEN 'team:' || (SELECT t.name FROM teams t WHERE t.id = substr(g.holder, 6)) ELSE 'everybody' END AS holder, \
           CASE substr(g.resource, 1, 5) WHEN 'toolb' THEN 'toolbox:' || (SELECT t.name FROM toolboxes t WHERE t.id = substr(g.resource, 9)) \
             WHEN 'serve' THEN 'server:' || (SELECT s.name FROM servers s WHERE s.id = substr(g.resource, 8)) \
             ELSE 'tool:' || (SELECT s.name FROM servers s WHERE s.id = substr(g.resource, 6, 30)) || ':' || substr(g.resource, 37) \
             END AS resource, g.granted_by, g.granted_at FROM grants g WHERE g.org_id = ?1) g \
         WHERE g.holder IS NOT NULL AND g.resource IS NOT NULL",
};

/// One thing, there or not.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) kind: &'static Kind,
    scope: String,
    pub(crate) key: String,
}

impl Thing {
    pub(crate) fn new(kind: &'static Kind, scope: impl AsRef<str>, key: impl AsRef<str>) -> Self {
        Self { kind, scope: scope.as_ref().to_owned(), key: key.as_ref().to_owned() }
    }

    fn document(&self) -> String {
        format!("SELECT document FROM ({}) WHERE key = ?2", self.kind.select)
    }

    fn keys(&self) -> Vec<Value> {
        vec![self.scope.as_str().into(), self.key.as_str().into()]
    }

    /// The statement that reads it.
    pub(crate) fn select(&self) -> Statement {
        Statement::new(self.document(), self.keys())
    }

    /// The statement that refuses its batch unless the thing reads so; with `None`, unless there is none.
    pub(crate) fn must_read(&self, text: Option<&str>) -> Statement {
        let mut parameters = self.keys();
        parameters.push(text.into());
        Refused::Precondition.unless(&format!("({}) IS ?3", self.document()), parameters)
    }

    /// The statement that refuses its batch unless there is one.
    pub(crate) fn must_be(&self) -> Statement {
        Refused::Missing.unless(&format!("({}) IS NOT NULL", self.document()), self.keys())
    }

    /// The statement that refuses its batch if there is none, and no room for it.
    pub(crate) fn must_fit(&self, quota: i64) -> Statement {
        let mut parameters = self.keys();
        parameters.push(quota.into());
        let condition = format!(
            "({}) IS NOT NULL OR (SELECT COUNT(*) FROM ({})) < ?3",
            self.document(),
            self.kind.select
        );
        Refused::Quota.unless(&condition, parameters)
    }
}

/// What [`Thing::select`] gave.
pub(crate) fn read(rows: Option<&Vec<Row>>) -> Result<Option<String>, PlatformError> {
    rows.and_then(|rows| rows.first()).map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// One thing's text.
pub(crate) async fn get(platform: &impl Platform, thing: &Thing) -> Result<Option<String>, PlatformError> {
    read(platform.sql(Batch::read([thing.select()])).await?.first())
}

/// Keys and texts of things after one, in the order of their keys.
pub(crate) async fn list(
    platform: &impl Platform,
    kind: &Kind,
    scope: &str,
    filters: &[(&'static str, String)],
    (after, limit): (&str, i64),
) -> Result<Vec<(String, String)>, PlatformError> {
    use std::fmt::Write as _;
    let mut sql = format!("SELECT key, document FROM ({}) WHERE key > ?2", kind.select);
    let mut parameters: Vec<Value> = vec![scope.into(), after.into(), limit.into()];
    for (column, value) in filters {
        parameters.push(value.as_str().into());
        let _ = write!(sql, " AND {column} = ?{}", parameters.len());
    }
    sql.push_str(" ORDER BY key LIMIT ?3");
    let results = platform.sql(Batch::read([Statement::new(sql, parameters)])).await?;
    results.iter().flatten().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).collect()
}

/// The statement that refuses its batch, if an organisation has as many keys as it may have, of agents and people together.
pub(crate) fn room_for_a_key(org: &OrgId, quota: i64) -> Statement {
    Refused::Quota.unless(
        "(SELECT COUNT(*) FROM api_keys WHERE org_id = ?1 AND revoked_at IS NULL) \
         + (SELECT COUNT(*) FROM user_keys WHERE org_id = ?1 AND revoked_at IS NULL) < ?2",
        vec![org.as_str().into(), quota.into()],
    )
}
