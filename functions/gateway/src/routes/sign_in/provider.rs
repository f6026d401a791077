//! `/sign-in/{org}/{idp}`: off to an identity provider, and back at `…/callback`.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use maud::html;
use schemas::audit::Actor;
use schemas::decision::OrgFacts;
use schemas::ids::UserId;
use schemas::names::{IdentityProviderName, OrgName, UserName};

use super::admission::{self, Admission};
use super::return_to::ReturnTo;
use super::{asked, welcome};
use crate::Gateway;
use crate::audit::{self, About};
use crate::body::Body;
use crate::identity::oidc::{Claims, Flow, OidcError, Place, Returned, exchange, flow_cookie_gone};
use crate::identity::session::{New, Signed, signed};
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{Forms, message, page, see_other, unavailable};
use crate::routes::visible;
use crate::secret::Secret;
use crate::store::identities::{IdentityProvider, add_user, find, find_provider, link};
use crate::store::sessions;
use crate::vault::Purpose;

/// Why nobody is signed in here.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Oidc(#[from] OidcError),
    #[error(transparent)]
    Refused(#[from] admission::Refusal),
    /// Of a flow that was to link an account.
    #[error("{0}")]
    Unlinked(&'static str),
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// An identity provider of an organisation.
struct At {
    org: OrgFacts,
    provider: IdentityProvider,
}

impl At {
    async fn find<P: Platform>(
        platform: &P,
        (org, idp): (&str, &str),
    ) -> Result<Option<Self>, PlatformError> {
        let (Ok(org), Ok(idp)) = (OrgName::parse(org), IdentityProviderName::parse(idp)) else {
            return Ok(None);
        };
        let found = find_provider(platform, &org, &idp).await?;
        Ok(found.map(|(org, provider)| Self { org, provider }))
    }

    fn client_secret(&self, gateway: &Gateway) -> Option<Secret> {
        let sealed = self.provider.client_secret.as_deref()?;
        let place = secret_place(&self.org.name, &self.provider);
        let opened = gateway.vault.open(Purpose::Stored, &place, sealed).ok()?;
        String::from_utf8(opened).ok().map(Secret::new)
    }

    fn about(&self, user: Option<&UserName>, method: &str) -> About {
        let credential = format!("idp:{}", self.provider.name);
        About {
            org: self.org.id.clone(),
            actor: Actor { agent: None, user: user.cloned(), credential },
            method: method.to_owned(),
            subject: None,
            arguments: None,
            traceparent: None,
        }
    }

    /// Where the browser goes, and what it carries.
    async fn depart<P: Platform>(
        &self,
        gateway: &Gateway,
        platform: &P,
        flow: &Flow,
    ) -> Result<(String, header::HeaderValue), OidcError> {
        let issuer = &self.provider.issuer;
        let metadata = gateway.identity_providers.find(gateway, platform, issuer).await?;
        let place = Place {
            metadata: &metadata,
            client_id: &self.provider.client_id,
            client_secret: None,
            scopes: &self.provider.scopes,
            redirect_uri: redirect_uri(gateway, &self.org.name, &self.provider.name),
        };
        let url = place.authorization_url(flow)?;
        let cookie = flow.cookie(platform, &gateway.vault, &self.org.name, &self.provider.name);
        let cookie = cookie.ok_or_else(|| OidcError::Provider("it can't be left for".to_owned()))?;
        Ok((url.into(), cookie))
    }
}

/// Where a provider sends people back to: an address of its own, which is to be registered there.
pub(crate) fn redirect_uri(gateway: &Gateway, org: &OrgName, idp: &IdentityProviderName) -> String {
    format!("{}/sign-in/{org}/{idp}/callback", gateway.settings.public_url)
}

/// What a client secret is sealed for: this provider of this organisation, and nobody else who takes its place.
pub(crate) fn secret_place(org: &OrgName, provider: &IdentityProvider) -> Vec<u8> {
    let IdentityProvider { name, issuer, client_id, .. } = provider;
    format!("client-secret\n{org}\n{name}\n{issuer}\n{client_id}").into_bytes()
}

/// Off to the provider.
pub(super) async fn leave<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    names: (&str, &str),
) -> Response<Body<P::Stream>> {
    let at = match At::find(platform, names).await {
        Ok(Some(at)) => at,
        Ok(None) => return nowhere(),
        Err(error) => return unavailable(&error),
    };
    let return_to = ReturnTo::or_account(asked(request, "return_to").as_deref());
    let flow = Flow::new(platform, &at.provider.issuer, return_to.as_str(), None);
    match at.depart(gateway, platform, &flow).await {
        Ok((url, cookie)) => {
            let mut response = see_other(&url);
            response.headers_mut().append(header::SET_COOKIE, cookie);
            response
        }
        Err(error) => not_signed_in(StatusCode::BAD_GATEWAY, &at.org.name, &error.to_string()),
    }
}

/// The page before somebody who is signed in leaves to link an account: a link, because a form must not lead to another site.
pub(crate) async fn to_link<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    idp: &str,
) -> Result<Response<Body<P::Stream>>, PlatformError> {
    let org = &signed.person.facts.org.name;
    let Some(at) = At::find(platform, (org.as_str(), idp)).await? else { return Ok(nowhere()) };
    let flow = Flow::new(platform, &at.provider.issuer, "/account", Some(signed.id.clone()));
    let (url, cookie) = match at.depart(gateway, platform, &flow).await {
        Ok(departed) => departed,
        Err(error) => return Ok(not_signed_in(StatusCode::BAD_GATEWAY, org, &error.to_string())),
    };
    let (idp, name) = (&at.provider.name, &signed.person.facts.name);
    let body = html! {
        h1 { "Link " (idp) }
        p { "Whoever you are at " (idp) " can sign in here as " strong { (visible(name.as_str())) } " from then on." }
        p { a.button href=(url) { "Continue to " (idp) } }
        p { a href="/account" { "Back" } }
    };
    let mut response = page(StatusCode::OK, &format!("Link {idp} – Ambit"), Forms::Own, &body);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Back from the provider.
pub(super) async fn come_back<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    names: (&str, &str),
) -> Response<Body<P::Stream>> {
    let at = match At::find(platform, names).await {
        Ok(Some(at)) => at,
        Ok(None) => return nowhere(),
        Err(error) => return unavailable(&error),
    };
    let returned = Returned::read(request.uri().query().unwrap_or_default());
    let flow = returned.as_ref().and_then(|returned| {
        let (org, idp) = (&at.org.name, &at.provider.name);
        Flow::resume(&gateway.vault, request.headers(), org, idp, &returned.state, platform.now())
    });
    let (Some(returned), Some(flow)) = (returned, flow) else {
        let why = "This browser did not leave from here for there, or it took longer than ten minutes.";
        return not_signed_in(StatusCode::BAD_REQUEST, &at.org.name, why);
    };
    let mut response = match arrive(gateway, platform, &at, (&flow, &returned), request.headers()).await {
        Ok(response) => response,
        Err(Failed::Platform(error)) => unavailable(&error),
        Err(failed) => {
            let refused = audit::refuse(platform, &at.about(None, "session.open"), &failed.to_string()).await;
            if let Err(error) = refused {
                return unavailable(&error);
            }
            not_signed_in(StatusCode::FORBIDDEN, &at.org.name, &failed.to_string())
        }
    };
    if let Some(cookie) = flow_cookie_gone(&flow.state) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

async fn arrive<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    at: &At,
    (flow, returned): (&Flow, &Returned),
    headers: &HeaderMap,
) -> Result<Response<Body<P::Stream>>, Failed> {
    if flow.issuer != at.provider.issuer {
        return Err(
            OidcError::Answer("the identity provider was changed meanwhile: start again".into()).into()
        );
    }
    let metadata = gateway.identity_providers.find(gateway, platform, &flow.issuer).await?;
    let place = Place {
        metadata: &metadata,
        client_id: &at.provider.client_id,
        client_secret: at.client_secret(gateway),
        scopes: &at.provider.scopes,
        redirect_uri: redirect_uri(gateway, &at.org.name, &at.provider.name),
    };
    let claims = exchange(gateway, platform, &place, flow, returned).await?;
    if flow.link.is_some() {
        return link_account(platform, at, flow, &claims, headers).await;
    }
    let admission = admission::admit(platform, &at.org, &at.provider, &claims).await??;
    sign_in(platform, at, flow, &claims, admission, headers).await
}

