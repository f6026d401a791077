//! The person's word: which client may act, as which agent, where, and how far. Asked for each client and kept, except where any
//! program on the person's machine could say that it is this client (RFC 8252 §8.6).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use schemas::ids::{AgentId, AuthorizationId, Sha256Hex, Timestamp};

use super::acting::{Place, about, credential};
use super::authorize::{Asked, unanswerable};
use super::consent_page::{self, Question};
use super::error::OAuthError;
use super::parameters::Parameters;
use super::scopes;
use super::target::Target;
use crate::Gateway;
use crate::audit;
use crate::body::Body;
use crate::clients::{self, COMMAND_LINE, Client, is_local};
use crate::identity::session::{self, Signed};
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::page::{message, unavailable};
use crate::routes::sign_in;
use crate::store::authorizations::{self, Authorization, Candidate};
use crate::store::clients::{burn, keep_registration};
use crate::vault::Purpose;

/// How long a person may think, in milliseconds.
const PATIENCE: i64 = 30 * 60 * 1000;
/// A code is fetched at once (OAuth 2.1 §4.1.2: ten minutes at most), in milliseconds.
const CODE: i64 = 60 * 1000;
/// How long a client may act without asking again, in milliseconds: 90 days.
const LIFE: i64 = 90 * 24 * 60 * 60 * 1000;

/// What a form of ours carries, sealed to the session it was made for.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Carried {
    asked: Asked,
    /// It is taken once.
    jti: String,
    until: i64,
}

/// Why nothing comes of it: said to the client, or on a page.
enum Stop<S> {
    Tell(OAuthError),
    Show(Box<Response<Body<S>>>),
}

impl<S> From<OAuthError> for Stop<S> {
    fn from(error: OAuthError) -> Self {
        Self::Tell(error)
    }
}

impl<S> From<PlatformError> for Stop<S> {
    fn from(error: PlatformError) -> Self {
        Self::Show(Box::new(unavailable(&error)))
    }
}

/// Asks the person, unless they have answered this before.
pub(super) async fn ask<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    client: &Client,
    asked: Asked,
) -> Response<Body<P::Stream>> {
    let target = asked.resource.as_deref().and_then(|resource| Target::read(gateway, resource).ok());
    let signed = match session::signed(platform, request.headers()).await {
        Ok(signed) => signed,
        Err(error) => return unavailable(&error),
    };
    let org = target.as_ref().and_then(Target::org);
    let Some(signed) = signed.filter(|signed| org.is_none_or(|org| *org == signed.person.facts.org.name))
    else {
        if asked.silent {
            return asked.fail(gateway, &OAuthError::new("login_required", "nobody is signed in"));
        }
        let back = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        return sign_in::ask(org, back);
    };
    let answered = match target {
        Some(Target::Management) => manage(gateway, platform, &signed, client, &asked),
        toolbox => at_toolbox(gateway, platform, &signed, client, &asked, toolbox).await,
    };
    answered.unwrap_or_else(|stop| stopped(gateway, &asked, stop))
}

fn stopped<S>(gateway: &Gateway, asked: &Asked, stop: Stop<S>) -> Response<Body<S>> {
    match stop {
        Stop::Tell(error) => asked.fail(gateway, &error),
        Stop::Show(response) => *response,
    }
}

async fn at_toolbox<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    client: &Client,
    asked: &Asked,
    target: Option<Target>,
) -> Result<Response<Body<P::Stream>>, Stop<P::Stream>> {
    if client.id == COMMAND_LINE {
        return Err(OAuthError::invalid_target("the command line manages: it calls no tools").into());
    }
    let place = place(gateway, platform, signed).await?;
    let offered = place.offered(platform, &signed.person.facts, client).await?;
    let all = authorizations::toolboxes(platform, &place.org).await?;
    let toolboxes = match &target {
        Some(Target::Toolbox(_, name)) if all.iter().any(|one| one == name.as_str()) => {
            vec![name.to_string()]
        }
        Some(_) => {
            return Err(OAuthError::invalid_target("there is no such toolbox in this organisation").into());
        }
        None => all,
    };
    if offered.is_empty() || toolboxes.is_empty() {
        if asked.silent {
            return Err(OAuthError::access_denied("no agent lets this client in").into());
        }
        let carried = carry(gateway, platform, signed, asked);
        return Err(Stop::Show(Box::new(consent_page::nobody(
            client,
            asked,
            &signed.person.facts,
            toolboxes.is_empty(),
            &carried,
        ))));
    }
    if !asked.ask_again
        && !is_local(&asked.redirect_uri)
        && let Some(audience) = asked.resource.as_deref()
        && let Some(agent) = said_before(platform, signed, asked, audience, &offered).await?
    {
        let new = authorization(platform, &place, signed, asked, Some(agent), audience, asked.scopes.clone());
        return let_in(gateway, platform, &place, signed, client, asked, new).await;
    }
    if asked.silent {
        return Err(OAuthError::new("consent_required", "the person has to be asked").into());
    }
    let question = Question {
        client,
        asked,
        person: &signed.person.facts,
        agents: &offered,
        toolboxes: &toolboxes,
        carried: &carry(gateway, platform, signed, asked),
    };
    Ok(consent_page::show(&question))
}

