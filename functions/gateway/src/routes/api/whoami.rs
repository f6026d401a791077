//! Who asks, and what they may do.

use schemas::decision::{Action, ContextFacts, DecisionRequest, OrgFacts, Principal, ResourceFacts};
use serde_json::json;

use super::problem::ApiError;
use super::reply::Reply;
use super::{Asker, governing};
use crate::Gateway;
use crate::identity::IdentityError;
use crate::identity::person::{self, Person};
use crate::platform::Platform;
use crate::store::admin;

/// `GET whoami`: the person as the policies see them, and which actions on their organisation these would allow now.
pub(super) async fn get<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    asker: &Asker,
) -> Result<Reply, ApiError> {
    let Asker::Person(Person { facts, credential }) = asker else {
        // In every organisation, with the role `owner` there: what they may is each organisation's to say.
        return Ok(json!({ "user": person::OPERATOR, "operator": true, "credential": "operator" }).into());
    };
    let org = admin::org(platform, &facts.org.name).await?;
    let org = org.ok_or_else(|| IdentityError::Invalid("its organisation is gone".to_owned()))?;
    let policies = governing(gateway, platform, &org).await?;
    let whole = OrgFacts { id: org.id.clone(), name: facts.org.name.clone() };
    let may = |action: &Action| {
        let request = DecisionRequest {
            principal: Principal::User(facts.clone()),
            action: *action,
            resource: ResourceFacts::Org(whole.clone()),
            context: ContextFacts::at(platform.now(), whole.clone()),
        };
        ::policies::decide(&policies, request).is_ok()
    };
    let may: Vec<&str> = MANAGING.iter().filter(|action| may(action)).map(|action| action.as_str()).collect();
    Ok(json!({
        "user": facts.name,
        "operator": false,
        "org": facts.org.name,
        "email": facts.email,
        "status": facts.status,
        "roles": facts.roles,
        "teams": facts.teams,
        "may": may,
        "credential": credential,
    })
    .into())
}

/// What is done with an organisation as a whole.
const MANAGING: [Action; 6] = [
    Action::Administer,
    Action::Deploy,
    Action::ApproveTool,
    Action::PublishPolicy,
    Action::ReadPolicy,
    Action::ReadAudit,
];
