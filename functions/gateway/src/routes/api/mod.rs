//! `/api/v1`: how organisations are managed. JSON in and out, RFC 9457 problems. What it does is a table
//! ([`table`]); who may do what is the policies' to say;
//! every change is noted in the audit trail, with its decision, in the same batch as the change.

mod approvals;
mod grants;
mod identity_providers;
mod inspect;
mod inventory;
mod people;
mod policy;
mod problem;
mod servers;
mod sessions;
mod table;
mod teams;
mod trail;

use std::rc::Rc;

use ::policies::{CompiledSet, Denial, Permit, PolicySource, compile};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use schemas::audit::{Actor, Subject};
use schemas::decision::{
    Action, ContextFacts, DecisionRequest, OrgFacts, Principal, Publication, ResourceFacts, ToolboxFacts,
    UserFacts,
};
use schemas::ids::OrgId;
use schemas::names::{OrgName, ToolboxName};
use serde_json::{Value, json};

use self::problem::{ApiError, problem};
pub use self::table::Operation;
use self::table::{Address, Demand};
use super::mcp::answer;
use crate::Gateway;
use crate::audit::{self, About};
use crate::body::Body;
use crate::identity::IdentityError;
use crate::identity::person::{self, Person, Shown};
use crate::platform::{Batch, Platform, PlatformError, Rows, Statement};
use crate::store::{self, admin::Org};
use crate::upstream::provisioner_status;

/// An organisation being managed, and the proof that whoever manages it may.
struct Desk<'a, P: Platform> {
    gateway: &'a Gateway,
    platform: &'a P,
    person: Person,
    name: OrgName,
    org: Org,
    policies: Rc<CompiledSet>,
    /// What this request may do, on record. Nothing where each thing behind the address is decided on its own.
    permit: Option<Permit>,
}

impl<P: Platform> Desk<'_, P> {
    fn about(&self, action: &str, subject: Option<Subject>) -> About {
        about(&self.org.id, self.person.actor(), action, subject)
    }

    /// The organisation, as policies see it.
    fn facts(&self) -> OrgFacts {
        OrgFacts { id: self.org.id.clone(), name: self.name.clone() }
    }

    /// Who manages, for columns that keep it.
    fn by(&self) -> &str {
        if self.person.is_operator() { "operator" } else { self.person.facts.name.as_str() }
    }

    /// Changes something, and notes it with the decision that allowed it, in one batch.
    async fn change(
        &self,
        action: &str,
        what: String,
        mut statements: Vec<Statement>,
    ) -> Result<Vec<Rows>, ApiError> {
        let record = self.permit.as_ref().map(|permit| permit.record().clone());
        statements.push(audit::note_statement(self.platform, &self.about(action, None), what, record)?);
        Ok(self.platform.sql(Batch::write(statements)).await?)
    }

    /// Asks the policies. `on_behalf_of` is for approvals of calls.
    fn decide(
        &self,
        action: Action,
        resource: ResourceFacts,
        on_behalf_of: Option<UserFacts>,
    ) -> Result<Permit, Denial> {
        let context =
            ContextFacts { user: on_behalf_of, ..ContextFacts::at(self.platform.now(), self.facts()) };
        self.ask(action, resource, context)
    }

    /// Whether the person may publish something that does this.
    fn may_publish(&self, publication: Publication) -> Result<Permit, Denial> {
        let context = ContextFacts {
            publication: Some(publication),
            ..ContextFacts::at(self.platform.now(), self.facts())
        };
        self.ask(Action::PublishPolicy, ResourceFacts::Org(self.facts()), context)
    }

    fn ask(&self, action: Action, resource: ResourceFacts, context: ContextFacts) -> Result<Permit, Denial> {
        let principal = Principal::User(self.person.facts.clone());
        ::policies::decide(&self.policies, DecisionRequest { principal, action, resource, context })
    }

    /// The same, with a refusal on record.
    async fn demand(
        &self,
        action: Action,
        resource: ResourceFacts,
        on_behalf_of: Option<UserFacts>,
    ) -> Result<Permit, ApiError> {
        match self.decide(action, resource, on_behalf_of) {
            Ok(permit) => Ok(permit),
            Err(denial) => {
                audit::deny(self.platform, &self.about(action.as_str(), None), &denial).await?;
                Err(ApiError::Forbidden(action))
            }
        }
    }
}

