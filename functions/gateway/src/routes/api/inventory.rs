//! Everything of an organisation that policies can name, for tools that work on policy files.

use std::collections::BTreeMap;

use schemas::inventory::{Inventory, Team};
use serde_json::{Value, json};

use super::Desk;
use super::problem::ApiError;
use crate::platform::Platform;
use crate::store::{inventory, people, policies};

/// `GET inventory`: the inventory, and the approved definitions of all tools.
pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>) -> Result<Value, ApiError> {
    let inventory = load(desk).await?;
    let definitions = policies::definitions(desk.platform, &desk.org.id).await?;
    Ok(json!({ "inventory": inventory, "definitions": definitions }))
}

/// The organisation's inventory.
pub(super) async fn load<P: Platform>(desk: &Desk<'_, P>) -> Result<Inventory, ApiError> {
    let org = desk.facts();
    let mut within: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (team, above) in people::all_teams(desk.platform, &org.id).await? {
        within.entry(team).or_default().extend(above);
    }
    let found = inventory::all(desk.platform, &org).await?;
    Ok(Inventory {
        v: 1,
        teams: within.into_iter().map(|(name, within)| Team { name, within }).collect(),
        agents: found.agents,
        users: people::all(desk.platform, &org).await?,
        servers: found.servers,
        tools: found.tools,
        org,
    })
}
