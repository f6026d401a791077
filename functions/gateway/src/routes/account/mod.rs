//! `/account`: who I am here, where I am signed in, and how to end that.

mod connections;
mod connections_page;
pub(super) mod passkeys;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use maud::{Markup, html};
use schemas::ids::{SessionId, Timestamp};
use schemas::names::{RoleName, TeamName};

use crate::Gateway;
use crate::audit::{self, About};
use crate::body::Body;
use crate::identity::session::{Signed, no_cookie, signed};
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{Forms, message, page, see_other, unavailable};
use crate::routes::{programs, sign_in, visible};
use crate::store;
use crate::store::authorizations;
use crate::store::identities::{self, IdentityProvider};
use crate::store::sessions::{self, Listed};

/// The page, or one of its forms.
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
        let back = if path.first() == Some(&"connections") { "/account/connections" } else { "/account" };
        return Ok(sign_in::ask(None, back));
    };
    match (request.method(), path) {
        (&Method::GET, []) => {
            let mut response = show(gateway, platform, &signed).await?;
            if let Some(cookie) = signed.renew(platform).await? {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        (&Method::GET, ["connections"]) => {
            let mut response = connections::show(gateway, platform, &signed).await?;
            if let Some(cookie) = signed.renew(platform).await? {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        (&Method::POST, ["sign-out" | "link" | "unlink" | "let-out" | "passkeys" | "connections", ..])
            if !is_own(gateway, &signed, request) =>
        {
            let why = "Only the buttons on your own page can be used here. Open /account again.";
            Ok(message(StatusCode::FORBIDDEN, "This was not sent by our own page", why))
        }
        (&Method::POST, ["sign-out"]) => sign_out(platform, &signed, request).await,
        (&Method::POST, ["link"]) => {
            let idp = field(request, "provider").unwrap_or_default();
            sign_in::to_link(gateway, platform, &signed, &idp).await
        }
        (&Method::POST, ["passkeys"]) => passkeys::register(gateway, platform, &signed, request).await,
        (&Method::POST, ["passkeys", "remove"]) => passkeys::remove(platform, &signed, request).await,
        (&Method::POST, ["connections", what]) => {
            connections::take(gateway, platform, &signed, request, what).await
        }
        (&Method::POST, ["unlink"]) => unlink(platform, &signed, request).await,
        (&Method::POST, ["let-out"]) => let_out(platform, &signed, request).await,
        _ => Ok(message(StatusCode::NOT_FOUND, "There is nothing here", "Your own page is /account.")),
    }
}

/// A field of a form; nothing if it is there twice.
fn field(request: &Request<Bytes>, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(request.body())
        .filter(|(other, _)| other == name)
        .map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}

pub(in crate::routes) fn is_own(gateway: &Gateway, signed: &Signed, request: &Request<Bytes>) -> bool {
    signed.takes_form(gateway, request.headers(), &field(request, "token").unwrap_or_default())
}

/// Ends this session, another of the same person, or all of them.
async fn sign_out<P: Platform>(
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let chosen = field(request, "session").unwrap_or_default();
    let (statements, what, ends_this) = if chosen == "all" {
        (sessions::end_all(&signed.user_id).to_vec(), "signed out everywhere".to_owned(), true)
    } else {
        let Ok(id) = SessionId::parse(&chosen) else {
            return Ok(message(StatusCode::BAD_REQUEST, "No such session", "Open /account again."));
        };
        let ends_this = id == signed.id;
        (vec![sessions::end(&signed.user_id, &id)], format!("{id}: signed out"), ends_this)
    };
    let about = about(signed, "session.end");
    let note = audit::note_statement(platform, &about, what, None)?;
    platform.sql(Batch::write(statements.into_iter().chain([note]).collect::<Vec<_>>())).await?;
    if !ends_this {
        return Ok(see_other("/account"));
    }
    let mut response = message(StatusCode::OK, "You are signed out", "You can close this page.");
    response.headers_mut().append(header::SET_COOKIE, no_cookie());
    Ok(response)
}

/// Nobody signs in as this person with that account any more.
async fn unlink<P: Platform>(
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let (issuer, subject) =
        (field(request, "issuer").unwrap_or_default(), field(request, "subject").unwrap_or_default());
    let what = format!("`{}` is not linked to an account at `{issuer}` any more", signed.person.facts.name);
    let note = audit::note_statement(platform, &about(signed, "identity.unlink"), what, None)?;
    platform.sql(Batch::write([identities::unlink(&signed.user_id, &issuer, &subject), note])).await?;
    Ok(see_other("/account"))
}

/// A program does nothing for this person any more, from its next request on.
async fn let_out<P: Platform>(
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let (client, audience) =
        (field(request, "client").unwrap_or_default(), field(request, "audience").unwrap_or_default());
    let what = format!("`{}` let client `{client}` out at {audience}", signed.person.facts.name);
    let note = audit::note_statement(platform, &about(signed, "authorization.end"), what, None)?;
    let ending = authorizations::end_of_user(&signed.user_id, &client, &audience, platform.now());
    platform.sql(Batch::write(ending.into_iter().chain([note]).collect::<Vec<_>>())).await?;
    Ok(see_other("/account"))
}

/// What a person does to their own account, for the trail.
fn about(signed: &Signed, method: &str) -> About {
    About {
        org: signed.person.facts.org.id.clone(),
        actor: signed.person.actor(),
        method: method.to_owned(),
        subject: None,
        arguments: None,
        traceparent: None,
    }
}

async fn show<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let now = platform.now();
    let asked = Batch::read([
        sessions::of_user(&signed.user_id, now),
        identities::of_user(&signed.user_id),
        authorizations::of_user(&signed.user_id, now),
        store::passkeys::of_user(&signed.user_id),
    ]);
    let (results, providers) =
        (platform.sql(asked).await?, identities::providers(platform, &signed.person.facts.org.name).await?);
    let rows = |index: usize| results.get(index).into_iter().flatten();
    let all: Vec<Listed> = rows(0).map(sessions::listed).collect::<Result<_, _>>()?;
    let linked: Vec<(String, String)> = rows(1).map(identities::linked).collect::<Result<_, _>>()?;
    let keys: Vec<_> = rows(3).map(store::passkeys::listed).collect::<Result<_, _>>()?;
    let passkeys = passkeys::section(gateway, platform, signed, &keys);
    let facts = &signed.person.facts;
    let token = signed.form_token(&gateway.vault);
    let programs = match results.get(2) {
        Some(rows) => programs::list(rows, &token, |then| ago(then, now))?,
        None => Markup::default(),
    };
    let listed = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let body = html! {
        h1 { (visible(facts.name.as_str())) }
        dl {
            dt { "Organisation" } dd { (facts.org.name) }
            @if !facts.email.is_empty() { dt { "E-mail" } dd { (visible(&facts.email)) } }
            dt { "Roles" } dd { (listed(facts.roles.iter().map(RoleName::as_str).collect())) }
            dt { "Teams" } dd { (listed(facts.teams.iter().map(TeamName::as_str).collect())) }
        }
        p { a.button href="/account/connections" { "Connected accounts" } }
        @if !(providers.is_empty() && linked.is_empty()) { (accounts(&providers, &linked, &token)) }
        (programs)
        @if let Some((section, _)) = &passkeys { (section) }
        h2 { "Where you are signed in" }
        ul.list {
            @for session in &all { (one(session, signed, &token, now)) }
        }
        form method="post" action="/account/sign-out" {
            input type="hidden" name="token" value=(token);
            button name="session" value="all" { "Sign out everywhere" }
        }
    };
    let forms = if passkeys.is_some() { Forms::OwnScripted } else { Forms::Own };
    let mut response = page(StatusCode::OK, &format!("{} – Ambit", facts.name), forms, &body);
    if let Some((_, cookie)) = passkeys {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Who this person is at identity providers, and where else they could be somebody.
fn accounts(providers: &[IdentityProvider], linked: &[(String, String)], token: &str) -> Markup {
    let known = |issuer: &str| providers.iter().find(|provider| provider.issuer == issuer);
    html! {
        h2 { "How you can sign in" }
        ul.list {
            @for (issuer, subject) in linked {
                li {
                    p {
                        @match known(issuer) {
                            Some(provider) => strong { (provider.name) },
                            None => (issuer),
                        }
                        br;
                        small { "as " (visible(subject)) " at " (issuer) }
                    }
                    form method="post" action="/account/unlink" {
                        input type="hidden" name="token" value=(token);
                        input type="hidden" name="issuer" value=(issuer);
                        input type="hidden" name="subject" value=(subject);
                        button { "Unlink" }
                    }
                }
            }
            @for provider in providers.iter().filter(|provider| !linked.iter().any(|(issuer, _)| *issuer == provider.issuer)) {
                li {
                    p { (provider.name) " " small { "not linked" } }
                    form method="post" action="/account/link" {
                        input type="hidden" name="token" value=(token);
                        button name="provider" value=(provider.name) { "Link " (provider.name) }
                    }
                }
            }
        }
    }
}

fn one(session: &Listed, signed: &Signed, token: &str, now: Timestamp) -> Markup {
    let how = match session.opened_by.strip_prefix("idp:") {
        Some(name) => format!("by {name}"),
        None => format!("with a {}", session.opened_by),
    };
    html! {
        li {
            p {
                @if session.id == signed.id { strong { "This browser" } " · " }
                (if session.browser.is_empty() { "an unknown browser".to_owned() } else { visible(&session.browser) })
                br;
                small { "signed in " (how) " " (ago(session.since, now)) ", used " (ago(session.used, now)) }
            }
            form method="post" action="/account/sign-out" {
                input type="hidden" name="token" value=(token);
                button name="session" value=(session.id) { "Sign out" }
            }
        }
    }
}

/// How long ago something was, in words that are true for a while.
pub(in crate::routes) fn ago(then: Timestamp, now: Timestamp) -> String {
    let minutes = now.0.saturating_sub(then.0) / 60_000;
    match (minutes, minutes / 60, minutes / 60 / 24) {
        (0..15, ..) => "just now".to_owned(),
        (minutes, 0, _) => format!("{minutes} minutes ago"),
        (_, 1, _) => "an hour ago".to_owned(),
        (_, hours, 0) => format!("{hours} hours ago"),
        (_, _, 1) => "a day ago".to_owned(),
        (_, _, days) => format!("{days} days ago"),
    }
}
