//! The identity providers of organisations, and who people are there.

use std::collections::BTreeMap;

use schemas::decision::{OrgFacts, Status, UserFacts};
use schemas::ids::{OrgId, Timestamp, UserId};
use schemas::names::{IdentityProviderName, OrgName, TeamName};

use super::callers::{roles, teams};
use super::people::{user, user_columns};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// Whom a provider may bring in that is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Admits {
    /// Nobody: people link their accounts first.
    Known,
    /// Everyone it vouches for.
    Everyone,
}

/// An identity provider, as an organisation set it up.
#[derive(Debug, Clone)]
pub(crate) struct IdentityProvider {
    pub(crate) name: IdentityProviderName,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// Sealed; nothing for a public client.
    pub(crate) client_secret: Option<String>,
    pub(crate) scopes: String,
    pub(crate) name_claim: String,
    pub(crate) groups_claim: String,
    /// Which team a group stands for.
    pub(crate) teams: BTreeMap<String, TeamName>,
    pub(crate) admits: Admits,
    pub(crate) domains: Vec<String>,
}

const COLUMNS: &str = "i.name, i.issuer, i.client_id, i.client_secret, i.scopes, i.name_claim, i.groups_claim, i.teams, i.admits, i.domains";

fn provider(row: &Row, first: usize) -> Result<IdentityProvider, PlatformError> {
    let text = |column: usize| Ok::<_, PlatformError>(row.text(first + column)?.to_owned());
    Ok(IdentityProvider {
        name: row.parse(first)?,
        issuer: text(1)?,
        client_id: text(2)?,
        client_secret: row.maybe_text(first + 3)?.map(str::to_owned),
        scopes: text(4)?,
        name_claim: text(5)?,
        groups_claim: text(6)?,
        teams: super::json(row, first + 7)?,
        admits: super::word(row, first + 8)?,
        domains: super::json(row, first + 9)?,
    })
}

/// The providers of an organisation, by name.
pub(crate) async fn providers(
    platform: &impl Platform,
    org: &OrgName,
) -> Result<Vec<IdentityProvider>, PlatformError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM identity_providers i JOIN orgs o ON o.id = i.org_id WHERE o.name = ?1 ORDER BY i.name"
    );
    let results = platform.sql(Batch::read([Statement::new(sql, [org.as_str().into()])])).await?;
    results.iter().flatten().map(|row| provider(row, 0)).collect()
}

/// One of them, and the organisation.
pub(crate) async fn find_provider(
    platform: &impl Platform,
    org: &OrgName,
    name: &IdentityProviderName,
) -> Result<Option<(OrgFacts, IdentityProvider)>, PlatformError> {
    let sql = format!(
        "SELECT o.id, o.name, {COLUMNS} FROM identity_providers i JOIN orgs o ON o.id = i.org_id \
         WHERE o.name = ?1 AND i.name = ?2"
    );
    let statement = Statement::new(sql, [org.as_str().into(), name.as_str().into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| Ok((OrgFacts { id: row.parse(0)?, name: row.parse(1)? }, provider(row, 2)?)))
        .transpose()
}

/// What becomes of the client secret of a provider that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It stays if issuer and client stay: it must not be sent to another.
    IfSame,
    /// The new one takes its place, or none does.
    No,
}

