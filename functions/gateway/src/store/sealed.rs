//! What the vault sealed, wherever it is: to count it, to move it under newer keys, and to shred it.

use schemas::ids::{ConnectionId, OrgId, ProviderId, Timestamp, UserId};

use crate::platform::{Batch, Platform, PlatformError, Row, Statement};
use crate::vault::Place;

/// Every sealed value: its table (a word), id, organisation, owner, provider, version, and itself.
pub(super) const ALL: &str = "SELECT 'connection' AS kind, id, org_id, owner_id, provider_id, version, sealed FROM connections WHERE sealed IS NOT NULL \
     UNION ALL SELECT 'revocation', connection_id, org_id, owner_id, provider_id, version, sealed FROM revocations \
     UNION ALL SELECT 'provider', id, org_id, '', id, version, client_secret FROM providers WHERE client_secret IS NOT NULL \
     UNION ALL SELECT 'registration', id, org_id, '', id, version, discovered ->> '$.clientSecret' FROM providers \
     WHERE discovered ->> '$.clientSecret' IS NOT NULL";

/// Those that are not under the newest key of their organisation. The prefix of a value says which key it is under.
const OLD: &str = "JOIN tenant_keys k ON k.org_id = s.org_id AND k.state = 'active' \
     AND k.version = (SELECT MAX(version) FROM tenant_keys WHERE org_id = s.org_id) WHERE substr(s.sealed, 1, 8) <> k.prefix";

/// A value that is sealed under an older key.
#[derive(Debug)]
pub(crate) struct Old {
    /// Where the next page goes on.
    pub(crate) at: String,
    pub(crate) org: OrgId,
    pub(crate) sealed: String,
    /// The version of the newest key.
    pub(crate) newest: i64,
    id: String,
    version: i64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Connection(ConnectionId, UserId, ProviderId),
    Revocation(ConnectionId, UserId, ProviderId),
    Provider(ProviderId),
    /// The secret of a client that we registered ourselves.
    Registration(ProviderId),
}

impl Old {
    /// Where it belongs.
    pub(crate) fn place(&self) -> Place<'_> {
        let (org, version) = (&self.org, self.version);
        match &self.kind {
            Kind::Connection(connection, owner, provider) | Kind::Revocation(connection, owner, provider) => {
                Place::Credential { org, connection, owner, provider, version }
            }
            Kind::Provider(provider) | Kind::Registration(provider) => {
                Place::ClientSecret { org, provider, version }
            }
        }
    }

    /// Puts another in its place, if it still is what it was: whoever renewed it meanwhile is right.
    pub(crate) fn swap(&self, sealed: &str) -> Statement {
        let sql = match self.kind {
            Kind::Connection(..) => {
                "UPDATE connections SET sealed = ?2 WHERE id = ?1 AND version = ?3 AND sealed = ?4 RETURNING id"
            }
            Kind::Revocation(..) => {
                "UPDATE revocations SET sealed = ?2 WHERE connection_id = ?1 AND version = ?3 AND sealed = ?4 RETURNING connection_id"
            }
            Kind::Provider(_) => {
                "UPDATE providers SET client_secret = ?2 WHERE id = ?1 AND version = ?3 AND client_secret = ?4 RETURNING id"
            }
            Kind::Registration(_) => {
                "UPDATE providers SET discovered = json_set(discovered, '$.clientSecret', ?2) \
                 WHERE id = ?1 AND version = ?3 AND discovered ->> '$.clientSecret' = ?4 RETURNING id"
            }
        };
        Statement::new(
            sql,
            [self.id.as_str().into(), sealed.into(), self.version.into(), self.sealed.as_str().into()],
        )
    }
}

fn read(row: &Row) -> Result<Old, PlatformError> {
    let kind = match row.text(1)? {
        "connection" => Kind::Connection(row.parse(2)?, row.parse(4)?, row.parse(5)?),
        "revocation" => Kind::Revocation(row.parse(2)?, row.parse(4)?, row.parse(5)?),
        "registration" => Kind::Registration(row.parse(5)?),
        _ => Kind::Provider(row.parse(5)?),
    };
    Ok(Old {
        at: row.text(0)?.to_owned(),
        id: row.text(2)?.to_owned(),
        org: row.parse(3)?,
        version: row.integer(6)?,
        sealed: row.text(7)?.to_owned(),
        newest: row.integer(8)?,
        kind,
    })
}

/// Values under older keys, in an order that stays, after one: at most so many.
pub(crate) async fn old(
    platform: &impl Platform,
    after: &str,
    limit: i64,
) -> Result<Vec<Old>, PlatformError> {
    let sql = format!(
        "SELECT s.kind || ':' || s.id AS at, s.kind, s.id, s.org_id, s.owner_id, s.provider_id, s.version, s.sealed, k.version \
         FROM ({ALL}) s {OLD} AND s.kind || ':' || s.id > ?1 ORDER BY at LIMIT ?2"
    );
    let results = platform.sql(Batch::read([Statement::new(sql, [after.into(), limit.into()])])).await?;
    results.iter().flatten().map(read).collect()
}

/// How many values there are, how many of them are under older keys, and how many keys are under another root than this.
pub(crate) fn counts(root: &str) -> Statement {
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM ({ALL})), (SELECT COUNT(*) FROM ({ALL}) s {OLD}), \
         (SELECT COUNT(*) FROM tenant_keys WHERE state = 'active' AND root <> ?1)"
    );
    Statement::new(sql, [root.into()])
}

/// Empties everything that is sealed for an organisation: its accounts are disconnected, and its providers have no client secret.
pub(crate) fn shred(org: &OrgId, now: Timestamp) -> [Statement; 3] {
    [
        Statement::new(
            "UPDATE connections SET status = 'disconnected', reason = 'the keys of the organisation were shredded', sealed = NULL, \
             version = version + 1, expires_at = NULL, usable_until = NULL, refresh_at = NULL, lease = NULL, lease_until = NULL, \
             attempted = NULL, retry_at = NULL, changed_at = ?2 \
             WHERE org_id = ?1 AND (status <> 'disconnected' OR sealed IS NOT NULL) RETURNING id",
            [org.as_str().into(), now.0.into()],
        ),
        Statement::new(
            "DELETE FROM revocations WHERE org_id = ?1 RETURNING connection_id",
            [org.as_str().into()],
        ),
        Statement::new(
            "UPDATE providers SET client_secret = NULL, discovered = '{}', version = version + 1, changed_at = ?2 \
             WHERE org_id = ?1 AND (client_secret IS NOT NULL OR discovered <> '{}') RETURNING id",
            [org.as_str().into(), now.0.into()],
        ),
    ]
}