fn about(org: &OrgId, actor: Actor, action: &str, subject: Option<Subject>) -> About {
    About { org: org.clone(), actor, method: action.to_owned(), subject, arguments: None, traceparent: None }
}

/// Serves one request.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: Request<Bytes>,
    path: &[&str],
) -> Response<Body<P::Stream>> {
    // On the heap: what managers do rarely must not make the future of every call large.
    match Box::pin(handle(gateway, platform, &request, path)).await {
        Ok(value) => answer(StatusCode::OK, value.to_string()),
        Err(error) => problem(&error),
    }
}

async fn handle<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    path: &[&str],
) -> Result<Value, ApiError> {
    let address = Address::find(request.method(), path)?;
    let shown = person::shown(platform, request.headers())?;
    match (address.operation, shown) {
        (Operation::GetStatus, Shown::Operator(_)) => Ok(status(gateway, platform).await),
        (Operation::GetStatus, Shown::KeyHash(_)) => Err(ApiError::OperatorOnly),
        (Operation::PutOrg, Shown::Operator(proof)) => {
            policy::put_org(platform, &proof, &OrgName::parse(address.part("org"))?).await
        }
        (_, shown) => {
            let desk = Box::pin(enter(gateway, platform, shown, &address)).await?;
            Box::pin(dispatch(&desk, request, &address)).await
        }
    }
}

/// Who manages which organisation, and whether they may do what this address is for.
async fn enter<'a, P: Platform>(
    gateway: &'a Gateway,
    platform: &'a P,
    shown: Shown,
    address: &Address,
) -> Result<Desk<'a, P>, ApiError> {
    let name = OrgName::parse(address.part("org"))?;
    let person = match &shown {
        Shown::Operator(_) => None,
        Shown::KeyHash(hash) => Some(store::people::by_key(platform, hash).await?.ok_or_else(|| {
            IdentityError::Invalid("no such key, or it was revoked or has expired".to_owned())
        })?),
    };
    let unknown = || ApiError::NotFound(format!("organisation `{name}`"));
    // Another organisation is told like one that doesn't exist.
    if person.as_ref().is_some_and(|(_, person)| person.org.name != name) {
        return Err(unknown());
    }
    let org = store::admin::org(platform, &name).await?.ok_or_else(unknown)?;
    let facts = OrgFacts { id: org.id.clone(), name: name.clone() };
    let person = match (shown, person) {
        (_, Some((key, person))) => Person::with_key(&key, person),
        (Shown::Operator(proof), None) => Person::operator(&proof, &facts)?,
        (Shown::KeyHash(_), None) => return Err(IdentityError::Missing.into()),
    };
    let policies = governing(gateway, platform, &org).await?;
    let mut desk = Desk { gateway, platform, person, name, org, policies, permit: None };
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

