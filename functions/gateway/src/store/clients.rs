//! OAuth clients, and assertions that were used.

use schemas::ids::{AgentId, OrgId, Timestamp};

use crate::clients::{Client, Kind};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

const COLUMNS: &str = "id, kind, org_id, agent_id, metadata, secret_hash";

fn client(row: &Row) -> Result<Client, PlatformError> {
    Ok(Client {
        id: row.text(0)?.to_owned(),
        kind: super::word::<Kind>(row, 1)?,
        org: row.maybe_text(2)?.map(|_| row.parse(2)).transpose()?,
        agent: row.maybe_text(3)?.map(|_| row.parse(3)).transpose()?,
        metadata: super::json(row, 4)?,
        secret_hash: row.maybe_text(5)?.map(str::to_owned),
    })
}

fn metadata(client: &Client) -> Result<String, PlatformError> {
    serde_json::to_string(&client.metadata).map_err(|error| PlatformError::Database(error.to_string()))
}

/// A client that is registered, or a document of which we have a copy that is still good.
pub(crate) async fn find(platform: &impl Platform, id: &str) -> Result<Option<Client>, PlatformError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM oauth_clients WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2)"
    );
    let results =
        platform.sql(Batch::read([Statement::new(sql, [id.into(), platform.now().0.into()])])).await?;
    super::first(&results, 0).map(client).transpose()
}

/// Keeps a copy of a client's document.
pub(crate) async fn keep_document(
    platform: &impl Platform,
    client: &Client,
    now: Timestamp,
    until: Timestamp,
) -> Result<(), PlatformError> {
    let sql = "INSERT INTO oauth_clients (id, kind, metadata, created_at, expires_at) VALUES (?1, 'document', ?2, ?3, ?4) \
         ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata, expires_at = excluded.expires_at WHERE kind = 'document'";
    let values = [client.id.as_str().into(), metadata(client)?.into(), now.0.into(), until.0.into()];
    platform.sql(Batch::write([Statement::new(sql, values)])).await.map(drop)
}

/// Registers a client that asked for it, unless there are `most` of them already. Answers whether it did.
pub(crate) async fn register(
    platform: &impl Platform,
    client: &Client,
    now: Timestamp,
    until: Timestamp,
    most: i64,
) -> Result<bool, PlatformError> {
    let sql = "INSERT INTO oauth_clients (id, kind, metadata, secret_hash, created_at, expires_at) SELECT ?1, 'dynamic', ?2, ?3, ?4, ?5 \
         WHERE (SELECT COUNT(*) FROM oauth_clients WHERE expires_at > ?4 AND kind = 'dynamic') < ?6 RETURNING id";
    let values = [
        client.id.as_str().into(),
        metadata(client)?.into(),
        client.secret_hash.clone().into(),
        now.0.into(),
        until.0.into(),
        most.into(),
    ];
    let results = platform.sql(Batch::write([Statement::new(sql, values)])).await?;
    Ok(super::first(&results, 0).is_some())
}

/// A client that registered itself and is used stays.
pub(crate) fn keep_registration(id: &str, until: Timestamp) -> Statement {
    Statement::new(
        "UPDATE oauth_clients SET expires_at = ?2 WHERE id = ?1 AND kind = 'dynamic' AND expires_at < ?2",
        [id.into(), until.0.into()],
    )
}

/// A client of an organisation, whose secret stays as it is unless there is a new one. Its id begins with the organisation's name.
pub(crate) fn put(client: &Client, org: &OrgId, now: Timestamp) -> Result<Statement, PlatformError> {
    let sql = "INSERT INTO oauth_clients (id, kind, org_id, agent_id, metadata, secret_hash, created_at) VALUES (?1, 'registered', ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO UPDATE SET agent_id = excluded.agent_id, metadata = excluded.metadata, \
         secret_hash = COALESCE(excluded.secret_hash, secret_hash) WHERE org_id = excluded.org_id";
    let values = [
        client.id.as_str().into(),
        org.as_str().into(),
        client.agent.as_ref().map(AgentId::as_str).into(),
        metadata(client)?.into(),
        client.secret_hash.clone().into(),
        now.0.into(),
    ];
    Ok(Statement::new(sql, values))
}

/// Another secret of a client of an organisation.
pub(crate) fn put_secret(id: &str, org: &OrgId, hash: &str) -> Statement {
    Statement::new(
        "UPDATE oauth_clients SET secret_hash = ?3 WHERE id = ?1 AND org_id = ?2",
        [id.into(), org.as_str().into(), hash.into()],
    )
}

/// Takes a client of an organisation away, and with it everything that it was let do.
pub(crate) fn remove(id: &str, org: &OrgId, now: Timestamp) -> [Statement; 2] {
    [
        Statement::new(
            "DELETE FROM oauth_clients WHERE id = ?1 AND org_id = ?2 RETURNING id",
            [id.into(), org.as_str().into()],
        ),
        Statement::new(
            "UPDATE authorizations SET revoked_at = ?3 WHERE client_id = ?1 AND org_id = ?2 AND revoked_at IS NULL",
            [id.into(), org.as_str().into(), now.0.into()],
        ),
    ]
}

/// Takes note that an assertion, or another thing that is good once, is used. Answers false if it was before.
pub(crate) async fn burn(
    platform: &impl Platform,
    issuer: &str,
    jti: &str,
    until: Timestamp,
) -> Result<bool, PlatformError> {
    let sql = "INSERT INTO seen_assertions (issuer, jti, until) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING RETURNING jti";
    let statement = Statement::new(sql, [issuer.into(), jti.into(), until.0.into()]);
    let results = platform.sql(Batch::write([statement])).await?;
    Ok(super::first(&results, 0).is_some())
}
