//! `/console/providers`: where people of the organisation have accounts, how that goes, and what the doctor finds. For whoever the policies
//! let deploy; everybody else is told that there is nothing.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use maud::{Markup, html};
use schemas::decision::{Action, ContextFacts, DecisionRequest, Principal, ResourceFacts};
use schemas::ids::Timestamp;
use schemas::names::ProviderName;

use crate::Gateway;
use crate::body::Body;
use crate::broker::Standing;
use crate::broker::provider::doctor::{self, Check};
use crate::broker::provider::profile::Profile;
use crate::broker::provider::{redirect_uri, title};
use crate::identity::session::{Signed, signed};
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{Forms, message, page, unavailable};
use crate::routes::{account, sign_in, visible};
use crate::store::providers::{self, Provider};
use crate::store::{accounts, admin};

/// The pages.
pub(in crate::routes) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    path: &[&str],
) -> Response<Body<P::Stream>> {
    Box::pin(answer(gateway, platform, request, path)).await.unwrap_or_else(|error| unavailable(&error))
}

async fn answer<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    path: &[&str],
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let Some(signed) = signed(platform, request.headers()).await? else {
        return Ok(sign_in::ask(None, "/console/providers"));
    };
    if !may_deploy(gateway, platform, &signed).await? {
        return Ok(nothing());
    }
    let mut response = match (request.method(), path) {
        (&Method::GET, []) => list(gateway, platform, &signed).await?,
        (&Method::POST, [name, "doctor"]) => examine(gateway, platform, &signed, request, name).await?,
        _ => return Ok(nothing()),
    };
    if let Some(cookie) = signed.renew(platform).await? {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn nothing<S>() -> Response<Body<S>> {
    message(
        StatusCode::NOT_FOUND,
        "There is nothing here",
        "Not for you, at least. Your own page is /account.",
    )
}

/// Whether the policies let somebody deploy: the same question as at the management API.
async fn may_deploy<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
) -> Result<bool, PlatformError> {
    let facts = &signed.person.facts;
    let Some(org) = admin::org(platform, &facts.org.name).await? else { return Ok(false) };
    let set = gateway.policy_set(platform, &org.policy_set).await;
    let set = set.map_err(|refusal| PlatformError::Database(refusal.to_string()))?;
    let request = DecisionRequest {
        principal: Principal::User(facts.clone()),
        action: Action::Deploy,
        resource: ResourceFacts::Org(facts.org.clone()),
        context: ContextFacts::at(platform.now(), facts.org.clone()),
    };
    Ok(policies::decide(&set, request).is_ok())
}

async fn list<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let (org, now) = (&signed.person.facts.org, platform.now());
    let results = platform.sql(Batch::read([providers::of_org(&org.id), accounts::states(&org.id)])).await?;
    let rows = |index: usize| results.get(index).into_iter().flatten();
    let all: Vec<Provider> = rows(0).map(providers::listed).collect::<Result<_, _>>()?;
    let states: Vec<_> = rows(1).map(accounts::state).collect::<Result<_, _>>()?;
    let count = |provider: &Provider, standing: Standing| {
        let found = states.iter().find(|(name, state, _)| *name == provider.name && *state == standing);
        found.map_or(0, |(_, _, count)| *count)
    };
    let token = signed.form_token(&gateway.vault);
    let body = html! {
        h1 { "Providers" }
        p { "Where people of " strong { (org.name) } " have accounts that agents act on. Set them up with " code { "ambit provider" } "." }
        @if all.is_empty() { p { "None yet: " code { "ambit provider kinds" } " lists what there is." } }
        @for provider in &all {
            section.account {
                h3 { (name_of(provider)) }
                (trouble(provider, now))
                dl {
                    dt { "Connected accounts" } dd { (count(provider, Standing::Active)) }
                    dt { "To be connected again" } dd { (count(provider, Standing::NeedsReconnect)) }
                    dt { "Client" } dd { @if provider.client_id.is_empty() { "none" } @else { code { (visible(&provider.client_id)) } } }
                    dt { "Redirect URI" } dd { code { (redirect_uri(gateway, &org.name, &provider.name)) } }
                }
                form method="post" action={ "/console/providers/" (provider.name) "/doctor" } {
                    input type="hidden" name="token" value=(token);
                    button { "Examine " (provider.name) }
                }
            }
        }
        p { a href="/console" { "Console" } }
    };
    Ok(page(StatusCode::OK, "Providers – Ambit", Forms::Own, &body))
}

fn name_of(provider: &Provider) -> String {
    Profile::find(&provider.kind)
        .map_or_else(|| provider.name.to_string(), |profile| title(profile, &provider.name))
}

fn trouble(provider: &Provider, now: Timestamp) -> Markup {
    html! {
        @if let Some((why, at)) = &provider.trouble {
            p.alert role="status" { (visible(why)) " (" (account::ago(*at, now)) ")" }
        }
    }
}

/// What the doctor finds. It asks the provider, so it takes a form.
async fn examine<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
    name: &str,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if !account::is_own(gateway, signed, request) {
        let why = "Only the buttons on the page itself can be used here. Open /console/providers again.";
        return Ok(message(StatusCode::FORBIDDEN, "This was not sent by our own page", why));
    }
    let found = match ProviderName::parse(name) {
        Ok(name) => providers::find(platform, &signed.person.facts.org.name, &name).await?,
        Err(_) => None,
    };
    let Some(provider) = found else { return Ok(nothing()) };
    let checks = doctor::examine(gateway, platform, &provider).await;
    let body = html! {
        h1 { (name_of(&provider)) }
        @if checks.iter().all(|check| check.ok != Some(false)) {
            p { "Nothing is wrong that can be seen from here." }
        }
        ul.list { @for check in &checks { (one(check)) } }
        p { a href="/console/providers" { "All providers" } }
    };
    Ok(page(StatusCode::OK, &format!("{} – Ambit", name_of(&provider)), Forms::Own, &body))
}

fn one(check: &Check) -> Markup {
    let (word, wrong) = match check.ok {
        Some(true) => ("well", false),
        Some(false) => ("wrong", true),
        None => ("see for yourself", false),
    };
    html! {
        li {
            div {
                strong { (check.name) } ": " (word)
                p { (visible(&check.found)) }
                @if !check.fix.is_empty() { p.alert[wrong] { "Do: " (visible(&check.fix)) } }
            }
        }
    }
}
