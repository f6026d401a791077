//! Providers of accounts, as organisations set them up.

use schemas::decision::OrgFacts;
use schemas::ids::{OrgId, ProviderId, Timestamp};
use schemas::names::{OrgName, ProviderName};

use super::refusals::Refused;
use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// A row of `providers`.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) id: ProviderId,
    pub(crate) org: OrgFacts,
    pub(crate) name: ProviderName,
    /// A row of the provider table.
    pub(crate) kind: String,
    pub(crate) client_id: String,
    /// Sealed, for [`Provider::version`].
    pub(crate) client_secret: Option<String>,
    /// Empty for those of the kind.
    pub(crate) scopes: Vec<String>,
    pub(crate) settings: serde_json::Map<String, serde_json::Value>,
    /// JSON: what was discovered and registered there.
    pub(crate) discovered: String,
    pub(crate) version: i64,
    /// What went wrong last, and when.
    pub(crate) trouble: Option<(String, Timestamp)>,
    pub(crate) created_at: Timestamp,
}

macro_rules! columns {
    () => {
        "p.id, o.id, o.name, p.name, p.kind, p.client_id, p.client_secret, p.scopes, p.settings, p.discovered, p.version, \
         p.trouble, p.trouble_at, p.created_at"
    };
}

/// Reads the columns of `columns!`, which start at `first`.
fn provider(row: &Row, first: usize) -> Result<Provider, PlatformError> {
    let text = |column: usize| Ok::<_, PlatformError>(row.text(first + column)?.to_owned());
    let trouble = row.maybe_text(first + 11)?.map(str::to_owned);
    let trouble_at = row.maybe_integer(first + 12)?.map(Timestamp);
    Ok(Provider {
        id: row.parse(first)?,
        org: OrgFacts { id: row.parse(first + 1)?, name: row.parse(first + 2)? },
        name: row.parse(first + 3)?,
        kind: text(4)?,
        client_id: text(5)?,
        client_secret: row.maybe_text(first + 6)?.map(str::to_owned),
        scopes: super::json(row, first + 7)?,
        settings: super::json(row, first + 8)?,
        discovered: text(9)?,
        version: row.integer(first + 10)?,
        trouble: trouble.zip(trouble_at),
        created_at: Timestamp(row.integer(first + 13)?),
    })
}

async fn one(platform: &impl Platform, statement: Statement) -> Result<Option<Provider>, PlatformError> {
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| provider(row, 0)).transpose()
}

/// One of an organisation.
pub(crate) async fn find(
    platform: &impl Platform,
    org: &OrgName,
    name: &ProviderName,
) -> Result<Option<Provider>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM providers p JOIN orgs o ON o.id = p.org_id WHERE o.name = ?1 AND p.name = ?2"
    );
    one(platform, Statement::new(SQL, [org.as_str().into(), name.as_str().into()])).await
}

/// One by its id.
pub(crate) async fn by_id(
    platform: &impl Platform,
    id: &ProviderId,
) -> Result<Option<Provider>, PlatformError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM providers p JOIN orgs o ON o.id = p.org_id WHERE p.id = ?1");
    one(platform, Statement::new(SQL, [id.as_str().into()])).await
}

/// All of an organisation, by name.
pub(crate) fn of_org(org: &OrgId) -> Statement {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM providers p JOIN orgs o ON o.id = p.org_id WHERE o.id = ?1 ORDER BY p.name"
    );
    Statement::new(SQL, [org.as_str().into()])
}

/// Reads a row of [`of_org`].
pub(crate) fn listed(row: &Row) -> Result<Provider, PlatformError> {
    provider(row, 0)
}

/// Makes a provider.
pub(crate) fn add(provider: &Provider) -> Statement {
    Statement::new(
        "INSERT INTO providers (id, org_id, name, kind, settings, scopes, client_id, client_secret, version, created_at, changed_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
        [
            provider.id.as_str().into(),
            provider.org.id.as_str().into(),
            provider.name.as_str().into(),
            provider.kind.as_str().into(),
            Value::from(serde_json::Value::from(provider.settings.clone()).to_string()),
            Value::from(serde_json::Value::from(provider.scopes.clone()).to_string()),
            provider.client_id.as_str().into(),
            provider.client_secret.clone().into(),
            provider.version.into(),
            provider.created_at.0.into(),
        ],
    )
}

/// Changes a provider, if it is of the version before still; else the batch is refused. What was discovered of another place is forgotten.
pub(crate) fn change(provider: &Provider, now: Timestamp) -> [Statement; 2] {
    let still = Refused::Precondition.unless(
        "EXISTS (SELECT 1 FROM providers WHERE id = ?1 AND version = ?2 - 1)",
        vec![provider.id.as_str().into(), provider.version.into()],
    );
    let change = Statement::new(
        "UPDATE providers SET settings = ?2, scopes = ?3, client_id = ?4, client_secret = ?5, version = ?6, changed_at = ?7, \
         discovered = '{}', trouble = NULL, trouble_at = NULL WHERE id = ?1 AND version = ?6 - 1",
        [
            provider.id.as_str().into(),
            Value::from(serde_json::Value::from(provider.settings.clone()).to_string()),
            Value::from(serde_json::Value::from(provider.scopes.clone()).to_string()),
            provider.client_id.as_str().into(),
            provider.client_secret.clone().into(),
            provider.version.into(),
            now.0.into(),
        ],
    );
    [still, change]
}

/// Takes a provider away that nobody is connected to and no server uses; else the batch is refused.
pub(crate) fn delete(id: &ProviderId) -> [Statement; 6] {
    let by_id = |sql: &'static str| Statement::new(sql, [id.as_str().into()]);
    [
        Refused::Conflict.unless(
            "NOT EXISTS (SELECT 1 FROM connections WHERE provider_id = ?1 AND status <> 'disconnected') \
             AND NOT EXISTS (SELECT 1 FROM servers WHERE provider_id = ?1 AND status <> 'deleted') \
             AND NOT EXISTS (SELECT 1 FROM revocations WHERE provider_id = ?1)",
            vec![id.as_str().into()],
        ),
        by_id("UPDATE servers SET provider_id = NULL WHERE provider_id = ?1"),
        by_id("DELETE FROM connect_flows WHERE provider_id = ?1"),
        by_id("DELETE FROM connect_tickets WHERE provider_id = ?1"),
        // What is disconnected holds no credential any more; the trail keeps what was.
        by_id("DELETE FROM connections WHERE provider_id = ?1"),
        by_id("DELETE FROM providers WHERE id = ?1"),
    ]
}

/// Keeps what was discovered and registered there, if the provider was not changed meanwhile.
pub(crate) fn keep_discovered(id: &ProviderId, version: i64, discovered: String) -> Statement {
    Statement::new(
        "UPDATE providers SET discovered = ?3 WHERE id = ?1 AND version = ?2",
        [id.as_str().into(), version.into(), discovered.into()],
    )
}

/// Notes what went wrong there, for operators; nothing if all is well again.
pub(crate) fn note_trouble(id: &ProviderId, trouble: Option<&str>, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE providers SET trouble = ?2, trouble_at = CASE WHEN ?2 IS NULL THEN NULL ELSE ?3 END WHERE id = ?1 \
         AND (trouble IS NOT NULL OR ?2 IS NOT NULL)",
        [id.as_str().into(), trouble.into(), now.0.into()],
    )
}
