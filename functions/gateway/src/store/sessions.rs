//! Browsers that are signed in, and the one-time links that sign them in.

use schemas::decision::{OrgFacts, UserFacts};
use schemas::ids::{OrgId, SessionId, Timestamp, UserId};

use super::callers::{roles, teams};
use super::people::{user, user_columns};
use crate::platform::{Batch, Platform, PlatformError, Row, Statement, Value};

/// How long a session lives that is not used, in milliseconds.
pub(crate) const IDLE: i64 = 8 * 60 * 60 * 1000;
/// How long a session lives at most, in milliseconds.
pub(crate) const LONGEST: i64 = 7 * 24 * 60 * 60 * 1000;

/// A session that is good, and the person it belongs to.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) user: UserFacts,
    pub(crate) since: Timestamp,
    /// When its secret was made.
    pub(crate) renewed: Timestamp,
    /// Whether that secret was shown, not the one before.
    pub(crate) newest: bool,
}

/// The session with that secret, and its person. Nothing if it has expired, or if the person may not be here any more.
pub(crate) async fn find(platform: &impl Platform, hash: &str) -> Result<Option<Found>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT s.id, s.user_id, s.created_at, s.renewed_at, s.hash = ?1, o.id, o.name, ",
        user_columns!(),
        " FROM sessions s JOIN users u ON u.id = s.user_id JOIN orgs o ON o.id = s.org_id AND o.id = u.org_id \
         WHERE (s.hash = ?1 OR (s.previous_hash = ?1 AND s.previous_until > ?2)) \
         AND s.expires_at > ?2 AND s.renewed_at > ?3 AND u.status = 'active'"
    );
    let now = platform.now();
    let statement = Statement::new(SQL, [hash.into(), now.0.into(), now.plus(-IDLE).0.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| {
            let org = OrgFacts { id: row.parse(5)?, name: row.parse(6)? };
            Ok(Found {
                id: row.parse(0)?,
                user_id: row.parse(1)?,
                since: Timestamp(row.integer(2)?),
                renewed: Timestamp(row.integer(3)?),
                newest: row.integer(4)? == 1,
                user: user(row, 7, org)?,
            })
        })
        .transpose()
}

/// A session that is about to be opened.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) id: &'a SessionId,
    pub(crate) hash: &'a str,
    pub(crate) opened_by: &'a str,
    pub(crate) browser: &'a str,
    /// SHA-256 of the secret that the browser showed until now: that session ends.
    pub(crate) instead_of: Option<&'a str>,
}

impl Opening<'_> {
    /// `?1` to `?6` of a statement that inserts a session, and what comes after.
    fn values(&self, now: Timestamp, more: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut values = vec![
            self.id.as_str().into(),
            self.hash.into(),
            self.opened_by.into(),
            self.browser.into(),
            now.0.into(),
            now.plus(LONGEST).0.into(),
        ];
        values.extend(more);
        values
    }

    fn ended(&self) -> Option<Statement> {
        self.instead_of.map(|hash| Statement::new("DELETE FROM sessions WHERE hash = ?1", [hash.into()]))
    }
}

/// Opens a session for a person who is active.
pub(crate) fn open(opening: &Opening<'_>, user: &UserId, now: Timestamp) -> Vec<Statement> {
    let sql = "INSERT INTO sessions (id, hash, opened_by, browser, created_at, renewed_at, expires_at, org_id, user_id) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?5, ?6, u.org_id, u.id FROM users u WHERE u.id = ?7 AND u.status = 'active' RETURNING id";
    let inserted = Statement::new(sql, opening.values(now, [user.as_str().into()]));
    std::iter::once(inserted).chain(opening.ended()).collect()
}

/// Uses a link up, and opens the session that it is for: the first two statements. The link's row keeps which session it was used for, so
/// that the second opens one only if the first used it.
pub(crate) fn open_by_link(opening: &Opening<'_>, link: &str, now: Timestamp) -> Vec<Statement> {
    let used = Statement::new(
        "UPDATE sign_in_links SET session_id = ?2 WHERE hash = ?1 AND session_id IS NULL AND expires_at > ?3 RETURNING user_id",
        [link.into(), opening.id.as_str().into(), now.0.into()],
    );
    let sql = "INSERT INTO sessions (id, hash, opened_by, browser, created_at, renewed_at, expires_at, org_id, user_id) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?5, ?6, u.org_id, u.id FROM sign_in_links l JOIN users u ON u.id = l.user_id \
         WHERE l.hash = ?7 AND l.session_id = ?1 AND u.status = 'active' RETURNING id";
    let inserted = Statement::new(sql, opening.values(now, [link.into()]));
    [used, inserted].into_iter().chain(opening.ended()).collect()
}

