//! The end of a trip: the account is kept, if the policies let its person connect it. Another account than before is another connection,
//! and takes a person's word.

use policies::Permit;
use schemas::decision::{
    Action, ConnectionFacts, ContextFacts, DecisionRequest, Principal, ResourceFacts, Status,
};
use schemas::ids::{ConnectionId, Timestamp};
use serde_json::{Map, Value, json};

use super::{ConnectError, Who, about, place};
use crate::Gateway;
use crate::audit;
use crate::broker::provider::account::Identity;
use crate::broker::provider::{Provider, revoke};
use crate::broker::{BrokerError, Credential, Sharing, connections};
use crate::platform::{Batch, Platform, PlatformError};
use crate::store::accounts::{self, Listed};
use crate::store::tickets::{self, Ticket};
use crate::store::{admin, providers};
use crate::vault::Purpose;

/// How often it is tried again when somebody changes the account at the same moment.
const TRIES: usize = 3;
/// How long somebody may think about another account, in milliseconds.
const PATIENCE: i64 = 10 * 60 * 1000;

/// What somebody came back with.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) identity: Identity,
    pub(crate) credential: Credential,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It is connected.
    Connected,
    /// It is another account than before: the person is asked first.
    Another,
}

/// Keeps the account. `held` is the flow in which another account than before is held until the person is asked; without one it is taken
/// that they meant it.
///
/// # Errors
/// The policies do not allow it, or the vault or the database failed: nothing is kept.
pub(crate) async fn keep<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (ticket, provider): (&Ticket, &Provider),
    who: &Who<'_>,
    brought: &Brought,
    held: Option<&str>,
) -> Result<Kept, ConnectError> {
    for _ in 0..TRIES {
        let before = before(platform, ticket, provider, who).await?;
        let other = before.as_ref().filter(|before| is_other(before, &brought.identity));
        if let (Some(_), Some(state_hash)) = (other, held) {
            hold(gateway, platform, (ticket, provider), who, brought, state_hash).await?;
            return Ok(Kept::Another);
        }
        if keep_once(gateway, platform, (ticket, provider), who, brought, (before.as_ref(), other.is_some()))
            .await?
        {
            let done = [
                tickets::spend(&ticket.id, platform.now()),
                providers::note_trouble(&provider.id, None, platform.now()),
            ];
            platform.sql(Batch::write(done)).await?;
            return Ok(Kept::Connected);
        }
    }
    Err(ConnectError::Busy)
}

/// The connection that is connected again: the one that was meant, or the person's own.
async fn before<P: Platform>(
    platform: &P,
    ticket: &Ticket,
    provider: &Provider,
    who: &Who<'_>,
) -> Result<Option<Listed>, PlatformError> {
    match (&ticket.aim.again, ticket.aim.sharing) {
        (Some(id), _) => {
            let found = accounts::find(platform, &ticket.org.id, id).await?;
            Ok(found.filter(|found| {
                found.owner_id == *who.user && found.provider == provider.name && !found.is_over()
            }))
        }
        (None, Sharing::Personal) => accounts::personal(platform, who.user, &provider.id).await,
        (None, Sharing::Team | Sharing::Org) => Ok(None),
    }
}

/// Whether it is somebody else there. Where a provider does not tell who somebody is, nobody knows.
fn is_other(before: &Listed, now: &Identity) -> bool {
    !before.account_id.is_empty() && !now.id.is_empty() && before.account_id != now.id
}

