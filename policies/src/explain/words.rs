//! Decisions in words.

use schemas::decision::{Action, Decision, DecisionRequest, Effect, Principal};

use super::Reading;
use crate::slice::tool_id;

/// The decision in one sentence.
pub(super) fn summary(decision: &Decision) -> String {
    let by = decision.policies.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    match decision.effect {
        Effect::Allow => format!("allowed by {by}"),
        Effect::Deny if !decision.errors.is_empty() => "denied: it could not be decided".to_owned(),
        Effect::Deny if decision.policies.is_empty() => "denied: nothing permits it".to_owned(),
        Effect::Deny if decision.obligations.is_empty() => format!("denied by {by}"),
        Effect::Deny => format!(
            "denied by {by}, until {}",
            decision.obligations.iter().map(|word| short(word)).collect::<Vec<_>>().join(" and ")
        ),
    }
}

fn short(obligation: &str) -> String {
    match (obligation, obligation.strip_prefix("scope:")) {
        ("approval:user", _) => "a person approves".to_owned(),
        ("reconnect:scopes", _) => "the account is connected again".to_owned(),
        (_, Some(scope)) => format!("the token has the scope `{scope}`"),
        (other, None) => other.to_owned(),
    }
}

/// What would turn a refusal, each in a sentence.
pub(super) fn way_out(decision: &Decision, request: &DecisionRequest, near: &[Reading]) -> Vec<String> {
    if decision.effect == Effect::Allow {
        return Vec::new();
    }
    let mut ways: Vec<String> =
        decision.errors.iter().map(|error| format!("put this right: {error}")).collect();
    ways.extend(decision.obligations.iter().map(|word| obligation(word)));
    if decision.obligations.is_empty() {
        ways.extend(decision.advice.iter().map(|word| advice(word)));
    }
    if decision.errors.is_empty() && decision.policies.is_empty() {
        ways.push(grant(request));
        if near.iter().any(|reading| reading.scope_missed.is_empty() && !reading.id.starts_with("p-grants")) {
            ways.push("or call it as one of the policies that nearly permit it would have it".to_owned());
        }
    } else if !decision.policies.is_empty() && decision.obligations.is_empty() {
        ways.push("no permit helps while that is so: a forbid wins over every permit".to_owned());
    }
    ways
}

fn obligation(word: &str) -> String {
    match (word, word.strip_prefix("scope:")) {
        ("approval:user", _) => {
            "the person for whom the agent acts approves exactly this call; they are asked when it is made"
                .to_owned()
        }
        ("reconnect:scopes", _) => {
            "the person connects the account again, with the scopes that the tool needs".to_owned()
        }
        (_, Some(scope)) => {
            format!(
                "the client asks the person for a token with the scope `{scope}`; they are asked when it does"
            )
        }
        (other, None) => format!("meet `{other}`"),
    }
}

fn advice(word: &str) -> String {
    match word {
        "other_organisation" => {
            "ask within one organisation: agent, person and resource belong to different ones".to_owned()
        }
        "principal_inactive" => "set the agent or the person active again".to_owned(),
        "tool_definition_changed" => "look at the tool's definition and approve it".to_owned(),
        "server_inactive" => "set the server active again".to_owned(),
        "approval_needs_a_person" => "call it on behalf of a person, who can then approve".to_owned(),
        "not_your_connection" => "use a connection of the person for whom the agent acts".to_owned(),
        other => format!("its author says: {other}"),
    }
}

fn grant(request: &DecisionRequest) -> String {
    match (&request.principal, request.resource.tool(), request.resource.server()) {
        (Principal::User(user), ..) => {
            format!("give `{}` a role that may do this, or permit it as the smallest permit does", user.name)
        }
        (Principal::Agent(agent), Some(tool), _)
            if matches!(request.action, Action::CallTool | Action::ListTool) =>
        {
            format!(
                "grant it plainly (`PUT .../agents/{}/grants/tool/{}`), or by a policy such as the smallest permit",
                agent.name,
                tool_id(tool)
            )
        }
        (Principal::Agent(agent), None, Some(server)) => format!(
            "grant the server (`PUT .../agents/{}/grants/server/{}`), or this alone by the smallest permit",
            agent.name, server.name
        ),
        (Principal::Agent(_), ..) => "permit it, as the smallest permit does".to_owned(),
    }
}
