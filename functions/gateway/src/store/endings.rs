//! How things end, with everything that hangs on them. Agents, people and servers stay as rows without a life, because records name them.

use schemas::ids::{OrgId, Timestamp};
use schemas::names::{AgentName, ServerName, TeamName, ToolboxName, UserName};

use super::people::reach;
use crate::platform::{Statement, Value};

/// Statements over one thing, which `?1` (organisation) and `?2` (name) tell, at the time `?3`; `{id}` stands for its id.
fn ending(
    (table, org, name, now): (&str, &OrgId, &str, Timestamp),
    statements: &[&str],
) -> impl Iterator<Item = Statement> {
    let id = format!("(SELECT id FROM {table} WHERE org_id = ?1 AND name = ?2)");
    let keys: [Value; 3] = [org.as_str().into(), name.into(), now.0.into()];
    statements
        .iter()
        .map(|sql| {
            let used = if sql.contains("?3") { keys.len() } else { 2 };
            Statement::new(sql.replace("{id}", &id), keys.iter().take(used).cloned().collect::<Vec<_>>())
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// Connections that end with whatever they hang on; `$which` says which. Their providers are told by the scheduled work.
macro_rules! end_connections {
    ($which:literal) => {
        [
            concat!(
                "INSERT INTO revocations (connection_id, org_id, provider_id, owner_id, version, sealed, next_at, until) \
                 SELECT id, org_id, provider_id, owner_id, version, sealed, ?3, ?3 + 86400000 FROM connections \
                 WHERE sealed IS NOT NULL AND ",
                $which,
                " ON CONFLICT (connection_id) DO NOTHING"
            ),
            concat!(
                "UPDATE connections SET status = 'disconnected', sharing = 'personal', team_id = NULL, reason = NULL, sealed = NULL, \
                 expires_at = NULL, usable_until = NULL, refresh_at = NULL, lease = NULL, lease_until = NULL, changed_at = ?3 WHERE ",
                $which
            ),
        ]
    };
}

pub(crate) fn user(org: &OrgId, name: &UserName, now: Timestamp) -> Vec<Statement> {
    let [told, ended] = end_connections!("owner_id = {id} AND status <> 'disconnected'");
    let sql = [
        told,
        ended,
        "DELETE FROM connect_tickets WHERE user_id = {id}",
        "DELETE FROM connect_flows WHERE user_id = {id}",
        "DELETE FROM user_roles WHERE user_id = {id}",
        "DELETE FROM team_members WHERE member = 'user:' || {id}",
        "DELETE FROM sessions WHERE user_id = {id}",
        "DELETE FROM sign_in_links WHERE user_id = {id}",
        "DELETE FROM identities WHERE user_id = {id}",
        "DELETE FROM passkeys WHERE user_id = {id}",
        "DELETE FROM consents WHERE user_id = {id}",
        "UPDATE authorizations SET revoked_at = ?3 WHERE user_id = {id} AND revoked_at IS NULL",
        "UPDATE user_keys SET revoked_at = ?3 WHERE user_id = {id} AND revoked_at IS NULL",
        "UPDATE api_keys SET revoked_at = ?3 WHERE user_id = {id} AND revoked_at IS NULL",
        "UPDATE agents SET owner_id = NULL WHERE owner_id = {id}",
        "UPDATE users SET status = 'deleted', email = '' WHERE id = {id}",
    ];
    ending(("users", org, name.as_str(), now), &sql).chain(reach(org)).collect()
}

pub(crate) fn agent(org: &OrgId, name: &AgentName, now: Timestamp) -> Vec<Statement> {
    let sql = [
        "DELETE FROM team_members WHERE member = 'agent:' || {id}",
        "DELETE FROM grants WHERE org_id = ?1 AND holder = 'agent:' || {id}",
        "UPDATE authorizations SET revoked_at = ?3 WHERE agent_id = {id} AND revoked_at IS NULL",
        "UPDATE api_keys SET revoked_at = ?3 WHERE agent_id = {id} AND revoked_at IS NULL",
        "UPDATE agents SET status = 'deleted', oauth_client = NULL, clients = '[]', owner_id = NULL WHERE id = {id}",
    ];
    ending(("agents", org, name.as_str(), now), &sql).chain(reach(org)).collect()
}

/// Accounts that were shared with it are their owners' alone again, unless they have one of their own there already.
pub(crate) fn team(org: &OrgId, name: &TeamName, now: Timestamp) -> Vec<Statement> {
    let [told, ended] = end_connections!("team_id = {id}");
    let sql = [
        "UPDATE OR IGNORE connections SET sharing = 'personal', team_id = NULL WHERE team_id = {id}",
        told,
        ended,
        "DELETE FROM team_members WHERE team_id = {id} OR member = 'team:' || {id}",
        "DELETE FROM team_reach WHERE team_id = {id}",
        "DELETE FROM grants WHERE org_id = ?1 AND holder = 'team:' || {id}",
        "DELETE FROM teams WHERE id = {id}",
    ];
    ending(("teams", org, name.as_str(), now), &sql).chain(reach(org)).collect()
}

pub(crate) fn server(org: &OrgId, name: &ServerName) -> Vec<Statement> {
    let sql = [
        "DELETE FROM toolbox_servers WHERE server_id = {id}",
        "DELETE FROM grants WHERE org_id = ?1 AND (resource = 'server:' || {id} OR substr(resource, 1, 36) = 'tool:' || {id} || '/')",
        "DELETE FROM tools WHERE server_id = {id}",
        "UPDATE servers SET status = 'deleted', discovered = '{}', discovered_at = 0, provider_id = NULL, injection = '[]' WHERE id = {id}",
    ];
    ending(("servers", org, name.as_str(), Timestamp(0)), &sql).collect()
}

pub(crate) fn toolbox(org: &OrgId, name: &ToolboxName, now: Timestamp) -> Vec<Statement> {
    let sql = [
        "DELETE FROM toolbox_servers WHERE toolbox_id = {id}",
        "DELETE FROM grants WHERE org_id = ?1 AND resource = 'toolbox:' || {id}",
        "UPDATE api_keys SET revoked_at = ?3 WHERE toolbox_id = {id} AND revoked_at IS NULL",
        "DELETE FROM approvals WHERE toolbox_id = {id}",
        "DELETE FROM toolboxes WHERE id = {id}",
    ];
    ending(("toolboxes", org, name.as_str(), now), &sql).collect()
}
