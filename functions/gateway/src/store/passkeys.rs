//! Passkeys of people, by the SHA-256 of their credential ids.

use schemas::decision::{OrgFacts, UserFacts};
use schemas::ids::{Timestamp, UserId};
use schemas::names::OrgName;

use super::callers::{roles, teams};
use super::people::{user, user_columns};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement};

/// A passkey, and whose it is.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) public_key: String,
    pub(crate) counter: u32,
    pub(crate) user_id: UserId,
    pub(crate) user: UserFacts,
}

/// The passkey of somebody who is active in that organisation.
pub(crate) async fn find(
    platform: &impl Platform,
    org: &OrgName,
    hash: &str,
) -> Result<Option<Found>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT p.public_key, p.counter, p.user_id, o.id, o.name, ",
        user_columns!(),
        " FROM passkeys p JOIN users u ON u.id = p.user_id JOIN orgs o ON o.id = u.org_id \
         WHERE p.hash = ?1 AND o.name = ?2 AND u.status = 'active'"
    );
    let statement = Statement::new(SQL, [hash.into(), org.as_str().into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| {
            let org = OrgFacts { id: row.parse(3)?, name: row.parse(4)? };
            Ok(Found {
                public_key: row.text(0)?.to_owned(),
                counter: u32::try_from(row.integer(1)?).unwrap_or(u32::MAX),
                user_id: row.parse(2)?,
                user: user(row, 5, org)?,
            })
        })
        .transpose()
}

/// Registers one that nobody has.
pub(crate) fn add(
    hash: &str,
    user: &UserId,
    public_key: &str,
    counter: u32,
    name: &str,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "INSERT INTO passkeys (hash, user_id, public_key, counter, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        [
            hash.into(),
            user.as_str().into(),
            public_key.into(),
            i64::from(counter).into(),
            name.into(),
            now.0.into(),
        ],
    )
}

/// Notes that one was used, unless it was meanwhile.
pub(crate) fn used(hash: &str, (known, counter): (u32, u32), now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE passkeys SET counter = ?3, used_at = ?4 WHERE hash = ?1 AND counter = ?2 RETURNING hash",
        [hash.into(), i64::from(known).into(), i64::from(counter).into(), now.0.into()],
    )
}

pub(crate) fn remove(user: &UserId, hash: &str) -> Statement {
    Statement::new(
        "DELETE FROM passkeys WHERE user_id = ?1 AND hash = ?2 RETURNING hash",
        [user.as_str().into(), hash.into()],
    )
}

/// The passkeys of a person, oldest first.
pub(crate) fn of_user(user: &UserId) -> Statement {
    Statement::new(
        "SELECT hash, name, created_at FROM passkeys WHERE user_id = ?1 ORDER BY created_at, hash",
        [user.as_str().into()],
    )
}

/// Reads a row of [`of_user`]: hash, name, and since when.
pub(crate) fn listed(row: &Row) -> Result<(String, String, Timestamp), PlatformError> {
    Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), Timestamp(row.integer(2)?)))
}
