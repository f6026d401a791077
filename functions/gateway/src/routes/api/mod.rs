//! `/api/v1`: how organisations are managed. JSON in and out, RFC 9457 problems. What it does is a table ([`table`]), described in
//! `schemas/openapi.yaml`; who may do what is the policies' to say; every change is noted in the audit trail, with its decision, in the
//! same batch as the change.

mod agents;
mod approvals;
mod authorizations;
mod catalogue;
mod clients;
mod connections;
mod desk;
mod dispatch;
mod grants;
mod idempotency;
mod identity_providers;
mod inspect;
mod inventory;
mod issuers;
mod keys;
mod orgs;
mod own_account;
mod policy;
mod problem;
mod providers;
mod query;
mod reply;
mod servers;
mod sessions;
mod table;
mod teams;
mod things;
mod toolboxes;
mod tools;
mod trail;
mod users;
mod vault;
mod whoami;

use std::rc::Rc;

use ::policies::{CompiledSet, PolicySource, compile};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, header};
use schemas::decision::{OrgFacts, ResourceFacts, ToolboxFacts};
use schemas::names::{OrgName, ToolboxName};
use schemas::provisioner::MAX_MESSAGE_BYTES;

use self::desk::Desk;
pub(super) use self::problem::meaning;
use self::problem::{ApiError, problem};
use self::reply::{Conditions, Reply};
pub use self::table::Operation;
use self::table::{Address, Demand};
use super::mcp::answer;
use crate::Gateway;
use crate::body::{Body, Incoming, receive};
use crate::identity::IdentityError;
use crate::identity::person::{self, Person, Shown};
use crate::limits::{Class, Who};
use crate::platform::{Peer, Platform, PlatformError};
use crate::store::{self, admin::Org};

/// The largest body; policies come with their cases, and may be as large as a message.
const LARGEST: usize = 1024 * 1024;

/// Serves one request.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    head: Parts,
    body: impl Incoming,
    path: &[&str],
) -> Response<Body<P::Stream>> {
    let (method, headers) = (head.method.clone(), head.headers.clone());
    // On the heap: what managers do rarely must not make the future of every call large.
    match Box::pin(handle(gateway, platform, head, body, path)).await {
        Ok(reply) => reply.render(&method, &headers),
        Err(error) => problem(gateway, &error),
    }
}

async fn handle<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    head: Parts,
    body: impl Incoming,
    path: &[&str],
) -> Result<Reply, ApiError> {
    let address = Address::find(&head.method, path)?;
    let asker = prove(gateway, platform, &head).await?;
    let limit = if head.uri.path().contains("/policies") { MAX_MESSAGE_BYTES } else { LARGEST };
    let body = receive(platform, body, limit, gateway.settings.call_limit).await;
    let body = body.map_err(|why| ApiError::unread(why, limit))?;
    json_only(&head, &body)?;
    let request = Request::from_parts(head, body);
    dispatch::dispatch(gateway, platform, asker, &request, &address).await
}

/// Who asks.
enum Asker {
    Operator(crate::identity::operator::Operator),
    Person(Person),
}

/// Finds out who asks, and whether not too often.
async fn prove<P: Platform>(gateway: &Gateway, platform: &P, head: &Parts) -> Result<Asker, ApiError> {
    let (now, limits) = (platform.now(), &gateway.limits);
    let peer = head.extensions.get::<Peer>().map(|peer| Who::peer(peer.0));
    // Whoever fails too often is told so; whoever does not fail is not held up by others at the same address.
    let failed = |error: IdentityError| {
        if let (IdentityError::Invalid(_), Some(peer)) = (&error, &peer)
            && let Err(often) = limits.admit(now, Class::SignIn, peer.clone())
        {
            return ApiError::from(often);
        }
        ApiError::from(error)
    };
    match person::shown(gateway, platform, &head.headers).map_err(&failed)? {
        Shown::Operator(proof) => {
            limits.admit(now, Class::Manage, Who::One(person::OPERATOR.to_owned()))?;
            Ok(Asker::Operator(proof))
        }
        Shown::KeyHash(hash) => {
            let known = Who::One(hash.clone());
            limits.ask(now, Class::Manage, &known)?;
            let found = store::people::by_key(platform, &hash).await?;
            let (key, person) = found.ok_or_else(|| {
                failed(IdentityError::Invalid("no such key, or it was revoked or has expired".to_owned()))
            })?;
            limits.charge(now, Class::Manage, known);
            limits.admit(now, Class::Manage, Who::Org(person.org.id.to_string()))?;
            Ok(Asker::Person(Person::with_key(&key, person)))
        }
        Shown::Token { authorization, jti } => {
            let known = Who::One(authorization.to_string());
            limits.ask(now, Class::Manage, &known)?;
            let found = store::people::by_authorization(platform, &authorization, &jti).await?;
            let person = found.ok_or_else(|| IdentityError::Invalid("it was revoked".to_owned()))?;
            limits.charge(now, Class::Manage, known);
            limits.admit(now, Class::Manage, Who::Org(person.org.id.to_string()))?;
            Ok(Asker::Person(Person::with_authorization(&authorization, person)))
        }
    }
}

