//! Looking at a server that wants an account before it says what it offers: on the account of whoever looks, if they have one there.

use schemas::audit::Ended;
use schemas::decision::{Action, ResourceFacts};

use super::Desk;
use super::problem::ApiError;
use crate::audit::{About, Access, Intent};
use crate::broker::{self, BrokerError};
use crate::platform::Platform;
use crate::store::connections;
use crate::toolboxes::Server;
use crate::upstream::Delivery;

/// The record of a look, and what the server gets to know its visitor by. An account is its owner's to use; nobody looks on anybody
/// else's, shared or not.
pub(super) async fn look<P: Platform>(
    desk: &Desk<'_, P>,
    server: &Server,
    about: &About,
) -> Result<(Intent<P>, Option<Delivery>), ApiError> {
    let permit = desk.permit.as_ref().ok_or(ApiError::Forbidden(Action::ApproveTool))?;
    let (platform, limit) = (desk.platform, desk.gateway.settings.call_limit);
    let intent = Intent::write(platform, about, permit, limit).await?;
    match on_own_account(desk, server, about, &intent).await {
        Ok(delivery) => Ok((intent, delivery)),
        Err(error) => {
            if let Some(conclusion) = intent.conclusion() {
                conclusion.end(Ended::Failed);
            }
            Err(error)
        }
    }
}

async fn on_own_account<P: Platform>(
    desk: &Desk<'_, P>,
    server: &Server,
    about: &About,
    intent: &Intent<P>,
) -> Result<Option<Delivery>, ApiError> {
    let Some(acts_on) = &server.acts_on else { return Ok(None) };
    let (gateway, platform, org) = (desk.gateway, desk.platform, &desk.org.id);
    let found = connections::of_person(platform, org, &desk.person.facts.name, &acts_on.provider_id).await?;
    let Some(mut account) = found.filter(|account| account.status == broker::Standing::Active) else {
        return Ok(None);
    };
    let facts = ResourceFacts::Connection(account.facts(&desk.facts(), &acts_on.provider));
    let permit = desk.demand(Action::Connect, facts, None).await?;
    if !account.is_usable(platform.now()) {
        account.version = broker::make_usable(gateway, platform, &account, about).await?;
    }
    let access = Access::new(&permit, account.version).ok_or(BrokerError::Unopened)?;
    let sealed = intent.access(platform, about, &access).await?;
    let sealed = sealed.ok_or_else(|| BrokerError::Later("the account is being changed".to_owned()))?;
    Ok(Some(broker::open(gateway, platform, org, acts_on, &account, &sealed).await?))
}
