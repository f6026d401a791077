//! Teams, roles, and keys of people.

use schemas::decision::{OrgFacts, Status, UserFacts};
use schemas::ids::{AgentId, ApiKeyId, AuthorizationId, OrgId, TeamId, Timestamp, UserId};
use schemas::names::{RoleName, TeamName};

use super::callers::{names, roles, teams};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

macro_rules! user_columns {
    () => {
        concat!("u.name, u.status, u.email, ", teams!("'user:' || u.id"), ", ", roles!())
    };
}
pub(super) use user_columns;

/// Reads the columns of [`user_columns`], which start at `first`.
pub(super) fn user(row: &Row, first: usize, org: OrgFacts) -> Result<UserFacts, PlatformError> {
    Ok(UserFacts {
        name: row.parse(first)?,
        org,
        status: super::word::<Status>(row, first + 1)?,
        email: row.text(first + 2)?.to_owned(),
        teams: names(row, first + 3)?,
        roles: names(row, first + 4)?,
    })
}

/// The person behind a key, and the key's id.
pub(crate) async fn by_key(
    platform: &impl Platform,
    hash: &str,
) -> Result<Option<(ApiKeyId, UserFacts)>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT k.id, o.id, o.name, ",
        user_columns!(),
        " FROM user_keys k JOIN users u ON u.id = k.user_id JOIN orgs o ON o.id = u.org_id \
         WHERE k.hash = ?1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?2)"
    );
    let results =
        platform.sql(Batch::read([Statement::new(SQL, [hash.into(), platform.now().0.into()])])).await?;
    super::first(&results, 0)
        .map(|row| {
            let org = OrgFacts { id: row.parse(1)?, name: row.parse(2)? };
            Ok((row.parse(0)?, user(row, 3, org)?))
        })
        .transpose()
}

/// The person who let the command line manage for them, while that and this one token of it are good.
pub(crate) async fn by_authorization(
    platform: &impl Platform,
    authorization: &AuthorizationId,
    jti: &str,
) -> Result<Option<UserFacts>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT o.id, o.name, ",
        user_columns!(),
        " FROM authorizations z JOIN users u ON u.id = z.user_id JOIN orgs o ON o.id = u.org_id \
         WHERE z.id = ?1 AND z.agent_id IS NULL AND z.revoked_at IS NULL AND z.expires_at > ?2 \
         AND NOT EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.jti = ?3)"
    );
    let values = [authorization.as_str().into(), platform.now().0.into(), jti.into()];
    let results = platform.sql(Batch::read([Statement::new(SQL, values)])).await?;
    super::first(&results, 0)
        .map(|row| user(row, 2, OrgFacts { id: row.parse(0)?, name: row.parse(1)? }))
        .transpose()
}