/// The agent that this person let this client act as, for at least this much.
async fn said_before<P: Platform>(
    platform: &P,
    signed: &Signed,
    asked: &Asked,
    audience: &str,
    offered: &[Candidate],
) -> Result<Option<AgentId>, PlatformError> {
    let key = (asked.client.as_str(), asked.redirect_uri.as_str(), audience);
    let Some(consent) = authorizations::consent(platform, &signed.user_id, key).await? else {
        return Ok(None);
    };
    let enough = asked.scopes.iter().all(|scope| consent.scopes.contains(scope));
    let agent = consent.agent.filter(|agent| enough && offered.iter().any(|one| one.id == *agent));
    Ok(agent)
}

/// The management API: as the person themself, and for our own command line only.
fn manage<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    client: &Client,
    asked: &Asked,
) -> Result<Response<Body<P::Stream>>, Stop<P::Stream>> {
    if client.id != COMMAND_LINE {
        return Err(OAuthError::invalid_target("only the command line of this gateway manages it").into());
    }
    if asked.silent {
        return Err(OAuthError::new("consent_required", "the person has to be asked").into());
    }
    let question = Question {
        client,
        asked,
        person: &signed.person.facts,
        agents: &[],
        toolboxes: &[],
        carried: &carry(gateway, platform, signed, asked),
    };
    Ok(consent_page::show(&question))
}

async fn place<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
) -> Result<Place, Stop<P::Stream>> {
    let place = Place::of(gateway, platform, &signed.person.facts.org.name).await?;
    Ok(place.ok_or_else(|| OAuthError::access_denied("the organisation is gone"))?)
}

fn carry<P: Platform>(gateway: &Gateway, platform: &P, signed: &Signed, asked: &Asked) -> String {
    let carried =
        Carried { asked: asked.clone(), jti: random(platform), until: platform.now().plus(PATIENCE).0 };
    let plain = serde_json::to_vec(&carried).unwrap_or_default();
    gateway.vault.seal(platform, Purpose::Consent, signed.id.as_str().as_bytes(), &plain).unwrap_or_default()
}

/// 256 random bits in base64url.
fn random<P: Platform>(platform: &P) -> String {
    let mut bytes = [0; 32];
    platform.fill_random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Takes the form of the page.
pub(super) async fn answered<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    headers: &HeaderMap,
    form: &Parameters,
) -> Response<Body<P::Stream>> {
    let signed = match session::signed(platform, headers).await {
        Ok(Some(signed)) if gateway.settings.is_own_form(headers) => signed,
        Ok(_) => return unanswerable("This was not sent by a page of ours to somebody who is signed in."),
        Err(error) => return unavailable(&error),
    };
    let opened = form
        .get("request")
        .and_then(|sealed| gateway.vault.open(Purpose::Consent, signed.id.as_str().as_bytes(), sealed).ok())
        .and_then(|plain| serde_json::from_slice::<Carried>(&plain).ok())
        .filter(|carried| platform.now().0 < carried.until);
    let Some(Carried { asked, jti, until }) = opened else {
        return unanswerable("The page was made for somebody else, or it lay open for too long.");
    };
    match burn(platform, "consent", &jti, Timestamp(until)).await {
        Ok(true) => {}
        Ok(false) => {
            let why = "This page was answered before. Start again from the program that sent you.";
            return message(StatusCode::CONFLICT, "Answered already", why);
        }
        Err(error) => return unavailable(&error),
    }
    if form.get("decision") != Some("allow") {
        return asked.fail(gateway, &OAuthError::access_denied("the person said no"));
    }
    let allowed = allow(gateway, platform, &signed, &asked, form).await;
    allowed.unwrap_or_else(|stop| stopped(gateway, &asked, stop))
}

