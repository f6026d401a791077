//! People's accounts at providers: everybody sees and ends their own; whoever administers sees all. What else the policies say.

use bytes::Bytes;
use schemas::decision::{Action, ConnectionFacts, ResourceFacts, Status};
use schemas::ids::ConnectionId;
use schemas::names::TeamName;

use super::desk::{Desk, missing};
use super::problem::ApiError;
use super::query::Query;
use super::reply::Reply;
use super::things::{filters, pages};
use super::{read, teams};
use crate::broker::{Sharing, Standing, connections};
use crate::platform::Platform;
use crate::store::accounts::{self, Listed};
pub(super) use crate::store::documents::CONNECTIONS as KIND;
use crate::store::{documents, people};

/// `GET connections`: a page of them, in the order of their ids.
pub(super) async fn list<P: Platform>(desk: &Desk<'_, P>, query: Option<&str>) -> Result<Reply, ApiError> {
    let query = Query::of_list(query, KIND.filters)?;
    let mut filters = filters(&KIND, &query);
    if !sees_all(desk) {
        let own = desk.person.facts.name.as_str();
        if desk.person.facts.status != Status::Active || query.get("user").is_some_and(|user| user != own) {
            return Ok(serde_json::json!({ "connections": [] }).into());
        }
        filters.retain(|(name, _)| *name != "user");
        filters.push(("user", own.to_owned()));
    }
    pages(desk.platform, (&KIND, desk.org.id.as_str()), &query, &filters, |_, text| text).await
}

fn sees_all<P: Platform>(desk: &Desk<'_, P>) -> bool {
    desk.decide(Action::Administer, ResourceFacts::Org(desk.facts()), None).is_ok()
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Reply, ApiError> {
    let found = known(desk, id).await?;
    desk.show(&desk.thing(&KIND, found.id.as_str())).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    sharing: Sharing,
    #[serde(default)]
    team: Option<TeamName>,
}

/// Says who else may use an account.
pub(super) async fn share<P: Platform>(
    desk: &Desk<'_, P>,
    id: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let Share { sharing, team } = read(body)?;
    let found = known(desk, id).await?;
    hold(desk, &found).await?;
    if found.is_over() {
        return Err(ApiError::Conflict(format!("connection `{id}` is disconnected")));
    }
    let team = match (sharing, team) {
        (Sharing::Team, Some(team)) => Some((teams::find(desk, &team).await?, team)),
        (Sharing::Personal | Sharing::Org, None) => None,
        (Sharing::Team, None) | (Sharing::Personal | Sharing::Org, Some(_)) => {
            return Err(ApiError::Malformed("`team` goes with `sharing` `team`, and with no other".into()));
        }
    };
    let facts = ConnectionFacts {
        shared: sharing == Sharing::Org,
        team: team.as_ref().map(|(_, name)| name.clone()),
        ..facts(desk, &found).await?
    };
    let permit = desk.demand(Action::Share, ResourceFacts::Connection(facts), None).await?;
    let about = desk.about("connection.share", None);
    let to = (sharing, team.as_ref().map(|(id, _)| id));
    let done = connections::share(desk.platform, &found.id, to, &about, &permit).await;
    match done {
        Ok(true) => desk.show(&desk.thing(&KIND, found.id.as_str())).await,
        Ok(false) => Err(ApiError::Conflict(format!("connection `{id}` is disconnected"))),
        Err(error) if error.to_string().contains("UNIQUE") => Err(ApiError::Conflict(
            "its owner has another account of their own there already: disconnect that first".into(),
        )),
        Err(error) => Err(error.into()),
    }
}

/// Ends a connection: its credential is erased here, and its provider told.
pub(super) async fn end<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Reply, ApiError> {
    let found = known(desk, id).await?;
    hold(desk, &found).await?;
    let facts = facts(desk, &found).await?;
    let permit = desk.demand(Action::Revoke, ResourceFacts::Connection(facts), None).await?;
    let about = desk.about("connection.disconnect", None);
    let (gateway, platform) = (desk.gateway, desk.platform);
    connections::disconnect(gateway, platform, &desk.org.id, &found.id, &about, Some(&permit)).await?;
    Ok(Reply::nothing())
}

/// A connection that the person may see; others are told like those that don't exist.
async fn known<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Listed, ApiError> {
    let thing = desk.thing(&KIND, id);
    let id = ConnectionId::parse(id)?;
    let found = accounts::find(desk.platform, &desk.org.id, &id).await?;
    let own =
        |found: &Listed| found.owner == desk.person.facts.name && desk.person.facts.status == Status::Active;
    found.filter(|found| own(found) || sees_all(desk)).ok_or_else(|| missing(&thing))
}

async fn hold<P: Platform>(desk: &Desk<'_, P>, found: &Listed) -> Result<(), ApiError> {
    if !desk.conditions.any() {
        return Ok(());
    }
    let current = documents::get(desk.platform, &desk.thing(&KIND, found.id.as_str())).await?;
    desk.conditions.hold(current.as_deref())
}

async fn facts<P: Platform>(desk: &Desk<'_, P>, found: &Listed) -> Result<ConnectionFacts, ApiError> {
    let org = desk.facts();
    let owner = people::facts(desk.platform, &org, &found.owner_id).await?;
    Ok(ConnectionFacts {
        id: found.id.clone(),
        owner: owner.ok_or_else(|| missing(&desk.thing(&KIND, found.id.as_str())))?,
        org,
        provider: found.provider.clone(),
        status: match found.status {
            Standing::Active => Status::Active,
            Standing::NeedsReconnect => Status::Suspended,
            Standing::Disconnected => Status::Deleted,
        },
        scopes: found.scopes.clone(),
        shared: found.sharing == Sharing::Org,
        team: found.team.clone(),
    })
}
