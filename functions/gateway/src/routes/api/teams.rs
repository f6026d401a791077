//! Teams: people, agents and teams within them.

use bytes::Bytes;
use schemas::ids::TeamId;
use schemas::names::{AgentName, TeamName, UserName};
use serde_json::{Value, json};

use super::problem::ApiError;
use super::{Desk, people, random, read};
use crate::platform::Platform;
use crate::store;

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

/// Makes a team have exactly these members.
pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = TeamName::parse(name)?;
    let Team { users, agents, teams } = read(body)?;
    let mut members = Vec::new();
    for user in &users {
        members.push(format!("user:{}", people::user(desk, user).await?));
    }
    for agent in &agents {
        members.push(format!("agent:{}", people::agent(desk, agent).await?));
    }
    for team in &teams {
        members.push(format!("team:{}", find(desk, team).await?));
    }
    let now = desk.platform.now();
    let id = TeamId::mint(now, random(desk.platform));
    let statements = store::people::put_team(&id, &desk.org.id, &name, &members, now);
    let counts = (users.len(), agents.len(), teams.len());
    let told = format!("team `{name}` has {} people, {} agents, {} teams", counts.0, counts.1, counts.2);
    desk.change("team.put", told, statements).await?;
    Ok(json!({ "name": name }))
}

pub(super) async fn find<P: Platform>(desk: &Desk<'_, P>, name: &TeamName) -> Result<TeamId, ApiError> {
    let id = store::people::team(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("team `{name}`")))
}