async fn sign_in<P: Platform>(
    platform: &P,
    at: &At,
    flow: &Flow,
    claims: &Claims,
    admission: Admission,
    headers: &HeaderMap,
) -> Result<Response<Body<P::Stream>>, Failed> {
    let now = platform.now();
    let new = New::of(platform, headers);
    let opened_by = format!("idp:{}", at.provider.name);
    let (mut statements, user, name, how) = match admission {
        Admission::Known(user, facts) => (Vec::new(), user, facts.name.clone(), "signed in"),
        Admission::New(name, email) => {
            let mut random = [0; 10];
            platform.fill_random(&mut random);
            let user = UserId::mint(now, random);
            let made = vec![
                add_user(&user, &at.org.id, name.as_str(), &email, now),
                link(&at.org.id, &at.provider.issuer, &claims.subject, &user, now),
            ];
            (made, user, name, "was let in and signed in")
        }
    };
    statements.extend(admission::teams(&at.org, &at.provider, claims, &name));
    let opening = statements.len();
    statements.extend(sessions::open(&new.opening(&opened_by), &user, now));
    let what = format!("{}: `{name}` {how} by `{}`", new.id, at.provider.issuer);
    let about = at.about(Some(&name), "session.open");
    statements.push(audit::opened_statement(platform, &about, what, &new.id)?);
    let results = platform.sql(Batch::write(statements)).await?;
    if results.get(opening).is_none_or(Vec::is_empty) {
        return Err(admission::Refusal::Inactive.into());
    }
    Ok(welcome(platform, &new, &ReturnTo::or_account(Some(&flow.return_to))))
}

