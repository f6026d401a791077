//! Calls that wait for a person, and what was decided about them.

use bytes::Bytes;
use schemas::decision::{Action, ResourceFacts, Status};
use schemas::ids::ApprovalId;
use serde_json::{Value, json};

use super::problem::ApiError;
use super::query::{Query, with_next};
use super::{Desk, read};
use crate::approvals::{self, Arguments, Word};
use crate::audit;
use crate::platform::Platform;
use crate::store::approvals::{Approval, State, Wanted, find, list as rows};

/// `GET approvals?state=<pending|approved|refused|used>&agent=<name>&user=<name>`: a page of approvals, youngest first. Without a state,
/// of every state.
pub(super) async fn list<P: Platform>(desk: &Desk<'_, P>, query: Option<&str>) -> Result<Value, ApiError> {
    let query = Query::of_list(query, &["state", "agent", "user"])?;
    let state = query.word("state", &["pending", "approved", "refused", "used"])?.and_then(State::parse);
    let page = query.page()?;
    // Everybody who is active sees the calls that are made for them.
    let own = if sees_all(desk) { None } else { Some(desk.person.facts.name.as_str()) };
    if own.is_some() && desk.person.facts.status != Status::Active {
        return Ok(json!({ "approvals": [] }));
    }
    let wanted = Wanted { state, agent: query.get("agent"), user: query.get("user"), own };
    let mut found = rows(desk.platform, &desk.org.id, &wanted, (&page.after, page.wanted())).await?;
    let next = page.cut(&mut found, |approval| approval.id.to_string());
    Ok(with_next(json!({ "approvals": found.iter().map(summary).collect::<Vec<_>>() }), next))
}

/// One approval, with the arguments while they are kept and the definition while it is still the approved one.
pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Value, ApiError> {
    let approval = known(desk, id).await?;
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let arguments = Arguments::open(&desk.gateway.vault, &approval);
    let mut shown = summary(&approval);
    if let Some(members) = shown.as_object_mut() {
        members.extend(arguments.map(|arguments| ("arguments".to_owned(), parsed(&arguments.text))));
        members.extend(approval.definition.map(|text| ("definition".to_owned(), parsed(&text))));
    }
    Ok(shown)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    decision: Word,
}

/// Decides what waits, for the person on whose behalf the agent acts.
pub(super) async fn decide<P: Platform>(
    desk: &Desk<'_, P>,
    id: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let Decision { decision } = read(body)?;
    let approval = known(desk, id).await?;
    let settled = || {
        ApiError::Conflict(format!(
            "approval `{id}` does not wait any more: it was decided, or it is too old, or its tool has changed; let the agent call again"
        ))
    };
    let may = approvals::may_decide(desk.gateway, desk.platform, &desk.person, &approval).await?;
    if let Err(denial) = may.ok_or_else(settled)? {
        audit::deny(desk.platform, &desk.about(Action::ApproveCall.as_str(), None), &denial).await?;
        return Err(ApiError::Forbidden(Action::ApproveCall));
    }
    let vault = &desk.gateway.vault;
    let attested = if desk.person.is_operator() { "the operator" } else { desk.by() };
    let proven = (desk.person.credential.as_str(), attested);
    if !approvals::decide(vault, desk.platform, &approval, decision, proven).await? {
        return Err(settled());
    }
    Ok(summary(&known(desk, id).await?))
}

/// An approval that the person may see; others are told like those that don't exist.
async fn known<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Approval, ApiError> {
    let id = ApprovalId::parse(id)?;
    find(desk.platform, &id)
        .await?
        .filter(|approval| approval.org == desk.org.id && sees(desk, approval))
        .ok_or_else(|| ApiError::NotFound(format!("approval `{id}`")))
}

/// Calls that are made for them, for everybody who is active; all calls, for those who read the trail.
fn sees<P: Platform>(desk: &Desk<'_, P>, approval: &Approval) -> bool {
    let person = &desk.person.facts;
    (approval.user == person.name && person.status == Status::Active) || sees_all(desk)
}

fn sees_all<P: Platform>(desk: &Desk<'_, P>) -> bool {
    desk.decide(Action::ReadAudit, ResourceFacts::Org(desk.facts()), None).is_ok()
}

fn summary(approval: &Approval) -> Value {
    json!({
        "id": approval.id,
        "state": approval.state,
        "agent": approval.agent,
        "user": approval.user,
        "toolbox": approval.toolbox,
        "server": approval.server,
        "tool": approval.tool,
        "definitionHash": approval.definition_hash,
        "argumentsHash": approval.arguments_hash,
        "requestedAt": approval.requested_at,
        "expiresAt": approval.expires_at,
        "decidedAt": approval.decided_at,
        "decidedBy": approval.decided_by,
        "usedAt": approval.used_at,
    })
}
