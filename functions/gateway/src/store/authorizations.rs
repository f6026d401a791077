//! What clients were let do, and the codes and refresh tokens of that. Codes and tokens are known by SHA-256 only.

use schemas::decision::{AgentFacts, OrgFacts, UserFacts};
use schemas::ids::{AgentId, AuthorizationId, OrgId, Timestamp, UserId};
use schemas::names::OrgName;

use super::callers::{Known, columns, known, roles, teams};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

/// A refresh token that nobody used for so long is forgotten, in milliseconds: 30 days.
const IDLE: i64 = 30 * 24 * 60 * 60 * 1000;

/// What a client was let do.
#[derive(Debug, Clone)]
pub(crate) struct Authorization {
    pub(crate) id: AuthorizationId,
    pub(crate) org: OrgId,
    pub(crate) org_name: OrgName,
    pub(crate) client: String,
    pub(crate) agent: Option<AgentId>,
    pub(crate) user: Option<UserId>,
    pub(crate) audience: String,
    pub(crate) scopes: Vec<String>,
    /// Outermost first.
    pub(crate) actors: Vec<String>,
    pub(crate) expires_at: Timestamp,
}

const COLUMNS: &str = "z.id, z.org_id, o.name, z.client_id, z.agent_id, z.user_id, z.audience, z.scopes, z.actors, z.expires_at";
const WIDTH: usize = 10;

fn authorization(row: &Row) -> Result<Authorization, PlatformError> {
    Ok(Authorization {
        id: row.parse(0)?,
        org: row.parse(1)?,
        org_name: row.parse(2)?,
        client: row.text(3)?.to_owned(),
        agent: row.maybe_text(4)?.map(|_| row.parse(4)).transpose()?,
        user: row.maybe_text(5)?.map(|_| row.parse(5)).transpose()?,
        audience: row.text(6)?.to_owned(),
        scopes: row.text(7)?.split_whitespace().map(str::to_owned).collect(),
        actors: super::json(row, 8)?,
        expires_at: Timestamp(row.integer(9)?),
    })
}

/// Adds one.
pub(crate) fn add(new: &Authorization, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO authorizations (id, org_id, client_id, agent_id, user_id, audience, scopes, actors, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        [
            new.id.as_str().into(),
            new.org.as_str().into(),
            new.client.as_str().into(),
            new.agent.as_ref().map(AgentId::as_str).into(),
            new.user.as_ref().map(UserId::as_str).into(),
            new.audience.as_str().into(),
            new.scopes.join(" ").into(),
            serde_json::json!(new.actors).to_string().into(),
            now.0.into(),
            new.expires_at.0.into(),
        ],
    )
}

/// Ends one; answers its id if it was not ended before.
pub(crate) fn end(id: &AuthorizationId, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE authorizations SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL RETURNING id",
        [id.as_str().into(), now.0.into()],
    )
}

/// Ends one of an organisation, and forgets what its person said, so that they are asked again.
pub(crate) fn end_for_good(id: &AuthorizationId, org: &OrgId, now: Timestamp) -> [Statement; 2] {
    [
        Statement::new(
            "DELETE FROM consents WHERE org_id = ?2 AND (user_id, client_id, audience) IN \
             (SELECT user_id, client_id, audience FROM authorizations WHERE id = ?1)",
            [id.as_str().into(), org.as_str().into()],
        ),
        Statement::new(
            "UPDATE authorizations SET revoked_at = ?3 WHERE id = ?1 AND org_id = ?2 AND revoked_at IS NULL",
            [id.as_str().into(), org.as_str().into(), now.0.into()],
        ),
    ]
}

/// Ends everything that a person let a client do at one place, and forgets that they said yes.
pub(crate) fn end_of_user(user: &UserId, client: &str, audience: &str, now: Timestamp) -> [Statement; 2] {
    let keys = || [user.as_str().into(), client.into(), audience.into()];
    let mut ending = keys().to_vec();
    ending.push(now.0.into());
    [
        Statement::new(
            "DELETE FROM consents WHERE user_id = ?1 AND client_id = ?2 AND audience = ?3",
            keys(),
        ),
        Statement::new(
            "UPDATE authorizations SET revoked_at = ?4 WHERE user_id = ?1 AND client_id = ?2 AND audience = ?3 AND revoked_at IS NULL",
            ending,
        ),
    ]
}

