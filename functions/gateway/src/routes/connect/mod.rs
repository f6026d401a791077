//! `/connect`: a person connects an account. The ticket in the address says for what, and works for its person alone; whoever else comes is
//! told the same as if there were none.

mod another;
mod callback;
mod done;
mod interstitial;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use maud::html;
use schemas::audit::Actor;
use schemas::ids::TicketId;
use schemas::names::{OrgName, ProviderName};

use crate::Gateway;
use crate::audit;
use crate::body::Body;
use crate::broker::connect::{ConnectError, about};
use crate::broker::provider::token::TokenError;
use crate::broker::provider::{Provider, ProviderError, client_document};
use crate::identity::session::{Signed, signed};
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{Forms, message, page, unavailable};
use crate::routes::{sign_in, visible};
use crate::store::providers;
use crate::store::tickets::{self, Ticket};

/// Serves one request.
pub(super) async fn serve<P: Platform>(
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
    match (request.method(), path) {
        (&Method::GET, [org, provider, "client.json"]) => Ok(own_document(gateway, org, provider)),
        (&Method::GET, [org, provider, "callback"]) => {
            callback::come_back(gateway, platform, request, (org, provider)).await
        }
        (method, [ticket, rest @ ..]) => {
            let Some(signed) = signed(platform, request.headers()).await? else {
                return Ok(sign_in::ask(None, &format!("/connect/{}", path.join("/"))));
            };
            let found = match TicketId::parse(ticket) {
                Ok(id) => tickets::find(platform, &id).await?,
                Err(_) => None,
            };
            let Some(ticket) = own(platform, &signed, found).await? else { return Ok(not_yours()) };
            let at = At { gateway, platform, signed: &signed, ticket };
            let mut response = match (method, rest) {
                (&Method::GET, []) => interstitial::show(&at).await?,
                (&Method::POST, []) => interstitial::go(&at, request).await?,
                (&Method::GET, ["done"]) => done::show(&at).await?,
                (&Method::GET, ["another"]) => another::ask(&at).await?,
                (&Method::POST, ["another"]) => another::take(&at, request).await?,
                _ => return Ok(nothing()),
            };
            if let Some(cookie) = signed.renew(platform).await? {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        _ => Ok(nothing()),
    }
}

/// A person at a ticket of their own.
struct At<'a, P: Platform> {
    gateway: &'a Gateway,
    platform: &'a P,
    signed: &'a Signed,
    ticket: Ticket,
}

impl<P: Platform> At<'_, P> {
    /// The provider, ready to be asked; or the page that says why not.
    async fn provider(
        &self,
        row: &providers::Provider,
    ) -> Result<Result<Provider, Response<Body<P::Stream>>>, PlatformError> {
        match Provider::prepare(self.gateway, self.platform, row, &self.ticket.scopes).await {
            Ok((provider, keep)) => {
                if let Some(keep) = keep {
                    self.platform.sql(Batch::write([keep])).await?;
                }
                Ok(Ok(provider))
            }
            Err(ProviderError::Platform(error)) => Err(error),
            Err(error) => self.refuse("connect.leave", &error.into()).await.map(Err),
        }
    }

    async fn row(&self) -> Result<Option<providers::Provider>, PlatformError> {
        providers::by_id(self.platform, &self.ticket.provider).await
    }

    /// Puts a refusal on record, and says it.
    async fn refuse(
        &self,
        method: &str,
        error: &ConnectError,
    ) -> Result<Response<Body<P::Stream>>, PlatformError> {
        refuse(self.platform, self.signed, &self.ticket, method, error).await
    }
}