/// A person, as they are now.
pub(crate) async fn facts(
    platform: &impl Platform,
    org: &OrgFacts,
    id: &UserId,
) -> Result<Option<UserFacts>, PlatformError> {
    const SQL: &str = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.org_id = ?1 AND u.id = ?2");
    let statement = Statement::new(SQL, [org.id.as_str().into(), id.as_str().into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| user(row, 0, org.clone())).transpose()
}

/// The person whom an issuer calls so: linked at a sign-in or, for an issuer whose tokens the organisation takes, of that name.
pub(crate) async fn by_subject(
    platform: &impl Platform,
    org: &OrgId,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, PlatformError> {
    let sql = "SELECT user_id FROM identities WHERE org_id = ?1 AND issuer = ?2 AND subject = ?3 \
         UNION ALL SELECT id FROM users WHERE org_id = ?1 AND name = ?3 \
         AND EXISTS (SELECT 1 FROM issuers i WHERE i.org_id = ?1 AND i.issuer = ?2) LIMIT 1";
    let statement = Statement::new(sql, [org.as_str().into(), issuer.into(), subject.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| row.parse(0)).transpose()
}

/// The agent that is this client of an organisation's issuer.
pub(crate) async fn agent_of_client(
    platform: &impl Platform,
    org: &OrgId,
    client: &str,
) -> Result<Option<AgentId>, PlatformError> {
    let sql = "SELECT id FROM agents WHERE org_id = ?1 AND oauth_client = ?2";
    let statement = Statement::new(sql, [org.as_str().into(), client.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| row.parse(0)).transpose()
}

/// Every person of an organisation.
pub(crate) async fn all(platform: &impl Platform, org: &OrgFacts) -> Result<Vec<UserFacts>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT ",
        user_columns!(),
        " FROM users u WHERE u.org_id = ?1 AND u.status <> 'deleted' ORDER BY u.name"
    );
    let results = platform.sql(Batch::read([Statement::new(SQL, [org.id.as_str().into()])])).await?;
    results.iter().flatten().map(|row| user(row, 0, org.clone())).collect()
}

/// Gives a person exactly these roles.
pub(crate) fn put_roles<'a>(
    org: &OrgId,
    name: &str,
    roles: impl Iterator<Item = &'a RoleName>,
) -> Vec<Statement> {
    let person = "(SELECT id FROM users WHERE org_id = ?1 AND name = ?2)";
    let mut statements = vec![Statement::new(
        format!("DELETE FROM user_roles WHERE user_id = {person}"),
        [org.as_str().into(), name.into()],
    )];
    statements.extend(roles.map(|role| {
        Statement::new(
            format!("INSERT INTO user_roles (user_id, role) VALUES ({person}, ?3)"),
            [org.as_str().into(), name.into(), role.as_str().into()],
        )
    }));
    statements
}

pub(crate) async fn team(
    platform: &impl Platform,
    org: &OrgId,
    name: &TeamName,
) -> Result<Option<TeamId>, PlatformError> {
    let sql = "SELECT id FROM teams WHERE org_id = ?1 AND name = ?2";
    let statement = Statement::new(sql, [org.as_str().into(), name.as_str().into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| row.parse(0)).transpose()
}

/// Every team of an organisation, each with one that it is directly within, if any: once for each of those.
pub(crate) async fn all_teams(
    platform: &impl Platform,
    org: &OrgId,
) -> Result<Vec<(TeamName, Option<TeamName>)>, PlatformError> {
    let sql = "SELECT t.name, w.name FROM teams t LEFT JOIN team_members m ON m.member = 'team:' || t.id \
         LEFT JOIN teams w ON w.id = m.team_id WHERE t.org_id = ?1 ORDER BY t.name, w.name";
    let results = platform.sql(Batch::read([Statement::new(sql, [org.as_str().into()])])).await?;
    let within = |row: &Row| row.maybe_text(1)?.map(|_| row.parse(1)).transpose();
    results.iter().flatten().map(|row| Ok((row.parse(0)?, within(row)?))).collect()
}

/// Makes a team, unless it is there, and gives it exactly these members: `agent:<id>`, `user:<id>`, `team:<id>`.
pub(crate) fn put_team(
    id: &TeamId,
    org: &OrgId,
    name: &TeamName,
    members: &[String],
    now: Timestamp,
) -> Vec<Statement> {
    let team = "(SELECT id FROM teams WHERE org_id = ?1 AND name = ?2)";
    let keys = || vec![org.as_str().into(), name.as_str().into()];
    let mut statements = vec![
        Statement::new(
            "INSERT INTO teams (id, org_id, name, created_at) VALUES (?3, ?1, ?2, ?4) ON CONFLICT DO NOTHING",
            [org.as_str().into(), name.as_str().into(), id.as_str().into(), now.0.into()],
        ),
        Statement::new(format!("DELETE FROM team_members WHERE team_id = {team}"), keys()),
    ];
    statements.extend(members.iter().map(|member| {
        let mut values = keys();
        values.push(member.as_str().into());
        let sql = format!("INSERT INTO team_members (team_id, member, org_id) VALUES ({team}, ?3, ?1) ON CONFLICT DO NOTHING");
        Statement::new(sql, values)
    }));
    statements.extend(reach(org));
    statements
}

/// Puts a person into teams, and takes them out of others; teams that are named in neither stay as they are.
pub(crate) fn put_into_teams<'a>(
    org: &OrgId,
    user: &str,
    into: impl IntoIterator<Item = &'a TeamName>,
    out_of: impl IntoIterator<Item = &'a TeamName>,
) -> Vec<Statement> {
    let member = "(SELECT 'user:' || id FROM users WHERE org_id = ?1 AND name = ?2)";
    let team = "(SELECT id FROM teams WHERE org_id = ?1 AND name = ?3)";
    let values = |team: &TeamName| [org.as_str().into(), user.into(), team.as_str().into()];
    let mut statements = Vec::new();
    statements.extend(out_of.into_iter().map(|name| {
        let sql = format!("DELETE FROM team_members WHERE member = {member} AND team_id = {team}");
        Statement::new(sql, values(name))
    }));
    statements.extend(into.into_iter().map(|name| {
        let sql = "INSERT INTO team_members (team_id, member, org_id) \
             SELECT t.id, 'user:' || u.id, t.org_id FROM teams t JOIN users u ON u.org_id = t.org_id \
             WHERE t.org_id = ?1 AND u.name = ?2 AND t.name = ?3 ON CONFLICT DO NOTHING";
        Statement::new(sql, values(name))
    }));
    if !statements.is_empty() {
        statements.extend(reach(org));
    }
    statements
}

/// Makes `team_reach` anew from `team_members`. `UNION` ends the climb where teams are within each other.
pub(super) fn reach(org: &OrgId) -> [Statement; 2] {
    [
        Statement::new("DELETE FROM team_reach WHERE org_id = ?1", [org.as_str().into()]),
        Statement::new(
            "INSERT INTO team_reach (member, team_id, org_id) \
             WITH RECURSIVE climb (member, team_id) AS ( \
               SELECT member, team_id FROM team_members WHERE org_id = ?1 \
               UNION SELECT c.member, m.team_id FROM climb c JOIN team_members m ON m.member = 'team:' || c.team_id) \
             SELECT member, team_id, ?1 FROM climb",
            [org.as_str().into()],
        ),
    ]
}
