//! Teams: people, agents and teams within them.

use bytes::Bytes;
use schemas::ids::TeamId;
use schemas::names::{AgentName, TeamName, UserName};

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use super::{agents, random, read, users};
use crate::platform::Platform;
use crate::store;
pub(super) use crate::store::documents::TEAMS as KIND;

const READ_ONLY: [&str; 3] = ["name", "id", "createdAt"];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Team {
    #[serde(default)]
    users: Vec<UserName>,
    #[serde(default)]
    agents: Vec<AgentName>,
    /// Teams within this one: whatever is granted to this one, they have too.
    #[serde(default)]
    teams: Vec<TeamName>,
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, TeamName::parse(name)?.as_str())).await
}

/// Makes a team have exactly these members.
pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = TeamName::parse(name)?;
    let change = change(desk, &name, body).await?;
    desk.put(&desk.thing(&KIND, name.as_str()), change).await
}

pub(super) async fn patch<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = TeamName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let (whole, held) = desk.patched(&thing, body, &READ_ONLY).await?;
    let change = change(desk, &name, whole.to_string().as_bytes()).await?;
    desk.put_held(&thing, Some(held), change).await
}

async fn change<P: Platform>(desk: &Desk<'_, P>, name: &TeamName, body: &[u8]) -> Result<Change, ApiError> {
    let Team { users, agents, teams } = read(body)?;
    let mut members = Vec::new();
    for user in &users {
        members.push(format!("user:{}", users::find(desk, user).await?));
    }
    for agent in &agents {
        members.push(format!("agent:{}", agents::find(desk, agent).await?));
    }
    for team in &teams {
        members.push(format!("team:{}", find(desk, team).await?));
    }
    let now = desk.platform.now();
    let id = TeamId::mint(now, random(desk.platform));
    let statements = store::people::put_team(&id, &desk.org.id, name, &members, now);
    let counts = (users.len(), agents.len(), teams.len());
    let told = format!("team `{name}` has {} people, {} agents, {} teams", counts.0, counts.1, counts.2);
    Ok(Change { action: "team.put", told, statements })
}

/// Ends a team, and what was granted to it.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = TeamName::parse(name)?;
    let statements = store::endings::team(&desk.org.id, &name, desk.platform.now());
    let change = Change { action: "team.delete", told: format!("team `{name}`"), statements };
    desk.delete(&desk.thing(&KIND, name.as_str()), change).await
}

pub(super) async fn find<P: Platform>(desk: &Desk<'_, P>, name: &TeamName) -> Result<TeamId, ApiError> {
    let id = store::people::team(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("team `{name}`")))
}