/// Who manages which organisation, and whether they may do what this address is for.
async fn enter<'a, P: Platform>(
    gateway: &'a Gateway,
    platform: &'a P,
    asker: Asker,
    address: &Address,
    request: &'a Request<Bytes>,
) -> Result<Desk<'a, P>, ApiError> {
    let name = OrgName::parse(address.part("org"))?;
    let unknown = || ApiError::NotFound(format!("organisation `{name}`"));
    // Another organisation is told like one that doesn't exist.
    if matches!(&asker, Asker::Person(person) if person.facts.org.name != name) {
        return Err(unknown());
    }
    let org = store::admin::org(platform, &name).await?.ok_or_else(unknown)?;
    let facts = OrgFacts { id: org.id.clone(), name: name.clone() };
    let person = match asker {
        Asker::Person(person) => person,
        Asker::Operator(proof) => Person::operator(&proof, &facts)?,
    };
    let policies = governing(gateway, platform, &org).await?;
    let conditions = Conditions(request.headers());
    let mut desk =
        Desk { gateway, platform, person, name, org, policies, permit: None, conditions, claim: None };
    desk.permit = match address.operation.demand() {
        Demand::Anybody => None,
        Demand::Operator if desk.person.is_operator() => None,
        Demand::Operator => return Err(ApiError::OperatorOnly),
        Demand::Org(action) => Some(desk.demand(action, ResourceFacts::Org(facts), None).await?),
        Demand::Toolbox(action) => {
            let toolbox = ToolboxFacts { name: ToolboxName::parse(address.part("toolbox"))?, org: facts };
            Some(desk.demand(action, ResourceFacts::Toolbox(toolbox), None).await?)
        }
    };
    Ok(desk)
}

/// What decides who manages: the organisation's set. One that an earlier build made, and that does not check with this build's
/// guardrails, may know nothing of people: then the built-in policies alone decide, so that somebody can put it right.
async fn governing<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    org: &Org,
) -> Result<Rc<CompiledSet>, ApiError> {
    let built_in = PolicySource::with_built_in(Vec::new());
    if org.built_in == built_in.hash().as_str() {
        let set = gateway.policy_set(platform, &org.policy_set).await;
        return Ok(set.map_err(|refusal| PlatformError::Database(refusal.to_string()))?);
    }
    let set = compile(&built_in).map_err(|error| PlatformError::Database(error.to_string()))?;
    Ok(Rc::new(set))
}

/// Bodies are JSON. One that does not say what it is is taken for it.
fn json_only(head: &Parts, body: &Bytes) -> Result<(), ApiError> {
    let Some(kind) = head.headers.get(header::CONTENT_TYPE).filter(|_| !body.is_empty()) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let patches = head.method == Method::PATCH && essence == "application/merge-patch+json";
    if patches || essence == "application/json" {
        Ok(())
    } else {
        Err(ApiError::MediaType(kind.chars().filter(|c| !c.is_control()).take(80).collect()))
    }
}

/// A request body of the expected shape: an object. Unknown members and members that come twice are refused, so that a misspelt one is
/// not lost and no two readers disagree.
fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    let refused = |error| ApiError::Malformed(format!("the body is not what this address takes: {error}"));
    let text = crate::json::check(text).map_err(refused)?;
    if !text.trim_start().starts_with('{') {
        return Err(ApiError::Malformed("the body is not what this address takes: send an object".into()));
    }
    serde_json::from_str(text).map_err(refused)
}

/// Ten random bytes, for an id.
fn random(platform: &impl Platform) -> [u8; 10] {
    let mut bytes = [0; 10];
    platform.fill_random(&mut bytes);
    bytes
}