/// A program that a person let in, at one place.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) client: String,
    /// What it calls itself.
    pub(crate) title: Option<String>,
    pub(crate) audience: String,
    pub(crate) agent: Option<String>,
    pub(crate) scopes: String,
    /// When it was let in last.
    pub(crate) since: Timestamp,
}

/// The statement that finds what a person let in and has not ended; its rows go to [`program`].
pub(crate) fn of_user(user: &UserId, now: Timestamp) -> Statement {
    Statement::new(
        "SELECT z.client_id, json_extract(c.metadata, '$.client_name'), z.audience, a.name, z.scopes, MAX(z.created_at) \
         FROM authorizations z LEFT JOIN oauth_clients c ON c.id = z.client_id LEFT JOIN agents a ON a.id = z.agent_id \
         WHERE z.user_id = ?1 AND z.revoked_at IS NULL AND z.expires_at > ?2 \
         GROUP BY z.client_id, z.audience, a.name ORDER BY 6 DESC LIMIT 200",
        [user.as_str().into(), now.0.into()],
    )
}

pub(crate) fn program(row: &Row) -> Result<Program, PlatformError> {
    Ok(Program {
        client: row.text(0)?.to_owned(),
        title: row.maybe_text(1)?.map(str::to_owned),
        audience: row.text(2)?.to_owned(),
        agent: row.maybe_text(3)?.map(str::to_owned),
        scopes: row.text(4)?.to_owned(),
        since: Timestamp(row.integer(5)?),
    })
}

/// An authorization that is still in force.
pub(crate) async fn find(
    platform: &impl Platform,
    id: &AuthorizationId,
    jti: &str,
) -> Result<Option<Authorization>, PlatformError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM authorizations z JOIN orgs o ON o.id = z.org_id WHERE z.id = ?1 AND z.revoked_at IS NULL \
         AND z.expires_at > ?2 AND NOT EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.jti = ?3)"
    );
    let statement = Statement::new(sql, [id.as_str().into(), platform.now().0.into(), jti.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(authorization).transpose()
}

/// An authorization code as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) authorization: Authorization,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    /// Neither used nor expired nor ended.
    pub(crate) is_good: bool,
    pub(crate) was_used: bool,
}

pub(crate) fn add_code(
    hash: &str,
    id: &AuthorizationId,
    (redirect_uri, challenge): (&str, &str),
    expires_at: Timestamp,
) -> Statement {
    Statement::new(
        "INSERT INTO authorization_codes (hash, authorization_id, redirect_uri, challenge, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        [hash.into(), id.as_str().into(), redirect_uri.into(), challenge.into(), expires_at.0.into()],
    )
}

pub(crate) async fn code(platform: &impl Platform, hash: &str) -> Result<Option<Code>, PlatformError> {
    let sql = format!(
        "SELECT {COLUMNS}, c.redirect_uri, c.challenge, c.used_at IS NULL AND c.expires_at > ?2 AND z.revoked_at IS NULL, \
         c.used_at IS NOT NULL FROM authorization_codes c JOIN authorizations z ON z.id = c.authorization_id \
         JOIN orgs o ON o.id = z.org_id WHERE c.hash = ?1"
    );
    let statement = Statement::new(sql, [hash.into(), platform.now().0.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| {
            Ok(Code {
                authorization: authorization(row)?,
                redirect_uri: row.text(WIDTH)?.to_owned(),
                challenge: row.text(WIDTH + 1)?.to_owned(),
                is_good: row.integer(WIDTH + 2)? == 1,
                was_used: row.integer(WIDTH + 3)? == 1,
            })
        })
        .transpose()
}

/// Uses a code up, once: whoever gets a row back is the one who may.
pub(crate) fn use_code(hash: &str, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE authorization_codes SET used_at = ?2 WHERE hash = ?1 AND used_at IS NULL AND expires_at > ?2 RETURNING hash",
        [hash.into(), now.0.into()],
    )
}