/// Makes a provider, or changes it.
pub(crate) fn put_provider(
    org: &OrgId,
    provider: &IdentityProvider,
    secret: Kept,
    now: Timestamp,
) -> Statement {
    let json = |value: serde_json::Result<String>| Value::from(value.unwrap_or_default());
    Statement::new(
        "INSERT INTO identity_providers \
         (org_id, name, issuer, client_id, client_secret, scopes, name_claim, groups_claim, teams, admits, domains, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
         ON CONFLICT (org_id, name) DO UPDATE SET \
         client_secret = CASE WHEN ?13 = 1 AND issuer = excluded.issuer AND client_id = excluded.client_id \
           THEN client_secret ELSE excluded.client_secret END, \
         issuer = excluded.issuer, client_id = excluded.client_id, scopes = excluded.scopes, name_claim = excluded.name_claim, \
         groups_claim = excluded.groups_claim, teams = excluded.teams, admits = excluded.admits, domains = excluded.domains \
         RETURNING client_secret IS NOT NULL",
        [
            org.as_str().into(),
            provider.name.as_str().into(),
            provider.issuer.as_str().into(),
            provider.client_id.as_str().into(),
            provider.client_secret.clone().into(),
            provider.scopes.as_str().into(),
            provider.name_claim.as_str().into(),
            provider.groups_claim.as_str().into(),
            json(serde_json::to_string(&provider.teams)),
            match provider.admits {
                Admits::Known => "known",
                Admits::Everyone => "everyone",
            }
            .into(),
            json(serde_json::to_string(&provider.domains)),
            now.0.into(),
            Value::Integer(i64::from(secret == Kept::IfSame)),
        ],
    )
}

pub(crate) fn delete_provider(org: &OrgId, name: &IdentityProviderName) -> Statement {
    Statement::new(
        "DELETE FROM identity_providers WHERE org_id = ?1 AND name = ?2 RETURNING name",
        [org.as_str().into(), name.as_str().into()],
    )
}

/// Whom an organisation knows by an issuer and a subject, whatever their status.
pub(crate) async fn find(
    platform: &impl Platform,
    org: &OrgFacts,
    issuer: &str,
    subject: &str,
) -> Result<Option<(UserId, UserFacts)>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT u.id, ",
        user_columns!(),
        " FROM identities i JOIN users u ON u.id = i.user_id AND u.org_id = i.org_id \
         WHERE i.org_id = ?1 AND i.issuer = ?2 AND i.subject = ?3"
    );
    let statement = Statement::new(SQL, [org.id.as_str().into(), issuer.into(), subject.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| Ok((row.parse(0)?, user(row, 1, org.clone())?))).transpose()
}

/// The status of whoever has, or had, that name.
pub(crate) async fn status_of(
    platform: &impl Platform,
    org: &OrgId,
    name: &str,
) -> Result<Option<Status>, PlatformError> {
    let sql = "SELECT status FROM users WHERE org_id = ?1 AND name = ?2";
    let statement = Statement::new(sql, [org.as_str().into(), name.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0).map(|row| super::word(row, 0)).transpose()
}

/// Makes a person who is new. Fails with the whole batch if one of that name is there.
pub(crate) fn add_user(id: &UserId, org: &OrgId, name: &str, email: &str, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO users (id, org_id, name, email, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        [id.as_str().into(), org.as_str().into(), name.into(), email.into(), now.0.into()],
    )
}

/// Links a person to an issuer and a subject. Fails with the whole batch if somebody is linked to them.
pub(crate) fn link(org: &OrgId, issuer: &str, subject: &str, user: &UserId, now: Timestamp) -> Statement {
    Statement::new(
        "INSERT INTO identities (org_id, issuer, subject, user_id, linked_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        [org.as_str().into(), issuer.into(), subject.into(), user.as_str().into(), now.0.into()],
    )
}

pub(crate) fn unlink(user: &UserId, issuer: &str, subject: &str) -> Statement {
    Statement::new(
        "DELETE FROM identities WHERE user_id = ?1 AND issuer = ?2 AND subject = ?3 RETURNING subject",
        [user.as_str().into(), issuer.into(), subject.into()],
    )
}

/// Who a person is at identity providers: issuer and subject.
pub(crate) fn of_user(user: &UserId) -> Statement {
    Statement::new(
        "SELECT issuer, subject FROM identities WHERE user_id = ?1 ORDER BY issuer, subject",
        [user.as_str().into()],
    )
}

/// Reads a row of [`of_user`].
pub(crate) fn linked(row: &Row) -> Result<(String, String), PlatformError> {
    Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))
}
