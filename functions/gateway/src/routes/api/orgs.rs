//! Organisations.

use ::policies::PolicySource;
use bytes::Bytes;
use http::Request;
use schemas::decision::OrgFacts;
use schemas::ids::OrgId;
use schemas::names::OrgName;

use super::desk::{Change, Desk, about};
use super::problem::ApiError;
use super::reply::{Conditions, Reply};
use super::{Asker, random, read, things};
use crate::audit;
use crate::identity::operator::Operator;
use crate::identity::person::Person;
use crate::platform::{Batch, Platform};
use crate::store;
use crate::store::documents::{self, ORGS, Thing};
use crate::store::refusals::Refused;

const READ_ONLY: [&str; 4] = ["name", "id", "policySet", "createdAt"];

/// What the operator, or an owner, says of an organisation.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Org {
    /// Suspended: none of its agents does anything, and people manage on.
    #[serde(default)]
    pub(super) status: Option<Status>,
}

#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Active,
    Suspended,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// All of them for the operator; for a person their own.
pub(super) async fn list(
    platform: &impl Platform,
    asker: &Asker,
    query: Option<&str>,
) -> Result<Reply, ApiError> {
    let scope = match asker {
        Asker::Operator(_) => "",
        Asker::Person(person) => person.facts.org.id.as_str(),
    };
    things::list(platform, &ORGS, scope, query).await
}

/// Makes an organisation, with the built-in policies only: nobody may do anything yet. Or sets what the operator says of one.
pub(super) async fn put<P: Platform>(
    platform: &P,
    proof: &Operator,
    name: &OrgName,
    request: &Request<Bytes>,
) -> Result<Reply, ApiError> {
    let Org { status } = read(request.body())?;
    let found = store::admin::org(platform, name).await?;
    let now = platform.now();
    let id = found.as_ref().map_or_else(|| OrgId::mint(now, random(platform)), |org| org.id.clone());
    let thing = Thing::new(&ORGS, &id, name.as_str());
    let current = documents::get(platform, &thing).await?;
    Conditions(request.headers()).hold(current.as_deref())?;
    let actor = Person::operator(proof, &OrgFacts { id: id.clone(), name: name.clone() })?.actor();
    let mut statements = vec![thing.must_read(current.as_deref())];
    let action = if found.is_some() {
        "org.put"
    } else {
        let source = PolicySource::with_built_in(Vec::new());
        statements.push(store::policies::add(&source, now)?);
        statements.push(store::admin::add_org(&id, name, &source.hash(), now));
        "org.create"
    };
    let told = match status {
        Some(status) => format!("organisation `{name}`, {}", status.as_str()),
        None => format!("organisation `{name}`"),
    };
    statements.extend(status.map(|status| store::admin::set_org_status(&id, status.as_str())));
    if statements.len() > 1 {
        let about = about(&id, actor, action, None);
        statements.push(audit::note_statement(platform, &about, told, None)?);
    }
    statements.push(thing.select());
    let results = platform.sql(Batch::write(statements)).await;
    let results = results.map_err(|error| match Refused::of(&error) {
        Some(_) => ApiError::Precondition,
        None => ApiError::Platform(error),
    })?;
    // Another request may have made one of this name meanwhile: then ours made nothing.
    let text = documents::read(results.last())?.ok_or(ApiError::Precondition)?;
    let reply = Reply::thing(text);
    Ok(if current.is_none() { reply.made(format!("orgs/{name}")) } else { reply })
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&ORGS, desk.name.as_str())).await
}

pub(super) async fn patch<P: Platform>(desk: &Desk<'_, P>, body: &Bytes) -> Result<Reply, ApiError> {
    let thing = desk.thing(&ORGS, desk.name.as_str());
    let (whole, held) = desk.patched(&thing, body, &READ_ONLY).await?;
    let Org { status } = read(whole.to_string().as_bytes())?;
    let status = status.unwrap_or(Status::Active).as_str();
    let change = Change {
        action: "org.put",
        told: format!("organisation `{}`, {status}", desk.name),
        statements: vec![store::admin::set_org_status(&desk.org.id, status)],
    };
    desk.put_held(&thing, Some(held), change).await
}
