//! The page before somebody leaves for a provider, or enters a key: who asks, for what, and what that lets them do. Nothing is made, and
//! nobody is sent anywhere, before the person says so here.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use maud::{Markup, html};

use super::{At, field, forged, is_own};
use crate::body::Body;
use crate::broker::Credential;
use crate::broker::connect::{self, Brought, ConnectError, Kept, Who};
use crate::broker::provider::profile::Way;
use crate::broker::provider::{Provider, account};
use crate::platform::{Platform, PlatformError};
use crate::routes::page::{Forms, page, see_other};
use crate::routes::visible;
use crate::secret::Secret;

/// No key or password is longer, in bytes.
const LONGEST: usize = 8 * 1024;

/// The page.
pub(super) async fn show<P: Platform>(at: &At<'_, P>) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if at.ticket.used {
        return Ok(see_other(&format!("/connect/{}/done", at.ticket.id)));
    }
    let Some(row) = at.row().await? else { return Ok(super::not_yours()) };
    match Provider::plain(at.gateway, &row) {
        Ok(provider) => Ok(question(at, &provider, origin(&row, &provider).as_deref(), None)),
        Err(error) => at.refuse("connect.leave", &error.into()).await,
    }
}

/// Where the form leads, as far as that is known before the provider is asked anything.
fn origin(row: &crate::store::providers::Provider, provider: &Provider) -> Option<String> {
    let discovered: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&row.discovered).unwrap_or_default();
    let found = discovered.get("authorize").and_then(serde_json::Value::as_str);
    let url = found.unwrap_or(&provider.endpoints.authorize);
    let url = if url.is_empty() {
        provider.values.get(provider.profile, "issuer").unwrap_or_default()
    } else {
        url
    };
    url::Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

fn question<P: Platform>(
    at: &At<'_, P>,
    provider: &Provider,
    origin: Option<&str>,
    why: Option<&str>,
) -> Response<Body<P::Stream>> {
    let title = provider.title();
    let body = html! {
        h1 { "Connect " (title) "?" }
        (who_asks(at))
        (what_for(at, provider))
        p { "For " strong { (visible(at.signed.person.facts.name.as_str())) } " in " strong { (at.ticket.org.name) } ". What agents may do with the account stands in the policies of the organisation; every use is on record, and you can disconnect it at " a href="/account/connections" { "your accounts" } "." }
        @if let Some(why) = why { p.alert #why role="alert" { (visible(why)) } }
        form method="post" action={ "/connect/" (at.ticket.id) } {
            input type="hidden" name="token" value=(at.signed.form_token(&at.gateway.vault));
            (fields(provider, why))
            button.yes name="decision" value="connect" {
                @if provider.profile.way == Way::Oauth { "Continue to " (title) } @else { "Connect" }
            }
            button name="decision" value="no" formnovalidate { "No" }
        }
    };
    let forms = match origin.filter(|_| provider.profile.way == Way::Oauth) {
        // Browsers hold the redirect that answers a form to the same rule as the form.
        Some(origin) => Forms::OwnThen(origin.to_owned()),
        None => Forms::Own,
    };
    let status = if why.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    page(status, &format!("Connect {title}? – Ambit"), forms, &body)
}

fn who_asks<P: Platform>(at: &At<'_, P>) -> Markup {
    let ticket = &at.ticket;
    html! {
        @match &ticket.agent {
            Some(agent) => dl {
                dt { "Asked by agent" } dd { (agent) }
                @if let Some(tool) = &ticket.tool { dt { "To call" } dd { code { (visible(tool)) } } }
                @if let Some(server) = &ticket.server { dt { "Of server" } dd { (server) } }
            },
            None => p { "You asked for this yourself." },
        }
    }
}

/// What the account lets its users do, in words.
fn what_for<P: Platform>(at: &At<'_, P>, provider: &Provider) -> Markup {
    let all: std::collections::BTreeSet<&String> = provider.scopes.union(&at.ticket.scopes).collect();
    let words: Vec<&str> = all.iter().map(|scope| provider.profile.words_for(scope)).collect();
    html! {
        @if provider.profile.way == Way::Oauth && !words.is_empty() {
            h2 #may { (provider.profile.title) " will be asked to let Ambit" }
            ul aria-labelledby="may" { @for word in words { li { (visible(word)) } } }
        }
        @match at.ticket.aim.sharing {
            crate::broker::Sharing::Personal => {},
            _ => p.alert { "You share this account: others of your organisation act on it, too." },
        }
    }
}

/// What a person enters, where the provider has no page of its own for that.
fn fields(provider: &Provider, why: Option<&str>) -> Markup {
    let described = why.map(|_| "why");
    let help = provider.values.get(provider.profile, "help");
    html! {
        @match provider.profile.way {
            Way::Oauth => {},
            Way::Key => {
                label for="key" { "Key" }
                input #key type="password" name="key" autocomplete="off" spellcheck="false" required aria-describedby=[described];
            },
            Way::Basic => {
                label for="username" { "User name" }
                input #username name="username" autocomplete="off" spellcheck="false" required aria-describedby=[described];
                label for="password" { "Password" }
                input #password type="password" name="password" autocomplete="off" required;
            },
        }
        @if let Some(help) = help.filter(|_| provider.profile.way != Way::Oauth) {
            p { a href=(help) rel="noreferrer" { "Where to find it" } }
        }
    }
}

/// What the person said.
pub(super) async fn go<P: Platform>(
    at: &At<'_, P>,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    if !is_own(at, request) {
        return forged(at).await;
    }
    if at.ticket.used {
        return Ok(see_other(&format!("/connect/{}/done", at.ticket.id)));
    }
    if field(request, "decision").as_deref() != Some("connect") {
        let error = ConnectError::Answer("you said no, and nothing was asked of the provider".to_owned());
        return at.refuse("connect.leave", &error).await;
    }
    let Some(row) = at.row().await? else { return Ok(super::not_yours()) };
    let provider = match at.provider(&row).await? {
        Ok(provider) => provider,
        Err(response) => return Ok(response),
    };
    let who = Who::from(at.signed);
    if provider.profile.way != Way::Oauth {
        return entered(at, &provider, &who, request).await;
    }
    match connect::leave(at.gateway, at.platform, &at.ticket, &provider, &who).await {
        Ok(left) => {
            let mut response = see_other(left.url.as_str());
            response.headers_mut().append(header::SET_COOKIE, left.cookie);
            Ok(response)
        }
        Err(ConnectError::Platform(error)) => Err(error),
        Err(error) => at.refuse("connect.leave", &error).await,
    }
}

