//! How people get in, and how others get them out: one-time links, invitations, and the browsers in which somebody is signed in.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::decision::Status;
use schemas::ids::UserId;
use schemas::names::{RoleName, TeamName, UserName};
use serde_json::{Value, json};

use super::problem::ApiError;
use super::{Desk, random, read, teams, users};
use crate::identity::link;
use crate::platform::{Batch, Platform};
use crate::store::{self, admin, sessions};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Makes a link that signs a person in, once, within a day. This answer is the only place where it ever shows.
pub(super) async fn add_link<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let Nothing {} = read(body)?;
    let name = UserName::parse(name)?;
    users::find(desk, &name).await?;
    let (statement, answer) = make_link(desk, &name);
    desk.change("link.create", format!("one-time link for user `{name}`"), vec![statement]).await?;
    Ok(answer)
}

fn make_link<P: Platform>(desk: &Desk<'_, P>, user: &UserName) -> (crate::platform::Statement, Value) {
    let now = desk.platform.now();
    let until = now.plus(link::LIVES);
    let (token, hash) = link::mint(desk.platform);
    let statement = sessions::add_link(&hash, &desk.org.id, user.as_str(), now, until);
    let url = format!("{}/sign-in/link/{}", desk.gateway.settings.public_url, token.expose());
    (statement, json!({ "name": user, "url": url, "expiresAt": until }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    name: UserName,
    #[serde(default)]
    email: String,
    #[serde(default)]
    roles: BTreeSet<RoleName>,
    #[serde(default)]
    teams: BTreeSet<TeamName>,
}

/// Makes a person and a link that signs them in.
pub(super) async fn invite<P: Platform>(desk: &Desk<'_, P>, body: &Bytes) -> Result<Value, ApiError> {
    let Invitation { name, email, roles, teams } = read(body)?;
    users::is_free_to_choose(&name)?;
    if admin::user(desk.platform, &desk.org.id, &name).await?.is_some() {
        return Err(ApiError::Conflict(format!(
            "user `{name}` is there already: make a link for them at `users/{name}/links`"
        )));
    }
    for team in &teams {
        teams::find(desk, team).await?;
    }
    let now = desk.platform.now();
    let id = UserId::mint(now, random(desk.platform));
    let (link, answer) = make_link(desk, &name);
    let mut statements = vec![admin::put_user(&id, &desk.org.id, &name, &email, Status::Active, now)];
    statements.extend(store::people::put_roles(&desk.org.id, name.as_str(), roles.iter()));
    statements.extend(store::people::put_into_teams(&desk.org.id, name.as_str(), teams.iter(), []));
    statements.push(link);
    let told = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let what = format!(
        "user `{name}`, roles: {}, teams: {}, with a one-time link",
        told(roles.iter().map(RoleName::as_str).collect()),
        told(teams.iter().map(TeamName::as_str).collect()),
    );
    let thing = desk.thing(&users::KIND, name.as_str());
    statements.insert(0, thing.must_fit(desk.gateway.settings.quota));
    let done = desk.change("user.invite", what, statements).await;
    done.map_err(|error| desk.refused(&thing, error))?;
    Ok(answer)
}

/// The browsers in which a person is signed in.
pub(super) async fn list<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Value, ApiError> {
    let user = users::find(desk, &UserName::parse(name)?).await?;
    let statement = sessions::of_user(&user, desk.platform.now());
    let results = desk.platform.sql(Batch::read([statement])).await?;
    let mut items = Vec::new();
    for row in results.iter().flatten() {
        let session = sessions::listed(row)?;
        items.push(json!({
            "id": session.id, "openedBy": session.opened_by, "browser": session.browser,
            "since": session.since, "usedAt": session.used,
        }));
    }
    Ok(json!({ "sessions": items }))
}

/// Signs a person out everywhere.
pub(super) async fn end_all<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Value, ApiError> {
    let name = UserName::parse(name)?;
    let user = users::find(desk, &name).await?;
    let what = format!("user `{name}` is signed out everywhere");
    let results = desk.change("session.end", what, sessions::end_all(&user).to_vec()).await?;
    Ok(json!({ "ended": results.first().map_or(0, Vec::len) }))
}