async fn allow<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    signed: &Signed,
    asked: &Asked,
    form: &Parameters,
) -> Result<Response<Body<P::Stream>>, Stop<P::Stream>> {
    let client = clients::find(gateway, platform, &asked.client).await.map_err(OAuthError::from)?;
    let place = place(gateway, platform, signed).await?;
    let target = asked.resource.as_deref().map(|resource| Target::read(gateway, resource)).transpose()?;
    let target = match (target, form.get("toolbox")) {
        (Some(target), _) => target,
        (None, Some(toolbox)) => {
            let toolbox =
                toolbox.parse().map_err(|_| OAuthError::invalid_target("there is no such toolbox"))?;
            Target::Toolbox(place.org.name.clone(), toolbox)
        }
        (None, None) => return Err(OAuthError::invalid_target("no toolbox was chosen").into()),
    };
    let audience = target.audience(gateway);
    if target == Target::Management {
        let new = authorization(platform, &place, signed, asked, None, &audience, asked.scopes.clone());
        return let_in(gateway, platform, &place, signed, &client, asked, new).await;
    }
    let offered = place.offered(platform, &signed.person.facts, &client).await?;
    let chosen =
        form.get("agent").and_then(|name| offered.iter().find(|agent| agent.facts.name.as_str() == name));
    let agent =
        chosen.ok_or_else(|| OAuthError::access_denied("no agent was chosen that lets this client in"))?;
    // The form can only narrow: what was not asked for is not given, whatever it says.
    let narrowed = |scope: &String| scope == scopes::READ || form.get(&format!("scope:{scope}")).is_some();
    let given: Vec<String> = asked.scopes.iter().filter(|scope| narrowed(scope)).cloned().collect();
    let new = authorization(platform, &place, signed, asked, Some(agent.id.clone()), &audience, given);
    let_in(gateway, platform, &place, signed, &client, asked, new).await
}

fn authorization<P: Platform>(
    platform: &P,
    place: &Place,
    signed: &Signed,
    asked: &Asked,
    agent: Option<AgentId>,
    audience: &str,
    scopes: Vec<String>,
) -> Authorization {
    let mut bytes = [0; 10];
    platform.fill_random(&mut bytes);
    let now = platform.now();
    Authorization {
        id: AuthorizationId::mint(now, bytes),
        org: place.org.id.clone(),
        org_name: place.org.name.clone(),
        client: asked.client.clone(),
        actors: agent.iter().map(ToString::to_string).collect(),
        agent,
        user: Some(signed.user_id.clone()),
        audience: audience.to_owned(),
        scopes,
        expires_at: now.plus(LIFE),
    }
}

/// Writes down what was let do, and sends the code to the client.
async fn let_in<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    place: &Place,
    signed: &Signed,
    client: &Client,
    asked: &Asked,
    new: Authorization,
) -> Result<Response<Body<P::Stream>>, Stop<P::Stream>> {
    let mut actor = signed.person.actor();
    let mut decision = None;
    if let Some(agent) = &new.agent {
        let (agent, _, permit) = place.still(platform, client, agent, Some(&signed.user_id)).await?;
        actor.agent = Some(agent.facts.name);
        decision = permit.map(|permit| permit.record().clone());
    }
    let now = platform.now();
    let code = format!("ambit_ac_{}", random(platform));
    let hash = Sha256Hex::of(code.as_bytes());
    let told = format!(
        "{}: {} may act at {} with scopes {}, by {}",
        new.id,
        client.title(),
        new.audience,
        new.scopes.join(" "),
        credential(client)
    );
    let about = about(&place.org, actor, "authorization.add");
    let statements = vec![
        authorizations::add(&new, now),
        authorizations::add_code(
            hash.as_str(),
            &new.id,
            (&asked.redirect_uri, &asked.challenge),
            now.plus(CODE),
        ),
        authorizations::put_consent(&new, &asked.redirect_uri, now),
        keep_registration(&client.id, new.expires_at),
        audit::note_statement(platform, &about, told, decision)?,
    ];
    platform.sql(Batch::write(statements)).await?;
    Ok(asked.back(gateway, &[("code", &code)]))
}