/// The first refresh token of an authorization, only if its code was used up by this very batch (`?4` is when).
pub(crate) fn first_refresh(hash: &str, code: &str, id: &AuthorizationId, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO refresh_tokens (hash, authorization_id, generation, created_at) SELECT ?1, ?3, 1, ?4 \
         WHERE EXISTS (SELECT 1 FROM authorization_codes WHERE hash = ?2 AND used_at = ?4) \
         AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE authorization_id = ?3)",
        [hash.into(), code.into(), id.as_str().into(), now.0.into()],
    )
}

/// The authorization behind a refresh token, whatever its state.
pub(crate) async fn refresh(
    platform: &impl Platform,
    hash: &str,
) -> Result<Option<Authorization>, PlatformError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM refresh_tokens t JOIN authorizations z ON z.id = t.authorization_id \
         JOIN orgs o ON o.id = z.org_id WHERE t.hash = ?1 AND z.revoked_at IS NULL AND z.expires_at > ?2"
    );
    let statement = Statement::new(sql, [hash.into(), platform.now().0.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(authorization).transpose()
}

/// Puts `next` in the place of `hash`, which is then used. One statement decides: it is the newest, or the newest has not been used,
/// so that a client that never heard the last answer may ask once more (RFC 9700 §4.14.2). Answers a row of the first if it is so.
pub(crate) fn rotate(hash: &str, next: &str, now: Timestamp) -> [Statement; 2] {
    [
        Statement::new(
            "INSERT INTO refresh_tokens (hash, authorization_id, generation, created_at) \
             SELECT ?2, t.authorization_id, t.generation + 1, ?3 FROM refresh_tokens t JOIN authorizations z ON z.id = t.authorization_id \
             WHERE t.hash = ?1 AND z.revoked_at IS NULL AND z.expires_at > ?3 AND t.created_at > ?4 \
             AND NOT EXISTS (SELECT 1 FROM refresh_tokens n WHERE n.authorization_id = t.authorization_id \
                 AND n.generation > t.generation AND n.used_at IS NOT NULL) RETURNING hash",
            [hash.into(), next.into(), now.0.into(), now.plus(-IDLE).0.into()],
        ),
        Statement::new(
            "UPDATE refresh_tokens SET used_at = ?3 WHERE hash = ?1 AND EXISTS (SELECT 1 FROM refresh_tokens WHERE hash = ?2)",
            [hash.into(), next.into(), now.0.into()],
        ),
    ]
}

/// Whether a refresh token was taken for too old rather than for idle too long.
pub(crate) async fn was_replaced(platform: &impl Platform, hash: &str) -> Result<bool, PlatformError> {
    let sql = "SELECT 1 FROM refresh_tokens t WHERE t.hash = ?1 AND EXISTS (SELECT 1 FROM refresh_tokens n \
         WHERE n.authorization_id = t.authorization_id AND n.generation > t.generation AND n.used_at IS NOT NULL)";
    let results = platform.sql(Batch::read([Statement::new(sql, [hash.into()])])).await?;
    Ok(super::first(&results, 0).is_some())
}

/// One access token is not taken any more.
pub(crate) fn revoke_token(jti: &str, until: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO revoked_tokens (jti, until) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        [jti.into(), until.0.into()],
    )
}

/// Forgets what has expired. An authorization outlives its codes and refresh tokens.
pub(crate) async fn forget(platform: &impl Platform) -> Result<(), PlatformError> {
    platform.sql(Batch::write(expired(platform.now()))).await.map(drop)
}

fn expired(now: Timestamp) -> Vec<Statement> {
    let gone = "(SELECT id FROM authorizations WHERE expires_at < ?1 LIMIT 500)";
    let mut statements: Vec<Statement> = ["refresh_tokens", "authorization_codes"]
        .map(|table| {
            Statement::new(format!("DELETE FROM {table} WHERE authorization_id IN {gone}"), [now.0.into()])
        })
        .into();
    statements.push(Statement::new(format!("DELETE FROM authorizations WHERE id IN {gone}"), [now.0.into()]));
    statements.extend(
        [
            "DELETE FROM seen_assertions WHERE until < ?1",
            "DELETE FROM revoked_tokens WHERE until < ?1",
            "DELETE FROM oauth_clients WHERE expires_at < ?1",
        ]
        .map(|sql| Statement::new(sql, [now.0.into()])),
    );
    statements
}