async fn keep_once<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (ticket, provider): (&Ticket, &Provider),
    who: &Who<'_>,
    brought: &Brought,
    (before, other): (Option<&Listed>, bool),
) -> Result<bool, ConnectError> {
    let (sharing, team) = match before {
        Some(before) => (before.sharing, before.team_id.clone()),
        None => (ticket.aim.sharing, ticket.aim.team.clone()),
    };
    let team_name = match &team {
        Some(team) => accounts::team_name(platform, &ticket.org.id, team).await?,
        None => None,
    };
    let again = before.filter(|_| !other);
    let now = platform.now();
    let id = again.map_or_else(|| mint(platform, now), |before| before.id.clone());
    let facts = ConnectionFacts {
        id: id.clone(),
        org: ticket.org.clone(),
        owner: who.person.facts.clone(),
        provider: provider.name.clone(),
        status: Status::Active,
        scopes: brought.credential.scopes.clone(),
        shared: sharing == Sharing::Org,
        team: team_name,
    };
    let about = about(&ticket.org, who.person.actor(), "connection.connect", Some(ticket));
    let decide = async |action, facts: &ConnectionFacts| decide(gateway, platform, who, action, facts).await;
    let permit = decide(Action::Connect, &facts).await?;
    if again.is_none() && sharing != Sharing::Personal {
        let _ = decide(Action::Share, &facts).await?;
    }
    if let (Some(before), true) = (before, other) {
        let gone = ConnectionFacts { id: before.id.clone(), ..facts.clone() };
        let permit = decide(Action::Revoke, &gone).await?;
        connections::disconnect(gateway, platform, &ticket.org.id, &before.id, &about, Some(&permit)).await?;
    }
    let new = connections::New {
        id: &id,
        org: &ticket.org.id,
        provider: &provider.id,
        owner: who.user,
        sharing: (sharing, team.as_ref()),
        account: (&brought.identity.id, &brought.identity.label),
        credential: &brought.credential,
        version: again.map_or(1, |before| before.version + 1),
    };
    match connections::keep(gateway, platform, &new, &about, &permit).await {
        // Somebody connected their account in another tab at the same moment: then this one is that one again.
        Err(BrokerError::Platform(PlatformError::Database(text))) if text.contains("UNIQUE") => Ok(false),
        kept => Ok(kept?),
    }
}

fn mint(platform: &impl Platform, now: Timestamp) -> ConnectionId {
    let mut random = [0; 10];
    platform.fill_random(&mut random);
    ConnectionId::mint(now, random)
}

/// Asks the policies, with a refusal on record.
///
/// # Errors
/// They do not allow it, or can't be asked.
pub(crate) async fn decide<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    who: &Who<'_>,
    action: Action,
    facts: &ConnectionFacts,
) -> Result<Permit, ConnectError> {
    let gone = || PlatformError::Database("the organisation is not there any more".to_owned());
    let org = admin::org(platform, &facts.org.name).await?.ok_or_else(gone)?;
    let set = gateway.policy_set(platform, &org.policy_set).await;
    let set = set.map_err(|refusal| PlatformError::Database(refusal.to_string()))?;
    let request = DecisionRequest {
        principal: Principal::User(who.person.facts.clone()),
        action,
        resource: ResourceFacts::Connection(facts.clone()),
        context: ContextFacts::at(platform.now(), facts.org.clone()),
    };
    match policies::decide(&set, request) {
        Ok(permit) => Ok(permit),
        Err(denial) => {
            audit::deny(platform, &about(&facts.org, who.person.actor(), action.as_str(), None), &denial)
                .await?;
            Err(ConnectError::Denied(Box::new(denial)))
        }
    }
}

/// Keeps what somebody came back with until they say that they meant it: sealed, in the flow that is used up.
async fn hold<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (ticket, provider): (&Ticket, &Provider),
    who: &Who<'_>,
    brought: &Brought,
    state_hash: &str,
) -> Result<(), ConnectError> {
    let lost = || ConnectError::Answer("what you came back with can't be kept: start again".to_owned());
    let credential = brought.credential.to_bytes();
    let credential: Value = serde_json::from_slice(&credential).map_err(|_| lost())?;
    let text =
        json!({ "id": brought.identity.id, "label": brought.identity.label, "credential": credential })
            .to_string();
    let place = place(state_hash, ticket, who, provider);
    let sealed = gateway.vault.seal(platform, Purpose::Connect, &place, text.as_bytes()).ok_or_else(lost)?;
    let until = platform.now().plus(PATIENCE);
    Ok(platform.sql(Batch::write([tickets::hold(state_hash, sealed, until)])).await.map(drop)?)
}

/// What somebody came back with in that flow; nothing if it is not as it was.
pub(crate) fn open_held(
    gateway: &Gateway,
    (ticket, provider): (&Ticket, &Provider),
    who: &Who<'_>,
    (state_hash, sealed): (&str, &str),
) -> Option<Brought> {
    let place = place(state_hash, ticket, who, provider);
    let text = gateway.vault.open(Purpose::Connect, &place, sealed).ok()?;
    let members: Map<String, Value> = serde_json::from_slice(&text).ok()?;
    let word = |name: &str| Some(members.get(name)?.as_str()?.to_owned());
    let credential = Credential::from_bytes(members.get("credential")?.to_string().as_bytes())?;
    Some(Brought { identity: Identity { id: word("id")?, label: word("label")? }, credential })
}

/// The person did not mean it: the provider takes back what it gave, if it hears.
pub(crate) async fn decline<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    brought: &Brought,
) {
    if let Err(error) = revoke(gateway, platform, provider, &brought.credential).await {
        tracing::warn!(provider = %provider.name, %error, "what nobody wants could not be revoked");
    }
}
