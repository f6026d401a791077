//! `POST /sign-in/{org}/passkey`: signs a person in by a passkey that they registered on their own page.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::HeaderValue};
use maud::{Markup, html};
use schemas::audit::Actor;
use schemas::names::OrgName;

use super::return_to::ReturnTo;
use super::welcome;
use crate::Gateway;
use crate::audit::{self, About};
use crate::body::Body;
use crate::identity::passkey::{self, Challenge, Refused};
use crate::identity::session::New;
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::account::passkeys::{fields, sent};
use crate::routes::page::{message, unavailable};
use crate::store::{clients, passkeys, sessions};

fn place(org: &OrgName) -> String {
    format!("passkey\nget\n{org}")
}

/// The form that asks for one, and the cookie of its challenge. Nothing where there can be no passkeys: at a bare IP address.
pub(super) fn form<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    org: &OrgName,
    return_to: &ReturnTo,
) -> Option<(Markup, HeaderValue)> {
    let party = gateway.settings.relying_party()?;
    let challenge = Challenge::new(platform);
    let cookie = challenge.cookie(platform, &gateway.vault, &place(org))?;
    let form = html! {
        form method="post" action={ "/sign-in/" (org) "/passkey" } hidden data-passkey="get" data-challenge=(challenge.value) data-party=(party) {
            input type="hidden" name="return_to" value=(return_to.as_str());
            (fields())
            button.yes { "Sign in with a passkey" }
            output role="alert" {}
        }
    };
    Some((form, cookie))
}

/// Takes the form.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    org: &str,
) -> Response<Body<P::Stream>> {
    let Ok(org) = OrgName::parse(org) else {
        return message(
            StatusCode::NOT_FOUND,
            "There is no such organisation",
            "Look at its name once more.",
        );
    };
    if !gateway.settings.is_own_form(request.headers()) {
        let why = "Only the button on the sign-in page can be used here. Open it again.";
        return message(StatusCode::FORBIDDEN, "This was not sent by our own page", why);
    }
    match sign_in(gateway, platform, request, &org).await {
        Ok(Ok(response)) => response,
        Ok(Err(refused)) => message(StatusCode::FORBIDDEN, "You are not signed in", &refused.to_string()),
        Err(error) => unavailable(&error),
    }
}

async fn sign_in<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    org: &OrgName,
) -> Result<Result<Response<Body<P::Stream>>, Refused>, PlatformError> {
    let (now, headers) = (platform.now(), request.headers());
    let challenge = match Challenge::resume(&gateway.vault, headers, &place(org), now) {
        Ok(challenge) => challenge,
        Err(refused) => return Ok(Err(refused)),
    };
    let (answer, return_to) = sent(request.body());
    let hash = passkey::hash(&answer.id);
    let Some(found) = passkeys::find(platform, org, &hash).await? else { return Ok(Err(Refused::Unknown)) };
    let about = About {
        org: found.user.org.id.clone(),
        actor: Actor { agent: None, user: Some(found.user.name.clone()), credential: "passkey".to_owned() },
        method: "session.open".to_owned(),
        subject: None,
        arguments: None,
        traceparent: None,
    };
    let known = (found.public_key.as_str(), found.counter);
    let counter = match answer.verify(platform, &gateway.settings, &challenge, known).await {
        Ok(counter) => counter,
        Err(refused) => {
            audit::refuse(platform, &about, &refused.to_string()).await?;
            return Ok(Err(refused));
        }
    };
    // The challenge is good once, and so is the counter; then the session is opened.
    if !clients::burn(platform, "passkey", &challenge.value, challenge.until).await? {
        return Ok(Err(Refused::Challenge));
    }
    let used = passkeys::used(&hash, (found.counter, counter), now);
    if platform.sql(Batch::write([used])).await?.first().is_none_or(Vec::is_empty) {
        return Ok(Err(Refused::Copied));
    }
    let new = New::of(platform, headers);
    let mut statements = sessions::open(&new.opening("passkey"), &found.user_id, now);
    let what = format!("{}: `{}` signed in with a passkey", new.id, found.user.name);
    statements.push(audit::opened_statement(platform, &about, what, &new.id)?);
    let results = platform.sql(Batch::write(statements)).await?;
    if results.first().is_none_or(Vec::is_empty) {
        return Ok(Err(Refused::Unknown));
    }
    Ok(Ok(welcome(platform, &new, &ReturnTo::or_account(return_to.as_deref()))))
}