/// Links whoever came back to the person whose session left for that, if it is still the same browser.
async fn link_account<P: Platform>(
    platform: &P,
    at: &At,
    flow: &Flow,
    claims: &Claims,
    headers: &HeaderMap,
) -> Result<Response<Body<P::Stream>>, Failed> {
    let signed = signed(platform, headers).await?;
    let Some(signed) = signed.filter(|signed| Some(&signed.id) == flow.link.as_ref()) else {
        return Err(Failed::Unlinked("the session that wanted to link this account is over: sign in again"));
    };
    if find(platform, &at.org, &at.provider.issuer, &claims.subject).await?.is_some() {
        return Err(Failed::Unlinked("somebody is linked to this account already"));
    }
    let linked = link(&at.org.id, &at.provider.issuer, &claims.subject, &signed.user_id, platform.now());
    let about = About { actor: signed.person.actor(), ..at.about(None, "identity.link") };
    let what = format!("`{}` is linked to an account at `{}`", signed.person.facts.name, at.provider.issuer);
    let note = audit::note_statement(platform, &about, what, None)?;
    platform.sql(Batch::write([linked, note])).await?;
    Ok(see_other("/account"))
}

fn nowhere<S>() -> Response<Body<S>> {
    message(StatusCode::NOT_FOUND, "There is no such identity provider", "Start at /sign-in.")
}

fn not_signed_in<S>(status: StatusCode, org: &OrgName, why: &str) -> Response<Body<S>> {
    let body = html! {
        h1 { "You are not signed in" }
        p.alert role="alert" { (why) }
        p { a href=(super::page_of(Some(org))) { "Start again" } }
    };
    page(status, "Not signed in – Ambit", Forms::Own, &body)
}
