//! People of an organisation.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::decision::Status;
use schemas::ids::UserId;
use schemas::names::{RoleName, UserName};

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use super::{random, read};
use crate::platform::{Platform, Statement};
pub(super) use crate::store::documents::USERS as KIND;
use crate::store::{admin, endings, people};

const READ_ONLY: [&str; 4] = ["name", "id", "teams", "createdAt"];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    #[serde(default)]
    email: String,
    #[serde(default = "active")]
    status: Status,
    /// What they do in the organisation; without it, as it was.
    #[serde(default)]
    roles: Option<BTreeSet<RoleName>>,
}

pub(super) fn active() -> Status {
    Status::Active
}

/// A thing goes by `DELETE`, which takes with it what hangs on it.
pub(super) fn not_deleted(status: Status) -> Result<Status, ApiError> {
    match status {
        Status::Active | Status::Suspended => Ok(status),
        Status::Deleted => {
            Err(ApiError::Malformed("`status` is active or suspended; use DELETE to delete".into()))
        }
    }
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, UserName::parse(name)?.as_str())).await
}

pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let (name, change) = change(desk, name, body)?;
    desk.put(&desk.thing(&KIND, name.as_str()), change).await
}

pub(super) async fn patch<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let thing = desk.thing(&KIND, UserName::parse(name)?.as_str());
    let (whole, held) = desk.patched(&thing, body, &READ_ONLY).await?;
    let (_, change) = change(desk, name, whole.to_string().as_bytes())?;
    desk.put_held(&thing, Some(held), change).await
}

fn change<P: Platform>(desk: &Desk<'_, P>, name: &str, body: &[u8]) -> Result<(UserName, Change), ApiError> {
    let name = UserName::parse(name)?;
    is_free_to_choose(&name)?;
    let User { email, status, roles } = read(body)?;
    let status = not_deleted(status)?;
    let now = desk.platform.now();
    let id = UserId::mint(now, random(desk.platform));
    let mut statements: Vec<Statement> = vec![admin::put_user(&id, &desk.org.id, &name, &email, status, now)];
    let mut told = format!("user `{name}`, {status:?}");
    if let Some(roles) = &roles {
        statements.extend(people::put_roles(&desk.org.id, name.as_str(), roles.iter()));
        let roles: Vec<&str> = roles.iter().map(RoleName::as_str).collect();
        told.push_str(", roles: ");
        told.push_str(&roles.join(", "));
    }
    Ok((name, Change { action: "user.put", told, statements }))
}

/// Whether a person may be called that.
pub(super) fn is_free_to_choose(name: &UserName) -> Result<(), ApiError> {
    if name.as_str().starts_with('@') {
        return Err(ApiError::Malformed("names that start with `@` are the product's own".into()));
    }
    Ok(())
}

/// Takes a person out: their roles, teams, keys and sessions go; the name stays theirs in records.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = UserName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let statements = endings::user(&desk.org.id, &name, desk.platform.now());
    desk.delete(&thing, Change { action: "user.delete", told: format!("user `{name}`"), statements }).await
}

/// The person of that name.
pub(super) async fn find<P: Platform>(desk: &Desk<'_, P>, name: &UserName) -> Result<UserId, ApiError> {
    let id = admin::user(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("user `{name}`")))
}

pub(super) async fn maybe<P: Platform>(
    desk: &Desk<'_, P>,
    name: Option<&UserName>,
) -> Result<Option<UserId>, ApiError> {
    match name {
        Some(name) => find(desk, name).await.map(Some),
        None => Ok(None),
    }
}
