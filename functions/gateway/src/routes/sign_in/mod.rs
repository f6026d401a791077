//! `/sign-in`: how a person becomes known to us. The ways in are an identity provider of their organisation, or a one-time link; there
//! are no passwords. Every page works without scripts.

mod admission;
mod link;
mod passkey;
mod provider;
mod return_to;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use maud::html;
use schemas::names::OrgName;

pub(crate) use self::provider::{redirect_uri, secret_place, to_link};
use self::return_to::{ReturnTo, page_of};
use super::page::{Forms, message, page, see_other, unavailable};
use crate::Gateway;
use crate::body::Body;
use crate::identity::session::New;
use crate::limits::{Class, Who};
use crate::platform::{Peer, Platform, PlatformError};
use crate::store::identities;

/// Sends somebody to sign in, in that organisation if it is known which, and back to a path of ours afterwards.
pub(crate) fn ask<S>(org: Option<&OrgName>, return_to: &str) -> Response<Body<S>> {
    see_other(&ReturnTo::or_account(Some(return_to)).from(&page_of(org)))
}

/// Serves one request.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    path: &[&str],
) -> Response<Body<P::Stream>> {
    let now = platform.now();
    let peer = request.extensions().get::<Peer>().map(|peer| Who::peer(peer.0));
    if let Some(peer) = &peer
        && let Err(often) = gateway.limits.ask(now, Class::SignIn, peer)
    {
        let why = "Too many attempts to sign in from your network failed. Wait a little, then try again.";
        let mut response = message(StatusCode::TOO_MANY_REQUESTS, "Not now", why);
        often.mark(&mut response);
        return response;
    }
    let response = dispatch(gateway, platform, request, path).await;
    // Only attempts that fail are counted.
    if let Some(peer) = peer
        && response.status().is_client_error()
    {
        gateway.limits.charge(now, Class::SignIn, peer);
    }
    response
}

async fn dispatch<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    path: &[&str],
) -> Response<Body<P::Stream>> {
    match (request.method(), path) {
        (_, ["link", token]) if token.starts_with("ambit_") => {
            Box::pin(link::serve(gateway, platform, request, token)).await
        }
        (&Method::GET, []) => which(request),
        (&Method::GET, [org]) => {
            ways_in(gateway, platform, request, org).await.unwrap_or_else(|error| unavailable(&error))
        }
        (&Method::POST, [org, "passkey"]) => Box::pin(passkey::serve(gateway, platform, request, org)).await,
        (&Method::GET, [org, idp]) => Box::pin(provider::leave(gateway, platform, request, (org, idp))).await,
        (&Method::GET, [org, idp, "callback"]) => {
            Box::pin(provider::come_back(gateway, platform, request, (org, idp))).await
        }
        _ => message(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            "Open the link that you were given again.",
        ),
    }
}

/// A member of a query; nothing if it is there twice.
pub(super) fn asked(request: &Request<Bytes>, name: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    let mut values = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(other, _)| other == name)
        .map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}

/// Asks for the organisation.
fn which<S>(request: &Request<Bytes>) -> Response<Body<S>> {
    let return_to = ReturnTo::or_account(asked(request, "return_to").as_deref());
    let org = asked(request, "org");
    let why = match org.as_deref().map(OrgName::parse) {
        Some(Ok(org)) => return see_other(&return_to.from(&page_of(Some(&org)))),
        Some(Err(error)) => Some(error.to_string()),
        None => None,
    };
    let body = html! {
        h1 { "Sign in" }
        p { "Which organisation do you belong to? Its name is in the address of each of its toolboxes: " code { "/mcp/{organisation}/{toolbox}" } "." }
        @if let Some(why) = &why { p.alert #why role="alert" { (why) } }
        form method="get" action="/sign-in" {
            label for="org" { "Organisation" }
            input #org name="org" value=[org.as_deref()] autocomplete="organization" autocapitalize="none" spellcheck="false" required
                aria-describedby=[why.as_ref().map(|_| "why")];
            input type="hidden" name="return_to" value=(return_to.as_str());
            button { "Continue" }
        }
    };
    page(StatusCode::OK, "Sign in – Ambit", Forms::Own, &body)
}

/// The ways into an organisation. One that is not there looks like one without an identity provider.
async fn ways_in<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    org: &str,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let Ok(org) = OrgName::parse(org) else {
        let why = "Look at its name once more.";
        return Ok(message(StatusCode::NOT_FOUND, "There is no such organisation", why));
    };
    let return_to = ReturnTo::or_account(asked(request, "return_to").as_deref());
    let providers = identities::providers(platform, &org).await?;
    let passkey = passkey::form(gateway, platform, &org, &return_to);
    let body = html! {
        h1 { "Sign in to " (org) }
        @if !providers.is_empty() {
            ul.ways {
                @for provider in &providers {
                    li { a.button href=(return_to.from(&format!("/sign-in/{org}/{}", provider.name))) { "Sign in with " (provider.name) } }
                }
            }
            p { "Or open the one-time link that you were given." }
        } @else {
            p { "You need a one-time link: an owner of the organisation, or whoever runs this gateway, can make one for you." }
        }
        @if let Some((form, _)) = &passkey { (form) }
        p { a href=(return_to.from("/sign-in")) { "Another organisation" } }
    };
    let forms = if passkey.is_some() { Forms::OwnScripted } else { Forms::Own };
    let mut response = page(StatusCode::OK, "Sign in – Ambit", forms, &body);
    if let Some((_, cookie)) = passkey {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The answer to somebody who has just signed in.
fn welcome<S>(platform: &impl Platform, new: &New, to: &ReturnTo) -> Response<Body<S>> {
    let mut response = see_other(to.as_str());
    if let Some(cookie) = new.cookie(platform.now()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