/// Gives a session a new secret, if it still has the one that was shown; that one is good until `previous_until`.
pub(crate) async fn renew(
    platform: &impl Platform,
    id: &SessionId,
    (old, new): (&str, &str),
    previous_until: Timestamp,
) -> Result<bool, PlatformError> {
    let statement = Statement::new(
        "UPDATE sessions SET hash = ?3, previous_hash = hash, previous_until = ?4, renewed_at = ?5 \
         WHERE id = ?1 AND hash = ?2 RETURNING id",
        [id.as_str().into(), old.into(), new.into(), previous_until.0.into(), platform.now().0.into()],
    );
    let results = platform.sql(Batch::write([statement])).await?;
    Ok(super::first(&results, 0).is_some())
}

/// A session, as its person sees it in a list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: SessionId,
    pub(crate) opened_by: String,
    pub(crate) browser: String,
    pub(crate) since: Timestamp,
    pub(crate) used: Timestamp,
}

/// The sessions of a person that are good, youngest first.
pub(crate) fn of_user(user: &UserId, now: Timestamp) -> Statement {
    Statement::new(
        "SELECT id, opened_by, browser, created_at, renewed_at FROM sessions \
         WHERE user_id = ?1 AND expires_at > ?2 AND renewed_at > ?3 ORDER BY id DESC",
        [user.as_str().into(), now.0.into(), now.plus(-IDLE).0.into()],
    )
}

/// Reads a row of [`of_user`].
pub(crate) fn listed(row: &Row) -> Result<Listed, PlatformError> {
    Ok(Listed {
        id: row.parse(0)?,
        opened_by: row.text(1)?.to_owned(),
        browser: row.text(2)?.to_owned(),
        since: Timestamp(row.integer(3)?),
        used: Timestamp(row.integer(4)?),
    })
}

/// Ends one session of a person.
pub(crate) fn end(user: &UserId, id: &SessionId) -> Statement {
    Statement::new(
        "DELETE FROM sessions WHERE user_id = ?1 AND id = ?2 RETURNING id",
        [user.as_str().into(), id.as_str().into()],
    )
}

/// Ends every session of a person, and uses up the links that would open another.
pub(crate) fn end_all(user: &UserId) -> [Statement; 2] {
    [
        Statement::new("DELETE FROM sessions WHERE user_id = ?1 RETURNING id", [user.as_str().into()]),
        Statement::new("DELETE FROM sign_in_links WHERE user_id = ?1", [user.as_str().into()]),
    ]
}

/// Makes a link for a person.
pub(crate) fn add_link(
    hash: &str,
    org: &OrgId,
    user: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Statement {
    Statement::new(
        "INSERT INTO sign_in_links (hash, org_id, user_id, created_at, expires_at) \
         SELECT ?1, u.org_id, u.id, ?4, ?5 FROM users u WHERE u.org_id = ?2 AND u.name = ?3 RETURNING hash",
        [hash.into(), org.as_str().into(), user.into(), now.0.into(), expires_at.0.into()],
    )
}

/// Whom a link is for, while it is good.
pub(crate) async fn link(platform: &impl Platform, hash: &str) -> Result<Option<UserFacts>, PlatformError> {
    const SQL: &str = concat!(
        "SELECT o.id, o.name, ",
        user_columns!(),
        " FROM sign_in_links l JOIN users u ON u.id = l.user_id JOIN orgs o ON o.id = u.org_id \
         WHERE l.hash = ?1 AND l.session_id IS NULL AND l.expires_at > ?2 AND u.status = 'active'"
    );
    let statement = Statement::new(SQL, [hash.into(), platform.now().0.into()]);
    let results = platform.sql(Batch::read([statement])).await?;
    super::first(&results, 0)
        .map(|row| user(row, 2, OrgFacts { id: row.parse(0)?, name: row.parse(1)? }))
        .transpose()
}

/// Forgets what has expired.
pub(crate) async fn forget(platform: &impl Platform) -> Result<(), PlatformError> {
    let now = platform.now();
    let expired = |sql: &'static str, when: Timestamp| Statement::new(sql, [when.0.into()]);
    let statements = vec![
        expired("DELETE FROM sessions WHERE expires_at <= ?1", now),
        expired("DELETE FROM sessions WHERE renewed_at <= ?1", now.plus(-IDLE)),
        expired("DELETE FROM sign_in_links WHERE expires_at <= ?1", now),
    ];
    platform.sql(Batch::write_soon(statements)).await.map(drop)
}
