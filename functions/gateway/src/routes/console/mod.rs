//! The console's front door: how to connect, and for somebody who is signed in, as whom. It tells nobody what is inside.

pub(super) mod providers;

use http::{HeaderMap, Response, StatusCode, header};
use maud::html;

use crate::Gateway;
use crate::body::Body;
use crate::identity::session::signed;
use crate::platform::{Platform, PlatformError};
use crate::routes::page::{Forms, page, unavailable};
use crate::routes::visible;

/// The page.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    headers: &HeaderMap,
) -> Response<Body<P::Stream>> {
    match front(gateway, platform, headers).await {
        Ok(response) => response,
        Err(error) => unavailable(&error),
    }
}

async fn front<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    headers: &HeaderMap,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let signed = signed(platform, headers).await?;
    let url = &gateway.settings.public_url;
    let containers = if gateway.settings.provisioner_url.is_some() {
        "containers and remote servers"
    } else {
        "remote servers only (no provisioner is set)"
    };
    let person = signed.as_ref().map(|signed| &signed.person.facts);
    let org = person.map_or("{org}", |person| person.org.name.as_str());
    let body = html! {
        h1 { "Ambit" }
        p { "Every agent gets exactly its ambit: this gateway lets agents call tools of MCP servers, each step under a policy decision and on record." }
        @match person {
            Some(person) => p { "You are signed in as " a href="/account" { (visible(person.name.as_str())) } " of " strong { (person.org.name) } "." },
            None => p { a.button.yes href="/sign-in" { "Sign in" } },
        }
        @if person.is_some() {
            p { a href="/account/connections" { "Your connected accounts" } " · " a href="/console/providers" { "Providers" } ", for operators" }
        }
        h2 { "Connect an MCP client" }
        p { "Point it at your toolbox. It asks you to sign in, or send an API key as a bearer token:" }
        pre tabindex="0" { code { (url) "/mcp/" (org) "/{toolbox}" } }
        h2 { "Run it" }
        p { "People, servers, toolboxes, grants and policies are managed at " code { (url) "/api/v1" } ", by whoever the policies let." }
        dl {
            dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) }
            dt { "Serves" } dd { (containers) }
            dt { "MCP revisions" } dd { "2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26" }
        }
    };
    // What depends on who looks is kept by nobody.
    let forms = if signed.is_some() { Forms::Own } else { Forms::None };
    let mut response = page(StatusCode::OK, "Ambit", forms, &body);
    if let Some(signed) = signed
        && let Some(cookie) = signed.renew(platform).await?
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
