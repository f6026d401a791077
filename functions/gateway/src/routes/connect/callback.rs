//! `/connect/{org}/{provider}/callback`: back from the provider. Whatever comes of it, the code leaves the address bar with a redirect.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use schemas::names::{OrgName, ProviderName};

use super::{not_connected, refuse};
use crate::Gateway;
use crate::audit;
use crate::body::Body;
use crate::broker::connect::{self, ConnectError, Kept, Returned, Who, about};
use crate::broker::provider::Provider;
use crate::identity::session::{Signed, signed};
use crate::platform::{Platform, PlatformError};
use crate::routes::page::see_other;
use crate::store::providers;
use crate::store::tickets::{self, Flow, Ticket};

/// Takes what the browser came back with.
pub(super) async fn come_back<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    (org, name): (&str, &str),
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let row = match (OrgName::parse(org), ProviderName::parse(name)) {
        (Ok(org), Ok(name)) => providers::find(platform, &org, &name).await?,
        _ => None,
    };
    let Some(row) = row else { return Ok(super::nothing()) };
    let returned = Returned::read(request.uri().query().unwrap_or_default());
    let flow = match &returned {
        Some(returned) => tickets::flow(platform, &returned.state_hash).await?,
        None => None,
    };
    let Some(signed) = signed(platform, request.headers()).await? else {
        return nobody(platform, &row, flow.as_ref()).await;
    };
    let known = match (returned, flow) {
        (Some(returned), Some(flow)) => {
            let ticket = tickets::find(platform, &flow.ticket).await?;
            ticket.map(|ticket| (returned, flow, ticket))
        }
        _ => None,
    };
    // Of another organisation there is nothing to tell, and nothing to note in its trail but that somebody came.
    let Some((returned, flow, ticket)) = known else { return stray(platform, &row, &signed).await };
    let mut response = arrive(gateway, platform, &row, request, (&signed, &ticket, &flow, &returned)).await?;
    // Whoever merely knows a state must not end the flow of somebody else's browser.
    if flow.session == signed.id
        && let Some(cookie) = connect::cookie_gone(&flow.state_hash)
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn arrive<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    row: &providers::Provider,
    request: &Request<Bytes>,
    (signed, ticket, flow, returned): (&Signed, &Ticket, &Flow, &Returned),
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if signed.person.facts.org.id != ticket.org.id {
        return stray(platform, row, signed).await;
    }
    let who = Who::from(signed);
    let done = async {
        let provider = Provider::resolve(gateway, platform, row).await?;
        let trip = (ticket, &provider, flow);
        let brought = connect::arrive(gateway, platform, trip, (&who, request.headers()), returned).await?;
        let held = Some(flow.state_hash.as_str());
        connect::keep(gateway, platform, (ticket, &provider), &who, &brought, held).await
    };
    match done.await {
        Ok(Kept::Connected) => Ok(see_other(&format!("/connect/{}/done", ticket.id))),
        Ok(Kept::Another) => Ok(see_other(&format!("/connect/{}/another", ticket.id))),
        Err(ConnectError::Platform(error)) => Err(error),
        Err(error) => refuse(platform, signed, ticket, "connect.arrive", &error).await,
    }
}

/// Nobody is signed in: the callback never signs anybody in, and without a session nobody's account is connected to anything.
async fn nobody<P: Platform>(
    platform: &P,
    row: &providers::Provider,
    flow: Option<&Flow>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if flow.is_some_and(|flow| flow.org == row.org.id) {
        let actor = schemas::audit::Actor { agent: None, user: None, credential: "nobody".to_owned() };
        let about = about(&row.org, actor, "connect.arrive", None);
        audit::refuse(platform, &about, "an answer came back without a session").await?;
    }
    let why = "You are not signed in any more. Sign in, then start again.";
    Ok(not_connected(StatusCode::FORBIDDEN, "/account/connections", why))
}

/// What came back belongs to nothing that left from here.
async fn stray<P: Platform>(
    platform: &P,
    row: &providers::Provider,
    signed: &Signed,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if signed.person.facts.org.id == row.org.id {
        let about = about(&row.org, signed.person.actor(), "connect.arrive", None);
        audit::refuse(platform, &about, "an answer came back that nobody asked for, or its flow is over")
            .await?;
    }
    let why = "This browser did not leave from here for there, or it took longer than ten minutes.";
    Ok(not_connected(StatusCode::BAD_REQUEST, "/account/connections", why))
}