/// An agent that a person could let a client act as.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: AgentId,
    pub(crate) facts: AgentFacts,
    /// Which clients it lets in.
    pub(crate) clients: Vec<String>,
}

const CANDIDATE: &str = concat!(
    columns!("''", ", NULL, '', a.clients"),
    " FROM agents a JOIN orgs o ON o.id = a.org_id LEFT JOIN users w ON w.id = a.owner_id \
     LEFT JOIN users u ON u.org_id = o.id AND u.id = ?2 "
);

fn candidate(row: &Row) -> Result<(Candidate, Option<UserFacts>), PlatformError> {
    let Known { agent_id, agent, user, .. } = known(row)?;
    Ok((Candidate { id: agent_id, facts: agent, clients: super::json(row, 16)? }, user))
}

/// The active agents of an organisation that let any client in.
pub(crate) async fn candidates(
    platform: &impl Platform,
    org: &OrgId,
) -> Result<Vec<Candidate>, PlatformError> {
    let sql = format!(
        "{CANDIDATE} WHERE a.org_id = ?1 AND a.status = 'active' AND a.clients <> '[]' ORDER BY a.name"
    );
    let results = platform.sql(Batch::read([Statement::new(sql, [org.as_str().into(), "".into()])])).await?;
    results.iter().flatten().map(|row| Ok(candidate(row)?.0)).collect()
}

/// An agent and, if one is named, a person, as they are now.
pub(crate) async fn parties(
    platform: &impl Platform,
    agent: &AgentId,
    user: Option<&UserId>,
) -> Result<Option<(Candidate, Option<UserFacts>)>, PlatformError> {
    let sql = format!("{CANDIDATE} WHERE a.id = ?1");
    let statement = Statement::new(sql, [agent.as_str().into(), user.map_or("", UserId::as_str).into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(candidate).transpose()
}

/// What a person said yes to before.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    pub(crate) agent: Option<AgentId>,
    pub(crate) scopes: Vec<String>,
}

pub(crate) async fn consent(
    platform: &impl Platform,
    user: &UserId,
    (client, redirect_uri, audience): (&str, &str, &str),
) -> Result<Option<Consent>, PlatformError> {
    let sql = "SELECT agent_id, scopes FROM consents WHERE user_id = ?1 AND client_id = ?2 AND redirect_uri = ?3 AND audience = ?4";
    let values = [user.as_str().into(), client.into(), redirect_uri.into(), audience.into()];
    let results = platform.sql(Batch::read([Statement::new(sql, values)])).await?;
    super::first(&results, 0)
        .map(|row| {
            Ok(Consent {
                agent: row.maybe_text(0)?.map(|_| row.parse(0)).transpose()?,
                scopes: row.text(1)?.split_whitespace().map(str::to_owned).collect(),
            })
        })
        .transpose()
}

pub(crate) fn put_consent(new: &Authorization, redirect_uri: &str, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO consents (user_id, client_id, redirect_uri, audience, org_id, agent_id, scopes, given_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (user_id, client_id, redirect_uri, audience) \
         DO UPDATE SET agent_id = excluded.agent_id, scopes = excluded.scopes, given_at = excluded.given_at",
        [
            new.user.as_ref().map(UserId::as_str).into(),
            new.client.as_str().into(),
            redirect_uri.into(),
            new.audience.as_str().into(),
            new.org.as_str().into(),
            new.agent.as_ref().map(AgentId::as_str).into(),
            new.scopes.join(" ").into(),
            now.0.into(),
        ],
    )
}

/// The organisation, its policies, and the names of its toolboxes.
pub(crate) async fn toolboxes(
    platform: &impl Platform,
    org: &OrgFacts,
) -> Result<Vec<String>, PlatformError> {
    let sql = "SELECT name FROM toolboxes WHERE org_id = ?1 ORDER BY name LIMIT 200";
    let results = platform.sql(Batch::read([Statement::new(sql, [org.id.as_str().into()])])).await?;
    results.iter().flatten().map(|row| row.text(0).map(str::to_owned)).collect()
}