/// What each operation does.
async fn dispatch<P: Platform>(
    desk: &Desk<'_, P>,
    request: &Request<Bytes>,
    address: &Address,
) -> Result<Value, ApiError> {
    let (body, query) = (request.body(), request.uri().query().unwrap_or_default());
    let part = |name: &str| address.part(name);
    match address.operation {
        // Above, as they are of the deployment.
        Operation::GetStatus | Operation::PutOrg => Err(ApiError::OperatorOnly),

        Operation::GetInventory => inventory::get(desk).await,
        Operation::PutUser => people::put_user(desk, part("user"), body).await,
        Operation::AddUserKey => people::add_own_key(desk, part("user"), body).await,
        Operation::AddLink => sessions::add_link(desk, part("user"), body).await,
        Operation::ListSessions => sessions::list(desk, part("user")).await,
        Operation::EndSessions => sessions::end_all(desk, part("user")).await,
        Operation::Invite => sessions::invite(desk, body).await,
        Operation::ListIdentityProviders => identity_providers::list(desk).await,
        Operation::GetIdentityProvider => identity_providers::get(desk, part("provider")).await,
        Operation::PutIdentityProvider => {
            Box::pin(identity_providers::put(desk, part("provider"), body)).await
        }
        Operation::DeleteIdentityProvider => identity_providers::delete(desk, part("provider")).await,
        Operation::PutTeam => teams::put(desk, part("team"), body).await,
        Operation::PutAgent => people::put_agent(desk, part("agent"), body).await,
        Operation::AddAgentKey => people::add_key(desk, part("agent"), body).await,
        Operation::RevokeKey => people::revoke_key(desk, part("key")).await,
        Operation::PutIssuer => people::put_issuer(desk, body).await,
        Operation::PutGrant => grants::add(desk, part("holder"), part("resource")).await,
        Operation::RevokeGrant => grants::revoke(desk, part("holder"), part("resource")).await,

        Operation::PutServer => servers::put_server(desk, part("server"), body).await,
        Operation::ListTools => servers::tools(desk, part("server")).await,
        Operation::GetTool => servers::tool(desk, part("server"), part("tool")).await,
        Operation::JudgeTool => servers::judge_tool(desk, part("server"), part("tool"), body).await,
        Operation::GetToolbox => servers::toolbox(desk, part("toolbox")).await,
        Operation::PutToolbox => servers::put_toolbox(desk, part("toolbox"), body).await,
        Operation::InspectServer => {
            Box::pin(inspect::inspect(desk, part("toolbox"), part("server"), body)).await
        }

        Operation::GetPolicies => policy::get(desk).await,
        Operation::PublishPolicies => Box::pin(policy::publish(desk, body)).await,
        Operation::CheckPolicies => Box::pin(policy::check(desk, body)).await,
        Operation::AllowRefused => Box::pin(policy::allow(desk, body)).await,
        Operation::ListPolicyVersions => policy::history(desk).await,
        Operation::GetPolicySet => policy::set(desk, part("hash")).await,
        Operation::RollBackPolicies => Box::pin(policy::rollback(desk, body)).await,
        Operation::PutShadow => Box::pin(policy::shadow::on(desk, body)).await,
        Operation::EndShadow => policy::shadow::off(desk).await,
        Operation::ListProposals => policy::proposals::list(desk).await,
        Operation::DecideProposal => Box::pin(policy::proposals::decide(desk, part("proposal"), body)).await,

        Operation::ListApprovals => approvals::list(desk, query).await,
        Operation::GetApproval => approvals::get(desk, part("approval")).await,
        Operation::DecideApproval => approvals::decide(desk, part("approval"), body).await,
        Operation::ListEvents => trail::page(desk, query).await,
        Operation::ExplainDecision => trail::why(desk, part("event"), query).await,
    }
}

async fn status<P: Platform>(gateway: &Gateway, platform: &P) -> Value {
    let provisioner = match provisioner_status(gateway, platform).await {
        None => json!({ "configured": false }),
        Some(Ok(status)) => {
            json!({ "configured": true, "status": serde_json::from_slice::<Value>(&status).unwrap_or_default() })
        }
        Some(Err(error)) => json!({ "configured": true, "error": error }),
    };
    json!({ "version": env!("CARGO_PKG_VERSION"), "provisioner": provisioner })
}

/// A request body of the expected shape; unknown members are refused, so that a misspelt one is not lost.
fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text)
        .map_err(|error| ApiError::Malformed(format!("the body is not what this address takes: {error}")))
}

/// Ten random bytes, for an id.
fn random(platform: &impl Platform) -> [u8; 10] {
    let mut bytes = [0; 10];
    platform.fill_random(&mut bytes);
    bytes
}