/// Takes a key or password, if the provider does.
async fn entered<P: Platform>(
    at: &At<'_, P>,
    provider: &Provider,
    who: &Who<'_>,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let (name, username) = match provider.profile.way {
        Way::Basic => ("password", field(request, "username").map(|name| name.trim().to_owned())),
        Way::Key | Way::Oauth => ("key", None),
    };
    let secret = field(request, name).unwrap_or_default();
    // A colon would end a user name early (RFC 7617 §2).
    let named = provider.profile.way != Way::Basic
        || username.as_ref().is_some_and(|name| !name.is_empty() && !name.contains(':'));
    let plain = !secret.is_empty() && secret.len() <= LONGEST && !secret.chars().any(char::is_control);
    if !named || !plain {
        let why = "It is empty, too long, or holds what can't be sent. A user name has no colon.";
        return Ok(question(at, provider, None, Some(why)));
    }
    let secret = if provider.profile.way == Way::Key { secret.trim().to_owned() } else { secret };
    let credential = Credential {
        access: Secret::new(secret),
        refresh: None,
        issued_at: at.platform.now(),
        expires_at: None,
        // What a key may do nobody tells: it is taken for what was needed when its person entered it.
        scopes: provider.scopes.union(&at.ticket.scopes).cloned().collect(),
        fields: account::entered(username.as_deref()),
    };
    let identity = match account::check_entered(at.gateway, at.platform, provider, &credential).await {
        Ok(identity) => identity,
        Err(error) => {
            let error = ConnectError::Account(error);
            at.refuse("connect.enter", &error).await?;
            return Ok(question(at, provider, None, Some(&super::told(&error))));
        }
    };
    let brought = Brought { identity, credential };
    match connect::keep(at.gateway, at.platform, (&at.ticket, provider), who, &brought, None).await {
        Ok(Kept::Connected | Kept::Another) => Ok(see_other(&format!("/connect/{}/done", at.ticket.id))),
        Err(ConnectError::Platform(error)) => Err(error),
        Err(error) => at.refuse("connect.keep", &error).await,
    }
}