/// Puts a refusal on record, for operators too if it is theirs to mend, and says it.
async fn refuse<P: Platform>(
    platform: &P,
    signed: &Signed,
    ticket: &Ticket,
    method: &str,
    error: &ConnectError,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    // Refusals of the policies are on record with their decision.
    if !matches!(error, ConnectError::Denied(_)) {
        let about = about(&ticket.org, signed.person.actor(), method, Some(ticket));
        audit::refuse(platform, &about, &format!("{}: {error}", ticket.id)).await?;
    }
    if error.is_trouble() {
        let note = providers::note_trouble(&ticket.provider, Some(&error.to_string()), platform.now());
        platform.sql(Batch::write([note])).await?;
    }
    Ok(not_connected(StatusCode::FORBIDDEN, &format!("/connect/{}", ticket.id), &told(error)))
}

/// What a person is told: of what only operators can mend, no details.
fn told(error: &ConnectError) -> String {
    if matches!(error, ConnectError::Provider(_) | ConnectError::Token(TokenError::Ours(_))) {
        return "The provider is not set up well. Tell whoever runs this gateway; they find more with `ambit provider doctor`."
            .to_owned();
    }
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{text}.")
}

/// A ticket that is this person's, and good. Whoever shows another's leaves a trace where it belongs.
async fn own<P: Platform>(
    platform: &P,
    signed: &Signed,
    found: Option<Ticket>,
) -> Result<Option<Ticket>, PlatformError> {
    let Some(ticket) = found else { return Ok(None) };
    let here = ticket.org.id == signed.person.facts.org.id;
    if here && ticket.user == signed.user_id {
        let good = ticket.used || platform.now() < ticket.expires_at;
        return Ok(good.then_some(ticket));
    }
    let actor = if here {
        signed.person.actor()
    } else {
        Actor { agent: None, user: None, credential: "session of another organisation".to_owned() }
    };
    let about = about(&ticket.org, actor, "connect.user_mismatch", Some(&ticket));
    audit::refuse(platform, &about, &format!("{}: it is somebody else's", ticket.id)).await?;
    Ok(None)
}

/// The same for everybody whose link it is not, or not any more.
fn not_yours<S>() -> Response<Body<S>> {
    let body = html! {
        h1 { "This link is not for you, or not any more" }
        p { "A link to connect an account works for one person, for ten minutes. If you were asked to open it, let the agent make its call again and open the new link. If somebody sent it to you: it would have connected your account for them." }
        p { a href="/account/connections" { "Your own accounts" } }
    };
    page(StatusCode::FORBIDDEN, "Not for you – Ambit", Forms::Own, &body)
}

fn nothing<S>() -> Response<Body<S>> {
    message(StatusCode::NOT_FOUND, "There is nothing here", "Your own accounts are at /account/connections.")
}

/// The page that says why nothing is connected.
fn not_connected<S>(status: StatusCode, again: &str, why: &str) -> Response<Body<S>> {
    let body = html! {
        h1 { "The account is not connected" }
        p.alert role="alert" { (visible(why)) }
        p { a.button href=(again) { "Start again" } " " a href="/account/connections" { "Your accounts" } }
    };
    page(status, "Not connected – Ambit", Forms::Own, &body)
}

/// Our own Client ID Metadata Document, for authorization servers of MCP servers. It is the same for every well-formed name, so it tells
/// nobody what there is.
fn own_document<S>(gateway: &Gateway, org: &str, provider: &str) -> Response<Body<S>> {
    let (Ok(org), Ok(provider)) = (OrgName::parse(org), ProviderName::parse(provider)) else {
        return nothing();
    };
    let document = client_document(gateway, &org, &provider);
    let mut response = Response::new(Body::Whole(document.to_string().into()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A field of a form; nothing if it is there twice.
fn field(request: &Request<Bytes>, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(request.body())
        .filter(|(other, _)| other == name)
        .map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}

fn is_own<P: Platform>(at: &At<'_, P>, request: &Request<Bytes>) -> bool {
    let token = field(request, "token").unwrap_or_default();
    at.signed.takes_form(at.gateway, request.headers(), &token)
}

/// The page for a form that no page of ours made for this session.
async fn forged<P: Platform>(at: &At<'_, P>) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let error = ConnectError::Answer("this was not sent by our own page".to_owned());
    at.refuse("connect.form", &error).await
}
