//! Calls that wait for a person, and what was decided about them.

use bytes::Bytes;
use schemas::decision::{Action, ResourceFacts, Status};
use schemas::ids::ApprovalId;
use serde_json::{Value, json};

use super::problem::ApiError;
use super::{Desk, read};
use crate::approvals::{self, Arguments, Word};
use crate::audit;
use crate::platform::Platform;
use crate::store::approvals::{Approval, State, find, list as rows};

/// Approvals of one answer, at most.
const LONGEST: i64 = 200;

/// `GET approvals?state=<pending|approved|refused|used>`: the youngest first. Without a state, of every state.
pub(super) async fn list<P: Platform>(desk: &Desk<'_, P>, query: &str) -> Result<Value, ApiError> {
    let state = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "state")
        .map(|(_, word)| {
            State::parse(&word).ok_or_else(|| {
                ApiError::Malformed(format!("`{word}` is not one of pending, approved, refused, used"))
            })
        })
        .transpose()?;
    let approvals = rows(desk.platform, &desk.org.id, state, LONGEST).await?;
    let shown = approvals.iter().filter(|approval| sees(desk, approval));
    Ok(json!({ "approvals": shown.map(summary).collect::<Vec<_>>() }))
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
    let all = || desk.decide(Action::ReadAudit, ResourceFacts::Org(desk.facts()), None).is_ok();
    (approval.user == person.name && person.status == Status::Active) || all()
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
