//! Somebody came back as somebody else than before. That may be a slip, or somebody's trick: they are asked, once.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use maud::html;

use super::{At, field, forged, is_own};
use crate::audit;
use crate::body::Body;
use crate::broker::connect::{self, Brought, ConnectError, Kept, Who, about};
use crate::broker::provider::Provider;
use crate::platform::{Platform, PlatformError};
use crate::routes::page::{Forms, page, see_other};
use crate::routes::visible;
use crate::store::tickets;

/// What is being asked about.
struct Held {
    state_hash: String,
    provider: Provider,
    brought: Brought,
}

async fn find<P: Platform>(at: &At<'_, P>) -> Result<Option<Held>, PlatformError> {
    let held = tickets::held(at.platform, &at.ticket.id, &at.signed.id).await?;
    let (Some((state_hash, sealed)), Some(row)) = (held, at.row().await?) else { return Ok(None) };
    let Ok(provider) = Provider::resolve(at.gateway, at.platform, &row).await else { return Ok(None) };
    let who = Who::from(at.signed);
    let brought = connect::open_held(at.gateway, (&at.ticket, &provider), &who, (&state_hash, &sealed));
    Ok(brought.map(|brought| Held { state_hash, provider, brought }))
}

/// The page.
pub(super) async fn ask<P: Platform>(at: &At<'_, P>) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let Some(held) = find(at).await? else { return Ok(super::not_yours()) };
    let title = held.provider.title();
    let body = html! {
        h1 { "Another account than before" }
        p { "You came back from " (title) " as " strong { (visible(&held.brought.identity.label)) } ". Until now another account of yours there was connected. If you go on, that one is disconnected, and agents act on this one." }
        form method="post" action={ "/connect/" (at.ticket.id) "/another" } {
            input type="hidden" name="token" value=(at.signed.form_token(&at.gateway.vault));
            input type="hidden" name="flow" value=(held.state_hash);
            button name="decision" value="yes" { "Use this account" }
            button.yes name="decision" value="no" { "Keep the one before" }
        }
    };
    Ok(page(StatusCode::OK, "Another account – Ambit", Forms::Own, &body))
}

/// What the person said.
pub(super) async fn take<P: Platform>(
    at: &At<'_, P>,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if !is_own(at, request) {
        return forged(at).await;
    }
    let Some(held) = find(at).await? else { return Ok(super::not_yours()) };
    let same = field(request, "flow").as_deref() == Some(held.state_hash.as_str());
    if !same || !tickets::release(at.platform, &held.state_hash, &at.signed.id).await? {
        return Ok(super::not_yours());
    }
    let who = Who::from(at.signed);
    if field(request, "decision").as_deref() != Some("yes") {
        connect::decline(at.gateway, at.platform, &held.provider, &held.brought).await;
        let about = about(&at.ticket.org, at.signed.person.actor(), "connect.another", Some(&at.ticket));
        audit::refuse(at.platform, &about, &format!("{}: the person keeps the account before", at.ticket.id))
            .await?;
        return Ok(see_other("/account/connections"));
    }
    let trip = (&at.ticket, &held.provider);
    match connect::keep(at.gateway, at.platform, trip, &who, &held.brought, None).await {
        Ok(Kept::Connected | Kept::Another) => Ok(see_other(&format!("/connect/{}/done", at.ticket.id))),
        Err(ConnectError::Platform(error)) => Err(error),
        Err(error) => at.refuse("connect.keep", &error).await,
    }
}
