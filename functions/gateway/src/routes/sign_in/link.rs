//! `/sign-in/link/{token}`: signs a person in, once. Looking at the link does not use it up, because mail scanners look at links too;
//! the button on its page does.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use maud::html;
use schemas::audit::Actor;

use super::return_to::ReturnTo;
use super::{asked, welcome};
use crate::Gateway;
use crate::audit::{self, About};
use crate::body::Body;
use crate::identity::link;
use crate::identity::session::New;
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{Forms, message, page, unavailable};
use crate::routes::visible;
use crate::store::sessions;

/// The page, or its button.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    token: &str,
) -> Response<Body<P::Stream>> {
    let answered = if request.method() == Method::GET {
        show(platform, token).await
    } else if gateway.settings.is_own_form(request.headers()) {
        sign_in(platform, request, token).await
    } else {
        let why = "Only the button on this page can be used here. Open the link again.";
        return message(StatusCode::FORBIDDEN, "This was not sent by our own page", why);
    };
    answered.unwrap_or_else(|error| unavailable(&error))
}

async fn show<P: Platform>(platform: &P, token: &str) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let user = match link::hash(token) {
        Some(hash) => sessions::link(platform, &hash).await?,
        None => None,
    };
    let Some(user) = user else { return Ok(used_up()) };
    let body = html! {
        h1 { "Sign in" }
        p { "This link signs you in, once." }
        dl {
            dt { "As" } dd { (visible(user.name.as_str())) }
            dt { "Organisation" } dd { (user.org.name) }
        }
        form method="post" { button.yes { "Sign in as " (visible(user.name.as_str())) } }
        p { "Not you? Close this page: whoever uses the link acts in that name." }
    };
    Ok(page(StatusCode::OK, "Sign in – Ambit", Forms::Own, &body))
}

async fn sign_in<P: Platform>(
    platform: &P,
    request: &Request<Bytes>,
    token: &str,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let Some(hash) = link::hash(token) else { return Ok(used_up()) };
    let Some(user) = sessions::link(platform, &hash).await? else { return Ok(used_up()) };
    let new = New::of(platform, request.headers());
    let mut statements = sessions::open_by_link(&new.opening("link"), &hash, platform.now());
    let about = About {
        org: user.org.id.clone(),
        actor: Actor { agent: None, user: Some(user.name.clone()), credential: "link".to_owned() },
        method: "session.open".to_owned(),
        subject: None,
        arguments: None,
        traceparent: None,
    };
    let what = format!("{}: `{}` signed in with a one-time link", new.id, user.name);
    statements.push(audit::opened_statement(platform, &about, what, &new.id)?);
    let results = platform.sql(Batch::write(statements)).await?;
    // The second statement opened it, if the link was not used meanwhile.
    if results.get(1).is_none_or(Vec::is_empty) {
        return Ok(used_up());
    }
    Ok(welcome(platform, &new, &ReturnTo::or_account(asked(request, "return_to").as_deref())))
}

fn used_up<S>() -> Response<Body<S>> {
    let why = "It was used, or a day has passed, or it is not whole. Ask for another one.";
    message(StatusCode::NOT_FOUND, "This link signs nobody in", why)
}
