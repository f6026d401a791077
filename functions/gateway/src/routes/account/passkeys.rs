//! The passkeys on a person's own page: which there are, and how to register another.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::HeaderValue};
use maud::{Markup, html};
use schemas::ids::Timestamp;

use super::{about, ago, field};
use crate::Gateway;
use crate::audit;
use crate::body::Body;
use crate::identity::passkey::{self, Challenge, Response as Answer};
use crate::identity::session::Signed;
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{message, see_other};
use crate::routes::visible;
use crate::store::passkeys;

/// The empty fields that the script fills in.
pub(crate) fn fields() -> Markup {
    html! {
        @for name in ["id", "client_data", "authenticator_data", "public_key", "signature"] {
            input type="hidden" name=(name);
        }
    }
}

/// What a form of ours brings, and where its sender goes next.
pub(crate) fn sent(body: &Bytes) -> (Answer, Option<String>) {
    let (mut answer, mut return_to) = (Answer::default(), None);
    for (name, value) in url::form_urlencoded::parse(body) {
        match name.as_ref() {
            "id" => answer.id = value.into_owned(),
            "client_data" => answer.client_data = value.into_owned(),
            "authenticator_data" => answer.authenticator_data = value.into_owned(),
            "public_key" => answer.public_key = value.into_owned(),
            "signature" => answer.signature = value.into_owned(),
            "return_to" => return_to = Some(value.into_owned()),
            _ => {}
        }
    }
    (answer, return_to)
}

fn place(signed: &Signed) -> String {
    format!("passkey\ncreate\n{}", signed.id)
}

/// The section of the page, and the cookie of its challenge. Nothing where there can be no passkeys: at a bare IP address.
pub(super) fn section<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    all: &[(String, String, Timestamp)],
) -> Option<(Markup, HeaderValue)> {
    let party = gateway.settings.relying_party()?;
    let challenge = Challenge::new(platform);
    let cookie = challenge.cookie(platform, &gateway.vault, &place(signed))?;
    let (token, facts) = (signed.form_token(&gateway.vault), &signed.person.facts);
    let name = format!("{} ({})", facts.name, facts.org.name);
    let section = html! {
        h2 { "Passkeys" }
        ul.list {
            @for (hash, browser, since) in all {
                li {
                    p { (visible(browser)) br; small { "registered " (ago(*since, platform.now())) } }
                    form method="post" action="/account/passkeys/remove" {
                        input type="hidden" name="token" value=(token);
                        button name="passkey" value=(hash) { "Remove" }
                    }
                }
            }
        }
        form method="post" action="/account/passkeys" hidden data-passkey="create" data-challenge=(challenge.value)
            data-party=(party) data-user=(signed.user_id) data-name=(name) {
            input type="hidden" name="token" value=(token);
            (fields())
            button { "Register a passkey" }
            output role="alert" {}
        }
    };
    Some((section, cookie))
}

/// Registers one.
pub(super) async fn register<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let now = platform.now();
    let (answer, _) = sent(request.body());
    let registered = Challenge::resume(&gateway.vault, request.headers(), &place(signed), now)
        .and_then(|challenge| Ok((answer.register(&gateway.settings, &challenge)?, challenge)));
    let (registered, challenge) = match registered {
        Ok(registered) => registered,
        Err(refused) => return Ok(not_registered(&refused.to_string())),
    };
    let hash = passkey::hash(&answer.id);
    if !crate::store::clients::burn(platform, "passkey", &challenge.value, challenge.until).await? {
        return Ok(not_registered(&passkey::Refused::Challenge.to_string()));
    }
    let browser = crate::identity::session::browser(request.headers());
    let (key, counter) = (registered.public_key.as_str(), registered.counter);
    let added = passkeys::add(&hash, &signed.user_id, key, counter, &browser, now);
    let what = format!("`{}` registered a passkey", signed.person.facts.name);
    let note = audit::note_statement(platform, &about(signed, "passkey.add"), what, None)?;
    platform.sql(Batch::write([added, note])).await?;
    Ok(see_other("/account"))
}

fn not_registered<S>(why: &str) -> Response<Body<S>> {
    message(StatusCode::FORBIDDEN, "The passkey is not registered", why)
}

/// Nobody signs in with it any more.
pub(super) async fn remove<P: Platform>(
    platform: &P,
    signed: &Signed,
    request: &Request<Bytes>,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let hash = field(request, "passkey").unwrap_or_default();
    let what = format!("`{}` removed a passkey", signed.person.facts.name);
    let note = audit::note_statement(platform, &about(signed, "passkey.remove"), what, None)?;
    platform.sql(Batch::write([passkeys::remove(&signed.user_id, &hash), note])).await?;
    Ok(see_other("/account"))
}
