//! An organisation being managed: what is asked of the policies, and how changes are made and noted.

use std::rc::Rc;

use ::policies::{CompiledSet, Denial, Permit};
use schemas::audit::{Actor, Subject};
use schemas::decision::{
    Action, ContextFacts, DecisionRequest, OrgFacts, Principal, Publication, ResourceFacts, UserFacts,
};
use schemas::ids::OrgId;
use schemas::names::OrgName;

use super::idempotency::Claim;
use super::problem::ApiError;
use super::reply::{Conditions, Reply};
use crate::Gateway;
use crate::audit::{self, About};
use crate::identity::person::Person;
use crate::platform::{Batch, Platform, Rows, Statement};
use crate::store::admin::Org;
use crate::store::documents::{self, Kind, Thing};
use crate::store::idempotency;
use crate::store::refusals::Refused;

/// An organisation being managed, and the proof that whoever manages it may.
pub(super) struct Desk<'a, P: Platform> {
    pub(super) gateway: &'a Gateway,
    pub(super) platform: &'a P,
    pub(super) person: Person,
    pub(super) name: OrgName,
    pub(super) org: Org,
    pub(super) policies: Rc<CompiledSet>,
    /// What this request may do, on record. Nothing where each thing behind the address is decided on its own.
    pub(super) permit: Option<Permit>,
    /// What the request demands of the thing that it changes.
    pub(super) conditions: Conditions<'a>,
    /// Its key, where it may be sent twice and must be done once.
    pub(super) claim: Option<Claim>,
}

/// A change of one thing.
pub(super) struct Change {
    /// The word of the trail.
    pub(super) action: &'static str,
    /// What the trail says of it.
    pub(super) told: String,
    pub(super) statements: Vec<Statement>,
}

impl<P: Platform> Desk<'_, P> {
    pub(super) fn about(&self, action: &str, subject: Option<Subject>) -> About {
        about(&self.org.id, self.person.actor(), action, subject)
    }

    /// The organisation, as policies see it.
    pub(super) fn facts(&self) -> OrgFacts {
        OrgFacts { id: self.org.id.clone(), name: self.name.clone() }
    }

    /// Who manages, for columns that keep it.
    pub(super) fn by(&self) -> &str {
        if self.person.is_operator() { "operator" } else { self.person.facts.name.as_str() }
    }

    /// Something of the organisation.
    pub(super) fn thing(&self, kind: &'static Kind, key: impl AsRef<str>) -> Thing {
        Thing::new(kind, &self.org.id, key)
    }

    /// Changes something, and notes it with the decision that allowed it, in one batch.
    pub(super) async fn change(
        &self,
        action: &str,
        what: String,
        mut statements: Vec<Statement>,
    ) -> Result<Vec<Rows>, ApiError> {
        let record = self.permit.as_ref().map(|permit| permit.record().clone());
        statements.push(audit::note_statement(self.platform, &self.about(action, None), what, record)?);
        if let Some(claim) = &self.claim {
            statements.push(idempotency::effective(&self.org.id, &claim.key, self.platform.now()));
        }
        Ok(self.platform.sql(Batch::write(statements)).await?)
    }

    /// Makes a thing, or makes it so. Answers it as it is then.
    pub(super) async fn put(&self, thing: &Thing, change: Change) -> Result<Reply, ApiError> {
        let held = self.hold(thing).await?;
        self.put_held(thing, held, change).await
    }

    /// The same, of a thing that must be as it was when somebody looked.
    pub(super) async fn put_held(
        &self,
        thing: &Thing,
        held: Option<Statement>,
        Change { action, told, statements: changes }: Change,
    ) -> Result<Reply, ApiError> {
        let mut statements: Vec<Statement> = held.into_iter().collect();
        statements.push(thing.must_fit(self.gateway.settings.quota));
        let before = statements.len();
        statements.push(thing.select());
        statements.extend(changes);
        let after = statements.len();
        statements.push(thing.select());
        let results =
            self.change(action, told, statements).await.map_err(|error| self.refused(thing, error))?;
        let text = documents::read(results.get(after))?;
        let reply = Reply::thing(text.ok_or_else(|| missing(thing))?);
        Ok(match documents::read(results.get(before))? {
            Some(_) => reply,
            None => reply.made(self.address(thing)),
        })
    }

    /// Takes a thing away.
    pub(super) async fn delete(&self, thing: &Thing, change: Change) -> Result<Reply, ApiError> {
        let mut statements: Vec<Statement> = self.hold(thing).await?.into_iter().collect();
        statements.push(thing.must_be());
        statements.extend(change.statements);
        let done = self.change(change.action, change.told, statements).await;
        done.map_err(|error| self.refused(thing, error))?;
        Ok(Reply::nothing())
    }

    /// Holds the thing against what the request demands of it. Answers the statement that keeps it so until the change is made.
    async fn hold(&self, thing: &Thing) -> Result<Option<Statement>, ApiError> {
        if !self.conditions.any() {
            return Ok(None);
        }
        let current = documents::get(self.platform, thing).await?;
        self.conditions.hold(current.as_deref())?;
        Ok(Some(thing.must_read(current.as_deref())))
    }

    /// What a batch says by which the store refused it.
    pub(super) fn refused(&self, thing: &Thing, error: ApiError) -> ApiError {
        let ApiError::Platform(cause) = &error else { return error };
        match Refused::of(cause) {
            Some(Refused::Precondition) => ApiError::Precondition,
            Some(Refused::Missing) => missing(thing),
            Some(Refused::Quota) => {
                ApiError::Quota { what: thing.kind.name, most: self.gateway.settings.quota }
            }
            Some(Refused::Conflict) | None => error,
        }
    }

    /// Where a thing of the organisation is, below `/api/v1/`.
    fn address(&self, thing: &Thing) -> String {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
                .replace("%2D", "-")
                .replace("%5F", "_")
                .replace("%2E", ".")
        };
        match thing.kind.list {
            "orgs" => format!("orgs/{}", self.name),
            list => {
                let path: Vec<String> = thing.key.split(' ').map(encode).collect();
                format!("orgs/{}/{list}/{}", self.name, path.join("/"))
            }
        }
    }

    /// Asks the policies. `on_behalf_of` is for approvals of calls.
    pub(super) fn decide(
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
    pub(super) fn may_publish(&self, publication: Publication) -> Result<Permit, Denial> {
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
    pub(super) async fn demand(
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

/// There is no such thing.
pub(super) fn missing(thing: &Thing) -> ApiError {
    ApiError::NotFound(format!("{} `{}`", thing.kind.name, thing.key))
}

pub(super) fn about(org: &OrgId, actor: Actor, action: &str, subject: Option<Subject>) -> About {
    About { org: org.clone(), actor, method: action.to_owned(), subject, arguments: None, traceparent: None }
}
