//! SQL text and row mapping, one file per aggregate: the only place with SQL. Every function is one round trip.

pub(crate) mod accounts;
pub(crate) mod admin;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod authorizations;
pub(crate) mod callers;
pub(crate) mod clients;
pub(crate) mod connections;
pub(crate) mod documents;
pub(crate) mod endings;
pub(crate) mod idempotency;
pub(crate) mod identities;
pub(crate) mod inventory;
pub(crate) mod keys;
pub(crate) mod migrations;
pub(crate) mod passkeys;
pub(crate) mod people;
pub(crate) mod policies;
pub(crate) mod proposals;
pub(crate) mod providers;
pub(crate) mod refusals;
pub(crate) mod revocations;
pub(crate) mod sealed;
pub(crate) mod sessions;
pub(crate) mod targets;
pub(crate) mod tenant_keys;
pub(crate) mod tickets;

use crate::platform::{PlatformError, Row, Rows};

/// The first row of the statement at `index`, if any.
pub(crate) fn first(results: &[Rows], index: usize) -> Option<&Row> {
    results.get(index).and_then(|rows| rows.first())
}

/// A column that holds one of an enum's words, as serde spells them.
fn word<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Result<T, PlatformError> {
    let text = row.text(column)?;
    serde_json::from_value(serde_json::Value::from(text)).map_err(|_| {
        PlatformError::Database(format!("column {column} holds `{text}`, which is not one of its words"))
    })
}

/// A column that holds JSON.
fn json<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Result<T, PlatformError> {
    serde_json::from_str(row.text(column)?).map_err(|error| {
        PlatformError::Database(format!("column {column} holds JSON we can't read: {error}"))
    })
}
